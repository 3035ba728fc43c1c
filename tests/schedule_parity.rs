//! Schedules against the arrays of both reference repositories, to a relative 1e-12.

mod support;

use ijepa_run::registry::{
    catalogue,
    kinds::{Horizon, Schedule},
};
use safetensors::SafeTensors;
use serde_json::{Value, json};
use support::fixtures;

/// Steps and values stored for one setting.
struct Arrays<'a> {
    file: SafeTensors<'a>,
    setting: usize,
}

impl Arrays<'_> {
    fn words(&self, name: &str) -> Vec<[u8; 8]> {
        let view = self.file.tensor(&format!("s{}/{name}", self.setting)).expect("stored array");
        view.data().chunks_exact(8).map(|b| b.try_into().unwrap()).collect()
    }
    fn steps(&self) -> Vec<u64> {
        self.words("step").into_iter().map(|b| i64::from_le_bytes(b) as u64).collect()
    }
    /// Compares one array with the component `kind`; returns how many values were compared.
    fn compare(&self, name: &str, kind: &str, settings: &Value, horizon: Horizon) -> usize {
        let entry = catalogue::find::<dyn Schedule>(kind).expect("registered schedule");
        let (_, schedule) = (entry.build)(settings).expect("settings");
        let wanted: Vec<f64> = self.words(name).into_iter().map(f64::from_le_bytes).collect();
        for (&step, &want) in self.steps().iter().zip(&wanted) {
            let got = schedule.value(step, horizon);
            let close = (got - want).abs() <= 1e-12 * want.abs();
            assert!(close, "{name} of setting {}, step {step}: {got:e}, not {want:e}", self.setting);
        }
        wanted.len()
    }
}

/// Runs `compare` for every setting of `{set}/schedules.*`; returns how many values were compared.
fn for_each_setting(set: &str, compare: impl Fn(&Arrays, &Value) -> usize) -> Option<usize> {
    let listed = fixtures::json(&format!("{set}/schedules.json"))?;
    let bytes = std::fs::read(fixtures::fixture(&format!("{set}/schedules.safetensors"))?).expect("fixture");
    let settings = listed["settings"].as_array().expect("settings").clone();
    let arrays = |setting| Arrays { file: SafeTensors::deserialize(&bytes).expect("safetensors"), setting };
    let counts: Vec<usize> = settings.iter().enumerate().map(|(i, s)| compare(&arrays(i), s)).collect();
    assert!(counts.iter().all(|&n| n > 0), "{counts:?}");
    eprintln!("{set}: {} settings, {} values agree", counts.len(), counts.iter().sum::<usize>());
    Some(counts.iter().sum())
}

fn horizon(epochs: &Value, steps_per_epoch: &Value) -> Horizon {
    let steps_per_epoch = steps_per_epoch.as_u64().unwrap();
    Horizon { steps: epochs.as_u64().unwrap() * steps_per_epoch, steps_per_epoch }
}

#[test]
fn seed() {
    for_each_setting("seed", |arrays, s| {
        let run = horizon(&s["epochs"], &s["spe"]);
        let rate = json!({ "peak": s["base"], "start": 0.0, "end": s["final"], "warmup_epochs": s["warmup"],
            "convention": "reference" });
        let momentum = json!({ "start": s["m0"], "end": s["m1"] });
        arrays.compare("lr", "warmup_cosine", &rate, run)
            + arrays.compare("momentum", "linear", &momentum, run)
    });
}

#[test]
fn meta() {
    for_each_setting("meta", |arrays, s| {
        let run = horizon(&s["epochs"], &s["ipe"]);
        let scale = &s["ipe_scale"];
        let rate = json!({ "peak": s["lr"], "start": s["start_lr"], "end": s["final_lr"],
            "warmup_epochs": s["warmup"], "convention": "meta", "scale": scale });
        let decay = json!({ "start": s["wd"], "end": s["final_wd"], "scale": scale });
        let (m0, m1) = (&s["ema"][0], &s["ema"][1]);
        let momentum = json!({ "start": m0, "end": m1, "convention": "exclusive", "scale": scale });
        arrays.compare("lr", "warmup_cosine", &rate, run)
            + arrays.compare("wd", "cosine", &decay, run)
            + arrays.compare("momentum", "linear", &momentum, run)
    });
}
