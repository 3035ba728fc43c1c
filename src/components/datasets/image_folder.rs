//! A folder of images, one folder per class, or without labels.

use std::path::{Path, PathBuf};

use ijepa_registry::prelude::*;

use super::shared::{in_memory, room};
use crate::data::{
    Found, Item, Source, annotations, classes, decoded_within, folders, numbers_to_names, same_classes,
};

/// Settings of `dataset: { kind: image_folder }`.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct ImageFolder {
    /// Folder that holds the two split folders; relative to where the program runs.
    #[schemars(extend("x-cosmetic" = true, "x-path" = true, "x-aliases" = ["root", "data_dir", "folder"]))]
    path: PathBuf,
    /// Name of the folder with the training images, inside `path`; `.` for `path` itself.
    train: String,
    /// Name of the folder with the test images, inside `path`. Without one of the name `test` there are no
    /// test images.
    test: String,
    /// Height and width every image is brought to, pixels.
    #[schemars(range(min = 4, max = 1024), extend("x-aliases" = ["size", "img_size", "resolution"]))]
    image_size: usize,
    /// Text file that lists the training images, one path relative to `path` a line; instead of
    /// everything in the training folder. Relative to where the program runs.
    #[schemars(extend("x-path" = true))]
    train_list: Option<PathBuf>,
    /// Text file that lists the test images in the same form.
    #[schemars(extend("x-path" = true))]
    test_list: Option<PathBuf>,
    /// Table with a line `FILE LABEL` for every training image, separated by tabs, commas or spaces, for
    /// images that do not lie in class folders. Relative to where the program runs.
    #[schemars(extend("x-path" = true))]
    #[serde(skip_serializing_if = "Option::is_none")]
    train_labels: Option<PathBuf>,
    /// The same for the test images. `val_annotations.txt` inside their folder is found by itself.
    #[schemars(extend("x-path" = true))]
    #[serde(skip_serializing_if = "Option::is_none")]
    test_labels: Option<PathBuf>,
    /// At most this many training images of each class, the first ones in order.
    #[schemars(range(min = 1, max = 1_000_000))]
    train_per_class: Option<usize>,
    /// At most this many test images of each class, the first ones in order.
    #[schemars(range(min = 1, max = 1_000_000))]
    test_per_class: Option<usize>,
    /// MiB of decoded images that may be in memory; 8192 if left out. More of them are decoded once into a file, and
    /// read from there: every table is the same.
    #[schemars(range(min = 0, max = 1_000_000_000), extend("x-cosmetic" = true))]
    #[serde(skip_serializing_if = "Option::is_none")]
    memory: Option<u64>,
    /// Folder of that file; `~/.cache/ijepa-run/images` if left out. It may be deleted when no run needs it.
    #[schemars(extend("x-cosmetic" = true, "x-path" = true))]
    #[serde(skip_serializing_if = "Option::is_none")]
    cache: Option<PathBuf>,
}

impl Default for ImageFolder {
    fn default() -> Self {
        ImageFolder {
            path: "data".into(),
            train: "train".into(),
            test: TEST.into(),
            image_size: 32,
            train_list: None,
            test_list: None,
            train_labels: None,
            test_labels: None,
            train_per_class: None,
            test_per_class: None,
            memory: None,
            cache: None,
        }
    }
}

component! {
    /// Images in class folders: `train/CLASS/FILE` and `test/CLASS/FILE`; or without labels, or without a
    /// test set.
    ///
    /// JPEG, PNG, WebP and BMP are read. The class is the name of the folder in the split folder, however
    /// deep a file lies in it, or stands in a table (`test_labels`). Images that lie directly in
    /// `train` have no labels: leave `probes` empty. Images of any size are turned as their EXIF
    /// orientation says and converted to RGB (alpha is dropped); the largest centred square is resized to
    /// `image_size` (triangle filter, which averages when it shrinks). Images are in order of class and file
    /// name, or in the order of the list file. Names with a leading dot are passed over; other files are
    /// counted and named at the start of a run. A file that is damaged or cut off is an error. Images that do not
    /// fit `memory` are kept in a file.
    dataset "image_folder" => ImageFolder, example = "{ path: data/pets, image_size: 64 }",
    aliases = ["folder" => "image_folder", "imagefolder" => "image_folder", "imagenet" => "image_folder"]
}

/// The folder that need not be there.
const TEST: &str = "test";
/// Names that other people give it.
const OTHER_NAMES: [&str; 4] = ["val", "valid", "validation", "dev"];

impl Dataset for ImageFolder {
    fn shape(&self) -> ImageShape {
        ImageShape { channels: 3, height: self.image_size, width: self.image_size }
    }

    fn check(&self) -> Vec<Problem> {
        let mut problems = vec![];
        if self.path.as_os_str().is_empty() {
            problems.push(Problem::new("path", "is empty; must be a folder"));
        }
        if !(4..=1024).contains(&self.image_size) {
            let message = format!("is {}; allowed are 4 to 1024", self.image_size);
            problems.push(Problem::new("image_size", message));
        }
        for (name, limit) in
            [("train_per_class", self.train_per_class), ("test_per_class", self.test_per_class)]
        {
            if limit == Some(0) {
                problems
                    .push(Problem::new(name, "is 0; must be at least 1").help("leave it out for no limit"));
            }
        }
        problems
    }

