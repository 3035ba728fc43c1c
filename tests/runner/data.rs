//! Data that are read from files: results belong to images and labels, not to a path.

use std::{fs, path::Path};

use crate::program::{Folder, Output};

const ON_FILES: &str = "dataset={ kind: image_folder, path: a, image_size: 16 }";
const PROBES: &str = "probes=[{ kind: knn, k: 3, controls: [pixels] }]";

/// Six images in each of two classes; `shift` makes others of them.
fn write_split(split: &Path, shift: u8) {
    for (class, base) in [("cat", 20u8), ("dog", 150)] {
        let folder = split.join(class);
        fs::create_dir_all(&folder).unwrap();
        for i in 0..6u8 {
            let pixel = |x: u32, y: u32| image::Rgb([base + shift, i * 9 + (x * 3) as u8, (y * 5) as u8]);
            image::RgbImage::from_fn(16, 16, pixel).save(folder.join(format!("{i}.png"))).unwrap();
        }
    }
}

fn write_data(root: &Path, shift: u8) {
    write_split(&root.join("train"), shift);
    write_split(&root.join("test"), shift + 1);
}

struct Lab(Folder);

impl Lab {
    /// With data in `a`.
    fn new() -> Self {
        let folder = Folder::new();
        write_data(&folder.path().join("a"), 0);
        Lab(folder)
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.0.path().join(name)
    }

    fn run(&self, more: &[&str]) -> Output {
        let mut arguments = vec!["tiny.yaml", ON_FILES, PROBES, "train={ epochs: 1, batch_size: 6 }"];
        arguments.extend(more);
        self.0.run(&arguments)
    }

    fn runs(&self) -> Vec<String> {
        let entries = fs::read_dir(self.path("results")).unwrap().map(|e| e.unwrap());
        let named = entries.map(|e| e.file_name().to_string_lossy().into_owned());
        let mut names: Vec<String> = named.filter(|n| n != "sweeps").collect();
        names.sort();
        names
    }
}

#[track_caller]
fn done(run: &Output) {
    assert_eq!(run.code, 0, "{}", run.stderr);
    assert!(
        run.stderr.contains("done: results/tiny-s0-") && !run.stderr.contains("already"),
        "{}",
        run.stderr
    );
}

#[track_caller]
fn reused(run: &Output) {
    assert_eq!(run.code, 0, "{}", run.stderr);
    assert!(run.stderr.contains("already done"), "{}", run.stderr);
}

#[test]
fn other_images_are_another_run_wherever_they_lie() {
    let lab = Lab::new();
    write_data(&lab.path("b"), 40);
    done(&lab.run(&[]));
    reused(&lab.run(&[]));
    done(&lab.run(&["dataset.path=b"]));
    // Moved: the same images.
    fs::rename(lab.path("a"), lab.path("moved")).unwrap();
    reused(&lab.run(&["dataset.path=moved"]));
    // Replaced in place: others.
    fs::rename(lab.path("b"), lab.path("a")).unwrap();
    reused(&lab.run(&[]));
    write_data(&lab.path("a"), 80);
    done(&lab.run(&[]));
    let runs = lab.runs();
    assert_eq!(runs.len(), 3, "{runs:?}");
    let stem = &runs[0][..runs[0].len() - 8];
    assert!(runs.iter().all(|name| name.starts_with(stem)), "{runs:?}");
}

#[test]
fn one_other_label_is_other_data() {
    let lab = Lab::new();
    done(&lab.run(&[]));
    for (from, to) in [("cat", "x"), ("dog", "cat"), ("x", "dog")] {
        fs::rename(lab.path("a/test").join(from), lab.path("a/test").join(to)).unwrap();
    }
    done(&lab.run(&[]));
}

#[test]
fn without_data_nothing_is_called_done() {
    let lab = Lab::new();
    done(&lab.run(&[]));
    fs::rename(lab.path("a"), lab.path("gone")).unwrap();
    for more in [&[][..], &["--dry-run"]] {
        let run = lab.run(more);
        assert_eq!(run.code, 2, "{}", run.stderr);
        assert!(run.stderr.contains("there is no folder `a`"), "{}", run.stderr);
        let show = format!("ijepa-run show results/{}", lab.runs()[0]);
        assert!(run.stderr.contains(&show) && !run.stderr.contains("already done"), "{}", run.stderr);
    }
}

