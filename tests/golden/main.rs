//! The golden run: small experiments that use every component, whose tables are committed in `expected/`. Every
//! committed row and column must come out with the same text, on every instruction set; new ones may be added.
//!
//! A change that moves numbers on purpose does nothing else, and records them again:
//!
//! ```sh
//! GOLDEN=record cargo test --release --test golden
//! ```

mod data;
mod table;

use std::{
    path::{Path, PathBuf},
    process::{Command, ExitCode},
};

use ijepa_run::{
    kernels::{Level, limit_level},
    registry::catalogue,
};
use libtest_mimic::{Arguments, Trial};
use table::Table;

/// Set in a child process: the program itself, with the widest instruction set (`widest`) or none (`portable`).
const LEVEL: &str = "GOLDEN_LEVEL";

fn main() -> ExitCode {
    if let Ok(level) = std::env::var(LEVEL) {
        if level == "portable" {
            limit_level(Level::Portable);
        }
        return ijepa_run::main();
    }
    if std::env::var("GOLDEN").is_ok_and(|v| v == "record") {
        return record();
    }
    let trials = experiments().into_iter().flat_map(|name| {
        ["widest", "portable"].map(|level| {
            let name = name.clone();
            Trial::test(format!("{name}_{level}"), move || {
                compare(&name, level);
                Ok(())
            })
        })
    });
    libtest_mimic::run(&Arguments::from_args(), trials.collect()).exit_code()
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden")
}

/// Names of the experiments, from their files.
fn experiments() -> Vec<String> {
    let files = std::fs::read_dir(folder()).unwrap().map(|entry| entry.unwrap().path());
    let yaml = files.filter(|path| path.extension().is_some_and(|e| e == "yaml"));
    let mut names: Vec<String> =
        yaml.map(|path| path.file_stem().unwrap().to_string_lossy().into_owned()).collect();
    names.sort();
    assert!(!names.is_empty());
    names
}

/// Runs an experiment; its tables by name, without the one that holds times.
fn tables(name: &str, level: &str) -> Vec<(String, Table)> {
    let work = tempfile::tempdir().unwrap();
    data::write(work.path());
    for file in experiments() {
        let text = std::fs::read_to_string(folder().join(&file).with_extension("yaml")).unwrap();
        let text = text.replace("DATA", &work.path().display().to_string());
        std::fs::write(work.path().join(file).with_extension("yaml"), text).unwrap();
    }
    let output = work.path().join("results");
    let run = Command::new(std::env::current_exe().unwrap())
        .env(LEVEL, level)
        .arg(work.path().join(name).with_extension("yaml"))
        .args(["--quiet", "--threads", "2", "device=cpu", "--output"])
        .arg(&output)
        .output()
        .unwrap();
    // 3: a rule of the file ended the run.
    let ended = run.status.success() || run.status.code() == Some(3);
    assert!(ended, "{name}: {}", String::from_utf8_lossy(&run.stderr));
    let runs = std::fs::read_dir(&output).unwrap().map(|entry| entry.unwrap().path());
    let run = runs.filter(|path| path.is_dir() && path.join("metrics.csv").is_file()).collect::<Vec<_>>();
    assert_eq!(run.len(), 1, "{run:?}");
    let files = std::fs::read_dir(&run[0]).unwrap().map(|entry| entry.unwrap().path());
    let csv = files.filter(|path| path.extension().is_some_and(|e| e == "csv"));
    let named = csv.map(|path| (path.file_name().unwrap().to_string_lossy().into_owned(), path));
    let mut tables: Vec<(String, Table)> = named
        .filter(|(file, _)| file != "timing.csv")
        .map(|(file, path)| (file, Table::read(&path)))
        .collect();
    tables.sort_by(|a, b| a.0.cmp(&b.0));
    tables
}

/// Fails unless every committed table of `name` is contained in the one that comes out.
fn compare(name: &str, level: &str) {
    let found = tables(name, level);
    let expected = std::fs::read_dir(folder().join("expected").join(name)).unwrap();
    let mut compared = 0;
    for path in expected.map(|entry| entry.unwrap().path()) {
        let file = path.file_name().unwrap().to_string_lossy();
        let found = found.iter().find(|(f, _)| *f == file).unwrap_or_else(|| panic!("{name}: no {file}"));
        if let Err(difference) = Table::read(&path).is_within(&found.1) {
            panic!("{name}/{file}, {level}: {difference}");
        }
        compared += 1;
    }
    assert!(compared >= 2, "{name}: only {compared} tables are recorded");
}

/// Writes `expected/` anew.
fn record() -> ExitCode {
    every_component_is_used();
    let expected = folder().join("expected");
    let _ = std::fs::remove_dir_all(&expected);
    for name in experiments() {
        std::fs::create_dir_all(expected.join(&name)).unwrap();
        for (file, table) in tables(&name, "widest") {
            std::fs::write(expected.join(&name).join(&file), table.text()).unwrap();
            println!("recorded {name}/{file}");
        }
    }
    ExitCode::SUCCESS
}

/// Fails if a component of the house is in no experiment.
fn every_component_is_used() {
    let read = |name: &String| std::fs::read_to_string(folder().join(name).with_extension("yaml")).unwrap();
    let all: String = experiments().iter().map(read).collect();
    let words: Vec<&str> = all.split(|c: char| !(c.is_alphanumeric() || c == '_')).collect();
    for component in catalogue::list() {
        assert!(words.contains(&component.name), "no golden experiment uses `{}`", component.name);
    }
}
