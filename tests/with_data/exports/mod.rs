//! Exports opened by the programs that they are for: transformers 4 and 5, timm, TensorBoard, MLflow, W&B.
//! `check.py` opens them and compares; `install.sh` makes the environment.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    sync::OnceLock,
};

/// The checks by name; each takes the environment.
pub const ALL: &[super::checks::Check] = &[
    ("exports_compute_tokens_and_classes_of_the_run_in_transformers_4", |venv| check(venv, "transformers-4")),
    ("exports_compute_tokens_and_classes_of_the_run_in_transformers_5", |venv| check(venv, "transformers-5")),
    ("exports_compute_tokens_and_classes_of_the_run_in_timm", |venv| check(venv, "timm")),
    ("exports_show_the_tables_and_arms_in_tensorboard", |venv| check(venv, "tensorboard")),
    ("exports_show_the_tables_and_all_settings_in_mlflow", |venv| check(venv, "mlflow")),
    ("exports_show_the_tables_in_weights_and_biases", |venv| check(venv, "wandb")),
];

/// Images per class for training and testing.
const IMAGES: [(&str, usize); 2] = [("train", 30), ("test", 20)];

/// Side of the images.
const SIZE: u32 = 16;

fn check(venv: &Path, what: &str) {
    let folder = exported();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/with_data/exports/check.py");
    let mut python = Command::new(venv.join("bin/python"));
    python.arg(script).args([what.as_ref(), folder.as_os_str()]);
    if what == "transformers-4" {
        python.env("PYTHONPATH", venv.join("transformers-4"));
    }
    let output = python.output().expect("python runs");
    let text = [output.stdout, output.stderr].concat();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&text));
}

/// A folder with runs and everything that was exported of them, made once.
fn exported() -> &'static Path {
    static FOLDER: OnceLock<tempfile::TempDir> = OnceLock::new();
    let make = || {
        let folder = tempfile::tempdir().expect("a temporary folder");
        write_images(folder.path());
        write_runs(folder.path());
        folder
    };
    FOLDER.get_or_init(make).path()
}

/// Noise around a colour of its class, near enough to those of others that a classifier errs.
fn write_images(folder: &Path) {
    let mut state = 1u64;
    let mut noise = move || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 56) as u8
    };
    let mut write = |path: PathBuf, size: [u32; 2], class: usize| {
        fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
        let level = |channel: usize| 100 + 12 * u16::from(channel == class % 3) - 6 * u16::from(class == 3);
        // One shift for all pixels of a channel keeps classes from being told apart by their mean.
        let shift: [u16; 3] = std::array::from_fn(|_| u16::from(noise()) / 8);
        let pixels = (3 * size[0] * size[1]) as usize;
        let bytes: Vec<u8> =
            (0..pixels).map(|i| (level(i % 3) + shift[i % 3] + u16::from(noise()) / 4) as u8).collect();
        let mut png = png::Encoder::new(fs::File::create(path).expect("a file"), size[0], size[1]);
        png.set_color(png::ColorType::Rgb);
        png.write_header().and_then(|mut w| w.write_image_data(&bytes)).expect("an image");
    };
    for (split, count) in IMAGES {
        for (class, name) in ["ash", "birch", "cedar", "elm"].into_iter().enumerate() {
            for i in 0..count {
                write(folder.join(format!("images/{split}/{name}/{i:03}.png")), [SIZE; 2], class);
            }
        }
    }
    for (i, size) in [[40, 16], [16, 21], [33, 64], [50, 50]].into_iter().enumerate() {
        write(folder.join(format!("odd/{i}.png")), size, i);
    }
}

const EXPERIMENT: &str = "
version: 1
dataset: { kind: image_folder, path: images, image_size: 16 }
augmentation: [{ kind: normalize, mean: [0.4, 0.5, 0.45], std: [0.2, 0.25, 0.22] }, hflip]
encoder: { kind: vit, dim: 32, depth: 2, heads: 2, patch: 4 }
predictor: { kind: vit, dim: 16, depth: 1, heads: 2 }
masking: random
loss: l2
optimizer: adamw
weight_decay: 0.05
ema: 0.95
train: { epochs: 3, batch_size: 20, log_every: 2 }
learning_rate: 0.002
";

fn write_runs(folder: &Path) {
    let probes = "probes: [{ kind: linear, predictions: true, weight_decays: [0.01] }]\n";
    fs::write(folder.join("plain.yaml"), format!("name: plain{EXPERIMENT}{probes}")).expect("written");
    // Positions that are learned in one, fixed in the other; registers and gains on branches.
    let set = "encoder={ kind: vit, dim: 16, depth: 2, heads: 2, patch: 4, mlp_ratio: 2.6, positions: sincos2d, registers: 3, layer_scale: 0.1 }";
    let run_to = |results: &str, code: i32, args: &[&str]| {
        let program = Command::new(env!("CARGO_BIN_EXE_ijepa-run"))
            .args(args)
            .args(["--results", results, "-q"])
            .current_dir(folder)
            .output()
            .expect("the program runs");
        let told = String::from_utf8_lossy(&program.stderr);
        assert_eq!(program.status.code(), Some(code), "{args:?}: {told}");
    };
    let run = |args: &[&str]| run_to("runs", 0, args);
    // Stopped on the way and continued: two processes, two event files.
    let live = ["plain.yaml", "train.tensorboard=true"];
    run_to("live", 75, &[&live[..], &["--until-epoch", "1"]].concat());
    run_to("live", 0, &live);
    run(&["plain.yaml"]);
    run(&["plain.yaml", "seed=1"]);
    run(&["plain.yaml", "name=variant", set]);
    let plain = "plain-s0";
    for (of, to) in [(plain, "tokens.npy"), ("variant", "tokens-variant.npy")] {
        run(&["features", of, "--split", "test", "--tokens", "--output", to]);
    }
    run(&["features", plain, "odd", "--output", "odd.npy"]);
    run(&["export", "huggingface", plain, "--output", "huggingface", "--license", "mit"]);
    run(&["export", "huggingface", plain, "--classifier", "--output", "classifier"]);
    run(&["export", "timm", plain, "--output", "timm"]);
    run(&["export", "timm", "variant", "--output", "timm-variant"]);
    run(&["export", "timm", plain, "--classifier", "linear", "--output", "timm-classifier"]);
    run(&["export", "tensorboard", "runs", "--output", "tensorboard"]);
    run(&["export", "mlflow", "runs", "--output", "mlflow"]);
}
