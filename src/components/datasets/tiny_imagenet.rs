//! Tiny ImageNet in its official folders.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
};

use ijepa_registry::prelude::*;

use super::shared::{Origin, Published, in_memory, room, wrong};
use crate::data::{Found, Source, classes, decoded_within, regular_text, same_classes};

/// Settings of `dataset: { kind: tiny_imagenet }`.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct TinyImagenet {
    /// Folder that holds `wnids.txt`, `train` and `val`, or its parent holding `tiny-imagenet-200`; relative to
    /// where the program runs.
    #[schemars(extend("x-cosmetic" = true, "x-path" = true, "x-aliases" = ["root", "data_dir", "folder"]))]
    path: PathBuf,
    /// Height and width every image is brought to, pixels; they are stored with 64.
    #[schemars(range(min = 4, max = 1024), extend("x-aliases" = ["size", "img_size", "resolution"]))]
    image_size: usize,
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

impl Default for TinyImagenet {
    fn default() -> Self {
        TinyImagenet { path: "data".into(), image_size: 64, memory: None, cache: None }
    }
}

component! {
    /// Tiny ImageNet: 100,000 training and 10,000 validation images of 64 x 64 pixels in 200 classes.
    ///
    /// Reads the folders as they are unpacked: `train/WNID/images/*.JPEG`, and `val/images/*.JPEG` with their labels in
    /// `val/val_annotations.txt`; the validation images are the test set here, since those in `test` have no
    /// labels. Every class of `wnids.txt` must be there. The images are the same as with
    /// `{ kind: image_folder, test: val, image_size: 64 }`. Its page
    /// (<http://cs231n.stanford.edu/tiny-imagenet-200.zip>) states no checksum, so that nothing is downloaded.
    dataset "tiny_imagenet" => TinyImagenet, example = "{ path: data/tiny-imagenet-200 }",
    aliases = ["tinyimagenet" => "tiny_imagenet", "tiny-imagenet" => "tiny_imagenet",
               "tiny-imagenet-200" => "tiny_imagenet"]
}

/// Names of all classes, one a line.
const CLASSES: &str = "wnids.txt";
/// Labels of the validation images.
const ANNOTATIONS: &str = "val/val_annotations.txt";

const PUBLISHED: Published = Published {
    title: "Tiny ImageNet",
    folder: "tiny-imagenet-200",
    files: &[CLASSES, ANNOTATIONS],
    gzipped: false,
    counts: (100_000, 10_000),
    origin: Origin::ByHand("http://cs231n.stanford.edu/tiny-imagenet-200.zip (248 MB)"),
    other: None,
};

impl Dataset for TinyImagenet {
    fn shape(&self) -> ImageShape {
        ImageShape { channels: 3, height: self.image_size, width: self.image_size }
    }

    fn check(&self) -> Vec<Problem> {
        PUBLISHED.check(&self.path)
    }

    fn reads_files(&self) -> bool {
        true
    }

    fn memory(&self, images: usize) -> u64 {
        in_memory(self.memory, images, self.image_size)
    }

    fn survey(&self) -> Result<Option<Survey>, DataError> {
        let [train, val] = self.splits()?;
        let classes: Vec<String> = classes(&train.items).into_iter().collect();
        let of_class =
            |class: &String| train.items.iter().filter(|i| i.class.as_ref() == Some(class)).count();
        let counts = classes.iter().map(of_class).collect();
        let class = Factor { name: "class".into(), values: classes.len(), train: Some(counts) };
        let mut left_out = train.left_out;
        val.left_out.into_iter().for_each(|(what, n)| *left_out.entry(what).or_default() += n);
        let folder = self.folder()?;
        let images = train.items.iter().chain(&val.items).map(|item| item.file.clone());
        Ok(Some(Survey {
            train: train.items.len(),
            test: val.items.len(),
            labels: vec![class],
            files: images.chain(PUBLISHED.files.iter().map(|name| folder.join(name))).collect(),
            left_out: left_out.into_iter().collect(),
            ..Survey::default()
        }))
    }

    fn files(&self) -> Result<Option<[Vec<PathBuf>; 2]>, DataError> {
        let folder = self.folder()?;
        let relative = |file: PathBuf| file.strip_prefix(&folder).map(Path::to_owned).unwrap_or(file);
        let of = |found: Found| found.items.into_iter().map(|item| relative(item.file)).collect();
        Ok(Some(self.splits()?.map(of)))
    }

    fn load(&self, context: &LoadContext) -> Result<ImageSet, DataError> {
        let [train, val] = self.splits()?;
        let classes = same_classes(&self.folder()?, &train.items, &val.items)?;
        let splits = [("training images", &train.items[..]), ("validation images", &val.items)];
        let room = room(self.memory, self.cache.as_deref());
        let [train, val] = decoded_within(&room, splits, &classes, self.image_size, context)?;
        Ok(ImageSet::new(self.shape(), train, val))
    }
}

impl TinyImagenet {
    fn folder(&self) -> Result<PathBuf, DataError> {
        PUBLISHED.find(&self.path).ok_or_else(|| PUBLISHED.absent(&self.path))
    }

