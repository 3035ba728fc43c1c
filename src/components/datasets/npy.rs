//! Arrays in NumPy's format.

mod array;

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use ijepa_registry::prelude::*;

use array::Array;

use super::shared::wrong;

/// Settings of `dataset: { kind: npy }`.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Npy {
    /// Folder of the arrays; relative to where the program runs.
    #[schemars(extend("x-cosmetic" = true, "x-path" = true, "x-aliases" = ["root", "data_dir", "folder"]))]
    path: PathBuf,
    /// What the axes of the image arrays are.
    layout: Layout,
    /// Colour channels of an image; 1 for `nhw`.
    #[schemars(range(min = 1, max = 64))]
    channels: usize,
    /// Rows of an image, pixels.
    #[schemars(range(min = 1, max = 1024))]
    height: usize,
    /// Columns of an image, pixels.
    #[schemars(range(min = 1, max = 1024))]
    width: usize,
    /// What the values of arrays of floating-point numbers run over; left out for arrays of bytes. Images are kept
    /// as bytes, to which values are rounded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    range: Option<Range>,
    /// Array of the training images, a file in `path`.
    train: PathBuf,
    /// Array of the test images; without one there are none.
    #[serde(default)]
    test: Option<PathBuf>,
    /// Labels of the training images: a name, such as `class`, and a file in `path` with an array `(n,)` of whole
    /// numbers from 0 on. Several names are several ways to label the images.
    #[serde(default)]
    train_labels: BTreeMap<String, PathBuf>,
    /// Labels of the test images, under the same names.
    #[serde(default)]
    test_labels: BTreeMap<String, PathBuf>,
    /// Names of the values of labels, value 0 first; the numbers if left out.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    values: BTreeMap<String, Vec<String>>,
}

/// What the axes of an array are.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Layout {
    /// `(image, row, column)`: grey images.
    Nhw,
    /// `(image, row, column, channel)`, as Pillow and TensorFlow have it.
    Nhwc,
    /// `(image, channel, row, column)`, as PyTorch has it.
    Nchw,
}

/// What floating-point values run over.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Range {
    /// 0 to 1.
    Unit,
    /// 0 to 255.
    Byte,
}

component! {
    /// Arrays in `.npy` files, as `numpy.save` writes them: images as bytes or floating-point numbers, labels as
    /// whole numbers.
    ///
    /// Nothing about the arrays is guessed: their layout and the size of an image are stated and compared with
    /// what the files say. An array in Fortran order, a value outside of its range and a file that is cut off
    /// are errors that name the file.
    dataset "npy" => Npy, example = "{ path: data/arrays, layout: nhwc, channels: 3, height: 32, width: 32, \
                                       train: x_train.npy, test: x_test.npy, train_labels: { class: y_train.npy }, \
                                       test_labels: { class: y_test.npy } }",
    aliases = ["numpy" => "{ kind: npy, path: data/arrays, layout: nhwc, channels: 3, height: 32, width: 32, train: x_train.npy, train_labels: { class: y_train.npy } }"]
}

impl Dataset for Npy {
    fn shape(&self) -> ImageShape {
        ImageShape { channels: self.channels, height: self.height, width: self.width }
    }

    fn check(&self) -> Vec<Problem> {
        let mut problems = Vec::new();
        if self.layout == Layout::Nhw && self.channels != 1 {
            let message = format!("is {}, but images of layout `nhw` have one channel", self.channels);
            problems.push(Problem::new("channels", message).help("write `channels: 1`, or another `layout`"));
        }
        let [train, test] = [&self.train_labels, &self.test_labels].map(|l| l.keys().collect::<Vec<_>>());
        if self.test.is_some() && train != test {
            let message = format!("names {test:?}, `train_labels` {train:?}; both must have the same names");
            problems.push(Problem::new("test_labels", message));
        }
        if self.test.is_none() && !test.is_empty() {
            problems.push(Problem::new("test_labels", "is given, but no array of test images (`test`)"));
        }
        let unknown = self.values.keys().find(|name| !self.train_labels.contains_key(*name));
        problems.extend(unknown.map(|name| {
            Problem::new("values", format!("names `{name}`, but `train_labels` has no labels of that name"))
        }));
        problems
    }

    fn reads_files(&self) -> bool {
        true
    }

    fn survey(&self) -> Result<Option<Survey>, DataError> {
        let train = self.images(&self.train)?.count();
        let test = self.test.as_ref().map_or(Ok(0), |file| Ok(self.images(file)?.count()))?;
        let [of_train, of_test] = self.labels(train, test)?;
        let count = |labels: &Labels, value: u32| labels.labels.iter().filter(|&&l| l == value).count();
        let factor = |labels: &Labels| Factor {
            name: labels.name.clone(),
            values: labels.values.len(),
            train: Some((0..labels.values.len() as u32).map(|value| count(labels, value)).collect()),
        };
        let labels = of_train.iter().map(factor).collect();
        drop(of_test);
        let quantities = Split::new(Pixels::default(), of_train).quantity_names();
        Ok(Some(Survey { train, test, labels, quantities, files: self.files(), ..Survey::default() }))
    }

