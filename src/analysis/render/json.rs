//! The whole report as JSON: everything the other forms show, and every single value.

use serde_json::{Map, Value, json};

use super::super::{compare::Report, contrast::Contrast, summary::Summary};

/// The report; what could not be computed is null.
pub fn json(report: &Report) -> Value {
    let differences = report.differences.iter().map(|d| json!({ "setting": d.path, "values": d.values }));
    json!({
        "metric": report.metric,
        "goal": report.goal.name(),
        "at": report.at.to_string(),
        "margin": report.margin,
        "role": report.role(),
        "unjudged": report.unjudged,
        "step": report.step,
        "test_images": report.test_images,
        "baseline": report.arms[report.baseline].label,
        "differences": differences.collect::<Vec<_>>(),
        "arms": report.arms.iter().enumerate().map(|(i, arm)| one_arm(report, i, arm)).collect::<Vec<_>>(),
        "comparisons": report.contrasts.iter().map(|c| comparison(report, c)).collect::<Vec<_>>(),
        "notes": report.notes,
    })
}

fn one_arm(report: &Report, index: usize, arm: &Summary) -> Value {
    let parameters: Map<String, Value> =
        report.differences.iter().map(|d| (d.path.clone(), json!(d.values[index]))).collect();
    let run = |r: &super::super::summary::Reading| match r.value {
        Ok(value) => json!({ "seed": r.seed, "value": value }),
        Err(why) => json!({ "seed": r.seed, "value": null, "why": why.name() }),
    };
    let interval = arm.interval(report.step);
    json!({
        "arm": arm.label,
        "params": parameters,
        "n": arm.values.len(),
        "runs": arm.readings.iter().map(run).collect::<Vec<_>>(),
        "mean": arm.mean,
        "std": arm.std,
        "stderr": arm.standard_error,
        "median": arm.median,
        "iqm": arm.iqm,
        "ci_lo": interval.map(|i| i.low),
        "ci_hi": interval.map(|i| i.high),
        "test_stderr": report.sampling_error(arm),
        "min": arm.min,
        "max": arm.max,
    })
}

fn comparison(report: &Report, c: &Contrast) -> Value {
    let (low, high) = c.interval();
    json!({
        "arm": report.arms[c.arm].label,
        "design": if c.paired() { "paired" } else { "unpaired" },
        "n_pairs": c.paired().then_some(c.judged.1),
        "n_baseline": c.judged.0,
        "n_arm": c.judged.1,
        "diff": c.difference.estimate,
        "diff_ci_lo": low,
        "diff_ci_hi": high,
        "rel_diff_pct": c.relative(),
        "test": c.test.name(),
        "tests": c.tests,
        "p": c.p,
        "p_holm": c.p_holm,
        "p_exact": c.p_exact(),
        "p_equivalence": c.p_equivalence,
        "p_improve": c.p_improve,
        "effect_size": c.effect,
        "detectable_diff": c.detectable(),
        "variance_paired": c.variances().map(|(paired, _)| paired),
        "variance_independent": c.variances().map(|(_, independent)| independent),
        "variance_saved": c.variance_saved,
        "verdict": c.verdict.name(),
        "remark": c.remark(),
        "reason": c.reason,
    })
}
