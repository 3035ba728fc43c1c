//! Floating-point operations of the matrix products of a step, from what its components say of their costs.
//!
//! Counted is what the result needs: a multiply-add is 2, backward is twice forward (one product for
//! the input's gradient, one for the weight's), rows that nothing reads are not counted. Norms, GELU,
//! softmax, loss, optimizer and moving average are left out: together they are a few percent.

use ijepa_registry::prelude::*;

use super::TargetRows;

/// The components whose products a step consists of.
#[derive(Clone, Copy, Debug)]
pub struct StepCost<'a> {
    /// Encoder settings.
    pub encoder: &'a dyn EncoderSettings,
    /// Predictor settings.
    pub predictor: &'a dyn PredictorSettings,
    /// Settings of the targets.
    pub targets: &'a dyn TargetsSettings,
    /// Shape of the images.
    pub image: ImageShape,
}

/// Operations of a training step by its phases.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct StepFlop {
    /// Target encoder, forward.
    pub target: f64,
    /// Context encoder, forward.
    pub context: f64,
    /// Predictor, forward.
    pub predictor: f64,
    /// Both backward.
    pub backward: f64,
}

/// Steps whose masks [`typical_masks`] draws at least, and images: masks differ from image to image by a
/// fifth of the operations, and the mean of so many is off by less than 1 %.
const TYPICAL_STEPS: usize = 16;
const TYPICAL_IMAGES: usize = 4096;

/// Masks of the first steps of a run, step by step, each with images of its own: one draw is not typical
/// where a batch shares it, nor are the masks of the same few images.
pub fn typical_masks(
    masking: &dyn Masking,
    views: &ViewOptions,
    grid: Grid,
    seed: u64,
    batch_size: usize,
) -> impl Iterator<Item = Vec<MaskPlan>> {
    let steps = TYPICAL_STEPS.max(TYPICAL_IMAGES.div_ceil(batch_size.max(1))) as u64;
    (0..steps).map(move |step| {
        let size = batch_size as u64;
        let images = (step * size..(step + 1) * size).collect();
        let progress = step as f64 / steps as f64;
        let draw = BatchDraw { seed, step, images, progress, ..BatchDraw::default() };
        masking.views(grid, draw, views).plans
    })
}

impl StepFlop {
    /// The mean of some steps; none where one is not known.
    pub fn mean(steps: impl Iterator<Item = Option<StepFlop>>) -> Option<StepFlop> {
        let steps: Vec<StepFlop> = steps.collect::<Option<_>>()?;
        let mean = |of: fn(&StepFlop) -> f64| steps.iter().map(of).sum::<f64>() / steps.len() as f64;
        Some(StepFlop {
            target: mean(|s| s.target),
            context: mean(|s| s.context),
            predictor: mean(|s| s.predictor),
            backward: mean(|s| s.backward),
        })
    }
    /// Of the whole step.
    pub fn total(&self) -> f64 {
        self.target + self.context + self.predictor + self.backward
    }
}

