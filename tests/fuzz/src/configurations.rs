//! Experiment and sweep files.

use ijepa_run::{bench::CostMemory, config, sweep};
use proptest::prelude::*;

use super::{shipped, text, trial};

/// A message longer than this helps nobody.
const LONGEST: usize = 40_000;

/// Edits every shipped file. What is accepted is written out and read again: the same experiment.
pub fn fuzz(cases: u32, seed: u64) -> Result<(), String> {
    let files = shipped::files();
    let blocks = files.iter().flat_map(|(_, t)| t.lines().map(|l| format!("{l}\n"))).collect();
    let (sweeps, experiments): (Vec<_>, Vec<_>) =
        files.iter().cloned().partition(|(_, t)| sweep::is_sweep(t));
    // Most shipped files are sweeps, and one of those takes as long as many experiments.
    let which =
        prop_oneof![4 => proptest::sample::select(experiments), 1 => proptest::sample::select(sweeps)];
    let strategy = (which, text::edits(shipped::words(&files), blocks));
    let written = strategy.prop_map(|((name, right), edits)| (name, text::apply(&right, &edits)));
    trial::run(cases, seed, &written, |(name, text)| read(&files, &name, &text))
}

fn read(files: &[(String, String)], name: &str, text: &str) -> Result<(), String> {
    let read = |other: &str| shipped::read(files, other);
    let refusal = if sweep::is_sweep(text) {
        match sweep::plan(name, text, &[], &config::Surroundings::files(&read), &CostMemory::default()) {
            Ok(plan) => {
                trial::accept();
                return if plan.runs.is_empty() { Err("a plan without runs".into()) } else { Ok(()) };
            }
            Err(error) => error.to_string(),
        }
    } else {
        match config::load(name, text, &[], &read) {
            Ok(experiment) => return again(&experiment),
            Err(error) => error.to_string(),
        }
    };
    judge(&refusal, name)
}

/// An accepted experiment is accepted again as it is written out, under the same name.
pub fn again(experiment: &config::Experiment) -> Result<(), String> {
    trial::accept();
    let yaml = experiment.to_yaml();
    let second = config::load("again.yaml", &yaml, &[], &|_| Err("nothing is extended".into()));
    let second = second.map_err(|e| format!("written out, it is refused: {e}\n{yaml}"))?;
    if second.run_folder_name() != experiment.run_folder_name() {
        return Err(format!("written out, it is another experiment\n{yaml}"));
    }
    Ok(())
}

/// A refusal says where and why, and no more than can be read.
pub fn judge(refusal: &str, place: &str) -> Result<(), String> {
    if !refusal.contains(place) {
        return Err(format!("a refusal that does not name {place}: {refusal}"));
    }
    if refusal.len() > LONGEST {
        return Err(format!("a refusal of {} bytes", refusal.len()));
    }
    Ok(())
}
