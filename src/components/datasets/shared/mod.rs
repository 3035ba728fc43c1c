//! What data sets in the files of their publishers share: where they lie, how they get there, and how bytes
//! become images and labels, or an error that names the file.

mod bytes;
mod decoded;
mod download;
mod idx;
mod published;
mod records;
#[cfg(test)]
pub(super) mod testing;

pub(super) use bytes::{content, labels, length, named, whole, wrong};
pub(super) use decoded::{in_memory, room};
pub(super) use download::{Checksum, Remote};
pub(super) use idx::{IDX_FILES, IDX_SHAPE, Idx};
pub(super) use published::{Origin, Published};
pub(super) use records::{LabelByte, Records};
