//! What lies in a run folder, read without the program's own code: the campaign must not share its errors.

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
};

use serde_json::Value;

/// Files whose bytes differ from run to run: clock readings, process numbers, and what holds their lengths.
const VOLATILE: [&str; 5] = ["lock", "run.json", "status.json", "timing.csv", "checkpoints/"];

/// Path from the folder, bytes.
pub type Files = BTreeMap<String, Vec<u8>>;

/// Every regular file below `folder`, links not followed.
pub fn files(folder: &Path) -> io::Result<Files> {
    let mut found = Files::new();
    collect(folder, folder, &mut found)?;
    Ok(found)
}

fn collect(root: &Path, folder: &Path, found: &mut Files) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let (kind, path) = (entry.file_type()?, entry.path());
        if kind.is_dir() {
            collect(root, &path, found)?;
        } else if kind.is_file() {
            let name = path.strip_prefix(root).map_err(io::Error::other)?.to_string_lossy().into_owned();
            found.insert(name, fs::read(&path)?);
        }
    }
    Ok(())
}

/// Whether two undisturbed runs give the same bytes of this file.
pub fn is_repeatable(name: &str) -> bool {
    let volatile = |v: &&str| name == *v || (v.ends_with('/') && name.starts_with(v));
    !VOLATILE.iter().any(volatile) && !is_kept(name)
}

/// Files of earlier attempts and damaged ones, kept aside.
pub fn is_kept(name: &str) -> bool {
    name.starts_with("attempt-") || name.contains("damaged")
}

/// A file that a killed write left behind.
pub fn is_temporary(name: &str) -> bool {
    let file = name.rsplit('/').next().unwrap_or(name);
    !is_kept(name) && (file.starts_with('.') || file.contains(".tmp") || file.ends_with('~'))
}

/// The entries of `run.json`; none if it cannot be read.
pub fn cards(files: &Files) -> Option<Vec<Value>> {
    serde_json::from_slice(files.get("run.json")?).ok()
}

/// What a checkpoint says: the step it was written at, and how long every table was.
#[derive(Clone, Debug, PartialEq)]
pub struct Vouched {
    pub step: u64,
    pub lengths: Vec<(String, u64)>,
}

/// Reads the header of a safetensors file by hand; none if it is not one of the program's checkpoints.
pub fn checkpoint(files: &Files) -> Option<Vouched> {
    let bytes = files.get("checkpoints/latest.safetensors")?;
    let length = u64::from_le_bytes(*bytes.first_chunk()?) as usize;
    let header: Value = serde_json::from_slice(bytes.get(8..8 + length)?).ok()?;
    let state: Value = serde_json::from_str(header["__metadata__"]["state"].as_str()?).ok()?;
    let mut lengths = Vec::new();
    table_lengths("", &state, &mut lengths);
    Some(Vouched { step: state["progress"]["step"].as_u64()?, lengths })
}

/// Finds `"metrics.csv": 120` and `"metrics.csv": {"bytes": 120, ...}` wherever they stand.
fn table_lengths(key: &str, value: &Value, found: &mut Vec<(String, u64)>) {
    if key.ends_with(".csv") {
        let number = ["bytes", "length", "len"].iter().find_map(|k| value.get(*k)?.as_u64());
        found.extend(value.as_u64().or(number).map(|n| (key.to_owned(), n)));
    } else if let Some(map) = value.as_object() {
        map.iter().for_each(|(k, v)| table_lengths(k, v, found));
    }
}

/// The state in `status.json`.
pub fn state(files: &Files) -> Option<String> {
    let status: Value = serde_json::from_slice(files.get("status.json")?).ok()?;
    Some(status["state"].as_str()?.to_owned())
}

/// Copies a folder of files and folders.
pub fn copy(from: &Path, to: &Path) -> io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy(&entry.path(), &target)?;
        } else {
            fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}

/// The run folder in an output folder: the one with an `-sSEED-` in its name.
pub fn find(output: &Path) -> Option<PathBuf> {
    let mut folders: Vec<PathBuf> = fs::read_dir(output).ok()?.flatten().map(|e| e.path()).collect();
    folders.sort();
    folders
        .into_iter()
        .find(|p| p.is_dir() && p.file_name().is_some_and(|n| n.to_string_lossy().contains("-s0-")))
}
