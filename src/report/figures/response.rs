//! The metric against a parameter of the sweep.

use maud::{Markup, html};

use crate::analysis::Summary;
use crate::report::{
    data::{Material, Parameter},
    plot::{
        chart::{Field, base_line, levels, range, whisker},
        figure::{Figure, fitted, line, path, px, text, width_of},
        layout::WIDTH,
        levels::Levels,
        numbers::plain,
        scale::{Axis, Spacing},
    },
};

/// Lines that can be told apart by colour and label.
const MOST_LINES: usize = 6;
const HEIGHT: f64 = 330.0;

/// One figure per parameter with at least two values. Lines join arms that are equal in everything
/// else; where no arms are (random points), every arm is a single dot.
pub(crate) fn responses(material: &Material) -> Vec<Figure> {
    let drawn = (0..material.parameters.len()).filter_map(|p| Response::new(material, p));
    drawn.map(|response| response.figure()).collect()
}

/// Arms that differ in one parameter only.
struct Line {
    /// What else varies in the sweep, as these arms have it: `ema.end=1`.
    label: String,
    arms: Vec<usize>,
}

/// The plot of one parameter, laid out.
struct Response<'a> {
    material: &'a Material,
    path: &'a str,
    values: &'a [String],
    places: Levels,
    lines: Vec<Line>,
    field: Field,
    x: Axis,
    y: Axis,
}

impl<'a> Response<'a> {
    /// None where there is nothing to compare.
    fn new(material: &'a Material, parameter: usize) -> Option<Self> {
        let values = &material.parameters[parameter].values;
        let measured = |arm: &usize| !values[*arm].is_empty() && material.report.arms[*arm].mean.is_finite();
        let arms: Vec<usize> = (0..values.len()).filter(measured).collect();
        let places = Levels::of(arms.iter().map(|&a| values[a].as_str()));
        if places.count() < 2 {
            return None;
        }
        let lines = lines(material, parameter, &arms);
        let summaries = || lines.iter().flat_map(|l| &l.arms).map(|&a| &material.report.arms[a]);
        let points: Vec<f64> = summaries().flat_map(|arm| arm.values.iter().copied()).collect();
        let intervals: Vec<(f64, f64)> = summaries()
            .filter_map(|arm| arm.interval(material.report.step))
            .map(|i| (i.low, i.high))
            .collect();
        let ends = range(&points, &intervals, 1.0)?;
        let labels = lines.iter().map(|l| width_of(&l.label, 11.0)).fold(0.0, f64::max);
        let right = if labelled(&lines) { labels.min(240.0) + 18.0 } else { 12.0 };
        let field = Field { left: 56.0, top: 28.0, right: WIDTH - right, bottom: HEIGHT - 44.0 };
        let x = match &places {
            Levels::Numbers(numbers) => Axis::of_values(numbers, (field.left, field.right)),
            Levels::Names(names) => named_axis(names, field),
        };
        let y = Axis::new(Spacing::Linear, ends, (field.bottom, field.top), 5);
        Some(Response {
            material,
            path: &material.parameters[parameter].path,
            values,
            places,
            lines,
            field,
            x,
            y,
        })
    }

    fn figure(&self) -> Figure {
        let report = &self.material.report;
        let joined = if self.lines.iter().any(|l| l.arms.len() > 1) {
            " Lines join arms that differ in this setting only."
        } else {
            ""
        };
        let arms = self.lines.iter().flat_map(|l| &l.arms).map(|&a| &report.arms[a]);
        let means: Vec<String> = arms.map(|arm| format!("{}: {}.", arm.called(), plain(arm.mean))).collect();
        Figure {
            name: format!("response-{}", file_name(self.path)),
            title: format!("{} against {}", report.metric, self.path),
            description: format!("Means over seeds. {}", means.join(" ")),
            caption: format!(
                "Dots are means over seeds, bars their 95 % intervals, small rings single runs.{joined}"
            ),
            size: (WIDTH, HEIGHT),
            body: self.body(),
        }
    }

