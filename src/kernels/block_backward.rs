//! The transformer block on one group of sequences, backward.

use super::attention;
use super::block::{PARAMETERS, Saved, Values, at, kept_rows};
use super::elementwise::{gelu_backward, scatter_add_rows};
use super::gemm::Write;
use super::layer_norm;
use super::linear::{input_gradient, weight_gradient};
use super::pool::Buffer;
use super::split::Group;

/// One partial sum of the gradients of a block's parameters.
pub struct Gradient {
    /// In the order of [`at`].
    pub tensors: [Buffer; PARAMETERS],
    /// Whether nothing was added yet: the weights' parts hold old memory until the first group.
    fresh: bool,
}

impl Gradient {
    /// No contribution yet.
    pub fn new(values: &Values) -> Self {
        // Weights are overwritten by the first product; norms and biases are only ever added to.
        let weights = [at::QKV[0], at::PROJ[0], at::FC1[0], at::FC2[0]];
        let tensors = std::array::from_fn(|i| {
            let len = values.tensors[i].len();
            if weights.contains(&i) { Buffer::any(len) } else { Buffer::zeros(len) }
        });
        Gradient { tensors, fresh: true }
    }
    /// A (weight, bias) pair of gradients.
    fn pair(&mut self, at: [usize; 2]) -> (&mut [f32], &mut [f32]) {
        let [weight, bias] = self.tensors.get_disjoint_mut(at).expect("two tensors");
        (weight, bias)
    }
}

/// Gradient of the input (tokens, d) from that of the output `dy` (rows, d); adds to `gradient`.
pub fn backward(values: &Values, group: &Group, saved: Saved, dy: &[f32], gradient: &mut Gradient) -> Buffer {
    let write = if gradient.fresh { Write::Replace } else { Write::Add };
    gradient.fresh = false;
    let Saved { x, stats1, q, kv, lse, o, x2, stats2, h } = saved;
    let dx2 = mlp(values, (&x2, &stats2, &h), dy, gradient, write);
    drop((h, x2, stats2));
    let d_o = projection(values, &o, &dx2, gradient, write);
    let (mut dq, mut dkv) = (Buffer::any(q.len()), Buffer::any(kv.len()));
    attention::backward(values.heads, group, (&q, &kv, &o, &lse), &d_o, &mut dq, &mut dkv);
    drop((q, kv, o, lse, d_o));
    let dnorm = qkv(values, group, (&x, &stats1), (&dq, &dkv), gradient, write);

    let mut dx = match &group.kept {
        None => dx2,
        Some(kept) => {
            let mut dx = Buffer::zeros(x.len());
            scatter_add_rows(&dx2, &mut dx, kept, values.dim());
            dx
        }
    };
    let (gain, _) = values.pair(at::NORM1);
    let (dgain, dbias) = gradient.pair(at::NORM1);
    layer_norm::backward(&x, &stats1, gain, &dnorm, &mut dx, dgain, dbias);
    dx
}

/// Through `x2 + fc2(gelu(fc1(norm2 x2)))`: the gradient of `x2`.
fn mlp(
    values: &Values,
    (x2, stats2, h): (&[f32], &[f32], &[f32]),
    dy: &[f32],
    gradient: &mut Gradient,
    write: Write,
) -> Buffer {
    let (d, f) = (values.dim(), values.hidden());
    let (mut dh, mut g) = (Buffer::any(h.len()), Buffer::any(h.len()));
    input_gradient(&mut dh, Write::Replace, dy, values.pair(at::FC2).0, d);
    gelu_backward(h, &mut g, &mut dh);
    let (dw, db) = gradient.pair(at::FC2);
    weight_gradient(dw, db, write, dy, &g);
    drop(g);
    let (gain, bias) = values.pair(at::NORM2);
    let mut y = Buffer::any(x2.len());
    layer_norm::apply(x2, &mut y, stats2, gain, bias);
    let (dw, db) = gradient.pair(at::FC1);
    weight_gradient(dw, db, write, &dh, &y);
    let mut dnorm = y;
    input_gradient(&mut dnorm, Write::Replace, &dh, values.pair(at::FC1).0, f);
    let mut dx2 = Buffer::copy_of(dy);
    let (dgain, dbias) = gradient.pair(at::NORM2);
    layer_norm::backward(x2, stats2, gain, &dnorm, &mut dx2, dgain, dbias);
    dx2
}

/// Through `proj(o)`: the gradient of `o`.
fn projection(values: &Values, o: &[f32], dx2: &[f32], gradient: &mut Gradient, write: Write) -> Buffer {
    let (dw, db) = gradient.pair(at::PROJ);
    weight_gradient(dw, db, write, dx2, o);
    let mut d_o = Buffer::any(o.len());
    input_gradient(&mut d_o, Write::Replace, dx2, values.pair(at::PROJ).0, values.dim());
    d_o
}

/// Through queries, keys and values: the gradient of the normalised input (tokens, d).
fn qkv(
    values: &Values,
    group: &Group,
    (x, stats1): (&[f32], &[f32]),
    (dq, dkv): (&[f32], &[f32]),
    gradient: &mut Gradient,
    write: Write,
) -> Buffer {
    let d = values.dim();
    let (gain, bias) = values.pair(at::NORM1);
    let mut y = Buffer::any(x.len());
    layer_norm::apply(x, &mut y, stats1, gain, bias);
    let (weight, _) = values.pair(at::QKV);
    let (dw, db) = gradient.pair(at::QKV);
    let (dw_q, dw_kv) = dw.split_at_mut(d * d);
    let (db_q, db_kv) = db.split_at_mut(d);
    weight_gradient(dw_kv, db_kv, write, dkv, &y);
    let y = kept_rows(y, group, d);
    weight_gradient(dw_q, db_q, write, dq, &y);

    let mut dnorm = Buffer::any(x.len());
    input_gradient(&mut dnorm, Write::Replace, dkv, &weight[d * d..], 2 * d);
    match &group.kept {
        None => input_gradient(&mut dnorm, Write::Add, dq, &weight[..d * d], d),
        Some(kept) => {
            let mut rows = y;
            input_gradient(&mut rows, Write::Replace, dq, &weight[..d * d], d);
            scatter_add_rows(&rows, &mut dnorm, kept, d);
        }
    }
    dnorm
}
