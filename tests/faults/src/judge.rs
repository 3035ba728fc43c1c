//! What may not happen, and how it is noticed.

use std::fmt;

use super::{
    process::Ended,
    run_folder::{self, Files, Vouched},
};

/// A way to be wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Fault {
    /// Exit 0 with other bytes, and no file named.
    Wrong,
    /// A panic, an abort, a segmentation fault.
    Panic,
    /// More processor time than a tiny run can need, or asleep for ever.
    Hang,
    /// Step 0, or an earlier one, although a checkpoint was there.
    Restart,
    /// A table shorter than a checkpoint says, after a process that had no new one.
    Shortened,
    /// An entry of `run.json` is gone.
    History,
    /// A temporary file stays in a finished folder.
    Leftover,
    /// An error that names no file.
    Nameless,
    /// Nothing is damaged, and still the run cannot be finished.
    Stuck,
    /// A signal that should end with a checkpoint ended the process instead.
    Unsaved,
    /// A damaged file is accepted by `verify`, or its run is missing in `ls`.
    Unnoticed,
}

impl Fault {
    pub const ALL: [Fault; 11] = [
        Fault::Wrong,
        Fault::Panic,
        Fault::Hang,
        Fault::Restart,
        Fault::Shortened,
        Fault::History,
        Fault::Leftover,
        Fault::Nameless,
        Fault::Stuck,
        Fault::Unsaved,
        Fault::Unnoticed,
    ];

    /// Head of its column.
    pub fn word(self) -> &'static str {
        match self {
            Fault::Wrong => "wrong",
            Fault::Panic => "panic",
            Fault::Hang => "hang",
            Fault::Restart => "restart",
            Fault::Shortened => "shortened",
            Fault::History => "history",
            Fault::Leftover => "leftover",
            Fault::Nameless => "nameless",
            Fault::Stuck => "stuck",
            Fault::Unsaved => "unsaved",
            Fault::Unnoticed => "unnoticed",
        }
    }
}

/// One thing that went wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    pub fault: Fault,
    pub what: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "{}: {}", self.fault.word(), self.what)
    }
}

pub fn finding(fault: Fault, what: impl Into<String>) -> Finding {
    Finding { fault, what: what.into() }
}

/// Signals of a crash: ILL, TRAP, ABRT, BUS, FPE, SEGV, SYS.
const CRASHES: [i32; 7] = [4, 5, 6, 7, 8, 11, 31];

/// What any process may not do.
pub fn manners(ended: &Ended, doing: &str) -> Vec<Finding> {
    let mut found = Vec::new();
    let crashed = ended.signal.is_some_and(|s| CRASHES.contains(&s));
    if crashed || ended.code == Some(101) || ended.stderr.contains("panicked at") {
        found
            .push(finding(Fault::Panic, format!("{doing}: {}: {}", ended.how(), first_lines(&ended.stderr))));
    }
    if ended.hung {
        found.push(finding(Fault::Hang, doing));
    }
    found
}

/// Whether an error says where: a refusal must name a file or folder of the run.
pub fn names_a_place(ended: &Ended, folder: &str) -> Vec<Finding> {
    let said = ended.said();
    if ended.code == Some(1) && !said.contains(folder) {
        return vec![finding(Fault::Nameless, first_lines(&said))];
    }
    Vec::new()
}

/// The start of a message, in one line.
pub fn first_lines(text: &str) -> String {
    let lines: Vec<&str> = text.lines().filter(|l| !l.trim().is_empty()).take(3).collect();
    lines.join(" / ").chars().take(300).collect()
}

/// What a process may not do to the files it found.
pub fn losses(before: &Files, after: &Files) -> Vec<Finding> {
    let mut found = history(before, after);
    let (old, new) = (run_folder::checkpoint(before), run_folder::checkpoint(after));
    if let Some(old) = old.filter(|old| new.as_ref().is_none_or(|new| new.step <= old.step)) {
        found.extend(shortened(&old, before, after));
    }
    found
}

/// Entries of `run.json` may only be added; what could not be read must still be somewhere.
fn history(before: &Files, after: &Files) -> Vec<Finding> {
    let lost = match (run_folder::cards(before), run_folder::cards(after)) {
        (Some(old), Some(new)) => !new.starts_with(&old),
        (Some(old), None) => !old.is_empty(),
        (None, _) => {
            before.get("run.json").is_some_and(|text| !text.is_empty() && !after.values().any(|f| f == text))
        }
    };
    let kept = |text: &Vec<u8>| after.iter().any(|(name, f)| run_folder::is_kept(name) && f == text);
    if lost && !before.get("run.json").is_some_and(kept) {
        return vec![finding(Fault::History, "entries of run.json are gone")];
    }
    Vec::new()
}

fn shortened(vouched: &Vouched, before: &Files, after: &Files) -> Vec<Finding> {
    let length = |files: &Files, name: &str| files.get(name).map_or(0, |f| f.len() as u64);
    let cut = |(name, bytes): &&(String, u64)| {
        length(before, name) >= *bytes && length(after, name) < *bytes && !kept_aside(after, name)
    };
    let sentence = |(name, bytes): &(String, u64)| {
        let now = length(after, name);
        finding(Fault::Shortened, format!("{name} holds {now} bytes, the checkpoint vouches for {bytes}"))
    };
    vouched.lengths.iter().filter(cut).map(sentence).collect()
}

/// Moved into an earlier attempt rather than cut.
fn kept_aside(after: &Files, name: &str) -> bool {
    after.keys().any(|f| run_folder::is_kept(f) && f.ends_with(name))
}

/// How a finished run differs from one that nothing happened to.
pub fn differences(expected: &Files, actual: &Files) -> Vec<String> {
    let wanted = expected.iter().filter(|(name, _)| run_folder::is_repeatable(name));
    wanted
        .filter_map(|(name, bytes)| match actual.get(name) {
            None => Some(format!("{name} is missing")),
            Some(other) if other != bytes => Some(format!("{name} has other bytes")),
            Some(_) => None,
        })
        .collect()
}

/// Temporary files of a finished run.
pub fn leftovers(actual: &Files) -> Vec<Finding> {
    let temporary = actual.keys().filter(|name| run_folder::is_temporary(name));
    temporary.map(|name| finding(Fault::Leftover, name.as_str())).collect()
}
