//! The sections of an experiment file, and the settings that belong to no component.

use std::sync::LazyLock;

use ijepa_registry::{
    entry::schema_of,
    kinds::{Horizon, Regularized, ViewOptions},
    params::MatmulPrecision,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// A section that holds a component.
pub(crate) struct Section {
    /// Key in the file.
    pub section: &'static str,
    /// Kind of component.
    pub kind: &'static str,
    /// What others call it: suggested in errors, never accepted.
    pub aliases: &'static [&'static str],
    /// The component where the section is left out; none where it is required.
    pub default: Option<&'static str>,
    /// What it is for, in the editor.
    pub about: &'static str,
}

/// Calls `$then!` with a line for each section that holds exactly one component: its key in the file, the kind,
/// what others call it, the component where it is left out, and what it is for. Reading, checking, writing,
/// identity, schema, summaries and cost follow from this table; a section is added here and used.
macro_rules! with_sections {
    ($then:ident) => {
        $then! {
            dataset: dataset, ["data"], None, "Where the images come from.";
            encoder: encoder, ["model", "backbone"], None, "Context encoder, and the form of a teacher.";
            predictor: predictor, [], None, "Guesses target tokens from context tokens.";
            masking: masking, ["mask", "masks"], None, "Which patches are context, which are targets.";
            targets: targets, ["target"], Some("ema"), "What is predicted.";
            loss: loss, ["criterion", "objective"], None, "Distance between predicted and target tokens.";
            optimizer: optimizer, ["optim", "opt", "optimiser"], None, "Updates the parameters.";
            learning_rate: schedule, ["lr"], None, "Learning rate over the steps.";
            weight_decay: schedule, ["wd", "decay"], None, "Weight decay over the steps.";
            ema: schedule, ["momentum", "teacher", "target_encoder", "tau"], None,
                "Momentum of the teacher over the steps, 0 to 1.";
        }
    };
}
pub(crate) use with_sections;

macro_rules! table {
    ($($section:ident: $kind:ident, [$($alias:literal),*], $default:expr, $about:literal;)+) => {
        /// Sections with exactly one component.
        pub(crate) const COMPONENTS: &[Section] = &[$(Section {
            section: stringify!($section),
            kind: stringify!($kind),
            aliases: &[$($alias),*],
            default: $default,
            about: $about,
        }),+];
    };
}
with_sections!(table);

/// Sections with a list of components.
pub(crate) const COMPONENT_LISTS: &[Section] = &[
    list("augmentation", "augmentation", &["augmentations", "transforms"], "Image pipeline, in order."),
    list("regularizers", "regularizer", &["regularizer", "regularization"], "Further terms of the loss."),
    list("probes", "probe", &["probe", "eval", "evaluation"], "Evaluations of the frozen encoders."),
];

/// A setting of the entries of a list that is a component itself.
pub(crate) const WEIGHT: Section = Section {
    section: "weight",
    kind: "schedule",
    aliases: &[],
    default: None,
    about: "Weight of the term.",
};

const fn list(
    section: &'static str,
    kind: &'static str,
    aliases: &'static [&'static str],
    about: &'static str,
) -> Section {
    Section { section, kind, aliases, default: None, about }
}

/// Every key a file may have at the top, in the order it is written.
pub(crate) static SECTIONS: LazyLock<Vec<&'static str>> = LazyLock::new(|| {
    let mut all = vec!["version", "extends", "name", "seed", "device"];
    for part in COMPONENTS {
        all.push(part.section);
        if part.section == "dataset" {
            all.push("augmentation");
        }
    }
    all.extend(["regularizers", "init", "train", "probes", "collapse"]);
    all
});

