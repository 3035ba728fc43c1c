//! YAML text to a validated experiment. Pure: text in, value or all errors out.
//!
//! ```text
//! text -> document (tree + places) -> spec (extended files and overrides laid on) -> experiment
//! ```

mod brief;
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
mod identity;
mod merge;
mod naming;
mod overrides;
mod place;
mod scarce;
mod schedules;
mod schema;
mod sections;
mod sentences;
mod settings;
mod spec;
mod surroundings;

pub(crate) use build::stored_probes;
pub(crate) use change::{Base, Change, slot};
pub use collapse::{CollapseRule, WATCHED_COLUMNS};
pub use component::Component;
pub(crate) use cosmetic::cosmetic_paths;
pub use data::DataFacts;
pub(crate) use document::{Document, describe, mapping};
pub use error::{ConfigError, Located};
pub use experiment::{Experiment, Measurement, ProbeSpec, VALIDATION, last_measurements, metric_name};
pub(crate) use identity::identity;
pub(crate) use naming::paths_of;
pub use place::Place;
pub(crate) use place::join;
pub use scarce::LabelCounts;
pub use schema::schema;
pub use sections::{Control, Device, ProbedEncoder, TrainSettings};
pub use sentences::range as describe_range;
pub(crate) use sentences::{bare, did_you_mean};
pub(crate) use spec::{drop_anchors, relative};
pub use surroundings::{ReadFile, Surroundings, Variables};

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

/// The same, with everything that the surroundings offer.
pub fn load_in(
    outside: &Surroundings,
    file_name: &str,
    text: &str,
    overrides: &[String],
) -> Result<Experiment, ConfigError> {
    build::build(file_name, spec::assemble(file_name, text, overrides, outside)?)
}
