//! Predictor `joint`: one pass for all target blocks of a view.

use ijepa_registry::prelude::*;

use super::shared::{Distinct, Together, TransformerSettings};
use crate::{kernels::Backend, nn::cost};

component! {
    /// The transformer of `vit` with all target patches of a view in one sequence: they attend to each other.
    ///
    /// The sequence of a view is its context and one mask token for every distinct patch of its target blocks;
    /// a patch of several blocks is predicted once and counts in the loss once per block. `vit` passes the context
    /// through its blocks once per target block, this once per view, which is less work. What it changes:
    /// a prediction can use which other patches are asked for. Masked autoencoders (He et al. 2022, arXiv 2111.06377,
    /// section 3) and V-JEPA (Bardes et al. 2024, arXiv 2404.08471) predict all masked patches together.
    predictor "joint" => JointPredictor, example = "{ dim: 24, depth: 1, heads: 2 }",
    aliases = ["vit_joint" => "joint", "all_targets" => "joint"]
}

/// Settings of `predictor: { kind: joint }`: those of `vit`.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
struct JointPredictor(TransformerSettings);

impl JointPredictor {
    fn build<D: Backend>(&self, context: &PredictorContext<D>) -> Result<Box<dyn Predictor<D>>, ModelError> {
        self.0.build(context, Together::View)
    }
}

impl PredictorSettings for JointPredictor {
    fn check(&self, _encoder_dim: usize) -> Vec<Problem> {
        self.0.check()
    }
    fn parameters(&self, grid: Grid, encoder_dim: usize, target_dim: usize) -> Option<u64> {
        Some(self.0.parameters(grid, encoder_dim, target_dim))
    }
    fn cost(&self, view: &View, encoder_dim: usize, target_dim: usize) -> Option<Cost> {
        let asked = Distinct::count(view);
        let seen = view.context.len();
        let blocks = self.0.block().cost(self.0.depth, seen + asked, asked);
        let [into, out] = [[seen, encoder_dim, self.0.dim], [asked, self.0.dim, target_dim]];
        let ends = [into, out].map(|[rows, inputs, outputs]| cost::projection(rows, inputs, outputs));
        Some(blocks + ends.into_iter().sum())
    }
    fn is_blockwise(&self) -> bool {
        false
    }
    build_on_devices!(predictor);
}
