//! A block composed of the operators against the fused one, and the bits of all operators together.

use dfdx::prelude::*;
use ijepa_run::kernels::{
    Backend, BlockParams, Compose, Level, MatmulPrecision, NONE, limit_level, to_host, widest_level,
};

use crate::common::{Random, block_cases, composed_block, segments};
use crate::{FUNCTIONS, TOLERANCE, assert_same, outcome};

#[test]
fn a_composed_block_is_the_fused_one() {
    let mut r = Random::new(11);
    for (lengths, d, heads, hidden, _) in block_cases() {
        let segments = segments(&lengths);
        let (x, block) = (r.rows(segments.rows(), d, 1.0), r.block(d, heads, hidden));
        let (rows, params) = ([x.clone()], block.tensors().map(Clone::clone));
        let fused = Cpu::block(x.leaky_trace(), &block, &segments, None).unwrap();
        let composed = composed_block(x.leaky_trace(), &block, &segments).unwrap();
        let [fused, composed] = [fused, composed].map(|y| outcome(y, &rows, &params));
        assert_same(&format!("{lengths:?}, d {d}"), &composed, &fused, TOLERANCE);
        let untaped = composed_block(x, &block, &segments).unwrap();
        assert_eq!(to_host(&untaped).unwrap(), composed.y);
    }
}

/// Every operator once, forward and backward; all results.
fn everything(images: usize, length: usize, precision: MatmulPrecision) -> Vec<Vec<f32>> {
    let n = images * length;
    let segments = segments(&vec![length; images]);
    let mut r = Random::new(12);
    let block = BlockParams { precision, ..r.block(40, 2, 72) };
    let (x, gain, layer) = (r.rows(n, 40, 1.0), r.flat(20, 1.0), r.flat(40, 1.0));
    let factors: Vec<f32> = (0..n).map(|i| (i % 3) as f32).collect();
    let mut y = composed_block(x.leaky_trace(), &block, &segments).unwrap();
    y = Cpu::scale_columns(y, &layer).unwrap();
    // The last but one squares, and the last takes no negative number.
    for function in FUNCTIONS {
        y = Cpu::map(y, function).unwrap();
    }
    let y = Cpu::scale_rows(Cpu::rms_norm(y, &gain, 1e-5).unwrap(), &factors).unwrap();
    let index: Vec<u32> = (0..3 * n).map(|i| if i % 5 == 0 { NONE } else { (i * 7 % n) as u32 }).collect();
    let wide = Cpu::gather_rows_wide(y.retaped::<OwnedTape<f32, Cpu>>(), &index, 3).unwrap();
    let wide = Cpu::concat_columns(y, wide).unwrap();
    let variances = Cpu::column_variances(wide.retaped::<OwnedTape<f32, Cpu>>()).unwrap();
    let means = Cpu::segment_means(wide.retaped::<OwnedTape<f32, Cpu>>(), &segments).unwrap();
    let centred = Cpu::center_columns(wide).unwrap();
    let moments =
        Cpu::matmul(centred.retaped::<OwnedTape<f32, Cpu>>(), centred, true, false, precision).unwrap();
    let all = Cpu::concat_rows(Cpu::concat_rows(variances, means).unwrap(), moments).unwrap();
    let loss = Cpu::sum(Cpu::multiply(all.retaped::<OwnedTape<f32, Cpu>>(), all).unwrap()).unwrap();
    let value = loss.array();
    let mut g = loss.backward();
    let mut left = vec![vec![value], g.get(&x).as_vec(), g.get(&gain).as_vec(), g.get(&layer).as_vec()];
    left.extend(block.tensors().map(|t| g.get_or_alloc_mut(t).unwrap().to_vec()));
    assert!(left.iter().flatten().all(|v| v.is_finite()));
    left
}

#[test]
fn bits_do_not_depend_on_threads() {
    let pool = |threads| rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
    for precision in [MatmulPrecision::F32, MatmulPrecision::Bf16, MatmulPrecision::Bf16Amx] {
        let of = |threads| pool(threads).install(|| everything(60, 23, precision));
        let expected = of(1);
        for threads in [1, 2, 3] {
            assert!(of(threads) == expected, "{threads} threads, {precision:?}");
        }
    }
}

#[test]
fn bits_do_not_depend_on_the_instruction_set() {
    for precision in [MatmulPrecision::F32, MatmulPrecision::Bf16, MatmulPrecision::Bf16Amx] {
        limit_level(widest_level());
        let expected = everything(9, 23, precision);
        for level in Level::ALL {
            let used = limit_level(level);
            assert!(everything(9, 23, precision) == expected, "{used:?}, {precision:?}");
        }
    }
}
