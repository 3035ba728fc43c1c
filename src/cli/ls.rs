//! `ijepa-run ls [DIR]`

use std::path::{Path, PathBuf};

use clap::Args;

use super::{Exit, out};
use crate::results::Standing;

#[derive(Args, Debug)]
pub(crate) struct LsArgs {
    /// Folder of the run folders.
    #[arg(value_name = "DIR", env = "IJEPA_RUN_OUTPUT", default_value = "results")]
    folder: PathBuf,
}

/// Lists the run folders in a folder by name; nothing is locked or written.
pub(crate) fn ls(args: &LsArgs) -> Exit {
    let entries = match std::fs::read_dir(&args.folder) {
        Ok(entries) => entries,
        Err(e) => {
            out::stderr(&format!("{}: {e}", args.folder.display()));
            return Exit::Config;
        }
    };
    let mut folders: Vec<PathBuf> = entries.flatten().map(|e| e.path()).collect();
    folders.sort();
    let rows: Vec<[String; 5]> = folders.iter().filter_map(|f| row(f)).collect();
    if rows.is_empty() {
        out::stderr(&format!("{} holds no run folders", args.folder.display()));
        return Exit::Done;
    }
    out::stdout(&out::aligned(["name", "seed", "state", "steps", "identity"].map(String::from), rows))
}

/// A run folder; none for anything else.
fn row(folder: &Path) -> Option<[String; 5]> {
    let (name, seed, identity) = parts(folder.file_name()?.to_str()?)?;
    let standing = Standing::read(folder);
    let status = standing.status.as_ref()?;
    let steps = format!("{}/{}", status.step, status.steps);
    Some([name.into(), seed.into(), standing.word().into(), steps, identity.into()])
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
}
