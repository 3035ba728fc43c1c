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
