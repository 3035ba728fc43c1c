//! Values with names, and settings that are walked together inside a grid.

use std::fs;

use super::{arms, folder, planned, runs, succeed, sweep_folder};

const NAMED: &str = "\
parameters:
  masking.targets: [1, 2]
  ema:
    values:
      - { name: fast, value: { kind: linear, start: 0.8, end: 0.9 } }
      - { name: slow, value: { kind: linear, start: 0.95, end: 1.0 } }
";

const TOGETHER: &str = "\
parameters:
  masking.targets: [1, 2]
  ema-range: { zip: { ema.start: [0.8, 0.95], ema.end: [0.9, 1.0] }, names: [fast, slow] }
";

const JUDGED: &str = "metric: { name: knn/target/class/top1 }\n";

/// The same points without a name.
fn unnamed(text: &str) -> String {
    let plain = text.replace("{ name: fast, value: ", "").replace("{ name: slow, value: ", "");
    plain.replace(" } }\n", " }\n").replace(", names: [fast, slow] }", " }")
}

#[test]
fn named_values_and_groups_name_the_arms() {
    let of = |axis: &str| {
        ["1", "1", "2", "2"]
            .iter()
            .zip(["fast", "slow"].iter().cycle())
            .map(|(targets, name)| format!("masking.targets={targets},{axis}={name} s0"))
            .collect::<Vec<_>>()
    };
    assert_eq!(arms(NAMED), of("ema"));
    assert_eq!(arms(TOGETHER), of("ema-range"));
    let plan = planned(TOGETHER).unwrap();
    assert_eq!(plan.parameters, ["masking.targets", "ema-range", "ema.start", "ema.end"]);
    let cells: Vec<String> = plan.parameters.iter().map(|p| plan.runs[1].parameter(p)).collect();
    assert_eq!(cells, ["1", "slow", "0.95", "1"]);
    let ema = plan.runs[0].experiment.resolved()["ema"].clone();
    assert_eq!((ema["start"].as_f64(), ema["end"].as_f64()), (Some(0.8), Some(0.9)));
    assert_eq!(
        arms("parameters:\n  r: { zip: { ema.start: [0.8, 0.95], ema.end: [0.9, 1.0] } }\n"),
        ["ema.start=0.8,ema.end=0.9 s0", "ema.start=0.95,ema.end=1 s0"],
        "without names the values name the arms"
    );
}

/// Names are presentation: they move neither a run folder nor the sweep folder.
#[test]
fn names_are_no_part_of_an_identity() {
    for text in [NAMED, TOGETHER] {
        let (named, plain) = (planned(text).unwrap(), planned(&unnamed(text)).expect(text));
        assert_ne!(named.arms(), plain.arms());
        assert_eq!(named.folder_name(), plain.folder_name());
        let folders = |plan: &ijepa_run::sweep::Plan| -> Vec<String> {
            plan.runs.iter().map(|r| r.experiment.run_folder_name()).collect()
        };
        assert_eq!(folders(&named), folders(&plain));
        let renamed = planned(&text.replace("fast", "quick")).unwrap();
        assert_eq!(named.folder_name(), renamed.folder_name());
    }
    let folders = [NAMED, TOGETHER].map(|text| {
        planned(text).unwrap().runs.iter().map(|r| r.experiment.run_folder_name()).collect::<Vec<_>>()
    });
    assert_eq!(folders[0], folders[1], "the same experiments, however they are written");
}

#[test]
fn exclusions_and_every_method_know_the_names() {
    let excluded = format!("{TOGETHER}exclude: [{{ masking.targets: 2, ema-range: slow }}]\n");
    assert_eq!(arms(&excluded).len(), 3);
    assert_eq!(arms(&format!("{NAMED}exclude: [{{ ema: fast }}]\n")).len(), 2);
    assert_eq!(arms(&format!("{NAMED}exclude: [{{ ema.start: 0.8 }}]\n")).len(), 2, "or the value itself");
    let zipped = arms(&format!("method: zip\n{TOGETHER}"));
    assert_eq!(zipped, ["masking.targets=1,ema-range=fast s0", "masking.targets=2,ema-range=slow s0"]);
    let single = arms(&format!("method: one_at_a_time\n{NAMED}"));
    assert_eq!(single[3..], ["ema=fast s0", "ema=slow s0"]);
    let drawn = arms(&format!("method: sobol\nsamples: 4\n{TOGETHER}"));
    assert!(drawn.iter().all(|arm| arm.contains(",ema-range=")), "{drawn:?}");
}

