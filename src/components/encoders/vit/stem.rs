//! What makes tokens of patches.

use dfdx::prelude::{HasShape, ReshapeTo};
use ijepa_registry::prelude::*;
use nalgebra::{DMatrix, SymmetricEigen};

use crate::{
    kernels::{Backend, Function, NONE},
    nn::{Init, Linear, Norm, NormKind, cost},
};

/// How patches become tokens. Each sees its own pixels alone, so that nothing of a target leaks into the context.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum StemKind {
    /// One linear map of all values of a patch.
    #[default]
    Linear,
    /// Convolutions of 3 x 3 and stride 2, a layer norm over the channels and a ReLU behind each, until one place per
    /// patch is left, then a linear map; the last has `dim` channels, the one before half of them, and so on
    /// (Xiao et al. 2021, arXiv 2106.14881, with batch norms). Zeros stand beyond the edges of each patch: a convolution
    /// across them would show the context a row of pixels of its targets. The side of a patch is a power of 2.
    Conv,
    /// A fixed whitening of the patches, then the linear map: `(C + e)^(-1/2) (x - m)` (ZCA, Bell and Sejnowski 1997),
    /// with mean `m` and covariance `C` of up to 65,536 patches of training images without augmentation and `e` a
    /// thousandth of their mean variance. Jordan 2024, arXiv 2404.00498, starts fast CIFAR-10 training from a whitened
    /// first layer.
    Whitened,
}

/// Side of a kernel.
const KERNEL: usize = 3;
/// Epsilon of the norms behind convolutions.
const NORM_EPS: f64 = 1e-6;
/// What is added to variances before their root, as a share of their mean.
const WHITENING_EPS: f64 = 1e-3;

impl StemKind {
    /// What is wrong with it for patches of this side.
    pub fn check(self, patch: usize) -> Option<Problem> {
        let odd = self == StemKind::Conv && !(patch > 1 && patch.is_power_of_two());
        odd.then(|| {
            let message = format!(
                "conv halves a patch until one place is left, which a side of {patch} does not allow"
            );
            Problem::new("stem", message).help("patches of 2, 4, 8, 16, 32 or 64 pixels, or `stem: linear`")
        })
    }

    /// Sides and channels of what every convolution reads, and the channels of what it makes.
    fn convolutions(self, patch: usize, channels: usize, dim: usize) -> Vec<[usize; 3]> {
        let count = if self == StemKind::Conv { patch.ilog2() } else { 0 };
        let width = |i: u32| (dim >> (count - i)).max(1);
        (1..=count)
            .map(|i| [patch >> (i - 1), if i == 1 { channels } else { width(i - 1) }, width(i)])
            .collect()
    }

    /// Number of its values.
    pub fn parameters(self, patch: usize, channels: usize, dim: usize) -> u64 {
        let pixels = channels * patch * patch;
        let of_convolution = |[_, input, output]: [usize; 3]| output * (KERNEL * KERNEL * input + 3);
        let count = match self {
            StemKind::Linear => dim * (pixels + 1),
            StemKind::Whitened => dim * (pixels + 1) + pixels * (pixels + 1),
            StemKind::Conv => {
                let all = self.convolutions(patch, channels, dim).into_iter();
                all.map(of_convolution).sum::<usize>() + dim * (dim + 1)
            }
        };
        count as u64
    }

    /// What it costs to embed so many patches.
    pub fn cost(self, rows: usize, patch: usize, channels: usize, dim: usize) -> Cost {
        let pixels = channels * patch * patch;
        let linear = cost::embedding(rows, pixels, dim);
        match self {
            StemKind::Linear => linear,
            // Fixed, and of data: backward needs nothing of it.
            StemKind::Whitened => {
                let flop = cost::linear(rows, pixels, pixels);
                linear + Cost { flop, input: 2.0 * flop, activations: 0.0 }
            }
            StemKind::Conv => {
                let one = |[side, input, output]: [usize; 3]| {
                    let (places, seen) = (rows * (side / 2).pow(2), KERNEL * KERNEL * input);
                    let flop = cost::linear(places, seen, output);
                    let input = if side == patch { flop } else { 0.0 };
                    Cost { flop, input, activations: (places * (seen + 2 * output)) as f64 }
                };
                let all = self.convolutions(patch, channels, dim).into_iter().map(one);
                all.sum::<Cost>() + cost::projection(rows, dim, dim)
            }
        }
    }
}

/// A convolution with its norm.
struct Convolution<D: Device<f32>> {
    /// Side of what it reads.
    side: usize,
    /// `[out, 3, 3, in]`
    map: Linear<D>,
    norm: Norm<D>,
}