/// The keys that are not sections of their own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Header {
    /// Version of the file format.
    #[serde(default = "one")]
    #[schemars(range(min = 1, max = 1))]
    pub version: u64,
    /// Name of the experiment: the first part of its run folder. The file's name if left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = "^[a-z0-9_-]{1,80}$"))]
    #[schemars(extend("x-words" = "1 to 80 of the characters a-z, 0-9, - and _"))]
    pub name: Option<String>,
    /// Seed of every random stream: initial values, order, augmentation, masks, probes.
    #[serde(default)]
    pub seed: u64,
    /// Where the model runs: `auto` takes a GPU if there is one.
    #[serde(default = "auto")]
    #[schemars(regex(pattern = "^(auto|cpu|cuda(:[0-9]{1,4})?)$"))]
    #[schemars(extend("x-words" = "auto, cpu, cuda or cuda:N", "x-cosmetic" = true))]
    pub device: String,
}

fn auto() -> String {
    "auto".into()
}

/// The `train` section.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TrainSettings {
    /// Passes over the training images.
    #[schemars(range(min = 1, max = 1_000_000), extend("x-aliases" = ["num_epochs", "max_epochs", "n_epochs"]))]
    pub epochs: u64,
    /// Images per optimizer step. What is left over at the end of an epoch is dropped.
    #[schemars(range(min = 1, max = 10_000_000), extend("x-aliases" = ["bs", "batch"]))]
    pub batch_size: usize,
    /// Steps between two rows of `metrics.csv`.
    #[serde(default = "every_ten")]
    #[schemars(range(min = 1, max = 1_000_000_000), extend("x-cosmetic" = true))]
    pub log_every: u64,
    /// Epochs between two checkpoints; the last epoch always writes one.
    #[serde(default = "one")]
    #[schemars(range(min = 1, max = 1_000_000_000), extend("x-cosmetic" = true))]
    pub checkpoint_every: u64,
    /// Epochs between two of which the weights are kept, as `checkpoints/epoch-N.safetensors`, so that probes and
    /// features can look at them later; 0 keeps those of the last epoch alone.
    #[serde(default, skip_serializing_if = "is_zero")]
    #[schemars(range(min = 0, max = 1_000_000_000), extend("x-cosmetic" = true))]
    pub keep_every: u64,
    /// Whether the numbers of the run also go into event files of TensorBoard while it goes on, in `tensorboard/` of the
    /// run folder; `tensorboard --logdir results` shows them.
    #[serde(default, skip_serializing_if = "is_false")]
    #[schemars(extend("x-cosmetic" = true))]
    pub tensorboard: bool,
    /// How the matrix products of linear layers round their inputs; sums, weights and attention stay f32. On a
    /// processor `tf32` is `f32`, and `bf16_amx` is fast where there are matrix units (AMX).
    #[serde(default)]
    #[schemars(extend("x-aliases" = ["precision", "dtype", "amp"]))]
    pub matmul: MatmulPrecision,
}

impl TrainSettings {
    /// Length of the run on `train_count` images.
    pub fn horizon(&self, train_count: usize) -> Horizon {
        let steps_per_epoch = (train_count / self.batch_size.max(1)) as u64;
        let steps = self.epochs.saturating_mul(steps_per_epoch);
        Horizon { steps, steps_per_epoch, images_per_step: self.batch_size as u64 }
    }
}

fn every_ten() -> u64 {
    10
}

fn one() -> u64 {
    1
}

fn is_zero(n: &u64) -> bool {
    *n == 0
}

fn is_false(b: &bool) -> bool {
    !b
}

/// Keys of the data set that belong to no kind of it; its other keys are the component's settings.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct DataOptions {
    /// Training images to hold out, as many of each class as its share, the same for every seed. They are
    /// not trained on, probes are not fitted to them but measured on them too (`split` is `validation`):
    /// settings can then be chosen without looking at the test images.
    pub validation: usize,
}

/// Keys of a regularizer that belong to no kind of it; its other keys are the component's settings.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RegularizerOptions {
    /// Name of its column `loss.NAME` in `metrics.csv`; the kind if left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = "^[a-z0-9_-]{1,80}$"))]
    #[schemars(extend("x-words" = "1 to 80 of the characters a-z, 0-9, - and _"))]
    pub name: Option<String>,
    /// What it looks at.
    #[serde(default = "pooled_context")]
    pub on: Regularized,
}

