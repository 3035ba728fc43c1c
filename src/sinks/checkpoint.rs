//! Checkpoints: one safetensors file, written atomically, that any PyTorch script can open.
//!
//! Parameters carry PyTorch-style names (`context_encoder.blocks.0.attn.qkv.weight`), optimizer
//! state the prefix `optimizer.`. The metadata entry `state` holds the rest as JSON.

use std::{
    collections::{BTreeMap, HashMap},
    io::{self, Read},
    path::{Path, PathBuf},
};

use safetensors::{Dtype, SafeTensors, tensor::TensorView};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{
    data::regular_file,
    events::{Progress, Snapshot, Tensors},
    results::{Seals, Vouched, write_atomic},
};

/// The one entry of the metadata: more than one would come in an order that is not the same every time.
const STATE: &str = "state";

/// The key in the state under which the seal over everything else stands.
const SEAL: &str = "seal";

/// What a checkpoint says besides its tensors.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CheckpointMeta {
    /// Identity of the experiment it belongs to.
    pub identity: String,
    /// Fingerprint of the data.
    pub data: String,
    /// Fingerprints of the training images and of the test images alone.
    #[serde(default)]
    pub data_splits: [String; 2],
    /// Where the run stands.
    pub progress: Progress,
    /// Steps of the whole run; 0 in checkpoints of version 0.1.0.
    #[serde(default)]
    pub steps: u64,
    /// Steps the optimizer has taken.
    pub optimizer_steps: u64,
    /// What the beginning of every table holds that belongs to this state.
    #[serde(default)]
    pub tables: Seals,
    /// The lengths of the same, all that version 0.1.0 knew.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    csv_bytes: BTreeMap<String, u64>,
}

impl CheckpointMeta {
    /// What belongs to `snapshot` of a run.
    pub fn new(identity: &str, data: &str, steps: u64, tables: Seals, snapshot: &Snapshot) -> Self {
        CheckpointMeta {
            identity: identity.into(),
            data: data.into(),
            data_splits: Default::default(),
            progress: snapshot.progress.clone(),
            steps,
            optimizer_steps: snapshot.optimizer_steps,
            tables,
            csv_bytes: BTreeMap::new(),
        }
    }

    /// The same with the fingerprints of the training images and of the test images.
    pub fn of_splits(self, data_splits: [String; 2]) -> Self {
        CheckpointMeta { data_splits, ..self }
    }

    /// What it says of a table, if it knows it.
    pub fn vouches(&self, table: &str) -> Option<Vouched> {
        let seal = self.tables.get(table).cloned().map(Vouched::Seal);
        seal.or_else(|| self.csv_bytes.get(table).copied().map(Vouched::Length))
    }

    /// Whether version 0.1.0 wrote it: without hashes.
    pub fn is_unsealed(&self) -> bool {
        self.tables.is_empty()
    }
}

/// A checkpoint that cannot be used.
#[derive(Debug, thiserror::Error)]
#[error(
    "the checkpoint {path} cannot be used: {reason}. Nothing was changed; move it away, or start over with --force (earlier files are kept)"
)]
pub struct CheckpointError {
    path: PathBuf,
    reason: String,
}

/// Writes `snapshot` to `path`.
pub fn write_checkpoint(path: &Path, meta: &CheckpointMeta, snapshot: &Snapshot) -> io::Result<()> {
    let state = serde_json::to_value(meta).map_err(io::Error::other)?;
    write_tensors(path, state, snapshot.tensors.iter().map(|(n, d, v)| (n.as_str(), d, v)))
}

/// Writes the parameters of `snapshot` alone: what is left of a finished run.
pub fn write_weights(path: &Path, identity: &str, snapshot: &Snapshot) -> io::Result<()> {
    let weights = snapshot.tensors.iter().filter(|(name, ..)| !name.starts_with("optimizer."));
    let state = serde_json::json!({ "identity": identity, "step": snapshot.progress.step });
    write_tensors(path, state, weights.map(|(n, d, v)| (n.as_str(), d, v)))
}

