use std::sync::Arc;

use crate::{
    image::ImageShape,
    mask::Grid,
    params::Parameters,
    problem::Problem,
    rng::Stream,
    tensor::{Cpu, Device, ModelError, Rows, Segments, TapedRows},
};

/// Which patches a packed batch holds: `positions[r]` is the patch number of row `r`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layout {
    /// Where each sequence starts.
    pub segments: Segments,
    /// Patch number of every row.
    pub positions: Arc<[u32]>,
}

impl Layout {
    /// From the visible patches of each sequence.
    pub fn new<'a>(sequences: impl IntoIterator<Item = &'a [u32]> + Clone) -> Self {
        let segments = Segments::from_lengths(sequences.clone().into_iter().map(<[u32]>::len));
        let positions = sequences.into_iter().flatten().copied().collect();
        Layout { segments, positions }
    }
    /// `count` sequences that see the whole grid.
    pub fn full(grid: Grid, count: usize) -> Self {
        let all: Vec<u32> = (0..grid.len() as u32).collect();
        Layout::new(std::iter::repeat_n(all.as_slice(), count))
    }
}

/// Pixels of the visible patches of a batch, packed.
#[derive(Clone)]
pub struct PatchBatch<D: Device<f32>> {
    /// `(patch, channel * patch * patch)`: each row is one patch, channel-major.
    pub pixels: Rows<D>,
    /// Which patches they are.
    pub layout: Layout,
    /// The grid that their numbers count on.
    pub grid: Grid,
}

/// What is wanted of an encoder, besides its input.
#[derive(Clone, Copy, Debug)]
pub struct EncodeRequest<'a> {
    /// Rows of the batch that are wanted, sorted; all if none.
    pub keep: Option<&'a [u32]>,
    /// How many of the last blocks: 1 is the output alone, at most [`EncoderSettings::layers`].
    pub layers: usize,
    /// Whether the pass belongs to training.
    pub mode: Mode<'a>,
}

impl<'a> EncodeRequest<'a> {
    /// The output for all rows, as it is evaluated.
    pub const OUTPUT: EncodeRequest<'static> = EncodeRequest { keep: None, layers: 1, mode: Mode::Eval };

    /// The output for these rows.
    pub fn of(keep: &'a [u32]) -> Self {
        EncodeRequest { keep: Some(keep), ..EncodeRequest::OUTPUT }
    }
}

/// Whether what is random in a pass (dropped paths) is drawn.
#[derive(Clone, Copy, Debug)]
pub enum Mode<'a> {
    /// Nothing is: features, targets.
    Eval,
    /// The context encoder and the predictor in a training step.
    Train(&'a TrainDraw),
}

/// Keys of what a training step draws: equal keys give equal draws, however a batch is cut into micro-batches.
#[derive(Clone, Debug, Default)]
pub struct TrainDraw {
    /// Seed of the experiment.
    pub seed: u64,
    /// Epoch, from 0.
    pub epoch: u64,
    /// Image (index in the data set) and view of every sequence.
    pub sequences: Vec<(u64, u64)>,
}

impl TrainDraw {
    /// The stream of a sequence for this purpose.
    pub fn stream(&self, purpose: &str, sequence: usize) -> Stream {
        let (image, view) = self.sequences[sequence];
        Stream::new(self.seed, &format!("{purpose}/{view}"), self.epoch, image)
    }
}

/// Mean and covariance of the patches of training images, as they are without augmentation.
#[derive(Clone, Debug, PartialEq)]
pub struct PatchMoments {
    /// Of each of the `channel * patch * patch` values of a patch, channel-major.
    pub mean: Vec<f64>,
    /// `(value, value)`, row by row.
    pub covariance: Vec<f64>,
}

impl PatchMoments {
    /// Of values that are independent, with mean 0 and variance 1: where there are no images.
    pub fn standard(width: usize) -> Self {
        let one = |at: usize| if at / width == at % width { 1.0 } else { 0.0 };
        PatchMoments { mean: vec![0.0; width], covariance: (0..width * width).map(one).collect() }
    }

    /// Of patches of `width` values, one after the other; added up in their order.
    pub fn of(patches: &[f32], width: usize) -> Self {
        let count = (patches.len() / width).max(1) as f64;
        let mut mean = vec![0.0; width];
        for patch in patches.chunks_exact(width) {
            mean.iter_mut().zip(patch).for_each(|(sum, v)| *sum += f64::from(*v));
        }
        mean.iter_mut().for_each(|sum| *sum /= count);
        let mut covariance = vec![0.0; width * width];
        for patch in patches.chunks_exact(width) {
            let off: Vec<f64> = patch.iter().zip(&mean).map(|(v, m)| f64::from(*v) - m).collect();
            for (i, row) in covariance.chunks_exact_mut(width).enumerate() {
                row.iter_mut().zip(&off[..=i]).for_each(|(sum, b)| *sum += off[i] * b / count);
            }
        }
        // The half below the diagonal was added up.
        for i in 0..width {
            for j in 0..i {
                covariance[j * width + i] = covariance[i * width + j];
            }
        }
        PatchMoments { mean, covariance }
    }
}

