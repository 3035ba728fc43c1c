//! CIFAR-100, binary version.

use std::path::{Path, PathBuf};

use ijepa_registry::prelude::*;

use super::shared::{Checksum, LabelByte, Origin, Published, Records, Remote, wrong};

/// Settings of `dataset: { kind: cifar100 }`.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct Cifar100 {
    /// Folder that holds `train.bin` and `test.bin`, or its parent holding `cifar-100-binary`; relative to where
    /// the program runs.
    #[schemars(extend("x-cosmetic" = true, "x-path" = true, "x-aliases" = ["root", "data_dir", "folder"]))]
    path: PathBuf,
    /// Whether to download the data (169 MB) into `path` if it is not there.
    #[schemars(extend("x-cosmetic" = true))]
    download: bool,
}

impl Default for Cifar100 {
    fn default() -> Self {
        Cifar100 { path: "data".into(), download: false }
    }
}

component! {
    /// CIFAR-100: 50,000 training and 10,000 test images of 32 x 32 pixels in 100 classes, which belong to 20
    /// superclasses.
    ///
    /// Reads the binary version. The fine labels are called `class`, the coarse ones `coarse`: a probe takes them
    /// with `labels: [class, coarse]`. Files with fewer records than the official ones are accepted. The
    /// checksum of a download is the MD5 on the publisher's page,
    /// <https://www.cs.toronto.edu/~kriz/cifar.html>.
    dataset "cifar100" => Cifar100, example = "{ path: data/cifar-100-binary }",
    aliases = ["cifar-100" => "cifar100", "cifar_100" => "cifar100"]
}

const FILES: [&str; 2] = ["train.bin", "test.bin"];

const PUBLISHED: Published = Published {
    title: "CIFAR-100",
    folder: "cifar-100-binary",
    files: &FILES,
    gzipped: false,
    counts: (50_000, 10_000),
    origin: Origin::Archive(Remote {
        url: "https://www.cs.toronto.edu/~kriz/cifar-100-binary.tar.gz",
        checksum: Checksum::Md5("03b5dce01913d631647c71ecec9e9cb8"),
        length: 168_513_733,
    }),
    other: Some(("cifar-100-python", "holds the Python version; the binary version is needed")),
};

/// A coarse and a fine label byte, then 1024 red, 1024 green and 1024 blue values.
const RECORDS: Records = Records {
    shape: ImageShape { channels: 3, height: 32, width: 32 },
    labels: &[
        LabelByte { name: "class", what: "fine label", values: &FINE, at: 1 },
        LabelByte { name: "coarse", what: "coarse label", values: &COARSE, at: 0 },
    ],
    remedies: [
        "the file is cut off or not the binary version: replace it with the one in \
         https://www.cs.toronto.edu/~kriz/cifar-100-binary.tar.gz",
        "the file is damaged or not CIFAR-100: replace it with the one in \
         https://www.cs.toronto.edu/~kriz/cifar-100-binary.tar.gz",
    ],
};

#[rustfmt::skip]
const COARSE: [&str; 20] = [
    "aquatic_mammals", "fish", "flowers", "food_containers", "fruit_and_vegetables", "household_electrical_devices",
    "household_furniture", "insects", "large_carnivores", "large_man-made_outdoor_things",
    "large_natural_outdoor_scenes", "large_omnivores_and_herbivores", "medium_mammals", "non-insect_invertebrates",
    "people", "reptiles", "small_mammals", "trees", "vehicles_1", "vehicles_2",
];

#[rustfmt::skip]
const FINE: [&str; 100] = [
    "apple", "aquarium_fish", "baby", "bear", "beaver", "bed", "bee", "beetle", "bicycle", "bottle",
    "bowl", "boy", "bridge", "bus", "butterfly", "camel", "can", "castle", "caterpillar", "cattle",
    "chair", "chimpanzee", "clock", "cloud", "cockroach", "couch", "crab", "crocodile", "cup", "dinosaur",
    "dolphin", "elephant", "flatfish", "forest", "fox", "girl", "hamster", "house", "kangaroo", "keyboard",
    "lamp", "lawn_mower", "leopard", "lion", "lizard", "lobster", "man", "maple_tree", "motorcycle", "mountain",
    "mouse", "mushroom", "oak_tree", "orange", "orchid", "otter", "palm_tree", "pear", "pickup_truck", "pine_tree",
    "plain", "plate", "poppy", "porcupine", "possum", "rabbit", "raccoon", "ray", "road", "rocket",
    "rose", "sea", "seal", "shark", "shrew", "skunk", "skyscraper", "snail", "snake", "spider",
    "squirrel", "streetcar", "sunflower", "sweet_pepper", "table", "tank", "telephone", "television", "tiger", "tractor",
    "train", "trout", "tulip", "turtle", "wardrobe", "whale", "willow_tree", "wolf", "woman", "worm",
];

