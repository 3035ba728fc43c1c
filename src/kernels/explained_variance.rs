//! Scale-free measures of a prediction: what share of the targets' variance it explains, and what
//! two trivial predictions would.

/// Explained variance of a step's predictions and of two baselines, and spread of the tokens.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct PredictionStats {
    /// `1 - sum |p - h|^2 / sum |h - mean(h)|^2` over all predicted patches.
    pub explained: f64,
    /// The same for the mean target of the *other* patches of the batch: slightly below 0.
    pub constant: f64,
    /// The same for the mean target at the same position: what a predictor that knows only *where* can
    /// reach. Adjusted for the few patches that such a mean is taken over, so that it does not depend on
    /// the size of the batch.
    pub position: f64,
    /// Standard deviation of the target tokens over the batch, averaged over features.
    pub target_std: f64,
    /// Standard deviation of the predictions over the batch, averaged over features.
    pub prediction_std: f64,
}

/// The sums that a [`PredictionStats`] is made of.
pub struct Parts {
    /// Squared distance of the predictions to their targets.
    pub error: f64,
    /// Squared distance of the predicted targets to their mean.
    pub total: f64,
    /// Spread of the distinct targets.
    pub distinct: Scatter,
    /// Spread of the distinct targets at each position that is seen more than once.
    pub positions: Within,
    /// Spread of the predictions.
    pub predictions: Scatter,
}

/// Spread of rows around the means of their groups.
#[derive(Clone, Copy, Debug, Default)]
pub struct Within {
    error: f64,
    rows: f64,
}

impl Within {
    /// Adds a group of `m` rows with squared distance `sum` to their mean. A single row tells nothing.
    ///
    /// The mean of the other rows is off by `sum (m / (m - 1))^2`, of which `1 / m` is the error of that
    /// mean; `(m - 1) / m` of it is what remains for a predictor that knows the position's true mean.
    pub fn add(&mut self, m: f64, sum: f64) {
        if m > 1.0 {
            self.error += sum * m / (m - 1.0);
            self.rows += m;
        }
    }

    /// The squared error of `all` rows: those of groups of one are taken to be like the others. None if
    /// there is no larger group.
    fn of_all(&self, all: &Scatter) -> Option<f64> {
        (self.rows > 0.0).then(|| self.error * all.rows / self.rows)
    }
}

impl Parts {
    /// The measures.
    pub fn prediction_stats(&self) -> PredictionStats {
        let ratio = |error: f64, total: f64| if total > 0.0 { 1.0 - error / total } else { 0.0 };
        PredictionStats {
            explained: ratio(self.error, self.total),
            constant: ratio(self.distinct.left_out, self.distinct.sum),
            position: ratio(
                self.positions.of_all(&self.distinct).unwrap_or(self.distinct.sum),
                self.distinct.sum,
            ),
            target_std: self.distinct.std,
            prediction_std: self.predictions.std,
        }
    }
}

/// Measures predictions `(row, dim)` against the distinct `targets` `(patch, dim)`; `index` names
/// the target of every predicted row, `positions` the grid position of every target.
pub fn measure(
    prediction: &[f32],
    targets: &[f32],
    index: &[u32],
    positions: &[u32],
    dim: usize,
) -> PredictionStats {
    let target = |i: u32| &targets[i as usize * dim..(i as usize + 1) * dim];
    let predicted_targets: Vec<&[f32]> = index.iter().map(|&i| target(i)).collect();
    let predictions: Vec<&[f32]> = prediction.chunks_exact(dim).collect();
    let distinct: Vec<&[f32]> = targets.chunks_exact(dim).collect();
    let error: f64 = predictions.iter().zip(&predicted_targets).map(|(p, h)| square_distance(p, h)).sum();
    let parts = Parts {
        error,
        total: scatter(&predicted_targets).sum,
        distinct: scatter(&distinct),
        positions: within(&distinct, positions),
        predictions: scatter(&predictions),
    };
    parts.prediction_stats()
}

/// Spread of rows around their mean.
#[derive(Clone, Copy, Debug)]
pub struct Scatter {
    /// Number of rows.
    pub rows: f64,
    /// Sum of squared distances to the mean.
    pub sum: f64,
    /// The same, each row against the mean of the others: `|h - mean| n / (n - 1)`.
    pub left_out: f64,
    /// Standard deviation per feature, averaged.
    pub std: f64,
}

impl Scatter {
    /// That of `n` rows with this sum and mean standard deviation.
    pub fn new(n: f64, sum: f64, std: f64) -> Self {
        let left_out = if n > 1.0 { sum * (n / (n - 1.0)).powi(2) } else { sum };
        Scatter { rows: n, sum, left_out, std }
    }
}

