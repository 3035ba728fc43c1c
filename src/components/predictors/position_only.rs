//! Predictor `position_only`: the control that sees no context.

use dfdx::prelude::{PutTape, SplitTape};
use ijepa_registry::prelude::*;

use crate::{
    kernels::{Backend, NONE, from_host},
    nn::{Init, InitScheme, table},
};

component! {
    /// A learned vector per patch, whatever the context: what targets can be told from their position alone.
    ///
    /// The prediction for patch `t` is row `t` of a table, the most general function of a position; with `loss:
    /// l2` its optimum is the mean target at that position. A predictor that explains no more of the targets than
    /// this one has learned positions and not images; `explained_variance_position` in `metrics.csv` is the
    /// same bound computed within a batch. No gradient reaches the encoder but that of `regularizers`:
    /// probes then measure its initial weights, moved by weight decay alone.
    predictor "position_only" => PositionOnly, example = "{}",
    aliases = ["positions" => "position_only", "no_context" => "position_only"]
}

/// Settings of `predictor: { kind: position_only }`.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct PositionOnly {}

impl PositionOnly {
    fn build<D: Backend>(&self, context: &PredictorContext<D>) -> Result<Box<dyn Predictor<D>>, ModelError> {
        let init = Init::new(context.device, context.seed, "predictor", InitScheme::Torch);
        let (patches, dim) = (context.grid.len(), context.target_dim);
        let values = init.tokens("predictor_pos_embed", &[1, patches, dim]);
        let blank = from_host(context.device, vec![0.0; dim], 1, dim)?;
        Ok(Box::new(Table { values, blank }))
    }
}

impl PredictorSettings for PositionOnly {
    fn check(&self, _encoder_dim: usize) -> Vec<Problem> {
        vec![]
    }
    fn parameters(&self, grid: Grid, _: usize, target_dim: usize) -> Option<u64> {
        Some((grid.len() * target_dim) as u64)
    }
    fn cost(&self, _: &View, _: usize, _: usize) -> Option<Cost> {
        Some(Cost::default())
    }
    build_on_devices!(predictor);
}

/// The built predictor.
struct Table<D: Device<f32>> {
    /// `[1, patch, target dim]`
    values: Param<D>,
    /// One row, which nothing takes: what rows of the table are added to.
    blank: Rows<D>,
}

impl<D: Backend> Predictor<D> for Table<D> {
    fn predict(
        &self,
        context: TapedRows<D>,
        plan: &PredictionPlan,
        _: Mode,
    ) -> Result<TapedRows<D>, ModelError> {
        // The tape goes on, so that terms of the loss that look at the context reach the encoder.
        let (_, tape) = context.split_tape();
        let asked: Vec<u32> = plan.predictions.iter().flat_map(|p| &p.targets).copied().collect();
        let nothing = vec![NONE; asked.len()];
        D::gather_sum(self.blank.clone().put_tape(tape), &nothing, &[table(&self.values, &asked)])
    }
}

impl<D: Backend> Parameters<D> for Table<D> {
    fn params(&self) -> Vec<&Param<D>> {
        vec![&self.values]
    }
    fn params_mut(&mut self) -> Vec<&mut Param<D>> {
        vec![&mut self.values]
    }
}
