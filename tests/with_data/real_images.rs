//! `image_folder` and `cifar10` on real images, unpacked from a data package into a temporary folder.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    sync::OnceLock,
};

use ijepa_run::registry::{catalogue, prelude::*};
use serde_json::{Value, json};

/// The checks by name; each takes the folder that holds `data`, the package.
pub const ALL: &[super::checks::Check] = &[
    (
        "the_whole_package_has_the_documented_counts_and_statistics",
        the_whole_package_has_the_documented_counts_and_statistics,
    ),
    ("the_subset_by_list_survives_the_binary_layout", the_subset_by_list_survives_the_binary_layout),
    ("a_listed_file_that_does_not_exist_is_named", a_listed_file_that_does_not_exist_is_named),
];

fn load(kind: &str, settings: Value) -> Result<ImageSet, DataError> {
    let entry = catalogue::find::<dyn Dataset>(kind).expect("registered");
    let (_, dataset) = (entry.build)(&settings).expect("settings decode");
    assert_eq!(dataset.check(), []);
    let set = dataset.load(&LoadContext::silent())?;
    assert_eq!(set.shape, dataset.shape());
    Ok(set)
}

/// The package, and the folder it was unpacked to.
type Unpacked = (PathBuf, tempfile::TempDir);

/// Unpacks the package, once for all tests.
fn unpacked(shared: &Path) -> &'static Unpacked {
    static UNPACKED: OnceLock<Unpacked> = OnceLock::new();
    UNPACKED.get_or_init(|| {
        let package = shared.join("data");
        let script = package.join("unpack_cifar10.sh");
        let folder = tempfile::tempdir().expect("a temporary folder");
        let status = Command::new("sh").arg(&script).arg(folder.path()).status().expect("sh runs");
        assert!(status.success(), "{} failed", script.display());
        (package, folder)
    })
}

fn subset_settings((package, folder): &Unpacked) -> Value {
    json!({
        "path": folder.path().join("cifar10"),
        "train_list": package.join("subset_train_5000.txt"),
        "test_list": package.join("subset_test_1000.txt"),
    })
}

/// Mean and standard deviation of each channel, of values 0 to 1.
fn channel_statistics(set: &ImageSet, split: &Split) -> [[f64; 2]; 3] {
    let plane = set.shape.height * set.shape.width;
    let mut histogram = [[0u64; 256]; 3];
    for (i, values) in split.pixels.in_memory().expect("in memory").chunks_exact(plane).enumerate() {
        values.iter().for_each(|&v| histogram[i % 3][usize::from(v)] += 1);
    }
    histogram.map(|counts| {
        let total = counts.iter().sum::<u64>() as f64;
        let moment = |f: &dyn Fn(f64) -> f64| {
            counts.iter().enumerate().map(|(v, &n)| f(v as f64 / 255.0) * n as f64).sum::<f64>() / total
        };
        let mean = moment(&|v| v);
        [mean, moment(&|v| (v - mean).powi(2)).sqrt()]
    })
}

fn assert_balanced(split: &Split, per_class: usize) {
    let labels = &split.labels[0];
    assert_eq!(labels.values.len(), 10);
    for class in 0..10 {
        assert_eq!(labels.labels.iter().filter(|&&l| l == class).count(), per_class, "class {class}");
    }
}

pub fn the_whole_package_has_the_documented_counts_and_statistics(shared: &Path) {
    let package = unpacked(shared);
    let set = load("image_folder", json!({"path": package.1.path().join("cifar10")})).unwrap();
    assert_eq!((set.count(&set.train), set.count(&set.test)), (50_000, 10_000));
    assert_balanced(&set.train, 5000);
    assert_balanced(&set.test, 1000);
    // Documented with another JPEG decoder, whose values are on average a quarter of a level lower
    // in red; half a level of 255 is allowed.
    let documented = [[0.49125, 0.24523], [0.48209, 0.24278], [0.44652, 0.26063]];
    for (found, expected) in channel_statistics(&set, &set.train).iter().zip(documented) {
        assert!(
            (found[0] - expected[0]).abs() < 0.5 / 255.0 && (found[1] - expected[1]).abs() < 0.5 / 255.0,
            "{found:?} {expected:?}"
        );
    }
}

pub fn the_subset_by_list_survives_the_binary_layout(shared: &Path) {
    let package = unpacked(shared);
    let set = load("image_folder", subset_settings(package)).unwrap();
    assert_eq!((set.count(&set.train), set.count(&set.test)), (5000, 1000));
    assert_balanced(&set.train, 500);
    assert_balanced(&set.test, 100);
    let first = fs::read_to_string(package.0.join("subset_train_5000.txt")).unwrap();
    let class = first.split('/').nth(1).unwrap();
    assert_eq!(set.train.labels[0].values[set.train.labels[0].labels[0] as usize], class);

    let folder = tempfile::tempdir().unwrap();
    write_binary(&set, folder.path());
    let settings = json!({"path": folder.path()});
    assert_eq!(load("cifar10", settings.clone()).unwrap(), set, "pixels, labels and class names");

    let batch = folder.path().join("cifar-10-batches-bin/data_batch_3.bin");
    let bytes = fs::read(&batch).unwrap();
    fs::write(&batch, &bytes[..bytes.len() - 100]).unwrap();
    let text = load("cifar10", settings.clone()).unwrap_err().0;
    assert!(text.contains("data_batch_3.bin") && text.contains("999 records and 2973 bytes more"), "{text}");
    fs::remove_file(&batch).unwrap();
    let text = load("cifar10", settings).unwrap_err().0;
    assert!(text.contains("lacks data_batch_3.bin") && text.contains("download: true"), "{text}");
}

pub fn a_listed_file_that_does_not_exist_is_named(shared: &Path) {
    let package = unpacked(shared);
    let folder = tempfile::tempdir().unwrap();
    let list = folder.path().join("list.txt");
    fs::write(&list, "train/cat/0001.jpg\ntrain/cat/9999.jpg\n").unwrap();
    let mut settings = subset_settings(package);
    settings["train_list"] = json!(list);
    let text = load("image_folder", settings).unwrap_err().0;
    assert!(text.contains("list.txt") && text.contains("line 2: `train/cat/9999.jpg`"), "{text}");
}

/// Writes five training files of equal length and the test file in the official layout.
fn write_binary(set: &ImageSet, folder: &Path) {
    let folder = folder.join("cifar-10-batches-bin");
    fs::create_dir(&folder).unwrap();
    let records = |split: &Split, range: std::ops::Range<usize>| -> Vec<u8> {
        let record = |i: usize| [&[split.labels[0].labels[i] as u8], &set.bytes(split, i)[..]].concat();
        range.flat_map(record).collect()
    };
    let each = set.count(&set.train) / 5;
    for i in 0..5 {
        let name = format!("data_batch_{}.bin", i + 1);
        fs::write(folder.join(name), records(&set.train, i * each..(i + 1) * each)).unwrap();
    }
    fs::write(folder.join("test_batch.bin"), records(&set.test, 0..set.count(&set.test))).unwrap();
}
