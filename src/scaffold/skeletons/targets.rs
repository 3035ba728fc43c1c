//! Targets `my_targets`.

use ijepa_registry::prelude::*;

use ijepa_run::kernels::{Backend, Function};

component! {
    // TODO: say in one sentence what is predicted, then the formula and where it comes from.
    /// Tokens of the context encoder itself on the whole image, without gradient.
    ///
    /// `factor * student(image)`
    targets "my_targets" => MyTargets, example = "{ factor: 2.0 }"
}

/// Settings of `targets: { kind: my_targets }`.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(crate = "ijepa_registry::serde", deny_unknown_fields, default)]
struct MyTargets {
    // TODO: your settings. Each has a sentence, a range and a default.
    /// What tokens are multiplied by.
    #[schemars(range(min = 1e-6, max = 1e6))]
    factor: f32,
}

impl Default for MyTargets {
    fn default() -> Self {
        MyTargets { factor: 1.0 }
    }
}

impl MyTargets {
    fn build<D: Backend>(&self, _: &TargetsContext<D>) -> Result<Box<dyn Targets<D>>, ModelError> {
        // TODO: a teacher of its own is built with `(context.encoder)()`, as in `targets/ema.rs`.
        Ok(Box::new(Tokens { factor: self.factor }))
    }
}

impl TargetsSettings for MyTargets {
    fn check(&self, _encoder: &dyn EncoderSettings) -> Vec<Problem> {
        // TODO: what ranges cannot say, such as more layers than this encoder has.
        vec![]
    }
    fn dim(&self, encoder: &dyn EncoderSettings, _image: ImageShape) -> usize {
        // TODO: the width of a target.
        encoder.dim()
    }
    fn teacher(&self) -> Teacher {
        // TODO: `Own`, `Student`, or `None` where targets come from the data.
        Teacher::Student
    }
    build_on_devices!(targets);
}

/// The built targets.
struct Tokens {
    factor: f32,
}

impl<D: Backend> Targets<D> for Tokens {
    fn targets(&self, input: &TargetInput<D>) -> Result<Rows<D>, ModelError> {
        // TODO: one row per entry of `input.keep`, in order: (kept patch, dim).
        let tokens = input.student.tokens(input.images, Some(input.keep))?;
        D::map(tokens, Function::Affine { scale: self.factor, shift: 0.0 })
    }
    fn encoder<'a>(&'a self, student: &'a dyn Encoder<D>) -> Option<&'a dyn Encoder<D>> {
        // TODO: what probes call `target`.
        Some(student)
    }
}

impl<D: Backend> Parameters<D> for Tokens {
    // TODO: the parameters of a teacher of its own, both times in the same order.
    fn params(&self) -> Vec<&Param<D>> {
        vec![]
    }
    fn params_mut(&mut self) -> Vec<&mut Param<D>> {
        vec![]
    }
}
