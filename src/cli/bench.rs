//! `ijepa-run bench [FILE] [key=value ...]`

use std::path::PathBuf;

use clap::Args;
use ijepa_registry::params::MatmulPrecision;

use super::{Exit, exit, files, print};
use crate::{
    bench::{self, BenchOptions, Measured},
    config::{self, Experiment},
    run::device,
    sinks::human_time,
};

/// The reference recipe.
const RECIPE: &str = include_str!("../../experiments/baseline.yaml");
/// Generated images of the same size stand in.
const STAND_IN: &str = "dataset={ kind: shapes, train: 2048, test: 256 }";

#[derive(Args, Debug)]
pub(crate) struct BenchArgs {
    /// Experiment file; the sizes of the reference recipe on generated images if left out.
    #[arg(value_name = "FILE")]
    file: Option<PathBuf>,
    /// Settings to change, such as train.batch_size=64; values are YAML.
    #[arg(value_name = "KEY=VALUE")]
    overrides: Vec<String>,
    /// Training steps to time.
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u16).range(1..))]
    steps: u16,
    /// Threads to compute with; all cores if left out.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    threads: Option<u16>,
}

/// Measures, then prints a table.
pub(crate) fn bench(args: &BenchArgs) -> Exit {
    let Loaded { experiment, stand_in_for } = match load(args) {
        Ok(loaded) => loaded,
        Err(message) => {
            print::stderr(&message);
            return Exit::Config;
        }
    };
    let options =
        BenchOptions { steps: args.steps.into(), threads: args.threads.map(usize::from), stand_in_for };
    if let Some(warning) = device::warning(experiment.device) {
        print::stderr(&warning);
    }
    device::rounding_note_of(&experiment).iter().for_each(|note| print::stderr(&format!("note: {note}")));
    match bench::measure(experiment, &options) {
        Ok(measured) => print::stdout(&table(&measured, args.steps)),
        Err(error) => {
            print::stderr(&format!("error: {error}"));
            exit::exit_of(&error)
        }
    }
}

/// What is measured.
struct Loaded {
    experiment: Experiment,
    /// Training and test images of the experiment that was named, if those measured with are stand-ins.
    stand_in_for: Option<(usize, usize)>,
}

fn load(args: &BenchArgs) -> Result<Loaded, String> {
    let mut overrides = args.overrides.clone();
    // `bench train.batch_size=64`: the first word is a setting, not a file.
    let first = args.file.as_ref().map(|f| f.to_string_lossy().into_owned());
    match first {
        Some(name) if !name.contains('=') => {
            let experiment = files::load_one(name.as_ref(), &overrides)?;
            let stand_in_for = images_named(&experiment, &name, &overrides)?;
            Ok(Loaded { experiment, stand_in_for })
        }
        setting => {
            overrides.extend(setting);
            let own_data = overrides.iter().any(|o| o.starts_with("dataset"));
            if !overrides.iter().any(|o| is_other_data(o)) {
                overrides.push(STAND_IN.into());
            }
            let recipe = |overrides: &[String]| {
                let read = |name: &str| Err(format!("there is no {name}"));
                config::load("reference recipe", RECIPE, overrides, &read).map_err(|e| e.to_string())
            };
            let stand_in_for = if own_data { None } else { images(&recipe(&[])?) };
            Ok(Loaded { experiment: recipe(&overrides)?, stand_in_for })
        }
    }
}

/// Whether an override takes another data set.
fn is_other_data(text: &str) -> bool {
    ["dataset=", "dataset.kind="].iter().any(|start| text.trim_start().starts_with(start))
}

/// The images of the file itself, where an override puts other data in their place: those are only measured
/// with, the experiment is as long as its own data make it.
fn images_named(
    measured: &Experiment,
    file: &str,
    overrides: &[String],
) -> Result<Option<(usize, usize)>, String> {
    if !overrides.iter().any(|o| is_other_data(o)) {
        return Ok(None);
    }
    let without: Vec<String> = overrides.iter().filter(|o| !o.starts_with("dataset")).cloned().collect();
    let named = files::load_one(file.as_ref(), &without)?;
    if named.dataset.kind == measured.dataset.kind {
        return Ok(None);
    }
    let own = images(&named);
    if own.is_none() {
        print::stderr(&format!(
            "note: how many images `{}` of {file} holds is not known; the duration is that of the images given",
            named.dataset.kind
        ));
    }
    Ok(own)
}

/// Training and test images, if they are known without reading.
fn images(experiment: &Experiment) -> Option<(usize, usize)> {
    experiment.dataset.object.published_counts()
}

