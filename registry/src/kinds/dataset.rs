use crate::{
    image::{ImageSet, ImageShape},
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

/// A source of labelled images.
///
/// Promises: what it loads has the announced shape, equal counts of images and labels in every
/// split, labels in range, and the same bytes every time; a missing or damaged file is an error
/// that names it.
pub trait Dataset: std::fmt::Debug + Send + Sync {
    /// Shape of every image, known before anything is read.
    fn shape(&self) -> ImageShape;
    /// What is wrong with the settings, without reading data.
    fn check(&self) -> Vec<Problem>;
    /// Number of training images, if known before loading.
    fn train_count(&self) -> Option<usize> {
        None
    }
    /// Training and test images of the data set as it was published, where every copy holds as many: what an
    /// estimate is made with while the data are not there.
    fn published_counts(&self) -> Option<(usize, usize)> {
        None
    }
    /// Reads or generates everything.
    fn load(&self, context: &LoadContext) -> Result<ImageSet, DataError>;
}
