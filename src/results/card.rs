//! `run.json`: the provenance of a run, one entry per process that worked on it.

use std::{
    fs, io,
    path::{Path, PathBuf},
    process::Command,
};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{CARDS, FileError, read, write_atomic};
use crate::data::{Fingerprint, regular};

/// What is known about one process that worked on a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RunCard {
    /// When it started (RFC 3339, UTC).
    pub started_at: String,
    /// Command line.
    pub command: Vec<String>,
    /// Version of the program.
    pub version: String,
    /// Commit of the working folder's git repository, with `-dirty` if it had changes; empty outside one.
    pub git: String,
    /// Processor.
    pub cpu: String,
    /// Compute threads.
    pub threads: usize,
    /// Device the model ran on.
    pub device: String,
    /// Operating system and architecture.
    pub platform: String,
    /// Fingerprint of the data.
    pub data: String,
    /// Fingerprint of the training images alone.
    #[serde(default)]
    pub data_train: String,
    /// Fingerprint of the test images alone.
    #[serde(default)]
    pub data_test: String,
    /// How many images, in how many classes, and what was left out.
    #[serde(default)]
    pub images: String,
    /// Step it started from.
    pub first_step: u64,
}

/// What a card says about data.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct DataCard {
    /// Fingerprints.
    pub content: Fingerprint,
    /// A sentence about the images.
    pub images: String,
}

impl RunCard {
    /// The card of this process.
    pub fn of_this_process(device: &str, threads: usize, data: &DataCard, first_step: u64) -> Self {
        RunCard {
            started_at: jiff::Timestamp::now().to_string(),
            command: std::env::args_os().map(|word| word.to_string_lossy().into_owned()).collect(),
            version: env!("CARGO_PKG_VERSION").into(),
            git: git_state(),
            cpu: cpu_name(),
            threads,
            device: device.into(),
            platform: format!("{} {}", std::env::consts::OS, std::env::consts::ARCH),
            data: data.content.all.clone(),
            data_train: data.content.train.clone(),
            data_test: data.content.test.clone(),
            images: data.images.clone(),
            first_step,
        }
    }

    /// The cards in `run.json` of `folder`, oldest first; entries of other forms are left out.
    pub fn read_all(folder: &Path) -> Result<Vec<RunCard>, FileError> {
        let path = folder.join(CARDS);
        let Some(text) = read::text(&path)? else { return Ok(Vec::new()) };
        let entries: Vec<Value> = serde_json::from_str(&text)
            .map_err(|e| FileError::at(&path, Some(e.line() as u64), format!("is no list of cards: {e}")))?;
        Ok(entries.into_iter().filter_map(|entry| serde_json::from_value(entry).ok()).collect())
    }

    /// Adds the card to `run.json` in `folder`.
    pub fn append_to(&self, folder: &Path) -> io::Result<Option<PathBuf>> {
        append(folder, serde_json::to_value(self).map_err(io::Error::other)?)
    }
}

/// Adds an entry to `run.json` in `folder`; those of other versions stay as they are. A file that is no
/// list of entries is kept under another name, which is returned.
pub fn append(folder: &Path, entry: Value) -> io::Result<Option<PathBuf>> {
    let path = folder.join(CARDS);
    let bytes = match regular(&path) {
        Ok(bytes) => bytes,
        Err(e) if e.kind() == io::ErrorKind::NotFound => b"[]".to_vec(),
        Err(e) => return Err(io::Error::new(e.kind(), format!("{}: {e}", path.display()))),
    };
    let entries: Option<Vec<Value>> = serde_json::from_slice(&bytes).ok();
    let aside = if entries.is_none() { Some(keep_aside(&path)?) } else { None };
    let entries = entries.unwrap_or_default().into_iter().chain([entry]).collect::<Vec<Value>>();
    let text = serde_json::to_string_pretty(&entries).map_err(io::Error::other)?;
    write_atomic(&path, (text + "\n").as_bytes())?;
    Ok(aside)
}

/// Renames a damaged file, to `NAME.damaged` or with a number behind it.
pub fn keep_aside(path: &Path) -> io::Result<PathBuf> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let numbered = (2..).map(|n| format!("{name}.damaged-{n}"));
    let names = std::iter::once(format!("{name}.damaged")).chain(numbered);
    let free = names.map(|name| path.with_file_name(name)).find(|p| p.symlink_metadata().is_err());
    let aside = free.expect("some number is free");
    fs::rename(path, &aside)?;
    Ok(aside)
}

fn git_state() -> String {
    let git = |args: &[&str]| {
        let output = Command::new("git").args(args).output().ok()?;
        output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_string())
    };
    let Some(commit) = git(&["rev-parse", "HEAD"]) else { return String::new() };
    let clean = git(&["status", "--porcelain", "--untracked-files=no"]).is_some_and(|s| s.is_empty());
    if clean { commit } else { format!("{commit}-dirty") }
}

/// Name of the processor, where the system tells.
pub fn cpu_name() -> String {
    let info = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = info.lines().find_map(|l| l.strip_prefix("model name")?.split_once(':').map(|p| p.1.trim()));
    model.unwrap_or("unknown").to_string()
}

/// Largest resident memory of this process so far in MiB, where the system tells.
pub fn peak_memory() -> Option<f64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|l| l.strip_prefix("VmHWM:"))?;
    let kib: f64 = line.trim().trim_end_matches(" kB").trim().parse().ok()?;
    Some(kib / 1024.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_of_the_history_is_lost() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(CARDS);
        let card = RunCard::of_this_process("cpu", 2, &DataCard::default(), 0);
        fs::write(&path, r#"[{"of": "another version"}]"#).unwrap();
        assert_eq!(card.append_to(folder.path()).unwrap(), None);
        assert_eq!(RunCard::read_all(folder.path()).unwrap(), std::slice::from_ref(&card));
        assert!(fs::read_to_string(&path).unwrap().contains("another version"));
        for (damaged, name) in [("[{", "run.json.damaged"), ("7", "run.json.damaged-2")] {
            fs::write(&path, damaged).unwrap();
            let error = RunCard::read_all(folder.path()).unwrap_err().to_string();
            assert!(error.contains("run.json:1: is no list of cards"), "{error}");
            let aside = card.append_to(folder.path()).unwrap().unwrap();
            assert_eq!(aside, folder.path().join(name));
            assert_eq!(fs::read_to_string(aside).unwrap(), damaged);
        }
        // What cannot be read is no reason to forget it.
        fs::remove_file(&path).unwrap();
        fs::create_dir(&path).unwrap();
        assert!(card.append_to(folder.path()).unwrap_err().to_string().contains("run.json: is a folder"));
    }
}
