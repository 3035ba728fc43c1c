//! `ijepa-run ls [DIR]`

use std::{
    cmp::Reverse,
    path::{Path, PathBuf},
    time::SystemTime,
};

use clap::{Args, ValueEnum};
use rayon::prelude::*;

use super::{Exit, out};
use crate::results::{RunState, STATUS, Standing};

#[derive(Args, Debug)]
pub(crate) struct LsArgs {
    /// Folder of the run folders.
    #[arg(value_name = "DIR", env = "IJEPA_RUN_OUTPUT", default_value = "results")]
    folder: PathBuf,
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
    name: String,
    seed: u64,
    identity: String,
    state: RunState,
    /// Steps done, and of the whole run; none where they cannot be read.
    steps: Option<(u64, u64)>,
    changed: Option<SystemTime>,
}

/// Lists the run folders in a folder; nothing is locked or written, and one small file is read per
/// run.
pub(crate) fn ls(args: &LsArgs) -> Exit {
    let entries = match std::fs::read_dir(&args.folder) {
        Ok(entries) => entries,
        Err(e) => {
            out::stderr(&format!("{}: {e}", args.folder.display()));
            return Exit::Config;
        }
    };
    let folders: Vec<PathBuf> = entries.flatten().map(|e| e.path()).collect();
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
        out::stderr(&format!("{} holds {which}", args.folder.display()));
        return Exit::Done;
    }
    sort(&mut runs, args.sort);
    out::stdout(&out::aligned(
        ["name", "seed", "state", "steps", "identity"].map(String::from),
        runs.into_iter().map(row).collect(),
    ))
}

/// A run folder; none for anything else.
fn listed(folder: &Path, dated: bool) -> Option<Listed> {
    let (name, seed, identity) = parts(folder.file_name()?.to_str()?)?;
    let standing = Standing::without_metrics(folder);
    let state = standing.state();
    if state == RunState::Pending {
        return None;
    }
    let changed = || std::fs::metadata(folder.join(STATUS)).and_then(|m| m.modified()).ok();
    Some(Listed {
        name: name.into(),
        seed: seed.parse().ok()?,
        identity: identity.into(),
        state,
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

fn row(run: Listed) -> [String; 5] {
    let steps = run.steps.map_or("-".into(), |(done, all)| format!("{done}/{all}"));
    [run.name, run.seed.to_string(), run.state.to_string(), steps, run.identity]
}

/// `NAME-sSEED-IDENTITY`, taken apart.
pub(super) fn parts(folder: &str) -> Option<(&str, &str, &str)> {
    let (rest, identity) = folder.rsplit_once('-')?;
    let (name, seed) = rest.rsplit_once("-s")?;
    let is_seed = !seed.is_empty() && seed.bytes().all(|b| b.is_ascii_digit());
    (is_seed && !name.is_empty()).then_some((name, seed, identity))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_may_hold_dashes() {
        assert_eq!(parts("my-small-run-s12-0123456789ab"), Some(("my-small-run", "12", "0123456789ab")));
        assert_eq!(parts("sweeps"), None);
        assert_eq!(parts("a-b"), None);
    }

    #[test]
    fn states_are_those_of_the_status_file() {
        assert_eq!(known_state("done"), Ok(RunState::Done));
        let error = known_state("finished").expect_err("no such state");
        assert!(error.contains("`running`") && error.contains("`failed`"), "{error}");
    }
}
