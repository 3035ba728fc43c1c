//! Probe `lidar`: rank of what sets images apart, beyond what masks change.

use ijepa_registry::prelude::*;
use nalgebra::{Cholesky, DMatrix};

use super::shared::features::check_two_tested;
use super::shared::linalg::View;
use super::shared::ridge::add_product;

component! {
    /// Effective rank of a linear discriminant analysis whose classes are images, seen through several masks; no labels.
    ///
    /// LiDAR (Thilak et al. 2023, arXiv 2312.04000). Each of the first `images` test images is a class; `views` contexts that
    /// the experiment's masking draws are its samples `x_ij`, as mean output tokens. With the means `m_i` of the images and
    /// `m` of all, `S_b = sum_i (m_i - m)(m_i - m)' / (n - 1)`, `S_w = sum_ij (x_ij - m_i)(x_ij - m_i)' / (n (q - 1)) +
    /// delta I`, and with the eigenvalues `l` of `S_w^-1/2 S_b S_w^-1/2` and `p = l / sum(l) + eps`, LiDAR is
    /// exp(-sum p ln p): 1 to the smaller of `dim` and `images - 1`. A direction counts as far as it tells images
    /// apart in spite of the masks, where `rankme` counts every direction that varies. Masks whose context is always
    /// the same (`fixed_context`) leave no variation within an image but `delta`. Compare runs at equal `images`,
    /// `views` and masking only. Not for pixels, which have no context.
    probe "lidar" => Lidar, example = "{ images: 200, views: 4 }"
}

/// Settings of `probe: { kind: lidar }`.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct Lidar {
    /// Test images (all if there are fewer); more than `dim` of them, or their number is what limits the rank.
    #[schemars(range(min = 2, max = 1_000_000))]
    images: usize,
    /// Contexts of every image.
    #[schemars(range(min = 2, max = 1000))]
    views: usize,
    /// Added to the variance within an image.
    #[schemars(range(min = 1e-12, max = 1.0))]
    delta: f64,
    /// Added to every normalised eigenvalue before its logarithm.
    #[schemars(range(min = 1e-15, max = 0.01))]
    eps: f64,
}

impl Default for Lidar {
    fn default() -> Self {
        Lidar { images: 1000, views: 10, delta: 1e-4, eps: 1e-8 }
    }
}

impl Probe for Lidar {
    fn check(&self) -> Vec<Problem> {
        vec![]
    }
    fn check_data(&self, counts: &ProbeCounts) -> Vec<Problem> {
        check_two_tested(counts)
    }
    fn uses_labels(&self) -> bool {
        false
    }
    fn uses_model(&self) -> bool {
        true
    }
    fn needs(&self) -> Needs {
        Needs::NONE
    }
    fn metrics(&self) -> Vec<MetricDecl> {
        let meaning =
            "effective rank of the differences between images, relative to those between their contexts";
        vec![
            MetricDecl::new("lidar", "1", meaning, Direction::Higher),
            MetricDecl::new(
                "within",
                "1",
                "share of the variance that is within an image, 0 to 1",
                Direction::Neither,
            ),
        ]
    }
    fn measure(&self, data: &ProbeData, context: &ProbeContext) -> Result<Findings, ProbeError> {
        let model = context.expect_model()?;
        let images = self.images.min(data.test.count());
        if images < 2 {
            return Err(ProbeError("test has one image; two or more are needed".into()));
        }
        let samples = model.masked_features(images, self.views)?;
        (context.progress)(1, 2);
        let [between, within] = scatter(&samples, images, self.views);
        let variance = [&between, &within].map(DMatrix::trace);
        let share = variance[1] / (variance[0] + variance[1]).max(f64::MIN_POSITIVE);
        let dim = within.nrows();
        let factor = Cholesky::new(within + DMatrix::identity(dim, dim) * self.delta).ok_or_else(|| {
            ProbeError("the variance within images is no positive matrix; raise `delta`".into())
        })?;
        Ok(vec![self.rank(&factor, between), share].into())
    }
}

impl Lidar {
    /// exp of the entropy of the eigenvalues of `S_w^-1/2 S_b S_w^-1/2`, which are those of `L^-1 S_b L^-T` with
    /// `L L' = S_w`; 1 where images do not differ.
    fn rank(&self, factor: &Cholesky<f64, nalgebra::Dyn>, between: DMatrix<f64>) -> f64 {
        let lower = factor.l();
        let half = lower.solve_lower_triangular(&between).expect("a factor has no zero on its diagonal");
        let whole = lower.solve_lower_triangular(&half.transpose()).expect("as above");
        let symmetric = (&whole + whole.transpose()) * 0.5;
        let values: Vec<f64> = symmetric.symmetric_eigenvalues().iter().map(|l| l.max(0.0)).collect();
        let sum: f64 = values.iter().sum();
        if sum == 0.0 {
            return 1.0;
        }
        let entropy: f64 = values.iter().map(|l| l / sum + self.eps).map(|p| -p * p.ln()).sum();
        entropy.exp()
    }
}

