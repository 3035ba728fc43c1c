//! `new` writes what compiles and keeps the laws: the skeleton of every kind is part of this test, in a crate with the
//! two documented dependencies, and the program writes the same text.

use std::{fs, path::Path, process::Command, sync::Arc};

use ijepa_registry::{catalogue, kinds::LoadContext, laws, tensor::Cpu};
use ijepa_run::{
    config,
    data::{Loader, LoaderPlan},
    scaffold::SKELETONS,
    train::{RunPlan, Session, StepNumbers},
};

/// The skeletons as modules, and as text.
macro_rules! skeletons {
    ($($kind:ident $path:literal;)+) => {
        $(#[path = $path] mod $kind;)+
        const COMPILED: [(&str, &str); 11] = [$((stringify!($kind), include_str!($path))),+];
    };
}

skeletons! {
    encoder "../../../src/scaffold/skeletons/encoder.rs";
    predictor "../../../src/scaffold/skeletons/predictor.rs";
    masking "../../../src/scaffold/skeletons/masking.rs";
    targets "../../../src/scaffold/skeletons/targets.rs";
    loss "../../../src/scaffold/skeletons/loss.rs";
    regularizer "../../../src/scaffold/skeletons/regularizer.rs";
    schedule "../../../src/scaffold/skeletons/schedule.rs";
    optimizer "../../../src/scaffold/skeletons/optimizer.rs";
    dataset "../../../src/scaffold/skeletons/dataset.rs";
    augmentation "../../../src/scaffold/skeletons/augmentation.rs";
    probe "../../../src/scaffold/skeletons/probe.rs";
}

const QUICKSTART: &str = include_str!("../../../experiments/quickstart.yaml");

#[test]
fn the_skeletons_of_all_kinds_keep_the_laws() {
    let listed = catalogue::list();
    for (kind, _) in COMPILED {
        let name = format!("my_{kind}");
        assert!(listed.iter().any(|l| l.kind == kind && l.name == name), "{name} is not registered");
    }
    assert_eq!(COMPILED.map(|(kind, _)| kind).to_vec(), catalogue::kinds());
    let laws = laws::check_all();
    assert!(laws.failures.is_empty(), "{}", laws.failures.join("\n"));
}

/// The changes that `new` prints, one at a time and together: all components are skeletons then, and they learn.
#[test]
fn an_experiment_of_skeletons_alone_trains() {
    let read = |_: &str| Err("extends nothing".into());
    let changes = SKELETONS.map(|s| s.changes(&format!("my_{}", s.kind)));
    for change in &changes {
        let loaded = config::load("quickstart", QUICKSTART, change, &read);
        assert!(loaded.is_ok(), "{change:?}: {:?}", loaded.err());
    }
    let small =
        ["dataset={ kind: my_dataset, train: 256, test: 32 }", "train.epochs=4", "train.batch_size=32"];
    let all: Vec<String> = changes.into_iter().flatten().chain(small.map(String::from)).collect();
    let experiment = config::load("quickstart", QUICKSTART, &all, &read).unwrap();
    let data = experiment.dataset.object.load(&LoadContext::silent()).unwrap();
    let (plan, builder) = RunPlan::new(experiment, Arc::new(data));
    let mut session = Session::new(plan, builder, &Cpu::default()).unwrap();
    let plan = LoaderPlan::new(session.plan.batch_size, 4);
    let mut batches = Loader::start(&session.plan.source, &plan);
    let mut losses = Vec::new();
    for _ in 0..session.plan.horizon.steps {
        let numbers = session.step(&batches.next().unwrap(), false).unwrap().numbers;
        session.progress.step += 1;
        losses.push(StepNumbers::read(&[numbers]).unwrap()[0].loss);
    }
    assert!(losses.last() < losses.first(), "{losses:?}");
}

/// Code, standard output and standard error of `my-ijepa new ...` in `folder`.
fn new(folder: &Path, arguments: &[&str]) -> (i32, String, String) {
    let program = env!("CARGO_BIN_EXE_my-ijepa");
    let output = Command::new(program).arg("new").args(arguments).current_dir(folder).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

#[test]
fn a_crate_of_ones_own_holds_what_is_compiled_here() {
    let folder = tempfile::tempdir().unwrap();
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    for (kind, text) in COMPILED {
        let name = format!("my_{kind}");
        let source = source.to_str().unwrap();
        let (code, out, errors) = new(folder.path(), &[kind, &name, "--crate", "own", "--source", source]);
        assert_eq!((code, errors.as_str()), (0, ""));
        assert_eq!(fs::read_to_string(folder.path().join(format!("own/src/{name}.rs"))).unwrap(), text);
        let first = text.lines().position(|line| line.contains("TODO")).unwrap() + 1;
        let (place, line) = (format!("{name}.rs:{first}: "), format!("added `mod {name};` to "));
        assert!(out.contains(&place) && out.contains(&line) && out.contains("cd own"), "{out}");
    }
    let main = fs::read_to_string(folder.path().join("own/src/main.rs")).unwrap();
    let of_example = include_str!("../src/main.rs");
    let without_modules = |text: &str| -> Vec<String> {
        text.lines().filter(|l| !l.starts_with("mod my_") && !l.ends_with(';')).map(String::from).collect()
    };
    assert_eq!(without_modules(&main), without_modules(of_example));
    assert_eq!(main.lines().filter(|l| l.starts_with("mod my_")).count(), COMPILED.len());
    assert!(main.lines().filter(|l| l.starts_with("mod my_")).is_sorted());
}

#[test]
fn a_component_of_the_repository_is_one_file_and_one_line() {
    let folder = tempfile::tempdir().unwrap();
    let losses = folder.path().join("src/components/losses");
    fs::create_dir_all(&losses).unwrap();
    fs::write(folder.path().join("Cargo.toml"), "[package]\nname = \"ijepa-run\"\n").unwrap();
    fs::write(losses.join("mod.rs"), "//! Losses.\n\nmod cosine;\nmod l2;\n").unwrap();
    // From within, as from its root.
    let (code, out, errors) = new(&losses, &["loss", "focal"]);
    assert_eq!((code, errors.as_str()), (0, ""));
    assert!(
        out.contains("wrote focal.rs") && out.contains("--test laws") && out.contains("loss=focal"),
        "{out}"
    );
    let text = fs::read_to_string(losses.join("focal.rs")).unwrap();
    assert!(text.contains("loss \"focal\" => FocalLoss") && text.contains("use crate::kernels::"), "{text}");
    assert!(!text.contains("ijepa_run"), "{text}");
    let declared = fs::read_to_string(losses.join("mod.rs")).unwrap();
    assert_eq!(declared, "//! Losses.\n\nmod cosine;\nmod focal;\nmod l2;\n");
    let (code, _, errors) = new(&losses, &["loss", "focal"]);
    assert!(code == 2 && errors.contains("focal.rs is there already"), "{errors}");
    assert_eq!(fs::read_to_string(losses.join("focal.rs")).unwrap(), text);
}

#[test]
fn what_cannot_be_written_is_refused_with_what_to_type() {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("full")).unwrap();
    fs::write(folder.path().join("full/notes"), "mine").unwrap();
    let cases: [(&[&str], &str); 7] = [
        (&["los", "focal"], "a similar value exists: 'loss'"),
        (&["loss", "focal"], "ijepa-run new loss focal --crate my-ijepa"),
        (&["loss", "Focal-Loss", "--crate", "own"], "try `focal_loss`"),
        (&["loss", "l2", "--crate", "own"], "components loss l2"),
        (&["loss", "huber", "--crate", "own"], "`my_huber`"),
        (&["loss", "focal", "--crate", "full"], "an empty folder or a new one"),
        (&["loss", "focal", "--crate", "own", "--source", "nowhere"], "--source DIR"),
    ];
    for (arguments, part) in cases {
        let (code, out, errors) = new(folder.path(), arguments);
        assert_eq!((code, out.as_str()), (2, ""), "{arguments:?}");
        assert!(errors.contains(part), "{arguments:?}: {errors}");
    }
    let left: Vec<_> = fs::read_dir(folder.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert_eq!(left, ["full"]);
}
