//! Probes on a run that has ended, and probes that could never have worked.

use std::fs;

use crate::program::Folder;

const FIRST: &str = "{ kind: knn, k: 5, every: 1, encoders: [target, context], controls: [random_init] }";
const RANKME: &str = "{ kind: rankme, every: 2, encoders: [target], controls: [random_init] }";
const LINEAR: &str = "{ kind: linear, labels: [class, colour], controls: [random_init, pixels] }";

fn probes(all: &[&str]) -> String {
    format!("probes=[{}]", all.join(", "))
}

#[test]
fn a_probe_added_to_a_finished_run_leaves_the_bytes_of_one_that_was_there_from_the_start() {
    let folder = Folder::new();
    assert_eq!(folder.run(&["tiny.yaml", "-q"]).code, 0);
    let (trained, weights) = (folder.read("metrics.csv"), folder.run_folder().join("weights.safetensors"));
    let written = fs::metadata(&weights).unwrap().modified().unwrap();
    // In the middle of the list: rows are in the order of the file.
    let more = probes(&[FIRST, LINEAR, RANKME]);
    let run = folder.run(&["tiny.yaml", &more]);
    assert_eq!(run.code, 0, "{}", run.stderr);
    assert_eq!(fs::metadata(&weights).unwrap().modified().unwrap(), written, "nothing was trained");
    assert_eq!(folder.read("metrics.csv"), trained);
    let fresh = folder.run(&["tiny.yaml", &more, "--output", "fresh"]);
    assert_eq!(fresh.code, 0, "{}", fresh.stderr);
    let from_start = folder.path().join("fresh").join(folder.run_folder().file_name().unwrap());
    for file in ["probes.csv", "experiment.yaml", "metrics.json"] {
        assert_eq!(folder.read(file), fs::read_to_string(from_start.join(file)).unwrap(), "{file}");
    }
    let again = folder.run(&["tiny.yaml", &more]);
    assert!(again.code == 0 && again.stderr.contains("already done"), "{}", again.stderr);
    // A file that names fewer takes nothing away.
    let fewer = folder.run(&["tiny.yaml", &probes(&[RANKME])]);
    assert!(fewer.code == 0 && fewer.stderr.contains("already done"), "{}", fewer.stderr);
}

#[test]
fn the_probe_command_adds_and_repeats() {
    let folder = Folder::new();
    assert_eq!(folder.run(&["tiny.yaml", "-q"]).code, 0);
    let run = folder.run_folder();
    let name = run.file_name().unwrap().to_str().unwrap();
    let added = folder.run(&["probe", name, "knn={ name: few, k: 3 }", "linear"]);
    assert_eq!(added.code, 0, "{}", added.stderr);
    assert!(added.stdout.contains("few") && added.stdout.contains("balanced_accuracy"), "{}", added.stdout);
    let table = folder.read("probes.csv");
    assert!(table.contains(",few,target,class,test,top1,") && folder.read("experiment.yaml").contains("few"));
    assert_eq!(folder.run(&["probe", name, "linear"]).code, 0);
    assert_eq!(folder.read("probes.csv"), table);
    let nothing = folder.run(&["probe", name]);
    assert!(nothing.code == 0 && nothing.stderr.contains("already done"), "{}", nothing.stderr);
}

/// What is held out is held out of the probe that comes later too, and measured beside the test images.
#[test]
fn the_probe_command_measures_held_out_images_too() {
    let folder = Folder::new();
    let held_out = "dataset.validation=16";
    assert_eq!(folder.run(&["tiny.yaml", held_out, "-q"]).code, 0);
    let run = folder.run_folder();
    let added = folder.run(&["probe", run.to_str().unwrap(), "linear={ controls: [pixels] }"]);
    assert_eq!(added.code, 0, "{}", added.stderr);
    let all = probes(&[FIRST, RANKME, "{ kind: linear, controls: [pixels] }"]);
    let fresh = folder.run(&["tiny.yaml", held_out, &all, "--output", "fresh"]);
    assert_eq!(fresh.code, 0, "{}", fresh.stderr);
    let from_start = folder.path().join("fresh").join(run.file_name().unwrap());
    for file in ["probes.csv", "experiment.yaml", "metrics.json"] {
        assert_eq!(folder.read(file), fs::read_to_string(from_start.join(file)).unwrap(), "{file}");
    }
    let table = folder.read("probes.csv");
    for split in ["test", "validation"] {
        for encoder in ["target", "pixels"] {
            assert!(table.contains(&format!(",linear,{encoder},class,{split},top1,")), "{table}");
        }
    }
}

