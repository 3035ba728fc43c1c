//! Products of two matrices of activations, and attention.

use dfdx::prelude::{Cuda, HasShape, PutTape, ZerosTensor};
use ijepa_registry::tensor::{Rows, Segments, Tape};

use super::super::address::{of, slope, unfilled};
use super::super::attention::{Heads, Operands, Output, Sequences, Slopes};
use super::super::gpu::{Done, Gpu};
use super::super::product::Product;
use super::super::values::{Floats, at};
use super::binary;

pub fn matmul<T: Tape<f32, Cuda>>(a: Rows<Cuda>, b: Rows<Cuda>, p: Product, tape: T) -> Done<Rows<Cuda, T>> {
    let (gpu, [n, k, m]) = (Gpu::of(a.device())?, p.sizes);
    // A product over nothing is zero, and no work of cuBLAS.
    let c: Rows<Cuda> =
        if k == 0 { a.device().try_zeros_like(&(n, m))? } else { unfilled(a.device(), (n, m))? };
    gpu.product(p, of(&a)?, of(&b)?, of(&c)?, false)?;
    let values = (a.clone(), b.clone());
    Ok(binary((&a, &b), c, tape, move |dc, da, db| {
        let (a, b) = (of(&values.0)?, of(&values.1)?);
        let [turn_a, turn_b] = p.transposed;
        // With A = op(a), B = op(b), D the gradient of A B: that of A is D B', that of B is A' D, and that of a
        // transpose is the transpose of the gradient.
        if turn_a {
            gpu.product(p.of([k, m, n], [turn_b, true]), b, dc, da, true)?;
        } else {
            gpu.product(p.of([n, m, k], [false, !turn_b]), dc, b, da, true)?;
        }
        if turn_b {
            gpu.product(p.of([m, n, k], [true, turn_a]), dc, a, db, true)
        } else {
            gpu.product(p.of([k, n, m], [!turn_a, false]), a, dc, db, true)
        }
    }))
}

/// Queries, keys and values without biases, all of them rows of d columns.
fn operands(q: &Rows<Cuda>, k: &Rows<Cuda>, v: &Rows<Cuda>, d: usize) -> Done<Operands> {
    Ok(Operands { q: of(q)?, k: of(k)?, v: of(v)?, biases: [0; 3], strides: [d; 2] })
}

pub fn attention<T: Tape<f32, Cuda>>(
    q: Rows<Cuda>,
    k: Rows<Cuda>,
    v: Rows<Cuda>,
    heads: Heads,
    (q_segments, kv_segments): (&Segments, &Segments),
    mut tape: T,
) -> Done<Rows<Cuda, T>> {
    let (gpu, (rows, d), keys) = (Gpu::of(q.device())?, *q.shape(), k.shape().0);
    let sequences = Sequences::paired(&gpu, q_segments, kv_segments)?;
    let (y, lse): (Rows<Cuda>, Floats) = (unfilled(q.device(), (rows, d))?, gpu.floats(heads.count * rows)?);
    gpu.attention(heads, &sequences, operands(&q, &k, &v, d)?, Output { o: of(&y)?.into(), lse: at(&lse) })?;
    if T::OWNS_TAPE {
        let (ghost, o) = (y.ghost(), y.clone());
        tape.add_backward_op(move |g| {
            let dy = slope!(g, &ghost);
            // The kernels overwrite, and operands may be one tensor.
            let [dq, dk, dv] = [rows, keys, keys].map(|n| gpu.floats(n * d));
            let (dq, dk, dv) = (dq?, dk?, dv?);
            let (q_at, k_at, v_at) = (at(&dq), at(&dk), at(&dv));
            let to = Slopes { q: q_at.into(), k: k_at.into(), v: v_at.into() };
            let from = Output { o: of(&o)?.into(), lse: at(&lse) };
            gpu.attention_back(heads, &sequences, operands(&q, &k, &v, d)?, from, dy, to)?;
            gpu.add_to(q_at, slope!(g, &q), rows * d)?;
            gpu.add_to(k_at, slope!(g, &k), keys * d)?;
            gpu.add_to(v_at, slope!(g, &v), keys * d)
        });
    }
    Ok(y.put_tape(tape))
}
