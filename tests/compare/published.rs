//! Numbers of the documentation, recomputed from the tables that are kept with them.

use std::{fs, path::Path};

use crate::lab::Lab;

fn text(file: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(file)).unwrap()
}

/// `mean ± std` of every arm as the documentation writes it, the verdicts, and the first sentence.
fn arms_of(folder: &str) -> (Vec<String>, Vec<String>, String) {
    let lab = Lab::new();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    let found = lab.compare(&[folder.to_str().unwrap(), "--format", "csv", "--output", "tables"]);
    assert_eq!(found.code, 0, "{}", found.stderr);
    let column = |file: &str, names: &[&str]| -> Vec<Vec<String>> {
        let text = lab.read(file);
        let mut reader = csv::Reader::from_reader(text.as_bytes());
        let heads = reader.headers().unwrap().clone();
        let at = |name: &&str| heads.iter().position(|h| h == *name).unwrap();
        let places: Vec<usize> = names.iter().map(at).collect();
        let row = |r: csv::StringRecord| places.iter().map(|p| r[*p].to_owned()).collect();
        reader.records().map(|r| row(r.unwrap())).collect()
    };
    let number = |cell: &str| cell.parse::<f64>().unwrap();
    let values = column("tables/arms.csv", &["mean", "std"]);
    let values = values.iter().map(|r| format!("{:.1} ± {:.1}", number(&r[0]), number(&r[1]))).collect();
    let verdicts = column("tables/comparisons.csv", &["verdict"]);
    let headline = lab.compare(&[folder.to_str().unwrap()]).stdout;
    (values, verdicts.into_iter().flatten().collect(), headline.lines().next().unwrap_or_default().into())
}

#[test]
fn mask_count_x_ema_range_is_what_its_table_says() {
    let (values, verdicts, headline) = arms_of("results/mask-count-x-ema-range");
    assert_eq!(values.len(), 6);
    for file in ["README.md", "experiments/sweeps/mask-count-x-ema-range.yaml"] {
        let text = text(file);
        for value in &values {
            assert!(text.contains(value.as_str()), "{file} does not say {value}");
        }
    }
    let shown: Vec<&str> =
        verdicts.iter().map(String::as_str).filter(|v| ["better", "worse"].contains(v)).collect();
    assert_eq!(shown, ["worse", "better"]);
    // An interval that contains 0 beside `better` would need a second look.
    assert!(headline.contains("(+3.027, p = 0.048 after Holm)"), "{headline}");
    assert!(headline.contains("(-4.948, 95 % interval -9.651 to -0.2446)"), "{headline}");
}
