//! Predictor `cross_attention`: mask tokens look at the context, and at nothing else.

use ijepa_registry::prelude::*;

use super::shared::{Distinct, TransformerSettings};
use crate::{
    kernels::{Backend, NONE},
    nn::{BlockDesign, Init, Linear, Mlp, MlpKind, Norm, Rotary, cost, position_table, table},
};

component! {
    /// Mask tokens attend to the context, not to one another: every patch is predicted on its own.
    ///
    /// A query is the shared learned mask token plus the position of its patch. Keys and values come from the
    /// context tokens `c`, projected to `dim` and positioned once, however many blocks are predicted from them.
    /// Each block is `x = x + cross_attention(norm1(x), norm_context(c))`, then `x = x + mlp(norm2(x))`; the
    /// outputs are normalised and projected to the width of the targets. A patch of several blocks is predicted once, and
    /// counts in the loss once per block. This is the decoder of CrossMAE
    /// (Fu et al. 2024, arXiv 2401.14391). The context stays as it is from block to block, so that it
    /// costs less than `vit`, whose context tokens pass through every block once per target block.
    predictor "cross_attention" => CrossAttentionSettings, example = "{ dim: 24, depth: 1, heads: 2 }",
    aliases = ["crossmae" => "cross_attention", "cross" => "cross_attention", "decoder" => "cross_attention"]
}

/// Settings of `predictor: { kind: cross_attention }`: those of `vit`, so that the two differ in who sees whom.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
struct CrossAttentionSettings(TransformerSettings);

impl CrossAttentionSettings {
    fn build<D: Backend>(&self, context: &PredictorContext<D>) -> Result<Box<dyn Predictor<D>>, ModelError> {
        let TransformerSettings { dim, depth, heads, positions, norm_eps, norm, .. } = self.0;
        let init = Init::new(context.device, context.seed, "predictor", self.0.init);
        let block = |i| CrossBlock::new(&init, &format!("predictor_blocks.{i}"), i + 1, &self.0.block());
        Ok(Box::new(CrossAttention {
            embed: Linear::new(&init, "predictor_embed", &[dim, context.encoder_dim]),
            mask_token: init.tokens("mask_token", &[1, 1, dim]),
            positions: position_table(&init, positions, "predictor_pos_embed", context.grid, dim),
            blocks: (0..depth).map(block).collect(),
            rotary: Rotary::new(context.device, positions, context.grid, dim, heads)?,
            norm: Norm::new(&init, "predictor_norm", dim, norm_eps, norm),
            project: Linear::new(&init, "predictor_proj", &[context.target_dim, dim]),
        }))
    }
}

impl PredictorSettings for CrossAttentionSettings {
    fn check(&self, _encoder_dim: usize) -> Vec<Problem> {
        self.0.check()
    }
    fn parameters(&self, grid: Grid, encoder_dim: usize, target_dim: usize) -> Option<u64> {
        // A block has the matrices of a usual one, and a norm of the context besides.
        let block = self.0.block().parameters() + (self.0.norm.vectors() * self.0.dim) as u64;
        Some(self.0.depth as u64 * block + self.0.around(grid, encoder_dim, target_dim))
    }
    fn cost(&self, view: &View, encoder_dim: usize, target_dim: usize) -> Option<Cost> {
        let (seen, predicted) = (view.context.len(), Distinct::count(view));
        let (block, TransformerSettings { dim, depth, .. }) = (self.0.block(), self.0);
        // Per query what enters a block, query, attention output, middle row, hidden layer; per context token
        // key and value. A sandwich keeps what both branches return.
        let outer = if block.variant.sandwich_norm { 2 } else { 0 };
        let activations = predicted * ((4 + outer) * dim + block.hidden) + seen * 2 * dim;
        let blocks = Cost {
            flop: depth as f64 * block.flop(predicted, seen),
            input: 0.0,
            activations: (depth * activations) as f64,
        };
        let ends = cost::projection(seen, encoder_dim, dim);
        Some(ends + blocks + cost::projection(predicted, dim, target_dim))
    }
    build_on_devices!(predictor);
}

