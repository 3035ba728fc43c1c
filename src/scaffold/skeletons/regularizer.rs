//! Regularizer `my_regularizer`.

use ijepa_registry::prelude::*;

use ijepa_run::kernels::{Backend, Function};

component! {
    // TODO: say in one sentence what tokens should be like, then the formula and where it comes from.
    /// Keeps tokens small: their mean square.
    ///
    /// `factor * mean_ij x_ij^2`
    regularizer "my_regularizer" => MyRegularizer, example = "{ factor: 2.0 }"
}

/// Settings of `regularizers: [{ kind: my_regularizer }]`. `weight` and `on` come with the section.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(crate = "ijepa_registry::serde", deny_unknown_fields, default)]
struct MyRegularizer {
    // TODO: your settings. Each has a sentence, a range and a default.
    /// What the term is multiplied by.
    #[schemars(range(min = 1e-6, max = 1e6))]
    factor: f32,
}

impl Default for MyRegularizer {
    fn default() -> Self {
        MyRegularizer { factor: 1.0 }
    }
}

impl MyRegularizer {
    fn build<D: Backend>(&self, _: &RegularizerContext<D>) -> Result<Box<dyn Regularizer<D>>, ModelError> {
        // TODO: a projector is built here, with `Init` and `Linear` of `nn` as in `regularizers/vicreg.rs`.
        Ok(Box::new(Term { factor: self.factor }))
    }
}

impl RegularizerSettings for MyRegularizer {
    fn check(&self, _dim: usize) -> Vec<Problem> {
        // TODO: what ranges cannot say, such as a setting that does not fit tokens of this width.
        vec![]
    }
    build_on_devices!(regularizer);
}

/// The built regularizer.
struct Term {
    factor: f32,
}

impl<D: Backend> Regularizer<D> for Term {
    fn term(
        &self,
        tokens: TapedRows<D>,
        _segments: &Segments,
        _key: StepKey,
    ) -> Result<TapedScalar<D>, ModelError> {
        // TODO: the term of tokens (row, dim). What is used twice is given as `x.retaped::<OwnedTape<f32, D>>()`
        // each time but the last.
        let (rows, dim) = *tokens.shape();
        let sum = D::sum(D::map(tokens, Function::Square)?)?;
        D::scale(sum, self.factor / (rows * dim) as f32)
    }
}

impl<D: Backend> Parameters<D> for Term {
    // TODO: the parameters of a projector, both times in the same order.
    fn params(&self) -> Vec<&Param<D>> {
        vec![]
    }
    fn params_mut(&mut self) -> Vec<&mut Param<D>> {
        vec![]
    }
}
