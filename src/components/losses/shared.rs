//! What all losses share: the target transform, the loss built from a distance, and its weights by distance.

use dfdx::prelude::{HasShape, ReshapeTo};
use ijepa_registry::prelude::*;

use crate::kernels::{Backend, Function, RowLoss, from_host};

/// What predictions are compared with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum TargetTransform {
    /// The target encoder's output as it is.
    None,
    /// Layer norm of each token without gain and bias, eps 1e-5: removes the learned affine part
    /// of the encoder's last norm.
    LayerNorm,
    /// Every feature has mean 0 and variance 1 over the distinct target patches of the batch, eps 1e-5: a batch norm
    /// (Ioffe & Szegedy 2015, arXiv 1502.03167) without gain and bias. All features weigh the same in the loss. The
    /// batch is not cut into micro-batches.
    Batch,
    /// All features together have mean 0 and variance 1 over the batch, eps 1e-5: one shift and one unit for all
    /// values, so that features and tokens keep their spread relative to one another. The batch is not cut into
    /// micro-batches.
    Standardise,
    /// `tanh(x / 2)` of every value: large ones are squeezed, and tokens keep different lengths, which a layer norm
    /// takes away. The slope is where dynamic tanh starts (Zhu et al. 2025, arXiv 2503.10622); as targets
    /// have no gradient it stays there. For targets of I-JEPA: Colton 2025, arXiv 2508.02829.
    DynTanh,
}

/// Epsilon of the target norms: the default of `torch.nn.functional.layer_norm`.
const TARGET_NORM_EPS: f32 = 1e-5;

/// Slope of `dyn_tanh` at 0.
const TANH_SLOPE: f32 = 0.5;

impl TargetTransform {
    /// Whether each row becomes what it would become alone.
    fn is_of_rows(self) -> bool {
        !matches!(self, Self::Batch | Self::Standardise)
    }

    /// `(patch, dim)` to `(patch, dim)`.
    fn apply<D: Backend>(self, raw: Rows<D>) -> Result<Rows<D>, ModelError> {
        match self {
            Self::None => Ok(raw),
            Self::LayerNorm => D::standardize(&raw, TARGET_NORM_EPS),
            Self::Batch => {
                let dim = raw.shape().1;
                let identity = || from_host(raw.device(), identity(dim), dim, dim);
                // X' = I X' and X = (X')' I: both are exact.
                let turned = product(identity()?, raw.clone(), [false, true])?;
                product(D::standardize(&turned, TARGET_NORM_EPS)?, identity()?, [true, false])
            }
            Self::Standardise => {
                let (rows, dim) = *raw.shape();
                let one = raw.try_reshape_like(&(1, rows * dim)).map_err(ModelError::from_debug)?;
                let normed = D::standardize(&one, TARGET_NORM_EPS)?;
                normed.try_reshape_like(&(rows, dim)).map_err(ModelError::from_debug)
            }
            Self::DynTanh => {
                let scaled = D::map(raw, Function::Affine { scale: TANH_SLOPE, shift: 0.0 })?;
                D::map(scaled, Function::Tanh)
            }
        }
    }
}

fn identity(dim: usize) -> Vec<f32> {
    (0..dim * dim).map(|i| if i / dim == i % dim { 1.0 } else { 0.0 }).collect()
}

/// `op(a) op(b)`, where `op` transposes where `turned` says so.
fn product<D: Backend>(a: Rows<D>, b: Rows<D>, turned: [bool; 2]) -> Result<Rows<D>, ModelError> {
    D::matmul(a, b, turned[0], turned[1], MatmulPrecision::F32)
}

/// A distance between rows, after the target transform.
#[derive(Clone, Copy, Debug)]
pub struct DistanceLoss {
    pub transform: TargetTransform,
    pub distance: RowLoss,
    /// Power of the distance to the context that weights a row; 0: all weigh the same.
    pub power: f64,
}

/// Whether a power of the distance weights all patches alike. That is not written: what did not exist once must not
/// change the identity of earlier experiments.
pub fn is_flat(power: &f64) -> bool {
    *power == 0.0
}

/// The distance of every predicted patch, in the order of `plan`, to its context, in patches and at least 1.
fn distances(plan: &PredictionPlan, grid: Grid) -> Vec<f64> {
    let place = |patch: u32| ((patch as usize / grid.cols) as f64, (patch as usize % grid.cols) as f64);
    let of_block = |block: &Prediction| {
        let context: Vec<_> = plan
            .context
            .segments
            .range(block.context)
            .map(|row| place(plan.context.positions[row]))
            .collect();
        let nearest = move |&patch: &u32| {
            let (y, x) = place(patch);
            let squares = context.iter().map(|(v, u)| (y - v).powi(2) + (x - u).powi(2));
            squares.fold(f64::INFINITY, f64::min).sqrt().clamp(1.0, (grid.rows + grid.cols) as f64)
        };
        block.targets.iter().map(nearest).collect::<Vec<f64>>()
    };
    plan.predictions.iter().flat_map(of_block).collect()
}