#[test]
fn a_folder_without_the_data_in_its_name_is_taken_if_its_files_tell_the_same_data() {
    let lab = Lab::new();
    done(&lab.run(&[]));
    let name = lab.runs()[0].clone();
    fs::rename(lab.path("results").join(&name), lab.path("results").join(&name[..name.len() - 9])).unwrap();
    reused(&lab.run(&[]));
    write_data(&lab.path("a"), 9);
    done(&lab.run(&[]));
    assert_eq!(lab.runs().len(), 2);
}

#[test]
fn why_says_what_the_data_did() {
    let lab = Lab::new();
    done(&lab.run(&[]));
    let why = |path: &str| {
        let path = format!("dataset.path={path}");
        let run =
            lab.0.run(&["why", "tiny.yaml", ON_FILES, PROBES, "train={ epochs: 1, batch_size: 6 }", &path]);
        assert_eq!(run.code, 0, "{}", run.stderr);
        run.stdout
    };
    write_data(&lab.path("b"), 40);
    let text = why("b");
    assert!(text.contains("new: no run of this identity and these images"), "{text}");
    assert!(text.contains("dataset.path: a -> b (other images)"), "{text}");
    write_data(&lab.path("copy"), 0);
    let text = why("copy");
    assert!(text.contains("reused") && text.contains("dataset.path: a -> copy (the same images)"), "{text}");
}

#[test]
fn a_sweep_over_folders_runs_equal_images_once() {
    let lab = Lab::new();
    write_data(&lab.path("b"), 40);
    write_data(&lab.path("copy"), 0);
    let run = lab.run(&["-m", "dataset.path=a,b,copy"]);
    assert_eq!(run.code, 0, "{}", run.stderr);
    let note = "note: `dataset.path=copy` is the same experiment as `dataset.path=a` on the same images; it is run once";
    assert!(run.stderr.contains(note), "{}", run.stderr);
    let sweep = fs::read_dir(lab.path("results/sweeps")).unwrap().next().unwrap().unwrap().path();
    let table = fs::read_to_string(sweep.join("runs.csv")).unwrap();
    assert_eq!(table.matches(",done,").count(), 2, "{table}");
    assert!(table.contains(",dataset.path=a,") && table.contains(",dataset.path=b,"), "{table}");
    assert!(lab.runs().iter().all(|id| table.contains(id.as_str())), "{table}");
    let dry = lab.run(&["-m", "dataset.path=a,b,copy", "-n"]);
    assert!(dry.stdout.contains("2 runs: 0 new, 0 to continue, 2 finished"), "{}", dry.stdout);
    let again = lab.run(&["-m", "dataset.path=a,b", "-q"]);
    assert!(again.code == 0 && lab.runs().len() == 2, "{}", again.stderr);
}

#[test]
fn fingerprints_are_kept_per_split() {
    let lab = Lab::new();
    done(&lab.run(&[]));
    write_split(&lab.path("a/train"), 60);
    done(&lab.run(&[]));
    let read = |file: &str| -> Vec<serde_json::Value> {
        let one = |name: String| fs::read(lab.path("results").join(name).join(file)).unwrap();
        lab.runs().into_iter().map(|name| serde_json::from_slice(&one(name)).unwrap()).collect()
    };
    for file in ["status.json", "run.json"] {
        let found = read(file);
        let entry = |i: usize| if file == "run.json" { &found[i][0] } else { &found[i] };
        assert_eq!(entry(0)["data_test"], entry(1)["data_test"], "{file}");
        assert_ne!(entry(0)["data_train"], entry(1)["data_train"], "{file}");
        assert!(entry(0)["data_test"].as_str().is_some_and(|s| s.len() == 64), "{file}");
    }
}

#[test]
fn a_run_says_what_it_reads_and_what_it_leaves_out() {
    let lab = Lab::new();
    fs::write(lab.path("a/train/cat/notes.txt"), "").unwrap();
    fs::create_dir(lab.path("a/train/.ipynb_checkpoints")).unwrap();
    fs::copy(lab.path("a/test/cat/1.png"), lab.path("a/train/cat/leaked.png")).unwrap();
    let run = lab.run(&[]);
    done(&run);
    let line = "25 images in 2 classes (13 train, 12 test); left out: 1 .txt, 1 hidden; \
                warning: images in both the training and the test set: 1";
    assert!(run.stderr.contains(line), "{}", run.stderr);
    let card = fs::read_to_string(lab.path("results").join(&lab.runs()[0]).join("run.json")).unwrap();
    assert!(card.contains(line), "{card}");
}

