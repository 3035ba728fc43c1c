//! Data sets in the formats of their publishers, and images that do not fit the memory, from the command line.

use std::{fs, path::Path, time::Duration};

use crate::program::{Folder, Output};

const SHORT: &str = "train={ epochs: 1, batch_size: 6, log_every: 1 }";
const KNN: &str = "probes=[{ kind: knn, k: 2, encoders: [target], controls: [pixels] }]";

#[track_caller]
fn run(folder: &Folder, more: &[&str]) -> Output {
    let output = folder.run(&[&["tiny.yaml", SHORT, KNN][..], more].concat());
    assert_eq!(output.code, 0, "{}", output.stderr);
    output
}

/// The bytes of a file of the only run whose name begins so.
fn table(folder: &Folder, name: &str, file: &str) -> String {
    let runs = fs::read_dir(folder.path().join("results")).unwrap().map(|e| e.unwrap().path());
    let mut runs = runs.filter(|run| run.file_name().is_some_and(|n| n.to_string_lossy().starts_with(name)));
    let run = runs.next().unwrap_or_else(|| panic!("no run {name}"));
    assert!(runs.next().is_none(), "{name} twice");
    fs::read_to_string(run.join(file)).unwrap()
}

/// Seven images in each of two classes, with detail.
fn write_images(root: &Path) {
    for (class, base) in [("train/cat", 20u8), ("train/dog", 150), ("test/cat", 30), ("test/dog", 140)] {
        fs::create_dir_all(root.join(class)).unwrap();
        for i in 0..7u8 {
            let pixel = |x: u32, y: u32| image::Rgb([base + i, i * 9 + (x * 3) as u8, (y * 5) as u8]);
            image::RgbImage::from_fn(20, 18, pixel).save(root.join(class).join(format!("{i}.png"))).unwrap();
        }
    }
}

#[test]
fn images_that_do_not_fit_the_memory_give_the_same_tables() {
    let folder = Folder::new();
    write_images(&folder.path().join("a"));
    let data = "dataset={ kind: image_folder, path: a, image_size: 16, validation: 4 }";
    run(&folder, &[data, "name=memory"]);
    let stored = ["dataset.memory=0", "dataset.cache=decoded"];
    run(&folder, &[&[data, "name=stored"][..], &stored].concat());
    for file in ["metrics.csv", "probes.csv"] {
        let [a, b] = ["memory", "stored"].map(|name| table(&folder, name, file));
        assert_eq!(a, b, "{file}");
        assert!(a.lines().count() > 1, "{a}");
    }
    // Neither identity nor fingerprint says where the images were.
    let again = run(&folder, &[&[data, "name=memory"][..], &stored].concat());
    assert!(again.stderr.contains("already done"), "{}", again.stderr);
}

#[test]
fn images_that_are_gone_in_the_middle_stop_the_run_as_an_interruption_does() {
    let folder = Folder::new();
    write_images(&folder.path().join("a"));
    let data = "dataset={ kind: image_folder, path: a, image_size: 16, memory: 0, cache: decoded }";
    let long = "train={ epochs: 100000, batch_size: 6, log_every: 1, checkpoint_every: 1 }";
    // Files that have just changed are decoded into a file without a name.
    std::thread::sleep(Duration::from_secs(4));
    let child = folder.start(&["tiny.yaml", data, long, "probes=[]"]);
    folder.wait_for_rows(4);
    let decoded: Vec<_> = fs::read_dir(folder.path().join("decoded")).unwrap().collect();
    assert_eq!(decoded.len(), 1, "{decoded:?}");
    let decoded = decoded[0].as_ref().unwrap().path();
    fs::File::options().write(true).open(decoded).unwrap().set_len(0).unwrap();
    let ended = child.end();
    assert_eq!(ended.code, 1, "{}", ended.stderr);
    let says = |what: &str| ended.stderr.contains(what);
    assert!(
        says("can no longer be read: decoded images in decoded") && says("run it again"),
        "{}",
        ended.stderr
    );
    assert!(!says("panicked"), "{}", ended.stderr);
    let state = folder.run(&["ls"]);
    assert!(state.stdout.contains("interrupted"), "{}", state.stdout);
}

