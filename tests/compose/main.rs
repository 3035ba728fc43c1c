//! The operators to compose from, on the CPU: against their compositions from plain dfdx operations, as a block
//! against the fused one, and at their edges. Tolerances as in `tests/kernels.rs`.

mod block;
#[path = "../common/mod.rs"]
mod common;
mod edges;
mod reference;
mod tapes;

use dfdx::prelude::*;
use ijepa_registry::tensor::{Flat, Rows, TapedRows};
use ijepa_run::kernels::{Function, from_host, to_host};

use common::{Random, assert_close};

pub const TOLERANCE: f32 = 2e-5;

pub const FUNCTIONS: [Function; 9] = [
    Function::Affine { scale: -0.7, shift: 0.3 },
    Function::Gelu,
    Function::Silu,
    Function::Relu,
    Function::Tanh,
    Function::Square,
    Function::Sin,
    Function::Cos,
    Function::StdHinge { floor: 1.0, eps: 1e-4 },
];

/// A value and, for a random upstream gradient, the gradients of the operands and the parameters.
pub struct Outcome {
    pub y: Vec<f32>,
    pub gradients: Vec<Vec<f32>>,
}

pub fn outcome(y: TapedRows<Cpu>, rows: &[Rows<Cpu>], params: &[Flat<Cpu>]) -> Outcome {
    let (values, (n, d)) = (to_host(&y).unwrap(), *y.shape());
    let upstream = Random::new(99).values(n * d, 1.0);
    let mut g = (y * from_host(&Cpu::default(), upstream, n, d).unwrap()).sum().backward();
    let mut gradients: Vec<_> = rows.iter().map(|x| g.get_or_alloc_mut(x).unwrap().to_vec()).collect();
    gradients.extend(params.iter().map(|p| g.get_or_alloc_mut(p).unwrap().to_vec()));
    Outcome { y: values, gradients }
}

pub fn assert_same(what: &str, fast: &Outcome, slow: &Outcome, tolerance: f32) {
    assert_close(&format!("{what}: y"), &fast.y, &slow.y, TOLERANCE);
    for (i, (f, s)) in fast.gradients.iter().zip(&slow.gradients).enumerate() {
        assert_close(&format!("{what}: gradient {i}"), f, s, tolerance);
    }
}
