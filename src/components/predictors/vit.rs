//! Predictor `vit`: a narrow transformer over context tokens and positioned mask tokens.

use ijepa_registry::prelude::*;

use super::shared::{Together, TransformerSettings};
use crate::{kernels::Backend, nn::cost};

component! {
    /// Narrow transformer: context tokens plus one positioned mask token per target patch.
    ///
    /// Context tokens are projected to `dim` (once, however many blocks are predicted from them)
    /// and joined by a shared learned mask token at the position of every target patch. Each
    /// target block is predicted on its own: it never sees the mask tokens of other blocks (`joint` lets it). The
    /// outputs at the targets are projected back to the encoder's width (I-JEPA, arXiv 2301.08243,
    /// section 3).
    predictor "vit" => VitPredictor, example = "{ dim: 24, depth: 1, heads: 2 }",
    aliases = ["transformer" => "vit"]
}

/// Settings of `predictor: { kind: vit }`.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
struct VitPredictor(TransformerSettings);

impl VitPredictor {
    fn build<D: Backend>(&self, context: &PredictorContext<D>) -> Result<Box<dyn Predictor<D>>, ModelError> {
        self.0.build(context, Together::Block)
    }
}

impl PredictorSettings for VitPredictor {
    fn check(&self, _encoder_dim: usize) -> Vec<Problem> {
        self.0.check()
    }
    fn parameters(&self, grid: Grid, encoder_dim: usize, target_dim: usize) -> Option<u64> {
        Some(self.0.parameters(grid, encoder_dim, target_dim))
    }
    fn cost(&self, view: &View, encoder_dim: usize, target_dim: usize) -> Option<Cost> {
        let (seen, block) = (view.context.len(), self.0.block());
        let one = |targets: &Vec<u32>| {
            let predicted = block.cost(self.0.depth, seen + targets.len(), targets.len());
            predicted + cost::projection(targets.len(), self.0.dim, target_dim)
        };
        // A context is projected once however many blocks are predicted from it.
        Some(cost::projection(seen, encoder_dim, self.0.dim) + view.targets.iter().map(one).sum())
    }
    build_on_devices!(predictor);
}
