//! One `.npy` file.

use std::{
    fs::File,
    io::{BufReader, Seek},
    path::{Path, PathBuf},
};

use ijepa_registry::kinds::DataError;
use npyz::{DType, Deserialize, NpyFile, Order, TypeChar};

use super::super::shared::{length, wrong};
use crate::data::regular_file;

/// Labels above are a mistake: they are counted from 0 on without a gap.
const MOST_VALUES: i64 = 1 << 16;

/// An array whose header has been read, and whose file is as long as the header says.
pub(super) struct Array {
    pub path: PathBuf,
    pub shape: Vec<usize>,
    kind: TypeChar,
    /// Bytes of a value.
    size: u64,
    /// As NumPy writes it.
    type_name: String,
}

impl Array {
    pub fn open(path: &Path) -> Result<Self, DataError> {
        let mut reader = reader(path)?;
        let header = NpyFile::new(&mut reader);
        let header =
            header.map_err(|e| wrong(path, format!("is not an array as `numpy.save` writes it: {e}")))?;
        let shape: Vec<usize> = header.shape().iter().map(|&n| n as usize).collect();
        let DType::Plain(kind) = header.dtype() else {
            return Err(wrong(path, "is an array of records; expected one of plain numbers"));
        };
        if header.order() == Order::Fortran && shape.len() > 1 {
            return Err(wrong(path, "is in Fortran order: save `numpy.ascontiguousarray(array)` instead"));
        }
        let size = kind.num_bytes().unwrap_or(0) as u64;
        let values = shape.iter().try_fold(1u64, |all, &n| all.checked_mul(n as u64));
        let start = reader.stream_position().map_err(|e| wrong(path, format!("cannot be read: {e}")))?;
        let expected = values.and_then(|values| values.checked_mul(size)).map(|bytes| bytes + start);
        let found = length(path)? as u64;
        if expected != Some(found) {
            let expected = expected.map_or("more".into(), |n| n.to_string());
            let what = format!(
                "says that it holds an array of shape {shape:?}, {expected} bytes, but there are {found}; it is cut off \
                 or damaged"
            );
            return Err(wrong(path, what));
        }
        let type_name = kind.to_string();
        Ok(Array { path: path.to_owned(), shape, kind: kind.type_char(), size, type_name })
    }

    /// Length of the first axis.
    pub fn count(&self) -> usize {
        self.shape.first().copied().unwrap_or(0)
    }

    pub fn is_float(&self) -> bool {
        self.kind == TypeChar::Float
    }

    /// The values of an array of bytes.
    pub fn bytes(&self) -> Result<Vec<u8>, DataError> {
        match (self.kind, self.size) {
            (TypeChar::Uint, 1) => self.values::<u8>(),
            _ => Err(self.unsuitable("images are `|u1` (bytes), `<f4` or `<f8`")),
        }
    }

    /// Floating-point values of 0 to `most` as bytes.
    pub fn rounded(&self, most: f64) -> Result<Vec<u8>, DataError> {
        match self.size {
            4 => self.scaled(self.values::<f32>()?.into_iter().map(f64::from), most),
            8 => self.scaled(self.values::<f64>()?.into_iter(), most),
            _ => Err(self.unsuitable("images are `|u1` (bytes), `<f4` or `<f8`")),
        }
    }

    fn scaled(&self, values: impl Iterator<Item = f64>, most: f64) -> Result<Vec<u8>, DataError> {
        let byte = |(i, value): (usize, f64)| match (0.0..=most).contains(&value) {
            true => Ok((value / most * 255.0).round() as u8),
            false => {
                let each = self.shape[1..].iter().product::<usize>().max(1);
                let what =
                    format!("a value of image {} is {value}; `dataset.range` allows 0 to {most}", i / each);
                Err(wrong(&self.path, what))
            }
        };
        values.enumerate().map(byte).collect()
    }

    /// One whole number from 0 on for each of so many images.
    pub fn labels(&self, images: usize) -> Result<Vec<u32>, DataError> {
        if self.shape != [images] && self.shape != [images, 1] {
            let what =
                format!("is an array of shape {:?}; labels of {images} images are ({images},)", self.shape);
            return Err(wrong(&self.path, what));
        }
        let label = |(i, value): (usize, i64)| match (0..MOST_VALUES).contains(&value) {
            true => Ok(value as u32),
            false => {
                let what =
                    format!("label {i} is {value}; labels are whole numbers from 0 to {}", MOST_VALUES - 1);
                Err(wrong(&self.path, what))
            }
        };
        self.integers()?.into_iter().enumerate().map(label).collect()
    }

    fn integers(&self) -> Result<Vec<i64>, DataError> {
        match (self.kind, self.size) {
            (TypeChar::Uint, 1) => self.widened::<u8>(),
            (TypeChar::Uint, 2) => self.widened::<u16>(),
            (TypeChar::Uint, 4) => self.widened::<u32>(),
            (TypeChar::Uint, 8) => {
                Ok(self.values::<u64>()?.into_iter().map(|v| i64::try_from(v).unwrap_or(i64::MAX)).collect())
            }
            (TypeChar::Int, 1) => self.widened::<i8>(),
            (TypeChar::Int, 2) => self.widened::<i16>(),
            (TypeChar::Int, 4) => self.widened::<i32>(),
            (TypeChar::Int, 8) => self.widened::<i64>(),
            _ => Err(self.unsuitable("labels are whole numbers")),
        }
    }

    fn widened<T: Deserialize + Into<i64>>(&self) -> Result<Vec<i64>, DataError> {
        Ok(self.values::<T>()?.into_iter().map(Into::into).collect())
    }

    fn values<T: Deserialize>(&self) -> Result<Vec<T>, DataError> {
        let read = NpyFile::new(reader(&self.path)?).and_then(|array| array.into_vec());
        read.map_err(|e| wrong(&self.path, format!("cannot be read: {e}")))
    }

    fn unsuitable(&self, expected: &str) -> DataError {
        wrong(&self.path, format!("has values of type `{}`; {expected}", self.type_name))
    }
}

fn reader(path: &Path) -> Result<BufReader<File>, DataError> {
    regular_file(path).map(BufReader::new).map_err(|e| wrong(path, format!("cannot be read: {e}")))
}
