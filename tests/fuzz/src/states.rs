//! Checkpoints whose seal is right and whose content is senseless, as a program with an error could write
//! them: refused, or continued without harm.

use std::{fs, io, path::Path};

use ijepa_run::{
    config::Experiment,
    events::{Outcome, Snapshot},
    sinks::{CheckpointMeta, read_checkpoint, write_checkpoint},
};
use proptest::{prelude::*, sample::Index};

use super::{
    checkpoints::{self, FILE, number, train},
    experiment::tiny,
    trial,
};

/// What is changed before the seal is put on.
#[derive(Clone, Debug)]
enum Change {
    /// A value of the state: where the run stands, sums, counts, what it vouches for.
    State(Index, String),
    /// A value of a tensor.
    Value(Index, Index, f32),
    /// All values of a tensor.
    Fill(Index, f32),
    /// Another shape, with as many values or fewer.
    Shape(Index, Shape),
    /// A tensor is missing.
    Lose(Index),
    /// A tensor has another name.
    Rename(Index, String),
    /// Two tensors have each other's shape and values.
    Swap(Index, Index),
}

#[derive(Clone, Copy, Debug)]
enum Shape {
    Flat,
    Turned,
    Cut,
    Empty,
}

/// Weights and moments that no training gives.
const VALUES: [f32; 8] = [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, f32::MAX, f32::MIN, -1.0, 1e-45, 1e30];

fn change() -> impl Strategy<Value = Change> {
    let place = any::<Index>;
    let value = || proptest::sample::select(VALUES.to_vec());
    let shape = proptest::sample::select(vec![Shape::Flat, Shape::Turned, Shape::Cut, Shape::Empty]);
    let names = ["", "optimizer.", "optimizer.exp_avg/x", "context_encoder.norm.bias", "x\n"];
    let name = proptest::sample::select(names.map(str::to_owned).to_vec());
    prop_oneof![
        4 => (place(), number()).prop_map(|(i, v)| Change::State(i, v)),
        2 => (place(), place(), value()).prop_map(|(i, k, v)| Change::Value(i, k, v)),
        2 => (place(), value()).prop_map(|(i, v)| Change::Fill(i, v)),
        1 => (place(), shape).prop_map(|(i, s)| Change::Shape(i, s)),
        1 => place().prop_map(Change::Lose),
        1 => (place(), name).prop_map(|(i, n)| Change::Rename(i, n)),
        1 => (place(), place()).prop_map(|(i, k)| Change::Swap(i, k)),
    ]
}

/// The experiment: its probes see whatever the weights have become, a rule watches them.
fn experiment() -> Result<Experiment, String> {
    let changes = [
        "train.batch_size=16",
        "probes=[{ kind: linear, every: 1 }, { kind: knn, k: 2, every: 1 }, { kind: rankme, every: 1 }]",
        "collapse=[{ metric: rankme/target/feature_std, below: 1.0e-9 }]",
    ];
    tiny("{ kind: shapes, image_size: 16, train: 64, test: 32 }", 8, 2, &changes.map(str::to_owned))
}

/// Changes the checkpoint of a stopped run and goes on.
pub fn fuzz(cases: u32, seed: u64) -> Result<(), String> {
    let (template, scratch) = (tempfile::tempdir(), tempfile::tempdir());
    let said = |e: io::Error| e.to_string();
    let (template, scratch) = (template.map_err(said)?, scratch.map_err(said)?);
    let run = train(experiment()?, template.path(), Some(1))?.folder;
    let (meta, snapshot) = read_checkpoint(&run.join(FILE)).map_err(|e| e.to_string())?;
    let name = run.file_name().ok_or("a run folder has a name")?;
    let strategy = prop::collection::vec(change(), 1..3);
    trial::run(cases, seed, &strategy, |changes| {
        let output = scratch.path().join("out");
        let folder = output.join(name);
        let _ = fs::remove_dir_all(&output);
        copy(&run, &folder).map_err(said)?;
        let (mut meta, mut snapshot) = (meta.clone(), snapshot.clone());
        changes.iter().for_each(|change| apply(change, &mut meta, &mut snapshot));
        write_checkpoint(&folder.join(FILE), &meta, &snapshot).map_err(said)?;
        go_on(&output, &folder)
    })
}

