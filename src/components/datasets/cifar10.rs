//! CIFAR-10, binary version.

use std::path::{Path, PathBuf};

use ijepa_registry::prelude::*;

use super::shared::{Checksum, LabelByte, Origin, Published, Records, Remote};

/// Settings of `dataset: { kind: cifar10 }`.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct Cifar10 {
    /// Folder that holds `data_batch_1.bin` to `data_batch_5.bin` and `test_batch.bin`, or its
    /// parent holding `cifar-10-batches-bin`; relative to where the program runs.
    #[schemars(extend("x-cosmetic" = true, "x-path" = true, "x-aliases" = ["root", "data_dir", "folder"]))]
    path: PathBuf,
    /// Whether to download the data (170 MB) into `path` if it is not there.
    #[schemars(extend("x-cosmetic" = true))]
    download: bool,
}

impl Default for Cifar10 {
    fn default() -> Self {
        Cifar10 { path: "data".into(), download: false }
    }
}

component! {
    /// CIFAR-10: 50,000 training and 10,000 test images of 32 x 32 pixels in 10 classes.
    ///
    /// Reads the binary version. Files with fewer records than the official 10,000 are
    /// accepted, so that a subset in the same layout works. An interrupted download is resumed;
    /// its checksum is verified before anything is unpacked.
    dataset "cifar10" => Cifar10, example = "{ path: data/cifar-10-batches-bin }",
    aliases = ["cifar" => "cifar10", "cifar-10" => "cifar10", "cifar_10" => "cifar10"]
}

/// The five training files, then the test file.
const FILES: [&str; 6] = [
    "data_batch_1.bin",
    "data_batch_2.bin",
    "data_batch_3.bin",
    "data_batch_4.bin",
    "data_batch_5.bin",
    "test_batch.bin",
];

const PUBLISHED: Published = Published {
    title: "CIFAR-10",
    folder: "cifar-10-batches-bin",
    files: &FILES,
    gzipped: false,
    counts: (50_000, 10_000),
    origin: Origin::Archive(Remote {
        url: "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz",
        checksum: Checksum::Sha256("c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd"),
        length: 170_498_071,
    }),
    other: Some(("cifar-10-batches-py", "holds the Python version; the binary version is needed")),
};

/// One label byte, then 1024 red, 1024 green and 1024 blue values.
const RECORDS: Records = Records {
    shape: ImageShape { channels: 3, height: 32, width: 32 },
    labels: &[LabelByte {
        name: "class",
        what: "label",
        values: &["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"],
        at: 0,
    }],
    remedies: [
        "the file is cut off or not the binary version: replace it with the one in \
         https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz",
        "the file is damaged or not CIFAR-10: replace it with the one in \
         https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz",
    ],
};

impl Dataset for Cifar10 {
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
        PUBLISHED.survey((&self.path, self.download), RECORDS.factors(), counts)
    }

    fn load(&self, context: &LoadContext) -> Result<ImageSet, DataError> {
        let folder = PUBLISHED.obtain((&self.path, self.download), context)?;
        let (train, test) = FILES.split_at(5);
        let split = |files| RECORDS.split(&folder, files, context);
        Ok(ImageSet::new(RECORDS.shape, split(train)?, split(test)?))
    }
}

