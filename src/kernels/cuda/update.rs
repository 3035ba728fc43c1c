//! Updates of all parameters in one launch each.

use cudarc::driver::CudaSlice;
use dfdx::prelude::{Cuda, HasShape, ZerosTensor};
use ijepa_registry::tensor::{Flat, Gradients, ModelError, Scalar};

use super::super::check::{check_pairs, check_updates};
use super::super::{AdamWStep, AdamWUpdate, Clip, Result};
use super::address::{At, of, slope};
use super::gpu::{Done, Gpu};
use super::launch::{Grid, args};

/// Values per block, as in `device/update.cu`.
const SPAN: usize = 4096;

/// Threads per block there.
const BLOCK: usize = 256;

/// The list of tensors that the kernels read, in the layout of their `Entry`.
#[derive(Default)]
struct Table {
    words: Vec<u64>,
    count: usize,
    blocks: usize,
}

impl Table {
    /// Adds a tensor of `n` values: addresses of the tensor, its gradient and its moments.
    fn push(&mut self, addresses: [At; 4], n: usize, decay: f32) {
        self.words.extend(addresses);
        self.words.push(n as u64 | (self.blocks as u64) << 32);
        self.words.push(u64::from(decay.to_bits()));
        self.count += 1;
        self.blocks += n.div_ceil(SPAN);
    }

    fn grid(&self) -> Grid {
        Grid::blocks(self.blocks, 1, BLOCK)
    }

    fn upload(&self, gpu: &Gpu) -> Done<CudaSlice<u64>> {
        gpu.upload(&self.words)
    }
}

/// See [`super::Backend::gradient_norm`].
pub fn gradient_norm(params: &[&Flat<Cuda>], gradients: &mut Gradients<f32, Cuda>) -> Result<Scalar<Cuda>> {
    let device = params.first().map(|p| p.device());
    let device = device.ok_or_else(|| ModelError("a gradient norm of no parameter".into()))?;
    let mut measure = || {
        let gpu = Gpu::of(device)?;
        let mut table = Table::default();
        for param in params {
            table.push([0, slope!(gradients, *param), 0, 0], param.shape().0, 0.0);
        }
        let list = table.upload(&gpu)?;
        let (part, norm) = (gpu.memory::<f64>(table.blocks)?, device.try_zeros_like(&())?);
        gpu.launch("square_sums", table.grid(), &args![&list, table.count, &part])?;
        gpu.launch("root_of_sum", Grid::blocks(1, 1, BLOCK), &args![&part, of(&norm)?, table.blocks])?;
        Done::Ok(norm)
    };
    measure().map_err(ModelError::from_debug)
}

/// See [`super::Backend::adamw`].
pub fn adamw(
    updates: &mut [AdamWUpdate<'_, Cuda>],
    gradients: &mut Gradients<f32, Cuda>,
    clip: Option<&Clip<'_, Cuda>>,
) -> Result<()> {
    check_updates(updates)?;
    // One launch for each set of constants; weight decay may differ within a set.
    let same = |a: &AdamWUpdate<Cuda>, b: &AdamWUpdate<Cuda>| {
        AdamWStep { weight_decay: 0.0, ..a.step } == AdamWStep { weight_decay: 0.0, ..b.step }
    };
    let mut groups = updates.chunk_by(same);
    groups.try_for_each(|group| adamw_group(group, gradients, clip)).map_err(ModelError::from_debug)
}

fn adamw_group(
    group: &[AdamWUpdate<'_, Cuda>],
    gradients: &mut Gradients<f32, Cuda>,
    clip: Option<&Clip<'_, Cuda>>,
) -> Done<()> {
    let gpu = Gpu::of(group[0].param.device())?;
    let mut table = Table::default();
    for u in group {
        let addresses = [of(u.param)?, slope!(gradients, u.param), of(u.m)?, of(u.v)?];
        table.push(addresses, u.param.shape().0, (1.0 - u.step.lr * u.step.weight_decay) as f32);
    }
    let step = &group[0].step;
    let list = table.upload(&gpu)?;
    let args = args![
        &list,
        table.count,
        (1.0 - step.beta1) as f32,
        step.beta2 as f32,
        (1.0 - step.beta2) as f32,
        (step.lr / step.correction1()) as f32,
        (1.0 / step.correction2().sqrt()) as f32,
        step.eps as f32,
        clip.map_or(Ok(0), |clip| of(clip.norm))?,
        clip.map_or(0.0, |clip| clip.limit),
    ];
    gpu.launch("adamw", table.grid(), &args)
}

/// See [`super::Backend::ema`].
pub fn ema(pairs: &mut [(&mut Flat<Cuda>, &Flat<Cuda>)], momentum: f64) -> Result<()> {
    let Some((first, _)) = pairs.first() else { return Ok(()) };
    check_pairs(pairs)?;
    let follow = || {
        let gpu = Gpu::of(first.device())?;
        let mut table = Table::default();
        for (teacher, student) in pairs.iter() {
            table.push([of(teacher)?, of(student)?, 0, 0], teacher.shape().0, 0.0);
        }
        let list = table.upload(&gpu)?;
        let args = args![&list, table.count, momentum as f32, (1.0 - momentum) as f32];
        gpu.launch("ema", table.grid(), &args)
    };
    follow().map_err(ModelError::from_debug)
}
