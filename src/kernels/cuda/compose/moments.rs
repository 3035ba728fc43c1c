//! Means, variances and norms.

use dfdx::prelude::{Cuda, HasShape};
use ijepa_registry::tensor::{Flat, Rows, Segments, Tape};

use super::super::address::{of, unfilled};
use super::super::gpu::{Done, Gpu};
use super::super::launch::{Grid, args};
use super::super::sums::{Sums, chunks};
use super::super::values::{At, Floats, at};
use super::{binary, unary};

impl Gpu {
    /// To `out` (d) the column sums of `x` (rows, d), or those of squared distances from `mean`, over `divisor`.
    fn column_means(&self, x: At, mean: At, (rows, d): (usize, usize), divisor: f64, out: At) -> Done<()> {
        let (chunk, count) = chunks(rows);
        let part = self.memory::<f64>(count * d)?;
        let grid = Grid::elements(d);
        self.launch("column_parts", grid.times(count), &args![x, mean, &part, rows, d, chunk])?;
        self.launch("column_means", grid, &args![&part, out, count, d, divisor])
    }

    /// The means of the columns of `x` (rows, d).
    fn means(&self, x: At, shape: (usize, usize)) -> Done<Floats> {
        let means = self.floats(shape.1)?;
        self.column_means(x, 0, shape, shape.0 as f64, at(&means))?;
        Ok(means)
    }

    /// `y = x - mean` of every column, or `y += ` it.
    fn center(&self, x: At, y: At, shape @ (rows, d): (usize, usize), accumulate: bool) -> Done<()> {
        let means = self.means(x, shape)?;
        self.launch("center", Grid::warps(rows), &args![x, &means, 0u64, y, rows, d, accumulate])
    }
}

pub fn rms_norm<T: Tape<f32, Cuda>>(
    x: Rows<Cuda>,
    gain: Flat<Cuda>,
    eps: f32,
    tape: T,
) -> Done<Rows<Cuda, T>> {
    let (gpu, (rows, d), w) = (Gpu::of(x.device())?, *x.shape(), gain.shape().0);
    let groups = rows * d / w;
    let (y, scales): (Rows<Cuda>, _) = (unfilled(x.device(), (rows, d))?, gpu.floats(groups)?);
    let grid = Grid::warps(groups);
    gpu.launch("rms_forward", grid, &args![of(&x)?, of(&gain)?, of(&y)?, &scales, groups, w, eps])?;
    let values = (x.clone(), gain.clone());
    Ok(binary((&x, &gain), y, tape, move |dy, dx, dgain| {
        let ((x, gain), part) = (values, gpu.floats(groups * w)?);
        let args = args![of(&x)?, &scales, of(&gain)?, dy, dx, &part, groups, w];
        gpu.launch("rms_backward", grid, &args)?;
        let mut sums = Sums::default();
        sums.columns(&gpu, at(&part), groups, w, dgain)?;
        sums.finish(&gpu)
    }))
}

pub fn segment_means<T: Tape<f32, Cuda>>(x: Rows<Cuda>, segments: &Segments, tape: T) -> Done<Rows<Cuda, T>> {
    let (gpu, d, count) = (Gpu::of(x.device())?, x.shape().1, segments.len());
    let starts: Vec<u32> = segments.starts().iter().map(|s| *s as u32).collect();
    let (y, starts): (Rows<Cuda>, _) = (unfilled(x.device(), (count, d))?, gpu.upload(&starts)?);
    let grid = Grid::elements(count * d);
    gpu.launch("segment_means", grid, &args![of(&x)?, &starts, of(&y)?, count, d])?;
    Ok(unary(&x, y, tape, move |dy, dx| {
        gpu.launch("segment_shares", grid, &args![dy, &starts, dx, count, d])
    }))
}

pub fn center_columns<T: Tape<f32, Cuda>>(x: Rows<Cuda>, tape: T) -> Done<Rows<Cuda, T>> {
    let (gpu, shape) = (Gpu::of(x.device())?, *x.shape());
    let y: Rows<Cuda> = unfilled(x.device(), shape)?;
    gpu.center(of(&x)?, of(&y)?, shape, false)?;
    // The map is symmetric: it is its own gradient.
    Ok(unary(&x, y, tape, move |dy, dx| gpu.center(dy, dx, shape, true)))
}

pub fn column_variances<T: Tape<f32, Cuda>>(x: Rows<Cuda>, tape: T) -> Done<Rows<Cuda, T>> {
    let (gpu, shape @ (rows, d)) = (Gpu::of(x.device())?, *x.shape());
    let y: Rows<Cuda> = unfilled(x.device(), (1usize, d))?;
    let means = gpu.means(of(&x)?, shape)?;
    gpu.column_means(of(&x)?, at(&means), shape, rows as f64 - 1.0, of(&y)?)?;
    let values = x.clone();
    Ok(unary(&x, y, tape, move |dv, dx| {
        let args = args![of(&values)?, &means, dv, dx, rows, d, true];
        gpu.launch("center", Grid::warps(rows), &args)
    }))
}
