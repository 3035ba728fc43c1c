//! Regularizer `sigreg`: tokens like draws of a normal distribution.

use ijepa_registry::prelude::*;

use super::shared::Projector;
use crate::kernels::{Backend, Function, from_host};

component! {
    /// Pulls the distribution of the tokens to an isotropic normal one: SIGReg of LeJEPA.
    ///
    /// The rows `z_i` (n of them) are projected on `directions` random unit vectors `a`, which are drawn anew in
    /// every step. Of every projection the empirical characteristic function is compared with that of a standard
    /// normal distribution, `phi(t) = exp(-t^2 / 2)` (Epps and Pulley 1983):
    /// `s(a) = n * sum_k w_k phi(t_k) [(mean_i cos(t_k a'z_i) - phi(t_k))^2 + (mean_i sin(t_k a'z_i))^2]`,
    /// with `points` values `t_k` evenly from 0 to `t_max` and the weights `w_k` of the trapezoidal rule, twice, for the
    /// negative half. The term is the mean of `s` over the directions (Balestriero and LeCun 2025, LeJEPA,
    /// arXiv 2511.08544; 17 points up to 3 and 256 directions as in its minimal implementation). That is `scale: lejepa`;
    /// `scale: mean` leaves the factor n out, so that the term does not grow with the batch. The weights 0.02 to 0.05 of
    /// the paper stand beside 1 minus the weight on the prediction loss. With `projector`, rows first pass through linear
    /// layers of these widths with a layer norm and a ReLU between them.
    ///
    /// The draws are a function of seed and step, so that a run that is resumed sees the same directions. Backward keeps
    /// `rows * directions * points` values a few times over: on `context` take fewer directions.
    regularizer "sigreg" => SigReg, example = "{ directions: 16, projector: [16, 8] }",
    aliases = ["lejepa" => "sigreg", "epps_pulley" => "sigreg"]
}

/// How large the term is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Scale {
    /// With the factor n, the number of rows: LeJEPA's test statistic.
    Lejepa,
    /// Without it.
    Mean,
}

/// Settings of `regularizers: [{ kind: sigreg }]`.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct SigReg {
    /// Random directions per step.
    #[schemars(range(min = 1, max = 65_536), extend("x-aliases" = ["slices", "num_slices", "num_proj"]))]
    directions: usize,
    /// Points at which characteristic functions are compared, 0 included.
    #[schemars(range(min = 2, max = 1024), extend("x-aliases" = ["knots", "num_points"]))]
    points: usize,
    /// The last of them.
    #[schemars(range(min = 0.1, max = 100.0))]
    t_max: f64,
    /// Whether the number of rows is a factor.
    scale: Scale,
    /// Widths of the layers of a projector; none: the rows themselves are judged.
    #[schemars(inner(range(min = 1, max = 8192)), length(max = 8))]
    projector: Vec<usize>,
}

impl Default for SigReg {
    fn default() -> Self {
        SigReg { directions: 256, points: 17, t_max: 3.0, scale: Scale::Lejepa, projector: Vec::new() }
    }
}

impl SigReg {
    fn build<D: Backend>(
        &self,
        context: &RegularizerContext<D>,
    ) -> Result<Box<dyn Regularizer<D>>, ModelError> {
        let projector = Projector::new(context, "sigreg", &self.projector);
        Ok(Box::new(Test { settings: self.clone(), projector }))
    }

    /// Every point but 0, where both functions are 1, with its weight `w phi` and `phi`.
    fn points(&self) -> Vec<[f64; 3]> {
        let (last, step) = (self.points - 1, self.t_max / (self.points - 1) as f64);
        let point = |k: usize| {
            let (t, trapezoid) = (k as f64 * step, if k == last { step } else { 2.0 * step });
            let phi = (-t * t / 2.0).exp();
            [t, trapezoid * phi, phi]
        };
        (1..self.points).map(point).collect()
    }

    /// Unit vectors as the columns of `(dim, directions)`.
    fn directions(&self, dim: usize, key: StepKey) -> Vec<f32> {
        let mut stream = key.stream("sigreg/directions");
        let drawn: Vec<f64> = (0..dim * self.directions).map(|_| stream.normal()).collect();
        let mut squares = vec![0.0; self.directions];
        for row in drawn.chunks_exact(self.directions) {
            squares.iter_mut().zip(row).for_each(|(sum, v)| *sum += v * v);
        }
        let unit = |(at, v): (usize, &f64)| (v / squares[at % self.directions].sqrt()) as f32;
        drawn.iter().enumerate().map(unit).collect()
    }
}

impl RegularizerSettings for SigReg {
    fn check(&self, _: usize) -> Vec<Problem> {
        vec![]
    }
    build_on_devices!(regularizer);
}

/// The built regularizer.
struct Test<D: Device<f32>> {
    settings: SigReg,
    projector: Projector<D>,
}

