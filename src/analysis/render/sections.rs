//! The three parts of a report, and the notes below them.

use super::{
    super::{
        compare::Report,
        contrast::Contrast,
        settings::{SettingDifference, essential},
        summary::Summary,
    },
    grid::Grid,
    keys::Keys,
    range, short, short_p, signed,
};

/// A part of a report.
pub(super) struct Section {
    pub title: String,
    pub grid: Grid,
}

/// Fewer runs than this are listed one by one.
const FEW: usize = 5;

/// What is compared, in a line.
pub(super) fn headline(report: &Report) -> String {
    let Report { metric, goal, at, .. } = report;
    let margin = report.margin.map_or(String::new(), |m| format!(", margin ±{m}"));
    let clause = if report.unjudged.is_empty() { goal.clause() } else { "no verdicts" };
    let role = if report.primary.is_some() { ", exploratory" } else { "" };
    format!("metric {metric} at {at}, {clause}{margin}{role}")
}

/// The parts that have something to say.
pub(super) fn sections(report: &Report, keys: &Keys) -> Vec<Section> {
    let mut sections = Vec::new();
    let differences = essential(&report.differences);
    if !differences.is_empty() {
        sections.push(Section { title: "what differs".into(), grid: settings(&differences, keys) });
    }
    sections.push(Section { title: "arms".into(), grid: arms(report, keys) });
    if !report.contrasts.is_empty() {
        let title = format!("against the baseline, {}", keys.names[report.baseline]);
        sections.push(Section { title, grid: contrasts(report, keys) });
    }
    sections
}

/// One row per arm. The settings of a component that is another one altogether are left out: its kind says
/// enough.
fn settings(differences: &[&SettingDifference], keys: &Keys) -> Grid {
    let head: Vec<&str> = std::iter::once("arm").chain(differences.iter().map(|d| d.path.as_str())).collect();
    let row = |(arm, name): (usize, &String)| {
        std::iter::once(name.clone()).chain(differences.iter().map(|d| d.values[arm].clone())).collect()
    };
    Grid::new(&head, keys.names.iter().enumerate().map(row).collect())
}

/// The best mean gets a star; that of survivors of an arm whose runs broke down cannot.
fn arms(report: &Report, keys: &Keys) -> Grid {
    let sound = report.arms.iter().filter(|arm| arm.broken() == 0);
    let best = sound.map(|arm| report.goal.oriented(arm.mean)).fold(f64::NEG_INFINITY, f64::max);
    let row = |(arm, key): (&Summary, &String)| {
        let starred = arm.broken() == 0 && report.goal.oriented(arm.mean) == best;
        let mean = format!("{}{}", short(arm.mean), if starred { " *" } else { "" });
        let [std, median, iqm, min, max] = [arm.std, arm.median, arm.iqm, arm.min, arm.max].map(short);
        let interval = arm.interval(report.step).map_or("-".into(), |i| range(i.low, i.high));
        vec![key.clone(), arm.count(), mean, interval, std, median, iqm, min, max]
    };
    let head = ["arm", "n", "mean", "95 % interval", "std", "median", "IQM", "min", "max"];
    Grid::new(&head, report.arms.iter().zip(&keys.names).map(row).collect())
}

fn contrasts(report: &Report, keys: &Keys) -> Grid {
    let mut head = vec![
        "arm",
        "design",
        "difference",
        "95 % interval",
        "verdict",
        "p",
        "p Holm",
        "p exact",
        "P(better)",
        "effect",
        "detectable",
    ];
    let remarks = report.contrasts.iter().any(|c| !c.remark().is_empty());
    head.extend(remarks.then_some("remark"));
    let row = |c: &Contrast| {
        let design = if c.paired() { format!("{} pairs", c.judged.1) } else { "unpaired".to_string() };
        let (low, high) = c.interval();
        let mut cells = vec![
            keys.names[c.arm].clone(),
            design,
            signed(c.difference.estimate),
            range(low, high),
            c.verdict.name().into(),
            short_p(c.p),
            short_p(c.p_holm),
            short_p(c.p_exact().unwrap_or(f64::NAN)),
            if c.p_improve.is_nan() { "-".into() } else { format!("{:.2}", c.p_improve) },
            if c.effect.is_finite() { format!("{:+.2}", c.effect) } else { "-".into() },
            short(c.detectable()),
        ];
        cells.extend(remarks.then(|| c.remark()));
        cells
    };
    Grid::new(&head, report.contrasts.iter().map(row).collect())
}

/// Verdicts in words, then warnings, then the values of small arms.
pub(super) fn notes(report: &Report, keys: &Keys) -> Vec<String> {
    let verdict = |c: &Contrast| {
        let remark = Some(c.remark()).filter(|r| !r.is_empty()).map_or(String::new(), |r| format!("; {r}"));
        format!("{}: {}: {}{remark}{}", keys.names[c.arm], c.verdict.name(), c.reason, saved(c))
    };
    let judged = report.contrasts.iter().filter(|_| report.unjudged.is_empty());
    let mut notes: Vec<String> = judged.map(verdict).collect();
    notes.extend(report.notes.iter().cloned());
    notes.extend(report.arms.iter().zip(&keys.names).filter_map(|(arm, key)| points(arm, key)));
    if report.contrasts.iter().any(|c| c.interval().0.is_finite()) {
        let tests = report.contrasts.first().map_or(1, |c| c.tests);
        let all = if tests > 1 { format!(" all {tests} together (Bonferroni-t)") } else { " (t)".into() };
        notes.push(format!(
            "intervals of differences hold{all} in 95 of 100 comparisons; `detectable` is the smallest true \
             difference that these runs find with 80 % power"
        ));
    }
    notes
}

fn saved(c: &Contrast) -> String {
    c.variance_saved.map_or(String::new(), |share| {
        format!("; equal seeds took away {:.0} % of the variance of the difference", 100.0 * share)
    })
}

/// The values of an arm with few runs.
fn points(arm: &Summary, key: &str) -> Option<String> {
    if arm.values.is_empty() || arm.values.len() >= FEW {
        return None;
    }
    let seed = |seed: &Option<String>| seed.as_ref().map_or(String::new(), |s| format!(" (seed {s})"));
    let point = |r: &super::super::summary::Reading| {
        r.value.ok().map(|value| format!("{}{}", short(value), seed(&r.seed)))
    };
    let list: Vec<String> = arm.readings.iter().filter_map(point).collect();
    Some(format!("{key}: {}", list.join(", ")))
}
