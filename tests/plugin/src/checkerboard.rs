//! Masking `checkerboard`.

use ijepa_registry::prelude::*;

component! {
    /// Patches of one colour of a checkerboard are the context, the others one target.
    ///
    /// Every image draws which colour it sees.
    masking "checkerboard" => Checkerboard, example = "{ cell: 1 }"
}

/// Settings of `masking: { kind: checkerboard }`.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(crate = "ijepa_registry::serde", deny_unknown_fields, default)]
struct Checkerboard {
    /// Side of a square of the board, patches.
    #[schemars(range(min = 1, max = 16))]
    cell: usize,
}

impl Default for Checkerboard {
    fn default() -> Self {
        Checkerboard { cell: 1 }
    }
}

impl Masking for Checkerboard {
    fn check(&self, grid: Grid) -> Vec<Problem> {
        if self.cell < grid.rows.max(grid.cols) {
            return vec![];
        }
        let size = format!("a grid of {} x {} patches", grid.rows, grid.cols);
        vec![Problem::new("cell", format!("{} leaves one square on {size}", self.cell))]
    }

    fn sample(&self, grid: Grid, draw: &BatchDraw) -> MaskBatch {
        let plan = |i| {
            let seen = usize::from(draw.image_stream(i).chance(0.5));
            let colour = |p: &u32| {
                let (row, col) = (*p as usize / grid.cols, *p as usize % grid.cols);
                (row / self.cell + col / self.cell) % 2
            };
            let (context, target) = (0..grid.len() as u32).partition(|p| colour(p) == seen);
            MaskPlan::new(context, vec![target])
        };
        MaskBatch { plans: (0..draw.images.len()).map(plan).collect(), redraws: 0 }
    }
}
