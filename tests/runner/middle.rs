//! What can be exchanged in the middle of the model: targets, terms of the loss, views, probes on tokens.

use std::fs;

use crate::program::Folder;

const VICREG: &str = "regularizers=[{ kind: vicreg, weight: 0.1 }]";

fn column(table: &[Vec<String>], name: &str) -> Vec<f64> {
    let at =
        table[0].iter().position(|n| n == name).unwrap_or_else(|| panic!("no column {name}: {:?}", table[0]));
    table[1..].iter().map(|row| row[at].parse().unwrap()).collect()
}

#[test]
fn every_term_of_the_loss_is_a_column_and_they_add_up() {
    let folder = Folder::new();
    let run = folder.run(&["tiny.yaml", "-q", VICREG]);
    assert_eq!(run.code, 0, "{}", run.stderr);
    let table = folder.table("metrics.csv");
    let [loss, prediction, vicreg] =
        ["loss", "loss.prediction", "loss.vicreg"].map(|name| column(&table, name));
    for ((loss, prediction), vicreg) in loss.iter().zip(&prediction).zip(&vicreg) {
        assert!(
            (loss - prediction - 0.1 * vicreg).abs() <= 1e-5 * loss.abs(),
            "{loss}: {prediction} {vicreg}"
        );
    }
    assert!(folder.read("metrics.json").contains("\"loss.vicreg\""));
    let compared = folder.run(&["compare", "results", "--metric", "loss.vicreg", "--format", "json"]);
    assert!(compared.code == 0 && compared.stdout.contains("loss.vicreg"), "{}", compared.stderr);
}

#[test]
fn a_run_with_terms_that_is_stopped_and_continued_leaves_the_same_bytes() {
    let folder = Folder::new();
    let terms = "regularizers=[{ kind: vicreg, weight: { kind: linear, start: 0, end: 1 }, on: context }, \
                 { kind: vicreg, name: guess, weight: 0.1, on: prediction, projector: [8, 4] }]";
    assert_eq!(folder.run(&["tiny.yaml", "-q", terms, "--output", "whole"]).code, 0);
    assert_eq!(folder.run(&["tiny.yaml", "-q", terms, "--until-epoch", "1"]).code, 75);
    assert_eq!(folder.run(&["tiny.yaml", "-q", terms, "--threads", "1"]).code, 0);
    let whole = folder.path().join("whole").join(folder.run_folder().file_name().unwrap());
    for file in ["metrics.csv", "epochs.csv", "probes.csv"] {
        assert_eq!(folder.read(file), fs::read_to_string(whole.join(file)).unwrap(), "{file}");
    }
}

/// Rows of every table without the columns of the terms.
fn without_terms(folder: &Folder) -> Vec<Vec<String>> {
    let table = folder.table("metrics.csv");
    let kept: Vec<usize> = (0..table[0].len()).filter(|i| !table[0][*i].starts_with("loss.")).collect();
    table.iter().map(|row| kept.iter().map(|i| row[*i].clone()).collect()).collect()
}

#[test]
fn a_term_of_weight_zero_changes_no_bit_of_the_rest() {
    let (plain, idle) = (Folder::new(), Folder::new());
    // A whole batch at a time, as terms need it.
    assert_eq!(plain.run(&["tiny.yaml", "-q"]).code, 0);
    let run = idle.run(&["tiny.yaml", "-q", "regularizers=[{ kind: vicreg, weight: 0, on: context }]"]);
    assert_eq!(run.code, 0, "{}", run.stderr);
    assert_eq!(without_terms(&plain), without_terms(&idle));
    assert_eq!(plain.read("probes.csv"), idle.read("probes.csv"));
}

#[test]
fn views_of_an_image_are_drawn_on_their_own_and_the_first_is_that_of_one_draw() {
    let folder = Folder::new();
    let run = folder.run(&["tiny.yaml", "-q", "masking.draws=3"]);
    assert_eq!(run.code, 0, "{}", run.stderr);
    let three = folder.table("metrics.csv");
    let one = Folder::new();
    assert_eq!(one.run(&["tiny.yaml", "-q"]).code, 0);
    let coverage = |table: &[Vec<String>]| column(table, "target_coverage").iter().sum::<f64>();
    assert!(coverage(&three) > coverage(&one.table("metrics.csv")), "more patches are predicted of an image");
    assert!(folder.read("experiment.yaml").contains("draws: 3"));
}

#[test]
fn pixels_have_no_teacher_and_say_so() {
    let folder = Folder::new();
    let refused = folder.run(&["tiny.yaml", "targets=pixels"]);
    assert_eq!(refused.code, 2);
    assert!(refused.stderr.contains("write `encoders: [context]`"), "{}", refused.stderr);
    let probes = "probes=[{ kind: knn, k: 5, encoders: [context], controls: [random_init, pixels] }]";
    let run =
        folder.run(&["tiny.yaml", "-q", "targets=pixels", "loss={ kind: l2, target: layer_norm }", probes]);
    assert_eq!(run.code, 0, "{}", run.stderr);
    let all = folder.read("probes.csv");
    assert!(all.contains(",context,") && !all.contains(",target,"), "{all}");
}

