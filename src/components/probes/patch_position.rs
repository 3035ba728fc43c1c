//! Probe `patch_position`: how well the place of a token can be read from it.

use ijepa_registry::prelude::*;

use super::shared::features::{check_split, check_two_tested, is_one};
use super::shared::ridge::{Moments, r_squared};

component! {
    /// Reads row and column of every token from its features by a linear map; needs no labels.
    ///
    /// Ridge regression on standardised tokens of training images, to the row, to the column, and to one indicator per
    /// patch. Reported on the tokens of test: R^2 of row and column (1: the place is there linearly, 0: nothing of it),
    /// and how often the largest indicator is that of the patch. Tokens that say little but where they are predict targets
    /// well and images badly: a value near 1 beside a low accuracy of `linear`, and a large `position` of
    /// `token_variance`, are the signs. Where less than all of the place is left in tokens, pooling loses less to it
    /// (decoding of position: Islam et al. 2020, arXiv 2001.08248). Of raw pixels the tokens are the patches.
    probe "patch_position" => PatchPosition, example = "{ images: 500 }",
    aliases = ["position" => "patch_position"]
}

/// Settings of `probe: { kind: patch_position }`.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct PatchPosition {
    /// Training images that are fitted to, evenly spaced (all if there are fewer).
    #[schemars(range(min = 2, max = 1_000_000))]
    images: usize,
    /// Weight decay, in units of the variance of a feature.
    #[schemars(range(min = 1e-8, max = 100.0))]
    weight_decay: f64,
    /// Last blocks of the encoder that are looked at, their outputs side by side.
    #[schemars(range(min = 1, max = 1000))]
    #[serde(skip_serializing_if = "is_one")]
    layers: usize,
}

impl Default for PatchPosition {
    fn default() -> Self {
        PatchPosition { images: 2000, weight_decay: 1e-4, layers: 1 }
    }
}

impl Probe for PatchPosition {
    fn check(&self) -> Vec<Problem> {
        vec![]
    }
    fn check_data(&self, counts: &ProbeCounts) -> Vec<Problem> {
        check_two_tested(counts)
    }
    fn memory(&self, sizes: &ProbeSizes) -> Option<u64> {
        let tokens = self.images.min(sizes.train) * sizes.tokens;
        let outs = sizes.tokens + 2;
        let fit = 3 * sizes.dim * sizes.dim
            + 2 * outs * sizes.dim
            + 3 * tokens.max(sizes.test * sizes.tokens) * outs;
        Some(8 * fit as u64 + 4 * (tokens * sizes.dim) as u64)
    }
    fn uses_labels(&self) -> bool {
        false
    }
    fn metrics(&self) -> Vec<MetricDecl> {
        let decl = |name, unit, meaning| MetricDecl::new(name, unit, meaning, Direction::Neither);
        vec![
            decl("r2", "1", "R^2 of row and column of a test token, mean of the two"),
            decl("r2_row", "1", "R^2 of the row; 0 if there is one row"),
            decl("r2_column", "1", "R^2 of the column; 0 if there is one column"),
            decl("patch_top1", "%", "test tokens whose patch is recognised among all patches"),
        ]
    }
    fn needs(&self) -> Needs {
        Needs { layers: self.layers, ..Needs::TOKENS }
    }
    fn measure(&self, data: &ProbeData, context: &ProbeContext) -> Result<Findings, ProbeError> {
        check_split(&data.train, "train")?;
        check_split(&data.test, "test")?;
        let grid = context.grid;
        if grid.len() != data.train.tokens {
            let (tokens, patches) = (data.train.tokens, grid.len());
            return Err(ProbeError(format!("an image has {tokens} tokens and a grid of {patches} patches")));
        }
        let images = self.images.min(data.train.count());
        let spaced = (0..images).map(|i| data.train.row(i * data.train.count() / images));
        let values: Vec<f32> = spaced.flatten().copied().collect();
        let moments = Moments::new(&values, data.train.dim, &places(grid, images));
        (context.progress)(1, 2);
        let predicted = moments.fit(self.weight_decay).predict(data.test.values);
        let places = places(grid, data.test.count());
        let outs = 2 + grid.len();
        let [row, column] = [0, 1].map(|axis| r_squared(&places, &predicted, outs, axis));
        let axes = [grid.rows, grid.cols].iter().filter(|n| **n > 1).count().max(1);
        let right =
            predicted.chunks_exact(outs).enumerate().filter(|(i, p)| largest(&p[2..]) == i % grid.len());
        let top1 = 100.0 * right.count() as f64 / (data.test.count() * grid.len()) as f64;
        Ok(vec![(row + column) / axes as f64, row, column, top1].into())
    }
}

