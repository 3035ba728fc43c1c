//! `ijepa-run ls [DIR]`

use std::{
    cmp::Reverse,
    path::{Path, PathBuf},
    time::SystemTime,
};

use clap::{Args, ValueEnum};
use rayon::prelude::*;

use super::{Exit, out};
use crate::results::{State, Status};

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
    state: Vec<String>,
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
    state: &'static str,
    status: Status,
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
        named && (args.state.is_empty() || args.state.iter().any(|s| s == run.state))
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
    let status = Status::read(folder)?;
    let changed = || std::fs::metadata(folder.join("status.json")).and_then(|m| m.modified()).ok();
    Some(Listed {
        name: name.into(),
        seed: seed.parse().ok()?,
        identity: identity.into(),
        state: status.state.name(),
        changed: if dated { changed() } else { None },
        status,
    })
}

/// A state that a run can have.
fn known_state(text: &str) -> Result<String, String> {
    let known: Result<State, _> = serde_json::from_value(text.into());
    // The message of the decoder names all that would do.
    known.map(|_| text.to_owned()).map_err(|e| e.to_string())
}

fn sort(runs: &mut [Listed], by: Sort) {
    runs.sort_by(|a, b| (&a.name, a.seed, &a.identity).cmp(&(&b.name, b.seed, &b.identity)));
    match by {
        Sort::Name => {}
        Sort::State => runs.sort_by(|a, b| a.state.cmp(b.state)),
        Sort::Newest => runs.sort_by_key(|r| Reverse(r.changed)),
        Sort::Steps => runs.sort_by_key(|r| Reverse(r.status.step)),
    }
}

fn row(run: Listed) -> [String; 5] {
    let steps = format!("{}/{}", run.status.step, run.status.steps);
    [run.name, run.seed.to_string(), run.state.into(), steps, run.identity]
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
        assert_eq!(known_state("done").as_deref(), Ok("done"));
        let error = known_state("finished").expect_err("no such state");
        assert!(error.contains("`running`") && error.contains("`failed`"), "{error}");
    }
}