/// `mean_ij w_i smooth_l1(p_ij - t_ij)`, or for `l2` the mean over rows of `w_i |p_i - t_i|^2`, from single operators.
fn weighted<D: Backend>(
    distance: RowLoss,
    prediction: TapedRows<D>,
    target: &Rows<D>,
    weights: &[f32],
) -> Result<TapedScalar<D>, ModelError> {
    let (n, d) = *prediction.shape();
    let minus = Function::Affine { scale: -1.0, shift: 0.0 };
    let off = D::add(prediction, D::map(target.clone(), minus)?)?;
    let (values, count) = match distance {
        RowLoss::SmoothL1 { beta } => (huber::<D>(off, beta)?, n * d),
        RowLoss::L2 => (D::map(off, Function::Square)?, n),
        RowLoss::Cosine => return Err(ModelError("the cosine has no weights by distance".into())),
    };
    D::scale(D::sum(D::scale_rows(values, weights)?)?, 1.0 / count as f32)
}

/// `0.5 c^2 / beta + m + n` with `m = max(x - beta, 0)`, `n = max(-x - beta, 0)` and `c = x - m + n`: the parabola up to
/// `beta`, then the line.
fn huber<D: Backend>(x: TapedRows<D>, beta: f32) -> Result<TapedRows<D>, ModelError> {
    type Taped<D> = OwnedTape<f32, D>;
    let beyond = |x: TapedRows<D>, scale: f32| {
        D::map(D::map(x, Function::Affine { scale, shift: -beta })?, Function::Relu)
    };
    let minus = Function::Affine { scale: -1.0, shift: 0.0 };
    let above = beyond(x.retaped::<Taped<D>>(), 1.0)?;
    let below = beyond(x.retaped::<Taped<D>>(), -1.0)?;
    let inner = D::add(x, D::map(above.retaped::<Taped<D>>(), minus)?)?;
    let inner = D::add(inner, below.retaped::<Taped<D>>())?;
    let parabola =
        D::map(D::map(inner, Function::Square)?, Function::Affine { scale: 0.5 / beta, shift: 0.0 })?;
    D::add(D::add(parabola, above)?, below)
}

impl<D: Backend> Loss<D> for DistanceLoss {
    fn target(&self, raw: Rows<D>) -> Result<Rows<D>, ModelError> {
        self.transform.apply(raw)
    }
    fn loss(&self, prediction: TapedRows<D>, target: Rows<D>) -> Result<TapedScalar<D>, ModelError> {
        D::loss(self.distance, prediction, &target)
    }
    fn loss_in_place(
        &self,
        prediction: TapedRows<D>,
        target: Rows<D>,
        plan: &PredictionPlan,
        grid: Grid,
    ) -> Result<TapedScalar<D>, ModelError> {
        if is_flat(&self.power) {
            return D::loss(self.distance, prediction, &target);
        }
        let weights: Vec<f32> =
            distances(plan, grid).into_iter().map(|r| r.powf(self.power) as f32).collect();
        weighted::<D>(self.distance, prediction, &target, &weights)
    }
    fn is_mean_over_rows(&self) -> bool {
        self.transform.is_of_rows()
    }
}

/// Implements [`LossSettings`] for a settings struct with a `target` field, a method `distance`, and, where rows can be
/// weighted, a field with the power.
macro_rules! distance_loss {
    ($settings:ty $(, $power:ident)?) => {
        impl LossSettings for $settings {
            fn check(&self) -> Vec<Problem> {
                vec![]
            }
            build_on_devices!(loss);
        }
        impl $settings {
            fn build<D: $crate::kernels::Backend>(&self) -> Box<dyn Loss<D>> {
                let (distance, power) = (self.distance(), 0.0 $(+ self.$power)?);
                Box::new(DistanceLoss { transform: self.target, distance, power })
            }
        }
    };
}
pub(super) use distance_loss;

#[cfg(test)]
mod tests {
    use dfdx::prelude::{Backward, Trace};

    use super::*;

    const DIM: usize = 5;

    fn raw(rows: usize) -> Vec<f64> {
        let mut stream = Stream::new(3, "test/targets", 0, 0);
        (0..rows * DIM).map(|i| (1.0 + (i % DIM) as f64) * stream.normal() + (i % 3) as f64).collect()
    }

    fn applied(transform: TargetTransform, values: &[f64]) -> Vec<f32> {
        let host: Vec<f32> = values.iter().map(|&v| v as f32).collect();
        let rows = from_host(&Cpu::default(), host, values.len() / DIM, DIM).unwrap();
        transform.apply::<Cpu>(rows).unwrap().as_vec()
    }

