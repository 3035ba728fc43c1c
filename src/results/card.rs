//! `run.json`: the birth certificate of a run, one entry per process that worked on it.

use std::{fs, io, path::Path, process::Command};

use serde::{Deserialize, Serialize};

use super::{CARDS, write_atomic};

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
    /// Step it started from.
    pub first_step: u64,
}

impl RunCard {
    /// The card of this process.
    pub fn of_this_process(device: &str, threads: usize, data: &str, first_step: u64) -> Self {
        RunCard {
            started_at: jiff::Timestamp::now().to_string(),
            command: std::env::args().collect(),
            version: env!("CARGO_PKG_VERSION").into(),
            git: git_state(),
            cpu: cpu_name(),
            threads,
            device: device.into(),
            platform: format!("{} {}", std::env::consts::OS, std::env::consts::ARCH),
            data: data.into(),
            first_step,
        }
    }

    /// The cards in `run.json` of `folder`, oldest first; none if there is no such file.
    pub fn read_all(folder: &Path) -> Vec<RunCard> {
        let text = fs::read_to_string(folder.join(CARDS)).ok();
        text.and_then(|text| serde_json::from_str(&text).ok()).unwrap_or_default()
    }

    /// Adds the card to `run.json` in `folder`.
    pub fn append_to(&self, folder: &Path) -> io::Result<()> {
        let mut cards = RunCard::read_all(folder);
        cards.push(self.clone());
        let text = serde_json::to_string_pretty(&cards).map_err(io::Error::other)?;
        write_atomic(&folder.join(CARDS), (text + "\n").as_bytes())
    }
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
