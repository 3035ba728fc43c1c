/// Frozen features of one split: row-major `(image, dim)`.
#[derive(Clone, Copy, Debug)]
pub struct Features<'a> {
    /// Width of a feature.
    pub dim: usize,
    /// `labels.len() x dim` values.
    pub values: &'a [f32],
    /// One class per image.
    pub labels: &'a [u32],
}

impl Features<'_> {
    /// Number of images.
    pub fn count(&self) -> usize {
        self.labels.len()
    }
    /// Feature of image `i`.
    pub fn row(&self, i: usize) -> &[f32] {
        &self.values[i * self.dim..(i + 1) * self.dim]
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
}

/// What a probe may use besides its settings and data.
pub struct ProbeContext<'a> {
    /// Seed of the experiment; draw from [`crate::rng::Stream`]s of it only.
    pub seed: u64,
    /// Told how far the probe is: (done, total).
    pub progress: &'a (dyn Fn(u64, u64) + Sync),
}

/// How many images of which classes a probe will get, known before any feature is.
#[derive(Clone, Copy, Debug)]
pub struct ProbeCounts<'a> {
    /// Training images of every class, classes without any included; where labels are not used, those of
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
    /// Number of classes.
    pub classes: usize,
}

/// A probe that cannot be fitted to this data (one class, too few images).
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct ProbeError(pub String);

/// An evaluation of frozen features.
///
/// Promises: returns exactly the declared metrics, in order; finite on finite features; a pure
/// function of data and seed, whatever the thread count; what `check_data` lets pass is measured.
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
    /// Fits and measures: one value per declared metric.
    fn measure(&self, data: &ProbeData, context: &ProbeContext) -> Result<Vec<f64>, ProbeError>;
}
