//! `ijepa-run clean [RUN|SWEEP|DIR]...`

use std::path::{Path, PathBuf};

use clap::Args;
use rayon::prelude::*;

use super::{Exit, print, resolve, show, verify};
use crate::{
    analysis::{SweepTable, is_sweep},
    results::CHECKPOINT,
    sinks::{free, freeable},
};

const EXAMPLES: &str = "\
A finished run keeps its last checkpoint (weights, optimizer state, place in the data), which serves to train it
further (--extend); a cleaned run cannot be. Probes are measured on its weights.safetensors. Its results, its weights.safetensors and
all other checkpoints are never touched: it counts as done in `ls`, `verify`, sweeps, `compare` and `report`, and
its status says what was freed.

Examples:
  ijepa-run clean                  what all finished runs in results would free; nothing is deleted
  ijepa-run clean mask-count --yes free it for the runs of a sweep

Exit codes:
  0  shown, or freed
  1  a run is damaged or in use; it was left alone
  2  usage error: no such run or sweep";

#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct CleanArgs {
    /// Runs, sweeps, or folders of run folders; all runs in the results folder if left out.
    #[arg(value_name = "RUN|SWEEP|DIR")]
    wanted: Vec<PathBuf>,
    /// Delete what is shown.
    #[arg(short, long)]
    yes: bool,
    /// Folder in which runs and sweeps are looked up.
    #[arg(long, alias = "output", value_name = "DIR", env = "IJEPA_RUN_OUTPUT", default_value = "results")]
    results: PathBuf,
}

/// Shows what finished runs no longer need, and deletes it where asked to.
pub(crate) fn clean(args: &CleanArgs) -> Exit {
    let own = [args.results.clone()];
    let wanted = if args.wanted.is_empty() { &own[..] } else { &args.wanted };
    let found: Result<Vec<Vec<PathBuf>>, String> = wanted.iter().map(|w| meant(w, &args.results)).collect();
    let mut folders = match found {
        Ok(folders) => folders.concat(),
        Err(message) => {
            print::stderr(&message);
            return Exit::Config;
        }
    };
    folders.sort();
    folders.dedup();
    let look = |folder: PathBuf| freeable(&folder).map(|bytes| (folder, bytes));
    let freeable: Vec<(PathBuf, u64)> = folders.into_par_iter().filter_map(look).collect();
    if freeable.is_empty() {
        print::stderr("nothing to free: no finished run there holds a checkpoint");
        return Exit::Done;
    }
    if args.yes { freed(&freeable) } else { shown(&freeable) }
}

/// The run folders that a word means.
pub(super) fn meant(wanted: &Path, results: &Path) -> Result<Vec<PathBuf>, String> {
    let of_sweep = |folder: &Path| {
        let table = SweepTable::read(folder).map_err(|e| e.to_string())?;
        Ok(table.runs.iter().map(|run| table.run_folder(run)).collect())
    };
    if is_sweep(wanted) {
        return of_sweep(wanted);
    }
    if wanted.is_dir() {
        return verify::meant(wanted, results);
    }
    match resolve::sweep(wanted, results) {
        Ok(folder) => of_sweep(&folder),
        Err(no_sweep) => match show::find(wanted, results) {
            Ok(run) => Ok(vec![run]),
            Err(no_run) => Err(if no_sweep.contains("` means ") { no_sweep } else { no_run }),
        },
    }
}

fn shown(runs: &[(PathBuf, u64)]) -> Exit {
    let row = |(folder, bytes): &(PathBuf, u64)| [folder.display().to_string(), mebibytes(*bytes)];
    let head = ["run", "MiB"].map(String::from);
    let total: u64 = runs.iter().map(|(_, bytes)| bytes).sum();
    let table = print::aligned(head, runs.iter().map(row).collect());
    let line = format!(
        "{} finished runs, {} MiB in {CHECKPOINT}; nothing was deleted: add --yes to free it",
        runs.len(),
        mebibytes(total)
    );
    print::stdout(&format!("{table}\n{line}\n"))
}

fn freed(runs: &[(PathBuf, u64)]) -> Exit {
    let (mut total, mut count, mut exit) = (0, 0, Exit::Done);
    for (folder, _) in runs {
        match free(folder) {
            Ok(bytes) => (total, count) = (total + bytes, count + 1),
            Err(error) => {
                print::stderr(&format!("left alone: {}: {error}", folder.display()));
                exit = Exit::Failed;
            }
        }
    }
    print::stdout(&format!("freed {} MiB of {count} runs\n", mebibytes(total))).or(exit)
}

fn mebibytes(bytes: u64) -> String {
    format!("{:.1}", bytes as f64 / f64::from(1 << 20))
}
