//! The shipped experiment files: right inputs to start from.

use std::{fs, path::Path};

/// Name and text of every file in `experiments`, sweeps included.
pub fn files() -> Vec<(String, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../experiments");
    let mut found = Vec::new();
    for folder in [root.clone(), root.join("sweeps")] {
        let entries = fs::read_dir(&folder).into_iter().flatten().flatten().map(|e| e.path());
        for path in entries.filter(|p| p.extension().is_some_and(|e| e == "yaml")) {
            if let Ok(text) = fs::read_to_string(&path) {
                found.push((
                    format!("experiments/{}", path.file_name().unwrap_or_default().display()),
                    bare(&text),
                ));
            }
        }
    }
    found.sort();
    assert!(found.len() > 5, "the shipped experiments are not where they should be");
    found
}

/// Without comments, so that edits meet settings.
fn bare(text: &str) -> String {
    let lines = text.lines().map(|l| l.split(" #").next().unwrap_or(l).trim_end());
    lines.filter(|l| !l.is_empty() && !l.starts_with('#')).map(|l| format!("{l}\n")).collect()
}

/// Finds a file by the last part of its name: where it lies does not matter here.
pub fn read(files: &[(String, String)], name: &str) -> Result<String, String> {
    let last = |n: &str| n.rsplit('/').next().unwrap_or(n).to_owned();
    let found = files.iter().find(|(n, _)| last(n) == last(name));
    found.map(|(_, text)| text.clone()).ok_or_else(|| "there is no such file".into())
}

/// Words of all files: keys, components, values.
pub fn words(files: &[(String, String)]) -> Vec<String> {
    let is_part = |c: char| c.is_alphanumeric() || "._-/".contains(c);
    let mut words: Vec<String> = files
        .iter()
        .flat_map(|(_, t)| t.split(|c| !is_part(c)))
        .filter(|w| !w.is_empty())
        .map(str::to_owned)
        .collect();
    words.sort();
    words.dedup();
    words
}
