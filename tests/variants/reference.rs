//! Slow layers in f64, one number after another, on parameters by their names.

use std::collections::BTreeMap;

use ijepa_run::registry::prelude::*;

use crate::common::Random;

/// Rows of a packed batch.
pub type Matrix = Vec<Vec<f64>>;

/// Values of a module's parameters.
#[derive(Clone)]
pub struct Values(pub BTreeMap<String, Vec<f64>>);

impl Values {
    pub fn of<P: Parameters<Cpu> + ?Sized>(module: &P) -> Self {
        let wide = |p: &Param<Cpu>| p.data.as_vec().into_iter().map(f64::from).collect();
        Values(module.params().into_iter().map(|p| (p.name.clone(), wide(p))).collect())
    }

    /// Row `row` of a table as wide as `dim`.
    pub fn row(&self, name: &str, row: usize, dim: usize) -> &[f64] {
        &self.0[name][row * dim..][..dim]
    }

    pub fn linear(&self, name: &str, x: &Matrix) -> Matrix {
        let (weight, bias) = (&self.0[&format!("{name}.weight")], &self.0[&format!("{name}.bias")]);
        let one = |row: &Vec<f64>| {
            let out = |(j, b): (usize, &f64)| b + dot(row, &weight[j * row.len()..][..row.len()]);
            bias.iter().enumerate().map(out).collect()
        };
        x.iter().map(one).collect()
    }

    /// A layer norm where there is a bias, else an RMS norm over groups as wide as the gain.
    pub fn norm(&self, name: &str, x: &Matrix, eps: f64) -> Matrix {
        let gain = &self.0[&format!("{name}.weight")];
        let bias = self.0.get(&format!("{name}.bias"));
        let group = |group: &[f64]| -> Vec<f64> {
            let n = group.len() as f64;
            let mean = if bias.is_some() { group.iter().sum::<f64>() / n } else { 0.0 };
            let square = group.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / n;
            let one = |(j, v): (usize, &f64)| {
                (v - mean) / (square + eps).sqrt() * gain[j] + bias.map_or(0.0, |bias| bias[j])
            };
            group.iter().enumerate().map(one).collect()
        };
        x.iter().map(|row| row.chunks(gain.len()).flat_map(group).collect()).collect()
    }

    /// SwiGLU where there is a gate, else GELU.
    pub fn mlp(&self, name: &str, x: &Matrix) -> Matrix {
        let at = |part: &str| format!("{name}.{part}");
        let hidden = if self.0.contains_key(&at("fc1_g.weight")) {
            let silu = |v: f64| v / (1.0 + (-v).exp());
            let (gate, value) = (self.linear(&at("fc1_g"), x), self.linear(&at("fc1_x"), x));
            let row = |(g, v): (&Vec<f64>, &Vec<f64>)| g.iter().zip(v).map(|(g, v)| silu(*g) * v).collect();
            gate.iter().zip(&value).map(row).collect()
        } else {
            let gelu = |v: f64| 0.5 * v * (1.0 + statrs::function::erf::erf(v / std::f64::consts::SQRT_2));
            let row = |row: Vec<f64>| row.into_iter().map(gelu).collect();
            self.linear(&at("fc1"), x).into_iter().map(row).collect()
        };
        self.linear(&at("fc2"), &hidden)
    }

    /// The branch through the norm `name` of a sandwich, if there is one.
    pub fn outer_norm(&self, name: &str, eps: f64, branch: Matrix) -> Matrix {
        let is_there = self.0.contains_key(&format!("{name}.weight"));
        if is_there { self.norm(name, &branch, eps) } else { branch }
    }

    /// `x + factor * gain * branch`, with the gain `name` if there is one.
    pub fn residual(&self, x: &mut Matrix, branch: &Matrix, name: &str, factor: f64) {
        let gain = self.0.get(name);
        for (row, add) in x.iter_mut().zip(branch) {
            for (j, (v, a)) in row.iter_mut().zip(add).enumerate() {
                *v += factor * gain.map_or(1.0, |gain| gain[j]) * a;
            }
        }
    }

