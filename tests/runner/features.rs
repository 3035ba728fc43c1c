//! Features as files: read back as others read them, and the same that the probes saw.

use std::{
    fs,
    io::Read,
    path::{Path, PathBuf},
};

use crate::program::{Folder, Output};

/// A finished run, and files of its features.
struct Features(Folder);

impl Features {
    fn new() -> Self {
        Features::of(&[])
    }

    fn of(settings: &[&str]) -> Self {
        let folder = Folder::new();
        let run = folder.run(&[&["tiny.yaml", "-q"], settings].concat());
        assert_eq!(run.code, 0, "{}", run.stderr);
        Features(folder)
    }

    fn call(&self, arguments: &[&str]) -> Output {
        let run = self.0.run_folder();
        self.0.run(&[&["features", run.to_str().unwrap()], arguments].concat())
    }

    fn write(&self, file: &str, arguments: &[&str]) -> PathBuf {
        let written = self.call(&[arguments, &["--output", file]].concat());
        assert_eq!(written.code, 0, "{}", written.stderr);
        self.0.path().join(file)
    }
}

/// Header and values of a `.npy`.
fn npy(bytes: &[u8]) -> (String, &[u8]) {
    assert_eq!(&bytes[..8], b"\x93NUMPY\x01\x00");
    let length = 10 + usize::from(u16::from_le_bytes([bytes[8], bytes[9]]));
    assert!(length.is_multiple_of(64) && bytes[length - 1] == b'\n');
    (String::from_utf8(bytes[10..length].into()).unwrap().trim_end().into(), &bytes[length..])
}

fn f32s(bytes: &[u8]) -> Vec<f32> {
    bytes.as_chunks::<4>().0.iter().map(|b| f32::from_le_bytes(*b)).collect()
}

fn i64s(bytes: &[u8]) -> Vec<i64> {
    bytes.as_chunks::<8>().0.iter().map(|b| i64::from_le_bytes(*b)).collect()
}

/// Texts of a `<U` array.
fn texts(array: &[u8]) -> Vec<String> {
    let (header, values) = npy(array);
    let width: usize = header.split("<U").nth(1).unwrap().split('\'').next().unwrap().parse().unwrap();
    let text =
        |chars: &[u8]| chars.as_chunks::<4>().0.iter().map(|b| u32::from_le_bytes(*b)).collect::<Vec<_>>();
    let text =
        |c: &[u8]| text(c).into_iter().filter(|c| *c > 0).map(|c| char::from_u32(c).unwrap()).collect();
    values.chunks_exact(4 * width).map(text).collect()
}

fn member(file: &Path, name: &str) -> Vec<u8> {
    let mut archive = zip::ZipArchive::new(fs::File::open(file).unwrap()).unwrap();
    let mut bytes = Vec::new();
    archive.by_name(&format!("{name}.npy")).unwrap().read_to_end(&mut bytes).unwrap();
    bytes
}

/// Header and rows of a CSV.
fn csv(file: &Path) -> Vec<Vec<String>> {
    let mut reader = csv::ReaderBuilder::new().has_headers(false).from_path(file).unwrap();
    reader.records().map(|r| r.unwrap().iter().map(str::to_owned).collect()).collect()
}

/// Width of the encoder in `tiny.yaml`, and its images.
const DIM: usize = 16;
const TRAIN: usize = 64;
const TEST: usize = 20;

