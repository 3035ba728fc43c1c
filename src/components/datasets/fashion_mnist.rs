//! Fashion-MNIST.

use std::path::PathBuf;

use ijepa_registry::prelude::*;

use super::shared::{Checksum, IDX_FILES, IDX_SHAPE, Idx, Origin, Published, Remote};

/// Settings of `dataset: { kind: fashion_mnist }`.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct FashionMnist {
    /// Folder that holds `train-images-idx3-ubyte`, `train-labels-idx1-ubyte`, `t10k-images-idx3-ubyte` and
    /// `t10k-labels-idx1-ubyte`, each also as `.gz`, or the parent of `FashionMNIST/raw` with them, as torchvision leaves it;
    /// relative to where the program runs.
    #[schemars(extend("x-cosmetic" = true, "x-path" = true, "x-aliases" = ["root", "data_dir", "folder"]))]
    path: PathBuf,
    /// Whether to download the data (31 MB) into `path` if it is not there.
    #[schemars(extend("x-cosmetic" = true))]
    download: bool,
}

impl Default for FashionMnist {
    fn default() -> Self {
        FashionMnist { path: "data".into(), download: false }
    }
}

component! {
    /// Fashion-MNIST: 60,000 training and 10,000 test images of clothes, 28 x 28 grey pixels, 10 classes.
    ///
    /// Reads the IDX files, gzipped or not. Images have one channel: write `normalize` with one mean and one
    /// standard deviation, such as `{ kind: normalize, mean: [0.2860], std: [0.3530] }`. A download comes from the
    /// publisher's repository, with the checksums in its README (`zalandoresearch/fashion-mnist`).
    dataset "fashion_mnist" => FashionMnist, example = "{ path: data/FashionMNIST/raw }",
    aliases = ["fashionmnist" => "fashion_mnist", "fashion-mnist" => "fashion_mnist"]
}

const SET: Idx = Idx {
    published: Published {
        title: "Fashion-MNIST",
        folder: "FashionMNIST/raw",
        files: &IDX_FILES,
        gzipped: true,
        counts: (60_000, 10_000),
        origin: Origin::Files(&[
            Remote {
                url: "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion/train-images-idx3-ubyte.gz",
                checksum: Checksum::Md5("8d4fb7e6c68d591d4c3dfef9ec88bf0d"),
                length: 26_421_880,
            },
            Remote {
                url: "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion/train-labels-idx1-ubyte.gz",
                checksum: Checksum::Md5("25c81989df183df01b3e8a0aad5dffbe"),
                length: 29_515,
            },
            Remote {
                url: "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion/t10k-images-idx3-ubyte.gz",
                checksum: Checksum::Md5("bef4ecab320f06d8554ea6380940ec79"),
                length: 4_422_102,
            },
            Remote {
                url: "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion/t10k-labels-idx1-ubyte.gz",
                checksum: Checksum::Md5("bb300cfdad3c16e7a12a480ee83cd310"),
                length: 5_148,
            },
        ]),
        other: None,
    },
    classes: &[
        "T-shirt/top",
        "Trouser",
        "Pullover",
        "Dress",
        "Coat",
        "Sandal",
        "Shirt",
        "Sneaker",
        "Bag",
        "Ankle boot",
    ],
};

impl Dataset for FashionMnist {
    fn shape(&self) -> ImageShape {
        IDX_SHAPE
    }

    fn check(&self) -> Vec<Problem> {
        SET.published.check(&self.path)
    }

    fn published_counts(&self) -> Option<(usize, usize)> {
        Some(SET.published.counts)
    }

    fn reads_files(&self) -> bool {
        true
    }

    fn survey(&self) -> Result<Option<Survey>, DataError> {
        SET.survey((&self.path, self.download))
    }

    fn load(&self, context: &LoadContext) -> Result<ImageSet, DataError> {
        SET.load((&self.path, self.download), context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::components::datasets::shared::testing::absent_idx_is_explained;

    #[test]
    fn absent_files_are_named_with_their_addresses() {
        let set = |path: &std::path::Path, download| FashionMnist { path: path.into(), download };
        absent_idx_is_explained(set, "FashionMNIST/raw", "fashion/t10k-labels-idx1-ubyte.gz");
    }
}
