//! How much memory decoded images may take.

use std::path::Path;

use crate::data::{Room, bytes_of};

/// MiB, if nothing is said.
const MEMORY: u64 = 8192;

/// What the settings `memory` (MiB) and `cache` say.
pub(crate) fn room(memory: Option<u64>, cache: Option<&Path>) -> Room<'_> {
    Room { memory: memory.unwrap_or(MEMORY).saturating_mul(1 << 20), cache }
}

/// Bytes of memory that so many images take: none if they do not fit.
pub(crate) fn in_memory(memory: Option<u64>, images: usize, size: usize) -> u64 {
    let bytes = bytes_of(images, size);
    if bytes <= room(memory, None).memory { bytes } else { 0 }
}
