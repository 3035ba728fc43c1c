//! Comparison of tensors with a stated tolerance.

use super::fixture::Fixture;

/// How far two values may be apart.
#[derive(Clone, Copy, Debug)]
pub enum Tolerance {
    /// `abs + rel * |expected|` per element.
    Mixed { abs: f64, rel: f64 },
    /// This share of the largest expected value of the tensor.
    OfLargest(f64),
}

impl Tolerance {
    fn allowed(self, expected: f64, largest: f64) -> f64 {
        match self {
            Tolerance::Mixed { abs, rel } => abs + rel * expected.abs(),
            Tolerance::OfLargest(share) => share * largest,
        }
    }
}

/// Compares with the tensor `name` of the fixture.
pub fn compare(case: &Fixture, name: &str, got: &[f32], tolerance: Tolerance) {
    compare_values(&format!("{} {name}", case.name), got, &case.f32(name), tolerance);
}

/// Compares element by element and reports the worst.
pub fn compare_values(what: &str, got: &[f32], expected: &[f32], tolerance: Tolerance) {
    assert_eq!(got.len(), expected.len(), "{what}: number of values");
    let largest = expected.iter().fold(0.0f64, |m, v| m.max(f64::from(v.abs())));
    let mut worst = (0.0, 0);
    for (i, (&g, &e)) in got.iter().zip(expected).enumerate() {
        assert!(g.is_finite(), "{what}: element {i} is {g}");
        let (g, e) = (f64::from(g), f64::from(e));
        let ratio = (g - e).abs() / tolerance.allowed(e, largest).max(1e-30);
        if ratio > worst.0 {
            worst = (ratio, i);
        }
    }
    let (ratio, i) = worst;
    assert!(
        ratio <= 1.0,
        "{what}: element {i} is {}, expected {} ({ratio:.1} times the tolerance {tolerance:?})",
        got[i],
        expected[i],
    );
}