#[test]
fn every_format_holds_the_same_features_in_the_same_order() {
    let run = Features::new();
    let [npz, safe, table, array] =
        ["f.npz", "f.safetensors", "f.csv", "f.npy"].map(|file| run.write(file, &[]));
    let array = fs::read(array).unwrap();
    let (header, values) = npy(&array);
    let shape = format!("{{'descr': '<f4', 'fortran_order': False, 'shape': ({}, {DIM}), }}", TRAIN + TEST);
    assert_eq!(header, shape);
    let values = f32s(values);
    assert_eq!(values.len(), (TRAIN + TEST) * DIM);

    assert_eq!(member(&npz, "features"), array);
    let splits = [vec!["train"; TRAIN], vec!["test"; TEST]].concat();
    assert_eq!(texts(&member(&npz, "split")), splits);
    let images: Vec<i64> = (0..TRAIN as i64).chain(0..TEST as i64).collect();
    assert_eq!(i64s(npy(&member(&npz, "image")).1), images);
    let colours = i64s(npy(&member(&npz, "labels_colour")).1);
    let names = texts(&member(&npz, "names_colour"));
    let about: serde_json::Value = serde_json::from_str(&texts(&member(&npz, "about"))[0]).unwrap();
    assert_eq!(
        (&about["encoder"], &about["step"], &about["layers"]),
        (&"target".into(), &12.into(), &vec![2].into())
    );

    let bytes = fs::read(safe).unwrap();
    let tensors = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    let features = tensors.tensor("features").unwrap();
    assert_eq!((features.shape(), f32s(features.data())), (&[TRAIN + TEST, DIM][..], values.clone()));
    assert_eq!(i64s(tensors.tensor("labels.colour").unwrap().data()), colours);
    let (_, metadata) = safetensors::SafeTensors::read_metadata(&bytes).unwrap();
    let texts: serde_json::Value =
        serde_json::from_str(&metadata.metadata().as_ref().unwrap()["ijepa_run"]).unwrap();
    assert_eq!((&texts["names"]["colour"], &texts["split"]), (&names.clone().into(), &splits.clone().into()));

    let rows = csv(&table);
    let column = |name: &str| rows[0].iter().position(|n| n == name).unwrap();
    let read: Vec<f32> =
        rows[1..].iter().flat_map(|r| &r[column("f0")..]).map(|v| v.parse().unwrap()).collect();
    assert_eq!(read, values);
    let of = |name: &str| -> Vec<String> { rows[1..].iter().map(|r| r[column(name)].clone()).collect() };
    assert_eq!(of("split"), splits);
    let colours: Vec<String> = colours.iter().map(|&c| names[c as usize].clone()).collect();
    assert_eq!(of("colour"), colours);
    let beside = csv(&run.0.path().join("f.images.csv"));
    assert!(beside.iter().zip(&rows).all(|(beside, row)| *beside == row[..beside.len()]));
}

/// The accuracy of nearest neighbours, as the probe defines it, from what the file says alone.
#[test]
fn features_are_those_that_the_probes_saw() {
    let run = Features::new();
    let rows = csv(&run.write("f.csv", &[]));
    let column = |name: &str| rows[0].iter().position(|n| n == name).unwrap();
    let unit = |row: &Vec<String>| {
        let feature: Vec<f64> = row[column("f0")..].iter().map(|v| v.parse().unwrap()).collect();
        let norm = feature.iter().map(|v| v * v).sum::<f64>().sqrt();
        (feature.iter().map(|v| v / norm).collect::<Vec<f64>>(), row[column("class")].clone())
    };
    let of =
        |split: &str| rows[1..].iter().filter(|r| r[column("split")] == split).map(unit).collect::<Vec<_>>();
    let (train, test) = (of("train"), of("test"));
    let right = test.iter().filter(|(feature, class)| {
        let cosine = |other: &[f64]| feature.iter().zip(other).map(|(a, b)| a * b).sum::<f64>();
        let mut near: Vec<(f64, &String)> = train.iter().map(|(f, c)| (cosine(f), c)).collect();
        near.sort_by(|a, b| b.0.total_cmp(&a.0));
        let mut votes = std::collections::BTreeMap::<&String, f64>::new();
        near[..5].iter().for_each(|(c, class)| *votes.entry(class).or_default() += (c / 0.07).exp());
        votes.into_iter().max_by(|a, b| a.1.total_cmp(&b.1)).unwrap().0 == class
    });
    let accuracy = 100.0 * right.count() as f64 / test.len() as f64;
    let told = run.0.table("probes.csv").into_iter().filter(|r| r[1] == "12");
    let mut told = told.filter(|r| [&r[2], &r[3], &r[4], &r[6]] == ["knn", "target", "class", "top1"]);
    let told = told.next().unwrap();
    let value = run.0.table("probes.csv")[0].iter().position(|n| n == "value").unwrap();
    assert!((told[value].parse::<f64>().unwrap() - accuracy).abs() < 1e-9, "{told:?}: {accuracy}");
}