/// What happens to pixels before the linear map.
enum Before<D: Device<f32>> {
    Nothing,
    Convolutions(Vec<Convolution<D>>),
    /// `[value, value]` and `[value]`.
    Whitening([Param<D>; 2]),
}

/// The built stem.
pub(super) struct Stem<D: Device<f32>> {
    before: Before<D>,
    project: Linear<D>,
    channels: usize,
}

impl<D: Backend> Stem<D> {
    pub fn new(
        kind: StemKind,
        init: &Init<D>,
        context: &EncoderContext<D>,
        patch: usize,
        dim: usize,
    ) -> Self {
        let channels = context.image.channels;
        let convolution = |(i, [side, input, output]): (usize, [usize; 3])| Convolution {
            side,
            map: Linear::new(init, &format!("patch_embed.conv.{i}"), &[output, KERNEL, KERNEL, input]),
            norm: Norm::new(init, &format!("patch_embed.norm.{i}"), output, NORM_EPS, NormKind::LayerNorm),
        };
        let all = kind.convolutions(patch, channels, dim).into_iter().enumerate();
        let before = match kind {
            StemKind::Linear => Before::Nothing,
            StemKind::Conv => Before::Convolutions(all.map(convolution).collect()),
            StemKind::Whitened => Before::Whitening(whitening(init, &(context.patches)())),
        };
        let shape = [dim, channels, patch, patch];
        let shape = if kind == StemKind::Conv { &[dim, dim][..] } else { &shape };
        Stem { before, project: Linear::new(init, "patch_embed.proj", shape), channels }
    }

    /// `(patch, channel * patch * patch)` to `(patch, dim)`, with `tape` from here on.
    pub fn forward<T: Tape<f32, D>>(&self, pixels: &Rows<D>, tape: T) -> Result<Rows<D, T>, ModelError> {
        match &self.before {
            Before::Nothing => self.project.forward_input(pixels, tape),
            Before::Whitening([weight, bias]) => {
                // Whatever products are rounded to: small eigenvalues have large factors.
                let exact = MatmulPrecision::F32;
                let white = D::linear_of_input(pixels, &weight.data, &bias.data, exact, NoneTape)?;
                self.project.forward_input(&white, tape)
            }
            Before::Convolutions(all) => {
                let (count, values) = *pixels.shape();
                let single = pixels.clone().try_reshape_like(&(count * values, 1));
                let single: Rows<D> = single.map_err(ModelError::from_debug)?;
                let mut next = all.iter();
                let Some(first) = next.next() else { return self.project.forward_input(pixels, tape) };
                let index = windows(count, first.side, self.channels);
                let seen = D::gather_rows_wide(single, &index, KERNEL * KERNEL * self.channels)?;
                let mut x = first.finish(first.map.forward_input(&seen, tape)?)?;
                for convolution in next {
                    let index = windows(count, convolution.side, 1);
                    let seen = D::gather_rows_wide(x, &index, KERNEL * KERNEL)?;
                    x = convolution.finish(convolution.map.forward(seen)?)?;
                }
                self.project.forward(x)
            }
        }
    }

    /// Every parameter, in a fixed order.
    pub fn params(&self) -> Vec<&Param<D>> {
        let mut all: Vec<&Param<D>> = match &self.before {
            Before::Nothing => vec![],
            Before::Whitening(fixed) => fixed.iter().collect(),
            Before::Convolutions(all) => {
                all.iter().flat_map(|c| c.map.params.iter().chain(c.norm.params())).collect()
            }
        };
        all.extend(&self.project.params);
        all
    }
    /// The same, to be updated.
    pub fn params_mut(&mut self) -> Vec<&mut Param<D>> {
        let mut all: Vec<&mut Param<D>> = match &mut self.before {
            Before::Nothing => vec![],
            Before::Whitening(fixed) => fixed.iter_mut().collect(),
            Before::Convolutions(all) => {
                all.iter_mut().flat_map(|c| c.map.params.iter_mut().chain(c.norm.params_mut())).collect()
            }
        };
        all.extend(&mut self.project.params);
        all
    }
}

impl<D: Backend> Convolution<D> {
    fn finish<T: Tape<f32, D>>(&self, x: Rows<D, T>) -> Result<Rows<D, T>, ModelError> {
        D::map(self.norm.forward(x)?, Function::Relu)
    }
}

/// For every place of the output of a convolution of stride 2, patch by patch: the values of its window, of `side` x
/// `side` places in each of `planes` planes, kernel row by kernel row and plane by plane inside; none beyond the edges.
fn windows(patches: usize, side: usize, planes: usize) -> Vec<u32> {
    let within = |place: usize, k: usize| (2 * place + k).checked_sub(1).filter(|&at| at < side);
    let mut index = Vec::with_capacity(patches * (side / 2).pow(2) * KERNEL * KERNEL * planes);
    for patch in 0..patches {
        for place in 0..(side / 2).pow(2) {
            for k in 0..KERNEL * KERNEL {
                let y = within(place / (side / 2), k / KERNEL);
                let x = within(place % (side / 2), k % KERNEL);
                let at = |plane: usize| {
                    let (y, x) = (y?, x?);
                    Some((((patch * planes + plane) * side + y) * side + x) as u32)
                };
                index.extend((0..planes).map(|plane| at(plane).unwrap_or(NONE)));
            }
        }
    }
    index
}