impl StepCost<'_> {
    /// One training step on images with these masks; none where a component does not say what it costs.
    pub fn step(&self, plans: &[MaskPlan]) -> Option<StepFlop> {
        let sum = |of: &dyn Fn(&MaskPlan) -> Option<Cost>| plans.iter().map(of).sum::<Option<Cost>>();
        let target = sum(&|plan| self.teacher(plan))?.flop;
        let context = sum(&|plan| self.contexts(plan))?;
        let predictor = sum(&|plan| self.predictions(plan))?;
        let backward = 2.0 * (context.flop + predictor.flop) - context.input - predictor.input;
        Some(StepFlop { target, context: context.flop, predictor: predictor.flop, backward })
    }

    /// Values that backward needs of one pass over images with these masks.
    pub fn activations(&self, plans: &[MaskPlan]) -> Option<f64> {
        let one = |plan: &MaskPlan| Some((self.contexts(plan)? + self.predictions(plan)?).activations);
        plans.iter().map(one).sum()
    }

    /// Feature extraction of one image.
    pub fn features(&self) -> Option<f64> {
        let patches = self.grid().len();
        self.encoder.cost(self.image, patches, patches).map(|cost| cost.flop)
    }

    fn grid(&self) -> Grid {
        self.image.grid(self.encoder.patch())
    }

    /// Forward on the whole image, for the distinct target patches.
    fn teacher(&self, plan: &MaskPlan) -> Option<Cost> {
        if self.targets.teacher() == Teacher::None {
            return Some(Cost::default());
        }
        let kept = TargetRows::new(self.grid(), std::slice::from_ref(plan)).keep.len();
        self.encoder.cost(self.image, self.grid().len(), kept)
    }

    fn contexts(&self, plan: &MaskPlan) -> Option<Cost> {
        plan.contexts().map(|c| self.encoder.cost(self.image, c.len(), c.len())).sum()
    }

    fn predictions(&self, plan: &MaskPlan) -> Option<Cost> {
        let target_dim = self.targets.dim(self.encoder, self.image);
        plan.views.iter().map(|view| self.predictor.cost(view, self.encoder.dim(), target_dim)).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use crate::config;

    /// Encoder of width 4 with one block of hidden width 8 and 1 head, patches of 3 * 2 * 2 values on a grid of 4;
    /// predictor of width 4 with one block of hidden width 4.
    #[test]
    fn a_step_counted_by_hand() {
        let text = include_str!("../../experiments/sweeps/base-shapes.yaml");
        let small = [
            "dataset={ kind: shapes, image_size: 16, train: 64, test: 16 }",
            "encoder={ kind: vit, patch: 8, dim: 4, depth: 1, heads: 1, mlp_ratio: 2, positions: learned }",
            "predictor={ kind: vit, dim: 4, depth: 1, heads: 1, mlp_ratio: 1, positions: learned }",
            "masking={ kind: random }",
            "train.batch_size=16",
        ];
        let experiment =
            config::load("base-shapes", text, &small.map(String::from), &|_| Err("extends nothing".into()));
        let experiment = experiment.unwrap();
        let cost = StepCost {
            encoder: experiment.encoder.object.as_ref(),
            predictor: experiment.predictor.object.as_ref(),
            targets: experiment.targets.object.as_ref(),
            image: experiment.dataset.object.shape(),
        };
        let plan = MaskPlan::new(vec![0], vec![vec![1, 2], vec![2]]);
        let pixels = (cost.image.channels * 64) as f64;
        // A block of n tokens, k kept, width d, hidden f: keys and values 4nd^2, query and projection 4kd^2,
        // scores and mix 4knd, MLP 4kdf.
        let block = |n: f64, k: f64, d: f64, f: f64| {
            4.0 * n * d * d + 4.0 * k * d * d + 4.0 * k * n * d + 4.0 * k * d * f
        };
        // Teacher: 4 patches embedded, 2 kept. Context: 1 token, its embedding twice, the block three times.
        let teacher = 2.0 * 4.0 * pixels * 4.0 + block(4.0, 2.0, 4.0, 8.0);
        let context = 2.0 * (2.0 * pixels * 4.0) + 3.0 * block(1.0, 1.0, 4.0, 8.0);
        // Predictor: 1 token embedded; a block of 3 tokens, 2 kept, and their projection; one of 2 and 1.
        let first = block(3.0, 2.0, 4.0, 4.0) + 2.0 * 2.0 * 16.0;
        let second = block(2.0, 1.0, 4.0, 4.0) + 2.0 * 16.0;
        let predictions = 3.0 * (2.0 * 16.0 + first + second);
        let step = |plans: &[MaskPlan]| cost.step(plans).unwrap().total();
        assert_eq!(step(std::slice::from_ref(&plan)), teacher + context + predictions);
        assert_eq!(step(&[plan.clone(), plan.clone()]), 2.0 * (teacher + context + predictions));
        // Encoder: 1 token of 6 * 4 + 8 values. Predictor: 3 and 2 tokens of 6 * 4 + 4.
        assert_eq!(cost.activations(&[plan]), Some(32.0 + 5.0 * 28.0));
        assert_eq!(cost.features(), Some(2.0 * 4.0 * pixels * 4.0 + block(4.0, 4.0, 4.0, 8.0)));
    }
}
