//! STL-10, binary version.

use std::path::{Path, PathBuf};

use ijepa_registry::prelude::*;

use super::shared::{Origin, Published, content, labels, length, named, whole, wrong};

/// Settings of `dataset: { kind: stl10 }`.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct Stl10 {
    /// Folder that holds `train_X.bin`, `train_y.bin`, `test_X.bin` and `test_y.bin`, or its parent holding
    /// `stl10_binary`; relative to where the program runs.
    #[schemars(extend("x-cosmetic" = true, "x-path" = true, "x-aliases" = ["root", "data_dir", "folder"]))]
    path: PathBuf,
    /// Whether to train on the 100,000 images of `unlabeled_X.bin` too. Probes are fitted to the 5,000 labelled
    /// training images either way.
    #[schemars(extend("x-aliases" = ["unlabelled"]))]
    unlabeled: bool,
}

impl Default for Stl10 {
    fn default() -> Self {
        Stl10 { path: "data".into(), unlabeled: false }
    }
}

component! {
    /// STL-10: 5,000 training and 8,000 test images of 96 x 96 pixels in 10 classes, and 100,000 images without
    /// labels.
    ///
    /// Reads the binary version, in which images are stored column by column and classes counted from 1.
    /// `unlabeled: true` is the protocol that the data set was made for: all 105,000 images are trained on, and
    /// probes are fitted to the labelled ones. They take 2.9 GB of memory. Its page
    /// (<https://cs.stanford.edu/~acoates/stl10/>) states no checksum, so that nothing is downloaded. Files
    /// with fewer images than the official ones are accepted.
    dataset "stl10" => Stl10, example = "{ path: data/stl10_binary, unlabeled: true }",
    aliases = ["stl-10" => "stl10", "stl_10" => "stl10"]
}

const SHAPE: ImageShape = ImageShape { channels: 3, height: 96, width: 96 };
const CLASSES: [&str; 10] =
    ["airplane", "bird", "car", "cat", "deer", "dog", "horse", "monkey", "ship", "truck"];
/// Images and labels of training and of test, then the images without labels.
const FILES: [&str; 5] = ["train_X.bin", "train_y.bin", "test_X.bin", "test_y.bin", "unlabeled_X.bin"];
const REMEDY: &str = "the file is cut off, damaged or not of STL-10: unpack \
                      https://cs.stanford.edu/~acoates/stl10/stl10_binary.tar.gz again";

const PUBLISHED: Published = Published {
    title: "STL-10",
    folder: "stl10_binary",
    files: &FILES,
    gzipped: false,
    counts: (105_000, 8_000),
    origin: Origin::ByHand("https://cs.stanford.edu/~acoates/stl10/stl10_binary.tar.gz (2.6 GB)"),
    other: Some(("stl10_matlab", "holds the Matlab version; the binary version is needed")),
};

impl Dataset for Stl10 {
    fn shape(&self) -> ImageShape {
        SHAPE
    }

    fn check(&self) -> Vec<Problem> {
        PUBLISHED.check(&self.path)
    }

    fn published_counts(&self) -> Option<(usize, usize)> {
        Some(if self.unlabeled { PUBLISHED.counts } else { (5_000, 8_000) })
    }

    fn reads_files(&self) -> bool {
        true
    }

    fn survey(&self) -> Result<Option<Survey>, DataError> {
        let class = Factor { name: "class".into(), values: CLASSES.len(), train: None };
        let count = |folder: &Path| Ok((counted(folder, 0)?, counted(folder, 2)?));
        let survey = self.published().survey((&self.path, false), vec![class], count)?;
        let Some((survey, true)) = survey.clone().map(|s| (s, self.unlabeled)) else { return Ok(survey) };
        let file = survey.files.last().cloned().unwrap_or_default();
        let unlabelled = whole(&file, length(&file)?, SHAPE.len(), REMEDY)?;
        Ok(Some(Survey { train: survey.train + unlabelled, unlabelled, ..survey }))
    }

    fn load(&self, context: &LoadContext) -> Result<ImageSet, DataError> {
        let folder = self.published().obtain((&self.path, false), context)?;
        let unlabelled = self.unlabeled.then(|| folder.join(FILES[4]));
        let [train, test] = [split(&folder, 0, unlabelled, context)?, split(&folder, 2, None, context)?];
        Ok(ImageSet::new(SHAPE, train, test))
    }
}

impl Stl10 {
    /// What has to be there.
    fn published(&self) -> Published<'static> {
        Published { files: if self.unlabeled { &FILES } else { &FILES[..4] }, ..PUBLISHED }
    }
}

/// How many images the pair of files at `first` holds, from their sizes.
fn counted(folder: &Path, first: usize) -> Result<usize, DataError> {
    let [of_images, of_labels] = [0, 1].map(|i| folder.join(FILES[first + i]));
    let images = whole(&of_images, length(&of_images)?, SHAPE.len(), REMEDY)?;
    let labels = length(&of_labels)?;
    if images == labels {
        return Ok(images);
    }
    let what = format!("holds {labels} labels, but `{}` {images} images; {REMEDY}", of_images.display());
    Err(wrong(&of_labels, what))
}