#[test]
fn what_cannot_be_made_up_for_is_refused_with_the_reason() {
    let folder = Folder::new();
    assert_eq!(folder.run(&["tiny.yaml", "-q"]).code, 0);
    let table = folder.read("probes.csv");
    let refused = |arguments: &[&str], words: &str| {
        let run = folder.run(arguments);
        assert!(run.code == 2 && run.stderr.contains(words), "{}: {}", run.code, run.stderr);
    };
    let every = probes(&[FIRST, RANKME, "{ kind: linear, every: 1 }"]);
    refused(&["tiny.yaml", &every], "weights of earlier epochs are gone");
    let other = probes(&[&FIRST.replace("k: 5", "k: 6"), RANKME]);
    refused(&["tiny.yaml", &other], "was measured at earlier steps with other settings");
    let name = folder.run_folder();
    let name = name.file_name().unwrap().to_str().unwrap();
    refused(&["probe", name, "knn={ name: far, kk: 3 }"], "kk");
    refused(&["probe", "knn"], "name a run too");
    assert_eq!(folder.read("probes.csv"), table);
    refused(
        &["tiny.yaml", &probes(&["{ kind: knn, k: 1000 }"]), "--output", "new"],
        "k is 1000 but train has 64",
    );
    let trained = fs::read_dir(folder.path().join("new"))
        .map_or(0, |entries| entries.flatten().filter(|e| e.path().join("epochs.csv").exists()).count());
    assert_eq!(trained, 0, "refused before anything was trained");
}

#[test]
fn a_run_that_has_not_ended_is_left_to_its_experiment() {
    let folder = Folder::new();
    assert_eq!(folder.run(&["tiny.yaml", "-q", "--until-epoch", "1"]).code, 75);
    let name = folder.run_folder();
    let run = folder.run(&["probe", name.to_str().unwrap(), "linear"]);
    assert!(run.code == 2 && run.stderr.contains("the run is stopped, not done"), "{}", run.stderr);
    // Continued with another probe, it measures that at its end.
    let run = folder.run(&["tiny.yaml", "-q", &probes(&[FIRST, RANKME, "linear"])]);
    assert_eq!(run.code, 0, "{}", run.stderr);
    assert!(folder.read("probes.csv").contains(",linear,target,class,test,gap,nats,"));
}

/// Whatever is written in a file works on the command line, braces and spaces included.
#[test]
fn an_entry_of_a_file_is_taken_from_the_command_line() {
    let folder = Folder::new();
    assert_eq!(folder.run(&["tiny.yaml", "-q"]).code, 0);
    let run = folder.run_folder();
    let run = run.to_str().unwrap();
    let inline =
        "{ kind: linear, encoders: [target, context], labels: [colour], controls: [random_init, pixels] }";
    let added = folder.run(&["probe", run, inline]);
    assert_eq!(added.code, 0, "{}", added.stderr);
    let table = folder.read("probes.csv");
    for encoder in ["target", "context", "random_init", "pixels"] {
        assert!(table.contains(&format!(",linear,{encoder},colour,test,top1,")), "{table}");
    }
    let refused = |word: &str, expected: &str| {
        let call = folder.run(&["probe", run, word]);
        assert!(call.code == 2 && call.stderr.contains(expected), "{word}: {}: {}", call.code, call.stderr);
    };
    refused("{ kind: linea }", "did you mean `linear`");
    refused("{ labels: [colour] }", "a probe needs its kind");
    refused("{ kind: linear, labels: [color] }", "colour");
    refused("{ kind: linear", "no YAML");
    refused("linea", "did you mean the probe linear?");
    refused("{ kind: rankme, predictions: true }", "says nothing of single images");
    assert_eq!(folder.read("probes.csv"), table);
}

