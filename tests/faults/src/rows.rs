//! Rows of the table: which case belongs where, which are wanted, and their counts.

use std::collections::BTreeMap;

use super::{case::Case, judge::Fault, trial::Outcome};

/// Which rows, and how much of them.
#[derive(clap::Args, Debug)]
pub struct Filter {
    /// Only rows of the table with this in their name, such as damage or fuzz.
    #[arg(long, value_name = "TEXT")]
    pub only: Option<String>,
    /// At most so many cases in a row of the table, taken evenly; inputs of the fuzzer are not counted.
    #[arg(long, value_name = "N")]
    pub most: Option<usize>,
}

impl Filter {
    /// Whether a row is wanted.
    pub fn wants(&self, row: &str) -> bool {
        self.only.as_ref().is_none_or(|text| row.contains(text.as_str()))
    }

    /// The cases of the wanted rows, thinned out.
    pub fn of(&self, cases: Vec<Case>) -> Vec<Case> {
        let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
        cases.iter().for_each(|case| *counts.entry(row_of(case)).or_default() += 1);
        let mut seen: BTreeMap<&str, usize> = BTreeMap::new();
        let kept = |case: &Case| {
            let row = row_of(case);
            let (all, at) = (counts[row], seen.entry(row).or_default());
            *at += 1;
            let share = |n: usize| n * self.most.unwrap_or(all).min(all) / all;
            self.wants(row) && share(*at) > share(*at - 1)
        };
        let mut cases = cases;
        cases.retain(kept);
        cases
    }
}

/// Counts of one row.
#[derive(Default)]
pub struct Row {
    pub tried: usize,
    pub missed: usize,
    pub faults: BTreeMap<Fault, usize>,
}

impl Row {
    /// Counts a case.
    pub fn add(&mut self, outcome: &Outcome) {
        if !outcome.struck {
            self.missed += 1;
            return;
        }
        self.tried += 1;
        // A case counts once for each kind of fault, however many files show it.
        for fault in Fault::ALL.into_iter().filter(|f| outcome.findings.iter().any(|x| x.fault == *f)) {
            *self.faults.entry(fault).or_default() += 1;
        }
    }
}

/// Name of the row that a case belongs to.
pub fn row_of(case: &Case) -> &'static str {
    let dies = |action: &str| matches!(action, "kill" | "after" | "torn");
    match case {
        Case::Call { action, .. } if dies(action) => "kill at a call",
        Case::Call { .. } => "failing call",
        Case::Reader { .. } => "failing call of a reader",
        Case::Signal { signals, .. } if signals.starts_with("9@") => "kill at a moment",
        Case::Signal { .. } => "signal",
        Case::Damage { .. } => "damaged file",
        Case::SweepDamage { .. } => "damaged file of a sweep",
        Case::Sweep { .. } => "signal to a sweep",
        Case::Crowd { .. } => "several processes",
        Case::Stream { .. } => "unwritable stream",
    }
}

/// Nothing went wrong, and nothing was left untried.
pub fn is_clean(rows: &BTreeMap<&str, Row>) -> bool {
    rows.values().all(|row| row.faults.is_empty() && row.tried > 0)
}

/// The table.
pub fn print(rows: &BTreeMap<&str, Row>) {
    let kinds: Vec<Fault> = Fault::ALL.into_iter().collect();
    let heads: String = kinds.iter().map(|k| format!(" {} |", k.word())).collect();
    println!("\n| tried | count | not reached |{heads}");
    println!("|---|---|---|{}", "---|".repeat(kinds.len()));
    for (name, row) in rows {
        let cells: String = kinds.iter().map(|k| format!(" {} |", row.faults.get(k).unwrap_or(&0))).collect();
        println!("| {name} | {} | {} |{cells}", row.tried, row.missed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_thinned_out_evenly() {
        let crowds = (0..10).map(|processes| Case::Crowd { processes });
        let reader = Case::Reader { reader: "ls".into(), at: 0, action: "5".into(), sticky: false };
        let all: Vec<Case> = crowds.chain([reader.clone()]).collect();
        let of = |only: Option<&str>, most| Filter { only: only.map(str::to_owned), most }.of(all.clone());
        assert_eq!(of(None, None), all);
        assert_eq!(of(Some("reader"), Some(3)), [reader]);
        let some = [3, 6, 9].map(|processes| Case::Crowd { processes });
        assert_eq!(of(Some("several"), Some(3)), some);
    }
}
