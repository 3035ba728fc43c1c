//! Checkpoints: what is accepted must hold exactly what was written.

use std::{fs, path::Path, sync::atomic::AtomicBool};

use ijepa_run::{
    config::Experiment,
    events,
    run::{Finished, RunOptions, run_experiment},
    sinks::{CheckpointMeta, Verbosity, read_checkpoint},
};
use proptest::{prelude::*, sample::Index};
use serde_json::Value;

use super::{bytes, experiment::tiny, text, trial};

/// Where a run keeps it.
pub const FILE: &str = "checkpoints/latest.safetensors";

/// What is done to a checkpoint.
#[derive(Clone, Debug)]
enum Attack {
    /// Anywhere in the file.
    Bytes(Vec<bytes::ImageOp>),
    /// In the text of the header, its length put right.
    Header(Vec<text::ImageOp>),
    /// A value of the header (offset, shape, type), or of the state in it.
    Value(Index, String, bool),
    /// Behind the header: values of tensors.
    Tensors(Vec<bytes::ImageOp>),
}

/// A value for one of the state.
pub fn number() -> impl Strategy<Value = String> {
    prop_oneof![
        proptest::sample::select(text::EDGES.map(str::to_owned).to_vec()),
        (0..5_000_u64).prop_map(|n| n.to_string()),
        any::<f64>().prop_map(|x| x.to_string())
    ]
}

fn attack() -> impl Strategy<Value = Attack> {
    let words = ["F32", "F64", "I32", "BF16", "data_offsets", "dtype", "shape", "state", "step"];
    let words: Vec<String> = words.map(str::to_owned).to_vec();
    prop_oneof![
        3 => bytes::edits(4).prop_map(Attack::Bytes),
        2 => text::edits(words, vec!["{}\n".into()]).prop_map(Attack::Header),
        4 => (any::<Index>(), number(), any::<bool>()).prop_map(|(i, v, s)| Attack::Value(i, v, s)),
        2 => bytes::edits(2).prop_map(Attack::Tensors),
    ]
}

/// A checkpoint, read from its file.
type Content = (CheckpointMeta, Vec<(String, Vec<usize>, Vec<f32>)>, events::Progress, u64);

/// Attacks a checkpoint that a run has written.
pub fn fuzz(cases: u32, seed: u64) -> Result<(), String> {
    let folder = tempfile::tempdir().map_err(|e| e.to_string())?;
    let experiment = tiny("{ kind: shapes, image_size: 16, train: 10, test: 10 }", 8, 2, &[])?;
    let path = train(experiment, folder.path(), Some(1))?.folder.join(FILE);
    let right = fs::read(&path).map_err(|e| e.to_string())?;
    let content = read(&path)?;
    trial::run(cases, seed, &attack(), |attack| {
        let wrong = struck(&right, &attack);
        fs::write(&path, &wrong).map_err(|e| e.to_string())?;
        match read(&path) {
            Err(message) if !message.contains("latest.safetensors") => {
                Err(format!("no file is named: {message}"))
            }
            Err(_) => Ok(()),
            // Bits of a number that is not one (NaN) are compared too.
            Ok(other) if format!("{other:?}") == format!("{content:?}") => {
                trial::accept();
                Ok(())
            }
            Ok(_) => Err("a checkpoint with other numbers is accepted".into()),
        }
    })
}

/// Trains `experiment` to the end, or until an epoch is over; what became of it.
pub fn train(experiment: Experiment, output: &Path, until_epoch: Option<u64>) -> Result<Finished, String> {
    let options = RunOptions {
        output: output.to_path_buf(),
        threads: Some(1),
        verbosity: Verbosity::Quiet,
        force: false,
        until_epoch,
        extend: false,
        steal: None,
    };
    run_experiment(experiment, &options, &AtomicBool::new(false)).map_err(|e| e.to_string())
}

fn read(path: &Path) -> Result<Content, String> {
    let (meta, snapshot) = read_checkpoint(path).map_err(|e| e.to_string())?;
    let mut tensors = snapshot.tensors;
    tensors.sort_by(|a, b| a.0.cmp(&b.0));
    Ok((meta, tensors, snapshot.progress, snapshot.optimizer_steps))
}

/// Header and tensors of a safetensors file.
fn parts(file: &[u8]) -> (&str, &[u8]) {
    let length = u64::from_le_bytes(*file.first_chunk().expect("a whole file")) as usize;
    (std::str::from_utf8(&file[8..8 + length]).expect("JSON"), &file[8 + length..])
}

fn joined(header: &str, tensors: &[u8]) -> Vec<u8> {
    [&(header.len() as u64).to_le_bytes(), header.as_bytes(), tensors].concat()
}

fn struck(right: &[u8], attack: &Attack) -> Vec<u8> {
    let (header, tensors) = parts(right);
    match attack {
        Attack::Bytes(edits) => bytes::apply(right.to_vec(), edits, 0),
        Attack::Header(edits) => joined(&text::apply(header, edits), tensors),
        Attack::Tensors(edits) => bytes::apply(right.to_vec(), edits, 8 + header.len()),
        Attack::Value(at, text, in_state) => joined(&other_value(header, at, text, *in_state), tensors),
    }
}

/// The header with one of its values replaced; values of the state are a JSON text of their own.
fn other_value(header: &str, at: &Index, text: &str, in_state: bool) -> String {
    let mut tree: Value = serde_json::from_str(header).expect("JSON");
    let state = tree["__metadata__"]["state"].as_str().unwrap_or("{}").to_owned();
    let value = serde_json::from_str(text).unwrap_or_else(|_| Value::String(text.to_owned()));
    if in_state {
        let mut inner: Value = serde_json::from_str(&state).expect("JSON");
        set(&mut inner, at, value);
        tree["__metadata__"]["state"] = inner.to_string().into();
    } else {
        set(&mut tree, at, value);
    }
    tree.to_string()
}

/// Replaces one of the values that hold no others.
pub fn set(tree: &mut Value, at: &Index, value: Value) {
    let mut leaves = Vec::new();
    collect("", tree, &mut leaves);
    if let Some(leaf) = (!leaves.is_empty()).then(|| &leaves[at.index(leaves.len())])
        && let Some(place) = tree.pointer_mut(leaf)
    {
        *place = value;
    }
}

/// JSON pointers to all values that hold no others.
fn collect(path: &str, value: &Value, leaves: &mut Vec<String>) {
    let escaped = |key: &str| key.replace('~', "~0").replace('/', "~1");
    match value {
        Value::Object(map) => {
            map.iter().for_each(|(k, v)| collect(&format!("{path}/{}", escaped(k)), v, leaves))
        }
        Value::Array(items) => {
            items.iter().enumerate().for_each(|(i, v)| collect(&format!("{path}/{i}"), v, leaves));
        }
        _ => leaves.push(path.to_owned()),
    }
}