#[test]
fn a_sweep_stands_for_its_runs_and_its_tables_show_the_rows() {
    let folder = Folder::new();
    let sweep = "version: 1\nname: two\nbase: tiny.yaml\nparameters: { masking.targets: [1, 2] }\nseeds: 2\n\
                 metric: { name: knn/target/class/top1 }\n";
    fs::write(folder.path().join("two.yaml"), sweep).unwrap();
    assert_eq!(folder.run(&["two.yaml", "-q"]).code, 0);
    let probe = ["probe", "two", "-q", "{ kind: linear, labels: [colour], predictions: true }"];
    let added = folder.run(&probe);
    assert_eq!(added.code, 0, "{}", added.stderr);
    let compared =
        folder.run(&["compare", "two", "--metric", "linear/target/colour/top1", "--format", "csv"]);
    assert!(
        compared.code == 0 && compared.stdout.contains("linear/target/colour/top1"),
        "{}",
        compared.stderr
    );
    let report = folder.run(&["report", "two", "--metric", "linear/target/colour/top1"]);
    assert_eq!(report.code, 0, "{}", report.stderr);
    let written = fs::read_dir(folder.path().join("results")).unwrap().flatten();
    let predictions =
        written.map(|e| e.path().join("probes/linear-target-colour-test-epoch3.predictions.csv"));
    assert_eq!(predictions.filter(|path| path.is_file()).count(), 4);
    // One that was stopped is left out of a sweep, and named.
    let fresh = Folder::new();
    fs::write(fresh.path().join("two.yaml"), sweep).unwrap();
    assert_eq!(fresh.run(&["two.yaml", "-q", "--until-epoch", "1"]).code, 75);
    let refused = fresh.run(&probe);
    assert!(
        refused.code == 2 && refused.stderr.contains("left out, since it is not done"),
        "{}",
        refused.stderr
    );
}

/// What a probe says of every image: as many right as the accuracy says, sealed with the other files.
#[test]
fn predictions_of_single_images_are_a_table() {
    let folder = Folder::new();
    let held_out = "dataset.validation=16";
    assert_eq!(folder.run(&["tiny.yaml", held_out, "-q"]).code, 0);
    let run = folder.run_folder();
    let run = run.to_str().unwrap();
    let all = "[{ kind: linear, predictions: true, labels: [class, colour] }, \
               { kind: knn, name: few, k: 3, predictions: true }, { kind: attentive, predictions: true }]";
    let added = folder.run(&["probe", run, all, "-q"]);
    assert_eq!(added.code, 0, "{}", added.stderr);
    let rows = folder.table("probes.csv");
    let value = rows[0].iter().position(|name| name == "value").unwrap();
    for (probe, labels) in
        [("linear", "class"), ("linear", "colour"), ("few", "class"), ("attentive", "class")]
    {
        for (split, images) in [("test", 20), ("validation", 16)] {
            let table =
                folder.table(&format!("probes/{probe}-target-{labels}-{split}-epoch3.predictions.csv"));
            assert_eq!(
                (table[0].join(","), table.len()),
                ("image,label,prediction,score".into(), 1 + images)
            );
            let right = table[1..].iter().filter(|row| row[1] == row[2]).count();
            let found =
                rows.iter().find(|r| r[0] == "3" && r[2..7] == [probe, "target", labels, split, "top1"]);
            let top1: f64 = found.unwrap()[value].parse().unwrap();
            assert!((top1 - 100.0 * right as f64 / images as f64).abs() < 1e-6, "{probe} {split}");
            let numbers: Vec<usize> = table[1..].iter().map(|row| row[0].parse().unwrap()).collect();
            assert!(numbers.is_sorted());
            assert_eq!(numbers == (0..images).collect::<Vec<_>>(), split == "test", "{numbers:?}");
        }
    }
    // The images are those of `features`: the same labels under the same numbers.
    assert_eq!(folder.run(&["features", run, "-o", "f.csv", "-q"]).code, 0);
    let features = fs::read_to_string(folder.path().join("f.csv")).unwrap();
    let label = features.lines().next().unwrap().split(',').position(|name| name == "colour").unwrap();
    let of = |line: &str| line.split(',').map(str::to_owned).collect::<Vec<_>>();
    let held: Vec<[String; 2]> = features
        .lines()
        .map(of)
        .filter(|row| row[0] == "validation")
        .map(|row| [row[1].clone(), row[label].clone()])
        .collect();
    let table = folder.table("probes/linear-target-colour-validation-epoch3.predictions.csv");
    assert_eq!(table[1..].iter().map(|r| [r[0].clone(), r[1].clone()]).collect::<Vec<_>>(), held);
    let verified = folder.run(&["verify", run]);
    assert_eq!(verified.code, 0, "{}", verified.stderr);
    let file = folder.run_folder().join("probes/few-target-class-test-epoch3.predictions.csv");
    fs::write(&file, "image,label,prediction\n").unwrap();
    let verified = folder.run(&["verify", run]);
    assert!(verified.code != 0, "a changed table is noticed");
}

