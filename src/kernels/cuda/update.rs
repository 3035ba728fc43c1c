//! Updates of all parameters in one launch each: gradients cleared, their norm, AdamW with clipping and
//! moving average.

use dfdx::prelude::{Cuda, HasShape};
use ijepa_registry::tensor::{Flat, Gradients, ModelError, Scalar};

use super::super::check::{check_pairs, check_updates};
use super::super::{AdamWStep, AdamWUpdate, Clip, Result};
use super::address::{of, slope, unfilled};
use super::gpu::{Done, Gpu};
use super::launch::{Grid, args};
use super::values::At;

/// Values per block, as in `device/update.cuh`.
const SPAN: usize = 4096;

/// Threads of a block that adds up, as in `device/common.cuh`.
const BLOCK: usize = 256;

/// Addresses of a parameter and of what belongs to it; 0 what does not take part.
#[derive(Clone, Copy, Default)]
pub struct Entry {
    pub param: At,
    pub gradient: At,
    pub moments: [At; 2],
    pub shadow: At,
    /// Whether the launch's weight decay applies.
    pub decays: bool,
}

/// The list of tensors that the kernels read, in the layout of their `Entry`.
#[derive(Default)]
pub struct Table {
    pub words: Vec<u64>,
    pub count: usize,
    blocks: usize,
}

impl Table {
    /// Adds tensors of `n` values.
    pub fn push(&mut self, tensors: Entry, n: usize) {
        let Entry { param, gradient, moments: [m, v], shadow, decays } = tensors;
        self.words.extend([param, gradient, m, v, shadow]);
        self.words.push(n as u64 | (self.blocks as u64) << 32);
        self.words.push(decays.into());
        self.count += 1;
        self.blocks += n.div_ceil(SPAN);
    }

    /// Blocks of a launch over all of it.
    pub fn blocks(&self) -> usize {
        self.blocks
    }

    pub fn grid(&self) -> Grid {
        Grid::blocks(self.blocks, 1, BLOCK)
    }

    /// The gradients of parameters.
    fn of_gradients(params: &[&Flat<Cuda>], gradients: &mut Gradients<f32, Cuda>) -> Done<Table> {
        let mut table = Table::default();
        for param in params {
            let gradient = slope!(gradients, *param);
            table.push(Entry { gradient, ..Entry::default() }, param.shape().0);
        }
        Ok(table)
    }
}

/// See [`super::Backend::gradient_norm`].
pub fn gradient_norm(params: &[&Flat<Cuda>], gradients: &mut Gradients<f32, Cuda>) -> Result<Scalar<Cuda>> {
    let device = params.first().map(|p| p.device());
    let device = device.ok_or_else(|| ModelError("a gradient norm of no parameter".into()))?;
    let mut measure = || {
        let (gpu, table) = (Gpu::of(device)?, Table::of_gradients(params, gradients)?);
        let list = gpu.list(&table.words)?;
        let (part, norm) = (gpu.memory::<f64>(table.blocks)?, unfilled(device, ())?);
        gpu.launch("square_sums", table.grid(), &args![&*list, table.count, &part])?;
        gpu.launch("root_of_sum", Grid::blocks(1, 1, BLOCK), &args![&part, of(&norm)?, table.blocks])?;
        Done::Ok(norm)
    };
    measure().map_err(ModelError::from_debug)
}

/// See [`super::Backend::clear`].
pub fn clear(params: &[&Flat<Cuda>], gradients: &mut Gradients<f32, Cuda>) -> Result<()> {
    let Some(first) = params.first() else { return Ok(()) };
    let mut clear = || {
        let (gpu, table) = (Gpu::of(first.device())?, Table::of_gradients(params, gradients)?);
        gpu.launch("clear", table.grid(), &args![&*gpu.list(&table.words)?, table.count])
    };
    clear().map_err(ModelError::from_debug)
}

/// See [`super::Backend::adamw`].
pub fn adamw(
    updates: &mut [AdamWUpdate<'_, Cuda>],
    gradients: &mut Gradients<f32, Cuda>,
    clip: Option<&Clip<'_, Cuda>>,
    momentum: f64,
) -> Result<()> {
    check_updates(updates)?;
    let Some(first) = updates.first() else { return Ok(()) };
    let mut update = || {
        let gpu = Gpu::of(first.param.device())?;
        Group::all(updates, gradients)?.iter().try_for_each(|group| group.launch(&gpu, clip, momentum))
    };
    update().map_err(ModelError::from_debug)
}

/// Parameters that one launch updates: those with the same constants. Weight decay is one of them, or 0.
struct Group {
    step: AdamWStep,
    table: Table,
}

impl Group {
    fn all(updates: &[AdamWUpdate<'_, Cuda>], gradients: &mut Gradients<f32, Cuda>) -> Done<Vec<Group>> {
        let mut groups: Vec<Group> = Vec::new();
        for u in updates {
            let tensors = Entry {
                param: of(u.param)?,
                gradient: slope!(gradients, u.param),
                moments: [of(u.m)?, of(u.v)?],
                shadow: u.shadow.as_ref().map_or(Ok(0), |f| of(f))?,
                decays: u.step.weight_decay != 0.0,
            };
            let known = groups.iter_mut().position(|g| g.takes(&u.step));
            let at = known.unwrap_or(groups.len());
            if known.is_none() {
                groups.push(Group { step: u.step, table: Table::default() });
            }
            groups[at].table.push(tensors, u.param.shape().0);
        }
        Ok(groups)
    }

    /// Whether a parameter with this step belongs here; from then on its weight decay, unless 0, is that
    /// of the group.
    fn takes(&mut self, step: &AdamWStep) -> bool {
        let own = self.step.weight_decay;
        let decay = if own == 0.0 { step.weight_decay } else { own };
        let fits = [0.0, decay].contains(&step.weight_decay)
            && AdamWStep { weight_decay: own, ..*step } == self.step;
        if fits {
            self.step.weight_decay = decay;
        }
        fits
    }

    fn launch(&self, gpu: &Gpu, clip: Option<&Clip<'_, Cuda>>, momentum: f64) -> Done<()> {
        let Group { step, table } = self;
        let args = args![
            &*gpu.list(&table.words)?,
            table.count,
            (1.0 - step.lr * step.weight_decay) as f32,
            (1.0 - step.beta1) as f32,
            step.beta2 as f32,
            (1.0 - step.beta2) as f32,
            (step.lr / step.correction1()) as f32,
            (1.0 / step.correction2().sqrt()) as f32,
            step.eps as f32,
            clip.map_or(Ok(0), |clip| of(clip.norm))?,
            clip.map_or(0.0, |clip| clip.limit),
            momentum as f32,
            (1.0 - momentum) as f32,
        ];
        gpu.launch("adamw", table.grid(), &args)
    }
}

/// See [`super::Backend::ema`].
pub fn ema(pairs: &mut [(&mut Flat<Cuda>, &Flat<Cuda>)], momentum: f64) -> Result<()> {
    let Some((first, _)) = pairs.first() else { return Ok(()) };
    check_pairs(pairs)?;
    let follow = || {
        let gpu = Gpu::of(first.device())?;
        let mut table = Table::default();
        for (teacher, student) in pairs.iter() {
            let (param, shadow) = (of(student)?, of(teacher)?);
            table.push(Entry { param, shadow, ..Entry::default() }, teacher.shape().0);
        }
        let list = gpu.list(&table.words)?;
        let args = args![&*list, table.count, momentum as f32, (1.0 - momentum) as f32];
        gpu.launch("ema", table.grid(), &args)
    };
    follow().map_err(ModelError::from_debug)
}
