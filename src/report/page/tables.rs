//! Tables of arms and comparisons: the numbers of `ijepa-run compare`, each a link to its runs.

use maud::{Markup, html};

use super::prose;
use crate::report::{data::Material, figures::forest::class, plot::numbers};
use crate::{
    analysis::{
        Contrast, SettingDifference, Summary,
        render::short_p,
        settings::{ABSENT, essential},
    },
    results::columns::number,
};

/// A number for readers that carries all its digits for programs; a dash if there is none.
pub(crate) fn value(x: f64, words: String) -> Markup {
    html! { @if !x.is_finite() { "–" } @else { data value=(number(x)) { (words) } } }
}

fn cell(arm: usize, field: &str, x: f64, words: String) -> Markup {
    html! { td class="number" data-field=(field) { a href=(format!("#arm-{arm}")) { (value(x, words)) } } }
}

fn plain(arm: usize, field: &str, x: f64) -> Markup {
    cell(arm, field, x, numbers::plain(x))
}

/// The label of an arm; a long one may break between settings.
pub(crate) fn name(label: &str) -> Markup {
    html! {
        code {
            @for (i, part) in label.split_inclusive(',').enumerate() { @if i > 0 { wbr; } (part) }
        }
    }
}

pub(crate) fn head(columns: &[(&str, &str)]) -> Markup {
    html! { thead { tr { @for (name, meaning) in columns { th scope="col" title=(meaning) { (name) } } } } }
}

/// One row per arm.
pub(crate) fn arms(material: &Material) -> Markup {
    let report = &material.report;
    let columns = [
        ("arm", "what is compared"),
        ("n", "runs with a value, of all runs"),
        ("mean", "mean over the runs"),
        ("95 % from", "lower end of the 95 % interval of the mean"),
        ("to", "upper end of the 95 % interval of the mean"),
        ("std", "standard deviation over the runs, divisor n - 1"),
        ("median", "median over the runs"),
        ("IQM", "interquartile mean"),
        ("min", "smallest value"),
        ("max", "largest value"),
    ];
    let row = |(i, arm): (usize, &Summary)| {
        let ends = arm.interval(report.step).map_or([f64::NAN; 2], |interval| [interval.low, interval.high]);
        html! {
            tr data-arm=(arm.label) {
                th scope="row" {
                    a href=(format!("#arm-{i}")) { (name(arm.called())) }
                    @if i == report.baseline { " " span class="tag" { "baseline" } }
                }
                td class="number" data-field="n" { a href=(format!("#arm-{i}")) { data value=(arm.values.len()) { (arm.count()) } } }
                (plain(i, "mean", arm.mean)) (plain(i, "ci_lo", ends[0])) (plain(i, "ci_hi", ends[1]))
                (plain(i, "std", arm.std)) (plain(i, "median", arm.median)) (plain(i, "iqm", arm.iqm))
                (plain(i, "min", arm.min)) (plain(i, "max", arm.max))
            }
        }
    };
    html! {
        div class="scroll" {
            table id="table-arms" {
                caption { "Arms: " (report.metric) (material.unit_suffix()) " over runs that differ in the seed only" }
                (head(&columns))
                tbody { @for arm in report.arms.iter().enumerate() { (row(arm)) } }
            }
        }
    }
}

/// One row per arm other than the baseline.
pub(crate) fn comparisons(material: &Material) -> Markup {
    let report = &material.report;
    let columns = [
        ("arm", "what is compared with the baseline"),
        ("verdict", "better, worse, equivalent, inconclusive, underpowered or no verdict"),
        ("pairs", "seeds with an outcome in both arms; a dash if unpaired"),
        ("difference", "mean of the arm minus mean of the baseline"),
        ("95 % from", "lower end of the simultaneous 95 % interval of the difference"),
        ("to", "upper end of the simultaneous 95 % interval of the difference"),
        ("p", "two-sided p of the test"),
        ("p Holm", "p adjusted for the number of arms"),
        ("P(better)", "probability that a run of the arm is better"),
        ("effect", "Cohen's d_z if paired, Hedges' g if not"),
        ("detectable", "smallest true difference that these runs find with 80 % power"),
    ];
    html! {
        div class="scroll" {
            table id="table-comparisons" {
                caption { "Difference from " code { (report.arms[report.baseline].called()) } ", paired by seed where the arms share at least three" }
                (head(&columns))
                tbody { @for (i, contrast) in report.contrasts.iter().enumerate() {
                        @let repeated = i > 0 && report.contrasts[i - 1].reason == contrast.reason;
                        (comparison(material, contrast, repeated))
                    } }
            }
        }
    }
}

