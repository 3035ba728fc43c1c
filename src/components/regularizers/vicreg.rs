//! Regularizer `vicreg`: variance and covariance of the tokens.

use ijepa_registry::prelude::*;

use super::shared::Projector;
use crate::kernels::{Backend, Function};

component! {
    /// Keeps every feature varying and features apart: the variance and the covariance term of VICReg.
    ///
    /// Of `n` rows `x` of width `d`, with column variances `v_j` and covariances `c_ij` (both over `n - 1`):
    /// `variance * mean_j max(0, 1 - sqrt(v_j + 1e-4)) + covariance * sum_(i != j) c_ij^2 / d` (Bardes, Ponce &
    /// LeCun 2022, arXiv 2105.04906, equations 1 to 4; weights 25 and 1 as there and in
    /// `facebookresearch/vicreg@4e12602`, whose two branches are averaged to the one of here). The invariance term
    /// is what the prediction loss is for. With `projector`, rows first pass through linear layers of these
    /// widths with a layer norm and a ReLU between them; the original normalises over the batch there.
    regularizer "vicreg" => VicReg, example = "{ projector: [16, 8] }",
    aliases = ["variance_covariance" => "vicreg", "vic" => "vicreg"]
}

/// Settings of `regularizers: [{ kind: vicreg }]`.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct VicReg {
    /// Weight of the variance term.
    #[schemars(range(min = 0.0, max = 1e6))]
    variance: f64,
    /// Weight of the covariance term.
    #[schemars(range(min = 0.0, max = 1e6))]
    covariance: f64,
    /// Widths of the layers of a projector; none: the rows themselves are judged.
    #[schemars(inner(range(min = 1, max = 8192)), length(max = 8))]
    projector: Vec<usize>,
}

impl Default for VicReg {
    fn default() -> Self {
        VicReg { variance: 25.0, covariance: 1.0, projector: Vec::new() }
    }
}

/// Added to variances before the root, as in the original.
const EPS: f32 = 1e-4;

impl VicReg {
    fn build<D: Backend>(
        &self,
        context: &RegularizerContext<D>,
    ) -> Result<Box<dyn Regularizer<D>>, ModelError> {
        let projector = Projector::new(context, "vicreg", &self.projector);
        Ok(Box::new(Terms { settings: self.clone(), projector }))
    }
}

impl RegularizerSettings for VicReg {
    fn check(&self, _: usize) -> Vec<Problem> {
        let idle = self.variance == 0.0 && self.covariance == 0.0;
        idle.then(|| Problem::new("", "has no effect: `variance` and `covariance` are both 0"))
            .into_iter()
            .collect()
    }
    build_on_devices!(regularizer);
}

/// The built regularizer.
struct Terms<D: Device<f32>> {
    settings: VicReg,
    projector: Projector<D>,
}

impl<D: Backend> Regularizer<D> for Terms<D> {
    fn term(&self, tokens: TapedRows<D>, _: &Segments, _: StepKey) -> Result<TapedScalar<D>, ModelError> {
        let x = self.projector.forward(tokens)?;
        let (n, d) = *x.shape();
        if n < 2 {
            let message =
                "a variance needs two rows or more: use a larger `train.batch_size`, or `on: context`";
            return Err(ModelError(format!("vicreg: {n} rows; {message}")));
        }
        let v = D::column_variances(x.retaped::<OwnedTape<f32, D>>())?;
        // mean_j max(0, 1 - sqrt(v_j + eps))
        let spread = D::map(v.retaped::<OwnedTape<f32, D>>(), Function::StdHinge { floor: 1.0, eps: EPS })?;
        let spread = D::scale(D::sum(spread)?, self.settings.variance as f32 / d as f32)?;
        // sum_(i != j) c_ij^2 = sum |X'X|^2 / (n - 1)^2 - sum_j v_j^2 for centred X
        let centred = D::center_columns(x)?;
        let again = centred.retaped::<OwnedTape<f32, D>>();
        let products = D::matmul(centred, again, true, false, MatmulPrecision::F32)?;
        let all = D::sum(D::map(products, Function::Square)?)?;
        let share = self.settings.covariance as f32 / d as f32;
        let all = D::scale(all, share / ((n - 1) as f32).powi(2))?;
        let own = D::scale(D::sum(D::map(v, Function::Square)?)?, -share)?;
        D::add_scalars(spread, D::add_scalars(all, own)?)
    }
}