#[test]
fn images_without_labels_or_test_set_train_without_probes() {
    let lab = Lab::new();
    fs::create_dir_all(lab.path("flat/train")).unwrap();
    for i in 0..6 {
        fs::copy(lab.path(&format!("a/train/cat/{i}.png")), lab.path(&format!("flat/train/{i}.png")))
            .unwrap();
    }
    let flat = "dataset.path=flat";
    let run = lab.run(&[flat]);
    assert_eq!(run.code, 2, "{}", run.stderr);
    assert!(run.stderr.contains("no test images") && run.stderr.contains("probes: []"), "{}", run.stderr);
    let run = lab.run(&[flat, "probes=[]"]);
    done(&run);
    assert!(run.stderr.contains("6 images without labels (6 train, no test images)"), "{}", run.stderr);
    let run = lab.run(&[flat, "probes=[rankme]", "dataset.validation=3", "train.batch_size=3"]);
    done(&run);
    assert!(run.stdout.contains("rankme@validation"), "{}", run.stdout);
}

#[test]
fn a_dry_run_counts_the_work_and_refuses_what_the_run_would() {
    let lab = Lab::new();
    let dry = lab.run(&["-n"]);
    assert_eq!(dry.code, 0, "{}", dry.stderr);
    for expected in [
        "state      new",
        "images     24 images in 2 classes (12 train, 12 test)",
        "1 epochs of 12 images, 2 steps of 6",
        "2 steps to do",
        "GFLOP for the whole run",
        "MiB",
    ] {
        assert!(dry.stdout.contains(expected), "{expected} in {}", dry.stdout);
    }
    assert!(!lab.path("results").exists());
    done(&lab.run(&[]));
    let dry = lab.run(&["-n"]);
    assert!(
        dry.stdout.contains("state      done: reused") && dry.stdout.contains("0 steps to do"),
        "{}",
        dry.stdout
    );
    for (wrong, place) in [
        ("train.batch_size=13", "more than the 12 training images"),
        ("probes.0.labels=[colour]", "but the data set has: class"),
        ("dataset.validation=12", "there are 12 training images"),
        ("probes.0.k=13", "k is 13 but train has 12 images"),
        ("learning_rate={ kind: warmup_cosine, peak: 1.0e-3, warmup_epochs: 5 }", "warm"),
    ] {
        let (dry, real) = (lab.run(&[wrong, "-n"]), lab.run(&[wrong]));
        assert_eq!((dry.code, real.code), (2, 2), "{wrong}: {} {}", dry.stderr, real.stderr);
        assert!(dry.stderr.contains(place), "{}", dry.stderr);
        assert_eq!(dry.stderr.trim_start_matches("error: "), real.stderr.trim_start_matches("error: "));
    }
}

#[test]
fn a_budget_of_equal_operations_is_met_on_files() {
    let lab = Lab::new();
    let text = format!("{}\ntrain: {{ epochs: 8, batch_size: 6 }}\nprobes: []\n", base_without_train(&lab));
    fs::write(lab.path("files.yaml"), text).unwrap();
    let sweep = "version: 1\nbase: files.yaml\nparameters:\n  encoder.depth: { values: [1, 2, 4] }\nbudget: { equal: flops }\n";
    fs::write(lab.path("sweep.yaml"), sweep).unwrap();
    let dry = lab.0.run(&["sweep.yaml", "-n"]);
    assert_eq!(dry.code, 0, "{}", dry.stderr);
    assert!(!dry.stdout.contains("unknown") && dry.stdout.contains("steps to do"), "{}", dry.stdout);
    assert!(dry.stdout.contains("no verdict"), "one seed per arm: {}", dry.stdout);
    fs::remove_dir_all(lab.path("a")).unwrap();
    assert_eq!(lab.0.run(&["sweep.yaml", "-n"]).code, 2);
    let check = lab.0.run(&["check", "sweep.yaml"]);
    assert_eq!(check.code, 0, "a check needs no data: {}", check.stderr);
}

/// `tiny.yaml` on the files, without its sections `train` and `probes`.
fn base_without_train(lab: &Lab) -> String {
    let text = fs::read_to_string(lab.path("tiny.yaml")).unwrap();
    let kept = text.split("train: {").next().unwrap();
    let rest = kept.lines().filter(|l| !l.starts_with("dataset"));
    let data = "dataset: { kind: image_folder, path: a, image_size: 16 }";
    rest.chain([data]).collect::<Vec<_>>().join("\n")
}

