//! Checkpoints: one safetensors file, written atomically, that any PyTorch script can open.
//!
//! Parameters carry PyTorch-style names (`context_encoder.blocks.0.attn.qkv.weight`), optimizer
//! state the prefix `optimizer.`. The metadata entry `state` holds the rest as JSON.

use std::{
    collections::{BTreeMap, HashMap},
    fs, io,
    path::{Path, PathBuf},
};

use safetensors::{Dtype, SafeTensors, tensor::TensorView};
use serde::{Deserialize, Serialize};

use crate::{
    events::{Progress, Snapshot},
    results::write_atomic,
};

/// What a checkpoint says besides its tensors.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CheckpointMeta {
    /// Identity of the experiment it belongs to.
    pub identity: String,
    /// Fingerprint of the data.
    pub data: String,
    /// Where the run stands.
    pub progress: Progress,
    /// Steps the optimizer has taken.
    pub optimizer_steps: u64,
    /// Bytes of every CSV file that belong to this state.
    pub csv_bytes: BTreeMap<String, u64>,
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
    let state = serde_json::to_string(meta).map_err(io::Error::other)?;
    write_tensors(path, state, snapshot.tensors.iter().map(|(n, d, v)| (n.as_str(), d, v)))
}

/// Writes the parameters of `snapshot` alone: what is left of a finished run.
pub fn write_weights(path: &Path, identity: &str, snapshot: &Snapshot) -> io::Result<()> {
    let weights = snapshot.tensors.iter().filter(|(name, ..)| !name.starts_with("optimizer."));
    let state = serde_json::json!({ "identity": identity, "step": snapshot.progress.step });
    write_tensors(path, state.to_string(), weights.map(|(n, d, v)| (n.as_str(), d, v)))
}

fn write_tensors<'a>(
    path: &Path,
    state: String,
    tensors: impl Iterator<Item = (&'a str, &'a Vec<usize>, &'a Vec<f32>)>,
) -> io::Result<()> {
    let bytes: Vec<(&str, &Vec<usize>, Vec<u8>)> =
        tensors.map(|(n, d, v)| (n, d, v.iter().flat_map(|x| x.to_le_bytes()).collect())).collect();
    let mut views = Vec::with_capacity(bytes.len());
    for (name, dims, data) in &bytes {
        views.push((*name, TensorView::new(Dtype::F32, dims.to_vec(), data).map_err(io::Error::other)?));
    }
    let metadata = HashMap::from([("state".to_string(), state)]);
    write_atomic(path, &safetensors::serialize(views, Some(metadata)).map_err(io::Error::other)?)
}

/// Reads a checkpoint back, whole or not at all.
pub fn read_checkpoint(path: &Path) -> Result<(CheckpointMeta, Snapshot), CheckpointError> {
    let bad = |reason: String| CheckpointError { path: path.to_path_buf(), reason };
    let bytes = fs::read(path).map_err(|e| bad(e.to_string()))?;
    let corrupt =
        |e: safetensors::SafeTensorError| bad(format!("it is damaged or not a safetensors file ({e})"));
    let (_, header) = SafeTensors::read_metadata(&bytes).map_err(corrupt)?;
    let state = header.metadata().as_ref().and_then(|m| m.get("state"));
    let state = state.ok_or_else(|| bad("it holds no run state".into()))?;
    let meta: CheckpointMeta =
        serde_json::from_str(state).map_err(|e| bad(format!("its run state is unreadable ({e})")))?;
    let file = SafeTensors::deserialize(&bytes).map_err(corrupt)?;
    let mut tensors = Vec::new();
    for (name, view) in file.tensors() {
        if view.dtype() != Dtype::F32 {
            return Err(bad(format!("tensor {name} is not f32")));
        }
        let values = view.data().as_chunks::<4>().0.iter().map(|b| f32::from_le_bytes(*b)).collect();
        tensors.push((name, view.shape().to_vec(), values));
    }
    let snapshot =
        Snapshot { progress: meta.progress.clone(), optimizer_steps: meta.optimizer_steps, tensors };
    Ok((meta, snapshot))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn snapshot() -> (CheckpointMeta, Snapshot) {
        let tensors = vec![
            ("context_encoder.norm.bias".to_string(), vec![2], vec![1.0, -0.5]),
            ("optimizer.exp_avg/context_encoder.norm.bias".to_string(), vec![2], vec![0.25, f32::MIN]),
        ];
        let snapshot = Snapshot { optimizer_steps: 3, tensors, ..Snapshot::default() };
        let meta = CheckpointMeta {
            identity: "abc".into(),
            data: "def".into(),
            progress: snapshot.progress.clone(),
            optimizer_steps: 3,
            csv_bytes: BTreeMap::from([("metrics.csv".into(), 120)]),
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
}
