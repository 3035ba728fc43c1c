//! Images and data sets as plain data.

use std::{borrow::Cow, fmt::Debug, io, panic::resume_unwind, sync::Arc};

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

/// Images that are read one at a time, since they do not fit the memory.
pub trait ImageStore: Debug + Send + Sync {
    /// How many there are.
    fn count(&self) -> usize;
    /// Reads image `i`: `(channel, row, column)` bytes.
    fn read(&self, i: usize, out: &mut [u8]) -> io::Result<()>;
}

/// What a thread unwinds with that finds an image gone: so rare, and in the middle of so much, that no reader of images
/// returns an error for it. The program catches it at its end and stops as after an interruption.
#[derive(Clone, Debug, thiserror::Error)]
#[error("image {image} of the data set can no longer be read: {why}")]
pub struct UnreadableImage {
    /// Its number in its split.
    pub image: usize,
    /// What the system says.
    pub why: String,
}

/// The pixels of some images. The default is none.
#[derive(Clone, Debug)]
pub enum Pixels {
    /// `(image, channel, row, column)` bytes.
    Memory(Vec<u8>),
    /// Read when they are needed.
    Store(Arc<dyn ImageStore>),
}

impl Default for Pixels {
    fn default() -> Self {
        Pixels::Memory(Vec::new())
    }
}

impl From<Vec<u8>> for Pixels {
    fn from(bytes: Vec<u8>) -> Self {
        Pixels::Memory(bytes)
    }
}

impl Pixels {
    /// Whether there is no image.
    pub fn is_empty(&self) -> bool {
        match self {
            Pixels::Memory(bytes) => bytes.is_empty(),
            Pixels::Store(store) => store.count() == 0,
        }
    }
    /// All bytes, if they are in memory.
    pub fn in_memory(&self) -> Option<&[u8]> {
        match self {
            Pixels::Memory(bytes) => Some(bytes),
            Pixels::Store(_) => None,
        }
    }
}

/// Images of one split. The default is empty.
#[derive(Clone, Debug, Default)]
pub struct Split {
    /// Pixels, channel-major within an image.
    pub pixels: Pixels,
    /// The class first, then further factors; train and test list the same ones. None without labels. Training
    /// images behind the labelled ones are trained on, and no probe is fitted to them.
    pub labels: Vec<Labels>,
    /// Continuous quantities; train and test list the same ones.
    pub quantities: Vec<Quantity>,
}

/// One continuous number per image, such as the position of an object.
#[derive(Clone, Debug, PartialEq)]
pub struct Quantity {
    /// Its name.
    pub name: String,
    /// One finite value per image.
    pub values: Vec<f32>,
}

impl Split {
    /// Images with classes and factors.
    pub fn new(pixels: impl Into<Pixels>, labels: Vec<Labels>) -> Self {
        Split { pixels: pixels.into(), labels, quantities: Vec::new() }
    }

    /// What `name` says of every image as a number: a quantity, or a factor whose values are all numbers.
    pub fn quantity(&self, name: &str) -> Option<Vec<f32>> {
        let own = self.quantities.iter().find(|q| q.name == name).map(|q| q.values.clone());
        let factor = || {
            let labels = self.labels.iter().find(|l| l.name == name)?;
            let numbers = Labels::numbers(&labels.values)?;
            Some(labels.labels.iter().map(|label| numbers[*label as usize]).collect())
        };
        own.or_else(factor)
    }

    /// Every name that [`Split::quantity`] knows.
    pub fn quantity_names(&self) -> Vec<String> {
        let factors =
            self.labels.iter().filter(|l| Labels::numbers(&l.values).is_some()).map(|l| l.name.clone());
        self.quantities.iter().map(|q| q.name.clone()).chain(factors).collect()
    }
}

impl Labels {
    /// The names of values as numbers; none unless all of them are.
    pub fn numbers(values: &[String]) -> Option<Vec<f32>> {
        let number = |value: &String| value.parse::<f32>().ok().filter(|v| v.is_finite());
        let numbers: Option<Vec<f32>> = values.iter().map(number).collect();
        numbers.filter(|numbers| !numbers.is_empty())
    }
}

/// A data set that has been loaded.
#[derive(Clone, Debug)]
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
        match &split.pixels {
            Pixels::Memory(bytes) => bytes.len() / self.shape.len().max(1),
            Pixels::Store(store) => store.count(),
        }
    }
    /// Images of `split` that probes use: the first ones, which have labels; all of them if none has.
    pub fn labelled(&self, split: &Split) -> usize {
        split.labels.first().map_or(self.count(split), |labels| labels.labels.len())
    }
    /// Bytes of image `i` of `split`. Unwinds with [`UnreadableImage`] if it can no longer be read from where it was when
    /// the data set was loaded.
    pub fn bytes<'a>(&self, split: &'a Split, i: usize) -> Cow<'a, [u8]> {
        let length = self.shape.len();
        match &split.pixels {
            Pixels::Memory(bytes) => Cow::Borrowed(&bytes[i * length..(i + 1) * length]),
            Pixels::Store(store) => {
                let mut bytes = vec![0; length];
                let read = store.read(i, &mut bytes);
                // No panic hook is asked: whoever catches it says what happened.
                read.unwrap_or_else(|e| {
                    resume_unwind(Box::new(UnreadableImage { image: i, why: e.to_string() }))
                });
                Cow::Owned(bytes)
            }
        }
    }
    /// Image `i` of `split` as values in 0 to 1.
    pub fn image(&self, split: &Split, i: usize) -> Image {
        let data = self.bytes(split, i).iter().map(|&b| f32::from(b) / 255.0).collect();
        Image { shape: self.shape, data }
    }
}

/// Equal images and labels, wherever the images are.
impl PartialEq for ImageSet {
    fn eq(&self, other: &Self) -> bool {
        let same = |a: &Split, b: &Split| {
            let count = self.count(a);
            a.labels == b.labels
                && a.quantities == b.quantities
                && count == other.count(b)
                && (0..count).all(|i| self.bytes(a, i) == other.bytes(b, i))
        };
        self.shape == other.shape
            && same(&self.train, &other.train)
            && same(&self.test, &other.test)
            && same(&self.validation, &other.validation)
    }
}
