//! What this machine and this program offer a run, and what is missing.

use std::{fs, path::Path};

use crate::{kernels, results::card};

/// How a finding bears on a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Health {
    /// There, and used.
    Good,
    /// Missing, and nothing needs it.
    Absent,
    /// Missing or broken, and something that is there needs it.
    Broken,
}

/// One line of the report.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// What was looked at.
    pub what: String,
    /// How it stands.
    pub health: Health,
    /// What was found, or what to do.
    pub text: String,
}

fn finding(what: &str, health: Health, text: impl Into<String>) -> Finding {
    Finding { what: what.into(), health, text: text.into() }
}

/// Where a downloaded CIFAR-10 lies unless an experiment says otherwise.
const CIFAR10: &str = "data/cifar-10-batches-bin";

/// Looks at everything. `output` is the folder of the run folders.
pub fn examine(output: &Path) -> Vec<Finding> {
    let mut findings = vec![processor(), threads(), memory()];
    findings.extend(gpus());
    findings.push(device());
    findings.push(results(output));
    findings.push(cifar10());
    findings
}

fn processor() -> Finding {
    let level = kernels::widest_level();
    let text = format!("{}, kernels for {level}", card::cpu_name());
    // Portable code is several times slower: worth knowing, but it works.
    let health = if level == kernels::Level::Portable { Health::Absent } else { Health::Good };
    finding("processor", health, text)
}

fn threads() -> Finding {
    match std::thread::available_parallelism() {
        Ok(n) => finding("threads", Health::Good, format!("{n}; --threads takes fewer")),
        Err(e) => finding("threads", Health::Broken, format!("the system does not tell: {e}")),
    }
}

fn memory() -> Finding {
    let info = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    match (meminfo(&info, "MemAvailable:"), meminfo(&info, "MemTotal:")) {
        (Some(free), Some(total)) => {
            finding("memory", Health::Good, format!("{:.1} of {:.1} GiB available", gib(free), gib(total)))
        }
        _ => finding("memory", Health::Absent, "the system does not tell"),
    }
}

/// A value of /proc/meminfo in KiB.
fn meminfo(info: &str, key: &str) -> Option<u64> {
    info.lines().find_map(|l| l.strip_prefix(key))?.trim().trim_end_matches(" kB").parse().ok()
}

fn gib(kib: u64) -> f64 {
    kib as f64 / f64::from(1 << 20)
}

#[cfg(not(feature = "cuda-base"))]
fn gpus() -> Vec<Finding> {
    let how = "not in this program; cargo build --release --features cuda puts it in";
    vec![finding("CUDA", Health::Absent, how)]
}

#[cfg(feature = "cuda-base")]
fn gpus() -> Vec<Finding> {
    let found = match kernels::drivers() {
        Ok(found) => found,
        Err(kernels::Unusable::Broken(cause)) => return vec![finding("CUDA", Health::Broken, cause)],
        Err(kernels::Unusable::NoGpu(cause)) => return vec![finding("CUDA", Health::Absent, cause)],
    };
    let (major, minor) = found.cuda;
    let text = format!("{}, {}, up to CUDA {major}.{minor}", found.driver, found.cublas);
    let mut findings = vec![finding("CUDA", Health::Good, text)];
    findings.extend(found.gpus.iter().enumerate().map(|(ordinal, gpu)| {
        let (major, minor) = gpu.capability;
        let text = format!("{}, {} MiB, capability {major}.{minor}", gpu.name, gpu.memory);
        match found.usable(ordinal).map_err(|e| e.to_string()).and_then(|_| opened(ordinal)) {
            Ok(()) => finding(&format!("cuda:{ordinal}"), Health::Good, format!("{text}: kernels loaded")),
            Err(e) => finding(&format!("cuda:{ordinal}"), Health::Broken, format!("{text}: {e}")),
        }
    }));
    findings
}

#[cfg(feature = "cuda-base")]
fn opened(ordinal: usize) -> Result<(), String> {
    kernels::open(ordinal).map(|_| ()).map_err(|e| e.to_string())
}

fn device() -> Finding {
    match crate::run::device_for(crate::config::Device::Auto) {
        Ok(name) => finding("device: auto", Health::Good, format!("means {name} here")),
        Err(e) => finding("device: auto", Health::Broken, e.to_string()),
    }
}

fn results(output: &Path) -> Finding {
    let shown = output.display();
    let existing = output.ancestors().find(|p| p.exists()).unwrap_or(Path::new("."));
    let writable =
        tempfile::tempfile_in(if existing.as_os_str().is_empty() { Path::new(".") } else { existing });
    match writable {
        Ok(_) => finding("results", Health::Good, format!("{shown} can be written")),
        Err(e) => finding("results", Health::Broken, format!("{shown} cannot be written: {e}")),
    }
}

fn cifar10() -> Finding {
    if Path::new(CIFAR10).join("data_batch_1.bin").is_file() {
        return finding("CIFAR-10", Health::Good, format!("in {CIFAR10}"));
    }
    finding("CIFAR-10", Health::Absent, format!("not in {CIFAR10}; dataset.download=true fetches it"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_machine_has_a_processor_and_a_device() {
        let folder = tempfile::tempdir().unwrap();
        let found = examine(&folder.path().join("new/results"));
        let of = |what: &str| found.iter().find(|f| f.what == what).unwrap();
        assert!(of("device: auto").text.starts_with("means "));
        assert_eq!(of("results").health, Health::Good);
        assert!(found.iter().all(|f| !f.text.is_empty()));
    }

    #[test]
    fn memory_is_read_from_the_systems_table() {
        let info = "MemTotal:       24000000 kB\nMemAvailable:    1048576 kB\n";
        assert_eq!(meminfo(info, "MemAvailable:"), Some(1 << 20));
        assert_eq!(meminfo(info, "Swap:"), None);
    }
}