#[test]
fn tokens_layers_encoders_and_splits_are_chosen() {
    let run = Features::new();
    let read = |file: &str, arguments: &[&str]| {
        let bytes = fs::read(run.write(file, &[arguments, &["--split", "test"]].concat())).unwrap();
        let (header, values) = npy(&bytes);
        (header.split("'shape': ").nth(1).unwrap().to_owned(), f32s(values))
    };
    let (_, pooled) = read("pooled.npy", &[]);
    assert_eq!(pooled.len(), TEST * DIM);
    let (shape, tokens) = read("tokens.npy", &["--tokens"]);
    assert!(shape.starts_with("(20, 16, 16)"), "{shape}");
    for (image, mean) in tokens.chunks_exact(16 * DIM).zip(pooled.chunks_exact(DIM)) {
        for (i, mean) in mean.iter().enumerate() {
            let sum: f32 = image.chunks_exact(DIM).map(|token| token[i]).sum();
            assert!((sum / 16.0 - mean).abs() < 1e-5);
        }
    }
    let (_, both) = read("both.npy", &["--layers", "2"]);
    let (_, lower) = read("lower.npy", &["--layer", "1"]);
    let [lower, upper] =
        [lower, pooled.clone()].map(|v| v.chunks(DIM).map(<[f32]>::to_vec).collect::<Vec<_>>());
    let side_by_side: Vec<f32> = lower.into_iter().zip(upper).flat_map(|(a, b)| [a, b].concat()).collect();
    assert_eq!(both, side_by_side);
    let others = ["context", "random_init"].map(|of| read(&format!("{of}.npy"), &["--encoder", of]).1);
    assert!(others[0] != pooled && others[1] != pooled && others[0] != others[1]);
    assert!(read("pixels.npy", &["--encoder", "pixels"]).0.starts_with("(20, 768)"));
    assert_eq!(read("again.npy", &["--threads", "1"]).1, pooled);
}

#[test]
fn the_class_token_is_read_by_features_and_probes_where_there_is_one() {
    let probes =
        "probes=[{ kind: knn, k: 5, encoders: [target], controls: [pixels], pooling: class_and_mean }]";
    let run = Features::of(&["encoder.class_token=true", probes]);
    let wide = |file: &str, pooling: &str| -> Vec<f32> {
        let mut read = csv(&run.write(file, &["--split", "test", "--layers", "2", "--pooling", pooling]));
        read.remove(0);
        let number = |row: &Vec<String>, width: usize| -> Vec<f32> {
            row[row.len() - width..].iter().map(|v| v.parse().unwrap()).collect()
        };
        let width = if pooling == "class_and_mean" { 4 * DIM } else { 2 * DIM };
        read.iter().flat_map(|row| number(row, width)).collect()
    };
    let (class, mean, both) =
        (wide("class.csv", "class_token"), wide("mean.csv", "mean"), wide("both.csv", "class_and_mean"));
    assert_ne!(class, mean);
    // Of each block the class token, then the mean.
    let beside = class.chunks_exact(DIM).zip(mean.chunks_exact(DIM)).flat_map(|(a, b)| [a, b].concat());
    assert_eq!(both, beside.collect::<Vec<_>>());
    assert!(run.0.read("probes.csv").contains("knn,pixels"));

    let plain = Features::new();
    let refused = plain.call(&["--pooling", "class_token", "--output", "none.npz"]);
    assert!(refused.code == 2 && refused.stderr.contains("has no class token"), "{}", refused.stderr);
    let refused = plain.0.run(&["tiny.yaml", probes]);
    let says = "probes.0.pooling: `knn` reads the class token, and encoder `vit` has none";
    assert!(refused.code == 2 && refused.stderr.contains(says), "{}", refused.stderr);
}

/// Images of one colour each: `CLASS/FILE`.
fn draw(root: &Path, files: &[(&str, [u8; 3])]) {
    for (file, colour) in files {
        let path = root.join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        image::RgbImage::from_pixel(16, 16, image::Rgb(*colour)).save(path).unwrap();
    }
}

