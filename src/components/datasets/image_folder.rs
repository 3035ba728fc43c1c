//! A folder of JPEG or PNG files, one folder per class.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, Ordering},
};

use ijepa_registry::prelude::*;
use image::{DynamicImage, ImageReader, RgbImage, imageops};
use rayon::prelude::*;

/// Settings of `dataset: { kind: image_folder }`.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct ImageFolder {
    /// Folder that holds the two split folders; relative to where the program runs.
    #[schemars(extend("x-cosmetic" = true, "x-path" = true, "x-aliases" = ["root", "data_dir", "folder"]))]
    path: PathBuf,
    /// Name of the folder with the training classes, inside `path`.
    train: String,
    /// Name of the folder with the test classes, inside `path`.
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
            test: "test".into(),
            image_size: 32,
            train_list: None,
            test_list: None,
            train_per_class: None,
            test_per_class: None,
        }
    }
}

component! {
    /// JPEG or PNG files in class folders: `train/CLASS/FILE` and `test/CLASS/FILE`.
    ///
    /// The class is the name of the folder a file lies in. Images of any size are converted to
    /// RGB; the largest centred square is resized to `image_size` (triangle filter, which
    /// averages when it shrinks). Images are in order of class and file name, or in the order
    /// of the list file. Other files are ignored.
    dataset "image_folder" => ImageFolder, example = "{ path: data/pets, image_size: 64 }",
    aliases = ["folder" => "image_folder", "imagefolder" => "image_folder", "imagenet" => "image_folder"]
}

/// Broken files named in one error.
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

    fn load(&self, context: &LoadContext) -> Result<ImageSet, DataError> {
        let train = self.files(&self.train, self.train_list.as_deref(), self.train_per_class)?;
        let test = self.files(&self.test, self.test_list.as_deref(), self.test_per_class)?;
        let classes = same_classes(&self.path, &train, &test)?;
        Ok(ImageSet {
            shape: self.shape(),
            train: self.read("training images", &train, &classes, context)?,
            test: self.read("test images", &test, &classes, context)?,
        })
    }
}

/// An image file and the name of its class.
struct Item {
    file: PathBuf,
    class: String,
}

impl ImageFolder {
    fn files(&self, split: &str, list: Option<&Path>, limit: Option<usize>) -> Result<Vec<Item>, DataError> {
        let mut items = match list {
            Some(list) => listed(&self.path, list)?,
            None => found(&self.path.join(split))?,
        };
        if let Some(limit) = limit {
            let mut taken = std::collections::BTreeMap::new();
            items.retain(|item| {
                let count = taken.entry(item.class.clone()).or_insert(0);
                *count += 1;
                *count <= limit
            });
        }
        Ok(items)
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
                decode(&item.file, self.image_size, out).err()
            })
            .collect();
        many("images cannot be decoded; replace or remove them", errors)?;
        let label = |item: &Item| classes.binary_search(&item.class).unwrap_or_default() as u32;
        let labels = items.iter().map(label).collect();
        Ok(Split { pixels, labels: vec![Labels { name: "class".into(), values: classes.to_vec(), labels }] })
    }
}

/// One error for all of `errors`, naming the first few.
fn many(what: &str, errors: Vec<String>) -> Result<(), DataError> {
    if errors.is_empty() {
        return Ok(());
    }
    let more = errors.len().saturating_sub(SHOWN);
    let rest = if more > 0 { format!("; and {more} more") } else { String::new() };
    let shown = errors[..errors.len() - more].join("; ");
    Err(DataError(format!("{} {what}: {shown}{rest}", errors.len())))
}

