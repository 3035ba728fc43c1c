//! What was typed: the file, the files it extends and the overrides, laid on one another.

use std::path::{Component, Path, PathBuf};

use super::{
    document::{Document, describe, mapping},
    error::{ConfigError, Located},
    merge::{expand_names, merge, short_names},
    overrides,
    surroundings::{Models, Surroundings, Variables, expanded},
};

/// One tree with the place of every entry, nothing judged yet.
#[derive(Clone)]
pub(crate) struct Spec {
    pub document: Document,
    /// What overrides replaced as a whole.
    pub notes: Vec<String>,
    /// Overrides that could not be applied.
    pub problems: Vec<Located>,
    /// What variables in paths stand for.
    pub variables: Variables,
    /// Looks at weights and models.
    pub models: Option<Models>,
    /// Files that were inherited from.
    pub extended: Vec<String>,
}

/// Files that may extend one another in a row.
const MOST_LEVELS: usize = 16;

/// Puts the layers together.
pub(crate) fn assemble(
    file_name: &str,
    text: &str,
    overrides: &[String],
    outside: &Surroundings,
) -> Result<Spec, ConfigError> {
    let (mut document, extended) = layers(&[plain(file_name)], text, outside).map_err(ConfigError::new)?;
    let (notes, problems) = overrides::apply(&mut document, overrides);
    let (variables, models) = (outside.variables.clone(), outside.models.clone());
    Ok(Spec { document, notes, problems, variables, models, extended })
}

/// The last of `names`, whose text is given, laid over the file that it extends, and all files that were
/// inherited from. The names before it are those that led here.
fn layers(
    names: &[String],
    text: &str,
    outside: &Surroundings,
) -> Result<(Document, Vec<String>), Vec<Located>> {
    let own_name = names.last().map_or("", String::as_str);
    let mut own = file(own_name, text)?;
    let short = short_names(&own);
    expand_names(&mut own);
    let Some(wanted) = extended(&mut own)? else { return Ok((own, names[1..].to_vec())) };
    let base_name =
        relative(own_name, &wanted, &outside.variables).map_err(|e| vec![about_extends(&own, e)])?;
    if names.contains(&base_name) || names.len() >= MOST_LEVELS {
        let way: Vec<&str> = names.iter().chain([&base_name]).map(String::as_str).collect();
        return Err(vec![about_extends(&own, format!("leads in a circle: {}", way.join(" -> ")))]);
    }
    let text = (outside.read)(&base_name)
        .map_err(|e| vec![about_extends(&own, format!("cannot read {base_name}: {e}"))])?;
    let (mut document, inherited) = layers(&[names, &[base_name]].concat(), &text, outside)?;
    merge(&mut document, own, &short);
    Ok((document, inherited))
}

fn file(name: &str, text: &str) -> Result<Document, Vec<Located>> {
    let mut document = Document::from_file(name, text)?;
    match mapping(&document.value) {
        Ok(_) => {
            drop_anchors(&mut document);
            Ok(document)
        }
        Err(message) => {
            let help = "an experiment is a mapping such as `masking: multiblock`, one section per line";
            Err(vec![located(&document, "", format!("the file {message}"), Some(help))])
        }
    }
}

/// Keys that start with `x-` are free: a place for anchors.
pub(crate) fn drop_anchors(document: &mut Document) {
    if let Some(top) = document.value.as_object_mut() {
        top.retain(|key, _| !key.starts_with("x-"));
    }
}

/// Takes `extends` out of the file.
fn extended(own: &mut Document) -> Result<Option<String>, Vec<Located>> {
    match own.value.as_object_mut().and_then(|top| top.shift_remove("extends")) {
        None => Ok(None),
        Some(serde_json::Value::String(name)) if !name.trim().is_empty() => Ok(Some(name)),
        Some(other) => {
            Err(vec![about_extends(own, format!("is {}; expected a file name", describe(&other)))])
        }
    }
}

/// The file that is called `wanted` in the file `from`.
pub(crate) fn relative(from: &str, wanted: &str, variables: &Variables) -> Result<String, String> {
    let wanted = expanded(wanted, variables)?;
    let folder = Path::new(from).parent().unwrap_or(Path::new(""));
    Ok(plain(&folder.join(wanted.as_ref()).to_string_lossy()))
}

/// The name without `.` and `x/..`: one file has one name.
fn plain(name: &str) -> String {
    let mut path = PathBuf::new();
    for part in Path::new(name).components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir if matches!(path.components().next_back(), Some(Component::Normal(_))) => {
                path.pop();
            }
            part => path.push(part),
        }
    }
    path.to_string_lossy().into_owned()
}

fn about_extends(document: &Document, message: String) -> Located {
    located(document, "extends", message, None)
}

fn located(document: &Document, path: &str, message: String, help: Option<&str>) -> Located {
    Located { span: document.places.value(path), path: path.into(), message, help: help.map(Into::into) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_file_has_one_name() {
        let same = ["a/./b.yaml", "a/c/../b.yaml", "./a/b.yaml", "a//b.yaml"];
        assert!(same.iter().all(|n| plain(n) == "a/b.yaml"));
        assert_eq!(plain("../../x/b.yaml"), "../../x/b.yaml");
        assert_eq!(plain("/a/../b.yaml"), "/b.yaml");
    }
}
