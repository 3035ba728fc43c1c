//! What all losses share: the target transform, and the loss built from a distance.

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
}

impl<D: Backend> Loss<D> for DistanceLoss {
    fn target(&self, raw: Rows<D>) -> Result<Rows<D>, ModelError> {
        self.transform.apply(raw)
    }
    fn loss(&self, prediction: TapedRows<D>, target: Rows<D>) -> Result<TapedScalar<D>, ModelError> {
        D::loss(self.distance, prediction, &target)
    }
    fn is_mean_over_rows(&self) -> bool {
        self.transform.is_of_rows()
    }
}

/// Implements [`LossSettings`] for a settings struct with a `target` field and a `distance` method.
macro_rules! distance_loss {
    ($settings:ty) => {
        impl LossSettings for $settings {
            fn check(&self) -> Vec<Problem> {
                vec![]
            }
            build_on_devices!(loss);
        }
        impl $settings {
            fn build<D: $crate::kernels::Backend>(&self) -> Box<dyn Loss<D>> {
                Box::new(DistanceLoss { transform: self.target, distance: self.distance() })
            }
        }
    };
}
pub(super) use distance_loss;

#[cfg(test)]
mod tests {
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
