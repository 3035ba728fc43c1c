//! Schedules against the arrays of both recipes, to a relative 1e-12.

use std::path::Path;

use super::fixture::Fixture;
use ijepa_run::registry::{
    catalogue,
    kinds::{Horizon, Schedule},
};
use serde_json::{Value, json};

/// Steps and values stored for one setting.
struct Arrays<'a> {
    file: &'a Fixture,
    setting: usize,
}

impl Arrays<'_> {
    /// Compares one array with the component `kind`; returns how many values were compared.
    fn compare(&self, name: &str, kind: &str, settings: &Value, horizon: Horizon) -> usize {
        let entry = catalogue::find::<dyn Schedule>(kind).expect("registered schedule");
        let (_, schedule) = (entry.build)(settings).expect("settings");
        let wanted = self.file.f64(&format!("s{}/{name}", self.setting));
        let steps = self.file.indices(&format!("s{}/step", self.setting));
        for (&step, &want) in steps.iter().zip(&wanted) {
            let got = schedule.value(step.into(), horizon);
            let close = (got - want).abs() <= 1e-12 * want.abs();
            assert!(close, "{name} of setting {}, step {step}: {got:e}, not {want:e}", self.setting);
        }
        wanted.len()
    }
}

/// Runs `compare` for every setting of `{set}/schedules.safetensors`; it returns how many values it compared.
fn for_each_setting(folder: &Path, set: &str, compare: impl Fn(&Arrays, &Value) -> usize) {
    let file = Fixture::read(&folder.join(set).join("schedules.safetensors"));
    let settings = file.info["settings"].as_array().expect("settings");
    let compared = |(setting, s)| compare(&Arrays { file: &file, setting }, s);
    let counts: Vec<usize> = settings.iter().enumerate().map(compared).collect();
    assert!(!counts.is_empty() && counts.iter().all(|&n| n > 0), "{counts:?}");
}

fn horizon(epochs: &Value, steps_per_epoch: &Value) -> Horizon {
    let steps_per_epoch = steps_per_epoch.as_u64().unwrap();
    Horizon { steps: epochs.as_u64().unwrap() * steps_per_epoch, steps_per_epoch, images_per_step: 256 }
}

pub fn schedules_of_seed(folder: &Path) {
    for_each_setting(folder, "seed", |arrays, s| {
        let run = horizon(&s["epochs"], &s["spe"]);
        let rate = json!({ "peak": s["base"], "start": 0.0, "end": s["final"], "warmup_epochs": s["warmup"],
            "convention": "reference" });
        let momentum = json!({ "start": s["m0"], "end": s["m1"] });
        arrays.compare("lr", "warmup_cosine", &rate, run)
            + arrays.compare("momentum", "linear", &momentum, run)
    });
}

pub fn schedules_of_meta(folder: &Path) {
    for_each_setting(folder, "meta", |arrays, s| {
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
