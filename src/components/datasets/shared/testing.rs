//! Files in the formats of publishers, for tests.

use std::{io::Write, path::Path};

use flate2::{Compression, write::GzEncoder};
use ijepa_registry::kinds::{Dataset, LoadContext};

pub(crate) use super::download::tests::{archive, response, serve, sha256};

/// A set of IDX files that is not there: the error names a file, the usual folder, the last address and how to fetch
/// it; with a download, what that would bring is known.
pub(crate) fn absent_idx_is_explained<S: Dataset>(
    set: impl Fn(&Path, bool) -> S,
    usual: &str,
    address: &str,
) {
    let folder = tempfile::tempdir().unwrap();
    let error = set(folder.path(), false).load(&LoadContext::silent()).unwrap_err().0;
    assert!(error.contains("holds neither train-images-idx3-ubyte") && error.contains(usual), "{error}");
    assert!(error.contains(address) && error.contains("download: true"), "{error}");
    let official = set(folder.path(), true).survey().unwrap().unwrap();
    assert_eq!(official.sentence(), "70000 images in 10 classes (60000 train, 10000 test)");
}

/// `bytes`, gzipped.
pub(crate) fn gzipped(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}