    fn body(&self) -> Markup {
        let middle = (self.field.left + self.field.right) / 2.0;
        let head =
            format!("{}{} against {}", self.material.report.metric, self.material.unit_suffix(), self.path);
        html! {
            (text(0.0, 12.0, "strong", "start", &head))
            (levels(self.field, &self.y, true))
            (base_line(self.field, &self.x, true))
            (text(middle, HEIGHT - 8.0, "muted", "middle", &format!("{}{}", self.path, self.x.spacing().note())))
            @for (i, line) in self.lines.iter().enumerate() { (self.line(i, line)) }
            @if labelled(&self.lines) { (self.labels()) }
        }
    }

    /// Pixel of an arm. Lines are set apart a little, so that their bars do not cover each other.
    fn place(&self, line: usize, arm: usize) -> f64 {
        let value = &self.values[arm];
        let at = match &self.places {
            Levels::Numbers(_) => value.parse().map_or(self.field.left, |v| self.x.at(v)),
            Levels::Names(_) => self.x.at(self.places.index(value).unwrap_or_default() as f64),
        };
        let (rank, count) = self.rank(line, arm);
        at + (rank as f64 - (count - 1) as f64 / 2.0) * 8.0f64.min(40.0 / count as f64)
    }

    /// Place of a line among all, or of a single dot among those with its value; and how many.
    fn rank(&self, line: usize, arm: usize) -> (usize, usize) {
        if self.lines.iter().any(|l| l.arms.len() > 1) {
            return (line, self.lines.len());
        }
        let alike: Vec<usize> =
            self.lines.iter().map(|l| l.arms[0]).filter(|&a| self.values[a] == self.values[arm]).collect();
        (alike.iter().position(|&a| a == arm).unwrap_or_default(), alike.len())
    }

    fn line(&self, index: usize, line: &Line) -> Markup {
        let mut arms: Vec<(f64, usize)> = line.arms.iter().map(|&a| (self.place(index, a), a)).collect();
        arms.sort_by(|a, b| a.0.total_cmp(&b.0));
        let summary = |arm: usize| &self.material.report.arms[arm];
        let means: Vec<(f64, f64)> = arms.iter().map(|&(x, a)| (x, self.y.at(summary(a).mean))).collect();
        html! {
            g class=(class(index, &self.lines)) {
                @if matches!(self.places, Levels::Numbers(_)) {
                    path class="drawn mean" stroke-opacity="0.6" d=(path(&means)) {}
                }
                @for &(x, arm) in &arms { (dot(arm, summary(arm), self.material.report.step, x, &self.y)) }
            }
        }
    }

    /// The name of every line at its right end, moved apart where they would touch.
    fn labels(&self) -> Markup {
        let end = |(i, line): (usize, &Line)| {
            let places = line.arms.iter().map(|&a| (self.place(i, a), a));
            let (x, arm) = places.max_by(|a, b| a.0.total_cmp(&b.0))?;
            Some((self.y.at(self.material.report.arms[arm].mean), i, x))
        };
        let mut ends: Vec<(f64, usize, f64)> = self.lines.iter().enumerate().filter_map(end).collect();
        ends.sort_by(|a, b| a.0.total_cmp(&b.0));
        let wanted: Vec<f64> = ends.iter().map(|e| e.0).collect();
        let rows = apart(&wanted, 15.0, (self.field.top, self.field.bottom));
        html! {
            @for ((at, i, from), row) in ends.iter().zip(rows) {
                g class=(class(*i, &self.lines)) {
                    (line("drawn seed", (from + 6.0, *at), (self.field.right, row)))
                    (text(self.field.right + 4.0, row + 4.0, "filled small", "start",
                        &fitted(&self.lines[*i].label, WIDTH - self.field.right - 4.0, 11.0)))
                }
            }
        }
    }
}

