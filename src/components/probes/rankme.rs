//! Effective rank and spread of features: collapse shows here before it shows in accuracy.

use ijepa_registry::prelude::*;
use nalgebra::DMatrix;
use rayon::prelude::*;

use super::shared::features::{check_split, sums, unit_rows};
use super::shared::linalg::{Onto, View, matmul};

/// Rows of the Gram matrix that one task computes.
const ROWS: usize = 32;

/// Settings of `probe: { kind: rankme }`.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct RankMe {
    /// Added to every normalised singular value before its logarithm (plain number).
    #[schemars(range(min = 1e-12, max = 0.01))]
    eps: f64,
}

impl Default for RankMe {
    fn default() -> Self {
        RankMe { eps: 1e-7 }
    }
}

component! {
    /// Effective rank (RankMe) and spread of the features of test; needs no labels.
    ///
    /// RankMe (Garrido et al. 2023, arXiv 2210.02885): with the singular values s of the
    /// (image, feature) matrix, not centred, and p = s / sum(s) + eps, it is
    /// exp(-sum p ln p), from 1 (collapse) to min(images, features). A common offset of all
    /// features lowers it, so the centred value is reported too. The participation ratio is
    /// (sum l)^2 / sum l^2 of the eigenvalues l of the covariance. Feature spread is the mean
    /// over features of the standard deviation of length-1 features; 1 / sqrt(features) is the
    /// value of isotropic ones. Features without any variation get 0 for the centred values.
    probe "rankme" => RankMe, example = "{}",
    aliases = ["rank" => "rankme", "effective_rank" => "rankme"]
}

impl RankMe {
    /// exp of the entropy of the normalised singular values.
    fn effective_rank(&self, singular: &[f64]) -> f64 {
        let sum: f64 = singular.iter().sum();
        if sum == 0.0 {
            return 0.0;
        }
        let entropy: f64 = singular.iter().map(|s| s / sum + self.eps).map(|p| -p * p.ln()).sum();
        entropy.exp()
    }
}

impl Probe for RankMe {
    fn check(&self) -> Vec<Problem> {
        let fine = self.eps > 0.0 && self.eps <= 0.01;
        if fine { vec![] } else { vec![Problem::new("eps", "must be above 0 and at most 0.01")] }
    }

    fn check_data(&self, counts: &ProbeCounts) -> Vec<Problem> {
        let few =
            || Problem::new("", format!("test has {} image(s); a spread needs two or more", counts.test));
        (counts.test < 2).then(few).into_iter().collect()
    }

    /// Features in f64, once as they are and once for their length, and moments with their eigenvalues.
    fn memory(&self, sizes: &ProbeSizes) -> Option<u64> {
        let side = sizes.dim.min(sizes.test);
        Some(8 * (2 * sizes.test * sizes.dim + 3 * side * side) as u64)
    }

    fn metrics(&self) -> Vec<MetricDecl> {
        let decl = |name, meaning, direction| MetricDecl::new(name, "1", meaning, direction);
        vec![
            decl("rankme", "effective rank of test features, not centred", Direction::Higher),
            decl("rankme_centred", "effective rank of test features around their mean", Direction::Higher),
            decl("participation_ratio", "(sum l)^2 / sum l^2 of covariance eigenvalues", Direction::Higher),
            decl(
                "feature_std",
                "mean spread of length-1 features; 1/sqrt(dim) if isotropic",
                Direction::Neither,
            ),
        ]
    }

    fn uses_labels(&self) -> bool {
        false
    }

    fn measure(&self, data: &ProbeData, context: &ProbeContext) -> Result<Findings, ProbeError> {
        let x = &data.test;
        check_split(x, "test")?;
        if x.count() < 2 {
            return Err(ProbeError("test has one image; a spread needs two or more".into()));
        }
        let plain = singular_values(&centred(x, &vec![0.0; x.dim]), x.dim);
        (context.progress)(1, 2);
        let mean: Vec<f64> = sums(x, |_, v| v).iter().map(|s| s / x.count() as f64).collect();
        let mut around = singular_values(&centred(x, &mean), x.dim);
        // The mean itself is rounded; below this there is no variation that f32 could hold.
        if length(&around) <= 1e-12 * length(&plain) {
            around.fill(0.0);
        }
        (context.progress)(2, 2);
        let ranks = [self.effective_rank(&plain), self.effective_rank(&around)];
        Ok(vec![ranks[0], ranks[1], participation(&around), spread(x)].into())
    }
}

fn length(singular: &[f64]) -> f64 {
    singular.iter().map(|s| s * s).sum::<f64>().sqrt()
}

