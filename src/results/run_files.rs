//! What a run leaves in its folder: how a run folder is told from any other, and from one that has not begun.

use std::{
    fs,
    path::{Path, PathBuf},
};

use super::{CARDS, CHECKPOINT, CHECKPOINTS, EXPERIMENT, STATUS, WEIGHTS, columns::TABLES, meanings, read};

/// Files of a run apart from its tables.
const OTHERS: [&str; 6] = [EXPERIMENT, STATUS, CARDS, meanings::FILE, CHECKPOINT, WEIGHTS];

/// Names of the files that a run leaves.
pub(super) fn names() -> impl Iterator<Item = &'static str> {
    OTHERS.into_iter().chain(TABLES.map(|table| table.file))
}

/// Whether something of that name is there, be it a link to nowhere.
pub(super) fn is_there(folder: &Path, name: &str) -> bool {
    folder.join(name).symlink_metadata().is_ok()
}

/// Whether a folder is that of a run, be any one of its files gone: another one may hold a single file that
/// happens to be called like one of them.
pub fn is_run_folder(path: &Path) -> bool {
    is_there(path, EXPERIMENT) || names().filter(|name| is_there(path, name)).count() > 1
}

/// How the names of kept weights begin and end.
const KEPT: (&str, &str) = ("epoch-", ".safetensors");

/// The weights that a run keeps of an epoch before its last.
pub fn kept_weights(folder: &Path, epoch: u64) -> PathBuf {
    folder.join(CHECKPOINTS).join(format!("{}{epoch}{}", KEPT.0, KEPT.1))
}

/// Epochs before the last whose weights a run has kept, in order.
pub fn kept_epochs(folder: &Path) -> Vec<u64> {
    let entries = fs::read_dir(folder.join(CHECKPOINTS)).into_iter().flatten().flatten();
    let epoch = |name: String| name.strip_prefix(KEPT.0)?.strip_suffix(KEPT.1)?.parse().ok();
    let mut epochs: Vec<u64> =
        entries.filter_map(|entry| epoch(entry.file_name().to_string_lossy().into_owned())).collect();
    epochs.sort_unstable();
    epochs
}

/// Whether a folder holds what only a run leaves that has written its first status.
pub(super) fn has_begun(folder: &Path) -> bool {
    let has_rows = |name: &str| {
        let bytes = read::bytes(&folder.join(name)).ok().flatten().unwrap_or_default();
        bytes.iter().filter(|byte| **byte == b'\n').count() > 1
    };
    [CHECKPOINT, WEIGHTS].iter().any(|name| is_there(folder, name))
        || TABLES.iter().any(|table| has_rows(table.file))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_folder_is_known_whichever_file_is_gone() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str| {
            let path = folder.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "a,b\n").unwrap();
        };
        write("timing.csv");
        assert!(!is_run_folder(folder.path()), "a sweep folder has one of that name too");
        names().for_each(write);
        for name in names() {
            fs::remove_file(folder.path().join(name)).unwrap();
            assert!(is_run_folder(folder.path()), "without {name}");
            write(name);
        }
    }

    #[test]
    fn kept_weights_are_listed_by_epoch() {
        let folder = tempfile::tempdir().unwrap();
        assert!(kept_epochs(folder.path()).is_empty());
        fs::create_dir(folder.path().join(CHECKPOINTS)).unwrap();
        for epoch in [10, 5, 100] {
            fs::write(kept_weights(folder.path(), epoch), "").unwrap();
        }
        fs::write(folder.path().join(CHECKPOINT), "").unwrap();
        assert_eq!(kept_epochs(folder.path()), [5, 10, 100]);
    }

    #[test]
    fn a_run_has_begun_with_its_first_row_or_its_first_checkpoint() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("metrics.csv");
        fs::write(&path, "step,loss\n").unwrap();
        assert!(!has_begun(folder.path()), "a head is written before the first status");
        fs::write(&path, "step,loss\n1,0.5\n").unwrap();
        assert!(has_begun(folder.path()));
        fs::remove_file(&path).unwrap();
        fs::write(folder.path().join(WEIGHTS), "").unwrap();
        assert!(has_begun(folder.path()));
    }
}
