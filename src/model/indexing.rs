//! Which rows of the packed batches belong to which patch: pure index arithmetic.

use ijepa_registry::{
    kinds::{Layout, Prediction, PredictionPlan},
    mask::{Grid, MaskPlan, View},
};

/// The target patches of a batch. A patch that several blocks predict is encoded once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TargetRows {
    /// Distinct target patches as rows of the full batch (`image * patches + patch`), sorted.
    pub keep: Vec<u32>,
    /// For every predicted row, in prediction order, its entry in `keep`.
    pub index: Vec<u32>,
}

impl TargetRows {
    /// Rows for the predictions `prediction_plan` lists.
    pub fn new(grid: Grid, plans: &[MaskPlan]) -> Self {
        let (mut keep, mut index) = (Vec::new(), Vec::new());
        let mut places = vec![None; grid.len()];
        for (image, plan) in plans.iter().enumerate() {
            places.fill(None);
            plan.targets().flatten().for_each(|p| places[*p as usize] = Some(0));
            for (patch, place) in places.iter_mut().enumerate().filter(|(_, place)| place.is_some()) {
                *place = Some(keep.len() as u32);
                keep.push((image * grid.len() + patch) as u32);
            }
            index.extend(plan.targets().flatten().filter_map(|p| places[*p as usize]));
        }
        TargetRows { keep, index }
    }

    /// Patch number of every entry of `keep`.
    pub fn positions(&self, grid: Grid) -> Vec<u32> {
        self.keep.iter().map(|row| row % grid.len() as u32).collect()
    }
}

/// Layout of all contexts: image by image, context by context.
pub fn context_layout(plans: &[MaskPlan]) -> Layout {
    Layout::new(plans.iter().flat_map(MaskPlan::contexts).map(Vec::as_slice))
}

/// Rows of the full batch (`image * patches + patch`) that the contexts see, in the order of their layout.
pub fn context_rows(grid: Grid, plans: &[MaskPlan]) -> Vec<u32> {
    let row = |(image, plan): (usize, &MaskPlan)| {
        plan.contexts().flatten().map(move |p| (image * grid.len()) as u32 + p).collect::<Vec<_>>()
    };
    plans.iter().enumerate().flat_map(row).collect()
}

/// Every target block of every view, predicted from its context, image by image.
pub fn prediction_plan(context: Layout, plans: &[MaskPlan]) -> PredictionPlan {
    let views = plans.iter().flat_map(|plan| &plan.views).enumerate();
    let blocks = |(context, view): (usize, &View)| {
        let predict = move |targets: &Vec<u32>| Prediction { context, targets: targets.clone() };
        view.targets.iter().map(predict).collect::<Vec<_>>()
    };
    let predictions = views.flat_map(blocks).collect();
    PredictionPlan { context, predictions }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shared_targets_are_encoded_once_and_predicted_twice() {
        let grid = Grid { rows: 2, cols: 2 };
        let plan = |targets: Vec<Vec<u32>>| MaskPlan::new(vec![0], targets);
        let plans = [plan(vec![vec![1, 2], vec![2, 3]]), plan(vec![vec![3]])];
        let rows = TargetRows::new(grid, &plans);
        assert_eq!(rows.keep, [1, 2, 3, 7]);
        assert_eq!(rows.index, [0, 1, 1, 2, 3]);
        assert_eq!(rows.positions(grid), [1, 2, 3, 3]);
        assert_eq!(context_rows(grid, &plans), [0, 4]);
        let plan = prediction_plan(context_layout(&plans), &plans);
        assert_eq!(plan.target_rows(), 5);
        assert_eq!(plan.predictions[2], Prediction { context: 1, targets: vec![3] });
    }
}