#[test]
fn unlabelled_images_are_trained_on_and_probes_take_the_labelled_ones() {
    let folder = Folder::new();
    let root = folder.path().join("s");
    fs::create_dir(&root).unwrap();
    let images = |count: usize, shade: usize| -> Vec<u8> {
        (0..count * 27_648).map(|i| ((i / 27_648) * 7 + i % 7 + shade) as u8).collect()
    };
    for (name, bytes) in [
        ("train_X.bin", images(20, 0)),
        ("train_y.bin", (0..20).map(|i| 1 + i % 10).collect()),
        ("test_X.bin", images(10, 3)),
        ("test_y.bin", (0..10).map(|i| 1 + i).collect()),
        ("unlabeled_X.bin", images(12, 9)),
    ] {
        fs::write(root.join(name), bytes).unwrap();
    }
    let data = ["dataset={ kind: stl10, path: s, unlabeled: true, validation: 10 }", "encoder.patch=24"];
    let output = run(&folder, &data);
    let line =
        "42 images in 10 classes (32 train, 12 of them without labels, 10 test); 10 held out for validation";
    assert!(output.stderr.contains(line), "{}", output.stderr);
    assert_eq!(table(&folder, "tiny", "metrics.csv").lines().count(), 1 + 22 / 6, "22 images, 6 a step");
    assert!(table(&folder, "tiny", "probes.csv").contains("test"));
    // Neighbours are among the labelled ones that are left.
    let refused = folder.run(&[&["tiny.yaml", SHORT, KNN][..], &data, &["probes.0.k=11"]].concat());
    assert!(refused.code == 2 && refused.stderr.contains("k is 11 but train has 10"), "{}", refused.stderr);
    let refused = folder.run(&[&["tiny.yaml", SHORT, KNN][..], &data, &["dataset.validation=20"]].concat());
    assert!(refused.stderr.contains("there are 20 training images with labels"), "{}", refused.stderr);
}

#[test]
fn grey_images_of_idx_files_train() {
    let folder = Folder::new();
    let root = folder.path().join("m");
    fs::create_dir(&root).unwrap();
    for (name, count) in [("train", 20u8), ("t10k", 10)] {
        let head = |ndim: u8| [vec![0, 0, 8, ndim], vec![0, 0, 0, count]].concat();
        let pixels: Vec<u8> = (0..usize::from(count) * 784).map(|i| (i / 784 * 9 + i % 5) as u8).collect();
        let images = [head(3), vec![0, 0, 0, 28, 0, 0, 0, 28], pixels].concat();
        fs::write(root.join(format!("{name}-images-idx3-ubyte")), images).unwrap();
        let labels = [head(1), (0..count).map(|i| i % 10).collect()].concat();
        fs::write(root.join(format!("{name}-labels-idx1-ubyte")), labels).unwrap();
    }
    let data = "dataset={ kind: mnist, path: m }";
    let refused = folder.run(&["tiny.yaml", SHORT, KNN, data]);
    assert!(refused.stderr.contains("the images have 1 channels"), "{}", refused.stderr);
    let output = run(&folder, &[data, "augmentation=[{ kind: normalize, mean: [0.1307], std: [0.3081] }]"]);
    assert!(output.stderr.contains("30 images in 10 classes (20 train, 10 test)"), "{}", output.stderr);
}

#[test]
fn show_data_shows_counts_in_the_terminal_and_images_on_a_page() {
    let folder = Folder::new();
    write_images(&folder.path().join("a"));
    let data = "dataset={ kind: image_folder, path: a, image_size: 16, validation: 4 }";
    let shown = folder.run(&["show-data", "tiny.yaml", data, SHORT]);
    assert_eq!(shown.code, 0, "{}", shown.stderr);
    for expected in [
        "28 images in 2 classes (14 train, 14 test); 4 held out for validation",
        "16 x 16 pixels, 3 channels",
        "4 x 4 of 4 x 4 pixels: 16 tokens",
        "{ kind: normalize, mean: [",
        "class     train   validation  test",
        "cat       5       2           7",
    ] {
        assert!(shown.stdout.contains(expected), "{expected} in {}", shown.stdout);
    }
    let written = folder.run(&[
        "show-data",
        "tiny.yaml",
        data,
        SHORT,
        "--output",
        "page/data.html",
        "--images",
        "2",
        "--draws",
        "3",
    ]);
    assert_eq!((written.code, written.stdout.as_str()), (0, "page/data.html\n"), "{}", written.stderr);
    let page = fs::read_to_string(folder.path().join("page/data.html")).unwrap();
    assert_eq!(page.matches("data:image/png").count(), 2 * (1 + 3));
    let absent =
        folder.run(&["show-data", "tiny.yaml", "dataset={ kind: cifar100, path: nowhere, download: true }"]);
    assert!(absent.code == 2 && absent.stderr.contains("cifar-100-binary.tar.gz"), "{}", absent.stderr);
    assert!(!folder.path().join("nowhere").exists(), "nothing is downloaded to look at it");
}
