//! A folder of images, one folder per class, or without labels.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, Ordering},
};

use ijepa_registry::prelude::*;
use rayon::prelude::*;

use crate::data::{Found, Item, LabelTable, decode_square, listed, many, numbers_to_names, scan};

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
    /// counted and named at the start of a run. A file that is damaged or cut off is an error.
    dataset "image_folder" => ImageFolder, example = "{ path: data/pets, image_size: 64 }",
    aliases = ["folder" => "image_folder", "imagefolder" => "image_folder", "imagenet" => "image_folder"]
}

/// The folder that need not be there.
const TEST: &str = "test";
/// Names that other people give it.
const OTHER_NAMES: [&str; 4] = ["val", "valid", "validation", "dev"];
/// Where Tiny ImageNet keeps the labels of its validation images.
const ANNOTATIONS: &str = "val_annotations.txt";
/// Classes named in one error.
const SHOWN: usize = 5;

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
        let images = train.items.iter().chain(&test.items).map(|i| i.file.clone());
        Ok(Some(Survey {
            train: train.items.len(),
            test: test.items.len(),
            labels: class.into_iter().collect(),
            files: images.chain(self.texts()).collect(),
            left_out: left_out.into_iter().collect(),
        }))
    }

    fn load(&self, context: &LoadContext) -> Result<ImageSet, DataError> {
        let Splits { train, test, classes } = self.splits()?;
        Ok(ImageSet::new(
            self.shape(),
            self.read("training images", &train.items, &classes, context)?,
            self.read("test images", &test.items, &classes, context)?,
        ))
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
        let classes = self.same_classes(&train.items, &test.items)?;
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

    /// The sorted class names, if train and test have the same ones.
    fn same_classes(&self, train: &[Item], test: &[Item]) -> Result<Vec<String>, DataError> {
        let root = self.path.display();
        let (in_train, in_test) = (classes(train), classes(test));
        if test.is_empty() || in_train == in_test {
            return Ok(in_train.into_iter().collect());
        }
        if in_train.is_empty() || in_test.is_empty() {
            let (with, without) =
                if in_test.is_empty() { ("training", "test") } else { ("test", "training") };
            let split = if in_test.is_empty() { "test" } else { "train" };
            return Err(DataError(format!(
                "`{root}`: {with} images have labels, {without} images have none; put them into class folders, or name a \
                 table with lines FILE LABEL: `dataset.{split}_labels=FILE`"
            )));
        }
        let only =
            |a: &BTreeSet<String>, b| a.difference(b).take(SHOWN).cloned().collect::<Vec<_>>().join(", ");
        Err(DataError(format!(
            "`{root}`: training and test images must have the same classes; only in training: [{}], only in test: [{}]",
            only(&in_train, &in_test),
            only(&in_test, &in_train)
        )))
    }

    fn read(
        &self,
        what: &str,
        items: &[Item],
        classes: &[String],
        context: &LoadContext,
    ) -> Result<Split, DataError> {
        let (length, total, done) = (self.shape().len(), items.len() as u64, AtomicU64::new(0));
        let mut pixels = vec![0; items.len() * length];
        let errors: Vec<String> = (pixels.par_chunks_mut(length).zip(items))
            .filter_map(|(out, item)| {
                let done = done.fetch_add(1, Ordering::Relaxed) + 1;
                if done.is_multiple_of(256) || done == total {
                    (context.progress)(&format!("decoding {what}"), done, total);
                }
                decode_square(&item.file, self.image_size, out).err()
            })
            .collect();
        many("images cannot be decoded; replace or remove them", &errors)?;
        let label = |item: &Item| classes.binary_search(item.class.as_ref()?).ok().map(|i| i as u32);
        let labels: Option<Vec<u32>> = items.iter().map(label).collect();
        let class = |labels| Labels { name: "class".into(), values: classes.to_vec(), labels };
        let labels = labels.filter(|l| !l.is_empty()).map(class);
        Ok(Split { pixels, labels: labels.into_iter().collect() })
    }
}

/// Where the images of a split are named, and their labels.
struct Source<'a> {
    split: &'a Path,
    list: Option<&'a Path>,
    labels: Option<PathBuf>,
    limit: Option<usize>,
}

impl Source<'_> {
    fn files(&self, root: &Path) -> Result<Found, DataError> {
        let mut found = match self.list {
            Some(list) => listed(root, list)?,
            None => scan(self.split, self.labels.as_deref())?,
        };
        if let Some(table) = &self.labels {
            LabelTable::read(table)?.label(self.split, &mut found)?;
            // In the order of class folders.
            if self.list.is_none() {
                found.items.sort_by(|a, b| (&a.class, &a.file).cmp(&(&b.class, &b.file)));
            }
        }
        if let Some(limit) = self.limit {
            let mut taken = BTreeMap::new();
            found.items.retain(|item| {
                let count = taken.entry(item.class.clone()).or_insert(0);
                *count += 1;
                *count <= limit
            });
        }
        Ok(found)
    }
}