impl<D: Backend> Parameters<D> for Terms<D> {
    fn params(&self) -> Vec<&Param<D>> {
        self.projector.params()
    }
    fn params_mut(&mut self) -> Vec<&mut Param<D>> {
        self.projector.params_mut()
    }
}

#[cfg(test)]
mod tests {
    use dfdx::prelude::{TensorFromVec, Trace};

    use super::*;

    /// The formula of the documentation in f64, pair by pair.
    fn plain(settings: &VicReg, x: &[f32], d: usize) -> f64 {
        let n = x.len() / d;
        let column = |j: usize| (0..n).map(move |i| f64::from(x[i * d + j]));
        let centred = |j: usize| {
            let mean = column(j).sum::<f64>() / n as f64;
            column(j).map(|v| v - mean).collect::<Vec<f64>>()
        };
        let columns: Vec<Vec<f64>> = (0..d).map(centred).collect();
        let covariance =
            |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>() / (n as f64 - 1.0);
        let hinge = |c: &Vec<f64>| (1.0 - (covariance(c, c) + 1e-4).sqrt()).max(0.0);
        let spread = columns.iter().map(hinge).sum::<f64>() / d as f64;
        let mut apart = 0.0;
        for (i, a) in columns.iter().enumerate() {
            for (_, b) in columns.iter().enumerate().filter(|(j, _)| *j != i) {
                apart += covariance(a, b).powi(2) / d as f64;
            }
        }
        settings.variance * spread + settings.covariance * apart
    }

    #[test]
    fn the_term_is_that_of_the_formula() {
        let (n, d, device) = (40, 6, Cpu::default());
        for (scale, settings) in [
            (0.3, VicReg::default()),
            (2.0, VicReg::default()),
            (0.7, VicReg { variance: 0.0, ..VicReg::default() }),
            (0.7, VicReg { covariance: 0.0, ..VicReg::default() }),
        ] {
            let mut stream = Stream::new(1, "test/vicreg", 0, 0);
            let mut shared = 0.0;
            let value = |i: usize| {
                // Every third feature repeats part of the one before it.
                let own = scale * stream.normal();
                shared = if i.is_multiple_of(3) { own } else { shared };
                (own + 0.5 * shared) as f32
            };
            let x: Vec<f32> = (0..n * d).map(value).collect();
            let built = settings.build(&RegularizerContext { device: &device, seed: 0, dim: d }).unwrap();
            let rows: Rows<Cpu> = device.tensor_from_vec(x.clone(), (n, d));
            let key = StepKey { seed: 0, step: 0 };
            let term = built.term(rows.leaky_trace(), &Segments::from_lengths([n]), key).unwrap().as_vec()[0];
            let expected = plain(&settings, &x, d);
            assert!(
                (f64::from(term) - expected).abs() <= 1e-4 * expected.abs() + 1e-5,
                "{term}, not {expected}"
            );
        }
    }

    #[test]
    fn one_row_has_no_variance_and_a_term_without_weights_no_effect() {
        let (settings, device) = (VicReg::default(), Cpu::default());
        let built = settings.build(&RegularizerContext { device: &device, seed: 0, dim: 3 }).unwrap();
        let row: Rows<Cpu> = device.tensor_from_vec(vec![1.0, 2.0, 3.0], (1, 3));
        let key = StepKey { seed: 0, step: 0 };
        let one = Segments::from_lengths([1]);
        let error = built.term(row.leaky_trace(), &one, key).err().unwrap().to_string();
        assert!(error.contains("two rows or more"), "{error}");
        assert_eq!(VicReg { variance: 0.0, covariance: 0.0, ..settings }.check(3).len(), 1);
    }
}