    fn splits(&self) -> Result<[Found; 2], DataError> {
        let folder = self.folder()?;
        let (train, val) = (folder.join("train"), folder.join("val"));
        let of = |split, labels| Source { split, list: None, labels, limit: None }.files(&folder);
        let mut found = [of(&train, None)?, of(&val, Some(folder.join(ANNOTATIONS)))?];
        all_classes(&folder.join(CLASSES), &found[0])?;
        // The boxes of the objects: one table in every class folder.
        let boxes = classes(&found[0].items).len();
        let left_out = &mut found[0].left_out;
        if left_out.get(".txt").is_some_and(|&texts| texts == boxes) {
            left_out.remove(".txt");
        }
        Ok(found)
    }
}

/// The folders of the training images are those that the list of classes names.
fn all_classes(list: &Path, train: &Found) -> Result<(), DataError> {
    let text = regular_text(list).map_err(|e| wrong(list, format!("cannot be read: {e}")))?;
    let named: BTreeSet<String> = text.split_whitespace().map(str::to_owned).collect();
    let found = classes(&train.items);
    let shown = |a: &BTreeSet<String>, b| a.difference(b).take(5).cloned().collect::<Vec<_>>().join(", ");
    if named == found {
        return Ok(());
    }
    let what = format!(
        "names {} classes, and there are {} folders with images in `train`; only in the list: [{}], only in `train`: [{}]",
        named.len(),
        found.len(),
        shown(&named, &found),
        shown(&found, &named)
    );
    Err(wrong(list, what))
}

#[cfg(test)]
mod tests {
    use image::RgbImage;

    use super::*;
    use std::fs;

    fn save(file: &Path, shade: u8) {
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        RgbImage::from_pixel(64, 64, image::Rgb([shade; 3])).save(file).unwrap();
    }

    fn write_all(root: &Path) {
        for (class, shade) in [("n02", 200), ("n01", 100)] {
            let folder = root.join("train").join(class);
            (0..3).for_each(|i| save(&folder.join(format!("images/{class}_{i}.JPEG")), shade + i));
            fs::write(folder.join(format!("{class}_boxes.txt")), "").unwrap();
        }
        save(&root.join("val/images/val_0.JPEG"), 10);
        save(&root.join("val/images/val_1.JPEG"), 20);
        let lines = "val_0.JPEG\tn02\t0\t32\t44\t62\nval_1.JPEG\tn01\t52\t55\t57\t59\n";
        fs::write(root.join(ANNOTATIONS), lines).unwrap();
        save(&root.join("test/images/test_0.JPEG"), 0);
        fs::write(root.join(CLASSES), "n02\nn01\n").unwrap();
    }

    fn data(path: &Path) -> TinyImagenet {
        TinyImagenet { path: path.into(), ..TinyImagenet::default() }
    }

    fn error(path: &Path) -> String {
        data(path).load(&LoadContext::silent()).unwrap_err().0
    }

    #[test]
    fn the_official_folders_are_read_from_themselves_or_their_parent() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("tiny-imagenet-200");
        write_all(&root);
        let set = data(folder.path()).load(&LoadContext::silent()).unwrap();
        assert_eq!(set.train.labels[0].values, ["n01", "n02"]);
        assert_eq!(
            (&set.train.labels[0].labels[..], &set.test.labels[0].labels[..]),
            (&[0, 0, 0, 1, 1, 1][..], &[0, 1][..])
        );
        assert!(set.bytes(&set.train, 0)[0].abs_diff(100) < 4 && set.bytes(&set.test, 0)[0].abs_diff(20) < 4);
        let survey = data(&root).survey().unwrap().unwrap();
        assert_eq!(survey.sentence(), "8 images in 2 classes (6 train, 2 test)");
        assert_eq!(survey.files.len(), 10);
        let [_, val] = data(&root).files().unwrap().unwrap();
        assert_eq!(val[0], Path::new("val/images/val_1.JPEG"));
    }

    #[test]
    fn what_is_missing_or_damaged_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        let text = error(root);
        assert!(text.contains("tiny-imagenet-200.zip") && text.contains("states no checksum"), "{text}");
        write_all(root);
        fs::write(root.join(CLASSES), "n01\nn02\nn03\n").unwrap();
        let text = error(root);
        assert!(
            text.contains("names 3 classes, and there are 2") && text.contains("only in the list: [n03]"),
            "{text}"
        );
        fs::write(root.join(CLASSES), "n01\nn02\n").unwrap();
        let image = root.join("train/n01/images/n01_1.JPEG");
        let whole = fs::read(&image).unwrap();
        fs::write(&image, &whole[..whole.len() / 2]).unwrap();
        assert!(error(root).contains("n01_1.JPEG"));
        fs::write(&image, &whole).unwrap();
        fs::write(root.join(ANNOTATIONS), "val_0.JPEG\tn02\t0\t1\t2\t3\n").unwrap();
        assert!(error(root).contains("val_1.JPEG"));
    }
}
