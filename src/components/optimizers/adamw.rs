//! Optimizer `adamw`.

use ijepa_registry::{
    device::fused_ema::{EmaUpdate, FusedEma},
    prelude::*,
};

use super::shared::{Adam, AdamConstants, Groups, ParamGroup, check_betas, decays, ensure_groups, norm_of};
use crate::kernels::Backend;

component! {
    /// Adam with decoupled weight decay (Loshchilov & Hutter 2019, arXiv 1711.05101), in PyTorch's order.
    ///
    /// Learning rate and weight decay follow their schedules at every step. Biases and the gain and
    /// bias of norms are not decayed unless `decay_bias_and_norm` says so (the CIFAR-10 reference
    /// decays everything). Gradients can be clipped by their global norm. `groups` multiplies the rates of named
    /// parameters, `layer_decay` those of the encoder's blocks.
    optimizer "adamw" => AdamW, example = "{ betas: [0.9, 0.95], clip: 1.0 }",
    aliases = ["adam" => "adamw", "adam_w" => "adamw"]
}

/// Settings of `optimizer: { kind: adamw }`.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct AdamW {
    /// Decay rates of the first and second moment, each at least 0 and below 1.
    #[schemars(inner(range(min = 0.0, max = 1.0)))]
    betas: [f64; 2],
    /// Added to the root of the second moment.
    #[schemars(range(min = 0.0, max = 1.0))]
    eps: f64,
    /// Largest global gradient norm; larger gradients are scaled down to it. `null`: no clipping.
    #[schemars(range(min = 1e-12, max = 1e12), extend("x-aliases" = ["grad_clip", "clip_grad", "max_grad_norm"]))]
    clip: Option<f64>,
    /// Whether weight decay also applies to biases and norms.
    decay_bias_and_norm: bool,
    /// Parameters whose rates are multiplied; where several groups name one, their factors multiply.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    groups: Vec<ParamGroup>,
    /// Factor of the learning rate from each block of the encoder to the one before it; the last block has it once,
    /// patches and positions once more than the first block (BEiT, Bao et al. 2022, arXiv 2106.08254). 1: none.
    #[serde(skip_serializing_if = "is_one")]
    #[schemars(range(min = 1e-6, max = 1.0))]
    layer_decay: f64,
}

fn is_one(factor: &f64) -> bool {
    *factor == 1.0
}

impl Default for AdamW {
    fn default() -> Self {
        let (betas, groups) = ([0.9, 0.999], Vec::new());
        AdamW { betas, eps: 1e-8, clip: None, decay_bias_and_norm: false, groups, layer_decay: 1.0 }
    }
}

impl AdamW {
    fn build<D: Backend>(&self) -> Box<dyn Optimizer<D>> {
        let constants = AdamConstants { betas: self.betas, eps: self.eps, clip: self.clip };
        Box::new(State { settings: self.clone(), groups: Groups::default(), adam: Adam::new(constants) })
    }
}

impl OptimizerSettings for AdamW {
    fn check(&self) -> Vec<Problem> {
        let groups = Groups::check(&self.groups, self.layer_decay);
        check_betas("betas", &self.betas).into_iter().chain(groups).collect()
    }
    fn check_parameters(&self, names: &dyn Fn() -> Vec<String>) -> Vec<Problem> {
        Groups::check_parameters(&self.groups, names)
    }
    build_on_devices!(optimizer);
}

/// The built optimizer.
struct State<D: Device<f32>> {
    settings: AdamW,
    /// Made at the first step.
    groups: Groups,
    adam: Adam<D>,
}

impl<D: Backend> Optimizer<D> for State<D> {
    fn step(
        &mut self,
        params: &mut [(String, &mut Param<D>)],
        gradients: &mut Gradients<f32, D>,
        rates: Rates,
    ) -> Result<StepReport<D>, ModelError> {
        self.step_and_average(params, gradients, rates, &mut EmaUpdate::none())
    }

    fn state(&self) -> OptimizerState {
        self.adam.state()
    }

    fn restore(&mut self, state: OptimizerState, params: &[(String, &Param<D>)]) -> Result<(), ModelError> {
        self.adam.restore(&state, params)
    }

    fn as_fused(&mut self) -> Option<&mut dyn FusedEma<D>> {
        Some(self)
    }
}

impl<D: Backend> FusedEma<D> for State<D> {
    fn step_and_average(
        &mut self,
        params: &mut [(String, &mut Param<D>)],
        gradients: &mut Gradients<f32, D>,
        rates: Rates,
        average: &mut EmaUpdate<'_, D>,
    ) -> Result<StepReport<D>, ModelError> {
        ensure_groups(&mut self.groups, (&self.settings.groups, self.settings.layer_decay), params)?;
        let gradient_norm = norm_of(params, gradients)?;
        let (groups, everything) = (&self.groups, self.settings.decay_bias_and_norm);
        let rates = |i: usize, p: &Param<D>| groups.rates(i, rates, decays(p, everything));
        self.adam.step(params, gradients, rates, &gradient_norm, average)?;
        Ok(StepReport { gradient_norm })
    }
}
