//! What lies outside of the text and is handed in: other files, and what `~` and `${VAR}` stand for.

use std::{borrow::Cow, collections::BTreeMap, sync::Arc};

use serde_json::Value;

use ijepa_registry::{
    image::ImageShape,
    kinds::{EncoderSettings, PredictorSettings, Regularized, RegularizerSettings, TargetsSettings},
    problem::Problem,
};

use super::{
    error::Report,
    init::{InitPart, InitSettings},
};

/// Reads a file by name; the error says why it cannot.
pub type ReadFile<'a> = &'a dyn Fn(&str) -> Result<String, String>;

/// Values of environment variables; `HOME` is what `~` stands for.
pub type Variables = Arc<BTreeMap<String, String>>;

/// Looks at weights and models: those that `init` names, in a run folder or a file, and those that settings describe.
pub trait ModelLookup: Send + Sync {
    /// The hash of some parts of them, or why there is none.
    fn hash(&self, from: &str, parts: &[InitPart]) -> Result<String, String>;
    /// What of them does not fit a model, parameter by parameter.
    fn misfits(&self, init: &InitSettings, model: &ModelParts) -> Vec<String>;
    /// Names of the parameters that a model learns; none if it cannot be built.
    fn parameters(&self, model: &ModelParts) -> Vec<String>;
}

/// What the parameters of a model follow from.
pub struct ModelParts<'a> {
    /// Shape of the images.
    pub image: ImageShape,
    /// The encoder.
    pub encoder: &'a dyn EncoderSettings,
    /// The predictor.
    pub predictor: &'a dyn PredictorSettings,
    /// The targets.
    pub targets: &'a dyn TargetsSettings,
    /// Name and settings of every further term of the loss, and what it looks at.
    pub terms: Vec<(&'a str, Regularized, &'a dyn RegularizerSettings)>,
}

/// Whoever looks.
pub type Models = Arc<dyn ModelLookup>;

/// Facts that the text alone does not hold.
#[derive(Clone)]
pub struct Surroundings<'a> {
    /// Reads the files that `extends` and `base` name.
    pub read: ReadFile<'a>,
    /// What variables in paths stand for.
    pub variables: Variables,
    /// Looks at weights and models; none: nobody does.
    pub models: Option<Models>,
}

impl<'a> Surroundings<'a> {
    /// Other files, no variables, and nobody who looks at weights and models.
    pub fn files(read: ReadFile<'a>) -> Self {
        Surroundings { read, variables: Variables::default(), models: None }
    }
}

/// Replaces `~`, `$VAR` and `${VAR}` in the settings that are paths.
pub(super) fn expand_paths(owner: &str, schema: &Value, settings: &mut Value, report: &mut Report) {
    let variables = report.variables();
    let Value::Object(map) = settings else { return };
    for (key, value) in map {
        let is_path = schema["properties"][key.as_str()]["x-path"] == Value::Bool(true);
        if let (true, Value::String(path)) = (is_path, value) {
            match expanded(path, &variables) {
                Ok(whole) => *path = whole.into_owned(),
                Err(message) => report.add(owner, Problem::new(key.as_str(), message)),
            }
        }
    }
}

/// A path as a shell would read it.
pub(super) fn expanded<'p>(path: &'p str, variables: &Variables) -> Result<Cow<'p, str>, String> {
    let home = || variables.get("HOME").map(String::as_str);
    let of = |name: &str| variables.get(name).map(|v| Some(v.as_str())).ok_or(());
    if path.starts_with('~') && (home().is_none() || !["~"].contains(&path) && !path.starts_with("~/")) {
        return Err(format!("is `{path}`; `~` stands for your own home folder only: write the whole path"));
    }
    shellexpand::full_with_context(path, home, of)
        .map_err(|e| format!("is `{path}`, but the environment variable `{}` is not set", e.var_name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_read_as_a_shell_reads_them() {
        let pairs = [("HOME", "/h"), ("DATA", "/d")].map(|(k, v)| (k.to_owned(), v.to_owned()));
        let variables = Variables::new(pairs.into());
        let whole = |path| expanded(path, &variables);
        assert_eq!(whole("~/pets").as_deref(), Ok("/h/pets"));
        assert_eq!(whole("${DATA}/pets").as_deref(), Ok("/d/pets"));
        assert_eq!(whole("$DATA/~x").as_deref(), Ok("/d/~x"));
        assert_eq!(whole("a/b c").as_deref(), Ok("a/b c"));
        assert!(whole("~other/x").unwrap_err().contains("whole path"));
        assert!(whole("${NONE}").unwrap_err().contains("`NONE` is not set"));
        assert!(expanded("~/x", &Variables::default()).unwrap_err().contains("whole path"));
    }
}
