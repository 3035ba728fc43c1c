//! What was typed: the file, the file it extends and the overrides, laid on one another.

use std::path::Path;

use super::{
    document::{Document, mapping},
    error::{ConfigError, Located},
    merge::{expand_names, merge, short_names},
    overrides,
};

/// One tree with the place of every entry, nothing judged yet.
#[derive(Clone)]
pub(crate) struct Spec {
    pub document: Document,
    /// What overrides replaced as a whole.
    pub notes: Vec<String>,
    /// Overrides that could not be applied.
    pub problems: Vec<Located>,
}

/// Reads a file by name; what `extends` uses.
pub(crate) type ReadFile<'a> = &'a dyn Fn(&str) -> Result<String, String>;

/// Puts the layers together.
pub(crate) fn assemble(
    file_name: &str,
    text: &str,
    overrides: &[String],
    read: ReadFile,
) -> Result<Spec, ConfigError> {
    let mut document = layers(file_name, text, read).map_err(ConfigError::new)?;
    let (notes, problems) = overrides::apply(&mut document, overrides);
    Ok(Spec { document, notes, problems })
}

fn layers(file_name: &str, text: &str, read: ReadFile) -> Result<Document, Vec<Located>> {
    let mut own = file(file_name, text)?;
    let short = short_names(&own);
    expand_names(&mut own);
    let Some(base_name) = extended(&mut own)? else { return Ok(own) };
    let mut document = base(file_name, &base_name, &own, read)?;
    merge(&mut document, own, &short);
    Ok(document)
}

fn file(name: &str, text: &str) -> Result<Document, Vec<Located>> {
    let document = Document::from_file(name, text)?;
    match mapping(&document.value) {
        Ok(_) => Ok(document),
        Err(message) => {
            let help = "an experiment is a mapping such as `masking: multiblock`, one section per line";
            Err(vec![located(&document, "", format!("the file {message}"), Some(help))])
        }
    }
}

/// Takes `extends` out of the file.
fn extended(own: &mut Document) -> Result<Option<String>, Vec<Located>> {
    match own.value.as_object_mut().and_then(|top| top.shift_remove("extends")) {
        None | Some(serde_json::Value::Null) => Ok(None),
        Some(serde_json::Value::String(name)) => Ok(Some(name)),
        Some(other) => {
            let message = format!("is {}; expected a file name", super::document::describe(&other));
            Err(vec![located(own, "extends", message, None)])
        }
    }
}

/// The file `own` extends, named relative to it. It extends nothing itself: two layers can be
/// understood, a chain cannot.
fn base(file_name: &str, base_name: &str, own: &Document, read: ReadFile) -> Result<Document, Vec<Located>> {
    let folder = Path::new(file_name).parent().unwrap_or(Path::new(""));
    let path = folder.join(base_name).to_string_lossy().into_owned();
    let text =
        read(&path).map_err(|e| vec![located(own, "extends", format!("cannot read {path}: {e}"), None)])?;
    let mut base = file(&path, &text)?;
    if base.value.get("extends").is_some() {
        let help = "extend the file with the settings, and repeat the differences";
        return Err(vec![located(
            &base,
            "extends",
            "an extended file cannot extend another".into(),
            Some(help),
        )]);
    }
    expand_names(&mut base);
    Ok(base)
}

fn located(document: &Document, path: &str, message: String, help: Option<&str>) -> Located {
    Located { place: document.places.value(path), path: path.into(), message, help: help.map(Into::into) }
}
