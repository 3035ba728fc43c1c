//! Explained variance and spread of a logged step: the host side of `device/prediction_stats.cu`.
//!
//! The batch stays where it is; the host uploads which rows belong together and reads three sums of every
//! group.

use cudarc::driver::DevicePtr;
use dfdx::prelude::{Cuda, HasShape};
use ijepa_registry::tensor::{ModelError, Rows};

use super::super::check::{check_prediction_stats, ensure};
use super::super::{PredictionStats, Result};
use super::address::{of, unfilled};
use super::gpu::{Done, Gpu};
use super::launch::{Grid, args};
use super::nodes::split;
use super::scatter::sorted;
use super::values::{At, floats};
use crate::kernels::explained_variance::{Parts, Scatter, Within};

/// Rows that one thread adds up.
const CHUNK: usize = 64;

/// Columns of a block of `spread_parts`, and threads of `spread` as there.
const THREADS: usize = 256;

/// Words of 64 bits of a `Chunk` there.
const CHUNK_WORDS: usize = 4;

/// In the place of a start in the order list: rows as they come; the first row of what is taken off.
const NONE: i32 = -1;

/// See [`super::Backend::prediction_stats`].
pub fn prediction_stats(
    prediction: &[Rows<Cuda>],
    targets: &[Rows<Cuda>],
    index: &[u32],
    positions: &[u32],
) -> Result<PredictionStats> {
    let d = check_prediction_stats(prediction, targets, index, positions)?;
    ensure(!index.is_empty() && !positions.is_empty(), || "no prediction, or no target".into())?;
    let (prediction, targets) = (together(prediction, d)?, together(targets, d)?);
    measure(&prediction, &targets, index, positions, d).map_err(ModelError::from_debug)
}

/// The rows of all parts in one tensor.
fn together(parts: &[Rows<Cuda>], d: usize) -> Result<Rows<Cuda>> {
    let parts = parts.iter().map(|part| Ok(split(part.clone())?.0)).collect::<Result<Vec<_>>>()?;
    match <[_; 1]>::try_from(parts) {
        Ok([whole]) => Ok(whole),
        Err(parts) => joined(&parts, d).map_err(ModelError::from_debug),
    }
}

fn joined(parts: &[Rows<Cuda>], d: usize) -> Done<Rows<Cuda>> {
    let device = parts[0].device();
    let gpu = Gpu::of(device)?;
    let all: Rows<Cuda> = unfilled(device, (parts.iter().map(|part| part.shape().0).sum(), d))?;
    let mut to = of(&all)?;
    for part in parts {
        let bytes = floats(part.shape().0 * d);
        gpu.copy(of(part)?, to, bytes)?;
        to += bytes;
    }
    Ok(all)
}

fn measure(
    p: &Rows<Cuda>,
    h: &Rows<Cuda>,
    index: &[u32],
    positions: &[u32],
    d: usize,
) -> Done<PredictionStats> {
    let (order, starts, _) = sorted(positions);
    let (by_position, predicted) = (0, order.len() as i32);
    let (p_at, h_at, n, m) = (of(p)?, of(h)?, index.len(), order.len());
    let mut table = Table::default();
    for rows in starts.windows(2) {
        table.add([h_at, h_at], [by_position, NONE], rows[0] as usize, rows[1] as usize);
    }
    // The targets at all positions are all targets.
    let distinct = Group { from: 0, to: table.chunks, rows: m };
    let positions = std::mem::take(&mut table.groups);
    table.groups.push(distinct);
    table.add([h_at, h_at], [predicted, NONE], 0, n);
    table.add([p_at, p_at], [NONE, NONE], 0, n);
    table.add([p_at, h_at], [NONE, predicted], 0, n);
    table.groups.extend(positions.iter().filter(|group| group.rows > 1));
    let sums = table.sums(&*Gpu::of(p.device())?, [&order[..], index].concat(), d)?;
    let scatter = |i: usize| Scatter::new(table.groups[i].rows as f64, sums[i][0], sums[i][1] / d as f64);
    let mut within = Within::default();
    (4..sums.len()).for_each(|i| within.add(table.groups[i].rows as f64, sums[i][0]));
    let parts = Parts {
        error: sums[3][2],
        total: sums[1][0],
        distinct: scatter(0),
        positions: within,
        predictions: scatter(2),
    };
    Ok(parts.prediction_stats())
}

/// Rows that belong together: those of some chunks.
#[derive(Clone, Copy)]
struct Group {
    from: usize,
    to: usize,
    rows: usize,
}

/// Chunks and groups, in the layout of the kernels' structures.
#[derive(Default)]
struct Table {
    words: Vec<u64>,
    chunks: usize,
    groups: Vec<Group>,
}

impl Table {
    /// A group of the rows `first..last` of a list: `x[rows] - minus[others]`.
    fn add(&mut self, [x, minus]: [At; 2], [rows, others]: [i32; 2], first: usize, last: usize) {
        let from = self.chunks;
        for start in (first..last).step_by(CHUNK) {
            let count = CHUNK.min(last - start);
            self.words.extend([x, minus, pair(rows, others), pair(start as i32, count as i32)]);
            self.chunks += 1;
        }
        self.groups.push(Group { from, to: self.chunks, rows: last - first });
    }

    /// What `spread` writes of every group.
    fn sums(&self, gpu: &Gpu, order: Vec<u32>, d: usize) -> Done<Vec<[f64; 3]>> {
        let mut words = self.words.clone();
        for group in &self.groups {
            words.extend([pair(group.from as i32, group.to as i32), pair(group.rows as i32, 0)]);
        }
        let of_tables = words.len();
        words.extend(order.chunks(2).map(|two| pair(two[0] as i32, two.get(1).map_or(0, |v| *v as i32))));
        let uploaded = gpu.upload(&words)?;
        let start = *uploaded.device_ptr();
        let (groups, order) = (start + 8 * (CHUNK_WORDS * self.chunks) as At, start + 8 * of_tables as At);
        let part = gpu.memory::<f64>(self.chunks * 2 * d)?;
        let out = gpu.memory::<f64>(3 * self.groups.len())?;
        let grid = Grid::blocks(self.chunks, d.div_ceil(THREADS), THREADS);
        gpu.launch("spread_parts", grid, &args![start, order, &part, d])?;
        let grid = Grid::blocks(self.groups.len(), 1, THREADS);
        gpu.launch("spread", grid, &args![groups, &part, &out, d])?;
        let read = gpu.driver.dtoh_sync_copy(&out)?;
        Ok(read.chunks_exact(3).map(|sums| [sums[0], sums[1], sums[2]]).collect())
    }
}

/// Two `int`s of a structure in one word, the first in front.
fn pair(first: i32, second: i32) -> u64 {
    u64::from(first as u32) | u64::from(second as u32) << 32
}