/// `S_b` and `S_w` of samples `(image, view, dim)`, without `delta`.
fn scatter(samples: &[f32], images: usize, views: usize) -> [DMatrix<f64>; 2] {
    let dim = samples.len() / (images * views);
    let mut means = vec![0.0; images * dim];
    for (mean, of_image) in means.chunks_exact_mut(dim).zip(samples.chunks_exact(views * dim)) {
        for x in of_image.chunks_exact(dim) {
            mean.iter_mut().zip(x).for_each(|(m, x)| *m += f64::from(*x) / views as f64);
        }
    }
    let within: Vec<f64> = samples
        .chunks_exact(dim)
        .enumerate()
        .flat_map(|(i, x)| x.iter().zip(&means[i / views * dim..]).map(|(x, m)| f64::from(*x) - m))
        .collect();
    let centre: Vec<f64> =
        (0..dim).map(|j| means[j..].iter().step_by(dim).sum::<f64>() / images as f64).collect();
    means.chunks_exact_mut(dim).for_each(|m| m.iter_mut().zip(&centre).for_each(|(m, c)| *m -= c));
    let squares = |x: &[f64], count: usize| {
        let mut sum = vec![0.0; dim * dim];
        add_product(View::new(x, dim).t(), View::new(x, dim), &mut sum);
        DMatrix::from_vec(dim, dim, sum) / count as f64
    };
    [squares(&means, images - 1), squares(&within, images * (views - 1))]
}

#[cfg(test)]
mod tests {
    use super::*;
    use nalgebra::SymmetricEigen;

    fn samples([images, views, dim]: [usize; 3], noise: &[f64]) -> Vec<f32> {
        let mut stream = Stream::new(8, "test/lidar", 0, 0);
        let mut all = Vec::new();
        for _ in 0..images {
            let centre: Vec<f64> = (0..dim).map(|j| stream.normal() * (1.0 + j as f64)).collect();
            (0..views).for_each(|_| {
                all.extend(centre.iter().zip(noise).map(|(c, s)| (c + s * stream.normal()) as f32))
            });
        }
        all
    }

    fn lidar(samples: &[f32], [images, views, dim]: [usize; 3]) -> f64 {
        let [between, within] = scatter(samples, images, views);
        let probe = Lidar::default();
        probe.rank(&Cholesky::new(within + DMatrix::identity(dim, dim) * probe.delta).unwrap(), between)
    }

    #[test]
    fn equals_the_definition_with_an_inverse_square_root() {
        let shape @ [images, views, dim] = [30, 4, 5];
        let x = samples(shape, &[0.3, 2.0, 0.1, 5.0, 1.0]);
        let at =
            |i: usize, v: usize| DMatrix::from_fn(dim, 1, |j, _| f64::from(x[(i * views + v) * dim + j]));
        let mean = |i: usize| (0..views).map(|v| at(i, v)).sum::<DMatrix<f64>>() / views as f64;
        let all = (0..images).map(mean).sum::<DMatrix<f64>>() / images as f64;
        let square = |d: DMatrix<f64>| &d * d.transpose();
        let between = (0..images).map(|i| square(mean(i) - &all)).sum::<DMatrix<f64>>() / (images - 1) as f64;
        let pairs = (0..images * views).map(|k| square(at(k / views, k % views) - mean(k / views)));
        let within =
            pairs.sum::<DMatrix<f64>>() / (images * (views - 1)) as f64 + DMatrix::identity(dim, dim) * 1e-4;
        let SymmetricEigen { eigenvectors: u, eigenvalues: l } = within.symmetric_eigen();
        let root = &u * DMatrix::from_diagonal(&l.map(|l| 1.0 / l.sqrt())) * u.transpose();
        let values = (&root * between * &root).symmetric_eigenvalues();
        let p = values.iter().map(|l| l / values.sum() + 1e-8);
        let expected = p.map(|p| -p * p.ln()).sum::<f64>().exp();
        let found = lidar(&x, shape);
        assert!((found - expected).abs() < 1e-9, "{found} instead of {expected}");
    }

    #[test]
    fn only_what_tells_images_apart_counts() {
        let shape = [200, 100, 4];
        // Noise as wide as the images in every direction: all count alike.
        let even = lidar(&samples(shape, &[1.0, 2.0, 3.0, 4.0]), shape);
        assert!((even - 4.0).abs() < 0.2, "{even}");
        // Two directions that the noise drowns.
        let two = lidar(&samples(shape, &[1.0, 2.0, 300.0, 400.0]), shape);
        assert!((two - 2.0).abs() < 0.2, "{two}");
        assert_eq!(lidar(&[1.0; 2 * 2 * 3], [2, 2, 3]), 1.0);
    }
}
