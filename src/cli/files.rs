//! Finding and reading experiment files.

use std::{collections::BTreeMap, ffi::OsString, path::Path};

use ijepa_registry::problem::nearest;

use crate::{
    bench::CostMemory,
    config::{self, Experiment, Surroundings, Variables},
    results::STATUS,
    run::model_lookup,
    sweep::{self, Costs, Plan},
};

use super::{hints, slow::Slow, text::read_text};

/// What a file describes.
pub(crate) enum Loaded {
    /// One experiment.
    One(Box<Experiment>),
    /// Many.
    Sweep(Box<Plan>),
}

/// Loads a file; the error is ready to be printed. With `multirun`, overrides may list values.
pub(crate) fn load(
    file: &Path,
    overrides: &[String],
    multirun: bool,
    costs: &CostMemory,
) -> Result<Loaded, String> {
    let text = read_text(file).map_err(|reason| unreadable(file, &reason, overrides))?;
    // The file of a run folder may be of an earlier version of the program; what people write may not.
    let is_of_a_run = file.with_file_name(STATUS).is_file();
    let text = if is_of_a_run { config::modern(&text).into_owned() } else { text };
    let _slow =
        Slow::new(format!("{}: building and checking every run, this may take a while", file.display()));
    let read = |name: &str| read_text(name.as_ref());
    let outside = Surroundings { read: &read, variables: variables(), models: Some(model_lookup()) };
    let name = file.to_string_lossy();
    let loaded = match (sweep::is_sweep(&text), multirun) {
        (true, true) => return Err(format!("{name} is a sweep itself; -m makes one from an experiment")),
        (true, false) => {
            sweep::plan(&name, &text, overrides, &outside, costs).map(|p| Loaded::Sweep(Box::new(p)))
        }
        (false, true) => {
            sweep::multirun(&name, &text, overrides, &outside, costs).map(|p| Loaded::Sweep(Box::new(p)))
        }
        (false, false) => {
            config::load_in(&outside, &name, &text, overrides).map(|e| Loaded::One(Box::new(e)))
        }
    };
    loaded.map_err(|e| e.to_string())
}

/// The experiment with what is known of its data; an error says what a run on them would say.
pub(crate) fn with_data(experiment: Experiment, costs: &CostMemory) -> Result<Experiment, String> {
    match costs.data(&experiment, false) {
        Ok(Some(facts)) => experiment.with_data(facts).map_err(|e| e.to_string()),
        Ok(None) => Ok(experiment),
        Err(message) => Err(format!("error: {message}")),
    }
}

/// Loads a file that must hold a single experiment.
pub(crate) fn load_one(file: &Path, overrides: &[String]) -> Result<Experiment, String> {
    match load(file, overrides, false, &CostMemory::default())? {
        Loaded::One(experiment) => Ok(*experiment),
        Loaded::Sweep(_) => Err(format!("{} is a sweep; give a single experiment", file.display())),
    }
}

/// The same, with nothing to be downloaded only to look at it.
pub(crate) fn load_offline(file: &Path, overrides: &[String]) -> Result<Experiment, String> {
    let experiment = load_one(file, overrides)?;
    if experiment.dataset.settings["download"] != true {
        return Ok(experiment);
    }
    let offline = overrides.iter().cloned().chain(["dataset.download=false".into()]);
    load_one(file, &offline.collect::<Vec<_>>())
}

/// What variables in paths stand for; a variable that is no text cannot be named.
pub(super) fn variables() -> Variables {
    let text =
        |(name, value): (OsString, OsString)| Some((name.into_string().ok()?, value.into_string().ok()?));
    let mut all: BTreeMap<String, String> = std::env::vars_os().filter_map(text).collect();
    if let (None, Some(profile)) = (all.get("HOME"), all.get("USERPROFILE")) {
        all.insert("HOME".into(), profile.clone());
    }
    all.into()
}

fn unreadable(file: &Path, reason: &str, overrides: &[String]) -> String {
    let message = format!("{}: {reason}", file.display());
    let commands = super::command_names();
    let help = match () {
        () if file.is_dir() => inside(file),
        () if file.exists() => None,
        () => {
            hints::for_missing_file(&file.to_string_lossy(), overrides, &commands).or_else(|| similar(file))
        }
    };
    help.map_or(message.clone(), |help| format!("{message}\n  help: {help}"))
}

/// Files of a folder that can be run.
fn inside(folder: &Path) -> Option<String> {
    const SHOWN: usize = 20;
    let run = folder.join("experiment.yaml");
    if run.is_file() {
        return Some(format!("a run folder is continued or repeated by its file: {}", run.display()));
    }
    let names = yaml_files(folder);
    let paths: Vec<String> = names.iter().take(SHOWN).map(|n| folder.join(n).display().to_string()).collect();
    let more = if names.len() > SHOWN { format!(" and {} more", names.len() - SHOWN) } else { String::new() };
    (!paths.is_empty()).then(|| format!("name one of its files: {}{more}", paths.join(", ")))
}

/// Names of the YAML files in a folder, sorted.
fn yaml_files(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let names = entries.filter(|e| e.path().is_file()).map(|e| e.file_name().to_string_lossy().into_owned());
    let mut names: Vec<String> = names.filter(|n| n.ends_with(".yaml") || n.ends_with(".yml")).collect();
    names.sort();
    names
}

/// Files in the same folder with similar names, and subcommands.
fn similar(file: &Path) -> Option<String> {
    let folder = file.parent().filter(|p| !p.as_os_str().is_empty());
    let names = yaml_files(folder.unwrap_or(Path::new(".")));
    let wanted = file.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
    let in_folder = |name: &str| folder.map_or(name.into(), |f| f.join(name).display().to_string());
    let mut found: Vec<String> = by_stem(&wanted, &names).into_iter().map(in_folder).collect();
    if folder.is_none() {
        let commands = super::command_names();
        let close = nearest(&wanted, commands.iter().map(String::as_str));
        found.extend(close.into_iter().map(|c| format!("the command `{c}`")));
    }
    (!found.is_empty()).then(|| format!("did you mean {}?", found.join(" or ")))
}

/// Compares without the ending: `baseline` and `baseline.yml` mean `baseline.yaml`.
fn by_stem<'a>(wanted: &str, names: &'a [String]) -> Vec<&'a str> {
    let stem = |name: &str| name.trim_end_matches(".yaml").trim_end_matches(".yml").to_owned();
    let stems: Vec<String> = names.iter().map(|n| stem(n)).collect();
    let close = nearest(&stem(wanted), stems.iter().map(String::as_str));
    let name_of = |s: &&str| stems.iter().position(|x| x == s).map(|i| names[i].as_str());
    close.iter().filter_map(name_of).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_file_suggests_its_neighbours() {
        let folder = tempfile::tempdir().expect("folder");
        std::fs::write(folder.path().join("baseline.yaml"), "").expect("write");
        let error = load(&folder.path().join("basline.yml"), &[], false, &CostMemory::default())
            .map(|_| ())
            .expect_err("missing");
        assert!(error.contains("there is no such file\n  help: did you mean"), "{error}");
        assert!(error.ends_with("baseline.yaml?"), "{error}");
    }
}