/// Weights that a run keeps let a probe look at earlier epochs later: the table of one that was there from the
/// start.
#[test]
fn kept_weights_give_the_rows_of_earlier_epochs() {
    let folder = Folder::new();
    let keep = "train.keep_every=1";
    assert_eq!(folder.run(&["tiny.yaml", keep, "-q"]).code, 0);
    let run = folder.run_folder();
    let run = run.to_str().unwrap();
    let kept = |epoch: u64| folder.run_folder().join(format!("checkpoints/epoch-{epoch}.safetensors"));
    assert_eq!([1, 2, 3].map(|epoch| kept(epoch).is_file()), [true, true, false]);
    let linear = "{ kind: linear, every: 1, labels: [class, colour], controls: [pixels] }";
    let added = folder.run(&["probe", run, linear, "{ kind: attentive, every: 2 }", "-q"]);
    assert_eq!(added.code, 0, "{}", added.stderr);
    let all = probes(&[FIRST, RANKME, linear, "{ kind: attentive, every: 2 }"]);
    let fresh = folder.run(&["tiny.yaml", keep, &all, "--output", "fresh", "-q"]);
    assert_eq!(fresh.code, 0, "{}", fresh.stderr);
    let from_start = folder.path().join("fresh").join(folder.run_folder().file_name().unwrap());
    for file in ["probes.csv", "experiment.yaml", "metrics.json", "weights.safetensors"] {
        let there = fs::read(folder.run_folder().join(file)).unwrap();
        assert_eq!(there, fs::read(from_start.join(file)).unwrap(), "{file}");
    }
    assert_eq!(folder.run(&["verify", run]).code, 0);
    let again = folder.run(&["probe", run]);
    assert!(again.code == 0 && again.stderr.contains("already done"), "{}", again.stderr);
    // Keeping weights does not change which run it is.
    let without = folder.run(&["tiny.yaml", "-q"]);
    assert_eq!((without.code, fs::read_dir(folder.path().join("results")).unwrap().count()), (0, 1));
    // Features of an earlier epoch, and of one that was not kept.
    let first = folder.run(&["features", run, "-o", "first.npz", "--epoch", "1"]);
    assert!(first.code == 0 && first.stdout.contains("at step 4"), "{}{}", first.stdout, first.stderr);
    fs::remove_file(kept(2)).unwrap();
    let refused = folder.run(&["features", run, "-o", "second.npz", "--epoch", "2"]);
    assert!(refused.code == 1 && refused.stderr.contains("epoch-2.safetensors"), "{}", refused.stderr);
    let refused = folder.run(&["features", run, "-o", "second.npz", "--epoch", "7"]);
    assert!(refused.code != 0, "{}", refused.stderr);
}

/// The table of a sweep has what was measured on its runs later, and everything else as it was.
#[test]
fn the_table_of_a_sweep_has_the_new_metrics() {
    let folder = Folder::new();
    assert_eq!(folder.run(&["tiny.yaml", "-m", "masking.targets=1,2", "-q"]).code, 0);
    let sweeps = fs::read_dir(folder.path().join("results/sweeps")).unwrap();
    let sweep = sweeps.map(|e| e.unwrap().path()).find(|p| p.join("runs.csv").is_file()).unwrap();
    let read = || fs::read_to_string(sweep.join("runs.csv")).unwrap();
    let before = read();
    let told = folder.run(&["probe", sweep.to_str().unwrap(), "knn={ name: near, k: 3 }", "-q"]);
    assert_eq!(told.code, 0, "{}", told.stderr);
    let after = read();
    let header = |text: &str| text.lines().next().unwrap().split(',').map(str::to_owned).collect::<Vec<_>>();
    let (old, new) = (header(&before), header(&after));
    assert!(new.contains(&"metric.near/target/class/top1.last".to_owned()), "{new:?}");
    let kept: Vec<&String> = new.iter().filter(|name| !name.contains("near/")).collect();
    assert_eq!(kept, old.iter().collect::<Vec<_>>());
    // The same table as the sweep itself writes, which finds all runs done.
    assert_eq!(folder.run(&["tiny.yaml", "-m", "masking.targets=1,2", "-q"]).code, 0);
    assert_eq!(read(), after);
    let report = folder.run(&["compare", sweep.to_str().unwrap(), "--metric", "near/target/class/top1"]);
    assert_eq!(report.code, 0, "{}", report.stderr);
}