impl Dataset for Cifar100 {
    fn shape(&self) -> ImageShape {
        RECORDS.shape
    }

    fn check(&self) -> Vec<Problem> {
        PUBLISHED.check(&self.path)
    }

    fn published_counts(&self) -> Option<(usize, usize)> {
        Some(PUBLISHED.counts)
    }

    fn reads_files(&self) -> bool {
        true
    }

    fn survey(&self) -> Result<Option<Survey>, DataError> {
        let count = |folder: &Path| {
            let [train, test] = FILES.map(|name| RECORDS.count(&folder.join(name)));
            Ok((train?, test?))
        };
        PUBLISHED.survey((&self.path, self.download), RECORDS.factors(), count)
    }

    fn load(&self, context: &LoadContext) -> Result<ImageSet, DataError> {
        let folder = PUBLISHED.obtain((&self.path, self.download), context)?;
        let mut coarse_of = [None; FINE.len()];
        let [train, test] = FILES.map(|name| {
            let split = RECORDS.split(&folder, &[name], context)?;
            belongs(&folder.join(name), &split, &mut coarse_of).map(|()| split)
        });
        Ok(ImageSet::new(RECORDS.shape, train?, test?))
    }
}

/// Every class belongs to one superclass.
fn belongs(file: &Path, split: &Split, coarse_of: &mut [Option<u32>]) -> Result<(), DataError> {
    let [fine, coarse] = [0, 1].map(|i| &split.labels[i].labels);
    for (i, (&fine, &coarse)) in fine.iter().zip(coarse).enumerate() {
        let before = *coarse_of[fine as usize].get_or_insert(coarse);
        if before != coarse {
            return Err(wrong(
                file,
                format!(
                    "record {i} has coarse label {coarse} and fine label {fine}, an earlier record {before} and {fine}; {}",
                    RECORDS.remedies[1]
                ),
            ));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    /// Records of class 0, 1, ... with coarse label class / 5, whose pixels are the class plus `shade`.
    fn records(count: u8, shade: u8) -> Vec<u8> {
        (0..count).flat_map(|class| [vec![class / 5, class], vec![class + shade; 3072]].concat()).collect()
    }

    fn write(folder: &Path, train: &[u8], test: &[u8]) {
        fs::create_dir_all(folder).unwrap();
        FILES
            .iter()
            .zip([train, test])
            .for_each(|(name, bytes)| fs::write(folder.join(name), bytes).unwrap());
    }

    fn load(path: &Path) -> Result<ImageSet, DataError> {
        Cifar100 { path: path.into(), download: false }.load(&LoadContext::silent())
    }

    #[test]
    fn both_labels_are_read_the_class_first() {
        let folder = tempfile::tempdir().unwrap();
        write(&folder.path().join("cifar-100-binary"), &records(100, 0), &records(7, 50));
        let set = load(folder.path()).unwrap();
        let [class, coarse] = &set.train.labels[..] else { panic!("two labels") };
        assert_eq!((class.name.as_str(), coarse.name.as_str()), ("class", "coarse"));
        assert_eq!((class.labels[99], coarse.labels[99]), (99, 19));
        assert_eq!((class.values[51].as_str(), coarse.values[17].as_str()), ("mushroom", "trees"));
        assert!(set.bytes(&set.test, 6).iter().all(|&v| v == 56));
        let data = Cifar100 { path: folder.path().into(), download: false };
        let survey = data.survey().unwrap().unwrap();
        assert_eq!(survey.sentence(), "107 images in 100 classes (100 train, 7 test)");
        assert_eq!(survey.labels.iter().map(|l| l.values).collect::<Vec<_>>(), [100, 20]);
        assert!(FINE.is_sorted() && COARSE.is_sorted());
    }

    #[test]
    fn damaged_files_are_named() {
        let folder = tempfile::tempdir().unwrap();
        let error = |train: &[u8]| {
            write(folder.path(), train, &records(2, 0));
            let error = load(folder.path()).unwrap_err().0;
            assert!(error.contains("train.bin") && error.contains("cifar-100-binary.tar.gz"), "{error}");
            error
        };
        assert!(
            error(&records(2, 0)[..4000])
                .contains("3074-byte records and at least one, found 1 records and 926")
        );
        let mut bytes = records(3, 0);
        bytes[2 * 3074 + 1] = 100;
        assert!(error(&bytes).contains("record 2 has fine label 100, expected 0 to 99"));
        bytes[2 * 3074 + 1] = 1;
        bytes[2 * 3074] = 20;
        assert!(error(&bytes).contains("record 2 has coarse label 20, expected 0 to 19"));
        bytes[2 * 3074] = 4;
        assert!(
            error(&bytes).contains("record 2 has coarse label 4 and fine label 1, an earlier record 0 and 1")
        );
    }
}
