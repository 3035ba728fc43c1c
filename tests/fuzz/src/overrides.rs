//! `key=value` on the command line.

use ijepa_run::{bench::CostMemory, config, sweep};
use proptest::prelude::*;

use super::{configurations, shipped, text, trial};

/// The experiment that is changed.
const BASE: &str = "baseline.yaml";

/// Puts one to four random settings on an experiment, or a grid of them.
pub fn fuzz(cases: u32, seed: u64) -> Result<(), String> {
    let files = shipped::files();
    let right = shipped::read(&files, BASE)?;
    let keys = proptest::sample::select(paths(&right));
    let words = proptest::sample::select(shipped::words(&files));
    let edge = proptest::sample::select(text::EDGES.map(str::to_owned).to_vec());
    let value = prop_oneof![edge.clone(), words.clone(), any::<f64>().prop_map(|x| x.to_string()), ".{0,20}"];
    let list = prop::collection::vec(value.clone(), 1..4).prop_map(|all| all.join(","));
    let key = prop_oneof![4 => keys, 1 => words, 1 => edge];
    let sign = prop_oneof![8 => Just("="), 1 => Just(""), 1 => Just("==")];
    let one = (key, sign, prop_oneof![value, list]).prop_map(|(k, s, v)| format!("{k}{s}{v}"));
    let strategy = (prop::collection::vec(one, 1..5), any::<bool>());
    trial::run(cases, seed, &strategy, |(overrides, grid)| read(&files, &right, &overrides, grid))
}

/// Paths of settings: every key under the section it stands in.
fn paths(text: &str) -> Vec<String> {
    let (mut section, mut found) = (String::new(), Vec::new());
    for line in text.lines() {
        let keys: Vec<&str> =
            line.split([',', '{']).filter_map(|p| p.split_once(':')).map(|(k, _)| k.trim()).collect();
        for key in keys {
            if line.starts_with(key) {
                section = key.to_owned();
                found.push(section.clone());
            } else {
                found.push(format!("{section}.{}", key.trim_start_matches("- ")));
            }
        }
    }
    found
}

fn read(files: &[(String, String)], text: &str, overrides: &[String], grid: bool) -> Result<(), String> {
    let read = |other: &str| shipped::read(files, other);
    let refusal = if grid {
        match sweep::multirun(
            BASE,
            text,
            overrides,
            &config::Surroundings::files(&read),
            &CostMemory::default(),
        ) {
            Ok(_) => {
                trial::accept();
                return Ok(());
            }
            Err(error) => error.to_string(),
        }
    } else {
        match config::load(BASE, text, overrides, &read) {
            Ok(experiment) => return configurations::again(&experiment),
            Err(error) => error.to_string(),
        }
    };
    configurations::judge(&refusal, "")
}
