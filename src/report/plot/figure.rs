//! A figure: a drawing with a title and a description, inside a page or as a file of its own.

use maud::{Markup, PreEscaped, html};

/// Colours, fonts and line styles of every figure.
pub(crate) const STYLE: &str = include_str!("figure.css");

/// Margin of a figure in a file of its own, in pixels.
const MARGIN: f64 = 16.0;

/// One drawing. Its body uses the classes of [`STYLE`].
pub(crate) struct Figure {
    /// File name without ending; also the prefix of its ids.
    pub name: String,
    /// What it shows, in a few words.
    pub title: String,
    /// What a reader who cannot see it must know.
    pub description: String,
    /// What the marks mean.
    pub caption: String,
    /// Width and height in pixels at full size.
    pub size: (f64, f64),
    /// The marks.
    pub body: Markup,
}

impl Figure {
    /// The drawing inside a page that holds [`STYLE`].
    pub fn inline(&self) -> Markup {
        self.svg(None)
    }

    /// The drawing as an SVG file in a folder beside the page; its links lead there.
    pub fn file(&self, page: &str) -> String {
        let svg = self.svg(Some(STYLE)).into_string();
        let linked = svg.replace("href=\"#", &format!("href=\"../{}#", escaped(page)));
        format!("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n{linked}\n")
    }

    fn svg(&self, style: Option<&str>) -> Markup {
        // On its own, a drawing needs the margin that a page gives it.
        let margin = if style.is_some() { MARGIN } else { 0.0 };
        let (width, height) = (px(self.size.0 + 2.0 * margin), px(self.size.1 + 2.0 * margin));
        let corner = px(-margin);
        let (title, description) = (format!("{}-title", self.name), format!("{}-desc", self.name));
        html! {
            svg xmlns="http://www.w3.org/2000/svg" class="figure" role="img"
                aria-labelledby=(format!("{title} {description}"))
                viewBox=(format!("{corner} {corner} {width} {height}")) width=(width) height=(height) {
                title id=(title) { (self.title) }
                desc id=(description) { (self.description) }
                @if let Some(style) = style {
                    style { (PreEscaped(style)) }
                    rect class="paper" x=(corner) y=(corner) width=(width) height=(height) {}
                }
                (self.body)
            }
        }
    }
}

/// A file name as part of a link.
fn escaped(name: &str) -> String {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-._~".contains(&b);
    name.bytes().map(|b| if plain(b) { char::from(b).to_string() } else { format!("%{b:02X}") }).collect()
}

/// A length or place as SVG text: hundredths of a pixel, no trailing zeros.
pub(crate) fn px(x: f64) -> String {
    let text = format!("{x:.2}");
    let text = text.trim_end_matches('0').trim_end_matches('.');
    if text == "-0" { "0".into() } else { text.into() }
}

/// A line through points; empty for fewer than two.
pub(crate) fn path(points: &[(f64, f64)]) -> String {
    let step = |(i, (x, y)): (usize, &(f64, f64))| {
        format!("{}{} {}", if i == 0 { "M" } else { "L" }, px(*x), px(*y))
    };
    if points.len() < 2 { String::new() } else { points.iter().enumerate().map(step).collect() }
}

/// A text at a place. `anchor` is `start`, `middle` or `end`.
pub(crate) fn text(x: f64, y: f64, class: &str, anchor: &str, words: &str) -> Markup {
    html! { text x=(px(x)) y=(px(y)) class=(class) text-anchor=(anchor) { (words) } }
}

/// A straight line.
pub(crate) fn line(class: &str, from: (f64, f64), to: (f64, f64)) -> Markup {
    html! { line class=(class) x1=(px(from.0)) y1=(px(from.1)) x2=(px(to.0)) y2=(px(to.1)) {} }
}

/// A filled rectangle with a share of its colour, 0 to 1.
pub(crate) fn cell(class: &str, (x, y): (f64, f64), (width, height): (f64, f64), share: f64) -> Markup {
    html! {
        rect class=(class) x=(px(x)) y=(px(y)) width=(px(width)) height=(px(height)) fill-opacity=(px(share)) {}
    }
}

/// Words that fit into `width` pixels at `size` pixels of font. Of longer ones the middle is left out: labels differ
/// at their ends.
pub(crate) fn fitted(words: &str, width: f64, size: f64) -> String {
    let most = (width / (size * LETTER)).floor().max(2.0) as usize;
    if words.chars().count() <= most {
        return words.into();
    }
    let (front, back) = (most / 2, most - most / 2 - 1);
    let count = words.chars().count();
    words.chars().take(front).chain(['…']).chain(words.chars().skip(count - back)).collect()
}

/// Width of a text in pixels, as a wide sans-serif would set it.
pub(crate) fn width_of(words: &str, size: f64) -> f64 {
    words.chars().count() as f64 * size * LETTER
}

/// Mean width of a letter in font sizes, on the safe side.
const LETTER: f64 = 0.6;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short_and_texts_are_cut() {
        assert_eq!([1.0, 0.126, -0.001, 1e3].map(px), ["1", "0.13", "0", "1000"]);
        assert_eq!(escaped("my page.html"), "my%20page.html");
        assert_eq!(fitted("encoder.depth=4", 60.0, 10.0), "encod…th=4");
        assert_eq!(path(&[(0.0, 1.0), (2.5, 3.0)]), "M0 1L2.5 3");
    }
}
