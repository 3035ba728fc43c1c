//! The machine and the process that this is, as far as files can tell, and whether another process still lives.

use std::{
    fs,
    hash::{BuildHasher, Hasher, RandomState},
};

use serde::{Deserialize, Serialize};

/// Name of the machine; empty where nobody says.
pub fn host() -> String {
    let file = fs::read_to_string("/proc/sys/kernel/hostname").ok();
    let variable = || ["COMPUTERNAME", "HOSTNAME"].iter().find_map(|name| std::env::var(name).ok());
    file.or_else(variable).unwrap_or_default().trim().to_owned()
}

/// A process, so that others can tell whether it lives.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcessId {
    /// Name of its machine.
    pub host: String,
    /// Number of the machine's installation; empty where there is none.
    pub machine: String,
    /// Drawn each time the machine starts; empty where the system does not say.
    pub boot: String,
    /// What process numbers are counted in: containers have their own.
    pub namespace: String,
    /// Number of the process.
    pub pid: u32,
    /// When it started, in the system's own unit; 0 where it does not say.
    pub start: u64,
}

impl ProcessId {
    /// This process.
    pub fn own() -> Self {
        let file = |path: &str| fs::read_to_string(path).unwrap_or_default().trim().to_owned();
        let namespace = fs::read_link("/proc/self/ns/pid").unwrap_or_default();
        let pid = std::process::id();
        ProcessId {
            host: host(),
            machine: file("/etc/machine-id"),
            boot: file("/proc/sys/kernel/random/boot_id"),
            namespace: namespace.to_string_lossy().into_owned(),
            pid,
            start: start_of(pid).unwrap_or(0),
        }
    }

    /// Whether this process lives, asked by `asking`; none: from there nobody can tell.
    pub fn lives(&self, asking: &ProcessId) -> Option<bool> {
        let same_system = !self.boot.is_empty() && self.boot == asking.boot;
        let restarted = (&self.host, &self.machine) == (&asking.host, &asking.machine)
            && !self.machine.is_empty()
            && !self.boot.is_empty();
        match (same_system, self.namespace == asking.namespace && self.start > 0) {
            (true, true) => Some(start_of(self.pid) == Some(self.start)),
            // Its machine has been started again since.
            (false, _) if restarted => Some(false),
            _ => None,
        }
    }

    /// Whether both run under the same running system: then a lock of it keeps them apart.
    pub fn shares_system(&self, other: &ProcessId) -> bool {
        self.boot == other.boot && !self.boot.is_empty()
            || self.boot.is_empty() && other.boot.is_empty() && self.host == other.host
    }
}

/// When a process started; none if there is none, or if it has ended and only its parent has not noticed.
fn start_of(pid: u32) -> Option<u64> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name stands in brackets, and may hold spaces and brackets itself.
    let fields: Vec<&str> = text.rsplit_once(')')?.1.split_whitespace().collect();
    if matches!(fields.first(), Some(&"Z" | &"X")) { None } else { fields.get(19)?.parse().ok() }
}

/// 128 bits that no other process draws, from the seeds that the system gives hash maps. No number of an experiment
/// comes from here.
pub fn unique_token() -> String {
    let draw = || RandomState::new().build_hasher().finish();
    format!("{:016x}{:016x}", draw(), draw())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_lives_until_it_ends_or_its_machine_starts_again() {
        let own = ProcessId::own();
        let other = |change: &dyn Fn(&mut ProcessId)| {
            let mut other = own.clone();
            change(&mut other);
            other.lives(&own)
        };
        if own.start > 0 {
            assert_eq!(own.lives(&own), Some(true));
            assert_eq!(other(&|o| o.start += 1), Some(false), "another process has its number now");
        }
        assert_eq!(other(&|o| (o.boot, o.host) = ("other".into(), "elsewhere".into())), None);
        assert_eq!(other(&|o| o.namespace = "container".into()), None);
        assert_ne!(unique_token(), unique_token());
    }
}
