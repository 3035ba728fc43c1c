use super::ProbedModel;
use crate::{mask::Grid, tensor::ModelError};

/// Which features a probe looks at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Needs {
    /// How many of the encoder's last blocks, side by side in one feature; 0 for a probe that looks at no
    /// features, but at the model.
    pub layers: usize,
    /// What is made of the tokens of an image.
    pub pooling: Pooling,
}

/// What is made of the tokens of an image, block by block.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Pooling {
    /// The mean of the patches: `(image, dim)`.
    Mean,
    /// The class token: `(image, dim)`. For an encoder that [has one](crate::kinds::EncoderSettings::has_class_token); of
    /// pixels and other features without an encoder, what `Mean` is.
    ClassToken,
    /// The class token, then the mean of the patches: `(image, 2 dim)`.
    ClassAndMean,
    /// Nothing: every patch, `(image, token, dim)`.
    Tokens,
}

impl Pooling {
    /// Whether it asks for the class token.
    pub fn reads_class_token(self) -> bool {
        matches!(self, Pooling::ClassToken | Pooling::ClassAndMean)
    }
    /// Features of an image in which there are so many patches.
    pub fn rows(self, patches: usize) -> usize {
        if self == Pooling::Tokens { patches } else { 1 }
    }
    /// Width of a feature, in widths of a token.
    pub fn widths(self) -> usize {
        if self == Pooling::ClassAndMean { 2 } else { 1 }
    }
}

impl Needs {
    /// The mean of the output tokens: `(image, dim)`.
    pub const POOLED: Needs = Needs { layers: 1, pooling: Pooling::Mean };
    /// Every output token: `(image, token, dim)`.
    pub const TOKENS: Needs = Needs { layers: 1, pooling: Pooling::Tokens };
    /// No features at all.
    pub const NONE: Needs = Needs { layers: 0, pooling: Pooling::Mean };
}

/// Frozen features of one split: row-major `(image, dim)`, or `(image, token, dim)` for a probe that needs
/// tokens.
#[derive(Clone, Copy, Debug)]
pub struct Features<'a> {
    /// Width of a feature.
    pub dim: usize,
    /// Features of one image: 1, or the number of its tokens.
    pub tokens: usize,
    /// `labels.len() x tokens x dim` values.
    pub values: &'a [f32],
    /// One class per image.
    pub labels: &'a [u32],
}

impl Features<'_> {
    /// Number of images.
    pub fn count(&self) -> usize {
        self.labels.len()
    }
    /// Features of image `i`, `(token, dim)`.
    pub fn row(&self, i: usize) -> &[f32] {
        let length = self.tokens * self.dim;
        &self.values[i * length..(i + 1) * length]
    }
}

/// What a probe is fitted to and judged on. Features come from un-augmented images.
#[derive(Clone, Copy, Debug)]
pub struct ProbeData<'a> {
    /// Fitted to.
    pub train: Features<'a>,
    /// Reported.
    pub test: Features<'a>,
    /// Number of classes; labels are below it.
    pub classes: usize,
    /// For a probe that [uses quantities](Probe::uses_quantities).
    pub quantities: Quantities<'a>,
}

impl<'a> ProbeData<'a> {
    /// Of images with classes.
    pub fn new(train: Features<'a>, test: Features<'a>, classes: usize) -> Self {
        ProbeData { train, test, classes, quantities: Quantities::default() }
    }
}

/// One continuous number per image, such as a position.
#[derive(Clone, Copy, Debug, Default)]
pub struct Quantities<'a> {
    /// Of the images that are fitted to.
    pub train: &'a [f32],
    /// Of the images that are reported.
    pub test: &'a [f32],
}

/// What a probe may use besides its settings and data.
#[derive(Clone, Copy)]
pub struct ProbeContext<'a> {
    /// Seed of the experiment; draw from [`crate::rng::Stream`]s of it only.
    pub seed: u64,
    /// Told how far the probe is: (done, total).
    pub progress: &'a (dyn Fn(u64, u64) + Sync),
    /// Blocks whose outputs stand side by side in a feature: as many as the probe needs, 1 where features come from no
    /// blocks, as pixels do.
    pub layers: usize,
    /// The grid that the tokens of an image lie on, row by row.
    pub grid: Grid,
    /// The model behind the features, for a probe that [uses it](Probe::uses_model).
    pub model: Option<&'a dyn ProbedModel>,
}

impl ProbeContext<'_> {
    /// One that nobody listens to, of images with a single token and of no model.
    pub fn silent(seed: u64) -> ProbeContext<'static> {
        ProbeContext { seed, progress: &|_, _| (), layers: 1, grid: Grid { rows: 1, cols: 1 }, model: None }
    }
}

impl<'a> ProbeContext<'a> {
    /// The model behind the features, or why there is none to look at.
    pub fn expect_model(&self) -> Result<&'a dyn ProbedModel, ProbeError> {
        self.model.ok_or_else(|| ProbeError("there is no encoder to look at".into()))
    }
}

