//! The nine kinds of component: one trait each, with its shapes and its promises.
//!
//! Kinds without tensors (masking, schedule, dataset, augmentation, probe) are implemented by
//! the settings struct itself. Kinds that hold tensors (encoder, predictor, loss, optimizer)
//! have a settings trait that checks and builds, and a trait of what was built on a device.

mod augmentation;
mod dataset;
mod encoder;
mod loss;
mod masking;
mod optimizer;
mod predictor;
mod probe;
mod schedule;

pub use augmentation::Augmentation;
pub use dataset::{DataError, Dataset, Factor, LoadContext, Survey};
pub use encoder::{Encoder, EncoderContext, EncoderSettings, Layout, PatchBatch};
pub use loss::{Loss, LossSettings};
pub use masking::Masking;
pub use optimizer::{Average, Optimizer, OptimizerSettings, OptimizerState, Rates, StepReport};
pub use predictor::{Prediction, PredictionPlan, Predictor, PredictorContext, PredictorSettings};
pub use probe::{Features, Probe, ProbeContext, ProbeCounts, ProbeData, ProbeError, ProbeSizes};
pub use schedule::{Horizon, Schedule};
