//! Predictor `mlp`: the mean of the context and the position asked for, through an MLP.

use ijepa_registry::prelude::*;

use super::shared::Distinct;
use crate::{
    kernels::Backend,
    nn::{Init, InitScheme, Linear, Mlp, MlpKind, Norm, NormKind, PositionKind, cost, position_table, table},
};

component! {
    /// Every target patch from the mean of the context tokens and its own position, without attention.
    ///
    /// With context tokens `c_1 ... c_n` of a view and position table `P`, a target at patch `t` starts as
    /// `x = W mean_i(c_i) + b + P_t`; each block is `x = x + mlp(norm(x))`; the output is normalised and projected to
    /// the width of the targets. The predictor cannot ask single context tokens, so that what it needs has to be in
    /// their mean, as for the projectors and predictors of two-branch methods (BYOL, arXiv 2006.07733).
    /// What attention in the predictor is worth is the difference to `vit`.
    predictor "mlp" => MlpPredictor, example = "{ dim: 24, depth: 1 }",
    aliases = ["feedforward" => "mlp", "mean_context" => "mlp"]
}

/// Settings of `predictor: { kind: mlp }`.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct MlpPredictor {
    /// Width of the tokens inside the predictor.
    #[schemars(range(min = 1, max = 8192), extend("x-aliases" = ["embed_dim", "width", "hidden_size"]))]
    dim: usize,
    /// Number of residual MLP blocks.
    #[schemars(range(min = 1, max = 64), extend("x-aliases" = ["layers", "num_layers", "blocks"]))]
    depth: usize,
    /// Width of the hidden layers as a multiple of `dim`.
    #[schemars(range(min = 0.25, max = 16.0))]
    mlp_ratio: f64,
    /// How a target says where it is. With `none` all targets of a view get the same prediction.
    positions: PositionKind,
    /// Where initial values come from.
    init: InitScheme,
    /// Epsilon of every layer norm.
    #[schemars(range(min = 1e-12, max = 0.1))]
    norm_eps: f64,
}

impl Default for MlpPredictor {
    fn default() -> Self {
        MlpPredictor {
            dim: 192,
            depth: 2,
            mlp_ratio: 4.0,
            positions: PositionKind::Learned,
            init: InitScheme::Torch,
            norm_eps: 1e-5,
        }
    }
}

impl MlpPredictor {
    fn hidden(&self) -> usize {
        ((self.dim as f64 * self.mlp_ratio) as usize).max(1)
    }

    fn build<D: Backend>(&self, context: &PredictorContext<D>) -> Result<Box<dyn Predictor<D>>, ModelError> {
        let init = Init::new(context.device, context.seed, "predictor", self.init);
        let norm = |name: &str| Norm::new(&init, name, self.dim, self.norm_eps, NormKind::LayerNorm);
        let block = |i: usize| {
            let name = format!("predictor_blocks.{i}");
            let sizes = [self.dim, self.hidden()];
            let mlp = Mlp::new(&init, &format!("{name}.mlp"), i + 1, MlpKind::Gelu, sizes);
            (norm(&format!("{name}.norm")), mlp)
        };
        Ok(Box::new(Residual {
            embed: Linear::new(&init, "predictor_embed", &[self.dim, context.encoder_dim]),
            positions: position_table(&init, self.positions, "predictor_pos_embed", context.grid, self.dim),
            blocks: (0..self.depth).map(block).collect(),
            norm: norm("predictor_norm"),
            project: Linear::new(&init, "predictor_proj", &[context.target_dim, self.dim]),
        }))
    }
}

impl PredictorSettings for MlpPredictor {
    fn check(&self, _encoder_dim: usize) -> Vec<Problem> {
        let odd = self.positions == PositionKind::Sincos2d && !self.dim.is_multiple_of(4);
        let message = || format!("{} is not a multiple of 4, as sincos2d positions need", self.dim);
        let mut problems: Vec<Problem> = odd.then(|| Problem::new("dim", message())).into_iter().collect();
        if self.positions == PositionKind::Rope {
            let message = "rope turns queries and keys, and there is no attention here";
            problems.push(Problem::new("positions", message).help("allowed: learned, sincos2d, none"));
        }
        problems
    }
    fn parameters(&self, grid: Grid, encoder_dim: usize, target_dim: usize) -> Option<u64> {
        let (dim, hidden) = (self.dim, self.hidden());
        let block = 2 * dim * hidden + hidden + 3 * dim;
        let around = dim * (encoder_dim + 3 + self.positions.rows(grid)) + target_dim * (dim + 1);
        Some((self.depth * block + around) as u64)
    }
    fn cost(&self, view: &View, encoder_dim: usize, target_dim: usize) -> Option<Cost> {
        let (asked, hidden) = (Distinct::count(view), self.hidden());
        let block = cost::linear(asked, self.dim, hidden) + cost::linear(asked, hidden, self.dim);
        let blocks = Cost {
            flop: self.depth as f64 * block,
            input: 0.0,
            // Per block what enters it, and the hidden layer.
            activations: (self.depth * asked * (self.dim + hidden)) as f64,
        };
        let ends = cost::projection(1, encoder_dim, self.dim) + cost::projection(asked, self.dim, target_dim);
        Some(ends + blocks)
    }
    build_on_devices!(predictor);
}

/// The built predictor.
struct Residual<D: Device<f32>> {
    embed: Linear<D>,
    /// `[1, patch, dim]`
    positions: Option<Param<D>>,
    blocks: Vec<(Norm<D>, Mlp<D>)>,
    norm: Norm<D>,
    project: Linear<D>,
}

impl<D: Backend> Predictor<D> for Residual<D> {
    fn predict(
        &self,
        context: TapedRows<D>,
        plan: &PredictionPlan,
        _: Mode,
    ) -> Result<TapedRows<D>, ModelError> {
        let mean = D::segment_means(context, &plan.context.segments)?;
        let distinct = Distinct::new(plan);
        let rows = |(context, asked): &(usize, Vec<u32>)| vec![*context as u32; asked.len()];
        let (view, asked): (Vec<u32>, _) =
            (distinct.views.iter().flat_map(rows).collect(), distinct.patches());
        let place: Vec<_> = self.positions.as_ref().map(|p| table(p, &asked)).into_iter().collect();
        let mut x = D::gather_sum(self.embed.forward(mean)?, &view, &place)?;
        for (norm, mlp) in &self.blocks {
            let branch = mlp.forward(norm.forward(x.retaped::<OwnedTape<f32, D>>())?)?;
            x = D::add(branch, x)?;
        }
        D::gather_sum(self.project.forward(self.norm.forward(x)?)?, &distinct.index, &[])
    }
}

impl<D: Backend> Parameters<D> for Residual<D> {
    fn params(&self) -> Vec<&Param<D>> {
        let ends = self.embed.params.iter().chain(&self.positions);
        let blocks = ends.chain(self.blocks.iter().flat_map(|(norm, mlp)| norm.params().chain(mlp.params())));
        blocks.chain(self.norm.params()).chain(&self.project.params).collect()
    }
    fn params_mut(&mut self) -> Vec<&mut Param<D>> {
        let ends = self.embed.params.iter_mut().chain(&mut self.positions);
        let blocks = ends
            .chain(self.blocks.iter_mut().flat_map(|(norm, mlp)| norm.params_mut().chain(mlp.params_mut())));
        blocks.chain(self.norm.params_mut()).chain(&mut self.project.params).collect()
    }
}
