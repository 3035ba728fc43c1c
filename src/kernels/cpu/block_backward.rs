//! The transformer block on one group of sequences, backward.

use super::attention;
use super::block::{PARAMETERS, Saved, Values, at, kept_rows};
use super::buffer::Buffer;
use super::elementwise::scatter_add_rows;
use super::factor::Factor;
use super::gemm::Packed;
use super::layer_norm;
use super::linear::{pack_for_backward, pack_rows, weight_gradient};
use super::mlp;
use super::split::Group;
use super::tile::Start;

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

/// A block's parameters, ready for backward.
pub struct Weights<'a> {
    values: &'a Values,
    q: Packed,
    kv: Packed,
    proj: Packed,
    mlp: mlp::Weights,
}

impl<'a> Weights<'a> {
    /// Packs the weights.
    pub fn new(values: &'a Values) -> Self {
        let d = values.dim();
        let (qkv, _) = values.pair(at::QKV);
        let pack = |weight, outputs| pack_for_backward(weight, outputs, values.precision);
        Weights {
            values,
            q: pack(&qkv[..d * d], d),
            kv: pack(&qkv[d * d..], 2 * d),
            proj: pack(values.pair(at::PROJ).0, d),
            mlp: mlp::Weights::new(values),
        }
    }
}

/// Gradient of the input (tokens, d) from that of the output `dy` (rows, d); adds to `gradient`.
pub fn backward(
    weights: &Weights,
    group: &Group,
    saved: Saved,
    dy: &[f32],
    gradient: &mut Gradient,
) -> Buffer {
    let values = weights.values;
    let start = if gradient.fresh { Start::Zero } else { Start::Output };
    gradient.fresh = false;
    let Saved { x, stats1, q, kv, lse, o, x2, stats2, h } = saved;
    let dx2 = mlp(weights, (&x2, &stats2, &h), dy, gradient, start);
    drop((h, x2, stats2));
    let d_o = projection(weights, &o, &dx2, gradient, start);
    let (mut dq, mut dkv) = (Buffer::any(q.len()), Buffer::any(kv.len()));
    attention::backward(values.heads, group, (&q, &kv, &o, &lse), &d_o, &mut dq, &mut dkv);
    drop((q, kv, o, lse, d_o));
    let dnorm = qkv(weights, group, (&x, &stats1), (&dq, &dkv), gradient, start);

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
    weights: &Weights,
    (x2, stats2, h): (&[f32], &[f32], &[f32]),
    dy: &[f32],
    gradient: &mut Gradient,
    start: Start,
) -> Buffer {
    let (gain, bias) = weights.values.pair(at::NORM2);
    let mut y = Buffer::any(x2.len());
    layer_norm::apply(x2, &mut y, stats2, gain, bias);
    let ([w1, b1], [w2, b2]) = (at::FC1, at::FC2);
    let gradients = gradient.tensors.get_disjoint_mut([w1, b1, w2, b2]).expect("four tensors");
    let dnorm = weights.mlp.backward(&y, h, dy, gradients.map(|g| &mut **g), start);
    let mut dx2 = Buffer::copy_of(dy);
    let (dgain, dbias) = gradient.pair(at::NORM2);
    layer_norm::backward(x2, stats2, gain, &dnorm, &mut dx2, dgain, dbias);
    dx2
}

/// Through `proj(o)`: the gradient of `o`.
fn projection(weights: &Weights, o: &[f32], dx2: &[f32], gradient: &mut Gradient, start: Start) -> Buffer {
    let (d, precision) = (weights.values.dim(), weights.values.precision);
    let (dw, db) = gradient.pair(at::PROJ);
    weight_gradient(dw, db, start, dx2, &pack_rows(o, d, precision));
    let mut d_o = Buffer::any(o.len());
    Factor::rows(dx2, d, precision).product(&mut d_o, Start::Zero, &weights.proj);
    d_o
}

/// Through queries, keys and values: the gradient of the normalised input (tokens, d).
fn qkv(
    weights: &Weights,
    group: &Group,
    (x, stats1): (&[f32], &[f32]),
    (dq, dkv): (&[f32], &[f32]),
    gradient: &mut Gradient,
    start: Start,
) -> Buffer {
    let (values, d) = (weights.values, weights.values.dim());
    let precision = values.precision;
    let (gain, bias) = values.pair(at::NORM1);
    let mut y = Buffer::any(x.len());
    layer_norm::apply(x, &mut y, stats1, gain, bias);
    let (dw, db) = gradient.pair(at::QKV);
    let (dw_q, dw_kv) = dw.split_at_mut(d * d);
    let (db_q, db_kv) = db.split_at_mut(d);
    let packed = pack_rows(&y, d, precision);
    weight_gradient(dw_kv, db_kv, start, dkv, &packed);
    let y = kept_rows(y, group, d);
    let packed = if group.kept.is_some() { pack_rows(&y, d, precision) } else { packed };
    weight_gradient(dw_q, db_q, start, dq, &packed);

    let mut dnorm = Buffer::any(x.len());
    Factor::rows(dkv, 2 * d, precision).product(&mut dnorm, Start::Zero, &weights.kv);
    let dq = Factor::rows(dq, d, precision);
    match &group.kept {
        None => dq.product(&mut dnorm, Start::Output, &weights.q),
        Some(kept) => {
            let mut rows = y;
            dq.product(&mut rows, Start::Zero, &weights.q);
            scatter_add_rows(&rows, &mut dnorm, kept, d);
        }
    }
    dnorm
}
