//! One experiment file from which many experiments are made, each with a few settings changed.

use serde_json::Value;

use super::{
    build,
    document::Document,
    error::ConfigError,
    experiment::Experiment,
    layers::{self, Spec},
    merge::is_component,
    overrides,
    span::{EntrySpans, SourceMap, Span},
    surroundings::Surroundings,
};

/// A new value for one setting, or for a whole section, and the place that asked for it.
#[derive(Clone, Debug)]
pub(crate) struct Change {
    /// Dotted path in the experiment.
    pub path: String,
    /// The value and the places of everything in it, under `path`.
    pub value: Document,
}

impl Change {
    /// The entry `from` of `document`, to be put at `path`. `key` is the entry that names the path.
    pub fn typed(path: &str, document: &Document, key: &str, from: &str, value: &Value) -> Self {
        let path = slot(path);
        let mut places = document.places.moved(from, path);
        let empty = document.places.is_empty(from);
        places.insert(
            path,
            EntrySpans { key: document.places.key(key), value: document.places.value(from), empty },
        );
        Change { path: path.into(), value: Document { value: value.clone(), places } }
    }

    /// A value that nobody typed, asked for at `span`.
    pub fn computed(path: &str, value: Value, span: Span) -> Self {
        let path = slot(path);
        let mut places = SourceMap::new(span.clone());
        places.insert(path, EntrySpans::at(span));
        Change { path: path.into(), value: Document { value, places } }
    }

    /// Where the value was asked for.
    pub fn span(&self) -> Span {
        self.value.places.value(&self.path)
    }
}

/// `masking.kind` is another spelling of `masking`.
pub(crate) fn slot(path: &str) -> &str {
    path.strip_suffix(".kind").filter(|p| is_component(p)).unwrap_or(path)
}

/// An experiment file with the overrides of the command line laid on it.
pub(crate) struct Base {
    file_name: String,
    spec: Spec,
}

impl Base {
    /// Reads a file as [`super::load`] does, without judging it.
    pub fn read(
        file_name: &str,
        text: &str,
        overrides: &[String],
        outside: &Surroundings,
    ) -> Result<Self, ConfigError> {
        let spec = layers::assemble(file_name, text, overrides, outside)?;
        Ok(Base { file_name: file_name.into(), spec })
    }

    /// The experiment with `changes`. Notes on what they replace are left out: whoever asks for a
    /// whole component knows.
    pub fn with(&self, changes: &[Change]) -> Result<Experiment, ConfigError> {
        let mut spec = self.spec.clone();
        let (_, problems) = overrides::apply_changes(&mut spec.document, changes.to_vec());
        spec.problems.extend(problems);
        build::build(&self.file_name, spec)
    }
}
