//! Optimizer `muon`.

use ijepa_registry::{device::fused_ema::EmaUpdate, prelude::*};

use super::shared::{
    Adam, AdamConstants, Buffers, Groups, ParamGroup, check_betas, decays, ensure_groups, norm_of,
};
use crate::kernels::{Backend, MuonStep, MuonUpdate};

component! {
    /// Muon: orthogonalised momentum for the matrices of the blocks, AdamW for everything else.
    ///
    /// Jordan et al. 2024 (`KellerJordan/Muon`), with the scale of Liu et al. 2025 (arXiv 2502.16982). For a matrix
    /// `p` (out, in) with gradient `g`: `b = m b + (1 - m) g`, `u = m b + (1 - m) g` (Nesterov; `u = b` without), `u`
    /// replaced by an orthogonal matrix near it, then `p = p (1 - lr w) - lr s u`. The orthogonal matrix comes from
    /// Newton-Schulz steps `x = a x + (b x x' + c (x x')^2) x` from `x = u / |u|`, with `(a, b, c) = (3.4445, -4.775,
    /// 2.0315)`, which bring every singular value near 1. Matrices are those of two dimensions whose name holds
    /// `.blocks.`; queries, keys and values of a block are one matrix.
    optimizer "muon" => Muon, example = "{ momentum: 0.95, clip: 1.0 }"
}

/// Settings of `optimizer: { kind: muon }`. Learning rate and weight decay are schedules of the experiment.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct Muon {
    /// Share of the average gradient that is kept each step, at least 0 and below 1.
    #[schemars(range(min = 0.0, max = 1.0))]
    momentum: f64,
    /// Whether to look ahead along the momentum.
    nesterov: bool,
    /// Newton-Schulz steps.
    #[schemars(range(min = 1, max = 20), extend("x-aliases" = ["ns_steps"]))]
    iterations: usize,
    /// Size of a step.
    scale: Scale,
    /// Decay rates of AdamW's moments, for everything else.
    #[schemars(inner(range(min = 0.0, max = 1.0)))]
    betas: [f64; 2],
    /// Added to the root of AdamW's second moment.
    #[schemars(range(min = 0.0, max = 1.0))]
    eps: f64,
    /// Largest global gradient norm, for AdamW's part alone: the size of an orthogonal step does not depend on it.
    /// `null`: no clipping.
    #[schemars(range(min = 1e-12, max = 1e12), extend("x-aliases" = ["grad_clip", "clip_grad", "max_grad_norm"]))]
    clip: Option<f64>,
    /// Whether weight decay also applies to biases and norms.
    decay_bias_and_norm: bool,
    /// Parameters whose rates are multiplied; where several groups name one, their factors multiply.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    groups: Vec<ParamGroup>,
}

/// Size of a step: `s` of the formula.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Scale {
    /// `0.2 sqrt(max(out, in))`: elements move as far as under AdamW, whose learning rate and decay then suit both.
    #[default]
    MatchAdamw,
    /// `sqrt(max(1, out / in))`, as Jordan has it: learning rates near 0.02.
    Spectral,
}

impl Default for Muon {
    fn default() -> Self {
        Muon {
            momentum: 0.95,
            nesterov: true,
            iterations: 5,
            scale: Scale::MatchAdamw,
            betas: [0.9, 0.95],
            eps: 1e-8,
            clip: None,
            decay_bias_and_norm: false,
            groups: Vec::new(),
        }
    }
}

impl Scale {
    fn of(self, out: usize, into: usize) -> f64 {
        let (out, into) = (out as f64, into as f64);
        match self {
            Scale::MatchAdamw => 0.2 * out.max(into).sqrt(),
            Scale::Spectral => (out / into).max(1.0).sqrt(),
        }
    }
}

impl Muon {
    fn build<D: Backend>(&self) -> Box<dyn Optimizer<D>> {
        let adam = Adam::new(AdamConstants { betas: self.betas, eps: self.eps, clip: self.clip });
        let buffers = Buffers::none("momentum_buffer");
        Box::new(State { settings: self.clone(), groups: Groups::default(), adam, buffers })
    }
}

impl OptimizerSettings for Muon {
    fn check(&self) -> Vec<Problem> {
        let mut problems = check_betas("betas", &self.betas);
        problems.extend(Groups::check(&self.groups, 1.0));
        if !(0.0..1.0).contains(&self.momentum) {
            problems.push(Problem::new("momentum", format!("{} is not in [0, 1)", self.momentum)));
        }
        problems
    }
    fn check_parameters(&self, names: &dyn Fn() -> Vec<String>) -> Vec<Problem> {
        Groups::check_parameters(&self.groups, names)
    }
    build_on_devices!(optimizer);
}

/// The built optimizer.
struct State<D: Device<f32>> {
    settings: Muon,
    /// Made at the first step.
    groups: Groups,
    /// For everything that is no matrix of a block.
    adam: Adam<D>,
    /// Of the matrices, in their order.
    buffers: Buffers<D>,
}

/// Whether a parameter is orthogonalised.
fn is_matrix<D: Device<f32>>(name: &str, param: &Param<D>) -> bool {
    param.trainable && param.dims.len() == 2 && name.contains(".blocks.")
}

