use crate::{
    device::fused_ema::FusedEma,
    params::Param,
    problem::Problem,
    tensor::{Cpu, Device, Gradients, ModelError, Scalar, Storage},
};

/// The scheduled values of one step.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rates {
    /// Learning rate.
    pub learning_rate: f64,
    /// Weight decay.
    pub weight_decay: f64,
}

/// What a step tells about itself.
#[derive(Clone, Debug)]
pub struct StepReport<D: Storage<f64>> {
    /// Euclidean norm of all gradients before clipping. It stays on the device until somebody reads it.
    pub gradient_norm: Scalar<D>,
}

/// An optimizer's memory, for checkpoints.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct OptimizerState {
    /// Steps taken.
    pub steps: u64,
    /// Named tensors, such as `exp_avg/encoder.norm.weight`.
    pub tensors: Vec<(String, Vec<f32>)>,
}

/// Settings of an optimizer: checks and builds.
pub trait OptimizerSettings: std::fmt::Debug + Send + Sync {
    /// What is wrong with the settings.
    fn check(&self) -> Vec<Problem>;
    /// What is wrong with them for parameters of these names, for settings that name parameters. To ask for the names
    /// builds the model.
    fn check_parameters(&self, names: &dyn Fn() -> Vec<String>) -> Vec<Problem> {
        let _ = names;
        Vec::new()
    }
    /// Builds it on the CPU.
    fn cpu(&self) -> Box<dyn Optimizer<Cpu>>;
    /// Builds it on a GPU. [`crate::build_on_devices!`] writes both.
    #[cfg(feature = "cuda")]
    fn cuda(&self) -> Box<dyn Optimizer<crate::tensor::Gpu>>;
}

/// A built optimizer.
///
/// Promises: a learning rate of 0 moves nothing; parameters that are not trainable never move;
/// a restored state continues exactly.
pub trait Optimizer<D: Device<f32> + Storage<f64>> {
    /// Updates `params` in place. A parameter without a gradient counts as gradient zero. Nothing is read
    /// from the device, which may be many launches behind.
    fn step(
        &mut self,
        params: &mut [(String, &mut Param<D>)],
        gradients: &mut Gradients<f32, D>,
        rates: Rates,
    ) -> Result<StepReport<D>, ModelError>;
    /// Everything needed to continue.
    fn state(&self) -> OptimizerState;
    /// Continues from `state`, which belongs to parameters of the same names and sizes.
    fn restore(&mut self, state: OptimizerState, params: &[(String, &Param<D>)]) -> Result<(), ModelError>;
    /// For speed: the same optimizer as one that moves averages of parameters in the same pass over memory.
    #[doc(hidden)]
    fn as_fused(&mut self) -> Option<&mut dyn FusedEma<D>> {
        None
    }
}
