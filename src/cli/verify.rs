//! `ijepa-run verify RUN...`

use std::path::{Path, PathBuf};

use clap::Args;

use super::{Exit, print, resolve, show};
use crate::{
    results::{is_run_folder, seal},
    sinks::{Findings, accept, verify as look},
};

#[derive(Args, Debug)]
pub(crate) struct VerifyArgs {
    /// Run folders, folders of run folders, or starts of their names or identities.
    #[arg(value_name = "RUN", required = true)]
    runs: Vec<PathBuf>,
    /// Take the files as they are, after a deliberate change: they count as what the run left. run.json
    /// keeps a note of it.
    #[arg(long)]
    accept: bool,
    /// Folder in which runs are looked up.
    #[arg(long, value_name = "DIR", env = "IJEPA_RUN_OUTPUT", default_value = "results")]
    results: PathBuf,
}

/// Reads every file of the runs to its end, and says which are not what the run left.
pub(crate) fn verify(args: &VerifyArgs) -> Exit {
    let mut folders = Vec::new();
    for wanted in &args.runs {
        match meant(wanted, &args.results) {
            Ok(found) => folders.extend(found),
            Err(message) => {
                print::stderr(&message);
                return Exit::Config;
            }
        }
    }
    let one = |folder: &PathBuf| if args.accept { accepted(folder) } else { told(folder) };
    let sound: Vec<Exit> = folders.iter().map(one).collect();
    let bad = sound.iter().filter(|exit| **exit != Exit::Done).count();
    let what = if args.accept { "refused" } else { "damaged" };
    print::stderr(&format!("runs: {}, {what}: {bad}", sound.len()));
    sound.into_iter().fold(Exit::Done, Exit::or)
}

/// The run folders that a word means.
pub(super) fn meant(wanted: &Path, results: &Path) -> Result<Vec<PathBuf>, String> {
    if wanted.is_dir() && !is_run_folder(wanted) {
        let names = resolve::folders(wanted, is_run_folder);
        if names.is_empty() {
            return Err(format!("{}: holds no run folders", wanted.display()));
        }
        return Ok(names.into_iter().map(|name| wanted.join(name)).collect());
    }
    show::find(wanted, results).map(|folder| vec![folder])
}

fn told(folder: &Path) -> Exit {
    let Findings { problems, unsealed } = look(folder);
    let word = match (problems.is_empty(), unsealed) {
        (false, _) => "damaged",
        (true, true) => "unsealed",
        (true, false) => "ok",
    };
    let lines: String = problems.iter().map(|problem| format!("  {problem}\n")).collect();
    let told = print::stdout(&format!("{word}: {}\n{lines}", folder.display()));
    if problems.is_empty() {
        return told;
    }
    print::stderr(&format!("  help: {}", seal::remedy(folder)));
    Exit::Failed
}

fn accepted(folder: &Path) -> Exit {
    match accept(folder) {
        Ok(changed) => {
            let what = if changed.is_empty() { "as it was".into() } else { changed.join(", ") };
            print::stdout(&format!("accepted: {}: {what}\n", folder.display()))
        }
        Err(error) => {
            print::stderr(&format!("error: {error}"));
            Exit::Failed
        }
    }
}
