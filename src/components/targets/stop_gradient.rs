//! Targets `stop_gradient`: the tokens of the context encoder itself.

use ijepa_registry::prelude::*;

use crate::kernels::Backend;

component! {
    /// Tokens of the context encoder itself on the whole image, without gradient.
    ///
    /// No average, no second set of weights (SimSiam, Chen & He 2021, arXiv 2011.10566, section 4, keeps the stop
    /// of the gradient alone). Nothing but the predictor and the last norm then stands between the model and a
    /// constant: add a term of `regularizers` such as `vicreg` or `sigreg`, and a rule of `collapse`. What
    /// probes call `target` is the context encoder, or with `average` the mean of its weights over the training, which
    /// nothing is trained on (Polyak and Juditsky 1992; Izmailov et al. 2018, arXiv 1803.05407).
    targets "stop_gradient" => StopGradient, example = "{}",
    aliases = ["student" => "stop_gradient", "stopgrad" => "stop_gradient", "simsiam" => "stop_gradient"]
}

/// Settings of `targets: { kind: stop_gradient }`.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct StopGradient {
    /// Whether a moving average of the encoder's weights, with the momentum of the section `ema`, is kept to be
    /// evaluated. `ema: { kind: growing, end: 1 }` averages over a fixed share of all steps.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    #[schemars(extend("x-aliases" = ["polyak", "ema", "weight_average"]))]
    average: bool,
}

impl StopGradient {
    fn build<D: Backend>(&self, context: &TargetsContext<D>) -> Result<Box<dyn Targets<D>>, ModelError> {
        let average = if self.average { Some((context.encoder)()?) } else { None };
        Ok(Box::new(Student { average }))
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
        if self.average { Teacher::Own } else { Teacher::Student }
    }
    build_on_devices!(targets);
}

/// The built targets.
struct Student<D: Device<f32>> {
    /// Evaluated, and nothing else.
    average: Option<Box<dyn Encoder<D>>>,
}

impl<D: Backend> Targets<D> for Student<D> {
    fn targets(&self, input: &TargetInput<D>) -> Result<Rows<D>, ModelError> {
        input.student.tokens(input.images, Some(input.keep))
    }
    fn shadows(&mut self, _: u64) -> Vec<Option<&mut Flat<D>>> {
        let params = self.average.iter_mut().flat_map(|encoder| encoder.params_mut());
        params.map(|p| p.trainable.then_some(&mut p.data)).collect()
    }
    fn encoder<'a>(&'a self, student: &'a dyn Encoder<D>) -> Option<&'a dyn Encoder<D>> {
        Some(self.average.as_deref().unwrap_or(student))
    }
}

impl<D: Backend> Parameters<D> for Student<D> {
    fn params(&self) -> Vec<&Param<D>> {
        self.average.iter().flat_map(|encoder| encoder.params()).collect()
    }
    fn params_mut(&mut self) -> Vec<&mut Param<D>> {
        self.average.iter_mut().flat_map(|encoder| encoder.params_mut()).collect()
    }
}