#[test]
fn a_probe_on_tokens_and_one_that_leaves_a_picture() {
    let folder = Folder::new();
    let probes = "probes=[{ kind: attentive, epochs: 2, heads: 2, batch_size: 16, controls: [pixels] }, class_similarity]";
    let run = folder.run(&["tiny.yaml", "-q", probes]);
    assert_eq!(run.code, 0, "{}", run.stderr);
    let all = folder.read("probes.csv");
    assert!(
        all.contains(",attentive,pixels,class,test,top1,") && all.contains(",class_similarity,target,class,")
    );
    let picture = folder.read("probes/class_similarity-target-class-test-epoch3.svg");
    assert!(picture.starts_with("<svg") && picture.ends_with("</svg>\n"), "{picture}");
    // Later, on the finished run, the same picture comes again.
    let name = folder.run_folder();
    fs::remove_dir_all(name.join("probes")).unwrap();
    let again = folder.run(&["probe", name.file_name().unwrap().to_str().unwrap(), "class_similarity"]);
    assert_eq!(again.code, 0, "{}", again.stderr);
    assert_eq!(folder.read("probes/class_similarity-target-class-test-epoch3.svg"), picture);
}

#[test]
fn old_names_are_refused_with_the_new_ones_in_files_of_people() {
    let folder = Folder::new();
    for (old, new) in [
        ("masking=multiblock_seed", "`multiblock_seed` is called `multiblock_batch` now"),
        ("encoder.preset=seed", "`seed` is called `cifar_small` now"),
    ] {
        let refused = folder.run(&["tiny.yaml", "-n", old]);
        assert_eq!(refused.code, 2, "{old}");
        assert!(refused.stderr.contains(new), "{}", refused.stderr);
    }
}

/// The encoder's own tokens as targets: whatever shrinks them makes them easier to predict. A weight decay of 4, far
/// above the usual, shrinks the gain of the last norm here, and the loss falls with it. Alone, the rule ends the run;
/// with the variance term of VICReg the tokens keep a spread under the same decay, the run ends by itself, and more of
/// the targets is explained than at first. (At usual decays so small a model does not collapse within 40 epochs.)
#[test]
fn shrunk_by_decay_the_encoders_own_tokens_collapse_which_a_rule_detects_and_vicreg_keeps_their_spread() {
    let folder = Folder::new();
    let base = fs::read_to_string("experiments/sweeps/base-shapes.yaml").unwrap();
    fs::write(folder.path().join("base.yaml"), base).unwrap();
    let common = [
        "base.yaml",
        "-q",
        "device=cpu",
        "dataset.train=512",
        "dataset.test=64",
        "encoder={ kind: vit, dim: 32, depth: 2, heads: 2, patch: 6 }",
        "predictor={ kind: vit, dim: 24, depth: 1, heads: 2 }",
        "targets=stop_gradient",
        "loss={ kind: l2, target: none }",
        "optimizer={ kind: adamw, decay_bias_and_norm: true }",
        "learning_rate=3.0e-3",
        "weight_decay=4.0",
        "train={ epochs: 18, batch_size: 64, log_every: 8 }",
        "probes=[]",
        "collapse=[{ metric: target_std, below: 0.25, patience: 2 }]",
    ];
    let alone = folder.run(&common);
    assert_eq!(alone.code, 3, "{}", alone.stderr);
    assert!(alone.stderr.contains("target_std is 0.2"), "{}", alone.stderr);
    let falling = column(&folder.table("metrics.csv"), "loss");
    assert!(falling[falling.len() - 1] < 0.1 * falling[0], "the loss does not show it: {falling:?}");

    let results = ["--output", "with-vicreg"];
    let terms = "regularizers=[{ kind: vicreg, weight: 1, on: pooled_context }]";
    let spread = folder.run(&[&common[..], &[terms], &results].concat());
    assert_eq!(spread.code, 0, "{}", spread.stderr);
    let mut left =
        fs::read_dir(folder.path().join(results[1])).unwrap().map(|e| e.unwrap().path().join("metrics.csv"));
    let text = fs::read_to_string(left.find(|table| table.is_file()).unwrap()).unwrap();
    let table: Vec<Vec<String>> =
        text.lines().map(|line| line.split(',').map(String::from).collect()).collect();
    let explained = column(&table, "explained_variance");
    assert!(explained[explained.len() - 1] > explained[0] + 0.2, "{explained:?}");
}
