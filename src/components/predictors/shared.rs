//! What the transformers among the predictors share: their settings, and the network itself.

use std::collections::{BTreeMap, BTreeSet};

use ijepa_registry::prelude::*;

use crate::{
    kernels::{Backend, NONE},
    nn::{
        BlockDesign, BlockVariant, Init, InitScheme, Linear, Norm, NormKind, Places, PositionKind, Rotary,
        Stack, check_attention, position_table, table,
    },
};

/// Size and form of a narrow transformer.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct TransformerSettings {
    /// Width of the tokens inside the predictor; divisible by `heads`.
    #[schemars(range(min = 1, max = 4096), extend("x-aliases" = ["embed_dim", "width", "hidden_size"]))]
    pub dim: usize,
    /// Number of transformer blocks.
    #[schemars(range(min = 1, max = 64), extend("x-aliases" = ["layers", "num_layers", "blocks"]))]
    pub depth: usize,
    /// Attention heads per block.
    #[schemars(range(min = 1, max = 64), extend("x-aliases" = ["num_heads"]))]
    pub heads: usize,
    /// Width of the MLP's hidden layer as a multiple of `dim`.
    #[schemars(range(min = 0.25, max = 16.0))]
    pub mlp_ratio: f64,
    /// How tokens learn where they are.
    pub positions: PositionKind,
    /// Where initial values come from.
    pub init: InitScheme,
    /// Epsilon of every norm.
    #[schemars(range(min = 1e-12, max = 0.1))]
    pub norm_eps: f64,
    /// Norm in front of attention and MLP, and of the output; `rms_norm` is `x / sqrt(mean(x^2) + eps)` times a
    /// gain, without mean and bias (Zhang and Sennrich 2019, arXiv 1910.07467).
    #[serde(skip_serializing_if = "is_layer_norm")]
    #[schemars(extend("x-aliases" = ["norm_layer", "normalization"]))]
    pub norm: NormKind,
    /// The same norm once more on what attention and MLP return, before it is added: `x + norm(attention(norm(x)))`
    /// (sandwich norm, Ding et al. 2021, CogView, arXiv 2105.13290, section 2.4).
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    #[schemars(extend("x-aliases" = ["sandwich", "post_norm"]))]
    pub sandwich_norm: bool,
}

/// What did not exist once is not written, so that earlier experiments keep their identity.
fn is_layer_norm(norm: &NormKind) -> bool {
    *norm == NormKind::LayerNorm
}

impl Default for TransformerSettings {
    /// The predictor of the CIFAR-10 reference.
    fn default() -> Self {
        TransformerSettings {
            dim: 96,
            depth: 4,
            heads: 6,
            mlp_ratio: 4.0,
            positions: PositionKind::Learned,
            init: InitScheme::Torch,
            norm_eps: 1e-5,
            norm: NormKind::LayerNorm,
            sandwich_norm: false,
        }
    }
}

impl TransformerSettings {
    pub fn block(&self) -> BlockDesign {
        let TransformerSettings { norm, sandwich_norm, .. } = *self;
        let variant = BlockVariant { norm, sandwich_norm, ..BlockVariant::default() };
        BlockDesign::new(self.dim, self.heads, self.mlp_ratio, self.norm_eps, variant)
    }

    pub fn check(&self) -> Vec<Problem> {
        check_attention(self.dim, self.heads, self.positions)
    }

    /// Values of what stands around the blocks: both projections, mask token, positions, last norm.
    pub fn around(&self, grid: Grid, encoder_dim: usize, target_dim: usize) -> u64 {
        let vectors = 2 + self.norm.vectors() + self.positions.rows(grid);
        (self.dim * (encoder_dim + vectors) + target_dim * (self.dim + 1)) as u64
    }

    pub fn parameters(&self, grid: Grid, encoder_dim: usize, target_dim: usize) -> u64 {
        self.depth as u64 * self.block().parameters() + self.around(grid, encoder_dim, target_dim)
    }

    pub fn build<D: Backend>(
        &self,
        context: &PredictorContext<D>,
        together: Together,
    ) -> Result<Box<dyn Predictor<D>>, ModelError> {
        let init = Init::new(context.device, context.seed, "predictor", self.init);
        Ok(Box::new(Transformer {
            together,
            embed: Linear::new(&init, "predictor_embed", &[self.dim, context.encoder_dim]),
            mask_token: init.tokens("mask_token", &[1, 1, self.dim]),
            positions: position_table(&init, self.positions, "predictor_pos_embed", context.grid, self.dim),
            blocks: Stack::new(&init, "predictor_blocks", self.depth, &self.block()),
            rotary: Rotary::new(context.device, self.positions, context.grid, self.dim, self.heads)?,
            norm: Norm::new(&init, "predictor_norm", self.dim, self.norm_eps, self.norm),
            project: Linear::new(&init, "predictor_proj", &[context.target_dim, self.dim]),
        }))
    }
}

/// The distinct patches that each view asks for: what does not depend on the other patches of its block is predicted once.
pub struct Distinct {
    /// Number of the context of every view, and its patches in order.
    pub views: Vec<(usize, Vec<u32>)>,
    /// For every predicted patch of the plan its place among those of all views.
    pub index: Vec<u32>,
}

