//! CIFAR-10, binary version.

mod download;

use std::{
    fs,
    path::{Path, PathBuf},
};

use ijepa_registry::prelude::*;

use download::{Download, exclusive, unpack_files};

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

const SHAPE: ImageShape = ImageShape { channels: 3, height: 32, width: 32 };
const CLASSES: [&str; 10] =
    ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"];
/// One label byte, then 1024 red, 1024 green and 1024 blue values.
const RECORD: usize = 1 + 3 * 32 * 32;
/// The five training files, then the test file.
const FILES: [&str; 6] = [
    "data_batch_1.bin",
    "data_batch_2.bin",
    "data_batch_3.bin",
    "data_batch_4.bin",
    "data_batch_5.bin",
    "test_batch.bin",
];
/// Training and test images of the whole.
const OFFICIAL: (usize, usize) = (50_000, 10_000);
const FOLDER: &str = "cifar-10-batches-bin";
const ARCHIVE: &str = "cifar-10-binary.tar.gz";
const URL: &str = "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz";
/// Bytes of the archive.
const LENGTH: u64 = 170_498_071;
const SHA256: &str = "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd";

/// Where the archive is, and what it must be.
struct Source<'a> {
    url: &'a str,
    sha256: &'a str,
    length: u64,
}

const SOURCE: Source = Source { url: URL, sha256: SHA256, length: LENGTH };

impl Dataset for Cifar10 {
    fn shape(&self) -> ImageShape {
        SHAPE
    }

    fn check(&self) -> Vec<Problem> {
        if self.path.as_os_str().is_empty() {
            return vec![Problem::new("path", "is empty; must be a folder").help("write `path: data`")];
        }
        vec![]
    }

    fn published_counts(&self) -> Option<(usize, usize)> {
        Some(OFFICIAL)
    }

    fn reads_files(&self) -> bool {
        true
    }

    fn survey(&self) -> Result<Option<Survey>, DataError> {
        let labels = vec![Factor { name: "class".into(), values: CLASSES.len(), train: None }];
        let Some(folder) = self.find() else {
            // What the download will bring.
            let official = Survey { train: OFFICIAL.0, test: OFFICIAL.1, labels, ..Survey::default() };
            let absent = || DataError(format!("{}. {}", self.what_is_missing(), self.instructions()));
            return if self.download { Ok(Some(official)) } else { Err(absent()) };
        };
        let files: Vec<PathBuf> = FILES.iter().map(|name| folder.join(name)).collect();
        let counts = files.iter().map(|file| records_in(file)).collect::<Result<Vec<_>, _>>()?;
        let (train, test) = (counts[..5].iter().sum(), counts[5]);
        Ok(Some(Survey { train, test, labels, files, left_out: vec![] }))
    }

    fn load(&self, context: &LoadContext) -> Result<ImageSet, DataError> {
        let folder = self.obtain(&SOURCE, context)?;
        let (train, test) = FILES.split_at(5);
        Ok(ImageSet::new(SHAPE, read_split(&folder, train, context)?, read_split(&folder, test, context)?))
    }
}

impl Cifar10 {
    /// The folder with all files, downloaded if allowed and needed.
    fn obtain(&self, source: &Source, context: &LoadContext) -> Result<PathBuf, DataError> {
        if let Some(folder) = self.find() {
            return Ok(folder);
        }
        if !self.download {
            return Err(DataError(format!("{}. {}", self.what_is_missing(), self.instructions())));
        }
        // Another run may download the same data: wait for it, then look again.
        let _lock = exclusive(&self.path.join(".cifar-10.lock"))?;
        if let Some(folder) = self.find() {
            return Ok(folder);
        }
        let (archive, folder) = (self.path.join(ARCHIVE), self.path.join(FOLDER));
        let Source { url, sha256, length } = *source;
        let download = Download { url, sha256, length, to: &archive };
        download.run(context.progress).map_err(|e| DataError(format!("{e}. {}", self.instructions())))?;
        (context.progress)("unpacking CIFAR-10", 0, 0);
        unpack_files(&archive, &FILES, &folder)?;
        // What is needed has been unpacked; a leftover archive only takes space.
        let _ = fs::remove_file(&archive);
        Ok(folder)
    }

    fn candidates(&self) -> [PathBuf; 2] {
        [self.path.clone(), self.path.join(FOLDER)]
    }

    fn find(&self) -> Option<PathBuf> {
        self.candidates().into_iter().find(|folder| missing(folder).is_empty())
    }