/// What the run makes of it: a refusal names a file and leaves the tables; whoever goes on writes numbers.
fn go_on(output: &Path, folder: &Path) -> Result<(), String> {
    let before = tables(folder);
    match train(experiment()?, output, None) {
        Err(message) if !message.contains(&folder.display().to_string()) => {
            Err(format!("no file is named: {message}"))
        }
        Err(message) if tables(folder) != before => Err(format!("refused, and tables changed: {message}")),
        Err(_) => Ok(()),
        Ok(finished) => {
            trial::accept();
            let odd = tables(folder).into_iter().find(|t| t.contains("NaN") || t.contains("inf"));
            match (finished.outcome, odd) {
                (Outcome::Done, Some(table)) => {
                    Err(format!("done, with other things than numbers:\n{table}"))
                }
                (Outcome::Stopped, _) => Err("nobody stopped it".into()),
                _ => Ok(()),
            }
        }
    }
}

fn tables(folder: &Path) -> Vec<String> {
    let names = ["metrics.csv", "epochs.csv", "probes.csv"];
    names.iter().map(|name| fs::read_to_string(folder.join(name)).unwrap_or_default()).collect()
}

fn apply(change: &Change, meta: &mut CheckpointMeta, snapshot: &mut Snapshot) {
    let tensors = &mut snapshot.tensors;
    let count = tensors.len();
    match change {
        Change::State(at, text) => set_state(meta, at, text),
        _ if count == 0 => {}
        Change::Value(at, place, value) => {
            let (_, _, values) = &mut tensors[at.index(count)];
            if !values.is_empty() {
                let place = place.index(values.len());
                values[place] = *value;
            }
        }
        Change::Fill(at, value) => tensors[at.index(count)].2.fill(*value),
        Change::Shape(at, shape) => reshape(&mut tensors[at.index(count)], *shape),
        Change::Lose(at) => drop(tensors.remove(at.index(count))),
        // Two of one name cannot be written.
        Change::Rename(_, name) if tensors.iter().any(|(other, ..)| other == name) => {}
        Change::Rename(at, name) => tensors[at.index(count)].0.clone_from(name),
        Change::Swap(a, b) => {
            let names: Vec<String> = tensors.iter().map(|(name, ..)| name.clone()).collect();
            tensors.swap(a.index(count), b.index(count));
            tensors.iter_mut().zip(names).for_each(|(tensor, name)| tensor.0 = name);
        }
    }
}

/// Another value in the state; one of another type could not be written by the program's own code.
fn set_state(meta: &mut CheckpointMeta, at: &Index, text: &str) {
    let mut state = serde_json::to_value(&*meta).expect("JSON");
    checkpoints::set(&mut state, at, serde_json::from_str(text).unwrap_or_else(|_| text.into()));
    if let Ok(other) = serde_json::from_value(state) {
        *meta = other;
    }
}

fn reshape((_, dims, values): &mut (String, Vec<usize>, Vec<f32>), shape: Shape) {
    match shape {
        Shape::Flat => {}
        Shape::Turned => return dims.reverse(),
        Shape::Cut => drop(values.pop()),
        Shape::Empty => values.clear(),
    }
    *dims = vec![values.len()];
}

/// Copies a run folder.
fn copy(from: &Path, to: &Path) -> io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let (path, target) = (entry.path(), to.join(entry.file_name()));
        if path.is_dir() {
            copy(&path, &target)?;
        } else {
            fs::copy(&path, target)?;
        }
    }
    Ok(())
}