#[test]
fn files_of_a_folder_are_the_images_of_a_data_set() {
    let run = Features::new();
    let root = run.0.path().join("pictures");
    let files =
        [("train/b/1.png", [9, 80, 7]), ("train/a/x/2.png", [200, 3, 4]), ("train/a/0.png", [1, 2, 250])];
    draw(&root, &files);
    draw(&root, &[("test/a/t.png", [5, 5, 5]), ("test/b/t.png", [6, 6, 6]), ("loose.png", [7, 7, 7])]);
    let own = csv(&run.write("own.csv", &["pictures"]));
    let head: Vec<&str> = own[0][..4].iter().map(String::as_str).collect();
    assert_eq!(head, ["image", "file", "class", "f0"]);
    let told: Vec<[&str; 3]> = own[1..].iter().map(|r| [&r[0], &r[1], &r[2]].map(String::as_str)).collect();
    let expected = [
        ["0", "loose.png", ""],
        ["1", "test/a/t.png", "test"],
        ["2", "test/b/t.png", "test"],
        ["3", "train/a/0.png", "train"],
        ["4", "train/a/x/2.png", "train"],
        ["5", "train/b/1.png", "train"],
    ];
    assert_eq!(told, expected);
    let one = csv(&run.write("one.csv", &["pictures/train/a/0.png"]));
    assert_eq!((one.len(), &one[1][1], &one[1][2..]), (2, &"0.png".to_owned(), &own[4][3..]));

    // The same files as a data set: names, labels and features.
    let data = "dataset={ kind: image_folder, path: pictures, image_size: 16 }";
    let trained =
        run.0.run(&["tiny.yaml", data, "probes=[]", "collapse=[]", "train.batch_size=2", "--output", "two"]);
    assert_eq!(trained.code, 0, "{}", trained.stderr);
    let folder = fs::read_dir(run.0.path().join("two")).unwrap().next().unwrap().unwrap().path();
    let write = |file: &str, images: &[&str]| {
        let written = run.0.run(&[&["features", folder.to_str().unwrap(), "-o", file], images].concat());
        assert_eq!(written.code, 0, "{}", written.stderr);
        csv(&run.0.path().join(file))
    };
    let set = write("set.csv", &[]);
    let told: Vec<String> = set[1..].iter().map(|r| r[..4].join(" ")).collect();
    let expected = ["train 0 train/a/0.png a", "train 1 train/a/x/2.png a", "train 2 train/b/1.png b"];
    assert_eq!(told, [&expected[..], &["test 0 test/a/t.png a", "test 1 test/b/t.png b"]].concat());
    let files = write("files.csv", &["pictures/train"]);
    assert!(set[1..4].iter().zip(&files[1..]).all(|(a, b)| a[4..] == b[3..]), "{set:?} {files:?}");
    fs::write(root.join("train/a/0.png"), "no image").unwrap();
    let broken = run.0.run(&["features", folder.to_str().unwrap(), "pictures", "-o", "broken.csv"]);
    assert!(broken.code == 2 && broken.stderr.contains("0.png"), "{}", broken.stderr);
    assert!(!run.0.path().join("broken.csv").exists());
}

#[test]
fn held_out_images_keep_their_numbers() {
    let folder = Folder::new();
    assert_eq!(folder.run(&["tiny.yaml", "dataset.validation=16", "-q"]).code, 0);
    let run = Features(folder);
    let rows = csv(&run.write("f.csv", &[]));
    let of = |split: &str| -> Vec<usize> {
        rows[1..].iter().filter(|r| r[0] == split).map(|r| r[1].parse().unwrap()).collect()
    };
    let (train, held) = (of("train"), of("validation"));
    let mut all = [train, held.clone()].concat();
    assert!(held.len() == 16 && held.is_sorted());
    all.sort_unstable();
    assert_eq!((all, of("test")), ((0..TRAIN).collect(), (0..TEST).collect()));
    let held = csv(&run.write("held.csv", &["--split", "validation"]));
    assert_eq!(held[1..], rows[1 + 48..1 + TRAIN]);
}

#[test]
fn a_run_that_has_not_ended_is_taken_at_its_last_checkpoint() {
    let folder = Folder::new();
    assert_eq!(folder.run(&["tiny.yaml", "-q", "--until-epoch", "1"]).code, 75);
    let run = Features(folder);
    let written = run.call(&["--output", "f.npz"]);
    assert!(
        written.code == 0 && written.stdout.contains("at step 4"),
        "{}{}",
        written.stdout,
        written.stderr
    );
}

#[test]
fn what_cannot_be_written_is_refused_with_the_reason() {
    let run = Features::new();
    let refused = |arguments: &[&str], code: i32, words: &str| {
        let call = run.call(arguments);
        assert!(call.code == code && call.stderr.contains(words), "{}: {}", call.code, call.stderr);
    };
    refused(&["--output", "f.pt"], 2, ".npy, .npz, .safetensors, .csv");
    refused(&["--output", "f.npz", "--layers", "3"], 2, "allowed: 1 to 2");
    refused(&["--output", "f.npz", "--layer", "0"], 2, "allowed: 1 to 2");
    refused(&["--output", "f.npz", "--encoder", "pixels", "--layers", "2"], 2, "pixels have no layers");
    refused(&["--output", "f.npz", "--split", "validation"], 2, "no validation images");
    refused(&["--output", "f.npz", "absent"], 2, "absent");
    refused(&["--output", "absent/f.npz"], 1, "cannot write absent/f.npz");
    run.write("f.npz", &[]);
    refused(&["--output", "f.npz"], 2, "replace it with --force");
    let before = fs::read(run.0.path().join("f.npz")).unwrap();
    assert_eq!(run.call(&["--output", "f.npz", "--force"]).code, 0);
    assert_eq!(fs::read(run.0.path().join("f.npz")).unwrap(), before, "the same bytes");
    let weights = run.0.run_folder().join("weights.safetensors");
    let mut bytes = fs::read(&weights).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    fs::write(&weights, bytes).unwrap();
    refused(&["--output", "g.npz"], 1, "weights.safetensors: was changed");
    assert!(!run.0.path().join("g.npz").exists());
}