impl<D: Backend> Regularizer<D> for Test<D> {
    fn term(&self, tokens: TapedRows<D>, _: &Segments, key: StepKey) -> Result<TapedScalar<D>, ModelError> {
        let z = self.projector.forward(tokens)?;
        let ((n, dim), count) = (*z.shape(), self.settings.directions);
        if n == 0 {
            return Err(ModelError("sigreg: no rows".into()));
        }
        let directions = from_host(z.device(), self.settings.directions(dim, key), dim, count)?;
        let x = D::matmul(z, directions, false, false, MatmulPrecision::F32)?;
        let rows = Segments::from_lengths([n]);
        // (mean_i f(t x_ij) - value)^2, summed over the directions j
        let off = |x: TapedRows<D>, f: Function, value: f64| {
            let mean = D::segment_means(D::map(x, f)?, &rows)?;
            let shift = Function::Affine { scale: 1.0, shift: -value as f32 };
            D::sum(D::map(D::map(mean, shift)?, Function::Square)?)
        };
        let factor = if self.settings.scale == Scale::Lejepa { n as f64 } else { 1.0 } / count as f64;
        let at = |x: TapedRows<D>, [t, weight, phi]: [f64; 3]| {
            let tx = D::map(x, Function::Affine { scale: t as f32, shift: 0.0 })?;
            let cosines = off(tx.retaped::<OwnedTape<f32, D>>(), Function::Cos, phi)?;
            let both = D::add_scalars(cosines, off(tx, Function::Sin, 0.0)?)?;
            D::scale(both, (factor * weight) as f32)
        };
        let points = self.settings.points();
        let before = points[..points.len() - 1].iter();
        let terms: Vec<_> = before
            .map(|point| at(x.retaped::<OwnedTape<f32, D>>(), *point))
            .collect::<Result<_, ModelError>>()?;
        let last = at(x, points[points.len() - 1])?;
        terms.into_iter().try_fold(last, |sum, term| D::add_scalars(sum, term))
    }
}

impl<D: Backend> Parameters<D> for Test<D> {
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

    const DIM: usize = 5;

    /// The formula of the documentation in f64, number by number; the trapezoidal rule over both halves.
    fn plain(settings: &SigReg, z: &[f32], key: StepKey) -> f64 {
        let (n, m) = (z.len() / DIM, settings.directions);
        let a = settings.directions(DIM, key);
        let project = |i: usize, j: usize| -> f64 {
            (0..DIM).map(|d| f64::from(z[i * DIM + d]) * f64::from(a[d * m + j])).sum()
        };
        let step = settings.t_max / (settings.points - 1) as f64;
        let mut sum = 0.0;
        for j in 0..m {
            let x: Vec<f64> = (0..n).map(|i| project(i, j)).collect();
            let at = |t: f64| {
                let mean = |f: fn(f64) -> f64| x.iter().map(|x| f(t * x)).sum::<f64>() / n as f64;
                let phi = (-t * t / 2.0).exp();
                phi * ((mean(f64::cos) - phi).powi(2) + mean(f64::sin).powi(2))
            };
            let last = settings.points as i64 - 1;
            let points: Vec<f64> = (-last..=last).map(|k| at(k as f64 * step)).collect();
            sum += step * points.windows(2).map(|p| (p[0] + p[1]) / 2.0).sum::<f64>();
        }
        let factor = if settings.scale == Scale::Lejepa { n as f64 } else { 1.0 };
        factor * sum / m as f64
    }

    fn rows(n: usize, scale: f64, shift: f64) -> Vec<f32> {
        let mut stream = Stream::new(1, "test/sigreg", 0, 0);
        (0..n * DIM).map(|_| (shift + scale * stream.normal()) as f32).collect()
    }

    fn term(settings: &SigReg, z: &[f32], key: StepKey) -> f64 {
        let device = Cpu::default();
        let built = settings.build(&RegularizerContext { device: &device, seed: 0, dim: DIM }).unwrap();
        let z: Rows<Cpu> = device.tensor_from_vec(z.to_vec(), (z.len() / DIM, DIM));
        let segments = Segments::from_lengths([z.shape().0]);
        f64::from(built.term(z.leaky_trace(), &segments, key).unwrap().as_vec()[0])
    }

    #[test]
    fn the_term_is_that_of_the_formula() {
        let key = StepKey { seed: 4, step: 9 };
        let small = SigReg { directions: 7, ..SigReg::default() };
        for settings in [
            SigReg { directions: 1, ..small.clone() },
            SigReg { points: 5, t_max: 6.0, ..small.clone() },
            SigReg { scale: Scale::Mean, ..small.clone() },
            small,
        ] {
            for (scale, shift) in [(1.0, 0.0), (0.2, 0.5), (3.0, -1.0)] {
                let z = rows(50, scale, shift);
                let (found, expected) = (term(&settings, &z, key), plain(&settings, &z, key));
                assert!((found - expected).abs() < 1e-4 * expected + 1e-6, "{found}, not {expected}");
            }
        }
    }

    #[test]
    fn normal_tokens_cost_least_and_directions_come_from_seed_and_step() {
        let (settings, key) = (SigReg::default(), StepKey { seed: 4, step: 9 });
        let of = |scale, shift| term(&settings, &rows(400, scale, shift), key);
        let normal = of(1.0, 0.0);
        assert!(4.0 * normal < of(0.5, 0.0) && 4.0 * normal < of(2.0, 0.0) && 4.0 * normal < of(1.0, 0.7));
        let unit = settings.directions(DIM, key);
        let length: f32 = (0..DIM).map(|d| unit[d * settings.directions].powi(2)).sum();
        assert!((length - 1.0).abs() < 1e-6);
        assert_eq!(unit, settings.directions(DIM, key));
        assert_ne!(unit, settings.directions(DIM, StepKey { step: 10, ..key }));
        assert_ne!(unit, settings.directions(DIM, StepKey { seed: 5, ..key }));
    }
}
