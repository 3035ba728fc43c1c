//! Predictor `vit`: a narrow transformer over context tokens and positioned mask tokens.

use ijepa_registry::prelude::*;

use crate::{
    kernels::{Backend, NONE},
    nn::{
        BlockDesign, BlockVariant, Init, InitScheme, Linear, Norm, NormKind, PositionKind, Stack,
        check_attention, cost, position_table, table,
    },
};

component! {
    /// Narrow transformer: context tokens plus one positioned mask token per target patch.
    ///
    /// Context tokens are projected to `dim` (once, however many blocks are predicted from them)
    /// and joined by a shared learned mask token at the position of every target patch. Each
    /// target block is predicted on its own: it never sees the mask tokens of other blocks. The
    /// outputs at the targets are projected back to the encoder's width (I-JEPA, arXiv 2301.08243,
    /// section 3).
    predictor "vit" => VitPredictorSettings, example = "{ dim: 24, depth: 1, heads: 2 }",
    aliases = ["transformer" => "vit"]
}

/// Settings of `predictor: { kind: vit }`.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct VitPredictorSettings {
    /// Width of the tokens inside the predictor; divisible by `heads`.
    #[schemars(range(min = 1, max = 4096), extend("x-aliases" = ["embed_dim", "width", "hidden_size"]))]
    dim: usize,
    /// Number of transformer blocks.
    #[schemars(range(min = 1, max = 64), extend("x-aliases" = ["layers", "num_layers", "blocks"]))]
    depth: usize,
    /// Attention heads per block.
    #[schemars(range(min = 1, max = 64), extend("x-aliases" = ["num_heads"]))]
    heads: usize,
    /// Width of the MLP's hidden layer as a multiple of `dim`.
    #[schemars(range(min = 0.25, max = 16.0))]
    mlp_ratio: f64,
    /// How tokens learn where they are.
    positions: PositionKind,
    /// Where initial values come from.
    init: InitScheme,
    /// Epsilon of every layer norm.
    #[schemars(range(min = 1e-12, max = 0.1))]
    norm_eps: f64,
}

impl Default for VitPredictorSettings {
    /// The predictor of the CIFAR-10 reference.
    fn default() -> Self {
        VitPredictorSettings {
            dim: 96,
            depth: 4,
            heads: 6,
            mlp_ratio: 4.0,
            positions: PositionKind::Learned,
            init: InitScheme::Torch,
            norm_eps: 1e-5,
        }
    }
}

impl VitPredictorSettings {
    fn block(&self) -> BlockDesign {
        BlockDesign::new(self.dim, self.heads, self.mlp_ratio, self.norm_eps, BlockVariant::default())
    }

    fn build<D: Backend>(&self, context: &PredictorContext<D>) -> Result<Box<dyn Predictor<D>>, ModelError> {
        let init = Init::new(context.device, context.seed, "predictor", self.init);
        Ok(Box::new(VitPredictor {
            embed: Linear::new(&init, "predictor_embed", &[self.dim, context.encoder_dim]),
            mask_token: init.tokens("mask_token", &[1, 1, self.dim]),
            positions: position_table(&init, self.positions, "predictor_pos_embed", context.grid, self.dim),
            blocks: Stack::new(&init, "predictor_blocks", self.depth, &self.block()),
            norm: Norm::new(&init, "predictor_norm", self.dim, self.norm_eps, NormKind::LayerNorm),
            project: Linear::new(&init, "predictor_proj", &[context.target_dim, self.dim]),
        }))
    }
}