fn table(m: &Measured, steps: u16) -> String {
    let giga = |flop: f64| format!("{:.1}", flop / 1e9);
    let share = |speed: f64| format!("{:.0}", 100.0 * speed / m.peak);
    let known = |value: Option<f64>, show: &dyn Fn(f64) -> String| value.map_or("unknown".into(), show);
    let mebi = |value: Option<f64>| known(value, &|mib| format!("{mib:.0}"));
    let mut rows = Vec::new();
    let mut row = |name: &str, value: String, unit: &str| rows.push([name.into(), value, unit.into()]);
    match m.peak_of_one {
        None => row("matrix product", giga(m.peak), "GFLOP/s"),
        Some(peak) => {
            row("matrix product, 1 thread", giga(peak), "GFLOP/s");
            if m.threads > 1 {
                row(&format!("matrix product, {}", threads(m)), giga(m.peak), "GFLOP/s");
            }
        }
    }
    let in_a_row = if m.gpu.is_some() { " in a row" } else { "" };
    row("training step", milliseconds(m, m.step), &format!("ms, mean of {steps}{in_a_row}"));
    row("  waiting for data", format!("{:.1}", 100.0 * m.wait / m.step), "%");
    if let Some(asking) = m.asking {
        row("  host's part", milliseconds(m, asking), "ms until an idle GPU has all of a step");
    }
    row("  images", format!("{:.0}", m.batch_size as f64 / m.step), "images/s");
    row("  work", known(m.flop_per_step.map(|f| f.total()), &giga), "GFLOP per step");
    row("  speed", known(m.step_speed(), &giga), "GFLOP/s");
    row("  share of matrix product", known(m.step_speed(), &share), "%");
    row("feature extraction", format!("{:.0}", m.features_per_second), "images/s");
    row("  share of matrix product", known(m.features_speed(), &share), "%");
    row("peak memory", mebi(m.memory), "MiB");
    if m.gpu.is_some() {
        row("memory in use on the GPU", mebi(m.gpu_memory), "MiB, of all programs");
    }
    row("whole experiment", human_time(m.training_time() + m.features_time()), "without fitting probes");
    row("  training", human_time(m.training_time()), &format!("{} steps of {}", m.steps, m.batch_size));
    row("  features for probes", human_time(m.features_time()), &format!("{} images", m.feature_images));
    let head = ["measure", "value", "unit"].map(String::from);
    format!("{}\n{}\n{}", title(m), print::aligned(head, rows), phases(m))
}

fn threads(m: &Measured) -> String {
    if m.threads == 1 { "1 thread".into() } else { format!("{} threads", m.threads) }
}

/// A GPU's steps take a few of them.
fn milliseconds(m: &Measured, seconds: f64) -> String {
    let digits = if m.gpu.is_some() { 3 } else { 1 };
    format!("{:.digits$}", seconds * 1e3)
}

/// What was measured: device and numbers.
fn title(m: &Measured) -> String {
    let numbers = match (m.precision, &m.gpu) {
        (MatmulPrecision::F32, _) | (MatmulPrecision::Tf32, None) => "f32",
        (MatmulPrecision::Tf32, Some(_)) => "f32, products of tf32",
        (MatmulPrecision::Bf16Amx, None) => "f32, products of bf16 in the order of AMX",
        (MatmulPrecision::Bf16 | MatmulPrecision::Bf16Amx, _) => "f32, products of bf16",
    };
    let gpu = m.gpu.as_ref().map_or(String::new(), |gpu| format!("{gpu}, "));
    format!("{gpu}{}, {}, {numbers}", m.cpu, threads(m))
}

/// The training step phase by phase: time, work, speed, and its share of the matrix product.
fn phases(m: &Measured) -> String {
    let flop = m.flop_per_step.map(|f| [f.target, f.context, f.predictor, f.backward]);
    let names =
        ["target forward", "context forward", "predictor forward", "backward", "optimizer and average"];
    let row = |(i, name): (usize, &str)| {
        let (time, work) = (m.phases[i], flop.and_then(|f| f.get(i).copied()));
        let shown = |value: Option<f64>| value.map_or("-".into(), |v| format!("{v:.1}"));
        let speed = work.map(|w| w / time);
        [
            name.to_string(),
            milliseconds(m, time),
            format!("{:.1}", 100.0 * time / m.marked_step),
            shown(work.map(|w| w / 1e9)),
            shown(speed.map(|s| s / 1e9)),
            shown(speed.map(|s| 100.0 * s / m.peak)),
        ]
    };
    let rows: Vec<[String; 6]> = names.into_iter().enumerate().map(row).collect();
    let head = ["phase", "ms", "% of step", "GFLOP", "GFLOP/s", "% of product"].map(String::from);
    let table = print::aligned(head, rows);
    if m.gpu.is_none() {
        return table;
    }
    let marked = milliseconds(m, m.marked_step);
    format!(
        "phases of other steps, {marked} ms each: the host waits for the GPU at the end of every phase\n{table}"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_embedded_recipe_takes_overrides_in_place_of_a_file() {
        let args = |file: Option<&str>, overrides: &[&str]| BenchArgs {
            file: file.map(PathBuf::from),
            overrides: overrides.iter().map(|o| o.to_string()).collect(),
            steps: 1,
            threads: None,
        };
        let Loaded { experiment, stand_in_for } = load(&args(None, &[])).expect("the reference recipe");
        assert_eq!((experiment.train.batch_size, stand_in_for), (256, Some((50_000, 10_000))));
        let Loaded { experiment, stand_in_for } =
            load(&args(Some("train.batch_size=8"), &["dataset.train=64"])).expect("valid");
        assert_eq!((experiment.train.batch_size, stand_in_for), (8, None));
        assert_eq!(experiment.train_images(), Some(64));
        assert!(load(&args(Some("none.yaml"), &[])).is_err());
    }
    #[test]
    fn images_that_stand_in_do_not_change_the_length_of_the_experiment() {
        let folder = tempfile::tempdir().expect("folder");
        let file = folder.path().join("a.yaml");
        std::fs::write(&file, RECIPE).expect("write");
        let overrides = vec!["dataset=shapes".to_owned()];
        let args = BenchArgs { file: Some(file), overrides, steps: 1, threads: None };
        let Loaded { experiment, stand_in_for } = load(&args).expect("valid");
        assert_eq!((experiment.dataset.kind.as_str(), stand_in_for), ("shapes", Some((50_000, 10_000))));
    }
}
