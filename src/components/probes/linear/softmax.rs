//! Softmax, its derivative in the cross-entropy, and the exponential they share.

/// Turns logits into the derivative of the mean cross-entropy: `(softmax - one_hot) * scale`.
pub(crate) fn softmax_slopes(
    logits: &mut [f32],
    cols: usize,
    classes: usize,
    labels: impl Iterator<Item = u32>,
    scale: f32,
) {
    for own in logits.chunks_exact_mut(classes) {
        let top = own.iter().fold(f32::NEG_INFINITY, |m, &l| if l > m { l } else { m });
        own.iter_mut().for_each(|l| *l -= top);
    }
    // One long loop over everything: this is where the time goes and what vectorises.
    logits.iter_mut().for_each(|l| *l = exp(*l));
    for (all, label) in logits.chunks_exact_mut(cols).zip(labels) {
        for own in all.chunks_exact_mut(classes) {
            let share = scale / own.iter().sum::<f32>();
            own.iter_mut().for_each(|p| *p *= share);
            own[label as usize] -= scale;
        }
    }
}

/// `e^x` for `x <= 0` to 2 units in the last place; no branches or calls, so that loops vectorise.
///
/// `x = n ln 2 + r` with `|r| <= ln 2 / 2`, then the Taylor polynomial of degree 6 in `r`.
pub(crate) fn exp(x: f32) -> f32 {
    // Adding and taking away 1.5 * 2^23 rounds to an integer, whose bits are then at the bottom.
    const ROUND: f32 = 12_582_912.0;
    // ln 2 in two parts; the first has trailing zero bits, so that n times it is exact.
    const LN2_HIGH: f32 = 0.693_359_4;
    const LN2_LOW: f32 = -2.121_944_4e-4;
    let x = if x > -87.0 { x } else { -87.0 };
    let shifted = x * std::f32::consts::LOG2_E + ROUND;
    let n = shifted - ROUND;
    let r = x - n * LN2_HIGH - n * LN2_LOW;
    let tail = 1.0 / 6.0 + r * (1.0 / 24.0 + r * (1.0 / 120.0 + r * (1.0 / 720.0)));
    let power = 1.0 + (r + r * r * (0.5 + r * tail));
    // 2^n by its exponent bits.
    power * f32::from_bits((shifted.to_bits() << 23).wrapping_add(127 << 23))
}

/// Index of the largest value; the lowest such index.
pub(crate) fn argmax<T: PartialOrd>(values: &[T]) -> usize {
    (1..values.len()).fold(0, |best, i| if values[i] > values[best] { i } else { best })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exponential_is_within_two_units_in_the_last_place() {
        for i in 0..=86_000 {
            let x = -(i as f32) / 1000.0;
            let exact = f64::from(x).exp();
            let relative = (f64::from(exp(x)) / exact - 1.0).abs();
            assert!(relative < 2.4e-7, "e^{x}: {relative:e}");
        }
        assert_eq!(exp(0.0), 1.0);
        assert!(exp(f32::NEG_INFINITY) < 2e-38);
    }

    #[test]
    fn slopes_are_the_derivative_of_the_cross_entropy() {
        // Two rows, two heads, three classes.
        let logits: Vec<f32> = (0..12).map(|i| (i as f32 * 1.7).sin() * 3.0).collect();
        let labels = [2, 0];
        let loss = |l: &[f32]| -> f64 {
            let one = |(i, own): (usize, &[f32])| {
                let sum: f64 = own.iter().map(|&v| f64::from(v).exp()).sum();
                sum.ln() - f64::from(own[labels[i / 2]])
            };
            l.chunks_exact(3).enumerate().map(one).sum::<f64>() * 0.5
        };
        let mut slopes = logits.clone();
        softmax_slopes(&mut slopes, 6, 3, labels.iter().map(|&y| y as u32), 0.5);
        for i in 0..12 {
            let (mut up, mut down) = (logits.clone(), logits.clone());
            up[i] += 1e-2;
            down[i] -= 1e-2;
            let numeric = (loss(&up) - loss(&down)) / f64::from(up[i] - down[i]);
            assert!((numeric - f64::from(slopes[i])).abs() < 2e-5, "{i}: {numeric} {}", slopes[i]);
        }
    }

    #[test]
    fn the_lowest_of_equal_values_wins() {
        assert_eq!(argmax(&[1.0, 3.0, 3.0]), 1);
        assert_eq!(argmax(&[f64::NAN, 0.0]), 0);
    }
}
