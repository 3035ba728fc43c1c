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

/// A probe that cannot be fitted to this data (one class, too few images).
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct ProbeError(pub String);

/// An evaluation of frozen features.
///
/// Promises: returns exactly the declared metrics, in order; finite on finite features; a pure
/// function of data and seed, whatever the thread count.
pub trait Probe: std::fmt::Debug + Send + Sync {
    /// What is wrong with the settings (without data).
    fn check(&self) -> Vec<crate::problem::Problem>;
    /// The metrics it reports.
    fn metrics(&self) -> Vec<crate::metric::MetricDecl>;
    /// Whether it needs labels; if not, it runs once and not per label factor.
    fn uses_labels(&self) -> bool {
        true
    }
    /// Fits and measures: one value per declared metric.
    fn measure(&self, data: &ProbeData, context: &ProbeContext) -> Result<Vec<f64>, ProbeError>;
}