fn pooled_context() -> Regularized {
    Regularized::PooledContext
}

/// Schema of the keys that every component of a kind has in a file, whatever its own settings are.
pub(crate) fn options_of(kind: &str) -> Option<Value> {
    let schema = match kind {
        "dataset" => schema_of::<DataOptions>(),
        "masking" => schema_of::<ViewOptions>(),
        "regularizer" => schema_of::<RegularizerOptions>(),
        "probe" => schema_of::<ProbeOptions>(),
        _ => return None,
    };
    Some(schema.to_value())
}

/// Which encoder is frozen and probed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ProbedEncoder {
    /// The teacher: the moving average.
    Target,
    /// The student.
    Context,
}

/// What a probe is compared with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Control {
    /// The same encoder before training.
    RandomInit,
    /// The raw pixels.
    Pixels,
    /// A linear encoder: principal components of the patches of training images, as many as the encoder's width.
    Pca,
}

impl Control {
    /// Whether it has an encoder of the experiment behind it.
    pub fn is_encoder(self) -> bool {
        self == Control::RandomInit
    }
}

/// Keys of a probe that say when and on what it runs; its other keys are the component's settings.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ProbeOptions {
    /// Name of its rows in `probes.csv`; the kind if left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = "^[a-z0-9_-]{1,80}$"))]
    #[schemars(extend("x-words" = "1 to 80 of the characters a-z, 0-9, - and _"))]
    pub name: Option<String>,
    /// Epochs between two measurements; 0 measures only at the end.
    #[serde(default)]
    #[schemars(range(min = 0, max = 1_000_000_000))]
    pub every: u64,
    /// Encoders to probe.
    #[serde(default = "target_only")]
    #[schemars(length(min = 1), extend("uniqueItems" = true))]
    pub encoders: Vec<ProbedEncoder>,
    /// Baselines to measure once beside them.
    #[serde(default)]
    #[schemars(extend("uniqueItems" = true))]
    pub controls: Vec<Control>,
    /// Label factors of the data set.
    #[serde(default = "class_only")]
    #[schemars(length(min = 1), extend("uniqueItems" = true))]
    pub labels: Vec<String>,
    /// Whether to leave what it says of every image, as `probes/NAME-....predictions.csv`.
    #[serde(default)]
    pub predictions: bool,
}

fn target_only() -> Vec<ProbedEncoder> {
    vec![ProbedEncoder::Target]
}

fn class_only() -> Vec<String> {
    vec!["class".into()]
}

/// Where the model runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Device {
    /// A GPU if the program was built for one and one is there, else the CPU.
    Auto,
    /// The CPU.
    Cpu,
    /// The GPU of this number.
    Cuda(usize),
}

impl std::str::FromStr for Device {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        match text {
            "auto" => Ok(Device::Auto),
            "cpu" => Ok(Device::Cpu),
            "cuda" => Ok(Device::Cuda(0)),
            other => other.strip_prefix("cuda:").and_then(|n| n.parse().ok()).map(Device::Cuda).ok_or(()),
        }
    }
}

impl std::fmt::Display for Device {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        match self {
            Device::Auto => write!(f, "auto"),
            Device::Cpu => write!(f, "cpu"),
            Device::Cuda(n) => write!(f, "cuda:{n}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn devices_read_back_as_written() {
        for device in [Device::Auto, Device::Cpu, Device::Cuda(0), Device::Cuda(3)] {
            assert_eq!(device.to_string().parse(), Ok(device));
        }
        assert_eq!("cuda".parse(), Ok(Device::Cuda(0)));
        assert!("gpu".parse::<Device>().is_err() && "cuda:x".parse::<Device>().is_err());
    }

    #[test]
    fn every_component_section_is_a_section() {
        for part in COMPONENTS.iter().chain(COMPONENT_LISTS) {
            assert!(SECTIONS.contains(&part.section), "{}", part.section);
        }
    }
}