/// Matrix and shift of a whitening, which are not trained.
fn whitening<D: Backend>(init: &Init<D>, moments: &PatchMoments) -> [Param<D>; 2] {
    let width = moments.mean.len();
    let (matrix, shift) = zca(moments);
    let narrow = |values: &[f64]| values.iter().map(|v| *v as f32).collect();
    [
        init.fixed("patch_embed.whiten.weight", &[width, width], narrow(&matrix)),
        init.fixed("patch_embed.whiten.bias", &[width], narrow(&shift)),
    ]
}

/// `W = (C + e)^(-1/2)` and `-W m`. `W` is a function of the matrix: eigenvectors may be chosen in any way.
fn zca(moments: &PatchMoments) -> (Vec<f64>, Vec<f64>) {
    let width = moments.mean.len();
    let covariance = DMatrix::from_row_slice(width, width, &moments.covariance);
    let eps = WHITENING_EPS * (covariance.trace() / width as f64).max(f64::MIN_POSITIVE.sqrt());
    let SymmetricEigen { eigenvectors, eigenvalues } = SymmetricEigen::new(covariance);
    let scales = eigenvalues.map(|l| 1.0 / (l.max(0.0) + eps).sqrt());
    let matrix = &eigenvectors * DMatrix::from_diagonal(&scales) * eigenvectors.transpose();
    let shift = -(&matrix * DMatrix::from_column_slice(width, 1, &moments.mean));
    // Symmetric, so that rows are columns.
    (matrix.as_slice().to_vec(), shift.as_slice().to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_stay_within_their_patch() {
        // The last of four places of the second patch sees rows 1 to 3 and columns 1 to 3 of 4 x 4.
        let index = windows(2, 4, 1);
        assert_eq!(index.len(), 2 * 4 * 9);
        assert_eq!(index[7 * 9..], [21, 22, 23, 25, 26, 27, 29, 30, 31]);
        // The first sees nothing beyond its edges, in every plane.
        let planes = windows(1, 2, 2);
        let none = [NONE; 2];
        let expected = [none, none, none, none, [0, 4], [1, 5], none, [2, 6], [3, 7]].concat();
        assert_eq!(planes, expected);
        let own = |patch: usize| index[patch * 36..][..36].iter().filter(|i| **i != NONE);
        assert!(own(0).all(|i| *i < 16) && own(1).all(|i| (16..32).contains(i)));
    }

    #[test]
    fn white_patches_have_mean_0_and_covariance_1() {
        let mut stream = Stream::new(1, "test/whitening", 0, 0);
        let (width, count) = (12, 4000);
        let mut values = Vec::new();
        for _ in 0..count {
            let shared = stream.normal();
            values.extend(
                (0..width).map(|i| (0.5 + 0.4 * shared + (0.2 + 0.05 * i as f64) * stream.normal()) as f32),
            );
        }
        let (matrix, shift) = zca(&PatchMoments::of(&values, width));
        let white = |patch: &[f32]| -> Vec<f32> {
            let out = |row: &[f64]| row.iter().zip(patch).map(|(w, v)| w * f64::from(*v)).sum::<f64>();
            matrix.chunks_exact(width).zip(&shift).map(|(row, b)| (out(row) + b) as f32).collect()
        };
        let found: Vec<f32> = values.chunks_exact(width).flat_map(white).collect();
        let PatchMoments { mean, covariance } = PatchMoments::of(&found, width);
        assert!(mean.iter().all(|m| m.abs() < 1e-6));
        for (at, value) in covariance.iter().enumerate() {
            let one = if at / width == at % width { 1.0 } else { 0.0 };
            // A thousandth of the mean variance was added to variances down to a tenth of it.
            assert!((value - one).abs() < 2e-2, "covariance {at} is {value}");
        }
    }

    #[test]
    fn channels_double_from_convolution_to_convolution() {
        let all = StemKind::Conv.convolutions(16, 3, 384);
        assert_eq!(all, [[16, 3, 48], [8, 48, 96], [4, 96, 192], [2, 192, 384]]);
        assert!(StemKind::Conv.check(6).is_some() && StemKind::Conv.check(1).is_some());
        assert!(StemKind::Conv.check(4).is_none() && StemKind::Linear.check(6).is_none());
    }
}