    /// The values moved along `direction` in the parameter `name`.
    pub fn moved(&self, name: &str, direction: &[f32], step: f64) -> Values {
        let mut moved = self.clone();
        let values = moved.0.get_mut(name).unwrap();
        values.iter_mut().zip(direction).for_each(|(v, d)| *v += step * f64::from(*d));
        moved
    }
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// `softmax(q k' / sqrt(d / heads)) v` of one sequence.
pub fn attention(q: &Matrix, k: &Matrix, v: &Matrix, heads: usize) -> Matrix {
    let width = q[0].len() / heads;
    let head = |row: &Vec<f64>, h: usize| -> Vec<f64> {
        let of = |m: &Vec<f64>| m[h * width..][..width].to_vec();
        let score = |key: &Vec<f64>| (dot(&of(row), &of(key)) / (width as f64).sqrt()).exp();
        let scores: Vec<f64> = k.iter().map(score).collect();
        let sum: f64 = scores.iter().sum();
        let mix = |j: usize| scores.iter().zip(v).map(|(s, v)| s / sum * v[h * width + j]).sum();
        (0..width).map(mix).collect()
    };
    q.iter().map(|row| (0..heads).flat_map(|h| head(row, h)).collect()).collect()
}

/// Every head's pairs turned by column and row of the patch, on a grid of `cols` columns, at frequencies
/// `100^(-t / (width / 4))`; tokens without a place as they are.
pub fn turned(x: &Matrix, places: &[Option<usize>], heads: usize, cols: usize) -> Matrix {
    let width = x[0].len() / heads;
    let row = |(row, place): (&Vec<f64>, &Option<usize>)| {
        let Some(place) = place else { return row.clone() };
        let mut out = row.clone();
        for pair in 0..row.len() / 2 {
            let k = pair % (width / 2);
            let along = if k.is_multiple_of(2) { place % cols } else { place / cols } as f64;
            let (sine, cosine) = (along * 100f64.powf(-((k / 2) as f64) / (width / 4) as f64)).sin_cos();
            let (a, b) = (row[2 * pair], row[2 * pair + 1]);
            (out[2 * pair], out[2 * pair + 1]) = (cosine * a - sine * b, sine * a + cosine * b);
        }
        out
    };
    x.iter().zip(places).map(row).collect()
}

/// Columns `range` of every row.
pub fn columns(x: &Matrix, range: std::ops::Range<usize>) -> Matrix {
    x.iter().map(|row| row[range.clone()].to_vec()).collect()
}

/// Fails unless `gradient` of every parameter is the slope of `<upstream, f(values)>`, which f64 tells to 1e-9.
pub fn assert_slopes(
    values: &Values,
    gradients: &[(String, Vec<f32>)],
    upstream: &[f32],
    f: impl Fn(&Values) -> Matrix,
) {
    let mut random = Random::new(5);
    let loss = |values: &Values| -> f64 {
        f(values).iter().flatten().zip(upstream).map(|(y, u)| y * f64::from(*u)).sum()
    };
    for (name, gradient) in gradients {
        let direction = random.values(gradient.len(), 1.0);
        let step = 1e-5;
        let at = |s: f64| loss(&values.moved(name, &direction, s));
        let numeric = (at(step) - at(-step)) / (2.0 * step);
        let wide = |v: &[f32]| v.iter().map(|&v| f64::from(v)).collect::<Vec<_>>();
        let (gradient, direction) = (wide(gradient), wide(&direction));
        let size = dot(&gradient, &gradient).sqrt().max(0.1);
        let error = (dot(&gradient, &direction) - numeric).abs();
        assert!(error < 1e-4 * size, "{name}: off by {error} from {numeric} (size {size})");
    }
}

/// Fails unless f32 `found` is `expected` but for rounding.
pub fn assert_rows(found: &[f32], expected: &Matrix) {
    let expected: Vec<f32> = expected.iter().flatten().map(|&v| v as f32).collect();
    crate::common::assert_close("rows", found, &expected, 2e-5);
}