    /// `(x - mean) / sqrt(variance + eps)` in f64 over the values of every group.
    fn normed(values: &[f64], group: impl Fn(usize) -> usize) -> Vec<f64> {
        let of = |i: usize| -> Vec<f64> {
            values.iter().enumerate().filter(|(j, _)| group(*j) == group(i)).map(|(_, v)| *v).collect()
        };
        let mean = |all: &[f64]| all.iter().sum::<f64>() / all.len() as f64;
        let norm = |(i, v): (usize, &f64)| {
            let own = of(i);
            let centre = mean(&own);
            let squares: Vec<f64> = own.iter().map(|w| (w - centre).powi(2)).collect();
            (v - centre) / (mean(&squares) + 1e-5).sqrt()
        };
        values.iter().enumerate().map(norm).collect()
    }

    #[test]
    fn transforms_are_their_formulas() {
        let values = raw(37);
        let expected = [
            (TargetTransform::None, values.clone()),
            (TargetTransform::LayerNorm, normed(&values, |i| i / DIM)),
            (TargetTransform::Batch, normed(&values, |i| i % DIM)),
            (TargetTransform::Standardise, normed(&values, |_| 0)),
            (TargetTransform::DynTanh, values.iter().map(|v| (0.5 * v).tanh()).collect()),
        ];
        for (transform, expected) in expected {
            let got = applied(transform, &values);
            let off = got.iter().zip(&expected).map(|(a, b)| (f64::from(*a) - b).abs()).fold(0.0, f64::max);
            assert!(off < 1e-5, "{transform:?} is off by {off}");
        }
    }

    /// A grid of 3 x 4 patches; two blocks of the first context, one of the second.
    fn plan() -> (PredictionPlan, Grid) {
        let context = Layout::new([[0, 1].as_slice(), &[11]]);
        let of = |context, targets: &[u32]| Prediction { context, targets: targets.to_vec() };
        let predictions = vec![of(0, &[2, 9]), of(0, &[11, 0]), of(1, &[0])];
        (PredictionPlan { context, predictions }, Grid { rows: 3, cols: 4 })
    }

    #[test]
    fn rows_are_weighted_by_the_distance_to_their_own_context() {
        let (plan, grid) = plan();
        // Patch 11 is at row 2, column 3; the last target sees patch 11 alone. What is in the context is 1 away.
        let expected = [1.0, 2.0, 8f64.sqrt(), 1.0, 13f64.sqrt()];
        assert_eq!(distances(&plan, grid), expected);
        let all = raw(2 * expected.len());
        let (p, t) = all.split_at(expected.len() * DIM);
        let rows = |values: &[f64]| {
            let host: Vec<f32> = values.iter().map(|&v| v as f32).collect();
            from_host(&Cpu::default(), host, expected.len(), DIM).unwrap()
        };
        let smooth =
            |beta: f64| move |d: f64| if d.abs() < beta { 0.5 * d * d / beta } else { d.abs() - 0.5 * beta };
        type Plain = Box<dyn Fn(f64) -> f64>;
        let cases: [(RowLoss, Plain, usize); 3] = [
            (RowLoss::SmoothL1 { beta: 1.0 }, Box::new(smooth(1.0)), DIM),
            (RowLoss::SmoothL1 { beta: 1e-30 }, Box::new(f64::abs), DIM),
            (RowLoss::L2, Box::new(|d| d * d), 1),
        ];
        for (distance, plain, per_row) in cases {
            for power in [-0.5, 0.0, 2.0] {
                let loss = DistanceLoss { transform: TargetTransform::None, distance, power };
                let prediction = rows(p);
                let value = loss.loss_in_place(prediction.leaky_trace(), rows(t), &plan, grid).unwrap();
                let term =
                    |(at, (p, t)): (usize, (&f64, &f64))| expected[at / DIM].powf(power) * plain(p - t);
                let sum: f64 = p.iter().zip(t).enumerate().map(term).sum();
                let wanted = sum / (expected.len() * per_row) as f64;
                let found = f64::from(value.as_vec()[0]);
                assert!(
                    (found - wanted).abs() < 1e-5 * wanted,
                    "{distance:?}, {power}: {found}, not {wanted}"
                );
                // A slope by a central difference, in f64, of one value of every row.
                let slopes = value.backward().get(&prediction).as_vec();
                for (row, far) in expected.iter().enumerate() {
                    let at = row * DIM + row % DIM;
                    let (d, h) = (p[at] - t[at], 1e-5);
                    let change = (plain(d + h) - plain(d - h)) / (2.0 * h);
                    let wanted = far.powf(power) * change / (expected.len() * per_row) as f64;
                    assert!((f64::from(slopes[at]) - wanted).abs() < 1e-4 * wanted.abs() + 1e-6);
                }
            }
        }
    }

    /// A row that depends on others must not be cut from them.
    #[test]
    fn a_batch_is_whole_where_rows_depend_on_each_other() {
        let values = raw(6);
        for transform in [
            TargetTransform::None,
            TargetTransform::LayerNorm,
            TargetTransform::Batch,
            TargetTransform::Standardise,
            TargetTransform::DynTanh,
        ] {
            let parts =
                [&values[..2 * DIM], &values[2 * DIM..]].map(|part| applied(transform, part)).concat();
            assert_eq!(parts == applied(transform, &values), transform.is_of_rows(), "{transform:?}");
        }
    }
}
