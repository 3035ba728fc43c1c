//! Probe `token_variance`: what the tokens of images differ by.

use ijepa_registry::prelude::*;

use super::shared::features::{check_split, is_one};

component! {
    /// Splits the variance of the tokens of test into that of the position, of the image, and the rest; no labels.
    ///
    /// Two-way analysis of variance of the tokens `x_bn` of image `b` at patch `n` (Fisher 1925): with the means `m_n` over
    /// the images, `m_b` over the patches and `m` over all, `x - m = (m_n - m) + (m_b - m) + rest`, and the squares add
    /// up. Two failures that a loss does not show have a name here: `position` near 1, tokens say only where they are; and
    /// `image` near 1, all tokens of an image are the same. The effective rank of pooled features (`rankme`) is blind to
    /// the first. Summed over all features, so that large ones count more. Of raw pixels the tokens are the patches.
    probe "token_variance" => TokenVariance, example = "{}",
    aliases = ["variance" => "token_variance", "anova" => "token_variance"]
}

/// Settings of `probe: { kind: token_variance }`.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct TokenVariance {
    /// Last blocks of the encoder that are looked at, their outputs side by side.
    #[schemars(range(min = 1, max = 1000))]
    #[serde(skip_serializing_if = "is_one")]
    layers: usize,
}

impl Default for TokenVariance {
    fn default() -> Self {
        TokenVariance { layers: 1 }
    }
}

impl Probe for TokenVariance {
    fn check(&self) -> Vec<Problem> {
        vec![]
    }
    fn check_data(&self, counts: &ProbeCounts) -> Vec<Problem> {
        let none = || Problem::new("", "there are no test images");
        (counts.test == 0).then(none).into_iter().collect()
    }
    fn memory(&self, sizes: &ProbeSizes) -> Option<u64> {
        Some(8 * ((sizes.test + sizes.tokens + 1) * sizes.dim) as u64)
    }
    fn uses_labels(&self) -> bool {
        false
    }
    fn metrics(&self) -> Vec<MetricDecl> {
        let decl = |name, meaning| MetricDecl::new(name, "1", meaning, Direction::Neither);
        vec![
            decl("position", "share of the variance of tokens that is the same in all images, 0 to 1"),
            decl("image", "share of the variance of tokens that is the same at all patches, 0 to 1"),
            decl("rest", "share that is neither: what an image holds at a patch, 0 to 1"),
            decl("variance", "variance of the tokens, mean over the features"),
        ]
    }
    fn needs(&self) -> Needs {
        Needs { layers: self.layers, ..Needs::TOKENS }
    }
    fn measure(&self, data: &ProbeData, _: &ProbeContext) -> Result<Findings, ProbeError> {
        let Features { dim, tokens, .. } = data.test;
        check_split(&data.test, "test")?;
        let images = data.test.count();
        let (mut of_patch, mut of_image) = (vec![0.0; tokens * dim], vec![0.0; images * dim]);
        for (b, of_image) in of_image.chunks_exact_mut(dim).enumerate() {
            for (token, of_patch) in data.test.row(b).chunks_exact(dim).zip(of_patch.chunks_exact_mut(dim)) {
                for ((v, n), b) in token.iter().zip(of_patch).zip(of_image.iter_mut()) {
                    *n += f64::from(*v) / images as f64;
                    *b += f64::from(*v) / tokens as f64;
                }
            }
        }
        let mean: Vec<f64> =
            (0..dim).map(|j| of_image[j..].iter().step_by(dim).sum::<f64>() / images as f64).collect();
        let position = mean_square(&of_patch, &mean);
        let image = mean_square(&of_image, &mean);
        let all = mean_square_of(data.test.values, &mean);
        // Rounding of f32 tokens that are all the same.
        let length: f64 = mean.iter().map(|m| m * m).sum::<f64>();
        if all <= 1e-12 * length || all == 0.0 {
            return Ok(vec![0.0, 0.0, 0.0, 0.0].into());
        }
        let rest = (all - position - image).max(0.0);
        Ok(vec![position / all, image / all, rest / all, all / dim as f64].into())
    }
}