    fn what_is_missing(&self) -> String {
        let path = self.path.display();
        if !self.path.is_dir() {
            return format!("CIFAR-10: there is no folder `{path}`");
        }
        let partial = self.candidates().into_iter().find(|folder| missing(folder).len() < FILES.len());
        match partial {
            Some(folder) => format!("CIFAR-10: `{}` lacks {}", folder.display(), missing(&folder).join(", ")),
            None if self.path.join("cifar-10-batches-py").exists() => {
                format!("CIFAR-10: `{path}` holds the Python version; the binary version is needed")
            }
            None => format!(
                "CIFAR-10: `{path}` holds neither data_batch_1.bin to data_batch_5.bin and test_batch.bin nor a folder {FOLDER} with them"
            ),
        }
    }

    fn instructions(&self) -> String {
        // `path` may name the folder that the archive brings, or the one that it is unpacked in.
        let brings = self.path.file_name().is_some_and(|name| name == FOLDER);
        let folder = if brings { self.path.clone() } else { self.path.join(FOLDER) };
        let folder = folder.display();
        format!(
            "Download {URL} and unpack it so that there is `{folder}`, or set `download: true` where there is a network"
        )
    }
}

fn missing(folder: &Path) -> Vec<&'static str> {
    FILES.into_iter().filter(|name| !folder.join(name).is_file()).collect()
}

fn read_split(folder: &Path, names: &[&str], context: &LoadContext) -> Result<Split, DataError> {
    let (mut pixels, mut labels) = (vec![], vec![]);
    for (i, name) in names.iter().enumerate() {
        (context.progress)(&format!("reading {name}"), i as u64, names.len() as u64);
        read_file(&folder.join(name), &mut pixels, &mut labels)?;
    }
    let values = CLASSES.map(String::from).to_vec();
    Ok(Split { pixels, labels: vec![Labels { name: "class".into(), values, labels }] })
}

/// Records of a file, from its size.
fn records_in(path: &Path) -> Result<usize, DataError> {
    let length = fs::metadata(path).map(|m| m.len() as usize);
    whole_records(path, length.map_err(|e| wrong(path, format!("cannot be read: {e}")))?)
}

fn wrong(path: &Path, what: String) -> DataError {
    DataError(format!("`{}`: {what}", path.display()))
}

fn whole_records(path: &Path, length: usize) -> Result<usize, DataError> {
    let (records, rest) = (length / RECORD, length % RECORD);
    if records > 0 && rest == 0 {
        return Ok(records);
    }
    Err(wrong(
        path,
        format!(
            "expected a whole number of {RECORD}-byte records and at least one, found {records} records and {rest} \
             bytes more; the file is cut off or not the binary version: replace it with the one in {URL}"
        ),
    ))
}

fn read_file(path: &Path, pixels: &mut Vec<u8>, labels: &mut Vec<u32>) -> Result<(), DataError> {
    let bytes = fs::read(path).map_err(|e| wrong(path, format!("cannot be read: {e}")))?;
    let records = whole_records(path, bytes.len())?;
    pixels.reserve(records * SHAPE.len());
    for (i, record) in bytes.chunks_exact(RECORD).enumerate() {
        let label = record[0];
        if usize::from(label) >= CLASSES.len() {
            return Err(wrong(
                path,
                format!(
                    "record {i} has label {label}, expected 0 to 9; the file is damaged or not CIFAR-10: replace it \
                     with the one in {URL}"
                ),
            ));
        }
        labels.push(u32::from(label));
        pixels.extend_from_slice(&record[1..]);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::download::tests::{archive, response, serve, sha256};
    use super::*;

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
        let source = Source { url: &url, sha256: &sha256, length: body.len() as u64 };
        let folder = data.obtain(&source, &LoadContext::silent()).unwrap();
        server.join().unwrap();
        assert_eq!(folder, data.path.join(FOLDER));
        assert!(!data.path.join(ARCHIVE).exists());
        assert_eq!(data.load(&LoadContext::silent()).unwrap().train.labels[0].labels.len(), 15);
    }

    #[test]
    fn a_failed_download_says_how_to_do_it_by_hand() {
        let to = tempfile::tempdir().unwrap();
        let (url, server) = serve(vec![response("404 Not Found", "", 0, b"")]);
        let source = Source { url: &url, ..SOURCE };
        let text = settings(to.path(), true).obtain(&source, &LoadContext::silent()).unwrap_err().0;
        server.join().unwrap();
        assert!(text.contains("404") && text.contains("unpack it so that there is"), "{text}");
    }

    #[test]
    fn an_empty_path_is_refused() {
        assert_eq!(settings(Path::new(""), false).check()[0].path, "path");
        assert!(Cifar10::default().check().is_empty());
    }
}