/// Arms by the values of all other parameters, in order of appearance: those that vary in the
/// parameter if there are any, else every arm for itself.
fn lines(material: &Material, parameter: usize, arms: &[usize]) -> Vec<Line> {
    let mut lines: Vec<Line> = Vec::new();
    for &arm in arms {
        let others = material.parameters.iter().enumerate().filter(|(p, _)| *p != parameter);
        let words: Vec<String> = others.map(|(_, p)| words(p, &p.values[arm])).collect();
        let label = words.join(", ");
        match lines.iter_mut().find(|l| l.label == label) {
            Some(line) => line.arms.push(arm),
            None => lines.push(Line { label, arms: vec![arm] }),
        }
    }
    if lines.iter().any(|l| l.arms.len() > 1) {
        lines.retain(|l| l.arms.len() > 1);
    } else {
        lines.iter_mut().for_each(|l| l.label.clear());
    }
    lines
}

/// A setting and its value; the value of a component says its settings itself.
fn words(parameter: &Parameter, value: &str) -> String {
    if value.contains('=') { value.into() } else { format!("{}={value}", parameter.path) }
}

/// Whether the lines have names at their ends: a lone line needs none.
fn labelled(lines: &[Line]) -> bool {
    (2..=MOST_LINES).contains(&lines.len()) && !lines[0].label.is_empty()
}

/// Lines with a name have a colour of their own; many of them, and single dots, share one.
fn class(line: usize, lines: &[Line]) -> String {
    if labelled(lines) { format!("s{}", line + 1) } else { "arm".into() }
}

fn named_axis(names: &[String], field: Field) -> Axis {
    let ends = (-0.5, names.len() as f64 - 0.5);
    let mut axis = Axis::new(Spacing::Linear, ends, (field.left, field.right), 1);
    let room = (field.right - field.left) / names.len() as f64;
    axis.ticks = names.iter().enumerate().map(|(i, n)| (axis.at(i as f64), fitted(n, room, 11.0))).collect();
    axis
}

/// One arm: interval, single runs, mean; a link to its runs.
fn dot(arm: usize, summary: &Summary, step: Option<f64>, x: f64, y: &Axis) -> Markup {
    let several = summary.values.len() > 1;
    html! {
        a href=(format!("#arm-{arm}")) {
            title { (format!("{}: {}", summary.label, plain(summary.mean))) }
            @if let Some(interval) = summary.interval(step) { (whisker(x, y, (interval.low, interval.high))) }
            @for value in summary.values.iter().filter(|_| several) {
                circle class="drawn" fill="none" stroke-opacity="0.6" cx=(px(x)) cy=(px(y.at(*value))) r="2.5" {}
            }
            circle class="filled" cx=(px(x)) cy=(px(y.at(summary.mean))) r="4.5" {}
        }
    }
}

/// Places near `wanted`, sorted, at least `gap` apart and between the ends if there is room.
fn apart(wanted: &[f64], gap: f64, (top, bottom): (f64, f64)) -> Vec<f64> {
    let mut rows: Vec<f64> = Vec::with_capacity(wanted.len());
    for &row in wanted {
        rows.push(rows.last().map_or(row.max(top), |last| row.max(last + gap)));
    }
    let mut limit = bottom;
    for row in rows.iter_mut().rev() {
        *row = row.min(limit);
        limit = *row - gap;
    }
    rows
}

fn file_name(path: &str) -> String {
    path.chars().map(|c| if c.is_ascii_alphanumeric() || c == '_' { c } else { '-' }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_keep_their_distance() {
        assert_eq!(apart(&[10.0, 12.0, 90.0], 10.0, (0.0, 95.0)), [10.0, 20.0, 90.0]);
        assert_eq!(apart(&[94.0, 95.0], 10.0, (0.0, 95.0)), [85.0, 95.0]);
    }
}