/// Cross-attention, then an MLP, each on a residual path.
struct CrossBlock<D: Device<f32>> {
    heads: usize,
    norm1: Norm<D>,
    norm_context: Norm<D>,
    query: Linear<D>,
    /// `[2 dim, dim]`
    key_value: Linear<D>,
    proj: Linear<D>,
    norm2: Norm<D>,
    mlp: Mlp<D>,
    /// Norms of both branches, of a sandwich.
    post: Option<[Norm<D>; 2]>,
}

impl<D: Backend> CrossBlock<D> {
    /// Block number `number` (from 1).
    fn new(init: &Init<D>, name: &str, number: usize, design: &BlockDesign) -> Self {
        let at = |part: &str| format!("{name}.{part}");
        let BlockDesign { dim, heads, hidden, eps, variant } = *design;
        let norm = |part| Norm::new(init, &at(part), dim, eps, variant.norm);
        CrossBlock {
            heads,
            norm1: norm("norm1"),
            norm_context: norm("norm_context"),
            query: Linear { params: init.attention_input(&at("cross_attn.q"), dim, 1) },
            key_value: Linear { params: init.attention_input(&at("cross_attn.kv"), dim, 2) },
            proj: Linear { params: init.attention_output(&at("cross_attn.proj"), dim, number) },
            norm2: norm("norm2"),
            mlp: Mlp::new(init, &at("mlp"), number, MlpKind::Gelu, [dim, hidden]),
            post: variant.sandwich_norm.then(|| ["post_norm1", "post_norm2"].map(norm)),
        }
    }

    /// `x` (query, dim) and `context` (token, dim) to (query, dim).
    fn forward<T: Tape<f32, D>>(
        &self,
        x: Rows<D, T>,
        context: Rows<D, T>,
        who: &Pairs<D>,
    ) -> Result<Rows<D, T>, ModelError> {
        let (dim, skip) = (x.shape().1, x.retaped::<T>());
        let key_value = self.key_value.forward(self.norm_context.forward(context)?)?;
        let key = D::columns(key_value.retaped::<T>(), 0..dim)?;
        let value = D::columns(key_value, dim..2 * dim)?;
        let query = self.query.forward(self.norm1.forward(x)?)?;
        let (query, key) = match &who.turns {
            Some([of_queries, of_keys]) => (D::rotate(query, of_queries)?, D::rotate(key, of_keys)?),
            None => (query, key),
        };
        let mixed = D::attention(query, key, value, self.heads, &who.queries, &who.keys)?;
        let x = D::add(self.outer_norm(0, self.proj.forward(mixed)?)?, skip)?;
        let skip = x.retaped::<T>();
        D::add(self.outer_norm(1, self.mlp.forward(self.norm2.forward(x)?)?)?, skip)
    }

    /// What a sandwich makes of branch `branch` before it is added.
    fn outer_norm<T: Tape<f32, D>>(&self, branch: usize, x: Rows<D, T>) -> Result<Rows<D, T>, ModelError> {
        match &self.post {
            Some(norms) => norms[branch].forward(x),
            None => Ok(x),
        }
    }

    fn params(&self) -> impl Iterator<Item = &Param<D>> {
        let norms = self.norm1.params().chain(self.norm_context.params());
        let attention =
            norms.chain(&self.query.params).chain(&self.key_value.params).chain(&self.proj.params);
        let outer = self.post.iter().flatten().flat_map(Norm::params);
        attention.chain(self.norm2.params()).chain(self.mlp.params()).chain(outer)
    }
    fn params_mut(&mut self) -> impl Iterator<Item = &mut Param<D>> {
        let norms = self.norm1.params_mut().chain(self.norm_context.params_mut());
        let attention = norms.chain(&mut self.query.params).chain(&mut self.key_value.params);
        let attention = attention.chain(&mut self.proj.params).chain(self.norm2.params_mut());
        attention
            .chain(self.mlp.params_mut())
            .chain(self.post.iter_mut().flatten().flat_map(Norm::params_mut))
    }
}

