//! Reading fixture files: tensors by name, settings from the JSON beside them.

use std::path::{Path, PathBuf};

use safetensors::{Dtype, SafeTensors};
use serde_json::Value;

/// One `case_*.safetensors` with its `case_*.json`.
pub struct Fixture {
    pub name: String,
    bytes: Vec<u8>,
    pub config: Value,
}

impl Fixture {
    fn open(path: &Path) -> Self {
        let json: Value =
            serde_json::from_slice(&std::fs::read(path.with_extension("json")).unwrap()).unwrap();
        Fixture {
            name: path.display().to_string(),
            bytes: std::fs::read(path).unwrap(),
            config: json["config"].clone(),
        }
    }

    fn tensors(&self) -> SafeTensors<'_> {
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
        self.config[key].as_f64().unwrap_or_else(|| panic!("{}: config has no number {key}", self.name))
    }

    pub fn size(&self, key: &str) -> usize {
        self.number(key) as usize
    }
}

/// Folder of the fixtures, or None after a visible line if it is absent.
pub fn folder() -> Option<PathBuf> {
    let default = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/fixtures");
    let folder = std::env::var_os("IJEPA_FIXTURES").map_or(default, PathBuf::from);
    if folder.is_dir() {
        return Some(folder);
    }
    use std::io::Write;
    // Not captured by the test harness, as `eprintln!` would be.
    let _ = writeln!(std::io::stderr(), "SKIPPED: no fixtures at {} (set IJEPA_FIXTURES)", folder.display());
    None
}

/// Every case of one set (`seed` or `meta`), sorted.
pub fn cases(folder: &Path, set: &str) -> Vec<Fixture> {
    let mut paths: Vec<PathBuf> = std::fs::read_dir(folder.join(set))
        .unwrap()
        .map(|e| e.unwrap().path())
        .filter(|p| p.file_name().is_some_and(|n| n.to_string_lossy().starts_with("case_")))
        .filter(|p| p.extension().is_some_and(|e| e == "safetensors"))
        .collect();
    paths.sort();
    paths.iter().map(|p| Fixture::open(p)).collect()
}
