//! Images and data sets as plain data.

use crate::mask::Grid;

/// Channels and pixel size of every image of a data set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ImageShape {
    /// Colour channels.
    pub channels: usize,
    /// Pixel rows.
    pub height: usize,
    /// Pixel columns.
    pub width: usize,
}

impl ImageShape {
    /// Values per image.
    pub fn len(self) -> usize {
        self.channels * self.height * self.width
    }
    /// Whether an image holds no value.
    pub fn is_empty(self) -> bool {
        self.len() == 0
    }
    /// The grid of whole square patches of side `patch`.
    pub fn grid(self, patch: usize) -> Grid {
        Grid { rows: self.height / patch, cols: self.width / patch }
    }
}

/// One image on its way to the model: `(channel, row, column)`, 0 to 1 before normalisation.
#[derive(Clone, Debug, PartialEq)]
pub struct Image {
    /// Size of `data`.
    pub shape: ImageShape,
    /// Values, channel-major.
    pub data: Vec<f32>,
}

/// One way to label a split: the class, or a factor such as colour, count or position.
#[derive(Clone, Debug, PartialEq)]
pub struct Labels {
    /// `class`, or the factor's name.
    pub name: String,
    /// Name of every value; a label is an index into this list.
    pub values: Vec<String>,
    /// One label per image; of training images perhaps only of the first ones.
    pub labels: Vec<u32>,
}

/// Images of one split, decoded: `(image, channel, row, column)` bytes. The default is empty.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Split {
    /// Pixels, channel-major within an image.
    pub pixels: Vec<u8>,
    /// The class first, then further factors; train and test list the same ones. None without labels. Training
    /// images behind the labelled ones are trained on, and no probe is fitted to them.
    pub labels: Vec<Labels>,
}

/// A data set in memory.
#[derive(Clone, Debug, PartialEq)]
pub struct ImageSet {
    /// Size of each image.
    pub shape: ImageShape,
    /// Trained on, and what probes are fitted to.
    pub train: Split,
    /// Held out: only reported. May be empty.
    pub test: Split,
    /// Taken from the training images to choose by: neither trained on nor fitted to. Empty unless an
    /// experiment asks for it.
    pub validation: Split,
}

impl ImageSet {
    /// A data set as it is loaded: nothing is taken from the training images yet.
    pub fn new(shape: ImageShape, train: Split, test: Split) -> Self {
        ImageSet { shape, train, test, validation: Split::default() }
    }
    /// Images in `split`.
    pub fn count(&self, split: &Split) -> usize {
        split.pixels.len() / self.shape.len().max(1)
    }
    /// Images of `split` that probes use: the first ones, which have labels; all of them if none has.
    pub fn labelled(&self, split: &Split) -> usize {
        split.labels.first().map_or(self.count(split), |labels| labels.labels.len())
    }
    /// Bytes of image `i` of `split`.
    pub fn bytes<'a>(&self, split: &'a Split, i: usize) -> &'a [u8] {
        &split.pixels[i * self.shape.len()..(i + 1) * self.shape.len()]
    }
    /// Image `i` of `split` as values in 0 to 1.
    pub fn image(&self, split: &Split, i: usize) -> Image {
        let data = self.bytes(split, i).iter().map(|&b| f32::from(b) / 255.0).collect();
        Image { shape: self.shape, data }
    }
}