/// Who attends to whom. As mask tokens do not see one another, all that look at one context are one segment.
struct Pairs<D: Device<f32>> {
    queries: Segments,
    keys: Segments,
    /// Row of the context and patch number of every key.
    context: Vec<u32>,
    seen: Vec<u32>,
    /// Patch number of every query: each patch of a view once.
    predicted: Vec<u32>,
    /// The query of every predicted patch.
    index: Vec<u32>,
    /// Of rotary positions, `(query, head)` and `(key, head)`.
    turns: Option<[Rows<D>; 2]>,
}

impl<D: Backend> Pairs<D> {
    fn new(plan: &PredictionPlan, rotary: Option<&Rotary<D>>) -> Result<Self, ModelError> {
        let layout = &plan.context;
        let distinct = Distinct::new(plan);
        let rows = |view: &(usize, Vec<u32>)| layout.segments.range(view.0);
        let context = distinct.views.iter().flat_map(|v| rows(v).map(|row| row as u32));
        let context: Vec<u32> = context.collect();
        let seen: Vec<u32> = context.iter().map(|&row| layout.positions[row as usize]).collect();
        let predicted = distinct.patches();
        let turns = match rotary {
            Some(rotary) => Some([rotary.at(&predicted)?, rotary.at(&seen)?]),
            None => None,
        };
        Ok(Pairs {
            queries: Segments::from_lengths(distinct.views.iter().map(|(_, asked)| asked.len())),
            keys: Segments::from_lengths(distinct.views.iter().map(|v| rows(v).len())),
            index: distinct.index,
            seen,
            context,
            predicted,
            turns,
        })
    }
}

/// The built predictor.
struct CrossAttention<D: Device<f32>> {
    embed: Linear<D>,
    /// `[1, 1, dim]`
    mask_token: Param<D>,
    /// `[1, patch, dim]`
    positions: Option<Param<D>>,
    rotary: Option<Rotary<D>>,
    blocks: Vec<CrossBlock<D>>,
    norm: Norm<D>,
    project: Linear<D>,
}

impl<D: Backend> Predictor<D> for CrossAttention<D> {
    fn predict(
        &self,
        context: TapedRows<D>,
        plan: &PredictionPlan,
        _: Mode,
    ) -> Result<TapedRows<D>, ModelError> {
        let (who, positions) = (Pairs::new(plan, self.rotary.as_ref())?, self.positions.as_ref());
        let seen: Vec<_> = positions.map(|p| table(p, &who.seen)).into_iter().collect();
        let context = D::gather_sum(self.embed.forward(context)?, &who.context, &seen)?;
        let keys = context.retaped::<OwnedTape<f32, D>>();
        // Queries take nothing from the context; they carry on its tape.
        let (none, mask) = (vec![NONE; who.predicted.len()], vec![0; who.predicted.len()]);
        let mut asked = vec![table(&self.mask_token, &mask)];
        asked.extend(positions.map(|p| table(p, &who.predicted)));
        let mut x = D::gather_sum(context, &none, &asked)?;
        for block in &self.blocks {
            x = block.forward(x, keys.retaped(), &who)?;
        }
        D::gather_sum(self.project.forward(self.norm.forward(x)?)?, &who.index, &[])
    }
}

impl<D: Backend> Parameters<D> for CrossAttention<D> {
    fn params(&self) -> Vec<&Param<D>> {
        let ends = self.embed.params.iter().chain([&self.mask_token]).chain(&self.positions);
        let blocks = ends.chain(self.blocks.iter().flat_map(CrossBlock::params));
        blocks.chain(self.norm.params()).chain(&self.project.params).collect()
    }
    fn params_mut(&mut self) -> Vec<&mut Param<D>> {
        let ends = self.embed.params.iter_mut().chain([&mut self.mask_token]).chain(&mut self.positions);
        let blocks = ends.chain(self.blocks.iter_mut().flat_map(CrossBlock::params_mut));
        blocks.chain(self.norm.params_mut()).chain(&mut self.project.params).collect()
    }
}
