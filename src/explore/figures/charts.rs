//! Small charts over the optimizer steps, one per quantity, a colour per run.

use maud::{Markup, html};

use super::colour;
use crate::{
    analysis::Series,
    explore::curves::Chart,
    report::plot::{
        chart::{Field, base_line, levels, range},
        figure::{Figure, fitted, path, px, text},
        layout::WIDTH,
        numbers::plain,
        scale::{Axis, Spacing},
    },
};

const COLUMNS: usize = 3;
const LEFT: f64 = 52.0;
const GAP: f64 = 14.0;
const HEAD: f64 = 40.0;
const HEIGHT: f64 = 120.0;
const FOOT: f64 = 30.0;
const ROW: f64 = HEAD + HEIGHT + FOOT;

/// Values of a logarithmic axis span at least this factor.
const LOG_FROM: f64 = 20.0;

/// Charts of the same title in one panel: `runs[i]` holds those of run `i`. None without a chart.
pub(in crate::explore) fn charts(name: &str, title: &str, runs: &[(&str, &[Chart])]) -> Option<Figure> {
    let mut titles: Vec<&str> = Vec::new();
    runs.iter().flat_map(|(_, charts)| *charts).for_each(|chart| {
        if !titles.contains(&chart.title.as_str()) {
            titles.push(&chart.title);
        }
    });
    let panels: Vec<Panel> = titles.iter().filter_map(|title| Panel::of(title, runs)).collect();
    if panels.is_empty() {
        return None;
    }
    let rows = panels.len().div_ceil(COLUMNS) as f64;
    Some(Figure {
        name: name.into(),
        title: title.into(),
        description: panels.iter().flat_map(|panel| panel.ends(runs)).collect::<Vec<_>>().join(" "),
        caption: format!("{title} over the optimizer steps.{}{}", several(runs), dashes(&panels)),
        size: (WIDTH, rows * ROW),
        body: html! { @for (place, panel) in panels.iter().enumerate() { (panel.drawn(place)) } },
    })
}

fn several(runs: &[(&str, &[Chart])]) -> String {
    match runs {
        [(a, _), (b, _)] => format!(" Blue: {a}; orange: {b}."),
        _ => String::new(),
    }
}

fn dashes(panels: &[Panel]) -> &'static str {
    let named = panels.iter().any(|panel| panel.lines.iter().any(|line| line.place > 0));
    if named {
        " Several lines in a panel: solid, dashed and dotted in the order of the words above it."
    } else {
        ""
    }
}

/// One line of a panel.
struct Line<'a> {
    run: usize,
    /// Which line of its chart.
    place: usize,
    what: &'a str,
    series: &'a Series,
}

struct Panel<'a> {
    title: &'a str,
    unit: &'a str,
    lines: Vec<Line<'a>>,
    x: (f64, f64),
    y: (f64, f64),
    spacing: Spacing,
}

impl<'a> Panel<'a> {
    fn of(title: &'a str, runs: &[(&str, &'a [Chart])]) -> Option<Self> {
        let charts = runs.iter().enumerate().flat_map(|(run, (_, charts))| {
            charts.iter().filter(|chart| chart.title == title).map(move |chart| (run, chart))
        });
        let charts: Vec<(usize, &Chart)> = charts.collect();
        let of = |(run, chart): &(usize, &'a Chart)| {
            let (run, lines) = (*run, &chart.lines);
            lines.iter().enumerate().map(move |(place, (what, series))| Line { run, place, what, series })
        };
        let lines: Vec<Line> = charts.iter().flat_map(of).collect();
        let values: Vec<f64> = lines.iter().flat_map(|line| line.series.iter().map(|p| p.1)).collect();
        let steps = || lines.iter().flat_map(|line| line.series.iter().map(|p| p.0 as f64));
        let (low, high) = range(&values, &[], 1.0)?;
        let least = values.iter().copied().filter(|v| v.is_finite()).fold(f64::INFINITY, f64::min);
        let log = least > 0.0 && high / least > LOG_FROM;
        Some(Panel {
            title,
            unit: charts.first().map_or("", |(_, chart)| &chart.unit),
            x: (steps().reduce(f64::min)?, steps().reduce(f64::max)?),
            y: if log { (0.8 * least, high) } else { (low, high) },
            spacing: if log { Spacing::Log } else { Spacing::Linear },
            lines,
        })
    }

    /// Where every line ends, in words.
    fn ends(&self, runs: &[(&str, &[Chart])]) -> Vec<String> {
        let of = |line: &Line| {
            let run = if runs.len() > 1 { format!(" of {}", runs[line.run].0) } else { String::new() };
            let what = if line.what.is_empty() { String::new() } else { format!(" ({})", line.what) };
            let last = line.series.last()?.1;
            Some(format!("{}{what}{run} ends at {}.", self.title, plain(last)))
        };
        self.lines.iter().filter_map(of).collect()
    }

    /// Words over the panel that name its lines in their order.
    fn legend(&self) -> String {
        let mut words: Vec<&str> = Vec::new();
        for line in self.lines.iter().filter(|line| !line.what.is_empty()) {
            if !words.contains(&line.what) {
                words.push(line.what);
            }
        }
        words.join(", ")
    }

    fn drawn(&self, place: usize) -> Markup {
        let cell = WIDTH / COLUMNS as f64;
        let (left, top) = ((place % COLUMNS) as f64 * cell, (place / COLUMNS) as f64 * ROW);
        let field = Field {
            left: left + LEFT,
            top: top + HEAD,
            right: left + cell - GAP,
            bottom: top + HEAD + HEIGHT,
        };
        let y = Axis::new(self.spacing, self.y, (field.bottom, field.top), 4);
        let x = Axis::new(Spacing::Linear, self.x, (field.left, field.right), 5);
        let unit = if self.unit.is_empty() { String::new() } else { format!(", {}", self.unit) };
        let head = format!("{}{unit}{}", self.title, self.spacing.note());
        let room = field.right - left;
        html! {
            (text(left, top + 12.0, "strong", "start", &fitted(&head, room, 12.0)))
            (text(left, top + 28.0, "muted small", "start", &fitted(&self.legend(), room, 11.0)))
            (levels(field, &y, true))
            (base_line(field, &x, true))
            @for line in self.lines.iter().rev() { (drawn_line(line, &x, &y)) }
        }
    }
}

fn drawn_line(line: &Line, x: &Axis, y: &Axis) -> Markup {
    let finite = line.series.iter().filter(|(_, v)| v.is_finite());
    let points: Vec<(f64, f64)> = finite.map(|(step, v)| (x.at(*step as f64), y.at(y.held(*v)))).collect();
    let dash = ["", " dashed", " dotted"][line.place.min(2)];
    html! {
        @if let [(x, y)] = points.as_slice() {
            circle class=(format!("{} filled", colour(line.run))) cx=(px(*x)) cy=(px(*y)) r="3" {}
        } @else {
            path class=(format!("{} drawn curve{dash}", colour(line.run))) d=(path(&points)) {}
        }
    }
}
