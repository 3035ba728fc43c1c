//! YAML text to a validated experiment. Pure: text in, value or all errors out.
//!
//! ```text
//! text -> document (tree + places) -> spec (extends and overrides laid on) -> experiment
//! ```

mod brief;
mod build;
mod change;
mod checks;
mod collapse;
mod component;
mod cosmetic;
mod document;
mod error;
mod experiment;
mod identity;
mod merge;
mod overrides;
mod place;
mod schema;
mod sections;
mod sentences;
mod settings;
mod spec;

pub(crate) use build::stored_probes;
pub(crate) use change::{Base, Change, slot};
pub use collapse::{CollapseRule, WATCHED_COLUMNS};
pub use component::Component;
pub(crate) use cosmetic::cosmetic_paths;
pub(crate) use document::{Document, describe, mapping};
pub use error::{ConfigError, Located};
pub use experiment::{Experiment, ProbeSpec, metric_name};
pub(crate) use identity::identity;
pub use place::Place;
pub(crate) use place::join;
pub use schema::schema;
pub use sections::{Control, Device, ProbedEncoder, TrainSettings};
pub use sentences::range as describe_range;
pub(crate) use sentences::{bare, did_you_mean};

/// Reads an experiment: the text of `file_name`, with `key=value` overrides laid on it. `read`
/// returns the text of the file that `extends` names.
pub fn load(
    file_name: &str,
    text: &str,
    overrides: &[String],
    read: &dyn Fn(&str) -> Result<String, String>,
) -> Result<Experiment, ConfigError> {
    build::build(file_name, spec::assemble(file_name, text, overrides, read)?)
}
