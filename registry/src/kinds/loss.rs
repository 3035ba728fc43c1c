use super::predictor::PredictionPlan;
use crate::{
    mask::Grid,
    problem::Problem,
    tensor::{Cpu, Device, ModelError, Rows, TapedRows, TapedScalar},
};

/// Settings of a loss: checks and builds.
pub trait LossSettings: std::fmt::Debug + Send + Sync {
    /// What is wrong with the settings.
    fn check(&self) -> Vec<Problem>;
    /// Builds it on the CPU.
    fn cpu(&self) -> Box<dyn Loss<Cpu>>;
    /// Builds it on a GPU. [`crate::build_on_devices!`] writes both.
    #[cfg(feature = "cuda")]
    fn cuda(&self) -> Box<dyn Loss<crate::tensor::Gpu>>;
}

/// Distance between predictions and targets.
///
/// Promises: finite; smallest where prediction equals (transformed) target; a small step against
/// the gradient lowers it.
pub trait Loss<D: Device<f32>> {
    /// What the predictions are compared with, `(patch, dim)`: the raw target tokens, or a
    /// normalised form.
    fn target(&self, raw: Rows<D>) -> Result<Rows<D>, ModelError>;
    /// The loss of `prediction` against `target` (both `(patch, dim)`).
    fn loss(&self, prediction: TapedRows<D>, target: Rows<D>) -> Result<TapedScalar<D>, ModelError>;
    /// The same where it matters which patches the rows are: those that `plan` predicts on `grid`, in its order.
    fn loss_in_place(
        &self,
        prediction: TapedRows<D>,
        target: Rows<D>,
        plan: &PredictionPlan,
        grid: Grid,
    ) -> Result<TapedScalar<D>, ModelError> {
        let _ = (plan, grid);
        self.loss(prediction, target)
    }
    /// Whether the loss is a mean over rows, each row's part depending on that row alone. A step may
    /// then pass a batch through the model in parts, which takes less memory.
    fn is_mean_over_rows(&self) -> bool {
        false
    }
}
