//! Files of bytes: read whole, of whole records, labels in range; what is wrong is named.

use std::{
    fs,
    io::{self, Read},
    path::Path,
};

use flate2::read::MultiGzDecoder;
use ijepa_registry::{image::Labels, kinds::DataError};

use crate::data::regular_file;

/// An error about a file.
pub(crate) fn wrong(path: &Path, what: impl std::fmt::Display) -> DataError {
    DataError(format!("`{}`: {what}", path.display()))
}

fn unreadable(path: &Path, error: &io::Error) -> DataError {
    wrong(path, format!("cannot be read: {error}"))
}

/// Bytes of a file, from its size.
pub(crate) fn length(path: &Path) -> Result<usize, DataError> {
    fs::metadata(path).map(|m| m.len() as usize).map_err(|e| unreadable(path, &e))
}

/// The first bytes of a file that is gzipped if its name ends in `.gz`, and at most `limit` of them.
pub(crate) fn content(path: &Path, limit: u64) -> Result<Vec<u8>, DataError> {
    let file = regular_file(path).map_err(|e| unreadable(path, &e))?;
    let mut bytes = Vec::new();
    let read = match path.extension().is_some_and(|ending| ending == "gz") {
        true => MultiGzDecoder::new(file).take(limit).read_to_end(&mut bytes),
        false => file.take(limit).read_to_end(&mut bytes),
    };
    read.map_err(|e| unreadable(path, &e))?;
    Ok(bytes)
}

/// How many records of `record` bytes a file of `length` bytes has, if they are whole and at least one.
pub(crate) fn whole(path: &Path, length: usize, record: usize, remedy: &str) -> Result<usize, DataError> {
    let (records, rest) = (length / record, length % record);
    if records > 0 && rest == 0 {
        return Ok(records);
    }
    Err(wrong(
        path,
        format!(
            "expected a whole number of {record}-byte records and at least one, found {records} records and {rest} \
             bytes more; {remedy}"
        ),
    ))
}

/// Labels `first`, `first + 1`, ... of the values, counted from 0 on; the first one out of range is named.
pub(crate) fn labels(
    path: &Path,
    what: &str,
    bytes: impl Iterator<Item = u8>,
    (first, values): (u8, usize),
    remedy: &str,
) -> Result<Vec<u32>, DataError> {
    let last = usize::from(first) + values - 1;
    let counted = |(i, label): (usize, u8)| match (usize::from(first)..=last).contains(&usize::from(label)) {
        true => Ok(u32::from(label - first)),
        false => {
            let found = format!("record {i} has {what} {label}, expected {first} to {last}; {remedy}");
            Err(wrong(path, found))
        }
    };
    bytes.enumerate().map(counted).collect()
}

/// Labels under a name, with the names of their values.
pub(crate) fn named(name: &str, values: &[&str], labels: Vec<u32>) -> Labels {
    Labels { name: name.into(), values: values.iter().map(|&v| v.into()).collect(), labels }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gzipped_files_are_read_by_their_ending_and_damage_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("a.gz");
        let packed = super::super::testing::gzipped(b"one two three");
        fs::write(&file, &packed).unwrap();
        assert_eq!(content(&file, u64::MAX).unwrap(), b"one two three");
        assert_eq!(content(&file, 3).unwrap(), b"one");
        fs::write(&file, &packed[..packed.len() - 5]).unwrap();
        let error = content(&file, u64::MAX).unwrap_err().0;
        assert!(error.contains("a.gz") && error.contains("cannot be read"), "{error}");
    }

    #[test]
    fn labels_are_counted_from_the_first_value() {
        let path = Path::new("y.bin");
        let read = |bytes: &[u8]| labels(path, "label", bytes.iter().copied(), (1, 10), "replace it");
        assert_eq!(read(&[1, 10, 3]).unwrap(), [0, 9, 2]);
        for outside in [0, 11, 255] {
            let error = read(&[1, outside]).unwrap_err().0;
            let expected = format!("`y.bin`: record 1 has label {outside}, expected 1 to 10; replace it");
            assert_eq!(error, expected);
        }
    }
}
