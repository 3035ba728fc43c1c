//! Reading fixture files: tensors by name, settings from the metadata.

use std::path::{Path, PathBuf};

use safetensors::{Dtype, SafeTensors};
use serde_json::Value;

/// One safetensors file.
pub struct Fixture {
    pub name: String,
    bytes: Vec<u8>,
    /// The JSON text `info` of the metadata.
    pub info: Value,
}

impl Fixture {
    pub fn read(path: &Path) -> Self {
        let name = path.display().to_string();
        let bytes = std::fs::read(path).unwrap_or_else(|cause| panic!("{name}: {cause}"));
        let (_, header) = SafeTensors::read_metadata(&bytes).unwrap();
        let info = header.metadata().as_ref().and_then(|m| m.get("info")).map(String::as_str);
        let info = serde_json::from_str(info.unwrap_or("{}")).unwrap();
        Fixture { name, bytes, info }
    }

    /// The settings that a case was made with.
    pub fn config(&self) -> &Value {
        &self.info["config"]
    }

    pub fn tensors(&self) -> SafeTensors<'_> {
        SafeTensors::deserialize(&self.bytes).unwrap()
    }

    pub fn names(&self, prefix: &str) -> Vec<String> {
        let all = self.tensors();
        let mut names: Vec<String> =
            all.names().into_iter().filter(|n| n.starts_with(prefix)).map(str::to_string).collect();
        names.sort();
        names
    }

    pub fn has(&self, name: &str) -> bool {
        self.tensors().tensor(name).is_ok()
    }

    pub fn shape(&self, name: &str) -> Vec<usize> {
        self.tensors().tensor(name).unwrap_or_else(|_| panic!("{} has no {name}", self.name)).shape().to_vec()
    }

    pub fn f32(&self, name: &str) -> Vec<f32> {
        let all = self.tensors();
        let view = all.tensor(name).unwrap_or_else(|_| panic!("{} has no {name}", self.name));
        assert_eq!(view.dtype(), Dtype::F32, "{name}");
        view.data().as_chunks().0.iter().map(|b| f32::from_le_bytes(*b)).collect()
    }

    pub fn f64(&self, name: &str) -> Vec<f64> {
        let all = self.tensors();
        let view = all.tensor(name).unwrap_or_else(|_| panic!("{} has no {name}", self.name));
        assert_eq!(view.dtype(), Dtype::F64, "{name}");
        view.data().as_chunks().0.iter().map(|b| f64::from_le_bytes(*b)).collect()
    }

    pub fn indices(&self, name: &str) -> Vec<u32> {
        let all = self.tensors();
        let view = all.tensor(name).unwrap_or_else(|_| panic!("{} has no {name}", self.name));
        assert_eq!(view.dtype(), Dtype::I64, "{name}");
        view.data().as_chunks().0.iter().map(|b| i64::from_le_bytes(*b) as u32).collect()
    }

    pub fn number(&self, key: &str) -> f64 {
        self.config()[key].as_f64().unwrap_or_else(|| panic!("{}: config has no number {key}", self.name))
    }

    pub fn size(&self, key: &str) -> usize {
        self.number(key) as usize
    }
}

/// A JSON file.
pub fn json(path: &Path) -> Value {
    let bytes = std::fs::read(path).unwrap_or_else(|cause| panic!("{}: {cause}", path.display()));
    serde_json::from_slice(&bytes).unwrap()
}

/// Every case of one set (`seed` or `meta`), sorted; at least one.
pub fn cases(folder: &Path, set: &str) -> Vec<Fixture> {
    let mut paths: Vec<PathBuf> = std::fs::read_dir(folder.join(set))
        .unwrap()
        .map(|e| e.unwrap().path())
        .filter(|p| p.file_name().is_some_and(|n| n.to_string_lossy().starts_with("case_")))
        .filter(|p| p.extension().is_some_and(|e| e == "safetensors"))
        .collect();
    paths.sort();
    assert!(!paths.is_empty(), "{} has no cases in {set}", folder.display());
    paths.iter().map(|p| Fixture::read(p)).collect()
}
