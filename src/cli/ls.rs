//! `ijepa-run ls [DIR]`

use std::{
    cmp::Reverse,
    path::{Path, PathBuf},
    time::SystemTime,
};

use clap::{Args, ValueEnum};
use rayon::prelude::*;

use super::{Exit, print, results_table::LastProbes};
use crate::{
    analysis::settings::{ABSENT, Settings, differences},
    results::{Care, EXPERIMENT, RunOverview, RunState, STATUS, run_name_parts},
};

#[derive(Args, Debug)]
pub(crate) struct LsArgs {
    /// Folder of the run folders; the same as --results.
    #[arg(value_name = "DIR")]
    folder: Option<PathBuf>,
    /// Folder of the run folders.
    #[arg(long, alias = "output", value_name = "DIR", env = "IJEPA_RUN_OUTPUT", default_value = "results")]
    results: PathBuf,
    /// Only runs with this in their name.
    #[arg(long, value_name = "TEXT")]
    name: Option<String>,
    /// Only runs in one of these states, such as done or failed,diverged.
    #[arg(long, value_name = "STATE", value_delimiter = ',', value_parser = known_state)]
    state: Vec<RunState>,
    /// Order of the list.
    #[arg(long, value_enum, default_value = "name")]
    sort: Sort,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Sort {
    /// By name, then seed.
    Name,
    /// By state, then name.
    State,
    /// Those that changed last come first.
    Newest,
    /// Those that are furthest come first.
    Steps,
}

/// A run folder, from its name and its status alone.
struct Listed {
    folder: String,
    name: String,
    seed: u64,
    identity: String,
    state: RunState,
    /// Whether nothing vouches for its files: version 0.1.0 ended it.
    unsealed: bool,
    /// Steps done, and of the whole run; none where they cannot be read.
    steps: Option<(u64, u64)>,
    changed: Option<SystemTime>,
}

/// Lists the run folders in a folder; nothing is locked or written, and one small file is read per
/// run.
pub(crate) fn ls(args: &LsArgs) -> Exit {
    let folder = args.folder.as_ref().unwrap_or(&args.results);
    let all = std::fs::read_dir(folder).and_then(|entries| entries.map(|e| e.map(|e| e.path())).collect());
    let folders: Vec<PathBuf> = match all {
        Ok(folders) => folders,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound && args.folder.is_none() => {
            let first =
                "the first command that runs one makes it, such as ijepa-run experiments/quickstart.yaml";
            print::stderr(&format!("no runs yet: there is no folder {}\n  help: {first}", folder.display()));
            return Exit::Done;
        }
        Err(e) => {
            print::stderr(&format!("{}: {e}", folder.display()));
            return Exit::Config;
        }
    };
    let wanted = |run: &Listed| {
        let named = args.name.as_ref().is_none_or(|text| run.name.contains(text.as_str()));
        named && (args.state.is_empty() || args.state.contains(&run.state))
    };
    let newest = matches!(args.sort, Sort::Newest);
    let mut runs: Vec<Listed> = folders.par_iter().filter_map(|f| listed(f, newest)).filter(wanted).collect();
    if runs.is_empty() {
        let which = if args.name.is_some() || !args.state.is_empty() {
            "no such run folders"
        } else {
            "no run folders"
        };
        print::stderr(&format!("{} holds {which}", folder.display()));
        return Exit::Done;
    }
    sort(&mut runs, args.sort);
    print::stdout(&table(&runs, folder))
}

/// More runs than this are listed by their names and states alone: nobody waits for 10,000 files.
const MOST_READ: usize = 1000;

fn table(runs: &[Listed], folder: &Path) -> String {
    let mut head = vec!["name", "seed", "state", "steps", "identity"];
    let mut rows: Vec<Vec<String>> = runs.iter().map(|run| row(run).to_vec()).collect();
    if runs.len() <= MOST_READ {
        head.extend(["result", "changed"]);
        let read =
            |run: &Listed| LastProbes::read(&folder.join(&run.folder)).ok().and_then(|last| last.headline());
        let results: Vec<Option<String>> = runs.par_iter().map(read).collect();
        for ((row, result), changed) in rows.iter_mut().zip(results).zip(changes(runs, folder)) {
            row.extend([result.unwrap_or_else(|| "-".into()), changed]);
        }
    }
    rows.insert(0, head.into_iter().map(str::to_owned).collect());
    print::columns(&rows)
}

/// What sets each run apart from the others of its name, other than its seed.
fn changes(runs: &[Listed], folder: &Path) -> Vec<String> {
    let read = |run: &Listed| {
        let text = crate::results::read::text(&folder.join(&run.folder).join(EXPERIMENT))
            .ok()
            .flatten()
            .unwrap_or_default();
        Settings::of(&serde_yaml::from_str(&text).unwrap_or_default())
    };
    let settings: Vec<Settings> = runs.par_iter().map(read).collect();
    let mut changed = vec![String::new(); runs.len()];
    let mut names: Vec<&str> = runs.iter().map(|r| r.name.as_str()).collect();
    names.sort_unstable();
    names.dedup();
    for name in names {
        let own: Vec<usize> = (0..runs.len()).filter(|i| runs[*i].name == name).collect();
        let all: Vec<&Settings> = own.iter().map(|i| &settings[*i]).collect();
        let found = differences(&all);
        for (at, i) in own.into_iter().enumerate() {
            let words = found
                .iter()
                .filter(|d| d.values[at] != ABSENT)
                .map(|d| format!("{}={}", d.path, d.values[at]));
            changed[i] = shortened(&words.collect::<Vec<_>>().join(" "));
        }
    }
    changed
}

/// Cut where a line would wrap on most terminals.
fn shortened(text: &str) -> String {
    const LONGEST: usize = 80;
    if text.chars().count() <= LONGEST {
        return text.to_owned();
    }
    text.chars().take(LONGEST - 3).chain("...".chars()).collect()
}

/// A run folder; none for anything else.
fn listed(folder: &Path, dated: bool) -> Option<Listed> {
    let own = folder.file_name()?.to_str()?;
    let (name, seed, identity) = run_name_parts(own)?;
    let standing = RunOverview::without_metrics(folder, Care::Lengths);
    let state = standing.state();
    if state == RunState::Pending {
        return None;
    }
    let changed = || std::fs::metadata(folder.join(STATUS)).and_then(|m| m.modified()).ok();
    Some(Listed {
        folder: own.into(),
        name: name.into(),
        seed: seed.parse().ok()?,
        identity: identity.into(),
        state,
        unsealed: standing.is_unsealed(),
        changed: if dated { changed() } else { None },
        steps: standing.status.map(|s| (s.step, s.steps)),
    })
}

/// A state that a run can have.
fn known_state(text: &str) -> Result<RunState, String> {
    let known = || RunState::ALL.map(|state| format!("`{state}`")).join(", ");
    RunState::of(text).ok_or_else(|| format!("there is no such state; there are: {}", known()))
}

fn sort(runs: &mut [Listed], by: Sort) {
    runs.sort_by(|a, b| (&a.name, a.seed, &a.identity).cmp(&(&b.name, b.seed, &b.identity)));
    match by {
        Sort::Name => {}
        Sort::State => runs.sort_by(|a, b| a.state.name().cmp(b.state.name())),
        Sort::Newest => runs.sort_by_key(|r| Reverse(r.changed)),
        Sort::Steps => runs.sort_by_key(|r| Reverse(r.steps.map(|s| s.0))),
    }
}

fn row(run: &Listed) -> [String; 5] {
    let steps = run.steps.map_or("-".into(), |(done, all)| format!("{done}/{all}"));
    let seal = if run.unsealed { ", unsealed" } else { "" };
    let state = format!("{}{seal}", run.state);
    [run.name.clone(), run.seed.to_string(), state, steps, run.identity.clone()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn states_are_those_of_the_status_file() {
        assert_eq!(known_state("done"), Ok(RunState::Done));
        let error = known_state("finished").expect_err("no such state");
        assert!(error.contains("`running`") && error.contains("`failed`"), "{error}");
    }
}
