//! The whole model against PyTorch: activations, and five optimizer steps tensor by tensor. Tolerances are
//! those of f32 against f64, with room for another order of summation.

use std::path::Path;

use super::{
    compare::{Tolerance, compare},
    fixture::{Fixture, cases},
    model::{Reference, Replica},
};
use ijepa_run::{kernels, model::BuildDevice, registry::prelude::*};

pub fn seed_cases(folder: &Path) {
    check_all(&Cpu::default(), folder, Reference::Seed);
}

pub fn meta_cases(folder: &Path) {
    check_all(&Cpu::default(), folder, Reference::Meta);
}

#[cfg(feature = "cuda-base")]
pub fn cases_on_the_gpu(folder: &Path) {
    let turn = super::emulator::computing_device();
    check_all(&turn.cuda, folder, Reference::Seed);
    check_all(&turn.cuda, folder, Reference::Meta);
}

fn check_all<D: BuildDevice>(device: &D, folder: &Path, reference: Reference) {
    let set = if reference == Reference::Seed { "seed" } else { "meta" };
    cases(folder, set).iter().for_each(|case| check(device, case, reference));
}

fn check<D: BuildDevice>(device: &D, case: &Fixture, reference: Reference) {
    let mut replica = Replica::new(device, case, reference, MatmulPrecision::F32);
    replica.check_schedules(case);
    check_forward(case, &replica);
    let steps = case.shape("images")[0];
    for step in 0..steps {
        replica.check_step(case, step, steps);
    }
}

/// The same steps with products of bf16, whose inputs have 8 significant bits.
pub fn cases_with_products_of_bf16(folder: &Path) {
    for (name, reference) in [("seed", Reference::Seed), ("meta", Reference::Meta)] {
        for case in cases(folder, name) {
            let mut replica = Replica::new(&Cpu::default(), &case, reference, MatmulPrecision::Bf16);
            let steps = case.shape("images")[0];
            (0..steps).for_each(|step| replica.check_step(&case, step, steps));
        }
    }
}

/// Activations of step 0.
fn check_forward<D: BuildDevice>(case: &Fixture, replica: &Replica<D>) {
    let jepa = &replica.jepa;
    let (image, patch) = (jepa.geometry.image, jepa.geometry.patch);
    let batch = case.shape("images")[1];
    let images = &case.f32("images")[..batch * image.len()];
    let forward = Tolerance::Mixed { abs: 2e-5, rel: 1e-5 };

    let all = jepa.geometry.patches(images);
    let width = image.channels * patch * patch;
    let packed = |sequences: &[(usize, Vec<u32>)]| {
        let rows = |(i, patches): &(usize, Vec<u32>)| {
            let row = |p: &u32| i * jepa.geometry.grid().len() + *p as usize;
            patches.iter().flat_map(|p| all[row(p) * width..][..width].to_vec()).collect::<Vec<_>>()
        };
        let pixels: Vec<f32> = sequences.iter().flat_map(rows).collect();
        let layout = Layout::new(sequences.iter().map(|(_, p)| p.as_slice()));
        let rows = layout.segments.rows();
        let pixels = kernels::from_host(&jepa.device, pixels, rows, width).unwrap();
        PatchBatch { pixels, layout, grid: jepa.geometry.grid() }
    };
    let host = |rows: Rows<D>| kernels::to_host(&rows).unwrap();
    let everything: Vec<u32> = (0..jepa.geometry.grid().len() as u32).collect();
    let full = packed(&(0..batch).map(|i| (i, everything.clone())).collect::<Vec<_>>());

    let params = jepa.context_encoder.params();
    let embed =
        |part: &str| &params.iter().find(|p| p.name == format!("patch_embed.proj.{part}")).unwrap().data;
    let embedded =
        D::linear_of_input(&full.pixels, embed("weight"), embed("bias"), MatmulPrecision::F32, NoneTape);
    compare(case, "step0/patch_embed", &host(embedded.unwrap()), forward);

    let context = packed(&replica.contexts(case, 0));
    compare(case, "step0/context_out", &host(jepa.context_encoder.tokens(&context, None).unwrap()), forward);
    compare(
        case,
        "step0/context_full_out",
        &host(jepa.context_encoder.tokens(&full, None).unwrap()),
        forward,
    );
    let teacher = jepa.target_encoder().unwrap();
    let target = teacher.tokens(&full, None).unwrap();
    compare(case, "step0/target_out", &host(target.clone()), forward);
    let images = jepa.images_of_patches(&jepa.geometry.patches(images)).unwrap();
    compare(case, "step0/features", &jepa.features(teacher, Needs::POOLED, &images).unwrap(), forward);
    if case.has("step0/target_normed") {
        compare(case, "step0/target_normed", &host(jepa.loss.target(target.clone()).unwrap()), forward);
    }
    // Rows that are asked for alone are the same rows.
    let keep: Vec<u32> = (0..target.shape().0 as u32).step_by(3).collect();
    let some = host(teacher.tokens(&full, Some(&keep)).unwrap());
    let all = host(target);
    let dim = jepa.geometry.dim;
    for (row, values) in keep.iter().zip(some.chunks_exact(dim)) {
        let expected = &all[*row as usize * dim..][..dim];
        assert!(values.iter().zip(expected).all(|(a, b)| (a - b).abs() < 2e-5), "row {row} alone");
    }
}
