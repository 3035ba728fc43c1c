//! One training run: computes and tells, never prints and never writes.

mod collapse;
mod deferred;
mod device_images;
mod features;
mod fitting;
mod patch_pca;
mod plan;
mod probe_data;
mod probed_model;
mod probing;
mod run_loop;
mod session;
mod step;

pub use deferred::{StepMeasure, StepNumbers};
pub use device_images::SplitImages;
pub use features::{Extractor, FEATURE_BATCH, Subject, TakeFeatures};
pub use plan::{PlannedProbe, RunPlan};
pub use run_loop::{Emit, Until, run};
pub use session::Session;
pub use step::StepResult;

use ijepa_registry::tensor::ModelError;

/// What ends a run other than its last step.
#[derive(Debug, thiserror::Error)]
pub enum TrainError {
    /// The model or the device failed.
    #[error("the model failed: {0}")]
    Model(#[from] ModelError),
    /// A probe cannot be fitted.
    #[error("probe `{0}` failed: {1}")]
    Probe(String, String),
    /// The loss or the gradient of a step was not finite; [`run`] makes an outcome of it.
    #[error("{0}")]
    Diverged(String),
    /// A checkpoint does not belong to this experiment.
    #[error("the checkpoint does not fit: {0}")]
    Restore(String),
    /// A sink refused an event (a full disk, say).
    #[error("{0}")]
    Sink(#[from] std::io::Error),
}
