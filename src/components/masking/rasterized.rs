//! Four quarters: one to see, three to predict.

use ijepa_registry::prelude::*;

use super::shared::plan_each;

/// Settings of `kind: rasterized`.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct Rasterized {}

component! {
    /// One random quarter of every image is the context, the other three are the targets.
    ///
    /// The `rasterized` masking of table 6 of Assran et al. (2023). A grid with an odd side has its
    /// middle row or column in the upper or left quarters.
    masking "rasterized" => Rasterized, example = "{}"
}

/// The quarters of the grid, row-major.
fn quarters(grid: Grid) -> Vec<Vec<u32>> {
    let halves = |side: usize| [(0, side.div_ceil(2)), (side.div_ceil(2), side / 2)];
    let quarter = |(top, height), (left, width)| grid.block(top, left, height, width);
    let columns = halves(grid.cols);
    halves(grid.rows).into_iter().flat_map(|rows| columns.map(|columns| quarter(rows, columns))).collect()
}

fn plan(grid: Grid, stream: &mut Stream) -> MaskPlan {
    let mut targets = quarters(grid);
    let context = targets.remove(stream.below(targets.len()));
    MaskPlan::new(context, targets)
}

impl Masking for Rasterized {
    fn check(&self, grid: Grid) -> Vec<Problem> {
        let small = grid.rows < 2 || grid.cols < 2;
        let sentence =
            || Problem::new("", format!("{}x{} patches have no four quarters", grid.rows, grid.cols));
        small.then(sentence).into_iter().collect()
    }
    fn sample(&self, grid: Grid, draw: &BatchDraw) -> MaskBatch {
        plan_each(draw, |stream| plan(grid, stream))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quarters_cover_the_grid_once() {
        let odd = quarters(Grid { rows: 3, cols: 2 });
        assert_eq!(odd, [vec![0, 2], vec![1, 3], vec![4], vec![5]]);
        let mut all = odd.concat();
        all.sort_unstable();
        assert_eq!(all, [0, 1, 2, 3, 4, 5]);
    }

    #[test]
    fn every_quarter_is_the_context_equally_often() {
        let grid = Grid { rows: 2, cols: 2 };
        let draw = BatchDraw { images: (0..4000).collect(), ..BatchDraw::default() };
        let batch = Rasterized {}.sample(grid, &draw);
        let mut seen = [0; 4];
        batch.plans.iter().for_each(|p| seen[p.views[0].context[0] as usize] += 1);
        assert!(seen.iter().all(|n| (890..=1110).contains(n)), "{seen:?}");
        assert!(batch.plans.iter().all(|p| p.views[0].targets.len() == 3));
    }
}
