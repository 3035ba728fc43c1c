//! `show` and `ls`: runs from their files alone.

use std::fs;

use crate::lab::{Lab, runs, status};

#[test]
fn a_run_is_shown_by_its_folder_its_name_or_its_identity() {
    let lab = Lab::new();
    let run = &runs()[4];
    let folder = format!("results/{}", run.id());
    let found = lab.run(&["show", &folder]);
    assert_eq!(found.code, 0, "{}", found.stderr);
    for line in [
        "state  done, unsealed; step 12 of 12 (100 %)",
        "arm    masking.targets=1,ema.start=0.99 of sweep grid-0123456789ab",
        "masking        multiblock targets=1 min_context=2",
        "ema            linear start=0.99 end=1.0",
        "probes.0       knn k=5 every=1",
        "probes.csv       1",
        "repeat  ijepa-run results/tiny-s1-",
    ] {
        let squeezed = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(squeezed(&found.stdout).contains(&squeezed(line)), "{line}\n{}", found.stdout);
    }
    let (name, identity) = (run.id(), run.id()[8..].to_owned());
    assert_eq!(lab.run(&["show", &name[..name.len() - 2]]).code, 2, "several seeds and arms");
    assert_eq!(lab.run(&["show", &name]).stdout, found.stdout);
    let several = lab.run(&["show", &identity]);
    assert!(several.code == 2 && several.stderr.contains("means 3 runs"), "{}", several.stderr);
    let unknown = lab.run(&["show", "tinny"]);
    assert!(
        unknown.stderr.contains("there is no run `tinny` in results\n  help: did you mean tiny?"),
        "{}",
        unknown.stderr
    );
    fs::remove_file(lab.path(&format!("{folder}/status.json"))).unwrap();
    lab.write(&format!("{folder}/experiment.yaml"), "version: 1\nname: tiny\nmasking: elsewhere\n");
    let bare = lab.run(&["show", &folder]);
    // Its tables say that there was a status.
    let lost = ["unreadable", "status.json", "not known to this program"];
    assert!(lost.iter().all(|text| bare.stdout.contains(text)), "{}", bare.stdout);
    assert!(bare.stdout.contains("continue  ijepa-run "), "{}", bare.stdout);
}

#[test]
fn lists_can_be_filtered_and_sorted() {
    let lab = Lab::new();
    lab.state(1, "diverged");
    lab.state(2, "stopped");
    let rows = |args: &[&str]| lab.run(&[&["ls"], args].concat()).stdout.lines().count();
    assert_eq!(rows(&[]), 19);
    assert_eq!(rows(&["--state", "diverged,stopped"]), 3);
    assert_eq!(rows(&["--name", "iny", "--state", "done"]), 17);
    let by_state = lab.run(&["ls", "--sort", "state"]).stdout;
    assert!(by_state.lines().nth(1).unwrap().contains("diverged"), "{by_state}");
    assert!(lab.run(&["ls", "--state", "finished"]).stderr.contains("`diverged`"));
    assert!(lab.run(&["ls", "--name", "nothing"]).stderr.contains("results holds no such run folders"));
}

/// Prints the time; a busy machine must not fail the test.
#[test]
fn ten_thousand_runs_are_listed_in_a_moment() {
    let folder = tempfile::tempdir().unwrap();
    for run in 0..10_000 {
        let path = folder.path().join(format!("many-s{}-{run:012x}", run % 10));
        fs::create_dir(&path).unwrap();
        fs::write(path.join("status.json"), status("done")).unwrap();
    }
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_ijepa-run"));
    command.arg("ls").arg(folder.path());
    let start = std::time::Instant::now();
    let output = command.output().unwrap();
    println!("10,000 run folders in {:.2} s", start.elapsed().as_secs_f64());
    assert_eq!(String::from_utf8(output.stdout).unwrap().lines().count(), 10_001);
}
