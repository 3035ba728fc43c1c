//! Saves computing the fingerprint of files that nobody has touched since.
//!
//! A stamp is canonical path, name, size, time of modification and of change, and inode of every file. Size
//! and time of modification alone would not do: a CIFAR-10 file always has the same size, and `tar` and `cp
//! -p` keep times. It is kept in a folder of the user, never in a run folder, and may be deleted at any time.

use std::{
    collections::HashMap,
    fs, io,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::{
    data::{FileState, Fingerprint, user_folder},
    results::write_atomic,
};

/// Files that changed so shortly before they were stamped may change again without a trace: clocks of file
/// systems are coarse.
const YOUNG: Duration = Duration::from_secs(2);

/// The state of some files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stamp {
    /// Where its fingerprint is kept; none if the user has no such folder.
    file: Option<PathBuf>,
    hash: String,
    /// Whether a file is too young to tell.
    young: bool,
}

/// What is kept.
#[derive(Serialize, Deserialize)]
struct Entry {
    stamp: String,
    content: Fingerprint,
}

/// The stamp of `files`, which are read with `settings`. None if a file cannot be looked at.
pub fn of(settings: &str, files: &[PathBuf]) -> Option<Stamp> {
    in_folder(user_folder("data"), settings, files, SystemTime::now())
}

fn in_folder(folder: Option<PathBuf>, settings: &str, files: &[PathBuf], now: SystemTime) -> Option<Stamp> {
    let (mut name, mut hash) = (blake3::Hasher::new(), blake3::Hasher::new());
    // Another version may decode otherwise.
    for part in [env!("CARGO_PKG_VERSION"), settings] {
        for hasher in [&mut name, &mut hash] {
            hasher.update(part.as_bytes()).update(b"\0");
        }
    }
    let mut folders: HashMap<&Path, PathBuf> = HashMap::new();
    for parent in files.iter().filter_map(|f| f.parent()) {
        if !folders.contains_key(parent) {
            let canonical = fs::canonicalize(parent).ok()?;
            name.update(canonical.as_os_str().as_encoded_bytes()).update(b"\0");
            folders.insert(parent, canonical);
        }
    }
    let states: io::Result<Vec<FileState>> = files.par_iter().map(|f| FileState::of(f)).collect();
    let mut newest = SystemTime::UNIX_EPOCH;
    for (file, state) in files.iter().zip(states.ok()?) {
        let parent = folders.get(file.parent()?)?;
        hash.update(parent.as_os_str().as_encoded_bytes()).update(b"\0");
        hash.update(file.file_name()?.as_encoded_bytes()).update(b"\0");
        state.numbers.iter().for_each(|n| {
            hash.update(&n.to_le_bytes());
        });
        newest = newest.max(state.newest);
    }
    let file = folder.map(|folder| folder.join(format!("{}.json", &name.finalize().to_hex()[..32])));
    Some(Stamp { file, hash: hash.finalize().to_hex().to_string(), young: newest + YOUNG > now })
}

impl Stamp {
    /// The fingerprint that was computed when the files were in this state.
    pub fn remembered(&self) -> Option<Fingerprint> {
        let text = fs::read(self.file.as_ref()?).ok()?;
        let entry: Entry = serde_json::from_slice(&text).ok()?;
        (entry.stamp == self.hash).then_some(entry.content)
    }

    /// Keeps the fingerprint of what was read, if the files are in this state still (`after`) and not too
    /// young to tell. What cannot be kept is computed again.
    pub fn remember(&self, content: &Fingerprint, after: Option<&Stamp>) {
        let unchanged = after.is_some_and(|after| after.hash == self.hash);
        let Some(file) = self.file.as_ref().filter(|_| unchanged && !self.young) else { return };
        let entry = Entry { stamp: self.hash.clone(), content: content.clone() };
        let Ok(text) = serde_json::to_vec(&entry) else { return };
        let folder = file.parent().unwrap_or(Path::new("."));
        let _ = fs::create_dir_all(folder).and_then(|()| write_atomic(file, &text));
    }
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    struct Lab {
        folder: tempfile::TempDir,
    }

    impl Lab {
        fn new() -> Self {
            let folder = tempfile::tempdir().unwrap();
            fs::create_dir(folder.path().join("d")).unwrap();
            fs::write(folder.path().join("d/a"), "one").unwrap();
            Lab { folder }
        }

        /// A minute from now.
        fn stamp(&self, settings: &str) -> Stamp {
            let files = [self.folder.path().join("d/a")];
            let later = SystemTime::now() + Duration::from_secs(60);
            in_folder(Some(self.folder.path().join("cache")), settings, &files, later).unwrap()
        }
    }

    fn content(all: &str) -> Fingerprint {
        Fingerprint { all: all.into(), ..Fingerprint::default() }
    }

    #[test]
    fn a_fingerprint_is_remembered_until_a_file_changes() {
        let lab = Lab::new();
        let stamp = lab.stamp("s");
        assert_eq!(stamp.remembered(), None);
        stamp.remember(&content("x"), Some(&lab.stamp("s")));
        assert_eq!(lab.stamp("s").remembered(), Some(content("x")));
        assert_eq!(lab.stamp("other settings").remembered(), None);
        // The same size, and the time of modification set back; file systems count in some milliseconds.
        std::thread::sleep(Duration::from_millis(50));
        let file = lab.folder.path().join("d/a");
        let before = fs::metadata(&file).unwrap().modified().unwrap();
        fs::write(&file, "two").unwrap();
        fs::File::options().write(true).open(&file).unwrap().set_modified(before).unwrap();
        assert_eq!(lab.stamp("s").remembered(), None);
    }

    #[test]
    fn young_files_and_files_that_changed_meanwhile_are_not_remembered() {
        let lab = Lab::new();
        let files = [lab.folder.path().join("d/a")];
        let cache = || Some(lab.folder.path().join("cache"));
        let young = in_folder(cache(), "s", &files, SystemTime::now()).unwrap();
        young.remember(&content("x"), Some(&young));
        assert_eq!(young.remembered(), None);
        let stamp = lab.stamp("s");
        fs::write(&files[0], "other").unwrap();
        stamp.remember(&content("x"), Some(&lab.stamp("s")));
        assert_eq!((stamp.remembered(), lab.stamp("s").remembered()), (None, None));
        assert!(in_folder(cache(), "s", &[lab.folder.path().join("gone/a")], SystemTime::now()).is_none());
    }

    #[test]
    fn a_copy_has_a_stamp_of_its_own() {
        let (lab, other) = (Lab::new(), Lab::new());
        assert_ne!(lab.stamp("s").hash, other.stamp("s").hash);
    }
}
