//! Values on a grid: an accuracy moves by whole images.

/// Variance that rounding to a grid of this step adds to a value: `step² / 12` (Sheppard 1898).
pub fn grid_variance(step: Option<f64>) -> f64 {
    step.map_or(0.0, |step| step * step / 12.0)
}

/// Fewest distinct values from which a step can be told.
const FEWEST: usize = 3;
/// A step below this share of the range of the values is none: it changes nothing.
const FINEST: f64 = 1e-4;

/// The greatest step of which all values are multiples, apart from a common offset; none if they lie on no
/// grid that matters, or are too few to tell.
pub fn common_step(values: &[f64]) -> Option<f64> {
    let mut sorted: Vec<f64> = values.iter().copied().filter(|v| v.is_finite()).collect();
    sorted.sort_unstable_by(f64::total_cmp);
    let range = sorted.last()? - sorted.first()?;
    let slack = 1e-7 * sorted.iter().fold(range, |most, v| most.max(v.abs()));
    let gaps: Vec<f64> = sorted.windows(2).map(|w| w[1] - w[0]).filter(|gap| *gap > slack).collect();
    if gaps.len() + 1 < FEWEST {
        return None;
    }
    let step = gaps.iter().copied().reduce(|a, b| common_divisor(a, b, slack))?;
    (step > FINEST * range && step > 10.0 * slack).then_some(step)
}

/// Euclid's algorithm on numbers that are rounded by up to `slack`.
fn common_divisor(a: f64, b: f64, slack: f64) -> f64 {
    let (mut a, mut b) = (a.max(b), a.min(b));
    while b > slack {
        let rest = a - (a / b).round() * b;
        (a, b) = (b, rest.abs());
    }
    a
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_step_of_accuracies_is_found() {
        let close = |found: Option<f64>, step: f64| found.is_some_and(|s| (s - step).abs() < 1e-6);
        let images = |n: f64, right: &[f64]| right.iter().map(|k| 100.0 * k / n).collect::<Vec<_>>();
        assert!(close(common_step(&images(128.0, &[90.0, 91.0, 95.0, 99.0])), 0.78125));
        // Nine digits in a file.
        let thirds: Vec<f64> =
            images(300.0, &[200.0, 203.0, 205.0]).iter().map(|v| (v * 1e7).round() / 1e7).collect();
        assert!(close(common_step(&thirds), 1.0 / 3.0));
        assert!(close(common_step(&[61.2, 60.4, 62.1, 59.8]), 0.1), "rounded to a tenth");
        assert_eq!(common_step(&[0.7316, 0.91824, 1.2231, 0.531_231_2]), None);
        assert_eq!(common_step(&[61.0, 61.0, 62.0]), None, "two distinct values tell nothing");
        assert_eq!(common_step(&[]), None);
        assert!((grid_variance(Some(0.6)) - 0.03).abs() < 1e-12 && grid_variance(None) == 0.0);
    }
}
