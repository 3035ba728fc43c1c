//! `.npy`, format version 1.0: <https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html>.

use std::{
    io::{self, Write},
    path::Path,
};

use super::{FeatureHead, Format, csv_rows, write_f32};
use crate::results::AtomicFile;

/// Magic bytes and version.
const START: &[u8] = b"\x93NUMPY\x01\x00";

/// The data begin at a multiple of this.
const ALIGNMENT: usize = 64;

/// What stands before the values of an array: magic, version, length, a Python dictionary, spaces, a line end.
pub fn header(kind: &str, shape: &[usize]) -> Vec<u8> {
    let sizes: Vec<String> = shape.iter().map(ToString::to_string).collect();
    let comma = if shape.len() == 1 { "," } else { "" };
    let shape = format!("({}{comma})", sizes.join(", "));
    let mut text = format!("{{'descr': '{kind}', 'fortran_order': False, 'shape': {shape}, }}");
    let before = START.len() + 2;
    let total = (before + text.len() + 1).next_multiple_of(ALIGNMENT);
    text.extend(std::iter::repeat_n(' ', total - before - text.len() - 1));
    text.push('\n');
    [START, &(text.len() as u16).to_le_bytes(), text.as_bytes()].concat()
}

/// An array of texts: `<U` of the longest, in UTF-32.
pub fn texts<T: AsRef<str>>(shape: &[usize], texts: &[T]) -> Vec<u8> {
    let longest = texts.iter().map(|text| text.as_ref().chars().count()).max().unwrap_or(0).max(1);
    let mut array = header(&format!("<U{longest}"), shape);
    for text in texts {
        let characters = text.as_ref().chars().map(u32::from).chain(std::iter::repeat(0));
        array.extend(characters.take(longest).flat_map(u32::to_le_bytes));
    }
    array
}

/// An array of whole numbers.
pub fn numbers(numbers: &[i64]) -> Vec<u8> {
    let mut array = header("<i8", &[numbers.len()]);
    array.extend(numbers.iter().flat_map(|number| number.to_le_bytes()));
    array
}

/// The features alone; which images they are stands in a CSV beside them.
pub struct Npy {
    array: AtomicFile,
    images: AtomicFile,
}

impl Npy {
    pub fn create(path: &Path, head: &FeatureHead) -> io::Result<Self> {
        let mut array = AtomicFile::create(path)?;
        array.write_all(&header("<f4", &head.shape()))?;
        let mut images = AtomicFile::create(&super::images_beside(path))?;
        images.write_all(&csv_rows::of_images(head)?)?;
        Ok(Npy { array, images })
    }
}

impl Format for Npy {
    fn take(&mut self, features: &[f32]) -> io::Result<()> {
        write_f32(&mut self.array, features)
    }

    fn finish(self: Box<Self>) -> io::Result<()> {
        self.images.commit()?;
        self.array.commit()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_is_that_of_numpy() {
        let expected = "{'descr': '<f4', 'fortran_order': False, 'shape': (3, 4), }";
        let bytes = header("<f4", &[3, 4]);
        assert_eq!((&bytes[..8], bytes.len()), (START, 128));
        assert_eq!(u16::from_le_bytes([bytes[8], bytes[9]]), 118);
        let text = std::str::from_utf8(&bytes[10..]).unwrap();
        assert_eq!((text.trim_end_matches([' ', '\n']), text.ends_with(" \n")), (expected, true));
        let text = |shape: &[usize]| String::from_utf8_lossy(&header("<i8", shape)).into_owned();
        assert!(text(&[7]).contains("'shape': (7,), }") && text(&[]).contains("'shape': (), }"));
    }

    #[test]
    fn texts_are_as_long_as_the_longest() {
        let array = texts(&[2], &["é", "ab"]);
        assert!(String::from_utf8_lossy(&array).contains("'descr': '<U2'"));
        assert_eq!(array[array.len() - 16..], [0xe9, 0, 0, 0, 0, 0, 0, 0, b'a', 0, 0, 0, b'b', 0, 0, 0]);
    }
}
