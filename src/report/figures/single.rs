//! The curves of one run: a small panel per column or probe, with an axis of its own.

use maud::{Markup, html};

use crate::analysis::Series;
use crate::report::plot::{
    chart::{Field, base_line, levels, range},
    figure::{Figure, fitted, path, px, text},
    numbers::plain,
    scale::{Axis, Spacing},
};

/// Size of a panel in pixels: several fit beside each other, one fits on a phone.
const SIZE: (f64, f64) = (300.0, 176.0);

/// Values of a logarithmic axis span at least this factor.
const LOG_FROM: f64 = 10.0;

/// A series of a run.
pub(crate) struct Curve {
    /// Name of the metric.
    pub name: String,
    /// Unit of the values; empty where unknown.
    pub unit: String,
    /// What it means.
    pub meaning: String,
    /// Values by step.
    pub series: Series,
}

/// The panel of a series; none for fewer than two finite values.
pub(crate) fn panel(curve: &Curve) -> Option<Figure> {
    let finite: Vec<(u64, f64)> = curve.series.iter().copied().filter(|(_, v)| v.is_finite()).collect();
    let values: Vec<f64> = finite.iter().map(|p| p.1).collect();
    let [(first, start), .., (last, end)] = finite.as_slice() else { return None };
    let (low, high) = range(&values, &[], 1.0)?;
    let least = values.iter().copied().fold(f64::INFINITY, f64::min);
    let log = curve.name.contains("loss") && least > 0.0 && high / least > LOG_FROM;
    let field = Field { left: 54.0, top: 26.0, right: SIZE.0 - 10.0, bottom: SIZE.1 - 24.0 };
    let (spacing, ends) =
        if log { (Spacing::Log, (0.8 * least, high)) } else { (Spacing::Linear, (low, high)) };
    let y = Axis::new(spacing, ends, (field.bottom, field.top), 4);
    let x = Axis::new(Spacing::Linear, (*first as f64, *last as f64), (field.left, field.right), 3);
    let unit =
        if matches!(curve.unit.as_str(), "" | "1") { String::new() } else { format!(", {}", curve.unit) };
    let id: String = curve.name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect();
    Some(Figure {
        name: format!("curve-{id}"),
        title: format!("{}{unit} over training", curve.name),
        description: format!("From {} at step {first} to {} at step {last}.", plain(*start), plain(*end)),
        caption: curve.meaning.clone(),
        size: SIZE,
        body: body(&format!("{}{unit}", curve.name), field, (&x, &y), &finite),
    })
}

fn body(head: &str, field: Field, (x, y): (&Axis, &Axis), points: &[(u64, f64)]) -> Markup {
    let places: Vec<(f64, f64)> = points.iter().map(|(step, v)| (x.at(*step as f64), y.at(*v))).collect();
    html! {
        (text(0.0, 12.0, "strong", "start", &fitted(head, SIZE.0, 12.0)))
        (levels(field, y, true))
        (base_line(field, x, true))
        path class="arm drawn mean" d=(path(&places)) {}
        @if places.len() < 12 {
            @for (x, y) in &places { circle class="arm filled" cx=(px(*x)) cy=(px(*y)) r="3" {} }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn curve(name: &str, series: Series) -> Curve {
        Curve { name: name.into(), unit: "%".into(), meaning: String::new(), series }
    }

    #[test]
    fn a_series_of_one_value_has_no_course() {
        assert!(panel(&curve("loss", vec![(1, 2.0)])).is_none());
        assert!(panel(&curve("loss", vec![(1, 2.0), (2, f64::NAN)])).is_none());
        let figure = panel(&curve("knn/target/class/top1", vec![(4, 10.0), (8, 20.0)])).unwrap();
        assert_eq!(figure.name, "curve-knn-target-class-top1");
        assert_eq!(figure.title, "knn/target/class/top1, % over training");
        assert!(!figure.body.into_string().contains("NaN"));
    }
}
