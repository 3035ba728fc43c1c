//! Similarity of two representations of the same points.

use rayon::prelude::*;

use super::{Points, dot};

/// Products of all pairs of points around their mean: `K = X X'` with the columns of `X` centred, `(point, point)`.
pub struct Kernel {
    products: Vec<f64>,
    norm: f64,
}

impl Kernel {
    /// Of these points.
    pub fn of(points: Points) -> Self {
        let rows = centred(points);
        let products = |a: &Vec<f64>| rows.iter().map(|b| dot(a, b)).collect::<Vec<f64>>();
        let products: Vec<f64> = rows.par_iter().flat_map_iter(products).collect();
        Kernel { norm: dot(&products, &products).sqrt(), products }
    }

    /// Linear centred kernel alignment (Kornblith et al. 2019, arXiv 1905.00414), 0 to 1:
    ///
    /// ```text
    /// CKA = sum_ij K_ij L_ij / (|K|_F |L|_F) = |Y' X|_F^2 / (|X' X|_F |Y' Y|_F)
    /// ```
    ///
    /// 1 where one representation is a rotation and a scaling of the other. None where either does not vary.
    pub fn cka(&self, other: &Kernel) -> Option<f64> {
        let scale = self.norm * other.norm;
        (scale > 0.0).then(|| (dot(&self.products, &other.products) / scale).clamp(0.0, 1.0))
    }
}

fn centred(points: Points) -> Vec<Vec<f64>> {
    let mut mean = vec![0.0; points.dim];
    points.rows().for_each(|row| mean.iter_mut().zip(row).for_each(|(m, v)| *m += f64::from(*v)));
    mean.iter_mut().for_each(|m| *m /= points.count().max(1) as f64);
    let around = |row: &[f32]| row.iter().zip(&mean).map(|(v, m)| f64::from(*v) - m).collect();
    points.rows().map(around).collect()
}

#[cfg(test)]
mod tests {
    use super::super::tests::{in_pools, noise};
    use super::*;

    fn cka(x: Points, y: Points) -> Option<f64> {
        Kernel::of(x).cka(&Kernel::of(y))
    }

    #[test]
    fn rotations_and_scalings_are_one_and_shifts_do_not_count() {
        let x = noise(50 * 2, 7);
        let (sin, cos) = 0.7f32.sin_cos();
        let turned: Vec<f32> = x
            .chunks_exact(2)
            .flat_map(|p| [3.0 * (cos * p[0] - sin * p[1]) + 4.0, 3.0 * (sin * p[0] + cos * p[1])])
            .collect();
        let found = cka(Points::new(&x, 2), Points::new(&turned, 2)).unwrap();
        assert!((found - 1.0).abs() < 1e-5, "{found}");
    }

    #[test]
    fn it_is_symmetric_small_for_noise_and_equals_the_form_of_features() {
        let (a, b) = (noise(40 * 3, 8), noise(40 * 5, 9));
        let (x, y) = (Points::new(&a, 3), Points::new(&b, 5));
        let [one, two] = in_pools(|| cka(x, y).unwrap());
        assert_eq!(one, two);
        assert!((one - cka(y, x).unwrap()).abs() < 1e-12 && one < 0.5);
        // |Y' X|_F^2 / (|X' X|_F |Y' Y|_F), product by product.
        let square = |a: Points, b: Points| {
            let (rows_a, rows_b) = (centred(a), centred(b));
            let product =
                |i: usize, j: usize| rows_a.iter().zip(&rows_b).map(|(p, q)| p[i] * q[j]).sum::<f64>();
            (0..a.dim * b.dim).map(|k| product(k / b.dim, k % b.dim).powi(2)).sum::<f64>()
        };
        let slow = square(y, x) / (square(x, x) * square(y, y)).sqrt();
        assert!((one - slow).abs() < 1e-12, "{one} {slow}");
    }

    #[test]
    fn what_does_not_vary_has_none() {
        assert_eq!(cka(Points::new(&[1.0; 6], 2), Points::new(&[1.0, 2.0, 3.0], 1)), None);
    }
}