/// How many images of which classes a probe will get, known before any feature is.
#[derive(Clone, Copy, Debug)]
pub struct ProbeCounts<'a> {
    /// Training images of every class, classes without any included; where classes are not used, those of
    /// all images as one class.
    pub train: &'a [usize],
    /// Images that it is judged on.
    pub test: usize,
}

impl ProbeCounts<'_> {
    /// Training images.
    pub fn train_images(&self) -> usize {
        self.train.iter().sum()
    }
}

/// Sizes of what a probe will get.
#[derive(Clone, Copy, Debug)]
pub struct ProbeSizes {
    /// Training images.
    pub train: usize,
    /// Images that it is judged on.
    pub test: usize,
    /// Width of a feature.
    pub dim: usize,
    /// Features of an image: 1, or the number of its tokens.
    pub tokens: usize,
    /// Number of classes.
    pub classes: usize,
}

/// A probe that cannot be fitted to this data (one class, too few images).
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct ProbeError(pub String);

impl From<ModelError> for ProbeError {
    fn from(error: ModelError) -> Self {
        ProbeError(error.0)
    }
}

/// What a probe found.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Findings {
    /// One value per declared metric, in order.
    pub values: Vec<f64>,
    /// Pictures and arrays: the ending of a file's name, such as `svg`, and what it holds. They are written
    /// into the folder `probes` of the run.
    pub files: Vec<(String, Vec<u8>)>,
    /// The class that it says every image that it is judged on is of, in their order; none if it predicts
    /// nothing.
    pub predictions: Option<Vec<u32>>,
    /// How sure it is of each of them: the probability that it gives to the class, 0 to 1; none if it gives none.
    pub scores: Option<Vec<f32>>,
    /// The linear map that it predicts with, if it is nothing else: what can be taken along as a classifier.
    pub classifier: Option<LinearClassifier>,
}

/// A linear classifier on features as they are: the class of the largest of `W x + b`.
#[derive(Clone, Debug, PartialEq)]
pub struct LinearClassifier {
    /// `W`, row-major `(class, dim)`.
    pub weight: Vec<f32>,
    /// `b`, one per class.
    pub bias: Vec<f32>,
}

impl Findings {
    /// The same with what is predicted of every image.
    pub fn predicting(self, predictions: Vec<u32>) -> Self {
        Findings { predictions: Some(predictions), ..self }
    }

    /// The same with the probability that each prediction was given.
    pub fn scoring(self, scores: Vec<f32>) -> Self {
        Findings { scores: Some(scores), ..self }
    }

    /// The same with the linear map that it predicts with.
    pub fn classifying_by(self, classifier: LinearClassifier) -> Self {
        Findings { classifier: Some(classifier), ..self }
    }
}

impl From<Vec<f64>> for Findings {
    fn from(values: Vec<f64>) -> Self {
        Findings { values, ..Findings::default() }
    }
}

/// An evaluation of frozen features.
///
/// Promises: returns exactly the declared metrics, in order; finite on finite features; a pure
/// function of data and seed, whatever the thread count; what `check_data` lets pass is measured; if it predicts,
/// one class per image, of which the share that is right is its metric `top1`, in %, and scores within 0 and 1.
pub trait Probe: std::fmt::Debug + Send + Sync {
    /// What is wrong with the settings (without data).
    fn check(&self) -> Vec<crate::problem::Problem>;
    /// Why it cannot be fitted to, or judged on, so many images: asked before training, so that nothing is
    /// computed for a probe that must fail at its end.
    fn check_data(&self, _counts: &ProbeCounts) -> Vec<crate::problem::Problem> {
        Vec::new()
    }
    /// Bytes that `measure` takes at most beside the features; none if that is not known.
    fn memory(&self, _sizes: &ProbeSizes) -> Option<u64> {
        None
    }
    /// The metrics it reports.
    fn metrics(&self) -> Vec<crate::metric::MetricDecl>;
    /// Whether it needs labels; if not, it runs once and not per label factor.
    fn uses_labels(&self) -> bool {
        true
    }
    /// Whether its `labels` name continuous quantities of the images instead of classes.
    fn uses_quantities(&self) -> bool {
        false
    }
    /// Whether it asks the model itself: pixels and other controls without an encoder are refused then.
    fn uses_model(&self) -> bool {
        false
    }
    /// Whether it says of every image which class it is of ([`Findings::predictions`]).
    fn predicts(&self) -> bool {
        false
    }
    /// Which features it looks at.
    fn needs(&self) -> Needs {
        Needs::POOLED
    }
    /// Fits and measures: one value per declared metric.
    fn measure(&self, data: &ProbeData, context: &ProbeContext) -> Result<Findings, ProbeError>;
}
