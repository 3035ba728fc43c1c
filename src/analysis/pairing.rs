//! Which runs of two arms are judged together. Decided by the planned seeds alone, never by a result.

use std::collections::HashMap;

use super::summary::{Reading, Summary};

/// Fewest common seeds for which two arms with different sets of seeds are paired.
const FEWEST_COMMON: usize = 3;

/// How two arms are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Design {
    /// Seed by seed.
    Paired,
    /// All runs of one arm against all of the other.
    Unpaired,
}

/// The outcomes of two arms that are judged together, in pairs if paired. Runs that broke down have the
/// worst outcome; those without an outcome are left out.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Sample {
    pub design: Design,
    pub baseline: Vec<f64>,
    pub arm: Vec<f64>,
    /// Common seeds that are in no pair, because a run has no outcome.
    pub incomplete_pairs: usize,
}

/// Paired if the arms have at least three seeds in common, or all of them.
pub(super) fn sample(baseline: &Summary, arm: &Summary, worst: f64) -> Sample {
    let outcome = |r: &Reading| match r.value {
        Ok(value) => Some(value),
        Err(why) if why.is_breakdown() => Some(worst),
        Err(_) => None,
    };
    let Some(common) = common_seeds(&baseline.readings, &arm.readings) else {
        let all = |arm: &Summary| arm.readings.iter().filter_map(outcome).collect();
        let (baseline, arm) = (all(baseline), all(arm));
        return Sample { design: Design::Unpaired, baseline, arm, incomplete_pairs: 0 };
    };
    let planned = common.len();
    let both = |(a, b): (usize, usize)| Some((outcome(&baseline.readings[a])?, outcome(&arm.readings[b])?));
    let (baseline, arm): (Vec<f64>, Vec<f64>) = common.into_iter().filter_map(both).unzip();
    Sample { design: Design::Paired, incomplete_pairs: planned - baseline.len(), baseline, arm }
}

/// Places of the runs of equal seeds, in the order of the arm; none if the arms are not to be paired.
fn common_seeds(baseline: &[Reading], arm: &[Reading]) -> Option<Vec<(usize, usize)>> {
    let places: HashMap<&str, usize> =
        baseline.iter().enumerate().filter_map(|(place, r)| Some((r.seed.as_deref()?, place))).collect();
    let pair = |(b, r): (usize, &Reading)| Some((*places.get(r.seed.as_deref()?)?, b));
    let common: Vec<(usize, usize)> = arm.iter().enumerate().filter_map(pair).collect();
    let all = common.len() == baseline.len() && common.len() == arm.len() && !common.is_empty();
    (all || common.len() >= FEWEST_COMMON).then_some(common)
}
