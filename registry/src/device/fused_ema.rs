//! Parameters and their moving averages in one pass over memory.

use crate::{
    kinds::{Rates, StepReport},
    params::Param,
    tensor::{Device, Flat, Gradients, ModelError, Storage},
};

/// Tensors that follow parameters as averages over time: those of the target encoder.
#[derive(Debug)]
pub struct EmaUpdate<'a, D: Device<f32>> {
    /// What share of itself a tensor keeps in a step.
    pub momentum: f64,
    /// For each parameter of a list the tensor that follows it, if any; those past the end have none.
    pub shadows: Vec<Option<&'a mut Flat<D>>>,
}

impl<D: Device<f32>> EmaUpdate<'_, D> {
    /// No tensor follows.
    pub fn none() -> Self {
        EmaUpdate { momentum: 1.0, shadows: Vec::new() }
    }
}

/// An optimizer that can also move averages ([`crate::kinds::Optimizer::as_fused`]).
///
/// Promises: parameters go where [`crate::kinds::Optimizer::step`] moves them; a shadow that it moves is the average.
pub trait FusedEma<D: Device<f32> + Storage<f64>> {
    /// A step, and `momentum * shadow + (1 - momentum) * parameter`. It takes the shadows that it moves out of the
    /// list; the program moves the others.
    fn step_and_average(
        &mut self,
        params: &mut [(String, &mut Param<D>)],
        gradients: &mut Gradients<f32, D>,
        rates: Rates,
        average: &mut EmaUpdate<'_, D>,
    ) -> Result<StepReport<D>, ModelError>;
}
