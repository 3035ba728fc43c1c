//! Gradients of the device's operators against central differences of their own forward passes.
//!
//! As in `tests/gradients.rs`: with a step of 4e-3 rounding and truncation stay below 2e-3 of the
//! gradient's size. The number that is differentiated is a squared distance, summed in f64.

use dfdx::prelude::{Backward, Cuda, HasShape, TensorFromVec, Trace};
use ijepa_registry::tensor::{Flat, ModelError, TapedRows};
use ijepa_run::kernels::{
    Backend, BlockParams, MatmulPrecision, NONE, RowLoss, TableTerm, from_host, to_host,
};

use crate::common::{Random, segments};
use crate::emulator::computing_device;

const STEP: f32 = 4e-3;
const TOLERANCE: f64 = 2e-3;

/// A function of rows and parameters.
type Function<'a> = &'a dyn Fn(TapedRows<Cuda>, &[Flat<Cuda>]) -> TapedRows<Cuda>;

struct Case<'a> {
    device: &'a Cuda,
    f: Function<'a>,
    shape: (usize, usize),
    target: Vec<f32>,
}

impl Case<'_> {
    fn flat(&self, values: &[f32]) -> Flat<Cuda> {
        self.device.tensor_from_vec(values.to_vec(), (values.len(),))
    }

    /// Mean over rows of the squared distance of `f(inputs)` to the target; the first input is x.
    fn value(&self, inputs: &[Vec<f32>]) -> f64 {
        let x = from_host(self.device, inputs[0].clone(), self.shape.0, self.shape.1).unwrap();
        let params: Vec<_> = inputs[1..].iter().map(|p| self.flat(p)).collect();
        let y = (self.f)(x.leaky_trace(), &params);
        let rows = y.shape().0 as f64;
        let square = |(y, t): (&f32, &f32)| (f64::from(*y) - f64::from(*t)).powi(2);
        to_host(&y).unwrap().iter().zip(&self.target).map(square).sum::<f64>() / rows
    }

    fn gradients(&self, inputs: &[Vec<f32>]) -> Vec<Vec<f32>> {
        let x = from_host(self.device, inputs[0].clone(), self.shape.0, self.shape.1).unwrap();
        let params: Vec<_> = inputs[1..].iter().map(|p| self.flat(p)).collect();
        let y = (self.f)(x.leaky_trace(), &params);
        let (n, d) = *y.shape();
        let target = from_host(self.device, self.target.clone(), n, d).unwrap();
        let loss = Cuda::loss(RowLoss::L2, y, &target).unwrap();
        let g = loss.try_backward().map_err(ModelError::from_debug).unwrap();
        std::iter::once(g.get(&x).as_vec()).chain(params.iter().map(|p| g.get(p).as_vec())).collect()
    }
}

/// Compares along a random direction in each input at a time.
fn check(
    what: &str,
    device: &Cuda,
    f: Function,
    shape: (usize, usize),
    outputs: usize,
    params: Vec<Vec<f32>>,
) {
    let mut r = Random::new(77);
    let mut inputs = vec![r.values(shape.0 * shape.1, 1.0)];
    inputs.extend(params);
    let case = Case { device, f, shape, target: r.values(outputs, 1.0) };
    let gradients = case.gradients(&inputs);
    for (i, gradient) in gradients.iter().enumerate() {
        let direction = r.values(gradient.len(), 1.0);
        let at = |factor: f32| {
            let mut moved = inputs.clone();
            moved[i].iter_mut().zip(&direction).for_each(|(v, d)| *v += factor * d);
            case.value(&moved)
        };
        let numeric = (at(STEP) - at(-STEP)) / (2.0 * f64::from(STEP));
        let inner = |a: &[f32], b: &[f32]| -> f64 {
            a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum()
        };
        let (analytic, size) = (inner(gradient, &direction), inner(gradient, gradient).sqrt().max(1.0));
        let error = (analytic - numeric).abs();
        assert!(error < TOLERANCE * size, "{what}, input {i}: {analytic}, not {numeric} (size {size})");
    }
}

#[test]
fn gradients_are_slopes() {
    let turn = computing_device();
    let (device, mut r) = (&turn.cuda, Random::new(12));
    let linear = |x, p: &[Flat<Cuda>]| Cuda::linear(x, &p[0], &p[1], MatmulPrecision::F32).unwrap();
    check("linear", device, &linear, (7, 12), 35, vec![r.values(60, 0.5), r.values(5, 0.5)]);
    let norm = |x, p: &[Flat<Cuda>]| Cuda::layer_norm(x, &p[0], &p[1], 1e-6).unwrap();
    check("layer norm", device, &norm, (7, 24), 168, vec![r.values(24, 1.0), r.values(24, 1.0)]);
    let gather = |x: TapedRows<Cuda>, p: &[Flat<Cuda>]| {
        let tables = [TableTerm { table: &p[0], index: &[0, NONE, 1, 0], trained: true }];
        Cuda::gather_sum(x, &[2, 2, NONE, 0], &tables).unwrap()
    };
    check("gather", device, &gather, (3, 6), 24, vec![r.values(12, 1.0)]);
    let segments = segments(&[5, 1, 40]);
    for keep in [None, Some(vec![0u32, 3, 20, 44])] {
        let params: Vec<Vec<f32>> = r.block(24, 3, 40).tensors().iter().map(|t| t.as_vec()).collect();
        let block = |x, p: &[Flat<Cuda>]| {
            let tensors: [Flat<Cuda>; 12] = std::array::from_fn(|i| p[i].clone());
            let block = BlockParams::from_tensors(3, 1e-6, MatmulPrecision::F32, tensors);
            Cuda::block(x, &block, &segments, keep.as_deref()).unwrap()
        };
        let rows = keep.as_ref().map_or(46, Vec::len);
        check(&format!("block {keep:?}"), device, &block, (46, 24), rows * 24, params);
    }
}