fn participation(singular: &[f64]) -> f64 {
    let fourth: f64 = singular.iter().map(|s| s.powi(4)).sum();
    if fourth == 0.0 { 0.0 } else { length(singular).powi(4) / fourth }
}

/// Mean over features of the standard deviation (n - 1) of features of length 1.
fn spread(x: &Features) -> f64 {
    let unit = unit_rows(x);
    let x = Features { values: &unit, ..*x };
    let n = x.count() as f64;
    let mean: Vec<f64> = sums(&x, |_, v| v).iter().map(|s| s / n).collect();
    let square = sums(&x, |j, v| (v - mean[j]) * (v - mean[j]));
    square.iter().map(|s| (s / (n - 1.0)).sqrt()).sum::<f64>() / x.dim as f64
}

fn centred(x: &Features, mean: &[f64]) -> Vec<f64> {
    let rows = x.values.chunks_exact(x.dim);
    rows.flat_map(|row| row.iter().zip(mean).map(|(&v, m)| f64::from(v) - m)).collect()
}

/// Singular values as square roots of the eigenvalues of the smaller Gram matrix, in f64: those
/// below about 1e-8 of the largest are noise, which `eps` hides.
fn singular_values(x: &[f64], dim: usize) -> Vec<f64> {
    let x = View::new(x, dim);
    let (a, b) = if x.shape().0 < dim { (x, x.t()) } else { (x.t(), x) };
    let side = a.shape().0;
    let mut gram = vec![0.0; side * side];
    gram.par_chunks_mut(ROWS * side).enumerate().for_each(|(i, out)| {
        matmul(a.rows(i * ROWS..i * ROWS + out.len() / side), b, Onto::Nothing, out);
    });
    let eigenvalues = DMatrix::from_vec(side, side, gram).symmetric_eigenvalues();
    eigenvalues.iter().map(|l| l.max(0.0).sqrt()).collect()
}

#[cfg(test)]
mod tests {
    use super::super::shared::features::tests::assert_same_in_any_pool;
    use super::*;

    fn measure(values: &[f32], dim: usize) -> Vec<f64> {
        let labels = vec![0; values.len() / dim];
        let test = Features { dim, tokens: 1, values, labels: &labels };
        let data = ProbeData::new(test, test, 1);
        RankMe::default().measure(&data, &ProbeContext::silent(0)).unwrap().values
    }

    fn assert_near(found: &[f64], expected: &[f64], relative: f64) {
        let close = found.iter().zip(expected).all(|(f, e)| (f - e).abs() <= relative * e.abs());
        assert!(close, "{found:?} instead of {expected:?}");
    }

    #[test]
    fn orthonormal_features_have_full_rank() {
        // Rows +e_i and -e_i: mean 0, all singular values equal.
        let dim = 12;
        let entry = |i: usize| if i / dim % dim == i % dim { 1.0 } else { 0.0 };
        let values: Vec<f32> =
            (0..2 * dim * dim).map(|i| entry(i) * if i < dim * dim { 1.0 } else { -1.0 }).collect();
        let std = (2.0 / (2 * dim - 1) as f64).sqrt();
        assert_near(&measure(&values, dim), &[12.0, 12.0, 12.0, std], 1e-4);
    }

    #[test]
    fn collapsed_features_have_rank_one_and_no_centred_rank() {
        let along: Vec<f32> = (0..50 * 8).map(|i| (i / 8) as f32 * ((i % 8) as f32 + 0.1)).collect();
        assert_near(&measure(&along, 8)[..3], &[1.0, 1.0, 1.0], 1e-3);
        let constant: Vec<f32> = (0..50 * 8).map(|i| (i % 8) as f32 + 0.1).collect();
        let found = measure(&constant, 8);
        assert_near(&found[..3], &[1.0, 0.0, 0.0], 1e-3);
        assert!(found[3] < 1e-7 && measure(&[0.0; 16], 8) == [0.0; 4]);
    }

    #[test]
    fn equals_numpy() {
        // numpy.linalg.svd in f64 on the same values; more images than features, and fewer.
        let value = |i: usize, d: usize| {
            let wave = 0.3 * (((i / d) * (i % d)) as f64 * 0.01).cos();
            ((i as f64 * 0.7).sin() + wave + 0.2) as f32
        };
        for (n, d, expected) in [
            (60, 9, [2.07465785, 1.92368886, 1.12912150, 0.09076472]),
            (7, 20, [3.12093466, 2.22754330, 2.00036692, 0.19351320]),
        ] {
            let values: Vec<f32> = (0..n * d).map(|i| value(i, d)).collect();
            assert_near(&measure(&values, d), &expected, 1e-5);
        }
    }

    #[test]
    fn does_not_depend_on_threads() {
        assert_same_in_any_pool(&RankMe::default(), 400, 70);
    }
}
