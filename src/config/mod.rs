//! YAML text to a validated experiment. Pure: text in, value or all errors out.
//!
//! ```text
//! text -> document (tree + places) -> spec (extended files and overrides laid on) -> experiment
//! ```

mod build;
mod change;
mod characters;
mod checks;
mod collapse;
mod component;
mod cosmetic;
mod data;
mod document;
mod error;
mod experiment;
mod flat;
mod history;
mod identity;
mod init;
mod layers;
mod merge;
mod naming;
mod overrides;
mod parts;
mod scarce;
mod schedules;
mod schema;
mod sections;
mod settings;
mod span;
mod summary;
mod surroundings;
mod wording;

pub(crate) use change::{Base, Change, slot};
pub use collapse::{CollapseRule, WATCHED_COLUMNS};
pub use component::Component;
pub(crate) use component::default_of;
pub(crate) use cosmetic::cosmetic_paths;
pub use data::DataFacts;
pub(crate) use document::{Document, describe, mapping};
pub use error::{ConfigError, Located};
pub use experiment::{
    Experiment, Measurement, ProbeSpec, RegularizerSpec, VALIDATION, last_measurements, metric_name,
    term_columns,
};
pub use flat::{cell, flat_settings};
pub(crate) use history::{modern, modernize, renamed};
pub(crate) use identity::identity;
pub use init::{InitPart, InitSettings};
pub(crate) use layers::{drop_anchors, relative};
pub(crate) use naming::paths_of;
pub(crate) use parts::stored_probes;
pub use scarce::LabelCounts;
pub use schema::schema;
pub use sections::{Control, Device, ProbedEncoder, TrainSettings};
pub use span::Span;
pub(crate) use span::join;
pub use surroundings::{ModelLookup, ModelParts, Models, ReadFile, Surroundings, Variables};
pub use wording::range as describe_range;
pub(crate) use wording::{bare, did_you_mean};

/// Reads an experiment: the text of `file_name`, with `key=value` overrides laid on it. `read`
/// returns the text of the file that `extends` names. There are no variables: see [`load_in`].
pub fn load(
    file_name: &str,
    text: &str,
    overrides: &[String],
    read: ReadFile,
) -> Result<Experiment, ConfigError> {
    load_in(&Surroundings::files(read), file_name, text, overrides)
}

/// The experiment of a run folder, whatever version of the program wrote it.
pub fn load_stored(file_name: &str, text: &str, overrides: &[String]) -> Result<Experiment, ConfigError> {
    let alone = |_: &str| Err("the experiment of a run extends nothing".into());
    load(file_name, &history::modern(text), overrides, &alone)
}

/// The same, with everything that the surroundings offer.
pub fn load_in(
    outside: &Surroundings,
    file_name: &str,
    text: &str,
    overrides: &[String],
) -> Result<Experiment, ConfigError> {
    build::build(file_name, layers::assemble(file_name, text, overrides, outside)?)
}
