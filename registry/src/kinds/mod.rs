//! The kinds of component: one trait each, with its shapes and its promises.
//!
//! Kinds without tensors (masking, schedule, dataset, augmentation, probe) are implemented by
//! the settings struct itself. Kinds that hold tensors (encoder, predictor, targets, loss, regularizer,
//! optimizer)
//! have a settings trait that checks and builds, and a trait of what was built on a device.

mod augmentation;
mod dataset;
mod encoder;
mod loss;
mod masking;
mod optimizer;
mod predictor;
mod probe;
mod probed_model;
mod regularizer;
mod schedule;
mod targets;
mod views;

pub use augmentation::Augmentation;
pub use dataset::{DataError, Dataset, Factor, LoadContext, Survey};
pub use encoder::{
    AttentionMaps, Cost, EncodeRequest, Encoder, EncoderContext, EncoderSettings, Layout, Mode, PatchBatch,
    PatchMoments, TrainDraw,
};
pub use loss::{Loss, LossSettings};
pub use masking::Masking;
pub use optimizer::{Optimizer, OptimizerSettings, OptimizerState, Rates, StepReport};
pub use predictor::{Prediction, PredictionPlan, Predictor, PredictorContext, PredictorSettings};
pub use probe::{
    Features, Findings, LinearClassifier, Needs, Pooling, Probe, ProbeContext, ProbeCounts, ProbeData,
    ProbeError, ProbeSizes, Quantities,
};
pub use probed_model::{EncoderCopy, FeatureGradient, ProbedModel, TuningBatch, Whose};
pub use regularizer::{Regularized, Regularizer, RegularizerContext, RegularizerSettings, StepKey};
pub use schedule::{Horizon, Schedule};
pub use targets::{TargetInput, Targets, TargetsContext, TargetsSettings, Teacher};
pub use views::ViewOptions;
