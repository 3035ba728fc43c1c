//! What is asked for when a model is taken along.

use std::path::PathBuf;

/// Whose models can be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Library {
    /// Hugging Face's `transformers`.
    Transformers,
    /// `timm`.
    Timm,
}

/// Which classifier is wanted.
#[derive(Clone, Debug)]
pub struct ClassifierRequest {
    /// Name of a probe of the run, or of a kind of probe, or an entry of `probes` as a file holds it.
    pub probe: String,
    /// Label factor; none: the first of the probe.
    pub labels: Option<String>,
}

/// What is to be taken along.
#[derive(Clone, Debug)]
pub struct ModelRequest {
    /// For which library.
    pub library: Library,
    /// `target` or `context`; none: the target encoder if there is one.
    pub encoder: Option<&'static str>,
    /// Of which epoch; none: the last.
    pub epoch: Option<u64>,
    /// Where the data set lies now; none: where it was.
    pub data: Option<PathBuf>,
    /// A classifier on top.
    pub classifier: Option<ClassifierRequest>,
    /// Licence of the weights.
    pub license: Option<String>,
}