/// The pair of files at `first`, then images without labels if there are any.
fn split(
    folder: &Path,
    first: usize,
    unlabelled: Option<PathBuf>,
    context: &LoadContext,
) -> Result<Split, DataError> {
    counted(folder, first)?;
    let mut pixels = Vec::new();
    for file in [folder.join(FILES[first])].into_iter().chain(unlabelled) {
        images(&file, &mut pixels, context)?;
    }
    let file = folder.join(FILES[first + 1]);
    let found = labels(&file, "label", content(&file, u64::MAX)?.into_iter(), (1, CLASSES.len()), REMEDY)?;
    Ok(Split::new(pixels, vec![named("class", &CLASSES, found)]))
}

/// Adds the images of a file: each channel is stored column by column.
fn images(file: &Path, pixels: &mut Vec<u8>, context: &LoadContext) -> Result<(), DataError> {
    (context.progress)(&format!("reading {}", file.display()), 0, 0);
    let bytes = content(file, u64::MAX)?;
    whole(file, bytes.len(), SHAPE.len(), REMEDY)?;
    let (rows, columns) = (SHAPE.height, SHAPE.width);
    pixels.reserve(bytes.len());
    for channel in bytes.chunks_exact(rows * columns) {
        pixels.extend((0..rows * columns).map(|i| channel[i % columns * rows + i / columns]));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    /// Images whose byte at column `x`, row `y` of channel `c` is `image + c * 90 + x`, but 255 in row 1.
    fn stored(count: u8) -> Vec<u8> {
        let value = |image: u8, c: u8, x: u8, y: u8| if y == 1 { 255 } else { image + c * 70 + x };
        let pixels = |image| {
            (0..3).flat_map(move |c| (0..96).flat_map(move |x| (0..96).map(move |y| value(image, c, x, y))))
        };
        (0..count).flat_map(pixels).collect()
    }

    fn write_all(folder: &Path) {
        fs::create_dir_all(folder).unwrap();
        let write = |name: &str, bytes: Vec<u8>| fs::write(folder.join(name), bytes).unwrap();
        write("train_X.bin", stored(3));
        write("train_y.bin", vec![1, 10, 2]);
        write("test_X.bin", stored(2));
        write("test_y.bin", vec![5, 5]);
        write("unlabeled_X.bin", stored(4));
    }

    fn data(path: &Path, unlabeled: bool) -> Stl10 {
        Stl10 { path: path.into(), unlabeled }
    }

    #[test]
    fn columns_become_rows_and_labels_count_from_0() {
        let folder = tempfile::tempdir().unwrap();
        write_all(&folder.path().join("stl10_binary"));
        let data = data(folder.path(), false);
        let set = data.load(&LoadContext::silent()).unwrap();
        assert_eq!(set.train.labels[0].labels, [0, 9, 1]);
        let image = set.bytes(&set.train, 2);
        assert_eq!(image[..3], [2, 3, 4], "the first row");
        assert!(image[96..192].iter().all(|&v| v == 255), "the second row");
        assert_eq!(image[2 * 9216 + 5], 2 + 140 + 5, "blue");
        assert_eq!(data.survey().unwrap().unwrap().sentence(), "5 images in 10 classes (3 train, 2 test)");
    }

    #[test]
    fn images_without_labels_come_behind_the_labelled_ones() {
        let folder = tempfile::tempdir().unwrap();
        write_all(folder.path());
        let data = data(folder.path(), true);
        let set = data.load(&LoadContext::silent()).unwrap();
        assert_eq!((set.count(&set.train), set.labelled(&set.train)), (7, 3));
        assert_eq!(set.bytes(&set.train, 4), set.bytes(&set.train, 1));
        let survey = data.survey().unwrap().unwrap();
        assert_eq!(survey.sentence(), "9 images in 10 classes (7 train, 4 of them without labels, 2 test)");
        assert_eq!(survey.files.len(), 5);
        fs::remove_file(folder.path().join("unlabeled_X.bin")).unwrap();
        let error = data.load(&LoadContext::silent()).unwrap_err().0;
        assert!(error.contains("lacks unlabeled_X.bin") && error.contains("states no checksum"), "{error}");
        assert!(self::data(folder.path(), false).load(&LoadContext::silent()).is_ok(), "not needed");
    }

    #[test]
    fn damaged_files_are_named() {
        let cases: [(&str, Vec<u8>, &str); 4] = [
            (
                "train_X.bin",
                stored(3)[..60_000].to_vec(),
                "27648-byte records and at least one, found 2 records",
            ),
            ("train_y.bin", vec![1, 2], "holds 2 labels, but"),
            ("test_y.bin", vec![1, 11], "record 1 has label 11, expected 1 to 10"),
            ("unlabeled_X.bin", vec![0; 27_649], "found 1 records and 1 bytes more"),
        ];
        for (name, bytes, expected) in cases {
            let folder = tempfile::tempdir().unwrap();
            write_all(folder.path());
            fs::write(folder.path().join(name), bytes).unwrap();
            let error = data(folder.path(), true).load(&LoadContext::silent()).unwrap_err().0;
            assert!(
                error.contains(name) && error.contains(expected) && error.contains("stl10_binary.tar.gz"),
                "{error}"
            );
        }
    }
}
