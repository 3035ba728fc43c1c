//! The operators against values computed by PyTorch (`ops.safetensors` of both sets).

use std::path::Path;

use super::{common::*, fixture::Fixture};
use dfdx::prelude::*;
use ijepa_registry::tensor::{Flat, Rows};
use ijepa_run::kernels::{Backend, BlockParams, MatmulPrecision, RowLoss, from_host, to_host};

/// Of values, absolutely and relatively; f32 and f64 differ by a tenth of that.
const TOLERANCE: f32 = 1e-5;
/// Of gradients: a share of each tensor's largest entry.
const GRADIENT_TOLERANCE: f32 = 2e-5;

/// `ops.safetensors` of a set.
struct Ops(Fixture);

impl Ops {
    fn read(folder: &Path, set: &str) -> Self {
        Ops(Fixture::read(&folder.join(set).join("ops.safetensors")))
    }
    fn tensor(&self, name: &str) -> (Vec<f32>, Vec<usize>) {
        (self.values(name), self.0.shape(name))
    }
    fn values(&self, name: &str) -> Vec<f32> {
        self.0.f32(name)
    }
    fn flat(&self, name: &str) -> Flat<Cpu> {
        flat(self.values(name))
    }
    /// All but the last dimension as rows.
    fn rows(&self, name: &str) -> Rows<Cpu> {
        let (values, shape) = self.tensor(name);
        let d = *shape.last().unwrap();
        let n = values.len() / d;
        from_host(&Cpu::default(), values, n, d).unwrap()
    }
    fn heads(&self) -> usize {
        self.0.info["block_heads"].as_str().unwrap().parse().unwrap()
    }
}

/// Fails unless the values agree to [`TOLERANCE`], absolutely and relatively.
fn assert_near(what: &str, found: &[f32], expected: &[f32]) {
    assert_eq!(found.len(), expected.len(), "{what}: length");
    for (i, (f, e)) in found.iter().zip(expected).enumerate() {
        assert!((f - e).abs() <= TOLERANCE * (1.0 + e.abs()), "{what}[{i}]: {f}, not {e}");
    }
}

/// The block and its tensors' names, in the order of `BlockParams::tensors`.
fn block(file: &Ops, eps: f32, packed: [&str; 4]) -> (BlockParams<Cpu>, [String; 12]) {
    let [qkv_weight, qkv_bias, proj_weight, proj_bias] = packed;
    let names = [
        "norm1.weight",
        "norm1.bias",
        qkv_weight,
        qkv_bias,
        proj_weight,
        proj_bias,
        "norm2.weight",
        "norm2.bias",
        "mlp.fc1.weight",
        "mlp.fc1.bias",
        "mlp.fc2.weight",
        "mlp.fc2.bias",
    ]
    .map(String::from);
    let t = |i: usize| file.flat(&format!("block/w/{}", names[i]));
    let block = BlockParams::from_tensors(file.heads(), eps, MatmulPrecision::F32, std::array::from_fn(t));
    (block, names)
}

fn check_block(file: &Ops, eps: f32, packed: [&str; 4]) {
    let (block, names) = block(file, eps, packed);
    let (_, shape) = file.tensor("block/x");
    let segments = segments(&vec![shape[1]; shape[0]]);
    let x = file.rows("block/x");
    let y = Cpu::block(x.leaky_trace(), &block, &segments, None).unwrap();
    assert_near("y", &to_host(&y).unwrap(), &file.values("block/y"));
    let mut g = (y * file.rows("block/gy")).sum().backward();
    assert_close("gx", &g.get(&x).as_vec(), &file.values("block/gx"), GRADIENT_TOLERANCE);
    for (tensor, name) in block.tensors().into_iter().zip(&names) {
        let found = g.get_or_alloc_mut(tensor).unwrap().to_vec();
        let expected = file.values(&format!("block/gw/{name}"));
        assert_close(name, &found, &expected, GRADIENT_TOLERANCE);
        if *name == names[3] {
            // The gradient of the keys' bias is zero in exact arithmetic.
            let keys = found.len() / 3..found.len() / 3 * 2;
            assert!(found[keys].iter().all(|v| v.abs() < 1e-6), "keys' bias");
        }
    }
}

pub fn block_of_seed(folder: &Path) {
    let file = Ops::read(folder, "seed");
    let packed = ["attn.in_proj_weight", "attn.in_proj_bias", "attn.out_proj.weight", "attn.out_proj.bias"];
    check_block(&file, 1e-5, packed);
}

pub fn block_of_meta(folder: &Path) {
    let file = Ops::read(folder, "meta");
    check_block(&file, 1e-6, ["attn.qkv.weight", "attn.qkv.bias", "attn.proj.weight", "attn.proj.bias"]);
}

/// GELU alone: a block whose attention and second norm are switched off would bend the numbers, so the
/// exported function is called.
pub fn gelu_of_seed(folder: &Path) {
    let file = Ops::read(folder, "seed");
    let (value, slope): (Vec<f32>, Vec<f32>) =
        file.values("gelu/x").into_iter().map(ijepa_run::kernels::gelu_and_slope).unzip();
    assert_near("gelu", &value, &file.values("gelu/y"));
    assert_near("slope of gelu", &slope, &file.values("gelu/dydx"));
    let x = file.values("gelu/x");
    let n = x.len();
    let x = from_host(&Cpu::default(), x, 1, n).unwrap();
    let y = ijepa_run::kernels::reference::gelu(x.leaky_trace()).unwrap();
    assert_near("reference", &to_host(&y).unwrap(), &file.values("gelu/y"));
    let slope = y.sum::<(), _>().backward().get(&x).as_vec();
    assert_near("slope of reference", &slope, &file.values("gelu/dydx"));
}

pub fn loss_of_seed(folder: &Path) {
    let file = Ops::read(folder, "seed");
    let all = |name: &str| -> (Vec<f32>, usize) {
        let blocks: Vec<_> = (0..4).map(|i| file.tensor(&format!("loss/{name}/{i}"))).collect();
        (blocks.iter().flat_map(|b| b.0.clone()).collect(), *blocks[0].1.last().unwrap())
    };
    let rows = |name: &str| {
        let (values, d) = all(name);
        let n = values.len() / d;
        from_host(&Cpu::default(), values, n, d).unwrap()
    };
    let (p, t) = (rows("pred"), rows("target"));
    let loss = Cpu::loss(RowLoss::L2, p.leaky_trace(), &t).unwrap();
    assert_near("loss", &[loss.array()], &file.values("loss/value"));
    assert_near("gradient", &loss.backward().get(&p).as_vec(), &all("dpred").0);
}

pub fn smooth_l1_of_meta(folder: &Path) {
    let file = Ops::read(folder, "meta");
    let (p, t) = (file.rows("smooth_l1/pred"), file.rows("smooth_l1/target"));
    let loss = Cpu::loss(RowLoss::SmoothL1 { beta: 1.0 }, p.leaky_trace(), &t).unwrap();
    assert_near("loss", &[loss.array()], &file.values("smooth_l1/loss"));
    assert_near("gradient", &loss.backward().get(&p).as_vec(), &file.values("smooth_l1/dpred"));
}

pub fn target_norm_of_meta(folder: &Path) {
    let file = Ops::read(folder, "meta");
    let y = Cpu::standardize(&file.rows("target_norm/x"), 1e-5).unwrap();
    assert_near("y", &to_host(&y).unwrap(), &file.values("target_norm/y"));
}
