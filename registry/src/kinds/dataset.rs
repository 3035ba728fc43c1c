use std::path::PathBuf;

use crate::{
    image::{ImageSet, ImageShape, Labels},
    problem::Problem,
};

/// Data that cannot be had: the sentence names the file, what was expected and what to do.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct DataError(pub String);

/// What loading may use besides its settings.
pub struct LoadContext<'a> {
    /// Told what is being read and how far it is: (what, done, total or 0 if unknown).
    pub progress: &'a (dyn Fn(&str, u64, u64) + Sync),
}

impl LoadContext<'_> {
    /// A context that reports to nobody.
    pub fn silent() -> LoadContext<'static> {
        LoadContext { progress: &|_, _, _| {} }
    }
}

/// One way in which a data set labels its images, without the labels.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Factor {
    /// `class`, or the factor's name.
    pub name: String,
    /// How many values it has.
    pub values: usize,
    /// Training images of every value, where names or settings tell.
    pub train: Option<Vec<usize>>,
}

/// What a data set holds, found out without decoding an image: from settings, names and file sizes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Survey {
    /// Training images.
    pub train: usize,
    /// Those of the training images that have no labels, where others have: they are trained on only.
    pub unlabelled: usize,
    /// Test images; 0 if there is no test set.
    pub test: usize,
    /// How both are labelled, the class first; empty without labels.
    pub labels: Vec<Factor>,
    /// Names of the numbers that it says of every image ([`Split::quantity`](crate::image::Split::quantity)), as far
    /// as they are known.
    pub quantities: Vec<String>,
    /// Every file that the images and labels are read from; empty if nothing is read, or not there yet.
    pub files: Vec<PathBuf>,
    /// What lies beside them and is not used, by kind: (what, how many).
    pub left_out: Vec<(String, usize)>,
}

impl Survey {
    /// Of a data set that has been loaded.
    pub fn of(set: &ImageSet) -> Self {
        let count =
            |labels: &Labels, value: usize| labels.labels.iter().filter(|l| **l as usize == value).count();
        let factor = |labels: &Labels| Factor {
            name: labels.name.clone(),
            values: labels.values.len(),
            train: Some((0..labels.values.len()).map(|value| count(labels, value)).collect()),
        };
        Survey {
            train: set.count(&set.train),
            unlabelled: set.count(&set.train) - set.labelled(&set.train),
            test: set.count(&set.test),
            labels: set.train.labels.iter().map(factor).collect(),
            quantities: set.train.quantity_names(),
            ..Survey::default()
        }
    }

    /// Training images that probes are fitted to.
    pub fn labelled(&self) -> usize {
        self.train - self.unlabelled
    }

    /// `60 images in 3 classes (48 train, 12 test); left out: 2 text files`.
    pub fn sentence(&self) -> String {
        let classes = match self.labels.first() {
            Some(class) => {
                format!("in {} {}", class.values, if class.values == 1 { "class" } else { "classes" })
            }
            None => "without labels".into(),
        };
        let test = if self.test > 0 { format!("{} test", self.test) } else { "no test images".into() };
        let unlabelled = match self.unlabelled {
            0 => String::new(),
            n => format!(", {n} of them without labels"),
        };
        let left: Vec<String> = self.left_out.iter().map(|(what, n)| format!("{n} {what}")).collect();
        let left = if left.is_empty() { String::new() } else { format!("; left out: {}", left.join(", ")) };
        format!(
            "{} images {classes} ({} train{unlabelled}, {test}){left}",
            self.train + self.test,
            self.train
        )
    }
}

/// A source of images, labelled or not.
///
/// Promises: what it loads has the announced shape, equal counts of images and labels in every
/// split (of training images, only the first ones may have labels and quantities), labels in range, finite
/// quantities, and the same bytes every time; a missing or damaged file is an error
/// that names it; a survey counts what is loaded.
pub trait Dataset: std::fmt::Debug + Send + Sync {
    /// Shape of every image, known before anything is read.
    fn shape(&self) -> ImageShape;
    /// What is wrong with the settings, without reading data.
    fn check(&self) -> Vec<Problem>;
    /// Whether the images come from files: equal settings may then mean other images, so that results are
    /// kept apart by content.
    fn reads_files(&self) -> bool {
        false
    }
    /// What it holds, without decoding an image; nothing is downloaded. None if that cannot be told. One
    /// that reads no files answers from its settings.
    fn survey(&self) -> Result<Option<Survey>, DataError> {
        Ok(None)
    }
    /// The files that the training images and the test images come from, relative to the folder of the data set,
    /// in the order in which they are loaded; none where an image is no file of its own.
    fn files(&self) -> Result<Option<[Vec<PathBuf>; 2]>, DataError> {
        Ok(None)
    }
    /// Bytes of memory that so many of its images take once they are loaded: all of theirs, unless they stay on
    /// disk.
    fn memory(&self, images: usize) -> u64 {
        (images * self.shape().len()) as u64
    }
    /// Training and test images of the data set as it was published, where every copy holds as many: what an
    /// estimate is made with while the data are not there.
    fn published_counts(&self) -> Option<(usize, usize)> {
        None
    }
    /// Reads or generates everything.
    fn load(&self, context: &LoadContext) -> Result<ImageSet, DataError>;
}
