//! Numbers, tensors that are used twice, and operands without a tape.

use dfdx::prelude::*;
use ijepa_registry::tensor::{Rows, TapedRows};
use ijepa_run::kernels::{Compose, MatmulPrecision, from_host, reference, to_host};

use crate::common::{Random, assert_close, segments};
use crate::{TOLERANCE, assert_same, outcome};

#[test]
fn numbers_match_reference() {
    let mut r = Random::new(8);
    let (x, y) = (r.rows(70, 33, 1.0), r.rows(3, 4, 1.0));
    let rows = [x.clone(), y.clone()];
    let matrix = |l: TapedScalar| outcome(l.reshape_like(&(1usize, 1usize)), &rows, &[]);
    let fast = Cpu::add_scalars(Cpu::sum(x.leaky_trace()).unwrap(), Cpu::sum(y.leaky_trace()).unwrap());
    let slow = reference::add_scalars(
        reference::sum(x.leaky_trace()).unwrap(),
        reference::sum(y.leaky_trace()).unwrap(),
    );
    assert_same("sums", &matrix(fast.unwrap()), &matrix(slow.unwrap()), TOLERANCE);
    let twice = Cpu::sum(x.leaky_trace()).unwrap();
    let twice = matrix(Cpu::add_scalars(twice.retaped::<OwnedTape<f32, Cpu>>(), twice).unwrap());
    assert!(twice.gradients[0].iter().all(|g| (g - 2.0 * upstream()).abs() < 1e-6));
    let value = Cpu::add_scalars(Cpu::sum(x).unwrap(), Cpu::sum(y).unwrap()).unwrap();
    assert_close("without a tape", &[value.array()], &matrix(fast_sum(&rows)).y, 1e-6);
}

type TapedScalar = ijepa_registry::tensor::TapedScalar<Cpu>;

fn fast_sum(rows: &[Rows<Cpu>; 2]) -> TapedScalar {
    let [x, y] = [&rows[0], &rows[1]].map(|x| Cpu::sum(x.leaky_trace()).unwrap());
    Cpu::add_scalars(x, y).unwrap()
}

/// The only upstream gradient of one number.
fn upstream() -> f32 {
    Random::new(99).values(1, 1.0)[0]
}

/// Of operands that are one tensor the gradients add up.
#[test]
fn one_tensor_may_be_used_twice() {
    let mut r = Random::new(9);
    let (x, s) = (r.rows(31, 24, 1.0), segments(&[11, 20]));
    let copy = |x: &Rows<Cpu>| from_host(&Cpu::default(), to_host(x).unwrap(), 31, 24).unwrap();
    type Op<'a> = &'a dyn Fn(TapedRows<Cpu>, TapedRows<Cpu>, TapedRows<Cpu>) -> TapedRows<Cpu>;
    let ops: [(&str, Op); 6] = [
        ("add", &|a, b, _| Cpu::add(a, b).unwrap()),
        ("multiply", &|a, b, _| Cpu::multiply(a, b).unwrap()),
        ("concat rows", &|a, b, _| Cpu::concat_rows(a, b).unwrap()),
        ("concat columns", &|a, b, _| Cpu::concat_columns(a, b).unwrap()),
        ("moments", &|a, b, _| Cpu::matmul(a, b, true, false, MatmulPrecision::F32).unwrap()),
        ("attention", &|a, b, c| Cpu::attention(a, b, c, 3, &s, &s).unwrap()),
    ];
    for (what, op) in ops {
        let one =
            outcome(op(x.leaky_trace(), x.leaky_trace(), x.leaky_trace()), std::slice::from_ref(&x), &[]);
        let apart = [copy(&x), copy(&x), copy(&x)];
        let [a, b, c] = apart.each_ref().map(|x| x.leaky_trace());
        let apart = outcome(op(a, b, c), &apart, &[]);
        let mut sum = vec![0.0; 31 * 24];
        apart.gradients.iter().for_each(|g| sum.iter_mut().zip(g).for_each(|(s, g)| *s += g));
        assert_eq!(one.y, apart.y, "{what}");
        assert_close(what, &one.gradients[0], &sum, 1e-6);
    }
}

/// A component may hold one operand back, such as a target, and a parameter comes without a tape.
#[test]
fn an_operand_may_come_without_a_tape() {
    let mut r = Random::new(10);
    let (x, y) = (r.rows(5, 6, 1.0), r.rows(5, 6, 1.0));
    let rows = [x.clone(), y.clone()];
    let both = outcome(Cpu::multiply(x.leaky_trace(), y.leaky_trace()).unwrap(), &rows, &[]);
    let one = outcome(Cpu::multiply(x.leaky_trace(), y.clone()).unwrap(), &rows, &[]);
    assert_eq!(both.gradients, one.gradients);
}
