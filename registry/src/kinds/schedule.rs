use crate::problem::Problem;

/// The length of a run, in optimizer steps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Horizon {
    /// Steps of the whole run.
    pub steps: u64,
    /// Steps of one epoch.
    pub steps_per_epoch: u64,
    /// Images of one step.
    pub images_per_step: u64,
}

impl Horizon {
    /// Steps of `epochs` epochs, rounded down, as the published recipes count them.
    pub fn epochs_to_steps(&self, epochs: f64) -> u64 {
        (epochs * self.steps_per_epoch as f64) as u64
    }
}

/// A value over the steps of a run: learning rate, weight decay or EMA momentum.
///
/// Promises: finite at every step; starts and ends where [`Schedule::end_points`] says.
pub trait Schedule: std::fmt::Debug + Send + Sync {
    /// What is wrong with the settings for a run of this length.
    fn check(&self, horizon: Horizon) -> Vec<Problem>;
    /// The value used in step `step` (from 0).
    fn value(&self, step: u64, horizon: Horizon) -> f64;
    /// Value of the first and of the last step, where the documentation states them.
    fn end_points(&self, _horizon: Horizon) -> (Option<f64>, Option<f64>) {
        (None, None)
    }
}
