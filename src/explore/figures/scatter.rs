//! Images as points in the plane, coloured by a label.

use ijepa_registry::image::Labels;
use maud::{Markup, html};

use crate::report::plot::{
    figure::{Figure, fitted, px, text, width_of},
    layout::WIDTH,
    numbers::plain,
};

const GAP: f64 = 20.0;
const SIDE: f64 = (WIDTH - GAP) / 2.0;
const HEAD: f64 = 22.0;
const AIR: f64 = 10.0;
const LINE: f64 = 18.0;

/// Values of a label that have a mark of their own; the rarest others share one.
const MARKS: usize = 20;

/// Values that are named in the plane.
const NAMED: usize = 12;

/// A plane of points with its heading.
pub(in crate::explore) struct Plane<'a> {
    pub heading: String,
    pub points: &'a [[f64; 2]],
}

/// Two planes side by side, coloured by the same label.
pub(in crate::explore) fn scatter(
    name: &str,
    title: &str,
    planes: &[Plane; 2],
    labels: &Labels,
    description: &str,
) -> Figure {
    let groups = groups(labels);
    let (legend, height) = legend(labels, &groups);
    let body = html! {
        @for (place, plane) in planes.iter().enumerate() {
            @let left = place as f64 * (SIDE + GAP);
            (text(left, 12.0, "strong", "start", &plane.heading))
            rect class="frame" x=(px(left)) y=(px(HEAD)) width=(px(SIDE)) height=(px(SIDE)) {}
            (cloud(plane, labels, &groups, left))
        }
        (legend)
    };
    Figure {
        name: name.into(),
        title: title.into(),
        description: description.into(),
        caption: format!(
            "Every point is an image, its colour the label `{}`. Names stand at the medians of their points, where they \
             do not cover each other. Distances between groups in t-SNE say little; who is whose neighbour says more.",
            labels.name
        ),
        size: (WIDTH, HEAD + SIDE + 8.0 + height),
        body,
    }
}

/// Values with points, the most frequent ones first, cut where marks end: the last group may hold several values.
fn groups(labels: &Labels) -> Vec<Vec<u32>> {
    let count = |value: u32| labels.labels.iter().filter(|l| **l == value).count();
    let mut values: Vec<(usize, u32)> = (0..labels.values.len() as u32).map(|v| (count(v), v)).collect();
    values.retain(|(count, _)| *count > 0);
    if values.len() <= MARKS {
        return values.into_iter().map(|(_, value)| vec![value]).collect();
    }
    values.sort_by_key(|(count, value)| (std::cmp::Reverse(*count), *value));
    let values: Vec<u32> = values.into_iter().map(|(_, value)| value).collect();
    let (own, rest) = values.split_at(MARKS - 1);
    own.iter().map(|v| vec![*v]).chain([rest.to_vec()]).collect()
}

/// Ten colours, each with round and with square marks.
fn mark(group: usize) -> String {
    format!("c{} {}", group % 10, if group < 10 { "round" } else { "square" })
}

fn name_of(labels: &Labels, group: &[u32]) -> String {
    match group {
        [only] => labels.values[*only as usize].clone(),
        several => format!("{} others", several.len()),
    }
}

fn legend(labels: &Labels, groups: &[Vec<u32>]) -> (Markup, f64) {
    let (mut x, mut y) = (0.0, HEAD + SIDE + 24.0);
    let mut places = Vec::new();
    for (place, group) in groups.iter().enumerate() {
        let words = fitted(&name_of(labels, group), 200.0, 12.0);
        let width = 26.0 + width_of(&words, 12.0);
        if x > 0.0 && x + width > WIDTH {
            (x, y) = (0.0, y + LINE);
        }
        places.push((mark(place), words, x, y));
        x += width;
    }
    let markup = html! {
        @for (mark, words, x, y) in &places {
            path class=(format!("dots large {mark}")) d=(format!("M{} {}h0", px(x + 6.0), px(y - 4.0))) {}
            (text(x + 14.0, *y, "small", "start", words))
        }
    };
    (markup, y - HEAD - SIDE)
}

fn cloud(plane: &Plane, labels: &Labels, groups: &[Vec<u32>], left: f64) -> Markup {
    let place = placed(plane.points, (left, HEAD));
    let of = |group: &Vec<u32>| -> Vec<(f64, f64)> {
        let here = place.iter().zip(&labels.labels).filter(|(_, label)| group.contains(label));
        here.map(|(point, _)| *point).collect()
    };
    let clouds: Vec<Vec<(f64, f64)>> = groups.iter().map(of).collect();
    html! {
        @for (group, points) in clouds.iter().enumerate() {
            path class=(format!("dots {}", mark(group))) d=(dots(points)) {
                title { (name_of(labels, &groups[group])) }
            }
        }
        @for (words, (x, y)) in names(labels, groups, &clouds) {
            (text(x, y + 4.0, "strong halo", "middle", &words))
        }
    }
}