/// Training and test images, from the sizes of the files.
fn counts(folder: &Path) -> Result<(usize, usize), DataError> {
    let counts = FILES.iter().map(|name| RECORDS.count(&folder.join(name)));
    let counts = counts.collect::<Result<Vec<_>, _>>()?;
    Ok((counts[..5].iter().sum(), counts[5]))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::super::shared::testing::{archive, response, serve, sha256};
    use super::*;

    const FOLDER: &str = PUBLISHED.folder;
    const RECORD: usize = 3073;
    const URL: &str = "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz";

    /// Records with labels 0, 1, ..., whose every byte is the label plus `shade`.
    fn records(count: u8, shade: u8) -> Vec<u8> {
        (0..count).flat_map(|l| std::iter::once(l).chain([l + shade; RECORD - 1])).collect()
    }

    fn write_all(folder: &Path) {
        fs::create_dir_all(folder).unwrap();
        FILES.iter().zip(0..).for_each(|(name, i)| fs::write(folder.join(name), records(3, i * 10)).unwrap());
    }

    fn settings(path: &Path, download: bool) -> Cifar10 {
        Cifar10 { path: path.into(), download }
    }

    fn error(path: &Path) -> String {
        settings(path, false).load(&LoadContext::silent()).unwrap_err().0
    }

    #[test]
    fn reads_the_folder_or_its_parent() {
        let folder = tempfile::tempdir().unwrap();
        write_all(&folder.path().join(FOLDER));
        let set = settings(folder.path(), false).load(&LoadContext::silent()).unwrap();
        assert_eq!(set, settings(&folder.path().join(FOLDER), false).load(&LoadContext::silent()).unwrap());
        assert_eq!((set.count(&set.train), set.count(&set.test)), (15, 3));
        let survey = settings(folder.path(), false).survey().unwrap().unwrap();
        assert_eq!(survey.sentence(), "18 images in 10 classes (15 train, 3 test)");
        assert_eq!(survey.files.len(), 6);
        assert_eq!(set.train.labels[0].labels[..4], [0, 1, 2, 0]);
        assert_eq!(set.train.labels[0].values[9], "truck");
        assert!(set.bytes(&set.train, 5).iter().all(|&v| v == 12), "third record of the second file");
        assert!(set.bytes(&set.test, 0).iter().all(|&v| v == 50));
    }

    #[test]
    fn says_what_is_missing_and_what_to_do() {
        let folder = tempfile::tempdir().unwrap();
        let text = error(&folder.path().join("nowhere"));
        assert!(
            text.contains("there is no folder") && text.contains(URL) && text.contains("download: true"),
            "{text}"
        );
        assert!(error(folder.path()).contains("holds neither"));
        fs::create_dir(folder.path().join("cifar-10-batches-py")).unwrap();
        assert!(error(folder.path()).contains("Python version"));
        write_all(folder.path());
        fs::remove_file(folder.path().join("data_batch_4.bin")).unwrap();
        assert!(error(folder.path()).contains("lacks data_batch_4.bin."));
    }

    #[test]
    fn damaged_files_are_named() {
        let folder = tempfile::tempdir().unwrap();
        write_all(folder.path());
        let damage = |bytes: &[u8]| {
            fs::write(folder.path().join("data_batch_2.bin"), bytes).unwrap();
            error(folder.path())
        };
        let text = damage(&records(3, 0)[..RECORD + 7]);
        assert!(
            text.contains("data_batch_2.bin") && text.contains("found 1 records and 7 bytes more"),
            "{text}"
        );
        assert!(damage(&[]).contains("found 0 records"));
        let text = damage(&[records(2, 0), vec![200; RECORD]].concat());
        assert!(text.contains("record 2 has label 200, expected 0 to 9"), "{text}");
    }

    #[test]
    fn downloads_unpacks_and_removes_the_archive() {
        let (source, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        write_all(source.path());
        let files: Vec<_> = FILES
            .iter()
            .map(|n| (format!("{FOLDER}/{n}"), fs::read(source.path().join(n)).unwrap()))
            .collect();
        let named: Vec<_> = files.iter().map(|(n, b)| (n.as_str(), b.as_slice())).collect();
        let body = archive(&named);
        let (url, server) = serve(vec![response("200 OK", "", body.len(), &body)]);
        let data = settings(&to.path().join("new"), true);
        let sha256 = sha256(&body);
        let remote = Remote { url: &url, checksum: Checksum::Sha256(&sha256), length: body.len() as u64 };
        let published = Published { origin: Origin::Archive(remote), ..PUBLISHED };
        let folder = published.obtain((&data.path, true), &LoadContext::silent()).unwrap();
        server.join().unwrap();
        assert_eq!(folder, data.path.join(FOLDER));
        assert!(!data.path.join("file").exists());
        assert_eq!(data.load(&LoadContext::silent()).unwrap().train.labels[0].labels.len(), 15);
    }

    #[test]
    fn a_failed_download_says_how_to_do_it_by_hand() {
        let to = tempfile::tempdir().unwrap();
        let (url, server) = serve(vec![response("404 Not Found", "", 0, b"")]);
        let remote = Remote { url: &url, checksum: Checksum::Md5(""), length: 1 };
        let published = Published { origin: Origin::Archive(remote), ..PUBLISHED };
        let text = published.obtain((to.path(), true), &LoadContext::silent()).unwrap_err().0;
        server.join().unwrap();
        assert!(text.contains("404") && text.contains("unpack it so that there is"), "{text}");
    }

    #[test]
    fn an_empty_path_is_refused() {
        assert_eq!(settings(Path::new(""), false).check()[0].path, "path");
        assert!(Cifar10::default().check().is_empty());
    }
}
