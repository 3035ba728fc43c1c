use std::sync::Arc;

use crate::{
    image::ImageShape,
    mask::Grid,
    params::Parameters,
    problem::Problem,
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
}

/// What an encoder is built for.
pub struct EncoderContext<'a, D: Device<f32>> {
    /// Where its parameters live.
    pub device: &'a D,
    /// Seed of the experiment; initial values come from [`crate::rng::Stream`]s of it.
    pub seed: u64,
    /// Shape of the images.
    pub image: ImageShape,
}

/// Settings of an encoder: checks and builds.
pub trait EncoderSettings: std::fmt::Debug + Send + Sync {
    /// What is wrong with the settings for images of this shape.
    fn check(&self, image: ImageShape) -> Vec<Problem>;
    /// Side of a square patch in pixels.
    fn patch(&self) -> usize;
    /// Width of the output tokens.
    fn dim(&self) -> usize;
    /// Number of values of its parameters for images of this shape, fixed tables included, without building
    /// it; none if not known.
    fn parameters(&self, image: ImageShape) -> Option<u64> {
        let _ = image;
        None
    }
    /// Builds it on the CPU.
    fn cpu(&self, context: &EncoderContext<Cpu>) -> Result<Box<dyn Encoder<Cpu>>, ModelError>;
    /// Builds it on a GPU.
    #[cfg(feature = "cuda")]
    fn cuda(
        &self,
        context: &EncoderContext<dfdx::prelude::Cuda>,
    ) -> Result<Box<dyn Encoder<dfdx::prelude::Cuda>>, ModelError>;
}

/// A built encoder. Each sequence is encoded on its own: attention never crosses sequences.
///
/// Promises: one output row of width `dim` per input patch, or per entry of `keep`, in order;
/// finite; parameter names are unique; the same seed gives the same parameters.
pub trait Encoder<D: Device<f32>>: Parameters<D> {
    /// Tokens after the final norm, without gradient. `keep` lists the rows wanted (sorted);
    /// an encoder is free not to compute the others.
    fn encode(&self, batch: &PatchBatch<D>, keep: Option<&[u32]>) -> Result<Rows<D>, ModelError>;
    /// The same with a gradient tape that starts here.
    fn encode_taped(&self, batch: &PatchBatch<D>) -> Result<TapedRows<D>, ModelError>;
}
