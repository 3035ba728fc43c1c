//! CSV files of other programs in `compare`.

use std::fs;

use ijepa_run::analysis::{ColumnMap, Request, compare, render};
use proptest::prelude::*;

use super::{text, trial};

/// What people have.
const RIGHT: [&str; 6] = [
    "seed,step,acc\n0,1,50.5\n0,2,61\n1,1,52\n1,2,60.25\n2,1,51\n2,2,63\n",
    "arm,seed,acc\nbase,0,50\nbase,1,51\nbase,2,52\nbig,0,55\nbig,1,57\nbig,2,56\n",
    "seed;acc\n0;50,5\n1;51,25\n2;49,75\n",
    "seed\tacc\n0\t50.5\n1\t51.25\n2\t49.75\n",
    "\"Step\",\"run-0 - acc\",\"run-0 - acc__MIN\",\"run-0 - acc__MAX\"\n0,1,1,1\n1,2,2,2\n",
    "Name,State,seed,acc\nr0,finished,0,50\nr1,crashed,1,\nr2,finished,2,52\n",
];

/// What people say of their columns.
const MAPS: [&[&str]; 6] = [
    &[],
    &["metric=acc", "seed=seed"],
    &["metric=acc", "seed=seed", "step=step"],
    &["metric=acc", "seed=seed", "group=arm"],
    &["metric=acc", "step=step"],
    &["seed=seed", "metric=step"],
];

/// Edits one of two files and compares them.
pub fn fuzz(cases: u32, seed: u64) -> Result<(), String> {
    let folder = tempfile::tempdir().map_err(|e| e.to_string())?;
    let paths = ["a.csv", "b.csv"].map(|name| folder.path().join(name));
    let words = ["seed", "step", "acc", "arm", "NaN", "", "\"", "\"\"", "0.0", "1e9", "=1+1", "nan", "inf"];
    let words: Vec<String> = words.map(str::to_owned).to_vec();
    let blocks = RIGHT.iter().flat_map(|t| t.lines().map(|l| format!("{l}\n"))).collect();
    let which = || proptest::sample::select(RIGHT.to_vec());
    let maps = proptest::sample::select(MAPS.to_vec());
    let pair = prop_oneof![3 => which().prop_map(|t| (t, t)), 1 => (which(), which())];
    let strategy = (pair, text::edits(words, blocks), maps);
    trial::run(cases, seed, &strategy, |((a, b), edits, map)| {
        fs::write(&paths[0], text::apply(a, &edits))
            .and_then(|()| fs::write(&paths[1], b))
            .map_err(|e| e.to_string())?;
        let map = map.iter().map(|w| (*w).to_owned()).collect::<Vec<_>>();
        judge(&Request {
            inputs: paths.to_vec(),
            metric: Some("acc".into()),
            map: ColumnMap::parse(&map).map_err(|e| e.to_string())?,
            baseline: None,
            at: None,
            margin: None,
            goal: None,
        })
    })
}

/// A comparison can be shown in every form; a refusal says something.
fn judge(request: &Request) -> Result<(), String> {
    match compare(request) {
        Err(error) if error.to_string().trim().is_empty() => Err("a refusal without a word".into()),
        Err(_) => Ok(()),
        Ok(report) => {
            trial::accept();
            let json = render::json(&report).to_string();
            let tables = [40, 100].map(|width| render::table(&report, width, width < 80));
            let others = [tables.concat(), render::markdown(&report), render::latex(&report)];
            if json.is_empty() || others.iter().any(String::is_empty) {
                return Err("a comparison without text".into());
            }
            Ok(())
        }
    }
}
