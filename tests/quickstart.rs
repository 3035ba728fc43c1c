//! The quickstart keeps the promise in its header: trained features beat untrained ones by a margin.
//!
//! Takes minutes, so it is ignored by default; `.ci/run` runs it. With `IJEPA_RUN_OUTPUT` set to the
//! folder of an earlier quickstart it judges that run instead of training again.

use std::{path::PathBuf, process::Command};

const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/experiments/quickstart.yaml");

#[test]
#[ignore = "trains for about two minutes"]
fn the_linear_probe_beats_the_untrained_encoder() {
    let margin = promised_margin();
    let temporary = tempfile::tempdir().unwrap();
    let output = std::env::var_os("IJEPA_RUN_OUTPUT").map_or(temporary.path().to_path_buf(), PathBuf::from);
    let status =
        Command::new(env!("CARGO_BIN_EXE_ijepa-run")).arg(FILE).arg("--output").arg(&output).status();
    assert!(status.unwrap().success());
    let (target, random) = (top1(&output, "target"), top1(&output, "random_init"));
    assert!(
        target >= random + margin,
        "target {target:.1} %, random_init {random:.1} %, promised margin {margin}"
    );
}

/// `# Margin: 12 points ...` in the header.
fn promised_margin() -> f64 {
    let text = std::fs::read_to_string(FILE).unwrap();
    let line = text.lines().find_map(|l| l.strip_prefix("# Margin:")).expect("the header states the margin");
    line.split_whitespace().next().unwrap().parse().expect("a number of points")
}

/// Colour accuracy of the linear probe at the end, in percent.
fn top1(output: &std::path::Path, encoder: &str) -> f64 {
    let run = std::fs::read_dir(output).unwrap().map(|e| e.unwrap().path());
    let run = run
        .filter(|p| p.is_dir())
        .find(|p| p.file_name().unwrap().to_string_lossy().starts_with("quickstart-"));
    let mut reader = csv::Reader::from_path(run.expect("a run folder").join("probes.csv")).unwrap();
    let rows: Vec<csv::StringRecord> = reader.records().map(Result::unwrap).collect();
    let wanted = |r: &&csv::StringRecord| {
        &r[2] == "linear" && &r[3] == encoder && &r[4] == "colour" && &r[5] == "top1"
    };
    rows.iter().rfind(wanted).expect("the probe's row")[7].parse().unwrap()
}
