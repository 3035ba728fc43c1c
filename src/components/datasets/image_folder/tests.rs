//! Folders of small images, as they are surveyed and loaded.

use std::fs;

use image::RgbImage;

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
    let channel = |i: usize, c: usize| set.bytes(&set.train, i)[c * 64..(c + 1) * 64].to_vec();
    assert!(channel(0, 1).iter().all(|&v| v == 100) && channel(0, 0).iter().all(|&v| v == 0));
    assert!(channel(1, 0).iter().all(|&v| v.abs_diff(200) < 6), "JPEG first: a before b");
    assert_eq!(channel(2, 2), [200; 64]);
    assert_eq!(set.train.pixels.in_memory(), set.test.pixels.in_memory());
    assert_eq!(set.train.labels, set.test.labels);
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
    (0..7).for_each(|i| fs::write(folder.path().join(format!("train/cat/x{i}.jpg")), "no image").unwrap());
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
    let text = error(ImageFolder { train: "trian".into(), ..settings(&folder) });
    assert!(text.contains("there is: test, train, validation"), "{text}");
    fs::remove_dir_all(folder.path().join("test")).unwrap();
    let text = error(settings(&folder));
    assert!(text.ends_with("but one called `validation`: write `dataset.test=validation`"), "{text}");
}

fn counted(settings: &ImageFolder) -> String {
    let survey = settings.survey().unwrap().unwrap();
    let set = settings.load(&LoadContext::silent()).unwrap();
    assert_eq!((set.count(&set.train), set.count(&set.test)), (survey.train, survey.test));
    let values = set.train.labels.iter().map(|l| l.values.len());
    assert!(values.eq(survey.labels.iter().map(|f| f.values)));
    survey.sentence()
}

#[test]
fn a_survey_counts_what_is_loaded_and_what_is_left_out() {
    let folder = folder();
    let text = counted(&settings(&folder));
    assert_eq!(text, "6 images in 2 classes (3 train, 3 test); left out: 2 .txt");
    let class = &settings(&folder).survey().unwrap().unwrap().labels[0];
    assert_eq!(class.train.as_deref(), Some(&[1, 2][..]));
    fs::remove_dir_all(folder.path().join("test")).unwrap();
    let text = counted(&settings(&folder));
    assert_eq!(text, "3 images in 2 classes (3 train, no test images); left out: 1 .txt");
}

#[test]
fn images_without_labels_need_no_test_set() {
    let folder = tempfile::tempdir().unwrap();
    (0..3).for_each(|i| save(folder.path(), &format!("train/{i}.webp"), 8, 8, [i; 3]));
    assert_eq!(counted(&settings(&folder)), "3 images without labels (3 train, no test images)");
    let here = || ImageFolder { path: folder.path().join("train"), train: ".".into(), ..settings(&folder) };
    assert_eq!(counted(&here()), "3 images without labels (3 train, no test images)");
    save(folder.path(), "test/dog/a.png", 8, 8, [9; 3]);
    let text = error(settings(&folder));
    assert!(text.contains("test images have labels") && text.contains("dataset.train_labels=FILE"), "{text}");
}

#[test]
fn a_flat_test_folder_takes_its_labels_from_a_table() {
    let folder = folder();
    let root = folder.path();
    for (name, colour) in [("v1.png", [1; 3]), ("v2.png", [2; 3]), ("v3.png", [3; 3])] {
        save(root, &format!("val/images/{name}"), 8, 8, colour);
    }
    fs::write(
        root.join("val/val_annotations.txt"),
        "v1.png\tdog\t0\t0\nv2.png\tcat\t0\t0\nv3.png\tdog\t0\t0\n",
    )
    .unwrap();
    let val = || ImageFolder { test: "val".into(), ..settings(&folder) };
    assert_eq!(counted(&val()), "6 images in 2 classes (3 train, 3 test); left out: 1 .txt");
    let set = val().load(&LoadContext::silent()).unwrap();
    assert_eq!(set.test.labels[0].labels, [0, 1, 1]);
    let first: Vec<u8> = (0..3).map(|i| set.bytes(&set.test, i)[0]).collect();
    assert_eq!(first, [2, 1, 3]);
    let table = root.join("map.txt");
    fs::write(&table, "v1.png 0\nv2.png 1\nv3.png 0\n").unwrap();
    let mapped = ImageFolder { test_labels: Some(table.clone()), ..val() };
    assert_eq!(mapped.load(&LoadContext::silent()).unwrap().test.labels[0].labels, [0, 0, 1]);
    assert!(mapped.survey().unwrap().unwrap().files.contains(&table));
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
