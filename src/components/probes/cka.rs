//! Probe `cka`: how similar the encoder still is to the one that training began with.

use ijepa_registry::prelude::*;

use super::shared::features::check_two_tested;
use super::shared::linalg::View;
use super::shared::ridge::add_product;

component! {
    /// Linear CKA of the features of test with those of the initial weights, and of the context encoder; no labels.
    ///
    /// Centred kernel alignment (Kornblith et al. 2019, arXiv 1905.00414) of features `X` and `Y` around their means,
    /// `|Y'X|_F^2 / (|X'X|_F |Y'Y|_F)`: 1 where one is a rotation and a scaling of the other, 0 where they share no linear
    /// direction; 0 too where either does not vary. Mean output tokens of all test images. With `every: 1` it is a curve: what
    /// stays at 1 has learned nothing that a linear probe could use, and what falls at once and then stays has stopped
    /// changing. Weights that training starts from (`init`) are the initial ones. `ijepa-run explore A B` compares two
    /// runs block by block.
    probe "cka" => Cka, example = "{}"
}

/// Settings of `probe: { kind: cka }`.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct Cka {}

impl Probe for Cka {
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
        let decl = |name, meaning| MetricDecl::new(name, "1", meaning, Direction::Neither);
        vec![
            decl("initial", "CKA with the features of the weights that training began with, 0 to 1"),
            decl("context", "CKA with the features of the context encoder, 0 to 1"),
        ]
    }
    fn measure(&self, data: &ProbeData, context: &ProbeContext) -> Result<Findings, ProbeError> {
        let model = context.expect_model()?;
        let images = data.test.count();
        let own = centred(&model.features(Whose::Probed)?, images);
        let mut values = Vec::new();
        for of in [Whose::Initial, Whose::Context] {
            values.push(cka(&own, &centred(&model.features(of)?, images), images));
            (context.progress)(values.len() as u64, 2);
        }
        Ok(values.into())
    }
}

/// Features `(image, dim)` without their mean.
fn centred(features: &[f32], images: usize) -> Vec<f64> {
    let dim = features.len() / images;
    let mean =
        |j: usize| features.iter().skip(j).step_by(dim).map(|v| f64::from(*v)).sum::<f64>() / images as f64;
    let mean: Vec<f64> = (0..dim).map(mean).collect();
    features.iter().enumerate().map(|(i, v)| f64::from(*v) - mean[i % dim]).collect()
}

fn cka(x: &[f64], y: &[f64], images: usize) -> f64 {
    let scale = (square(x, x, images) * square(y, y, images)).sqrt();
    if scale > 0.0 { (square(x, y, images) / scale).clamp(0.0, 1.0) } else { 0.0 }
}

/// `|X'Y|_F^2`
fn square(x: &[f64], y: &[f64], images: usize) -> f64 {
    let [(x, of_x), (y, of_y)] = [x, y].map(|v| (View::new(v, v.len() / images), v.len() / images));
    let mut product = vec![0.0; of_x * of_y];
    add_product(x.t(), y, &mut product);
    product.iter().map(|v| v * v).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn noise(count: usize, part: u64) -> Vec<f32> {
        let mut stream = Stream::new(9, "test/cka", part, 0);
        (0..count).map(|_| stream.normal() as f32).collect()
    }

    #[test]
    fn equals_the_form_of_kernels_product_by_product() {
        let (a, b) = (centred(&noise(40 * 3, 0), 40), centred(&noise(40 * 5, 1), 40));
        let kernel = |x: &[f64], i: usize, j: usize| {
            let dim = x.len() / 40;
            (0..dim).map(|k| x[i * dim + k] * x[j * dim + k]).sum::<f64>()
        };
        let inner = |x: &[f64], y: &[f64]| {
            (0..1600).map(|k| kernel(x, k / 40, k % 40) * kernel(y, k / 40, k % 40)).sum::<f64>()
        };
        let slow = inner(&a, &b) / (inner(&a, &a) * inner(&b, &b)).sqrt();
        assert!((cka(&a, &b, 40) - slow).abs() < 1e-12 && slow < 0.5);
    }

    #[test]
    fn a_rotation_and_scaling_is_the_same_and_what_does_not_vary_is_nothing() {
        let x = noise(50 * 2, 2);
        let (sin, cos) = 0.7f32.sin_cos();
        let turn = |p: &[f32]| [3.0 * (cos * p[0] - sin * p[1]) + 4.0, 3.0 * (sin * p[0] + cos * p[1])];
        let turned: Vec<f32> = x.chunks_exact(2).flat_map(turn).collect();
        let found = cka(&centred(&x, 50), &centred(&turned, 50), 50);
        assert!((found - 1.0).abs() < 1e-6, "{found}");
        assert_eq!(cka(&centred(&x, 50), &centred(&[1.0; 50], 50), 50), 0.0);
    }
}
