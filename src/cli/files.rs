//! Finding and reading experiment files.

use std::{
    io::{self, Read},
    path::Path,
};

use ijepa_registry::problem::nearest;

use crate::{
    bench::CostMemory,
    config::{self, Experiment},
    results::read::regular_file,
    sweep::{self, Plan},
};

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
    let text = user_text(file).map_err(|e| unreadable(file, &e))?;
    let read = |name: &str| user_text(Path::new(name)).map_err(|e| reason(&e));
    let name = file.to_string_lossy();
    let loaded = match (sweep::is_sweep(&text), multirun) {
        (true, true) => return Err(format!("{name} is a sweep itself; -m makes one from an experiment")),
        (true, false) => {
            sweep::plan(&name, &text, overrides, &read, costs).map(|p| Loaded::Sweep(Box::new(p)))
        }
        (false, true) => {
            sweep::multirun(&name, &text, overrides, &read, costs).map(|p| Loaded::Sweep(Box::new(p)))
        }
        (false, false) => config::load(&name, &text, overrides, &read).map(|e| Loaded::One(Box::new(e))),
    };
    loaded.map_err(|e| e.to_string())
}

/// The text of a file that a person wrote: a regular one, of a size that a person writes.
fn user_text(file: &Path) -> io::Result<String> {
    const LARGEST: u64 = 64 << 20;
    let mut text = String::new();
    let read = regular_file(file)?.take(LARGEST + 1).read_to_string(&mut text)?;
    let large = || io::Error::new(io::ErrorKind::FileTooLarge, "is larger than 64 MiB");
    if read as u64 > LARGEST { Err(large()) } else { Ok(text) }
}

/// Loads a file that must hold a single experiment.
pub(crate) fn load_one(file: &Path, overrides: &[String]) -> Result<Experiment, String> {
    match load(file, overrides, false, &CostMemory::default())? {
        Loaded::One(experiment) => Ok(*experiment),
        Loaded::Sweep(_) => Err(format!("{} is a sweep; give a single experiment", file.display())),
    }
}

fn unreadable(file: &Path, error: &std::io::Error) -> String {
    let message = format!("{}: {}", file.display(), reason(error));
    let similar = if error.kind() == std::io::ErrorKind::NotFound { similar(file) } else { Vec::new() };
    if similar.is_empty() {
        message
    } else {
        format!("{message}\n  help: did you mean {}?", similar.join(" or "))
    }
}

fn reason(error: &std::io::Error) -> String {
    match error.kind() {
        std::io::ErrorKind::NotFound => "there is no such file".into(),
        std::io::ErrorKind::InvalidData => "is not UTF-8 text".into(),
        _ => error.to_string(),
    }
}

/// Files in the same folder with similar names, and subcommands.
fn similar(file: &Path) -> Vec<String> {
    let folder = file.parent().filter(|p| !p.as_os_str().is_empty());
    let entries = std::fs::read_dir(folder.unwrap_or(Path::new("."))).into_iter().flatten().flatten();
    let names = entries.filter(|e| e.path().is_file()).map(|e| e.file_name().to_string_lossy().into_owned());
    let mut names: Vec<String> = names.filter(|n| n.ends_with(".yaml") || n.ends_with(".yml")).collect();
    names.sort();
    let wanted = file.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
    let in_folder = |name: &str| folder.map_or(name.into(), |f| f.join(name).display().to_string());
    let mut found: Vec<String> = by_stem(&wanted, &names).into_iter().map(in_folder).collect();
    if folder.is_none() {
        let commands = super::command_names();
        let close = nearest(&wanted, commands.iter().map(String::as_str));
        found.extend(close.into_iter().map(|c| format!("the command `{c}`")));
    }
    found
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
