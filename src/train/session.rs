//! A run on a device: plan, model, optimizer and where it stands.

use ijepa_registry::prelude::*;

use super::{RunPlan, StepNumbers, TrainError, device_images::DeviceImages};
use crate::{
    events::{Progress, Snapshot},
    model::{BuildDevice, Builder, Jepa, micro_batch_tokens},
};

/// Prefix of optimizer tensors in a snapshot.
const OPTIMIZER: &str = "optimizer.";

/// Everything one run holds.
pub struct Session<D: BuildDevice> {
    /// What to do.
    pub plan: RunPlan,
    /// How to build parts again.
    pub builder: Builder,
    /// The model.
    pub jepa: Jepa<D>,
    /// The optimizer.
    pub optimizer: Box<dyn Optimizer<D>>,
    /// Images on the device.
    pub(super) resident: DeviceImages<D>,
    /// Patches of whole images that a step passes through the model together, at most.
    pub micro_batch_tokens: usize,
    /// Where the run stands.
    pub progress: Progress,
    /// Gradients of the last step, whose memory the next one uses again.
    pub(super) gradients: Gradients<f32, D>,
    /// Numbers of the last steps, which `progress` does not know yet.
    pub(super) unread: Vec<StepNumbers<D>>,
}

impl<D: BuildDevice> Session<D> {
    /// Builds the model on `device`, untrained, and brings the images there if it takes them.
    pub fn new(plan: RunPlan, builder: Builder, device: &D) -> Result<Self, TrainError> {
        let jepa = builder.model(device)?;
        let optimizer = builder.optimizer();
        let resident = DeviceImages::new(device, &plan.source.data)?;
        let micro_batch_tokens = micro_batch_tokens(device, || activation_bytes(&builder, &plan))?;
        Ok(Session {
            plan,
            builder,
            jepa,
            optimizer,
            resident,
            micro_batch_tokens,
            progress: Progress::default(),
            gradients: Gradients::leaky(),
            unread: Vec::new(),
        })
    }

    /// Everything needed to continue.
    pub fn snapshot(&self) -> Snapshot {
        let stored = |(name, p): (String, &Param<D>)| (name, p.dims.clone(), p.data.as_vec());
        let mut tensors: Vec<_> = self.jepa.all_params().into_iter().map(stored).collect();
        let state = self.optimizer.state();
        let named =
            |(name, values): (String, Vec<f32>)| (format!("{OPTIMIZER}{name}"), vec![values.len()], values);
        tensors.extend(state.tensors.into_iter().map(named));
        Snapshot { progress: self.progress.clone(), optimizer_steps: state.steps, tensors }
    }

    /// Continues from a snapshot of the same experiment.
    pub fn restore(&mut self, snapshot: Snapshot) -> Result<(), TrainError> {
        let (state, weights): (Vec<_>, Vec<_>) =
            snapshot.tensors.into_iter().partition(|(name, ..)| name.starts_with(OPTIMIZER));
        self.restore_weights(weights)?;
        let strip = |(name, _, values): (String, _, _)| (name[OPTIMIZER.len()..].to_string(), values);
        let tensors = state.into_iter().map(strip).collect();
        let state = OptimizerState { steps: snapshot.optimizer_steps, tensors };
        let unfit = |error: ModelError| TrainError::Restore(error.0);
        self.optimizer.restore(state, &self.jepa.trained_params()).map_err(unfit)?;
        self.progress = snapshot.progress;
        Ok(())
    }

    /// Takes weights alone: what features are extracted with.
    pub fn restore_weights(
        &mut self,
        weights: impl IntoIterator<Item = (String, Vec<usize>, Vec<f32>)>,
    ) -> Result<(), TrainError> {
        self.take_weights(weights, |_| true)
    }

    /// The same of the encoders alone; a predictor stays as it is.
    pub fn restore_encoders(
        &mut self,
        weights: impl IntoIterator<Item = (String, Vec<usize>, Vec<f32>)>,
    ) -> Result<(), TrainError> {
        self.take_weights(weights, |name| name.contains("_encoder."))
    }

    /// Takes the weights of all parameters that are `wanted`.
    fn take_weights(
        &mut self,
        weights: impl IntoIterator<Item = (String, Vec<usize>, Vec<f32>)>,
        wanted: impl Fn(&str) -> bool,
    ) -> Result<(), TrainError> {
        let mut stored: std::collections::HashMap<_, _> =
            weights.into_iter().map(|(name, dims, values)| (name, (dims, values))).collect();
        for (name, param) in self.jepa.all_params_mut() {
            if !wanted(&name) {
                continue;
            }
            let missing = || TrainError::Restore(format!("it holds no {name}"));
            let (dims, values) = stored.remove(&name).ok_or_else(missing)?;
            if dims != param.dims {
                let sentence = format!("{name} has shape {dims:?} there and {:?} here", param.dims);
                return Err(TrainError::Restore(sentence));
            }
            param.data.copy_from(&values);
        }
        Ok(())
    }
}

/// Bytes that backward needs per patch of whole images, with the largest of some masks; none for a model of
/// unknown costs.
fn activation_bytes(builder: &Builder, plan: &RunPlan) -> Option<f64> {
    let (cost, grid) = (builder.cost(), builder.geometry.grid());
    let most = plan
        .typical_masks(plan.batch_size)
        .map(|plans| cost.activations(&plans))
        .collect::<Option<Vec<_>>>()?;
    let largest = most.into_iter().fold(0.0, f64::max);
    Some(4.0 * largest / (plan.batch_size * grid.len()) as f64)
}
