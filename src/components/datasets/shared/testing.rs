//! Files in the formats of publishers, for tests.

use std::io::Write;

use flate2::{Compression, write::GzEncoder};

pub(crate) use super::download::tests::{archive, response, serve, sha256};

/// `bytes`, gzipped.
pub(crate) fn gzipped(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}