/// Row, column and one indicator per patch, of the tokens of some images: `(token, 2 + patches)`.
fn places(grid: Grid, images: usize) -> Vec<f64> {
    let patches = 0..grid.len();
    let of = |patch: usize| {
        let indicators = patches.clone().map(move |p| f64::from(u8::from(p == patch)));
        [(patch / grid.cols) as f64, (patch % grid.cols) as f64].into_iter().chain(indicators)
    };
    let one: Vec<f64> = (0..grid.len()).flat_map(of).collect();
    one.repeat(images)
}

fn largest(values: &[f64]) -> usize {
    (1..values.len()).fold(0, |best, i| if values[i] > values[best] { i } else { best })
}

#[cfg(test)]
mod tests {
    use super::*;

    const GRID: Grid = Grid { rows: 3, cols: 4 };

    /// Tokens `(image, patch, 6)` of noise, of which the first two hold the place to some share.
    fn tokens(images: usize, share: f32, part: u64) -> Vec<f32> {
        let mut stream = Stream::new(4, "test/places", part, 0);
        let token = |i: usize| {
            let (row, column) = ((i % 12 / 4) as f32, (i % 4) as f32);
            let mut token: Vec<f32> = (0..6).map(|_| stream.normal() as f32).collect();
            token[0] = share * row + (1.0 - share) * token[0];
            token[1] = share * column + (1.0 - share) * token[1];
            token
        };
        (0..images * 12).flat_map(token).collect()
    }

    fn measure(train: &[f32], test: &[f32]) -> Vec<f64> {
        let of =
            |values: &'static [f32], labels: &'static [u32]| Features { dim: 6, tokens: 12, values, labels };
        let kept = |values: &[f32]| -> (&'static [f32], &'static [u32]) {
            let labels = vec![0; values.len() / 72];
            (Box::leak(values.to_vec().into_boxed_slice()), Box::leak(labels.into_boxed_slice()))
        };
        let [train, test] = [train, test].map(kept);
        let data = ProbeData::new(of(train.0, train.1), of(test.0, test.1), 1);
        let context = ProbeContext { grid: GRID, ..ProbeContext::silent(0) };
        PatchPosition::default().measure(&data, &context).unwrap().values
    }

    #[test]
    fn a_place_that_is_there_is_read_and_one_that_is_not_is_not() {
        let found = measure(&tokens(50, 1.0, 0), &tokens(30, 1.0, 1));
        assert!(found[..3].iter().all(|r2| (r2 - 1.0).abs() < 1e-3), "{found:?}");
        let found = measure(&tokens(400, 0.0, 0), &tokens(100, 0.0, 1));
        assert!(found[..3].iter().all(|r2| r2.abs() < 0.02) && found[3] < 15.0, "{found:?}");
    }

    #[test]
    fn half_a_place_has_the_r2_of_its_variance() {
        // row + noise of the same size: var(row) / (var(row) + var(noise)), 2/3 and 5/4 being the variances of places.
        let found = measure(&tokens(2000, 0.5, 0), &tokens(500, 0.5, 1));
        let (row, column): (f64, f64) = (2.0 / 3.0, 5.0 / 4.0);
        assert!((found[1] - row / (row + 1.0)).abs() < 0.02, "{found:?}");
        assert!((found[2] - column / (column + 1.0)).abs() < 0.02, "{found:?}");
        assert!((found[0] - 0.5 * (found[1] + found[2])).abs() < 1e-12);
    }
}
