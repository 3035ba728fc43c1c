//! What a reader must know beside the numbers.

use super::{
    arms::Arm,
    compare::Study,
    error::AnalysisError,
    metric::At,
    render::short,
    runs::{Run, Series, left_out},
    summary::Summary,
};
use crate::results::RunState;

/// Notes about the comparison as a whole.
pub(super) fn general_notes(study: &Study) -> Vec<String> {
    let mut notes = Vec::new();
    if study.arms.len() == 1 {
        notes.push("there is one arm only: nothing to compare it with".into());
    }
    if let Some(chooser) = &study.chooser {
        notes.push(format!("of each run the step counts at which `{chooser}` is best"));
    }
    if let Some(primary) = &study.primary {
        notes.push(format!(
            "exploratory: the primary metric is `{primary}`; the more metrics are looked at, the more \
             verdicts are false (Holm counts the arms of one metric only)"
        ));
    }
    notes.extend(different_versions(&study.arms));
    notes.extend(study.arms.iter().filter_map(|arm| different_ends(arm, study.at, &study.metric)));
    notes
}

/// Runs whose numbers do not count because their files are damaged.
pub(super) fn damaged(runs: &[&Run], series: &[Result<Option<Series>, AnalysisError>]) -> Vec<String> {
    let damage = |(run, series): (&&Run, &Result<Option<Series>, AnalysisError>)| {
        let damage = run.damage.clone().or(series.as_ref().err().map(|e| e.to_string()))?;
        Some(left_out(&damage, &run.source))
    };
    runs.iter().zip(series).filter_map(damage).collect()
}

/// Runs that are known to be damaged before any metric is read.
pub(super) fn known_damage(runs: &[Run]) -> impl Iterator<Item = String> {
    runs.iter().filter_map(|run| Some(left_out(run.damage.as_ref()?, &run.source)))
}

/// How far an accuracy on these images is from one on all images like them.
pub(super) fn sampling_error(baseline: &Summary, test_images: Option<f64>) -> Option<String> {
    let images = test_images?;
    let error = accuracy_error(baseline.mean, images)?;
    Some(format!(
        "the test set has {images} images: an accuracy of {} % carries a sampling error of ±{} points \
         (binomial standard error); all arms share these images, so no interval or p includes it",
        short(baseline.mean),
        short(error)
    ))
}

/// Binomial standard error of an accuracy in %.
pub(super) fn accuracy_error(accuracy: f64, images: f64) -> Option<f64> {
    let share = accuracy / 100.0;
    (0.0..=1.0).contains(&share).then(|| 100.0 * (share * (1.0 - share) / images).sqrt())
}

/// A note where arms come from different versions of the program.
fn different_versions(arms: &[Arm]) -> Option<String> {
    let of_arm = |arm: &Arm| {
        let mut versions: Vec<&str> =
            arm.runs.iter().map(|r| r.version.as_str()).filter(|v| !v.is_empty()).collect();
        versions.sort_unstable();
        versions.dedup();
        (arm.label.clone(), versions.join(" and "))
    };
    let known: Vec<(String, String)> = arms.iter().map(of_arm).filter(|(_, v)| !v.is_empty()).collect();
    let first = &known.first()?.1;
    if !first.contains(" and ") && known.iter().all(|(_, versions)| versions == first) {
        return None;
    }
    let list: Vec<String> = known.iter().map(|(label, versions)| format!("{label}: {versions}")).collect();
    Some(format!(
        "runs come from different versions of the program; a difference may come from that alone ({})",
        list.join("; ")
    ))
}

/// A note where the last measurements of an arm are of different steps.
fn different_ends(arm: &Arm, at: At, metric: &str) -> Option<String> {
    if at != At::Last {
        return None;
    }
    let end = |run: &Run| match (run.state, run.series(metric)) {
        (RunState::Done, Ok(Some(series))) if run.damage.is_none() => series.last().map(|(step, _)| *step),
        _ => None,
    };
    let ends: Vec<(u64, &Run)> = arm.runs.iter().filter_map(|run| Some((end(run)?, run))).collect();
    let last = ends.iter().map(|(step, _)| *step).max()?;
    let early = |(step, run): &(u64, &Run)| {
        let seed = run.seed.as_deref().map_or(String::new(), |s| format!("seed {s} "));
        (*step < last).then(|| format!("{seed}at step {step}"))
    };
    let early: Vec<String> = ends.iter().filter_map(early).collect();
    (!early.is_empty()).then(|| {
        format!(
            "{}: its runs end at different steps, {} and the last one at step {last}; --at STEP compares one step",
            arm.label,
            early.join(", ")
        )
    })
}
