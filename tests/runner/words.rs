//! What people type first: words, options and settings of other programs get the line to type.

use crate::program::Folder;

/// (arguments, part of the answer)
const TYPED: &[(&[&str], &str)] = &[
    (&["tiny.yaml", "--seed", "3"], "seed=3"),
    (&["tiny.yaml", "--epochs=3"], "train.epochs=3"),
    (&["tiny.yaml", "--encoder.depth", "4"], "encoder.depth=4"),
    (&["run", "tiny.yaml"], "a run needs no command: ijepa-run tiny.yaml"),
    (&["-q", "check", "tiny.yaml"], "ijepa-run check tiny.yaml"),
    (&["completion"], "ijepa-run completions bash"),
    (&["seed=3", "tiny.yaml"], "ijepa-run tiny.yaml seed=3"),
    (&["."], "name one of its files: ./tiny.yaml"),
    (&["tiny.yaml", "tiny.yaml"], "one file is run at a time"),
    (&["tiny.yaml", "lr=0.1"], "did you mean `learning_rate`?"),
    (&["tiny.yaml", "optimizer.lr=0.1"], "did you mean `learning_rate`?"),
    (&["tiny.yaml", "batch_size=32"], "did you mean `train.batch_size`?"),
    (&["tiny.yaml", "loss=mse"], "did you mean `l2`?"),
    (&["tiny.yaml", "encoder=vit_small"], "`{ kind: vit, preset: small }`"),
    (
        &["tiny.yaml", "masking=random", "masking.targets=3"],
        "it is a setting of `fixed_context`, `multiblock`, `multiblock_batch`",
    ),
    (&["tiny.yaml", "masking.targets=1..4", "-m"], "masking.targets=1,2,3,4"),
    (&["tiny.yaml", "-m", "masking.targets=range(1,4)"], "masking.targets=1,2,3,4"),
    (&["tiny.yaml", "-m", "masking.targets=1,"], "lists an empty value"),
    (&["tiny.yaml", "encoder.depth="], "encoder.depth=null"),
    (&["tiny.yaml", "learning_rate=-1"], "allowed: 0 to"),
    (&["tiny.yaml", "learning_rate={", "kind:", "cosine", "}"], "put the whole override in quotes"),
    (
        &["tiny.yaml", "learning_rate={ kind: warmup_cosine, peak: 1e-3, warmup_epochs: 10 }"],
        "learning_rate.warmup_epochs=0.3",
    ),
    (&["components", "maskin"], "did you mean masking?"),
    (&["components", "vit_small"], "`components encoder vit`"),
    (&["check", "encoder.depth=2"], "no file is named"),
    (&["check", "tiny.yaml", "encoder.dept=2"], "did you mean `depth`?"),
];

#[test]
fn every_first_try_gets_the_line_to_type() {
    let folder = Folder::new();
    for (typed, answer) in TYPED {
        let run = folder.run(typed);
        assert_eq!(run.code, 2, "{typed:?}: {}", run.stderr);
        assert!(run.stderr.contains(answer), "{typed:?}: `{answer}` is not in\n{}", run.stderr);
    }
    assert!(!folder.path().join("results").exists());
}

#[test]
fn what_is_right_the_first_time_stays_right() {
    let folder = Folder::new();
    for typed in [
        &["check", "tiny.yaml", "encoder.depth=1"][..],
        &["components", "multiblock"],
        &["components", "linear"],
        &["completions", "zsh"],
        &["man"],
        &["ls"],
        &["tiny.yaml", "learning_rate=1e-3", "-n"],
        &["tiny.yaml", "--results", "elsewhere", "-n"],
        &["tiny.yaml", "--output", "elsewhere", "-n"],
    ] {
        let run = folder.run(typed);
        assert_eq!(run.code, 0, "{typed:?}: {}", run.stderr);
    }
    assert!(folder.run(&["ls"]).stderr.starts_with("no runs yet"));
}

#[test]
fn home_and_variables_are_replaced_in_paths() {
    let folder = Folder::new();
    let run = |path: &str| {
        let over = format!("dataset={{ kind: cifar10, path: '{path}' }}");
        let mut command = folder.command(&["tiny.yaml", &over]);
        let output =
            command.env("HOME", folder.path()).env("DATA", folder.path().join("data")).output().unwrap();
        String::from_utf8(output.stderr).unwrap()
    };
    let home = folder.path().display().to_string();
    assert!(run("~/pics").contains(&format!("{home}/pics")), "{}", run("~/pics"));
    assert!(run("${DATA}/pics").contains(&format!("{home}/data/pics")), "{}", run("${DATA}/pics"));
    assert!(run("${NOT_SET_HERE}/pics").contains("`NOT_SET_HERE` is not set"));
}

#[test]
fn a_finished_run_shows_its_results_and_not_what_its_probes_chose() {
    let folder = Folder::new();
    let probes = "probes=[{ kind: linear, controls: [random_init] }, knn]";
    let run = folder.run(&["tiny.yaml", probes]);
    assert_eq!(run.code, 0, "{}", run.stderr);
    let lines: Vec<&str> = run.stdout.lines().collect();
    assert!(
        lines[0].is_empty() && lines[1].contains("encoder") && lines[2].contains("top1"),
        "{}",
        run.stdout
    );
    assert!(
        lines[2].contains("linear") && lines[3].contains("random_init") && lines[4].contains("knn"),
        "{}",
        run.stdout
    );
    assert!(!run.stdout.contains("learning_rate") && !run.stdout.contains("weight_decay"), "{}", run.stdout);
    let listed = folder.run(&["ls"]).stdout;
    assert!(listed.contains("% linear/class/top1"), "{listed}");
}

#[test]
fn ls_shows_what_was_changed() {
    let folder = Folder::new();
    for depth in ["encoder.depth=1", "encoder.depth=2"] {
        assert_eq!(folder.run(&["tiny.yaml", "train.epochs=1", depth]).code, 0);
    }
    let listed = folder.run(&["ls"]).stdout;
    assert!(listed.contains("encoder.depth=1") && listed.contains("encoder.depth=2"), "{listed}");
    assert!(!listed.contains("train.epochs"), "{listed}");
}
