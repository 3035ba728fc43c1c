//! MNIST.

use std::path::PathBuf;

use ijepa_registry::prelude::*;

use super::shared::{Checksum, IDX_FILES, IDX_SHAPE, Idx, Origin, Published, Remote};

/// Settings of `dataset: { kind: mnist }`.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct Mnist {
    /// Folder that holds `train-images-idx3-ubyte`, `train-labels-idx1-ubyte`, `t10k-images-idx3-ubyte` and
    /// `t10k-labels-idx1-ubyte`, each also as `.gz`, or the parent of `MNIST/raw` with them, as torchvision leaves it;
    /// relative to where the program runs.
    #[schemars(extend("x-cosmetic" = true, "x-path" = true, "x-aliases" = ["root", "data_dir", "folder"]))]
    path: PathBuf,
    /// Whether to download the data (12 MB) into `path` if it is not there.
    #[schemars(extend("x-cosmetic" = true))]
    download: bool,
}

impl Default for Mnist {
    fn default() -> Self {
        Mnist { path: "data".into(), download: false }
    }
}

component! {
    /// MNIST: 60,000 training and 10,000 test images of handwritten digits, 28 x 28 grey pixels.
    ///
    /// Reads the IDX files, gzipped or not. Images have one channel: write `normalize` with one mean and one
    /// standard deviation, such as `{ kind: normalize, mean: [0.1307], std: [0.3081] }`. A download comes from the
    /// mirror that torchvision uses, with the checksums in its source (`torchvision/datasets/mnist.py`); the
    /// original page is no longer served.
    dataset "mnist" => Mnist, example = "{ path: data/MNIST/raw }"
}

const SET: Idx = Idx {
    published: Published {
        title: "MNIST",
        folder: "MNIST/raw",
        files: &IDX_FILES,
        gzipped: true,
        counts: (60_000, 10_000),
        origin: Origin::Files(&[
            Remote {
                url: "https://ossci-datasets.s3.amazonaws.com/mnist/train-images-idx3-ubyte.gz",
                checksum: Checksum::Md5("f68b3c2dcbeaaa9fbdd348bbdeb94873"),
                length: 9_912_422,
            },
            Remote {
                url: "https://ossci-datasets.s3.amazonaws.com/mnist/train-labels-idx1-ubyte.gz",
                checksum: Checksum::Md5("d53e105ee54ea40749a09fcbcd1e9432"),
                length: 28_881,
            },
            Remote {
                url: "https://ossci-datasets.s3.amazonaws.com/mnist/t10k-images-idx3-ubyte.gz",
                checksum: Checksum::Md5("9fb629c4189551a2d022fa330f9573f3"),
                length: 1_648_877,
            },
            Remote {
                url: "https://ossci-datasets.s3.amazonaws.com/mnist/t10k-labels-idx1-ubyte.gz",
                checksum: Checksum::Md5("ec29112dd5afa0611ce80d1b7f02629c"),
                length: 4_542,
            },
        ]),
        other: None,
    },
    classes: &["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"],
};

impl Dataset for Mnist {
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
        let set = |path: &std::path::Path, download| Mnist { path: path.into(), download };
        absent_idx_is_explained(set, "MNIST/raw", "mnist/t10k-labels-idx1-ubyte.gz");
    }
}