impl PredictorSettings for VitPredictorSettings {
    fn check(&self, _encoder_dim: usize) -> Vec<Problem> {
        check_attention(self.dim, self.heads, self.positions)
    }
    fn parameters(&self, grid: Grid, encoder_dim: usize, target_dim: usize) -> Option<u64> {
        let positions = self.positions.rows(grid);
        let around = self.dim * (encoder_dim + 4 + positions) + target_dim * (self.dim + 1);
        Some(self.depth as u64 * self.block().parameters() + around as u64)
    }
    fn cost(&self, view: &View, encoder_dim: usize, target_dim: usize) -> Option<Cost> {
        let (seen, block) = (view.context.len(), self.block());
        let one = |targets: &Vec<u32>| {
            let predicted = block.cost(self.depth, seen + targets.len(), targets.len());
            predicted + cost::projection(targets.len(), self.dim, target_dim)
        };
        // A context is projected once however many blocks are predicted from it.
        Some(cost::projection(seen, encoder_dim, self.dim) + view.targets.iter().map(one).sum())
    }
    build_on_devices!(predictor);
}

/// The built predictor.
struct VitPredictor<D: Device<f32>> {
    embed: Linear<D>,
    /// `[1, 1, dim]`
    mask_token: Param<D>,
    /// `[1, patch, dim]`
    positions: Option<Param<D>>,
    blocks: Stack<D>,
    norm: Norm<D>,
    project: Linear<D>,
}

/// Row bookkeeping of one batch of predictions: per sequence the context, then the targets.
struct Sequences {
    segments: Segments,
    /// Context row of every token, or none for a mask token.
    context: Vec<u32>,
    /// 0 for a mask token, none for a context token.
    mask: Vec<u32>,
    /// Patch number of every token.
    positions: Vec<u32>,
    /// Rows of the mask tokens.
    targets: Vec<u32>,
}

impl Sequences {
    fn new(plan: &PredictionPlan) -> Self {
        let layout = &plan.context;
        let length = |p: &Prediction| layout.segments.range(p.context).len() + p.targets.len();
        let segments = Segments::from_lengths(plan.predictions.iter().map(length));
        let rows = segments.rows();
        let mut all = Sequences {
            segments,
            context: Vec::with_capacity(rows),
            mask: Vec::with_capacity(rows),
            positions: Vec::with_capacity(rows),
            targets: Vec::with_capacity(plan.target_rows()),
        };
        for prediction in &plan.predictions {
            all.push(layout, prediction);
        }
        all
    }

    fn push(&mut self, layout: &Layout, prediction: &Prediction) {
        for row in layout.segments.range(prediction.context) {
            self.context.push(row as u32);
            self.mask.push(NONE);
            self.positions.push(layout.positions[row]);
        }
        for &patch in &prediction.targets {
            self.targets.push(self.context.len() as u32);
            self.context.push(NONE);
            self.mask.push(0);
            self.positions.push(patch);
        }
    }
}

impl<D: Backend> Predictor<D> for VitPredictor<D> {
    fn predict(
        &self,
        context: TapedRows<D>,
        plan: &PredictionPlan,
        mode: Mode,
    ) -> Result<TapedRows<D>, ModelError> {
        let sequences = Sequences::new(plan);
        let mut tables = vec![table(&self.mask_token, &sequences.mask)];
        tables.extend(self.positions.as_ref().map(|p| table(p, &sequences.positions)));
        let tokens = D::gather_sum(self.embed.forward(context)?, &sequences.context, &tables)?;
        let tokens = self.blocks.forward(tokens, &sequences.segments, Some(&sequences.targets), mode)?;
        self.project.forward(self.norm.forward(tokens)?)
    }
}

impl<D: Backend> Parameters<D> for VitPredictor<D> {
    fn params(&self) -> Vec<&Param<D>> {
        let mut all: Vec<&Param<D>> = self.embed.params.iter().collect();
        all.push(&self.mask_token);
        all.extend(&self.positions);
        all.extend(self.blocks.params());
        all.extend(self.norm.params());
        all.extend(&self.project.params);
        all
    }
    fn params_mut(&mut self) -> Vec<&mut Param<D>> {
        let mut all: Vec<&mut Param<D>> = self.embed.params.iter_mut().collect();
        all.push(&mut self.mask_token);
        all.extend(&mut self.positions);
        all.extend(self.blocks.params_mut());
        all.extend(self.norm.params_mut());
        all.extend(&mut self.project.params);
        all
    }
}