    fn reads_files(&self) -> bool {
        true
    }

    fn memory(&self, images: usize) -> u64 {
        in_memory(self.memory, images, self.image_size)
    }

    fn survey(&self) -> Result<Option<Survey>, DataError> {
        let Splits { train, test, classes } = self.splits()?;
        let mut left_out = train.left_out;
        test.left_out.into_iter().for_each(|(what, n)| *left_out.entry(what).or_default() += n);
        let of_class =
            |class: &String| train.items.iter().filter(|i| i.class.as_ref() == Some(class)).count();
        let class = (!classes.is_empty()).then(|| Factor {
            name: "class".into(),
            values: classes.len(),
            train: Some(classes.iter().map(of_class).collect()),
        });
        let numbers = Labels::numbers(&classes).map(|_| "class".to_owned());
        let images = train.items.iter().chain(&test.items).map(|i| i.file.clone());
        Ok(Some(Survey {
            train: train.items.len(),
            test: test.items.len(),
            labels: class.into_iter().collect(),
            quantities: numbers.into_iter().collect(),
            files: images.chain(self.texts()).collect(),
            left_out: left_out.into_iter().collect(),
            ..Survey::default()
        }))
    }

    fn files(&self) -> Result<Option<[Vec<PathBuf>; 2]>, DataError> {
        let Splits { train, test, .. } = self.splits()?;
        let relative = |item: Item| item.file.strip_prefix(&self.path).unwrap_or(&item.file).to_owned();
        Ok(Some([train, test].map(|found| found.items.into_iter().map(relative).collect())))
    }

    fn load(&self, context: &LoadContext) -> Result<ImageSet, DataError> {
        let Splits { train, test, classes } = self.splits()?;
        let splits = [("training images", &train.items[..]), ("test images", &test.items)];
        let room = room(self.memory, self.cache.as_deref());
        let [train, test] = decoded_within(&room, splits, &classes, self.image_size, context)?;
        Ok(ImageSet::new(self.shape(), train, test))
    }
}

/// What is used of both splits.
struct Splits {
    train: Found,
    test: Found,
    /// Sorted; empty without labels.
    classes: Vec<String>,
}

impl ImageFolder {
    fn splits(&self) -> Result<Splits, DataError> {
        let folder = self.path.join(&self.train);
        if self.train_list.is_none() && !folder.is_dir() {
            return Err(self.no_folder(&folder));
        }
        let train = Source {
            split: &folder,
            list: self.train_list.as_deref(),
            labels: self.train_labels.clone(),
            limit: self.train_per_class,
        };
        let train = train.files(&self.path)?;
        let folder = self.path.join(&self.test);
        let mut test = match (&self.test_list, folder.is_dir()) {
            (None, false) => self.no_test(&folder).map(|()| Found::default())?,
            (list, _) => {
                let labels = self.test_labels.clone().or(annotations(&folder));
                let source =
                    Source { split: &folder, list: list.as_deref(), labels, limit: self.test_per_class };
                source.files(&self.path)?
            }
        };
        let known = classes(&train.items);
        numbers_to_names(&mut test.items, &known);
        let classes = same_classes(&self.path, &train.items, &test.items)?;
        Ok(Splits { train, test, classes })
    }

    /// List files and tables: they decide the data too.
    fn texts(&self) -> impl Iterator<Item = PathBuf> {
        let given = [&self.train_list, &self.test_list, &self.train_labels, &self.test_labels];
        let found = self.test_labels.is_none().then(|| annotations(&self.path.join(&self.test))).flatten();
        given.into_iter().flatten().cloned().chain(found).collect::<Vec<_>>().into_iter()
    }

    fn no_folder(&self, folder: &Path) -> DataError {
        if !self.path.is_dir() {
            let path = self.path.display();
            return DataError(format!(
                "there is no folder `{path}`; set `dataset.path`, relative to where the program runs"
            ));
        }
        let beside = folders(&self.path);
        let beside = if beside.is_empty() { "no folder".into() } else { beside.join(", ") };
        DataError(format!(
            "folder `{}` cannot be read: there is none; expected PATH/SPLIT/CLASS/FILE, and in `{}` there is: {beside}. \
             Set `dataset.train` to a folder's name, or to `.` if the images lie in `{}` itself",
            folder.display(),
            self.path.display(),
            self.path.display()
        ))
    }

    /// No test set, unless one was named, or lies there under another name.
    fn no_test(&self, folder: &Path) -> Result<(), DataError> {
        let other = OTHER_NAMES.iter().find(|name| self.path.join(name).is_dir());
        match other {
            _ if self.test != TEST => Err(DataError(format!(
                "folder `{}` cannot be read: there is none; set `dataset.test` to one of: {}",
                folder.display(),
                folders(&self.path).join(", ")
            ))),
            Some(name) if self.train != **name => Err(DataError(format!(
                "`{}`: there is no folder `{TEST}`, but one called `{name}`: write `dataset.test={name}`",
                self.path.display()
            ))),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests;