fn write_tensors<'a>(
    path: &Path,
    mut state: Value,
    tensors: impl Iterator<Item = (&'a str, &'a Vec<usize>, &'a Vec<f32>)>,
) -> io::Result<()> {
    let bytes: Vec<(&str, &Vec<usize>, Vec<u8>)> =
        tensors.map(|(n, d, v)| (n, d, v.iter().flat_map(|x| x.to_le_bytes()).collect())).collect();
    let mut views = Vec::with_capacity(bytes.len());
    for (name, dims, data) in &bytes {
        views.push((*name, TensorView::new(Dtype::F32, dims.to_vec(), data).map_err(io::Error::other)?));
    }
    state[SEAL] = seal(&state, views.iter().map(|(name, view)| (*name, view))).into();
    let metadata = HashMap::from([(STATE.to_string(), state.to_string())]);
    write_atomic(path, &safetensors::serialize(views, Some(metadata)).map_err(io::Error::other)?)
}

/// One hash over the state and every tensor: name, shape and values, in the order of their names.
fn seal<'a>(state: &Value, tensors: impl Iterator<Item = (&'a str, &'a TensorView<'a>)>) -> String {
    let mut tensors: Vec<_> = tensors.collect();
    tensors.sort_by_key(|(name, _)| *name);
    let mut hasher = blake3::Hasher::new();
    let mut part = |bytes: &[u8]| {
        // Lengths keep the parts apart.
        hasher.update(&(bytes.len() as u64).to_le_bytes()).update(bytes);
    };
    part(state.to_string().as_bytes());
    for (name, view) in tensors {
        part(name.as_bytes());
        part(&view.shape().iter().flat_map(|n| (*n as u64).to_le_bytes()).collect::<Vec<u8>>());
        part(view.data());
    }
    hasher.finalize().to_hex().to_string()
}

/// Reads a checkpoint back, whole or not at all.
pub fn read_checkpoint(path: &Path) -> Result<(CheckpointMeta, Snapshot), CheckpointError> {
    let bad = |reason: String| CheckpointError { path: path.to_path_buf(), reason };
    let (state, seal, tensors) = read_tensors(path).map_err(bad)?;
    let meta: CheckpointMeta =
        serde_json::from_value(state).map_err(|e| bad(format!("its run state is unreadable ({e})")))?;
    // Version 0.1.0 knew the lengths of tables only, and no seal.
    if seal == Found::None && meta.csv_bytes.is_empty() {
        return Err(bad("it is damaged: its seal is gone".into()));
    }
    let snapshot =
        Snapshot { progress: meta.progress.clone(), optimizer_steps: meta.optimizer_steps, tensors };
    Ok((meta, snapshot))
}

/// Weights of a run at a step.
pub struct Weights {
    /// Identity of the experiment whose they are.
    pub identity: String,
    /// The step after which they were written.
    pub step: u64,
    /// Name, shape and values of every parameter.
    pub tensors: Tensors,
}

/// The parameters alone, of a checkpoint or of the weights that a finished run leaves.
pub fn read_weights(path: &Path) -> Result<Weights, CheckpointError> {
    let bad = |reason: String| CheckpointError { path: path.to_path_buf(), reason };
    let (state, _, mut tensors) = read_tensors(path).map_err(bad)?;
    tensors.retain(|(name, ..)| !name.starts_with("optimizer."));
    let step = state["step"].as_u64().or(state["progress"]["step"].as_u64());
    let step = step.ok_or_else(|| bad("it does not say of which step it is".into()))?;
    let identity = state["identity"].as_str().unwrap_or_default().to_owned();
    Ok(Weights { identity, step, tensors })
}

/// Whether the weights at `path` are whole and as they were written.
pub fn check_weights(path: &Path) -> Result<(), CheckpointError> {
    let bad = |reason: String| CheckpointError { path: path.to_path_buf(), reason };
    read_tensors(path).map(|_| ()).map_err(bad)
}

/// Whether a file carries a seal; one that does not fit is an error.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Found {
    Fits,
    None,
}

