//! Numbers of the documentation, recomputed from the tables that are kept with them.

use std::{fs, path::Path};

use crate::lab::Lab;

fn text(file: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(file)).unwrap()
}

/// Every file says every value.
fn all_say(files: &[&str], values: &[String]) {
    for file in files {
        let text = text(file);
        for value in values {
            assert!(text.contains(value.as_str()), "{file} does not say {value}");
        }
    }
}

/// Some columns of a table.
fn columns(table: &str, names: &[&str]) -> Vec<Vec<String>> {
    let mut reader = csv::Reader::from_reader(table.as_bytes());
    let heads = reader.headers().unwrap().clone();
    let at = |name: &&str| heads.iter().position(|h| h == *name).unwrap();
    let places: Vec<usize> = names.iter().map(at).collect();
    let row = |r: csv::StringRecord| places.iter().map(|p| r[*p].to_owned()).collect();
    reader.records().map(|r| row(r.unwrap())).collect()
}

/// `mean ± std` of every arm with several values, as the documentation writes it, the verdicts, and the first sentence.
fn arms_of(folder: &str) -> (Vec<String>, Vec<String>, String) {
    let lab = Lab::new();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    let found = lab.compare(&[folder.to_str().unwrap(), "--format", "csv", "--output", "tables"]);
    assert_eq!(found.code, 0, "{}", found.stderr);
    let column = |file: &str, names: &[&str]| columns(&lab.read(file), names);
    let number = |cell: &str| cell.parse::<f64>().unwrap();
    let values = column("tables/arms.csv", &["mean", "std"]);
    let several = values.iter().filter(|r| r.iter().all(|cell| !cell.is_empty()));
    let values = several.map(|r| format!("{:.1} ± {:.1}", number(&r[0]), number(&r[1]))).collect();
    let verdicts = column("tables/comparisons.csv", &["verdict"]);
    let headline = lab.compare(&[folder.to_str().unwrap()]).stdout;
    (values, verdicts.into_iter().flatten().collect(), headline.lines().next().unwrap_or_default().into())
}

#[test]
fn mask_count_x_ema_range_is_what_its_table_says() {
    let (values, verdicts, headline) = arms_of("results/mask-count-x-ema-range");
    assert_eq!(values.len(), 6);
    all_say(&["README.md", "experiments/sweeps/mask-count-x-ema-range.yaml"], &values);
    let shown: Vec<&str> =
        verdicts.iter().map(String::as_str).filter(|v| ["better", "worse"].contains(v)).collect();
    assert_eq!(shown, ["worse", "better"]);
    // An interval that contains 0 beside `better` would need a second look.
    assert!(headline.contains("(+3.027, p = 0.048 after Holm)"), "{headline}");
    assert!(headline.contains("(-4.948, 95 % interval -9.651 to -0.2446)"), "{headline}");
}

#[test]
fn mask_count_on_cifar10_is_what_its_tables_say() {
    let (values, verdicts, headline) = arms_of("results/mask-count-cifar10");
    assert_eq!(values.len(), 6);
    all_say(&["results/mask-count-cifar10/README.md", "experiments/sweeps/mask-count-cifar10.yaml"], &values);
    assert!(verdicts.iter().all(|v| v == "underpowered"), "{verdicts:?}");
    assert!(headline.contains("`masking.targets=8`: +1.276"), "{headline}");
}

/// The first seed of every arm in `f32` and in `bf16_amx`: the mean difference, and the half of its 95 % interval.
#[test]
fn how_runs_learn_with_matrix_units_is_what_their_tables_say() {
    let metric = "metric.linear/target/class/top1.last";
    let of = |folder: &str| {
        let rows = columns(&text(&format!("{folder}/runs.csv")), &["arm", "seed", metric]);
        rows.into_iter().filter(|row| row[1] == "0").collect::<Vec<_>>()
    };
    let (units, f32) = (of("results/mask-count-cifar10"), of("results/mask-count-cifar10/f32"));
    assert_eq!((units.len(), f32.len()), (6, 6));
    let differences: Vec<f64> = units
        .iter()
        .zip(&f32)
        .map(|(units, f32)| {
            assert_eq!(units[0], f32[0]);
            units[2].parse::<f64>().unwrap() - f32[2].parse::<f64>().unwrap()
        })
        .collect();
    let mean = differences.iter().sum::<f64>() / 6.0;
    let variance = differences.iter().map(|d| (d - mean).powi(2)).sum::<f64>() / 5.0;
    // Student's t with 5 degrees of freedom.
    let half = 2.571 * (variance / 6.0).sqrt();
    let says = format!("{mean:.2} ± {half:.2}").replace('-', "\u{2212}");
    all_say(&["results/mask-count-cifar10/README.md", "docs/performance.md"], &[says]);
}

#[test]
fn speedrun_screening_is_what_its_table_says() {
    let (values, verdicts, headline) = arms_of("results/speedrun-screening");
    assert_eq!(values.len(), 5);
    all_say(&["results/speedrun-screening/README.md"], &values);
    assert_eq!(&verdicts[..4], ["better", "better", "underpowered", "underpowered"]);
    assert!(headline.contains("(+7.753, 95 % interval 5.193 to 10.31)"), "{headline}");
    assert!(headline.contains("(+4.513, p = 0.047 after Holm)"), "{headline}");
}

/// `target / context` of a probe after an epoch, as a kept table has it.
fn top1(folder: &str, probe: &str, epoch: &str) -> String {
    let table = text(&format!("results/{folder}/probes.csv"));
    let of = |encoder: &str| {
        let mut reader = csv::Reader::from_reader(table.as_bytes());
        let found = reader
            .records()
            .map(Result::unwrap)
            .find(|row| [0, 2, 3, 5, 6].map(|i| &row[i]) == [epoch, probe, encoder, "test", "top1"]);
        format!("{:.2}", found.expect("a row")[8].parse::<f64>().unwrap())
    };
    format!("{} / {}", of("target"), of("context"))
}

#[test]
fn baselines_are_what_their_tables_say() {
    let page = text("results/baseline/README.md");
    let says = |page: &str, number: String| assert!(page.contains(&number), "no page says {number}");
    says(&page, top1("baseline/bf16-seed0", "linear_reference", "100"));
    for seed in 0..2 {
        says(&page, top1(&format!("baseline/50-epochs-seed{seed}"), "linear_reference", "25"));
        for images in ["50-epochs", "50-epochs-jpeg-twice"] {
            says(&page, top1(&format!("baseline/{images}-seed{seed}"), "linear_reference", "50"));
        }
    }
    let page = text("results/baseline-changes/README.md");
    for change in ["unchanged", "crop", "ema-0.97", "batch-128", "muon", "muon-batch-128"] {
        says(&page, top1(&format!("baseline-changes/{change}"), "linear", "10"));
    }
}