#[test]
fn validation_images_are_measured_beside_the_test_images() {
    let folder = Folder::new();
    let run = folder.run(&["tiny.yaml", "dataset.validation=16", "train.epochs=1"]);
    assert_eq!(run.code, 0, "{}", run.stderr);
    let probes = folder.table("probes.csv");
    let at = |name: &str| probes[0].iter().position(|h| h == name).unwrap();
    let (split, metric) = (at("split"), at("metric"));
    let count = |word: &str| probes[1..].iter().filter(|r| r[split] == word && r[metric] == "top1").count();
    assert_eq!((count("test"), count("validation")), (3, 3));
    assert_eq!(folder.table("metrics.csv").len(), 1 + 3, "48 of 64 images are trained on");
    assert!(folder.read("run.json").contains("16 held out for validation"));
    // Another identity, and none of its own where nothing is held out.
    let name = |more: &[&str]| {
        let mut arguments = vec!["tiny.yaml", "--print-config"];
        arguments.extend(more);
        folder.run(&arguments).stdout
    };
    assert!(!name(&["dataset.validation=0"]).contains("validation"));
    assert!(name(&["dataset.validation=16"]).contains("validation: 16"));
}

#[test]
fn rules_and_sweeps_can_name_a_metric_of_validation_images() {
    let folder = Folder::new();
    let rule = "collapse=[{ metric: knn/target/class/top1@validation, below: 101 }]";
    let run = folder.run(&["tiny.yaml", "dataset.validation=16", rule]);
    assert_eq!(run.code, 3, "{}", run.stderr);
    assert!(run.stderr.contains("top1@validation"), "{}", run.stderr);
    let run = folder.run(&["tiny.yaml", rule]);
    assert_eq!(run.code, 2, "nothing is held out: {}", run.stderr);
    let sweep = "version: 1\nbase: tiny.yaml\nparameters: { train.epochs: { values: [1, 2] } }\n\
                 metric: { name: knn/target/class/top1@validation, goal: maximize }\n";
    fs::write(folder.path().join("sweep.yaml"), sweep).unwrap();
    let run = folder.run(&["sweep.yaml", "dataset.validation=16"]);
    assert_eq!(run.code, 0, "{}", run.stderr);
    assert!(run.stdout.starts_with("knn/target/class/top1@validation"), "{}", run.stdout);
    assert_eq!(folder.run(&["sweep.yaml", "-n"]).code, 2);
}

#[test]
fn the_fingerprint_is_remembered_outside_of_the_run_folder() {
    let lab = Lab::new();
    // Younger files are not trusted.
    std::thread::sleep(std::time::Duration::from_millis(3200));
    done(&lab.run(&[]));
    let cache = lab.path("cache/ijepa-run/data");
    assert_eq!(fs::read_dir(&cache).unwrap().count(), 1);
    reused(&lab.run(&[]));
    // What is remembered is not believed where images are read.
    let file = fs::read_dir(&cache).unwrap().next().unwrap().unwrap().path();
    let mut entry: serde_json::Value = serde_json::from_slice(&fs::read(&file).unwrap()).unwrap();
    entry["content"]["all"] = "0".repeat(64).into();
    fs::write(&file, entry.to_string()).unwrap();
    let run = lab.run(&[]);
    reused(&run);
    assert_eq!(lab.runs().len(), 1, "{:?}", lab.runs());
}

/// Data that were moved after a run are found where they are said to be, if they are the same.
#[test]
fn probes_and_features_find_data_that_were_moved() {
    let lab = Lab::new();
    done(&lab.run(&[]));
    fs::rename(lab.path("a"), lab.path("moved")).unwrap();
    write_data(&lab.path("b"), 40);
    let commands: [&[&str]; 3] = [
        &["features", "tiny", "--output", "f.npy"],
        &["export", "timm", "tiny", "--classifier", "{ kind: linear, weight_decays: [0.1] }"],
        // Last: the run then says where its data are now.
        &["probe", "tiny", "{ kind: knn, name: near, k: 1 }"],
    ];
    for command in commands {
        let call = |more: &[&str]| lab.0.run(&[command, &["-q"], more].concat());
        let (gone, other) = (call(&[]), call(&["--data", "b"]));
        assert!(gone.code != 0 && other.code == 1, "{}{}", gone.stderr, other.stderr);
        assert!(
            other.stderr.contains("other data") || other.stderr.contains("not those that"),
            "{}",
            other.stderr
        );
        let found = call(&["--data", "moved"]);
        assert_eq!(found.code, 0, "{command:?}: {}", found.stderr);
    }
    assert!(lab.0.table("probes.csv").iter().any(|row| row[2] == "near"));
}