impl Distinct {
    pub fn new(plan: &PredictionPlan) -> Self {
        let mut all = Distinct { views: Vec::new(), index: Vec::with_capacity(plan.target_rows()) };
        let mut before = 0;
        for view in plan.predictions.chunk_by(|a, b| a.context == b.context) {
            let asked = || view.iter().flat_map(|p| &p.targets).copied();
            let mut places: BTreeMap<u32, u32> = asked().map(|patch| (patch, 0)).collect();
            places.values_mut().zip(before..).for_each(|(place, row)| *place = row);
            before += places.len() as u32;
            all.index.extend(asked().map(|patch| places[&patch]));
            all.views.push((view[0].context, places.into_keys().collect()));
        }
        all
    }

    /// Patches of all views.
    pub fn patches(&self) -> Vec<u32> {
        self.views.iter().flat_map(|(_, patches)| patches).copied().collect()
    }

    /// How many a view asks for.
    pub fn count(view: &View) -> usize {
        view.targets.iter().flatten().collect::<BTreeSet<_>>().len()
    }
}

/// Which mask tokens see one another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Together {
    /// Those of a target block.
    Block,
    /// Those of a view, each patch once.
    View,
}

/// Context tokens and mask tokens in one narrow transformer.
struct Transformer<D: Device<f32>> {
    together: Together,
    embed: Linear<D>,
    /// `[1, 1, dim]`
    mask_token: Param<D>,
    /// `[1, patch, dim]`
    positions: Option<Param<D>>,
    rotary: Option<Rotary<D>>,
    blocks: Stack<D>,
    norm: Norm<D>,
    project: Linear<D>,
}

/// Row bookkeeping of one batch of predictions: per sequence the context, then the targets.
#[derive(Default)]
struct Sequences {
    lengths: Vec<usize>,
    /// Context row of every token, or none for a mask token.
    context: Vec<u32>,
    /// 0 for a mask token, none for a context token.
    mask: Vec<u32>,
    /// Patch number of every token.
    positions: Vec<u32>,
    /// Rows of the mask tokens.
    targets: Vec<u32>,
    /// For every predicted patch its entry in `targets`; none where they are the same list.
    index: Option<Vec<u32>>,
}

impl Sequences {
    fn new(plan: &PredictionPlan, together: Together) -> Self {
        let mut all = Sequences::default();
        match together {
            Together::Block => {
                plan.predictions.iter().for_each(|p| all.push(&plan.context, p.context, &p.targets));
            }
            Together::View => {
                let distinct = Distinct::new(plan);
                distinct.views.iter().for_each(|(context, asked)| all.push(&plan.context, *context, asked));
                all.index = Some(distinct.index);
            }
        }
        all
    }

    fn push(&mut self, layout: &Layout, context: usize, targets: &[u32]) {
        let seen = layout.segments.range(context);
        self.lengths.push(seen.len() + targets.len());
        for row in seen {
            self.context.push(row as u32);
            self.mask.push(NONE);
            self.positions.push(layout.positions[row]);
        }
        for &patch in targets {
            self.targets.push(self.context.len() as u32);
            self.context.push(NONE);
            self.mask.push(0);
            self.positions.push(patch);
        }
    }
}

impl<D: Backend> Predictor<D> for Transformer<D> {
    fn predict(
        &self,
        context: TapedRows<D>,
        plan: &PredictionPlan,
        mode: Mode,
    ) -> Result<TapedRows<D>, ModelError> {
        let sequences = Sequences::new(plan, self.together);
        let segments = Segments::from_lengths(sequences.lengths.iter().copied());
        let mut tables = vec![table(&self.mask_token, &sequences.mask)];
        tables.extend(self.positions.as_ref().map(|p| table(p, &sequences.positions)));
        let tokens = D::gather_sum(self.embed.forward(context)?, &sequences.context, &tables)?;
        let turns = self.rotary.as_ref().map(|rotary| rotary.at(&sequences.positions)).transpose()?;
        let places = Places { segments: &segments, turns };
        let tokens = self.blocks.forward(tokens, &places, Some(&sequences.targets), mode)?;
        let predicted = self.project.forward(self.norm.forward(tokens)?)?;
        match &sequences.index {
            Some(index) => D::gather_sum(predicted, index, &[]),
            None => Ok(predicted),
        }
    }
}

impl<D: Backend> Parameters<D> for Transformer<D> {
    fn params(&self) -> Vec<&Param<D>> {
        let ends = self.embed.params.iter().chain([&self.mask_token]).chain(&self.positions);
        let blocks = ends.chain(self.blocks.params());
        blocks.chain(self.norm.params()).chain(&self.project.params).collect()
    }
    fn params_mut(&mut self) -> Vec<&mut Param<D>> {
        let ends = self.embed.params.iter_mut().chain([&mut self.mask_token]).chain(&mut self.positions);
        let blocks = ends.chain(self.blocks.params_mut());
        blocks.chain(self.norm.params_mut()).chain(&mut self.project.params).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_view_asks_for_every_patch_once_and_a_block_for_its_own() {
        let of = |context, targets: &[u32]| Prediction { context, targets: targets.to_vec() };
        let predictions = vec![of(0, &[4, 5]), of(0, &[5, 2]), of(1, &[3])];
        let plan = PredictionPlan { context: Layout::new([[0, 1].as_slice(), &[7]]), predictions };
        let together = Sequences::new(&plan, Together::View);
        assert_eq!((together.lengths, together.positions), (vec![5, 2], vec![0, 1, 2, 4, 5, 7, 3]));
        assert_eq!((together.targets, together.index), (vec![2, 3, 4, 6], Some(vec![1, 2, 2, 0, 3])));
        let apart = Sequences::new(&plan, Together::Block);
        assert_eq!((apart.lengths, apart.index), (vec![4, 4, 2], None));
        assert_eq!(apart.targets, [2, 3, 6, 7, 9]);
    }
}