    fn load(&self, context: &LoadContext) -> Result<ImageSet, DataError> {
        let read = |file: &PathBuf| {
            (context.progress)(&format!("reading {}", file.display()), 0, 0);
            self.pixels(file)
        };
        let train = read(&self.train)?;
        let test = self.test.as_ref().map_or(Ok(Vec::new()), read)?;
        let count = |pixels: &[u8]| pixels.len() / self.shape().len();
        let [of_train, of_test] = self.labels(count(&train), count(&test))?;
        let [train, test] = [Split::new(train, of_train), Split::new(test, of_test)];
        Ok(ImageSet::new(self.shape(), train, test))
    }
}

impl Npy {
    fn files(&self) -> Vec<PathBuf> {
        let labels = self.train_labels.values().chain(self.test_labels.values());
        let all = [&self.train].into_iter().chain(&self.test).chain(labels);
        all.map(|file| self.path.join(file)).collect()
    }

    /// The array of some images, of the shape that was stated.
    fn images(&self, file: &Path) -> Result<Array, DataError> {
        let (ImageShape { channels, height, width }, path) = (self.shape(), self.path.join(file));
        let (name, each) = match self.layout {
            Layout::Nhw => ("nhw", vec![height, width]),
            Layout::Nhwc => ("nhwc", vec![height, width, channels]),
            Layout::Nchw => ("nchw", vec![channels, height, width]),
        };
        let array = Array::open(&path)?;
        if array.shape.len() != each.len() + 1 || array.shape[1..] != each {
            let text: Vec<String> = each.iter().map(usize::to_string).collect();
            let what = format!(
                "is an array of shape {:?}; `layout: {name}` with {channels} channels, {height} rows and {width} columns \
                 is (n, {})",
                array.shape,
                text.join(", ")
            );
            return Err(wrong(&path, what));
        }
        if array.count() == 0 {
            return Err(wrong(&path, "holds no image"));
        }
        Ok(array)
    }

    /// `(image, channel, row, column)` bytes.
    fn pixels(&self, file: &Path) -> Result<Vec<u8>, DataError> {
        let array = self.images(file)?;
        let (path, is_float) = (array.path.clone(), array.is_float());
        let values = match (is_float, self.range) {
            (false, None) => array.bytes()?,
            (true, Some(Range::Unit)) => array.rounded(1.0)?,
            (true, Some(Range::Byte)) => array.rounded(255.0)?,
            (false, Some(_)) => {
                return Err(wrong(&path, "is an array of whole numbers, for which `range` is left out"));
            }
            (true, None) => {
                let help = "is an array of floating-point numbers: say what they run over, `dataset.range=unit` (0 to \
                            1) or `dataset.range=byte` (0 to 255)";
                return Err(wrong(&path, help));
            }
        };
        let ImageShape { channels, .. } = self.shape();
        if self.layout != Layout::Nhwc || channels == 1 {
            return Ok(values);
        }
        let image = |image: &[u8]| -> Vec<u8> {
            (0..channels).flat_map(|c| image.iter().skip(c).step_by(channels).copied()).collect()
        };
        Ok(values.chunks_exact(self.shape().len()).flat_map(image).collect())
    }

    /// Labels of training and test images, the class first, with as many values as there are in either.
    fn labels(&self, train: usize, test: usize) -> Result<[Vec<Labels>; 2], DataError> {
        let mut names: Vec<&String> = self.train_labels.keys().collect();
        names.sort_by_key(|name| (*name != "class", *name));
        let mut found = [Vec::new(), Vec::new()];
        for name in names {
            let of = |files: &BTreeMap<String, PathBuf>, images| match files.get(name) {
                Some(file) => self.numbers(name, file, images),
                None => Ok(Vec::new()),
            };
            let both = [of(&self.train_labels, train)?, of(&self.test_labels, test)?];
            let count = both.iter().flatten().max().map_or(0, |&most| most as usize + 1);
            let values = match self.values.get(name) {
                Some(values) => values.clone(),
                None => (0..count).map(|value| value.to_string()).collect(),
            };
            for (split, labels) in found.iter_mut().zip(both) {
                split.push(Labels { name: name.clone(), values: values.clone(), labels });
            }
        }
        if self.test.is_none() {
            found[1].clear();
        }
        Ok(found)
    }

    fn numbers(&self, name: &str, file: &Path, images: usize) -> Result<Vec<u32>, DataError> {
        let path = self.path.join(file);
        let numbers = Array::open(&path)?.labels(images)?;
        let known = self.values.get(name).map(Vec::len);
        let outside = known.and_then(|known| numbers.iter().position(|&label| label as usize >= known));
        match outside {
            None => Ok(numbers),
            Some(i) => {
                let what = format!(
                    "label {i} is {}, but `values` names {} values of `{name}`",
                    numbers[i],
                    known.unwrap_or_default()
                );
                Err(wrong(&path, what))
            }
        }
    }
}

#[cfg(test)]
mod tests;
