//! The numbers of a page are those of `compare`.

use std::collections::HashMap;

use ijepa_run::results::columns::number;
use roxmltree::{Document, Node};
use serde_json::Value;

use crate::{
    lab::{Lab, SWEEP, runs},
    page::report,
};

/// Numbers of a table by arm and field.
fn table(document: &Document, id: &str) -> HashMap<(String, String), Option<String>> {
    let table = document.descendants().find(|n| n.attribute("id") == Some(id)).expect("the table");
    let mut cells = HashMap::new();
    for row in table.descendants().filter(|n| n.has_attribute("data-arm")) {
        for cell in row.descendants().filter(|n| n.has_attribute("data-field")) {
            let name = |node: Node, key| node.attribute(key).unwrap().to_owned();
            cells.insert((name(row, "data-arm"), name(cell, "data-field")), value(cell));
        }
    }
    cells
}

/// The number in a cell, or its words where it has none.
fn value(cell: Node) -> Option<String> {
    cell.descendants().find_map(|n| n.attribute("value")).map(String::from)
}

fn compared(lab: &Lab, args: &[&str]) -> Value {
    let found = lab.run(&[&["compare"], args, &["--format", "json"]].concat());
    assert_eq!(found.code, 0, "{}", found.stderr);
    serde_json::from_str(&found.stdout).unwrap()
}

/// Every field of the table is the field of that name in `entries`.
fn assert_equal(cells: &HashMap<(String, String), Option<String>>, entries: &Value, fields: usize) {
    let mut seen = 0;
    for entry in entries.as_array().unwrap() {
        let arm = entry["arm"].as_str().unwrap();
        for ((_, field), found) in cells.iter().filter(|((a, _), _)| a == arm) {
            if let Some(expected) = entry.get(field).filter(|v| !v.is_string()) {
                assert_eq!(*found, expected.as_f64().map(number), "{arm}: {field}");
                seen += 1;
            }
        }
    }
    assert_eq!(seen, fields * entries.as_array().unwrap().len());
}

fn assert_all_equal(lab: &Lab) {
    let xml = report(lab);
    let document = Document::parse(&xml).unwrap();
    let json = compared(lab, &[SWEEP]);
    assert_equal(&table(&document, "table-arms"), &json["arms"], 9);
    assert_equal(&table(&document, "table-comparisons"), &json["comparisons"], 9);
    let varied = |c: &&Value| c["design"] == "paired" && !c["variance_paired"].is_null();
    let paired: Vec<Value> = json["comparisons"].as_array().unwrap().iter().filter(varied).cloned().collect();
    if !paired.is_empty() {
        assert_equal(&table(&document, "table-variance"), &paired.into(), 4);
    }
    let shown = |id: &str| {
        let cell = document.descendants().find(|n| n.attribute("data-run") == Some(id)).unwrap();
        value(cell)
    };
    let values = json["arms"].as_array().unwrap().iter().flat_map(|arm| arm["runs"].as_array().unwrap());
    for (run, json) in runs().iter().zip(values) {
        assert_eq!(shown(&run.id()), json["value"].as_f64().map(number), "{}", run.id());
    }
}

#[test]
fn every_number_is_that_of_compare() {
    assert_all_equal(&Lab::new());
}

#[test]
fn so_it_is_where_runs_ended_badly_or_lack_the_metric() {
    let lab = Lab::new();
    lab.state(0, "diverged");
    lab.state(4, "failed");
    lab.unmeasured(2);
    assert_all_equal(&lab);
    let xml = report(&lab);
    for (word, n) in [("done", 7), ("diverged", 1), ("failed", 1), ("unreadable", 9)] {
        assert!(xml.contains(&format!("<span data-count=\"{word}\">{n}</span>")), "{word}");
    }
}

#[test]
fn a_sweep_is_compared_by_its_arms_and_its_own_metric() {
    let lab = Lab::new();
    let json = compared(&lab, &[SWEEP]);
    assert_eq!(
        (json["metric"].as_str(), json["goal"].as_str()),
        (Some("knn/target/class/top1"), Some("higher"))
    );
    assert_eq!(json["baseline"], "masking.targets=1,ema.start=0.9");
    assert_eq!((json["arms"].as_array().unwrap().len(), &json["arms"][5]["n"]), (6, &Value::from(3)));
    let settings: Vec<&Value> =
        json["differences"].as_array().unwrap().iter().map(|d| &d["setting"]).collect();
    assert_eq!(settings, ["masking.targets", "ema.start"]);
    // An arm that changes nothing is the baseline wherever it stands.
    let plan = lab.read(&format!("{SWEEP}/plan.csv"));
    let arm = "\"masking.targets=2,ema.start=0.99\"";
    lab.write(&format!("{SWEEP}/plan.csv"), &plan.replace(&format!("{arm}\n"), "\n"));
    assert_eq!(compared(&lab, &[SWEEP])["baseline"], "masking.targets=2,ema.start=0.99");
}

#[test]
fn the_table_alone_gives_the_same_comparison() {
    let lab = Lab::new();
    let of_folder = compared(&lab, &[SWEEP]);
    let of_table = compared(&lab, &[&format!("{SWEEP}/runs.csv")]);
    assert_eq!(of_folder["arms"], of_table["arms"]);
    assert_eq!(of_folder["comparisons"], of_table["comparisons"]);
    // Somewhere else, with the run folders gone, and columns of a later version.
    let table = lab.read(&format!("{SWEEP}/runs.csv"));
    let wider: Vec<String> =
        table.lines().enumerate().map(|(i, l)| format!("{l},{}", if i == 0 { "new" } else { "x" })).collect();
    lab.write("moved/table.csv", &(wider.join("\n") + "\n"));
    let moved = compared(&lab, &["moved/table.csv", "--metric", "knn/target/class/top1"]);
    assert_eq!(of_folder["comparisons"], moved["comparisons"]);
    let best = lab.run(&["compare", "moved/table.csv", "--at", "best"]);
    assert_eq!(best.code, 2, "{}", best.stdout);
    assert!(best.stderr.contains("holds last values only"), "{}", best.stderr);
}

#[test]
fn a_sweep_under_way_counts_what_is_there() {
    let lab = Lab::new();
    lab.write_tables("pending");
    for run in runs().iter().filter(|r| r.targets == 2) {
        std::fs::remove_dir_all(lab.path(&format!("results/{}", run.id()))).unwrap();
    }
    let json = compared(&lab, &[SWEEP]);
    assert_eq!(
        (&json["arms"][5]["n"], &json["arms"][5]["runs"][0]["why"]),
        (&Value::from(0), &Value::from("unfinished"))
    );
    let xml = report(&lab);
    assert!(xml.contains("<span data-count=\"pending\">9</span>"));
}

#[test]
fn a_sweep_folder_may_be_given_from_anywhere() {
    let lab = Lab::new();
    let whole = compared(&lab, &[SWEEP])["comparisons"].clone();
    for (folder, sweep) in [
        ("results", "sweeps/grid-0123456789ab"),
        (SWEEP, "."),
        ("results/sweeps", "../sweeps/grid-0123456789ab"),
    ] {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_ijepa-run"));
        let output = command
            .args(["compare", sweep, "--format", "json"])
            .current_dir(lab.path(folder))
            .output()
            .unwrap();
        let json: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(json["comparisons"], whole, "{sweep} in {folder}");
    }
}
