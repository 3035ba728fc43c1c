//! Learning curves: one panel per arm, its seeds, their mean and interval, the baseline behind it.

use maud::{Markup, html};

use crate::analysis::{
    Series, Summary,
    stats::{mean, mean_interval},
};
use crate::report::{
    data::Material,
    plot::{
        chart::{base_line, levels, range},
        figure::{Figure, fitted, path, px, text},
        layout::{Panels, WIDTH},
        numbers::plain,
        scale::{Axis, Spacing},
    },
};

/// Panels of a figure at most; the arms that differ most come first.
const MOST_PANELS: usize = 24;

/// Values of a logarithmic axis span at least this factor.
const LOG_FROM: f64 = 10.0;

/// The metric over the steps, and the training loss.
pub(crate) fn figures(material: &Material) -> Vec<Figure> {
    let Material { metric_series, loss_series, report, unit, .. } = material;
    let metric = figure(material, "curves-metric", &report.metric, unit, metric_series);
    let is_loss = report.metric == "loss";
    let loss = figure(material, "curves-loss", "training loss", "", loss_series).filter(|_| !is_loss);
    metric.into_iter().chain(loss).collect()
}

/// An arm's curve.
struct Curve<'a> {
    label: &'a str,
    seeds: Vec<&'a Series>,
    /// Those of the runs that the comparison counts.
    done: Vec<&'a Series>,
    points: Vec<Point>,
}

/// Mean and interval at a step, over the runs that the comparison counts.
struct Point {
    step: u64,
    mean: f64,
    interval: Option<(f64, f64)>,
}

fn figure(
    material: &Material,
    name: &str,
    what: &str,
    unit: &str,
    series: &[Vec<Option<Series>>],
) -> Option<Figure> {
    // What is measured once has no course.
    if series.iter().flatten().flatten().all(|s| s.len() < 2) {
        return None;
    }
    let each = material.report.arms.iter().zip(series).zip(&material.labels);
    let curves: Vec<Curve> = each.map(|((arm, series), label)| curve(arm, series, label)).collect();
    let shown = shown(material, &curves);
    let axes = Axes::over(&curves, shown.len())?;
    let unit = if unit.is_empty() { String::new() } else { format!(", {unit}") };
    let head = format!("{what}{unit}{}", axes.y_spacing.note());
    let body = html! {
        (text(0.0, 12.0, "strong", "start", &head))
        @for (place, &arm) in shown.iter().enumerate() {
            (panel(&axes, name, place, &curves[arm], &curves[material.report.baseline]))
        }
        (text(WIDTH / 2.0, axes.panels.height() - 4.0, "muted small", "middle", "optimizer step"))
    };
    let empty = curves.iter().filter(|c| c.seeds.is_empty()).count();
    let left_out =
        [(empty, "without a measurement"), (curves.len() - empty - shown.len(), "that differ less")]
            .into_iter()
            .filter(|(n, _)| *n > 0)
            .map(|(n, which)| format!(" Not drawn: {n} arms {which}."))
            .collect::<String>();
    let baseline = material.report.arms[material.report.baseline].called();
    Some(Figure {
        name: name.into(),
        title: format!("{what} over training, by arm"),
        description: format!("One panel per arm; the baseline is {baseline}. {}", ends(&curves)),
        caption: format!(
            "Thin lines are single seeds, the thick line is the mean of the runs that count, the band its \
             95 % t interval (two seeds or more); the dashed grey line in every panel is the baseline, \
             {baseline}.{left_out}"
        ),
        size: (WIDTH, axes.panels.height()),
        body,
    })
}

/// Arms with a curve: in their order if there is room, else those furthest from the baseline.
fn shown(material: &Material, curves: &[Curve]) -> Vec<usize> {
    let mut arms: Vec<usize> = (0..curves.len()).filter(|&i| !curves[i].seeds.is_empty()).collect();
    if arms.len() > MOST_PANELS {
        let report = &material.report;
        let distance = |arm: usize| {
            let contrast = report.contrasts.iter().find(|c| c.arm == arm);
            contrast.map_or(f64::INFINITY, |c| c.difference.estimate.abs())
        };
        arms.sort_by(|a, b| distance(*b).total_cmp(&distance(*a)));
        arms.truncate(MOST_PANELS);
        arms.sort_unstable();
    }
    arms
}

fn curve<'a>(arm: &Summary, series: &'a [Option<Series>], label: &'a str) -> Curve<'a> {
    let seeds: Vec<&Series> = series.iter().flatten().filter(|s| !s.is_empty()).collect();
    let counted = arm.readings.iter().zip(series).filter(|(reading, _)| reading.value.is_ok());
    let done: Vec<&Series> = counted.filter_map(|(_, series)| series.as_ref()).collect();
    Curve { label, seeds, points: points(&done), done }
}

