//! What makes a function of slices a node of the gradient tape.
//!
//! dfdx shows a tensor's values only by copying them out; results are moved in without a copy. A
//! gradient is taken out of [`Gradients`] (leaving an empty vector), used in place and put back, or
//! dropped if nobody reads it again.

use dfdx::prelude::{Cpu, HasShape, PutTape, ReshapeTo, Shape, SplitTape, Tensor, TensorFromVec};
#[cfg(doc)]
use ijepa_registry::tensor::Gradients;
use ijepa_registry::tensor::{ModelError, Rows, Tape};

use super::buffer::Buffer;
use crate::kernels::Result;

/// Takes the gradient of a tensor, or of its ghost (whose type has no public name), out of a
/// `Gradients`; zeros if there is none yet.
macro_rules! take {
    ($gradients:expr, $tensor:expr) => {
        std::mem::take(&mut **$gradients.get_or_alloc_mut($tensor)?)
    };
}
pub(super) use take;

/// Puts a gradient back that [`take!`] took out.
macro_rules! put {
    ($gradients:expr, $tensor:expr, $values:expr) => {
        **$gradients.get_or_alloc_mut($tensor)? = $values
    };
}
pub(super) use put;

/// Separates a tensor from its tape. Copies read memory order, hence contiguous.
pub fn split<T: Tape<f32, Cpu>>(x: Rows<Cpu, T>) -> Result<(Rows<Cpu>, T)> {
    Ok(x.try_contiguous().map_err(ModelError::from_debug)?.split_tape())
}

/// The values of a contiguous tensor.
pub fn read<S: Shape>(x: &Tensor<S, f32, Cpu>) -> Buffer {
    let mut values = Buffer::any(x.shape().num_elements());
    x.copy_into(&mut values);
    values
}

/// A tensor of the given values.
pub fn tensor<S: Shape>(device: &Cpu, values: Vec<f32>, shape: S) -> Result<Tensor<S, f32, Cpu>> {
    device.try_tensor_from_vec(values, shape).map_err(ModelError::from_debug)
}

/// The result `y` of one operand `x`; `backward(dy, dx)` adds to the gradient of `x`.
pub fn unary<S: Shape, U: Shape, T: Tape<f32, Cpu>>(
    x: &Tensor<S, f32, Cpu>,
    y: Tensor<U, f32, Cpu>,
    mut tape: T,
    backward: impl FnOnce(&[f32], &mut [f32]) + 'static,
) -> Tensor<U, f32, Cpu, T> {
    if T::OWNS_TAPE {
        let (x, ghost) = (x.ghost(), y.ghost());
        tape.add_backward_op(move |g| {
            let (dy, mut dx) = (take!(g, &ghost), take!(g, &x));
            backward(&dy, &mut dx);
            put!(g, &x, dx);
            Ok(())
        });
    }
    y.put_tape(tape)
}

/// The same of two operands. They may be the same tensor: one gradient is back before the other is taken.
pub fn binary<R: Shape, S: Shape, U: Shape, T: Tape<f32, Cpu>>(
    (a, b): (&Tensor<R, f32, Cpu>, &Tensor<S, f32, Cpu>),
    y: Tensor<U, f32, Cpu>,
    mut tape: T,
    (to_a, to_b): (impl FnOnce(&[f32], &mut [f32]) + 'static, impl FnOnce(&[f32], &mut [f32]) + 'static),
) -> Tensor<U, f32, Cpu, T> {
    if T::OWNS_TAPE {
        let (a, b, ghost) = (a.ghost(), b.ghost(), y.ghost());
        tape.add_backward_op(move |g| {
            let (dy, mut da) = (take!(g, &ghost), take!(g, &a));
            to_a(&dy, &mut da);
            put!(g, &a, da);
            let mut db = take!(g, &b);
            to_b(&dy, &mut db);
            put!(g, &b, db);
            Ok(())
        });
    }
    y.put_tape(tape)
}
