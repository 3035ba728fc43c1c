use crate::{
    params::Param,
    problem::Problem,
    tensor::{Cpu, Device, Flat, Gradients, ModelError, Scalar, Storage},
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

/// Tensors that follow parameters as averages over time: those of the target encoder.
#[derive(Debug)]
pub struct EmaUpdate<'a, D: Device<f32>> {
    /// What share of itself a tensor keeps in a step.
    pub momentum: f64,
    /// For each parameter of a list the tensor that follows it, if any; those past the end have none.
    pub shadows: Vec<Option<&'a mut Flat<D>>>,
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
    /// Builds it on the CPU.
    fn cpu(&self) -> Box<dyn Optimizer<Cpu>>;
    /// Builds it on a GPU. [`crate::build_on_devices!`] writes both.
    #[cfg(feature = "cuda")]
    fn cuda(&self) -> Box<dyn Optimizer<crate::tensor::Gpu>>;
}

/// A built optimizer.
///
/// Promises: a learning rate of 0 moves nothing; parameters that are not trainable never move;
/// a restored state continues exactly; a follower that it moves is the average.
pub trait Optimizer<D: Device<f32> + Storage<f64>> {
    /// Updates `params` in place. A parameter without a gradient counts as gradient zero. Nothing is read
    /// from the device, which may be many launches behind.
    fn step(
        &mut self,
        params: &mut [(String, &mut Param<D>)],
        gradients: &mut Gradients<f32, D>,
        rates: Rates,
    ) -> Result<StepReport<D>, ModelError>;
    /// [`Optimizer::step`], which may also move followers to `momentum * follower + (1 - momentum) *
    /// parameter`: parameter and average in one pass over memory. It takes those that it moves out of the
    /// list; the program moves the others.
    fn step_and_average(
        &mut self,
        params: &mut [(String, &mut Param<D>)],
        gradients: &mut Gradients<f32, D>,
        rates: Rates,
        average: &mut EmaUpdate<'_, D>,
    ) -> Result<StepReport<D>, ModelError> {
        let _ = average;
        self.step(params, gradients, rates)
    }
    /// Everything needed to continue.
    fn state(&self) -> OptimizerState;
    /// Continues from `state`, which belongs to parameters of the same names and sizes.
    fn restore(&mut self, state: OptimizerState, params: &[(String, &Param<D>)]) -> Result<(), ModelError>;
}
