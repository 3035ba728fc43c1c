//! Shared by the tests of the kernels: random inputs, comparisons, both implementations by name.
#![allow(dead_code)]

use dfdx::prelude::*;
use ijepa_registry::tensor::{Flat, Rows, Segments};
use ijepa_run::kernels::{Backend, BlockParams, Function, MatmulPrecision, Result, from_host};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

/// Numbers for tests, the same on every run.
pub struct Random(ChaCha8Rng);

impl Random {
    pub fn new(seed: u64) -> Self {
        Random(ChaCha8Rng::seed_from_u64(seed))
    }
    /// Uniform in `-size..size`.
    pub fn values(&mut self, n: usize, size: f32) -> Vec<f32> {
        (0..n).map(|_| (self.0.next_u32() as f32 / u32::MAX as f32 * 2.0 - 1.0) * size).collect()
    }
    /// Uniform below `end`.
    pub fn below(&mut self, end: usize) -> usize {
        self.0.next_u32() as usize % end
    }
    pub fn rows(&mut self, n: usize, d: usize, size: f32) -> Rows<Cpu> {
        from_host(&Cpu::default(), self.values(n * d, size), n, d).unwrap()
    }
    pub fn flat(&mut self, n: usize, size: f32) -> Flat<Cpu> {
        flat(self.values(n, size))
    }
    /// Weights of a usual size, gains around one, no zero biases.
    pub fn block(&mut self, d: usize, heads: usize, hidden: usize) -> BlockParams<Cpu> {
        let scale = 1.0 / (d as f32).sqrt();
        let gain = |r: &mut Self| flat(r.values(d, 0.5).into_iter().map(|v| v + 1.0).collect());
        BlockParams {
            heads,
            eps: 1e-6,
            precision: MatmulPrecision::F32,
            norm1_weight: gain(self),
            norm1_bias: self.flat(d, 0.2),
            qkv_weight: self.flat(3 * d * d, 2.0 * scale),
            qkv_bias: self.flat(3 * d, 0.2),
            proj_weight: self.flat(d * d, scale),
            proj_bias: self.flat(d, 0.2),
            norm2_weight: gain(self),
            norm2_bias: self.flat(d, 0.2),
            fc1_weight: self.flat(hidden * d, scale),
            fc1_bias: self.flat(hidden, 0.2),
            fc2_weight: self.flat(d * hidden, scale),
            fc2_bias: self.flat(d, 0.2),
        }
    }
}

/// The nearest bf16, ties to even: the nearest multiple of 2^-7 of its power of two.
pub fn bf16(x: f32) -> f32 {
    let unit = f64::from(x).abs().log2().floor().exp2() / 128.0;
    if x == 0.0 { 0.0 } else { ((f64::from(x) / unit).round_ties_even() * unit) as f32 }
}

pub fn flat(values: Vec<f32>) -> Flat<Cpu> {
    let n = values.len();
    Cpu::default().tensor_from_vec(values, (n,))
}

/// Lengths of the sequences, dim, heads, hidden, kept rows.
pub type BlockCase = (Vec<usize>, usize, usize, usize, Option<Vec<u32>>);

/// Shapes that break kernels.
pub fn block_cases() -> Vec<BlockCase> {
    vec![
        (vec![1], 8, 1, 8, None),
        (vec![1, 1, 1], 30, 5, 120, Some(vec![1])),
        (vec![7, 9, 1, 23], 24, 3, 50, None),
        (vec![7, 9, 1, 23], 24, 3, 50, Some(vec![0, 3, 8, 16, 39])),
        (vec![64, 64], 48, 3, 96, Some((64..100).collect())),
        (vec![17, 40, 33], 64, 2, 256, Some((5..80).step_by(3).collect())),
        (vec![300, 5, 280], 32, 2, 64, None),
        (vec![23; 60], 36, 4, 72, Some((0..23 * 60).filter(|i| i % 23 > 12).collect())),
        // More hidden columns than are handled at a time, unevenly divided.
        (vec![20, 11], 24, 3, 451, None),
    ]
}

pub fn segments(lengths: &[usize]) -> Segments {
    Segments::from_lengths(lengths.iter().copied())
}

/// Fails unless the values agree to `tolerance` times the largest of them (or of 1e-3).
pub fn assert_close(what: &str, found: &[f32], expected: &[f32], tolerance: f32) {
    assert_eq!(found.len(), expected.len(), "{what}: length");
    let largest = expected.iter().fold(1e-3f32, |m, v| m.max(v.abs()));
    for (i, (f, e)) in found.iter().zip(expected).enumerate() {
        let error = (f - e).abs();
        assert!(
            error <= tolerance * largest,
            "{what}[{i}]: {f}, not {e} (largest {largest}, error {error:e})"
        );
    }
}

pub fn host(t: &Flat<Cpu>) -> Vec<f32> {
    t.as_vec()
}

/// A pre-norm block like the fused one, operator by operator.
pub fn composed_block<D: Backend, T: Tape<f32, D>>(
    x: Rows<D, T>,
    p: &BlockParams<D>,
    segments: &Segments,
) -> Result<Rows<D, T>> {
    let (d, residual) = (p.dim(), x.retaped::<T>());
    let y = D::layer_norm(x, &p.norm1_weight, &p.norm1_bias, p.eps)?;
    let qkv = D::linear(y, &p.qkv_weight, &p.qkv_bias, p.precision)?;
    let k = D::columns(qkv.retaped::<T>(), d..2 * d)?;
    let v = D::columns(qkv.retaped::<T>(), 2 * d..3 * d)?;
    let o = D::attention(D::columns(qkv, 0..d)?, k, v, p.heads, segments, segments)?;
    let x = D::add(D::linear(o, &p.proj_weight, &p.proj_bias, p.precision)?, residual)?;
    let residual = x.retaped::<T>();
    let y = D::layer_norm(x, &p.norm2_weight, &p.norm2_bias, p.eps)?;
    let h = D::map(D::linear(y, &p.fc1_weight, &p.fc1_bias, p.precision)?, Function::Gelu)?;
    D::add(D::linear(h, &p.fc2_weight, &p.fc2_bias, p.precision)?, residual)
}