fn points(done: &[&Series]) -> Vec<Point> {
    let mut steps: Vec<u64> = done.iter().flat_map(|s| s.iter().map(|(step, _)| *step)).collect();
    steps.sort_unstable();
    steps.dedup();
    let at = |step: u64| {
        let found = |s: &&Series| s.binary_search_by_key(&step, |(step, _)| *step).ok().map(|i| s[i].1);
        let values: Vec<f64> = done.iter().filter_map(found).filter(|v| v.is_finite()).collect();
        let interval =
            (values.len() > 1).then(|| mean_interval(&values, 0.0)).flatten().map(|i| (i.low, i.high));
        (!values.is_empty()).then(|| Point { step, mean: mean(&values), interval })
    };
    steps.into_iter().filter_map(at).collect()
}

/// Where every curve ends, in words.
fn ends(curves: &[Curve]) -> String {
    let end = |c: &Curve| {
        let last = c.points.last()?;
        Some(format!("{} ends at {}.", c.label, plain(last.mean)))
    };
    curves.iter().filter_map(end).collect::<Vec<_>>().join(" ")
}

/// What the panels of a figure share.
struct Axes {
    panels: Panels,
    x_range: (f64, f64),
    y_range: (f64, f64),
    y_spacing: Spacing,
}

impl Axes {
    fn over<'a>(curves: &'a [Curve<'a>], panels: usize) -> Option<Self> {
        let finished = curves.iter().flat_map(|c| &c.points);
        let intervals: Vec<(f64, f64)> = finished.filter_map(|p| p.interval).collect();
        let values = |series: fn(&'a Curve<'a>) -> &'a Vec<&'a Series>| {
            curves.iter().flat_map(series).flat_map(|s| s.iter().map(|p| p.1)).collect::<Vec<f64>>()
        };
        // What diverged would squash the others.
        let done = values(|c| &c.done);
        let seeds = if done.is_empty() { values(|c| &c.seeds) } else { done };
        let steps = || curves.iter().flat_map(|c| &c.seeds).flat_map(|s| s.iter().map(|p| p.0 as f64));
        let (first, last) = (steps().reduce(f64::min)?, steps().reduce(f64::max)?);
        let (low, high) = range(&seeds, &intervals, 1.0)?;
        let least = seeds.iter().copied().filter(|v| v.is_finite()).fold(f64::INFINITY, f64::min);
        let log = least > 0.0 && high / least > LOG_FROM;
        Some(Axes {
            panels: Panels::of(panels),
            x_range: (first, last),
            y_range: if log { (0.8 * least, high) } else { (low, high) },
            y_spacing: if log { Spacing::Log } else { Spacing::Linear },
        })
    }
}

fn panel(axes: &Axes, name: &str, place: usize, curve: &Curve, baseline: &Curve) -> Markup {
    let field = axes.panels.field(place);
    let y = Axis::new(axes.y_spacing, axes.y_range, (field.bottom, field.top), 4);
    let x = Axis::new(Spacing::Linear, axes.x_range, (field.left, field.right), 4);
    let clip = format!("{name}-clip-{place}");
    let is_baseline = std::ptr::eq(curve, baseline);
    let label = if is_baseline { format!("baseline: {}", curve.label) } else { curve.label.to_owned() };
    html! {
        clipPath id=(clip) {
            rect x=(px(field.left)) y=(px(field.top)) width=(px(field.right - field.left))
                height=(px(field.bottom - field.top)) {}
        }
        (levels(field, &y, axes.panels.is_first_of_row(place)))
        (base_line(field, &x, axes.panels.is_last_of_column(place)))
        g clip-path=(format!("url(#{clip})")) {
            @if !is_baseline { (mean_line(&x, &y, baseline, "base drawn mean dashed")) }
            (drawn(&x, &y, curve))
        }
        (text(field.left, field.top - 7.0, "arm filled", "start",
            &fitted(&label, field.right - field.left, 12.0)))
    }
}

fn drawn(x: &Axis, y: &Axis, curve: &Curve) -> Markup {
    let place = |step: u64, value: f64| (x.at(step as f64), y.at(y.held(value)));
    let seed = |series: &Series| {
        let finite = series.iter().filter(|(_, v)| v.is_finite());
        path(&finite.map(|(step, v)| place(*step, *v)).collect::<Vec<_>>())
    };
    let banded = || curve.points.iter().filter_map(|p| Some((p.step, p.interval?)));
    let upper = banded().map(|(step, (_, high))| place(step, high));
    let lower = banded().map(|(step, (low, _))| place(step, low)).collect::<Vec<_>>();
    let band = path(&upper.chain(lower.into_iter().rev()).collect::<Vec<_>>());
    html! {
        g class="arm" {
            path class="filled band" d=(band) {}
            @for series in &curve.seeds { path class="drawn seed" d=(seed(series)) {} }
        }
        (mean_line(x, y, curve, "arm drawn mean"))
        @if let [only] = curve.points.as_slice() {
            circle class="arm filled" cx=(px(x.at(only.step as f64))) cy=(px(y.at(y.held(only.mean)))) r="3" {}
        }
    }
}

fn mean_line(x: &Axis, y: &Axis, curve: &Curve, class: &str) -> Markup {
    let place = |p: &Point| (x.at(p.step as f64), y.at(y.held(p.mean)));
    html! { path class=(class) d=(path(&curve.points.iter().map(place).collect::<Vec<_>>())) {} }
}
