//! Rows and columns put together, cut out and picked.

use std::ops::Range;

use dfdx::prelude::{Cuda, HasShape};
use ijepa_registry::tensor::{Rows, Tape};

use super::super::address::{of, unfilled};
use super::super::gather::Term;
use super::super::gpu::{Done, Gpu};
use super::super::launch::{Grid, args};
use super::super::scatter::Scatter;
use super::super::values::{At, at, floats};
use super::{binary, unary};

/// Columns of a matrix: the address of the first in the first row, and the distance between rows.
type Columns = (At, usize);

impl Gpu {
    /// Columns of one matrix to those of another, `width` of them in each of `rows`.
    fn move_columns(
        &self,
        from: Columns,
        to: Columns,
        (rows, width): (usize, usize),
        accumulate: bool,
    ) -> Done<()> {
        let args = args![from.0, from.1, to.0, to.1, rows, width, accumulate];
        self.launch("move_columns", Grid::warps(rows), &args)
    }
}

pub fn concat_rows<T: Tape<f32, Cuda>>(
    a: Rows<Cuda>,
    b: Rows<Cuda>,
    shape: (usize, usize),
    tape: T,
) -> Done<Rows<Cuda, T>> {
    let (gpu, y): (_, Rows<Cuda>) = (Gpu::of(a.device())?, unfilled(a.device(), shape)?);
    let [n, m] = [&a, &b].map(|x| x.shape().0 * shape.1);
    for (from, to, size) in [(&a, of(&y)?, n), (&b, of(&y)? + floats(n), m)] {
        if size > 0 {
            gpu.copy(of(from)?, to, floats(size))?;
        }
    }
    Ok(binary((&a, &b), y, tape, move |dy, da, db| {
        gpu.add_to(dy, da, n)?;
        gpu.add_to(dy + floats(n), db, m)
    }))
}

pub fn concat_columns<T: Tape<f32, Cuda>>(
    a: Rows<Cuda>,
    b: Rows<Cuda>,
    (rows, width): (usize, usize),
    tape: T,
) -> Done<Rows<Cuda, T>> {
    let (gpu, y): (_, Rows<Cuda>) = (Gpu::of(a.device())?, unfilled(a.device(), (rows, width))?);
    let (d, e) = (a.shape().1, b.shape().1);
    gpu.move_columns((of(&a)?, d), (of(&y)?, width), (rows, d), false)?;
    gpu.move_columns((of(&b)?, e), (of(&y)? + floats(d), width), (rows, e), false)?;
    Ok(binary((&a, &b), y, tape, move |dy, da, db| {
        gpu.move_columns((dy, width), (da, d), (rows, d), true)?;
        gpu.move_columns((dy + floats(d), width), (db, e), (rows, e), true)
    }))
}

pub fn columns<T: Tape<f32, Cuda>>(x: Rows<Cuda>, range: Range<usize>, tape: T) -> Done<Rows<Cuda, T>> {
    let (gpu, (rows, d), width) = (Gpu::of(x.device())?, *x.shape(), range.len());
    let y: Rows<Cuda> = unfilled(x.device(), (rows, width))?;
    let first = floats(range.start);
    gpu.move_columns((of(&x)? + first, d), (of(&y)?, width), (rows, width), false)?;
    Ok(unary(&x, y, tape, move |dy, dx| gpu.move_columns((dy, width), (dx + first, d), (rows, width), true)))
}

pub fn gather_rows_wide<T: Tape<f32, Cuda>>(
    x: Rows<Cuda>,
    index: &[u32],
    shape: (usize, usize),
    tape: T,
) -> Done<Rows<Cuda, T>> {
    let (gpu, y): (_, Rows<Cuda>) = (Gpu::of(x.device())?, unfilled(x.device(), shape)?);
    let (d, indices) = (x.shape().1, gpu.upload(index)?);
    // Rows side by side lie in memory as they do one above another.
    gpu.gather(&[Term { rows: of(&x)?, index: at(&indices) }], of(&y)?, (index.len(), d))?;
    let back = T::OWNS_TAPE.then(|| Scatter::new(index));
    Ok(unary(&x, y, tape, move |dy, dx| {
        back.iter().try_for_each(|scatter| gpu.scatter_add(dy, scatter, dx, d))
    }))
}