/// Mean over the rows of the squared distance from `mean`.
fn mean_square(rows: &[f64], mean: &[f64]) -> f64 {
    let square = |row: &[f64]| row.iter().zip(mean).map(|(v, m)| (v - m) * (v - m)).sum::<f64>();
    rows.chunks_exact(mean.len()).map(square).sum::<f64>() / (rows.len() / mean.len()) as f64
}

fn mean_square_of(rows: &[f32], mean: &[f64]) -> f64 {
    let far = |(v, m): (&f32, &f64)| (f64::from(*v) - m) * (f64::from(*v) - m);
    let square = |row: &[f32]| row.iter().zip(mean).map(far).sum::<f64>();
    rows.chunks_exact(mean.len()).map(square).sum::<f64>() / (rows.len() / mean.len()) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn measure(values: &[f32], [images, tokens, dim]: [usize; 3]) -> Vec<f64> {
        let labels = vec![0; images];
        let test = Features { dim, tokens, values, labels: &labels };
        TokenVariance::default()
            .measure(&ProbeData::new(test, test, 1), &ProbeContext::silent(0))
            .unwrap()
            .values
    }

    #[test]
    fn each_pure_case_has_all_of_the_variance() {
        let of = |value: fn(usize, usize) -> f32| {
            let values: Vec<f32> =
                (0..5 * 4 * 3).map(|i| value(i / 12, i / 3 % 4) + (i % 3) as f32).collect();
            let found = measure(&values, [5, 4, 3]);
            found[..3].iter().map(|v| (v * 1e6).round() / 1e6).collect::<Vec<f64>>()
        };
        assert_eq!(of(|_, patch| (patch * patch) as f32), [1.0, 0.0, 0.0]);
        assert_eq!(of(|image, _| image as f32), [0.0, 1.0, 0.0]);
        // Neither rows nor columns of this table have a mean of their own.
        assert_eq!(
            of(|image, patch| if image < 4 { [1.0, -1.0][(image + patch) % 2] } else { 0.0 }),
            [0.0, 0.0, 1.0]
        );
        assert_eq!(of(|_, _| 3.0), [0.0; 3]);
    }

    #[test]
    fn equals_the_sums_of_squares_of_the_three_parts() {
        let (images, tokens, dim) = (7, 6, 2);
        let mut stream = Stream::new(6, "test/anova", 0, 0);
        let x: Vec<f32> =
            (0..images * tokens * dim).map(|i| (stream.normal() + (i % 5) as f64) as f32).collect();
        let at = |b: usize, n: usize, j: usize| f64::from(x[(b * tokens + n) * dim + j]);
        let mean = |over: &dyn Fn(usize, usize) -> bool, j: usize| {
            let all = (0..images * tokens).map(|i| (i / tokens, i % tokens)).filter(|(b, n)| over(*b, *n));
            let all: Vec<f64> = all.map(|(b, n)| at(b, n, j)).collect();
            all.iter().sum::<f64>() / all.len() as f64
        };
        let mut parts = [0.0; 3];
        for i in 0..images * tokens {
            let (b, n) = (i / tokens, i % tokens);
            for j in 0..dim {
                let (all, patch, image) =
                    (mean(&|_, _| true, j), mean(&|_, m| m == n, j), mean(&|c, _| c == b, j));
                let rest = at(b, n, j) - patch - image + all;
                [patch - all, image - all, rest].iter().enumerate().for_each(|(k, v)| parts[k] += v * v);
            }
        }
        let total: f64 = parts.iter().sum();
        let found = measure(&x, [images, tokens, dim]);
        (0..3).for_each(|k| assert!((found[k] - parts[k] / total).abs() < 1e-9, "{found:?} {parts:?}"));
        assert!((found[3] - total / (images * tokens * dim) as f64).abs() < 1e-9);
    }
}
