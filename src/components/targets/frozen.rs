//! Targets `frozen`: the tokens of an encoder that is never trained.

use ijepa_registry::prelude::*;

use crate::kernels::Backend;

component! {
    /// Tokens of the encoder's initial weights, which stay as they are.
    ///
    /// The teacher sees the whole image and starts equal to the student, as with `ema`, and nothing moves it: a
    /// momentum of 1. A random network's features are a fixed task that cannot collapse, and the control for how much
    /// of a result the moving average brings (BYOL, Grill et al. 2020, arXiv 2006.07733: predicting a fixed
    /// random network already gives 18.8 % on ImageNet against its own 1.4 %). The section `ema` has no effect. What
    /// probes call `target` is that network; `encoders: [context]` measures the student.
    targets "frozen" => Frozen, example = "{}",
    aliases = ["fixed" => "frozen", "random_network" => "frozen"]
}

/// Settings of `targets: { kind: frozen }`.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct Frozen {}

impl Frozen {
    fn build<D: Backend>(&self, context: &TargetsContext<D>) -> Result<Box<dyn Targets<D>>, ModelError> {
        Ok(Box::new(Initial { teacher: (context.encoder)()? }))
    }
}

impl TargetsSettings for Frozen {
    fn check(&self, _: &dyn EncoderSettings) -> Vec<Problem> {
        vec![]
    }
    fn dim(&self, encoder: &dyn EncoderSettings, _: ImageShape) -> usize {
        encoder.dim()
    }
    fn teacher(&self) -> Teacher {
        Teacher::Own
    }
    build_on_devices!(targets);
}

/// The built targets.
struct Initial<D: Device<f32>> {
    teacher: Box<dyn Encoder<D>>,
}

impl<D: Backend> Targets<D> for Initial<D> {
    fn targets(&self, input: &TargetInput<D>) -> Result<Rows<D>, ModelError> {
        self.teacher.tokens(input.images, Some(input.keep))
    }
    fn encoder<'a>(&'a self, _: &'a dyn Encoder<D>) -> Option<&'a dyn Encoder<D>> {
        Some(self.teacher.as_ref())
    }
}

impl<D: Backend> Parameters<D> for Initial<D> {
    fn params(&self) -> Vec<&Param<D>> {
        self.teacher.params()
    }
    fn params_mut(&mut self) -> Vec<&mut Param<D>> {
        self.teacher.params_mut()
    }
}