/// Images of a split folder, sorted by class and file name.
fn found(split: &Path) -> Result<Vec<Item>, DataError> {
    let (mut items, mut empty) = (vec![], vec![]);
    for folder in sorted(split)?.into_iter().filter(|p| p.is_dir()) {
        let files: Vec<_> = sorted(&folder)?.into_iter().filter(|p| is_image(p)).collect();
        if files.is_empty() {
            empty.push(format!("`{}`", folder.display()));
        }
        items.extend(files.into_iter().map(|file| Item { class: name(&folder), file }));
    }
    many("class folders hold no JPEG or PNG file; add images or remove them", empty)?;
    if items.is_empty() {
        let text = "expected one folder per class with JPEG or PNG files, found none";
        return Err(DataError(format!("`{}`: {text}", split.display())));
    }
    Ok(items)
}

/// Images of a list file, in its order.
fn listed(root: &Path, list: &Path) -> Result<Vec<Item>, DataError> {
    let text = fs::read_to_string(list);
    let text = text.map_err(|e| DataError(format!("list `{}` cannot be read: {e}", list.display())))?;
    let lines = text.lines().zip(1..).map(|(line, number)| (line.trim(), number));
    let (mut items, mut absent) = (vec![], vec![]);
    for (line, number) in lines.filter(|(line, _)| !line.is_empty()) {
        let file = root.join(line);
        let class = Path::new(line).parent().map(name).unwrap_or_default();
        if !file.is_file() || class.is_empty() {
            absent.push(format!("line {number}: `{line}`"));
        }
        items.push(Item { file, class });
    }
    let what = format!(
        "entries of `{}` are not files SPLIT/CLASS/FILE inside `{}`; correct the list or `path`",
        list.display(),
        root.display()
    );
    many(&what, absent)?;
    if items.is_empty() {
        return Err(DataError(format!("list `{}` is empty; write one path a line", list.display())));
    }
    Ok(items)
}

fn sorted(folder: &Path) -> Result<Vec<PathBuf>, DataError> {
    let read = fs::read_dir(folder).and_then(|entries| entries.map(|e| Ok(e?.path())).collect());
    let mut paths: Vec<PathBuf> = read.map_err(|e| {
        DataError(format!(
            "folder `{}` cannot be read: {e}; expected PATH/SPLIT/CLASS/FILE",
            folder.display()
        ))
    })?;
    paths.sort();
    Ok(paths)
}

fn name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

fn is_image(path: &Path) -> bool {
    let extension = path.extension().unwrap_or_default().to_string_lossy().to_lowercase();
    ["jpg", "jpeg", "png"].contains(&extension.as_str()) && path.is_file()
}

/// The sorted class names, if train and test have the same ones.
fn same_classes(root: &Path, train: &[Item], test: &[Item]) -> Result<Vec<String>, DataError> {
    let classes = |items: &[Item]| items.iter().map(|i| i.class.clone()).collect::<BTreeSet<_>>();
    let (train, test) = (classes(train), classes(test));
    let only = |a: &BTreeSet<String>, b| a.difference(b).take(SHOWN).cloned().collect::<Vec<_>>().join(", ");
    if train != test {
        return Err(DataError(format!(
            "`{}`: training and test images must have the same classes; only in training: [{}], only in test: [{}]",
            root.display(),
            only(&train, &test),
            only(&test, &train)
        )));
    }
    Ok(train.into_iter().collect())
}

fn decode(file: &Path, size: usize, out: &mut [u8]) -> Result<(), String> {
    let image = ImageReader::open(file).and_then(ImageReader::with_guessed_format);
    let image = image.map_err(|e| e.to_string()).and_then(|r| r.decode().map_err(|e| e.to_string()));
    let square = fit(image.map_err(|e| format!("`{}` ({e})", file.display()))?, size as u32);
    for (i, pixel) in square.pixels().enumerate() {
        for c in 0..3 {
            out[c * size * size + i] = pixel.0[c];
        }
    }
    Ok(())
}

fn fit(image: DynamicImage, size: u32) -> RgbImage {
    let side = image.width().min(image.height());
    let image =
        image.crop_imm((image.width() - side) / 2, (image.height() - side) / 2, side, side).into_rgb8();
    if side == size { image } else { imageops::resize(&image, size, size, imageops::FilterType::Triangle) }
}

#[cfg(test)]
mod tests {
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
