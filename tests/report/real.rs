//! A sweep that the program has trained itself.

use std::fs;

use crate::program::Folder;

/// The row of the only step of a run.
fn first_row(folder: &Folder, run: &str) -> (f64, f64) {
    let text = fs::read_to_string(folder.path().join("results").join(run).join("metrics.csv")).unwrap();
    let mut reader = csv::Reader::from_reader(text.as_bytes());
    let header = reader.headers().unwrap().clone();
    let row = reader.records().next().unwrap().unwrap();
    let number = |name: &str| row[header.iter().position(|h| h == name).unwrap()].parse().unwrap();
    (number("context_patches"), number("target_coverage"))
}

#[test]
fn masks_are_those_that_training_drew() {
    let folder = Folder::new();
    let sweep = "base: tiny.yaml\nparameters: { masking.targets: [1, 3] }\nseeds: 2\n";
    fs::write(folder.path().join("real.yaml"), sweep).unwrap();
    // One batch holds all images, so the first row tells of all masks.
    let run = folder.run(&["real.yaml", "dataset.train=16", "train.epochs=1", "-q"]);
    assert_eq!(run.code, 0, "{}", run.stderr);
    let report =
        folder.run(&["report", "real", "--metric", "knn/target/class/top1", "--output", "page.html"]);
    assert_eq!(report.code, 0, "{}", report.stderr);
    let page = fs::read_to_string(folder.path().join("page.html")).unwrap();
    let table = fs::read_dir(folder.path().join("results/sweeps")).unwrap().next().unwrap().unwrap().path();
    let plan = fs::read_to_string(table.join("plan.csv")).unwrap();
    let firsts = plan.lines().skip(1).step_by(2).map(|line| line.split(',').nth(1).unwrap());
    for run in firsts {
        let (context, targets) = first_row(&folder, run);
        let shown = format!("context {context:.1}, targets {targets:.1} of 16");
        assert!(page.contains(&shown), "{run}: {shown}");
    }
    assert!(page.contains("<code>masking.targets=3</code>") && page.contains("data:image/png;base64,"));
}