impl<D: Backend> Optimizer<D> for State<D> {
    fn step(
        &mut self,
        params: &mut [(String, &mut Param<D>)],
        gradients: &mut Gradients<f32, D>,
        rates: Rates,
    ) -> Result<StepReport<D>, ModelError> {
        ensure_groups(&mut self.groups, (&self.settings.groups, 1.0), params)?;
        let gradient_norm = norm_of(params, gradients)?;
        let (matrices, rest): (Vec<_>, Vec<_>) =
            params.iter_mut().enumerate().partition(|(_, (name, p))| is_matrix(name, p));
        self.buffers.ensure(matrices.iter().map(|(_, (name, p))| (name.as_str(), &**p)));
        let groups = std::mem::take(&mut self.groups);
        let Muon { momentum, nesterov, iterations, scale, decay_bias_and_norm: everything, .. } =
            self.settings;
        let of = |i: usize, p: &Param<D>| groups.rates(i, rates, decays(p, everything));
        let mut updates = Vec::new();
        for ((i, (_, param)), buffer) in matrices.into_iter().zip(self.buffers.all_mut()) {
            let rates = of(i, param);
            let (shape, precision) = ((param.dims[0], param.dims[1]), param.precision);
            let decay = 1.0 - rates.learning_rate * rates.weight_decay;
            let rate = rates.learning_rate * scale.of(shape.0, shape.1);
            updates.push(MuonUpdate { param: &mut param.data, shape, buffer, decay, rate, precision });
        }
        D::muon(&mut updates, gradients, &MuonStep { momentum, nesterov, iterations })?;
        // Adam sees the others alone, so that it keeps no moments for matrices.
        let (places, mut rest): (Vec<usize>, Vec<_>) =
            rest.into_iter().map(|(i, (name, p))| (i, (name.clone(), &mut **p))).unzip();
        let mut nothing = EmaUpdate::none();
        let others = |k: usize, p: &Param<D>| of(places[k], p);
        self.adam.step(&mut rest, gradients, others, &gradient_norm, &mut nothing)?;
        self.groups = groups;
        Ok(StepReport { gradient_norm })
    }

    fn state(&self) -> OptimizerState {
        let mut state = self.adam.state();
        state.tensors.extend(self.buffers.state());
        state
    }

    fn restore(&mut self, state: OptimizerState, params: &[(String, &Param<D>)]) -> Result<(), ModelError> {
        let (matrices, rest): (Vec<_>, Vec<_>) =
            params.iter().cloned().partition(|(name, p)| is_matrix(name, p));
        self.adam.restore(&state, &rest)?;
        if state.steps == 0 {
            return Ok(());
        }
        self.buffers.ensure(matrices.iter().map(|(name, p)| (name.as_str(), *p)));
        self.buffers.restore(&state.tensors)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use dfdx::prelude::TensorFromVec;

    fn noise(rows: usize, columns: usize) -> Vec<f32> {
        let mut stream = Stream::new(0, "test/muon", rows as u64, columns as u64);
        (0..rows * columns).map(|_| stream.normal() as f32).collect()
    }

    /// A matrix of a block and a bias after `steps` steps, the optimizer handed over through its state after `handed`.
    fn trained(steps: u64, handed: Option<u64>) -> Vec<Vec<f32>> {
        let param = |dims: Vec<usize>| {
            let data =
                Cpu::default().tensor_from_vec(noise(1, dims.iter().product()), (dims.iter().product(),));
            Param { name: String::new(), dims, data, trainable: true, precision: MatmulPrecision::F32 }
        };
        let names = ["context_encoder.blocks.0.mlp.fc1.weight", "context_encoder.blocks.0.mlp.fc1.bias"];
        let mut all = [param(vec![4, 3]), param(vec![4])];
        let mut optimizer = Muon::default().cpu();
        for k in 0..steps {
            if handed == Some(k) {
                let state = optimizer.state();
                optimizer = Muon::default().cpu();
                let named: Vec<_> = names.map(String::from).into_iter().zip(&all).collect();
                optimizer.restore(state, &named).unwrap();
            }
            let mut gradients = Gradients::leaky();
            for p in &all {
                gradients
                    .get_or_alloc_mut(&p.data)
                    .unwrap()
                    .copy_from_slice(&noise(2 + k as usize, p.len())[..p.len()]);
            }
            let mut named: Vec<_> = names.map(String::from).into_iter().zip(&mut all).collect();
            let rates = Rates { learning_rate: 0.1, weight_decay: 0.05 };
            optimizer.step(&mut named, &mut gradients, rates).unwrap();
        }
        all.iter().map(|p| p.data.as_vec()).collect()
    }

    #[test]
    fn it_continues_from_its_state_and_moves_both_kinds() {
        let all = trained(3, None);
        assert_eq!(all, trained(3, Some(2)));
        let before = trained(0, None);
        assert!(all[0] != before[0] && all[1] != before[1]);
    }

    #[test]
    fn steps_have_the_published_sizes() {
        assert_eq!(Scale::Spectral.of(400, 100), 2.0);
        assert_eq!(Scale::Spectral.of(100, 400), 1.0);
        assert_eq!(Scale::MatchAdamw.of(100, 400), 4.0);
        assert_eq!(Muon { momentum: 1.0, betas: [0.9, 1.0], ..Muon::default() }.check().len(), 2);
    }
}