#[test]
fn mistakes_in_names_and_groups_have_their_places() {
    let mistakes = [
        (
            "parameters: { ema: [{ name: a, valu: 1 }] }\n",
            "parameters.ema.0.valu: `parameters.ema.0` has no `valu`",
        ),
        ("parameters: { ema: [{ name: a }] }\n", "parameters.ema.0: has a name but no `value`"),
        (
            "parameters: { ema: [{ name: A, value: constant }] }\n",
            "parameters.ema.0.name: is the text `A`; allowed",
        ),
        (
            "parameters: { loss: [{ name: a, value: l2 }, { name: a, value: cosine }] }\n",
            "parameters.loss.1: a value above is named `a` too",
        ),
        (
            "parameters: { loss: [{ name: a, value: l2 }, l2] }\n",
            "parameters.loss.1: the value l2 is there twice, as `a`",
        ),
        (
            "parameters: { r: { zip: { ema.start: [0.8, 0.9], ema.end: [1.0] } } }\n",
            "parameters.r.zip.ema.end: has 1 values, but `ema.start` has 2",
        ),
        (
            "parameters: { r: { zip: { ema.start: [0.8] } } }\n",
            "parameters.r.zip: names fewer than two settings",
        ),
        (
            "parameters: { r: { zip: { ema.start: [0.8], ema.end: [1] }, names: [a, b] } }\n",
            "parameters.r.names: has 2 names for 1 values",
        ),
        (
            "parameters: { ema.r: { zip: { ema.start: [0.8], ema.end: [1] } } }\n",
            "parameters.ema.r: is `ema.r`; the name",
        ),
        (
            "parameters: { r: { zip: { seed: [1], ema.end: [1] } } }\n",
            "parameters.r.zip.seed: a seed is a replication, not a parameter",
        ),
        (
            "parameters: { ema.start: [0.8], r: { zip: { ema.start: [0.9], ema.end: [1] } } }\n",
            "parameters.r: varies `ema.start`, as `ema.start` does above",
        ),
    ];
    for (text, expected) in mistakes {
        let error = planned(text).map(|p| p.runs.len()).expect_err(text);
        let said = |line: &str| line.starts_with("dir/s.yaml:2:") && line.contains(expected);
        assert!(error.lines().any(said), "{text}\n{error}");
    }
}

#[test]
fn a_finished_sweep_shows_names_and_keeps_values() {
    let folder = folder(&format!("{TOGETHER}seeds: 2\n{JUDGED}"));
    succeed(&folder.run(&["s.yaml", "-q"]));
    let table = runs(&folder);
    assert!(
        table.contains(",param.masking.targets,param.ema-range,param.ema.start,param.ema.end,"),
        "{table}"
    );
    assert_eq!(table.matches("\"masking.targets=2,ema-range=slow\"").count(), 2, "{table}");
    let plan = fs::read_to_string(sweep_folder(&folder).join("plan.csv")).unwrap();
    assert!(plan.contains("\"masking.targets=1,ema.start=0.8,ema.end=0.9\""), "{plan}");
    let compared = folder.run(&["compare", "s"]);
    succeed(&compared);
    let rows: Vec<Vec<&str>> = compared.stdout.lines().map(|l| l.split_whitespace().collect()).collect();
    let row = ["targets=1,", "ema-range=fast", "1", "0.8", "0.9"];
    assert!(rows.iter().any(|words| words[..] == row), "{}", compared.stdout);
    // A part of an arm's name is enough where it means one arm.
    let chosen = folder.run(&["compare", "s", "--baseline", "masking.targets=2,ema-range=fast"]);
    assert!(chosen.stdout.contains("against the baseline, "), "{}", chosen.stdout);
    let several = folder.run(&["compare", "s", "--baseline", "ema-range=fast"]);
    assert!(
        several.code == 2 && several.stderr.contains("2 arms are called `ema-range=fast`"),
        "{}",
        several.stderr
    );
    let page = folder.run(&["report", "s", "--no-images"]);
    succeed(&page);
    let html = fs::read_to_string(folder.path().join(page.stdout.trim())).unwrap();
    for id in ["response-masking-targets", "response-ema-range", "heat-map", "table-differences"] {
        assert!(html.contains(&format!("id=\"{id}\"")), "{id}");
    }
    assert!(!html.contains("id=\"response-ema-start\""), "a group is one parameter");
}

/// Whole components without names are told apart by what differs in them.
#[test]
fn labels_of_components_show_what_differs() {
    let folder = folder(&format!("{}seeds: 1\n{JUDGED}", unnamed(NAMED)));
    succeed(&folder.run(&["s.yaml", "-q"]));
    let compared = folder.run(&["compare", "s"]);
    succeed(&compared);
    assert!(compared.stdout.contains("start=0.8, end=0.9"), "{}", compared.stdout);
    let tables = compared.stdout.split("\nnotes\n").next().unwrap();
    assert!(tables.lines().skip(2).all(|line| line.chars().count() <= 100), "{}", compared.stdout);
    let page = folder.run(&["report", "s", "--no-images"]);
    succeed(&page);
    let heat =
        fs::read_to_string(folder.path().join(page.stdout.trim()).with_file_name("figures/heat-map.svg"));
    let heat = heat.unwrap();
    assert!(heat.contains(">start=0.8, end=0.9<") && heat.contains(">start=0.95, end=1<"), "{heat}");
}
