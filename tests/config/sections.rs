//! What a section says is part of what an experiment is.

use std::collections::BTreeMap;

use ijepa_run::{config, registry::catalogue};
use serde_json::Value;

const SECTIONS: [(&str, &str); 10] = [
    ("dataset", "dataset"),
    ("encoder", "encoder"),
    ("predictor", "predictor"),
    ("masking", "masking"),
    ("targets", "targets"),
    ("loss", "loss"),
    ("optimizer", "optimizer"),
    ("learning_rate", "schedule"),
    ("weight_decay", "schedule"),
    ("ema", "schedule"),
];

fn load(changes: &[String]) -> Option<config::Experiment> {
    let text = include_str!("../../experiments/sweeps/base-shapes.yaml");
    let probes = ["probes=[]".to_owned(), "collapse=[]".into()];
    config::load("base-shapes", text, &[&probes, changes].concat(), &|_| Err("extends nothing".into())).ok()
}

/// Every component of every section, and every list entry, gives an identity of its own.
#[test]
fn experiments_that_differ_in_a_section_differ_in_identity() {
    let mut seen: BTreeMap<String, Value> = BTreeMap::new();
    let mut tried = 0;
    let mut try_one = |change: String| {
        let Some(experiment) = load(std::slice::from_ref(&change)) else { return };
        let mut resolved = experiment.resolved();
        resolved["probes"] = Value::Null;
        tried += 1;
        if let Some(other) = seen.insert(experiment.identity(), resolved.clone()) {
            assert_eq!(other, resolved, "{change}");
        }
    };
    for (section, kind) in SECTIONS {
        for listing in catalogue::list().into_iter().filter(|l| l.kind == kind) {
            let settings = listing.example.trim().trim_start_matches('{');
            let comma = if settings.trim() == "}" { "" } else { "," };
            try_one(format!("{section}={{ kind: {}{comma} {settings}", listing.name));
        }
    }
    for regularizer in catalogue::list().into_iter().filter(|l| l.kind == "regularizer") {
        for rest in ["weight: 0.1", "weight: 0.2", "weight: 0.1, on: context", "weight: 0.1, name: other"] {
            try_one(format!("regularizers=[{{ kind: {}, {rest} }}]", regularizer.name));
        }
    }
    for change in ["masking.draws=2", "masking.draws=3", "dataset.validation=64", "seed=1", "train.epochs=3"]
    {
        try_one(change.into());
    }
    assert!(tried > 30, "only {tried} experiments loaded: is the search broken?");
}

/// A choice that did not exist before there was a section for it changes no identity.
#[test]
fn a_default_that_is_written_out_is_the_experiment_without_it() {
    let plain = load(&[]).unwrap();
    for change in ["targets=ema", "regularizers=[]", "masking.draws=1", "targets={ kind: ema, layers: 1 }"] {
        assert_eq!(load(&[change.into()]).unwrap().identity(), plain.identity(), "{change}");
    }
    // What it was before there were targets, regularizers and draws to choose.
    assert_eq!(plain.identity(), "6d132f4b518c");
}