/// The state, whether it is sealed, and the tensors of a file.
fn read_tensors(path: &Path) -> Result<(Value, Found, Tensors), String> {
    let mut bytes = Vec::new();
    regular_file(path).and_then(|mut file| file.read_to_end(&mut bytes)).map_err(|e| e.to_string())?;
    let corrupt = |e: safetensors::SafeTensorError| format!("it is damaged or not a safetensors file ({e})");
    let (_, header) = SafeTensors::read_metadata(&bytes).map_err(corrupt)?;
    let state = header.metadata().as_ref().and_then(|m| m.get(STATE)).ok_or("it holds no run state")?;
    let unreadable = |e: serde_json::Error| format!("its run state is unreadable ({e})");
    let mut state: Value = serde_json::from_str(state).map_err(unreadable)?;
    let written = state.as_object_mut().and_then(|object| object.shift_remove(SEAL));
    let file = SafeTensors::deserialize(&bytes).map_err(corrupt)?;
    let views = file.tensors();
    let found = match written {
        None => Found::None,
        Some(written) if written == seal(&state, views.iter().map(|(n, v)| (n.as_str(), v))) => Found::Fits,
        Some(_) => return Err("it is damaged: its content is not what was sealed".into()),
    };
    let mut tensors = Vec::new();
    for (name, view) in views {
        if view.dtype() != Dtype::F32 {
            return Err(format!("tensor {name} is not f32"));
        }
        let values = view.data().as_chunks::<4>().0.iter().map(|b| f32::from_le_bytes(*b)).collect();
        tensors.push((name, view.shape().to_vec(), values));
    }
    Ok((state, found, tensors))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::results::Seal;

    fn snapshot() -> (CheckpointMeta, Snapshot) {
        let tensors = vec![
            ("context_encoder.norm.bias".to_string(), vec![2], vec![1.0, -0.5]),
            ("optimizer.exp_avg/context_encoder.norm.bias".to_string(), vec![2], vec![0.25, f32::MIN]),
        ];
        let snapshot = Snapshot { optimizer_steps: 3, tensors, ..Snapshot::default() };
        let meta = CheckpointMeta {
            identity: "abc".into(),
            data: "def".into(),
            data_splits: ["d", "ef"].map(String::from),
            progress: snapshot.progress.clone(),
            optimizer_steps: 3,
            steps: 12,
            tables: Seals::from([("metrics.csv".into(), Seal::of(b"step\n"))]),
            csv_bytes: BTreeMap::new(),
        };
        (meta, snapshot)
    }

    #[test]
    fn round_trip_and_damage() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("latest.safetensors");
        let (meta, snapshot) = snapshot();
        write_checkpoint(&path, &meta, &snapshot).unwrap();
        let (read_meta, mut read) = read_checkpoint(&path).unwrap();
        read.tensors.sort_by(|a, b| a.0.cmp(&b.0));
        assert_eq!((read_meta, read), (meta, snapshot));

        let whole = fs::read(&path).unwrap();
        fs::write(&path, &whole[..whole.len() - 3]).unwrap();
        let error = read_checkpoint(&path).unwrap_err().to_string();
        assert!(error.contains("damaged") && error.contains("latest.safetensors"), "{error}");
    }

    #[test]
    fn no_bit_of_a_checkpoint_can_change() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("latest.safetensors");
        let (meta, snapshot) = snapshot();
        write_checkpoint(&path, &meta, &snapshot).unwrap();
        let whole = fs::read(&path).unwrap();
        for at in 0..whole.len() {
            let mut damaged = whole.clone();
            damaged[at] ^= 1 << (at % 8);
            fs::write(&path, &damaged).unwrap();
            if let Ok(read) = read_checkpoint(&path) {
                // White space, and the order of entries, mean nothing.
                assert_eq!(read, (meta.clone(), snapshot.clone()), "byte {at}");
            }
        }
    }

    #[test]
    fn a_checkpoint_without_hashes_is_told_from_one_that_lost_its_seal() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("latest.safetensors");
        let old = r#"{"identity":"a","data":"b","progress":{"step":4,"epoch_closed":true,"interval":{"sum":0.0,"count":0},"epoch":{"sum":0.0,"count":0},"mask_redraws":0},"optimizer_steps":4,"csv_bytes":{"metrics.csv":9}}"#;
        let write = |state: &str| {
            let metadata = HashMap::from([(STATE.to_string(), state.to_string())]);
            let none: Vec<(&str, TensorView)> = Vec::new();
            fs::write(&path, safetensors::serialize(none, Some(metadata)).unwrap()).unwrap();
        };
        write(old);
        let (meta, _) = read_checkpoint(&path).unwrap();
        assert!(meta.is_unsealed() && meta.vouches("metrics.csv") == Some(Vouched::Length(9)));
        write(&serde_json::to_string(&snapshot().0).unwrap());
        assert!(read_checkpoint(&path).unwrap_err().to_string().contains("seal is gone"));
    }
}