/// What an encoder is built for.
pub struct EncoderContext<'a, D: Device<f32>> {
    /// Where its parameters live.
    pub device: &'a D,
    /// Seed of the experiment; initial values come from [`crate::rng::Stream`]s of it.
    pub seed: u64,
    /// Shape of the images.
    pub image: ImageShape,
    /// What their patches are like, computed when it is asked for: for initial values that depend on the data.
    pub patches: &'a dyn Fn() -> PatchMoments,
}

/// Who attends to whom among the patches of some images.
#[derive(Clone, Debug, PartialEq)]
pub struct AttentionMaps {
    /// Attention heads.
    pub heads: usize,
    /// Patches of an image.
    pub patches: usize,
    /// `(image, head, patch that attends, patch that is attended to)`: shares of the attention of a patch; what goes to
    /// tokens that are no patches is left out.
    pub weights: Vec<f32>,
}

/// Settings of an encoder: checks and builds.
pub trait EncoderSettings: std::fmt::Debug + Send + Sync {
    /// What is wrong with the settings for images of this shape.
    fn check(&self, image: ImageShape) -> Vec<Problem>;
    /// Side of a square patch in pixels.
    fn patch(&self) -> usize;
    /// Width of the output tokens.
    fn dim(&self) -> usize;
    /// How many of its last blocks can be asked for their outputs, all of width [`EncoderSettings::dim`].
    fn layers(&self) -> usize {
        1
    }
    /// Whether it has a class token, which [`Encoder::class_tokens`] gives.
    fn has_class_token(&self) -> bool {
        false
    }
    /// Number of values of its parameters for images of this shape, fixed tables included, without building
    /// it; none if not known.
    fn parameters(&self, image: ImageShape) -> Option<u64> {
        let _ = image;
        None
    }
    /// What it costs to encode `visible` patches of an image of this shape, of which `kept` come out; none if
    /// not known. Budgets, estimates and the size of micro-batches rest on it.
    fn cost(&self, image: ImageShape, visible: usize, kept: usize) -> Option<Cost> {
        let _ = (image, visible, kept);
        None
    }
    /// Builds it on the CPU.
    fn cpu(&self, context: &EncoderContext<Cpu>) -> Result<Box<dyn Encoder<Cpu>>, ModelError>;
    /// Builds it on a GPU. [`crate::build_on_devices!`] writes both.
    #[cfg(feature = "cuda")]
    fn cuda(
        &self,
        context: &EncoderContext<crate::tensor::Gpu>,
    ) -> Result<Box<dyn Encoder<crate::tensor::Gpu>>, ModelError>;
}

/// What one forward pass costs: arithmetic on sizes. Backward takes twice the operations, without those of
/// `input` once: data need no gradient.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Cost {
    /// Floating-point operations of the matrix products; a multiply-add is 2.
    pub flop: f64,
    /// Those of them that read data.
    pub input: f64,
    /// Values that backward needs.
    pub activations: f64,
}

impl std::ops::Add for Cost {
    type Output = Cost;
    fn add(self, other: Cost) -> Cost {
        Cost {
            flop: self.flop + other.flop,
            input: self.input + other.input,
            activations: self.activations + other.activations,
        }
    }
}

impl std::iter::Sum for Cost {
    fn sum<I: Iterator<Item = Cost>>(all: I) -> Cost {
        all.fold(Cost::default(), std::ops::Add::add)
    }
}

/// A built encoder. Each sequence is encoded on its own: attention never crosses sequences.
///
/// Promises: one output row of width `dim` per input patch, or per entry of `keep`, in order;
/// finite; parameter names are unique; the same seed gives the same parameters; what a training pass draws
/// depends on its keys alone.
pub trait Encoder<D: Device<f32>>: Parameters<D> {
    /// Tokens of the last `layers` blocks, the output last, `(patch, dim)` each; without gradient. Every one
    /// has passed the final norm. An encoder is free not to compute rows that are not kept.
    fn encode(&self, batch: &PatchBatch<D>, request: &EncodeRequest) -> Result<Vec<Rows<D>>, ModelError>;
    /// The output of all rows, with a gradient tape that starts here.
    fn encode_taped(&self, batch: &PatchBatch<D>, mode: Mode) -> Result<TapedRows<D>, ModelError>;

    /// The output alone, as it is evaluated; of the rows `keep`, or all.
    fn tokens(&self, batch: &PatchBatch<D>, keep: Option<&[u32]>) -> Result<Rows<D>, ModelError> {
        let request = EncodeRequest { keep, ..EncodeRequest::OUTPUT };
        let layers = self.encode(batch, &request)?;
        layers.into_iter().last().ok_or_else(|| ModelError("the encoder returned no layer".into()))
    }

    /// The class token of every sequence after each of the last `layers` blocks, `(sequence, dim)`, as [`Encoder::encode`]
    /// gives the patches; none for an encoder without one.
    fn class_tokens(&self, batch: &PatchBatch<D>, layers: usize) -> Result<Option<Vec<Rows<D>>>, ModelError> {
        let _ = (batch, layers);
        Ok(None)
    }

    /// The attention of the last block in whole images, to be looked at; none for an encoder without attention.
    fn attention(&self, images: &PatchBatch<D>) -> Result<Option<AttentionMaps>, ModelError> {
        let _ = images;
        Ok(None)
    }
}
