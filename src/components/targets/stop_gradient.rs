//! Targets `stop_gradient`: the tokens of the context encoder itself.

use ijepa_registry::prelude::*;

use crate::kernels::Backend;

component! {
    /// Tokens of the context encoder itself on the whole image, without gradient.
    ///
    /// No average, no second set of weights (SimSiam, Chen & He 2021, arXiv 2011.10566, section 4, keeps the stop
    /// of the gradient alone). Nothing but the predictor and the last norm then stands between the model and a
    /// constant: add a term of `regularizers` such as `vicreg`, and a rule of `collapse`. What
    /// probes call `target` is the context encoder.
    targets "stop_gradient" => StopGradient, example = "{}",
    aliases = ["student" => "stop_gradient", "stopgrad" => "stop_gradient", "simsiam" => "stop_gradient"]
}

/// Settings of `targets: { kind: stop_gradient }`.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct StopGradient {}

impl StopGradient {
    fn build<D: Backend>(&self, _: &TargetsContext<D>) -> Result<Box<dyn Targets<D>>, ModelError> {
        Ok(Box::new(Student))
    }
}

impl TargetsSettings for StopGradient {
    fn check(&self, _: &dyn EncoderSettings) -> Vec<Problem> {
        vec![]
    }
    fn dim(&self, encoder: &dyn EncoderSettings, _: ImageShape) -> usize {
        encoder.dim()
    }
    fn teacher(&self) -> Teacher {
        Teacher::Student
    }
    build_on_devices!(targets);
}

/// The built targets: they have nothing of their own.
struct Student;

impl<D: Backend> Targets<D> for Student {
    fn targets(&self, input: &TargetInput<D>) -> Result<Rows<D>, ModelError> {
        input.student.tokens(input.images, Some(input.keep))
    }
    fn encoder<'a>(&'a self, student: &'a dyn Encoder<D>) -> Option<&'a dyn Encoder<D>> {
        Some(student)
    }
}

impl<D: Backend> Parameters<D> for Student {
    fn params(&self) -> Vec<&Param<D>> {
        vec![]
    }
    fn params_mut(&mut self) -> Vec<&mut Param<D>> {
        vec![]
    }
}
