//! The operators to compose from, on the device against the CPU's. Tolerance as in `operators`.

use dfdx::prelude::*;
use ijepa_registry::tensor::{Flat, ModelError, Rows, TapedRows};
use ijepa_run::kernels::{
    Backend, BlockParams, Compose, Function, MatmulPrecision, NONE, RowLoss, from_host, to_host,
};

use crate::common::{block_cases, composed_block, segments};
use crate::emulator::{computing_device, device, run_backwards};
use crate::operators::{Inputs, Values, assert_same, gradient};

const FUNCTIONS: [Function; 9] = [
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

type Taped<D> = OwnedTape<f32, D>;

/// Output values and, of a squared distance to some target, the gradients of rows and parameters.
fn outcome<D: Backend>(
    r: &mut Inputs<D>,
    what: &str,
    y: TapedRows<D>,
    rows: &[&Rows<D>],
    params: &[&Flat<D>],
) -> Values {
    let (n, d) = *y.shape();
    let mut values = vec![(what.to_string(), to_host(&y).unwrap())];
    let target = r.rows(n, d);
    let loss = D::loss(RowLoss::L2, y, &target).unwrap();
    let mut g = loss.try_backward().map_err(ModelError::from_debug).unwrap();
    let of_rows: Vec<_> = rows.iter().map(|x| gradient(&mut g, *x)).collect();
    let of_params = params.iter().map(|p| gradient(&mut g, *p));
    values.extend(of_rows.into_iter().chain(of_params).map(|v| (format!("gradient of {what}"), v)));
    values
}

/// Every operator that takes a matrix of any shape.
fn shapes<D: Backend>(device: &D, (n, d): (usize, usize)) -> Values {
    let mut r = Inputs::new(device, 20);
    let (x, y, below) = (r.rows(n, d), r.rows(n, d), r.rows(n + 2, d));
    let (beside, gain) = (r.rows(n, d + 3), r.flat(d, 1.0));
    let variances: Vec<f32> = r.random.values(n * d, 1.0).iter().map(|v| v + 1.01).collect();
    let variances = from_host(device, variances, n, d).unwrap();
    let factors = r.random.values(n, 1.0);
    let index: Vec<u32> = (0..40).map(|_| r.random.below(n + 1) as u32).collect();
    let index: Vec<u32> = index.iter().map(|i| if *i == n as u32 { NONE } else { *i }).collect();
    let (t, mut all) = (|x: &Rows<D>| x.leaky_trace(), Values::new());
    for function in FUNCTIONS {
        let x = if matches!(function, Function::StdHinge { .. }) { &variances } else { &x };
        all.extend(outcome(&mut r, "map", D::map(t(x), function).unwrap(), &[x], &[]));
    }
    all.extend(outcome(&mut r, "add", D::add(t(&x), t(&y)).unwrap(), &[&x, &y], &[]));
    all.extend(outcome(&mut r, "multiply", D::multiply(t(&x), t(&y)).unwrap(), &[&x, &y], &[]));
    all.extend(outcome(&mut r, "square", D::multiply(t(&x), t(&x)).unwrap(), &[&x], &[]));
    let scaled = D::scale_columns(t(&x), &gain).unwrap();
    all.extend(outcome(&mut r, "scale columns", scaled, &[&x], &[&gain]));
    all.extend(outcome(&mut r, "scale rows", D::scale_rows(t(&x), &factors).unwrap(), &[&x], &[]));
    all.extend(outcome(&mut r, "rms", D::rms_norm(t(&x), &gain, 1e-5).unwrap(), &[&x], &[&gain]));
    let turns = r.rows(n, 2);
    if d.is_multiple_of(2) {
        all.extend(outcome(&mut r, "rotate", D::rotate(t(&x), &turns).unwrap(), &[&x], &[]));
    }
    let rows = D::concat_rows(t(&x), t(&below)).unwrap();
    all.extend(outcome(&mut r, "concat rows", rows, &[&x, &below], &[]));
    let columns = D::concat_columns(t(&x), t(&beside)).unwrap();
    all.extend(outcome(&mut r, "concat columns", columns, &[&x, &beside], &[]));
    all.extend(outcome(&mut r, "columns", D::columns(t(&beside), d / 2..d + 1).unwrap(), &[&beside], &[]));
    let wide = D::gather_rows_wide(t(&x), &index, 4).unwrap();
    all.extend(outcome(&mut r, "wide", wide, &[&x], &[]));
    let parts = segments(&[1, n + 1]);
    all.extend(outcome(&mut r, "means", D::segment_means(t(&below), &parts).unwrap(), &[&below], &[]));
    all.extend(outcome(&mut r, "center", D::center_columns(t(&x)).unwrap(), &[&x], &[]));
    all.extend(outcome(&mut r, "variances", D::column_variances(t(&below)).unwrap(), &[&below], &[]));
    all
}

#[test]
fn operators_of_one_matrix_are_those_of_the_cpu() {
    let turn = computing_device();
    for sizes in [(1, 1), (5, 30), (200, 33), (3, 192)] {
        assert_same(&format!("{sizes:?}"), &shapes(&turn.cuda, sizes), &shapes(&Cpu::default(), sizes));
    }
}

fn heads<D: Backend>(device: &D) -> Values {
    let mut r = Inputs::new(device, 21);
    let (x, gain) = (r.rows(17, 24), r.flat(8, 1.0));
    let y = D::rms_norm(x.leaky_trace(), &gain, 1e-5).unwrap();
    outcome(&mut r, "rms of heads", y, &[&x], &[&gain])
}

#[test]
fn norms_of_heads_are_those_of_the_cpu() {
    let turn = computing_device();
    assert_same("heads", &heads(&turn.cuda), &heads(&Cpu::default()));
}

fn products<D: Backend>(device: &D, [n, k, m]: [usize; 3], precision: MatmulPrecision) -> Values {
    let (mut r, mut all) = (Inputs::new(device, 22), Values::new());
    for (turn_a, turn_b) in [(false, false), (false, true), (true, false), (true, true)] {
        let mut operand = |n, m, turn| if turn { r.rows(m, n) } else { r.rows(n, m) };
        let (a, b) = (operand(n, k, turn_a), operand(k, m, turn_b));
        let c = D::matmul(a.leaky_trace(), b.leaky_trace(), turn_a, turn_b, precision).unwrap();
        all.extend(outcome(&mut r, &format!("product {turn_a} {turn_b}"), c, &[&a, &b], &[]));
    }
    let x = r.rows(n, k);
    let moments = D::matmul(x.leaky_trace(), x.leaky_trace(), true, false, precision).unwrap();
    all.extend(outcome(&mut r, "moments", moments, &[&x], &[]));
    all
}

#[test]
fn products_are_those_of_the_cpu() {
    let turn = computing_device();
    for sizes in [[1, 1, 1], [5, 3, 2], [33, 70, 20]] {
        let f32 = MatmulPrecision::F32;
        let (here, cpu) = (products(&turn.cuda, sizes, f32), products(&Cpu::default(), sizes, f32));
        assert_same(&format!("{sizes:?}"), &here, &cpu);
    }
}

fn attention<D: Backend>(
    device: &D,
    (queries, keys, d, heads): &(Vec<usize>, Vec<usize>, usize, usize),
) -> Values {
    let mut r = Inputs::new(device, 23);
    let (queries, keys) = (segments(queries), segments(keys));
    let (q, k, v) = (r.rows(queries.rows(), *d), r.rows(keys.rows(), *d), r.rows(keys.rows(), *d));
    let t = |x: &Rows<D>| x.leaky_trace();
    let y = D::attention(t(&q), t(&k), t(&v), *heads, &queries, &keys).unwrap();
    let mut all = outcome(&mut r, "cross", y, &[&q, &k, &v], &[]);
    let y = D::attention(t(&k), t(&k), t(&k), *heads, &keys, &keys).unwrap();
    all.extend(outcome(&mut r, "of one tensor", y, &[&k], &[]));
    all
}

#[test]
fn attention_is_that_of_the_cpu() {
    let turn = computing_device();
    let cases = [
        (vec![1], vec![2], 8, 1),
        (vec![3, 0, 40, 2], vec![10, 20, 5, 1], 30, 5),
        (vec![0, 130, 17], vec![3, 20, 70], 64, 2),
        (vec![5, 6], vec![9, 2], 96, 1),
    ];
    for case in &cases {
        assert_same(&format!("{case:?}"), &attention(&turn.cuda, case), &attention(&Cpu::default(), case));
    }
}

/// Sums of many rows are of two stages.
fn numbers<D: Backend>(device: &D) -> Values {
    let mut r = Inputs::new(device, 24);
    let (x, y) = (r.rows(300, 40), r.rows(2, 3));
    let of = |x: &Rows<D>| D::sum(x.leaky_trace()).unwrap();
    let loss = D::add_scalars(of(&x), D::scale(of(&y), -0.5).unwrap()).unwrap();
    let value = loss.as_vec();
    let mut g = loss.try_backward().map_err(ModelError::from_debug).unwrap();
    let untaped = D::add_scalars(D::sum(x.clone()).unwrap(), D::sum(y.clone()).unwrap()).unwrap();
    let gradients = [gradient(&mut g, &x), gradient(&mut g, &y)];
    let named = |v| ("numbers".to_string(), v);
    [value, untaped.as_vec()].into_iter().chain(gradients).map(named).collect()
}

#[test]
fn numbers_are_those_of_the_cpu() {
    let turn = computing_device();
    assert_same("numbers", &numbers(&turn.cuda), &numbers(&Cpu::default()));
}

type Block<D> = fn(TapedRows<D>, &BlockParams<D>, &[usize]) -> TapedRows<D>;

fn block<D: Backend>(
    device: &D,
    (lengths, d, heads, hidden): (&[usize], usize, usize, usize),
    f: Block<D>,
) -> Values {
    let mut r = Inputs::new(device, 25);
    let (x, block) = (r.rows(lengths.iter().sum(), d), r.block(d, heads, hidden));
    outcome(&mut r, "block", f(x.leaky_trace(), &block, lengths), &[&x], &block.tensors())
}

/// The composed block on the device against the fused one, there and on the CPU.
#[test]
fn a_composed_block_is_the_fused_one() {
    let turn = computing_device();
    fn composed<D: Backend>(x: TapedRows<D>, block: &BlockParams<D>, lengths: &[usize]) -> TapedRows<D> {
        composed_block::<D, Taped<D>>(x, block, &segments(lengths)).unwrap()
    }
    fn fused<D: Backend>(x: TapedRows<D>, block: &BlockParams<D>, lengths: &[usize]) -> TapedRows<D> {
        D::block(x, block, &segments(lengths), None).unwrap()
    }
    let small = block_cases().into_iter().filter(|(lengths, ..)| lengths.iter().sum::<usize>() < 200);
    for (lengths, d, heads, hidden, _) in small {
        let case = (&lengths[..], d, heads, hidden);
        let found = block(&turn.cuda, case, composed);
        assert_same(&format!("{case:?}, here"), &found, &block(&turn.cuda, case, fused));
        assert_same(&format!("{case:?}, CPU"), &found, &block(&Cpu::default(), case, fused));
    }
}

#[test]
fn matrices_without_rows_are_no_error() {
    let turn = device();
    let mut r = Inputs::new(&turn.cuda, 26);
    let (x, s, f32) = (r.rows(0, 8), segments(&[0, 0]), MatmulPrecision::F32);
    let t = || x.leaky_trace();
    let y = Cuda::attention(Cuda::map(t(), Function::Gelu).unwrap(), t(), t(), 2, &s, &s).unwrap();
    let y = Cuda::rms_norm(Cuda::add(y, t()).unwrap(), &r.flat(4, 1.0), 1e-5).unwrap();
    let y = Cuda::columns(Cuda::concat_rows(y, t()).unwrap(), 1..4).unwrap();
    assert_eq!(*y.shape(), (0, 3));
    let moments = Cuda::matmul(y.retaped::<Taped<Cuda>>(), y, true, false, f32).unwrap();
    assert_eq!(to_host(&moments).unwrap(), [0.0; 9]);
    // dfdx cannot show that the gradient of no rows is empty, but it is reached.
    outcome(&mut r, "nothing", moments, &[], &[]);
}

#[test]
fn heads_that_are_too_large_are_refused() {
    let turn = device();
    let (x, s) = (Inputs::new(&turn.cuda, 27).rows(3, 128), segments(&[3]));
    let error = Cuda::attention(x.clone(), x.clone(), x, 1, &s, &s).unwrap_err().to_string();
    assert!(error.contains("heads of 128 columns") && error.contains("96"), "{error}");
}

/// Also with the threads of every block in reverse, which would show a missing barrier.
#[test]
fn the_same_inputs_give_the_same_bits() {
    let turn = computing_device();
    let everything = || {
        let mut all = shapes(&turn.cuda, (200, 33));
        all.extend(products(&turn.cuda, [33, 70, 20], MatmulPrecision::Bf16));
        all.extend(attention(&turn.cuda, &(vec![3, 0, 40], vec![10, 20, 5], 30, 5)));
        all.extend(numbers(&turn.cuda));
        all
    };
    let forward = everything();
    run_backwards(true);
    let backward = everything();
    run_backwards(false);
    assert!(forward == backward);
}
