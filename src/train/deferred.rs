//! Loss and gradient norm of a step, which stay on the device until somebody reads them.

use ijepa_registry::tensor::{ModelError, Scalar};

use crate::kernels::{Backend, LossValue};

/// The numbers of one step, on the device.
pub struct StepNumbers<D: Backend> {
    /// Loss of every part of the batch before the update, and the part's share of the whole.
    pub(super) losses: Vec<(f64, LossValue<D>)>,
    /// Gradient norm before clipping.
    pub(super) gradient_norm: Scalar<D>,
}

/// The numbers of one step.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct StepMeasure {
    /// Loss before the update.
    pub loss: f64,
    /// Gradient norm before clipping.
    pub gradient_norm: f64,
}

impl<D: Backend> StepNumbers<D> {
    /// Reads the numbers of some steps, waiting for the device once.
    pub fn read(steps: &[Self]) -> Result<Vec<StepMeasure>, ModelError> {
        let losses: Vec<_> = steps.iter().flat_map(|s| &s.losses).map(|(_, loss)| loss).collect();
        let norms: Vec<_> = steps.iter().map(|s| &s.gradient_norm).collect();
        let values = D::read(&losses, &norms)?;
        let (mut losses, norms) = (values.iter(), &values[losses.len()..]);
        let measure = |(step, norm): (&Self, &f64)| {
            let parts = step.losses.iter().zip(losses.by_ref());
            let loss = parts.fold(0.0, |sum, ((share, _), loss)| sum + share * loss);
            StepMeasure { loss, gradient_norm: *norm }
        };
        Ok(steps.iter().zip(norms).map(measure).collect())
    }
}

impl StepMeasure {
    /// What is wrong with the numbers of this step: a run whose loss or gradient is not finite diverged.
    pub(super) fn problem(&self, step: u64) -> Option<String> {
        let StepMeasure { loss, gradient_norm } = self;
        let named = [("loss", loss), ("gradient norm", gradient_norm)];
        let bad = named.into_iter().find(|(_, value)| !value.is_finite());
        bad.map(|(name, value)| format!("the {name} of step {step} is {value}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_that_is_not_finite_is_told_with_its_step() {
        let problem = |loss, gradient_norm| StepMeasure { loss, gradient_norm }.problem(7);
        assert_eq!(problem(0.5, 2.0), None);
        assert_eq!(problem(f64::NAN, f64::NAN).unwrap(), "the loss of step 7 is NaN");
        assert_eq!(problem(0.5, f64::INFINITY).unwrap(), "the gradient norm of step 7 is inf");
    }
}