fn scatter(rows: &[&[f32]]) -> Scatter {
    let n = rows.len() as f64;
    let Some(dim) = rows.first().map(|r| r.len()) else {
        return Scatter::new(n, 0.0, 0.0);
    };
    let mut mean = vec![0.0; dim];
    for row in rows {
        mean.iter_mut().zip(*row).for_each(|(m, &v)| *m += f64::from(v) / n);
    }
    let mut squares = vec![0.0; dim];
    for row in rows {
        for ((s, &v), m) in squares.iter_mut().zip(*row).zip(&mean) {
            *s += (f64::from(v) - m).powi(2);
        }
    }
    let sum: f64 = squares.iter().sum();
    Scatter::new(n, sum, squares.iter().map(|s| (s / n).sqrt()).sum::<f64>() / dim as f64)
}

/// Spread of the rows at each position.
fn within(rows: &[&[f32]], positions: &[u32]) -> Within {
    let mut by_position: std::collections::BTreeMap<u32, Vec<&[f32]>> = Default::default();
    for (row, p) in rows.iter().zip(positions) {
        by_position.entry(*p).or_default().push(row);
    }
    let mut within = Within::default();
    by_position.values().for_each(|group| within.add(group.len() as f64, scatter(group).sum));
    within
}

fn square_distance(a: &[f32], b: &[f32]) -> f64 {
    a.iter().zip(b).map(|(a, b)| (f64::from(*a) - f64::from(*b)).powi(2)).sum()
}

#[cfg(test)]
mod tests {
    use ijepa_registry::rng::Stream;

    use super::*;

    /// Two positions with opposite means and a little noise.
    fn targets() -> (Vec<f32>, Vec<u32>) {
        let mut values = Vec::new();
        let mut positions = Vec::new();
        for i in 0..40u32 {
            let sign = if i % 2 == 0 { 1.0 } else { -1.0 };
            let noise = 0.01 * ((i * 7 % 11) as f32 - 5.0);
            values.extend([sign + noise, -sign + noise]);
            positions.push(i % 2);
        }
        (values, positions)
    }

    #[test]
    fn perfect_and_constant_predictions_score_one_and_zero() {
        let (values, positions) = targets();
        let index: Vec<u32> = (0..40).collect();
        let perfect = measure(&values, &values, &index, &positions, 2);
        assert!((perfect.explained - 1.0).abs() < 1e-12);
        assert!(perfect.position > 0.99 && perfect.constant < 0.0 && perfect.constant > -0.1);
        let zero = measure(&vec![0.0; 80], &values, &index, &positions, 2);
        assert!(zero.explained.abs() < 0.01 && zero.prediction_std == 0.0);
    }

    #[test]
    fn positions_explain_nothing_of_unrelated_targets() {
        let (values, _) = targets();
        let positions: Vec<u32> = (0..40).map(|i| i / 20).collect();
        let index: Vec<u32> = (0..40).collect();
        assert!(measure(&values, &values, &index, &positions, 2).position < 0.0);
    }

    /// A batch of `images` on an 8 x 8 grid, each with half of its patches as targets. `share` of the
    /// variance is the position's.
    fn batch(images: u64, share: f64, seed: u64) -> PredictionStats {
        let dim = 16;
        let mut stream = Stream::new(seed, "skill/batch", 0, images);
        let mut normals = |n: usize, std: f64| (0..n).map(|_| std * stream.normal()).collect::<Vec<f64>>();
        let means = normals(64 * dim, share.sqrt());
        let (mut values, mut positions) = (Vec::new(), Vec::new());
        for image in 0..images {
            let mut order = Stream::new(seed, "skill/order", 0, image);
            for place in (0..64).filter(|_| order.chance(0.5)) {
                let noise = normals(dim, (1.0 - share).sqrt());
                let mean = &means[place * dim..][..dim];
                values.extend(mean.iter().zip(noise).map(|(m, n)| (m + n) as f32));
                positions.push(place as u32);
            }
        }
        let index: Vec<u32> = (0..positions.len() as u32).collect();
        measure(&values, &values, &index, &positions, dim)
    }

    #[test]
    fn what_the_position_explains_does_not_depend_on_the_size_of_the_batch() {
        for share in [0.0, 0.5, 0.9] {
            for images in [8, 16, 64] {
                let batches = 40;
                let sum: f64 = (0..batches).map(|seed| batch(images, share, seed).position).sum();
                let found = sum / batches as f64;
                assert!((found - share).abs() < 0.02, "{images} images: {found}, not {share}");
            }
        }
    }

    #[test]
    fn a_position_seen_once_tells_nothing() {
        let (values, _) = targets();
        let index: Vec<u32> = (0..40).collect();
        assert_eq!(measure(&values, &values, &index, &index, 2).position, 0.0);
        let two: Vec<u32> = (0..40).map(|i| if i == 39 { 7 } else { i % 2 }).collect();
        assert!(measure(&values, &values, &index, &two, 2).position > 0.99);
    }
}