fn comparison(material: &Material, c: &Contrast, repeated: bool) -> Markup {
    let label = &material.report.arms[c.arm].label;
    let (low, high) = c.interval();
    let pairs = if c.paired() { c.judged.1 as f64 } else { f64::NAN };
    html! {
        tr data-arm=(label) {
            th scope="row" { a href=(format!("#arm-{}", c.arm)) { (name(material.report.arms[c.arm].called())) } }
            td data-field="verdict" { span class=(format!("verdict {}", class(c.verdict))) { (c.verdict.name()) } @if !c.remark().is_empty() { " (" (prose(&c.remark())) ")" } }
            (cell(c.arm, "n_pairs", pairs, format!("{pairs}")))
            (cell(c.arm, "diff", c.difference.estimate, numbers::signed(c.difference.estimate)))
            (plain(c.arm, "diff_ci_lo", low)) (plain(c.arm, "diff_ci_hi", high))
            (cell(c.arm, "p", c.p, short_p(c.p))) (cell(c.arm, "p_holm", c.p_holm, short_p(c.p_holm)))
            (cell(c.arm, "p_improve", c.p_improve, format!("{:.2}", c.p_improve)))
            (cell(c.arm, "effect_size", c.effect, numbers::signed(c.effect)))
            (plain(c.arm, "detectable_diff", c.detectable()))
        }
        @if !repeated { tr class="reason" { td colspan="11" { (prose(&c.reason)) } } }
    }
}

/// The settings in which the arms differ, one row per arm; nothing where their names say as much.
pub(crate) fn differences(material: &Material) -> Markup {
    let report = &material.report;
    let differences = essential(&report.differences);
    let said = |arm: usize, d: &SettingDifference| {
        let path = d.path.strip_suffix(".kind").unwrap_or(&d.path);
        d.values[arm] == ABSENT || report.arms[arm].label.contains(&format!("{path}={}", d.values[arm]))
    };
    let names_say_it = (0..report.arms.len()).all(|arm| differences.iter().all(|d| said(arm, d)));
    html! {
        @if !names_say_it {
            div class="scroll" {
                table id="table-differences" {
                    caption { "What differs between the arms" }
                    thead { tr { th scope="col" { "arm" } @for d in &differences { th scope="col" { (d.path) } } } }
                    tbody { @for (i, arm) in report.arms.iter().enumerate() {
                        tr data-arm=(arm.label) {
                            th scope="row" { a href=(format!("#arm-{i}")) { (name(arm.called())) } }
                            @for d in &differences { td class="number" { (d.values[i]) } }
                        }
                    } }
                }
            }
        }
    }
}

/// What equal seeds saved, per paired arm; nothing if no arm is paired.
pub(crate) fn variance(material: &Material) -> Markup {
    let paired: Vec<(&Contrast, (f64, f64))> =
        material.report.contrasts.iter().filter_map(|c| Some((c, c.variances()?))).collect();
    let columns = [
        ("arm", "compared with the baseline"),
        ("pairs", "seeds in both arms"),
        ("paired", "variance of the difference seed by seed"),
        ("independent", "sum of both variances: the variance with independent seeds"),
        ("ratio", "independent over paired: how many times more seeds unpaired runs would need"),
        ("saved", "share of the variance that equal seeds took away; negative if they added some"),
    ];
    html! {
        @if paired.is_empty() {
            p { "No arm shares its seeds with the baseline, so there is nothing to pair." }
        } @else {
            div class="scroll" {
                table id="table-variance" {
                    caption { "Variance of the difference from the baseline, with and without pairing by seed" }
                    (head(&columns))
                    tbody { @for (c, variances) in paired { (variance_row(material, c, variances)) } }
                }
            }
        }
    }
}

fn variance_row(material: &Material, c: &Contrast, (paired, independent): (f64, f64)) -> Markup {
    let label = &material.report.arms[c.arm].label;
    let ratio = if paired > 0.0 { independent / paired } else { f64::NAN };
    let saved = c.variance_saved.unwrap_or(f64::NAN);
    html! {
        tr data-arm=(label) {
            th scope="row" { a href=(format!("#arm-{}", c.arm)) { (name(material.report.arms[c.arm].called())) } }
            (cell(c.arm, "n_pairs", c.values.len() as f64, c.values.len().to_string()))
            (plain(c.arm, "variance_paired", paired)) (plain(c.arm, "variance_independent", independent))
            (cell(c.arm, "ratio", ratio, format!("{ratio:.2}")))
            (cell(c.arm, "variance_saved", saved, format!("{:.0} %", 100.0 * saved).replacen('-', "\u{2212}", 1)))
        }
    }
}