/// Names at the medians of their points; none where two would cover each other: the groups are mixed then.
fn names(labels: &Labels, groups: &[Vec<u32>], clouds: &[Vec<(f64, f64)>]) -> Vec<(String, (f64, f64))> {
    let of = |(group, points): (&Vec<u32>, &Vec<(f64, f64)>)| {
        (fitted(&name_of(labels, group), 120.0, 12.0), median(points))
    };
    let all: Vec<(String, (f64, f64))> = groups.iter().zip(clouds).map(of).collect();
    let wide = |words: &str| width_of(words, 12.0) / 2.0;
    let covers = |(a, at): &(String, (f64, f64)), (b, other): &(String, (f64, f64))| {
        (at.0 - other.0).abs() < wide(a) + wide(b) && (at.1 - other.1).abs() < 14.0
    };
    let mixed = (0..all.len()).any(|i| (0..i).any(|j| covers(&all[i], &all[j])));
    if mixed || all.len() > NAMED { Vec::new() } else { all }
}

/// Pixels of the points: both directions in one scale, so that distances can be compared. Of points that lie far
/// beyond the others (1 in 500) the distance is cut.
fn placed(points: &[[f64; 2]], (left, top): (f64, f64)) -> Vec<(f64, f64)> {
    let ends: Vec<(f64, f64)> = (0..2).map(|j| inner(points.iter().map(|p| p[j]).collect())).collect();
    let spread = ends.iter().map(|(low, high)| high - low).fold(f64::MIN_POSITIVE, f64::max);
    let scale = (SIDE - 2.0 * AIR) / spread;
    let at = |p: &[f64; 2], j: usize| {
        let middle = (ends[j].0 + ends[j].1) / 2.0;
        SIDE / 2.0 + ((p[j] - middle) * scale).clamp(AIR / 2.0 - SIDE / 2.0, SIDE / 2.0 - AIR / 2.0)
    };
    points.iter().map(|p| (left + at(p, 0), top + SIDE - at(p, 1))).collect()
}

fn inner(mut values: Vec<f64>) -> (f64, f64) {
    values.retain(|v| v.is_finite());
    values.sort_by(f64::total_cmp);
    let cut = values.len() / 1000;
    match values.len() {
        0 => (0.0, 1.0),
        n => (values[cut], values[n - 1 - cut]),
    }
}

/// Points as one path: each a line of no length, which round or square ends make visible.
fn dots(points: &[(f64, f64)]) -> String {
    let short = |v: f64| px((v * 10.0).round() / 10.0);
    points.iter().map(|(x, y)| format!("M{} {}h0", short(*x), short(*y))).collect()
}

fn median(points: &[(f64, f64)]) -> (f64, f64) {
    let of = |coordinate: fn(&(f64, f64)) -> f64| {
        let mut values: Vec<f64> = points.iter().map(coordinate).collect();
        values.sort_by(f64::total_cmp);
        values[values.len() / 2]
    };
    (of(|p| p.0), of(|p| p.1))
}

/// A heading with the shares of the variance.
pub(in crate::explore) fn components(shares: &[f64]) -> String {
    let of = |i: usize| plain(100.0 * shares.get(i).copied().unwrap_or(0.0));
    format!("PCA: components 1 ({} % of the variance) and 2 ({} %)", of(0), of(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(count: u32) -> Labels {
        let values = (0..count).map(|i| format!("v{i}")).collect();
        Labels { name: "class".into(), values, labels: (0..count).chain(0..count / 2).collect() }
    }

    #[test]
    fn rare_values_share_a_mark_and_none_is_lost() {
        assert_eq!(groups(&labels(20)).len(), 20);
        let many = groups(&labels(50));
        assert_eq!((many.len(), many.iter().map(Vec::len).sum::<usize>()), (MARKS, 50));
        assert_eq!(name_of(&labels(50), &many[MARKS - 1]), "31 others");
    }

    #[test]
    fn points_stay_in_the_field_and_keep_their_proportions() {
        let points = [[0.0, 0.0], [10.0, 0.0], [0.0, 5.0]];
        let at = placed(&points, (100.0, 20.0));
        assert!((at[1].0 - at[0].0 - (SIDE - 2.0 * AIR)).abs() < 1e-9);
        assert!((at[0].1 - at[2].1 - (SIDE - 2.0 * AIR) / 2.0).abs() < 1e-9);
        assert!(
            at.iter().all(|p| (100.0..=100.0 + SIDE).contains(&p.0) && (20.0..=20.0 + SIDE).contains(&p.1))
        );
        assert_eq!(dots(&[(1.0, 2.04)]), "M1 2h0");
    }
}