fn annotations(folder: &Path) -> Option<PathBuf> {
    Some(folder.join(ANNOTATIONS)).filter(|table| table.is_file())
}

fn classes(items: &[Item]) -> BTreeSet<String> {
    items.iter().filter_map(|item| item.class.clone()).collect()
}

/// Names of the folders in a folder, sorted.
fn folders(path: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(path).into_iter().flatten().flatten();
    let named = entries.filter(|e| e.path().is_dir()).map(|e| e.file_name().to_string_lossy().into_owned());
    let mut names: Vec<String> = named.filter(|name| !name.starts_with('.')).take(100).collect();
    names.sort();
    names.truncate(12);
    names
}

#[cfg(test)]
mod tests {
    use std::fs;

    use image::RgbImage;

    use super::*;

    fn save(root: &Path, file: &str, width: u32, height: u32, colour: [u8; 3]) {
        let path = root.join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        RgbImage::from_pixel(width, height, image::Rgb(colour)).save(path).unwrap();
    }

    /// Two classes, sizes and formats mixed.
    fn folder() -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for split in ["train", "test"] {
            save(folder.path(), &format!("{split}/dog/b.png"), 8, 8, [0, 0, 200]);
            save(folder.path(), &format!("{split}/dog/a.JPG"), 20, 12, [200, 0, 0]);
            save(folder.path(), &format!("{split}/cat/1.png"), 5, 9, [0, 100, 0]);
            fs::write(folder.path().join(split).join("cat/notes.txt"), "ignored").unwrap();
        }
        folder
    }

    fn settings(folder: &tempfile::TempDir) -> ImageFolder {
        ImageFolder { path: folder.path().into(), image_size: 8, ..ImageFolder::default() }
    }

    fn error(settings: ImageFolder) -> String {
        settings.load(&LoadContext::silent()).unwrap_err().0
    }

    #[test]
    fn files_are_sorted_resized_and_labelled() {
        let set = settings(&folder()).load(&LoadContext::silent()).unwrap();
        assert_eq!(set.train.labels[0].values, ["cat", "dog"]);
        assert_eq!(set.train.labels[0].labels, [0, 1, 1]);
        let channel = |i: usize, c: usize| &set.bytes(&set.train, i)[c * 64..(c + 1) * 64];
        assert!(channel(0, 1).iter().all(|&v| v == 100) && channel(0, 0).iter().all(|&v| v == 0));
        assert!(channel(1, 0).iter().all(|&v| v.abs_diff(200) < 6), "JPEG first: a before b");
        assert_eq!(channel(2, 2), [200; 64]);
        assert_eq!(set.train, set.test);
    }

    #[test]
    fn lists_keep_their_order_and_limits_count_per_class() {
        let folder = folder();
        let list = folder.path().join("list.txt");
        fs::write(&list, "train/dog/b.png\n\ntrain/cat/1.png\ntrain/dog/a.JPG\n").unwrap();
        let listed = || ImageFolder { train_list: Some(list.clone()), ..settings(&folder) };
        assert_eq!(listed().load(&LoadContext::silent()).unwrap().train.labels[0].labels, [1, 0, 1]);
        let limited = ImageFolder { train_per_class: Some(1), ..listed() };
        assert_eq!(limited.load(&LoadContext::silent()).unwrap().train.labels[0].labels, [1, 0]);
        fs::write(&list, "train/dog/b.png\ntrain/dog/zz.png\n1.png\n").unwrap();
        let text = error(listed());
        assert!(text.contains("2 entries") && text.contains("line 2: `train/dog/zz.png`; line 3"), "{text}");
        fs::remove_file(&list).unwrap();
        assert!(error(listed()).contains("list.txt"));
    }

    #[test]
    fn broken_files_are_all_counted_and_five_are_named() {
        let folder = folder();
        (0..7)
            .for_each(|i| fs::write(folder.path().join(format!("train/cat/x{i}.jpg")), "no image").unwrap());
        let text = error(settings(&folder));
        assert!(text.starts_with("7 images cannot be decoded") && text.ends_with("; and 2 more"), "{text}");
        assert!(text.contains("x0.jpg") && text.contains("x4.jpg") && !text.contains("x5.jpg"), "{text}");
    }

    #[test]
    fn empty_missing_and_unequal_classes_are_errors() {
        let folder = folder();
        fs::create_dir(folder.path().join("train/horse")).unwrap();
        assert!(error(settings(&folder)).contains("train/horse"));
        save(folder.path(), "train/horse/1.png", 8, 8, [9; 3]);
        let text = error(settings(&folder));
        assert!(text.contains("only in training: [horse], only in test: []"), "{text}");
        let text = error(ImageFolder { test: "validation".into(), ..settings(&folder) });
        assert!(text.contains("validation") && text.contains("cannot be read"), "{text}");
        fs::create_dir(folder.path().join("validation")).unwrap();
        assert!(error(ImageFolder { test: "validation".into(), ..settings(&folder) }).contains("found none"));
        let text = error(ImageFolder { train: "trian".into(), ..settings(&folder) });
        assert!(text.contains("there is: test, train, validation"), "{text}");
        fs::remove_dir_all(folder.path().join("test")).unwrap();
        let text = error(settings(&folder));
        assert!(text.ends_with("but one called `validation`: write `dataset.test=validation`"), "{text}");
    }

    fn counted(settings: &ImageFolder) -> String {
        let survey = settings.survey().unwrap().unwrap();
        let set = settings.load(&LoadContext::silent()).unwrap();
        assert_eq!((set.count(&set.train), set.count(&set.test)), (survey.train, survey.test));
        let values = set.train.labels.iter().map(|l| l.values.len());
        assert!(values.eq(survey.labels.iter().map(|f| f.values)));
        survey.sentence()
    }

    #[test]
    fn a_survey_counts_what_is_loaded_and_what_is_left_out() {
        let folder = folder();
        let text = counted(&settings(&folder));
        assert_eq!(text, "6 images in 2 classes (3 train, 3 test); left out: 2 .txt");
        let class = &settings(&folder).survey().unwrap().unwrap().labels[0];
        assert_eq!(class.train.as_deref(), Some(&[1, 2][..]));
        fs::remove_dir_all(folder.path().join("test")).unwrap();
        let text = counted(&settings(&folder));
        assert_eq!(text, "3 images in 2 classes (3 train, no test images); left out: 1 .txt");
    }

    #[test]
    fn images_without_labels_need_no_test_set() {
        let folder = tempfile::tempdir().unwrap();
        (0..3).for_each(|i| save(folder.path(), &format!("train/{i}.webp"), 8, 8, [i; 3]));
        assert_eq!(counted(&settings(&folder)), "3 images without labels (3 train, no test images)");
        let here =
            || ImageFolder { path: folder.path().join("train"), train: ".".into(), ..settings(&folder) };
        assert_eq!(counted(&here()), "3 images without labels (3 train, no test images)");
        save(folder.path(), "test/dog/a.png", 8, 8, [9; 3]);
        let text = error(settings(&folder));
        assert!(
            text.contains("test images have labels") && text.contains("dataset.train_labels=FILE"),
            "{text}"
        );
    }

    #[test]
    fn a_flat_test_folder_takes_its_labels_from_a_table() {
        let folder = folder();
        let root = folder.path();
        for (name, colour) in [("v1.png", [1; 3]), ("v2.png", [2; 3]), ("v3.png", [3; 3])] {
            save(root, &format!("val/images/{name}"), 8, 8, colour);
        }
        fs::write(
            root.join("val/val_annotations.txt"),
            "v1.png\tdog\t0\t0\nv2.png\tcat\t0\t0\nv3.png\tdog\t0\t0\n",
        )
        .unwrap();
        let val = || ImageFolder { test: "val".into(), ..settings(&folder) };
        assert_eq!(counted(&val()), "6 images in 2 classes (3 train, 3 test); left out: 1 .txt");
        let set = val().load(&LoadContext::silent()).unwrap();
        assert_eq!(set.test.labels[0].labels, [0, 1, 1]);
        let first: Vec<u8> = (0..3).map(|i| set.bytes(&set.test, i)[0]).collect();
        assert_eq!(first, [2, 1, 3]);
        let table = root.join("map.txt");
        fs::write(&table, "v1.png 0\nv2.png 1\nv3.png 0\n").unwrap();
        let mapped = ImageFolder { test_labels: Some(table.clone()), ..val() };
        assert_eq!(mapped.load(&LoadContext::silent()).unwrap().test.labels[0].labels, [0, 0, 1]);
        assert!(mapped.survey().unwrap().unwrap().files.contains(&table));
    }

    #[test]
    fn settings_out_of_range_are_named() {
        let wrong = ImageFolder {
            path: PathBuf::new(),
            image_size: 2,
            train_per_class: Some(0),
            test_per_class: Some(0),
            ..ImageFolder::default()
        };
        let paths: Vec<_> = wrong.check().into_iter().map(|p| p.path).collect();
        assert_eq!(paths, ["path", "image_size", "train_per_class", "test_per_class"]);
        assert!(ImageFolder::default().check().is_empty());
    }
}
