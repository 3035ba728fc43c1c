//! Sums over rows: what biases, gains and the loss receive.

use super::address::At;
use super::block::{Floats, at, floats};
use super::gpu::{Done, Gpu};
use super::launch::{Grid, THREADS, args};

/// Rows that one thread adds up at least, and the most partial sums.
const CHUNK: usize = 64;
const MOST_CHUNKS: usize = 256;

/// Rows per partial sum, and the number of partial sums.
pub fn chunks(rows: usize) -> (usize, usize) {
    let chunk = rows.div_ceil(MOST_CHUNKS).max(CHUNK);
    (chunk, rows.div_ceil(chunk))
}

/// A `Pending` of `device/sums.cu`.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C)]
struct Pending {
    part: At,
    to: At,
    n: i32,
    chunks: i32,
    stride: i32,
    first: i32,
}

/// Vectors that one launch adds, as there.
const MOST_PENDING: usize = 12;

/// Sums over rows whose second stage is one launch for all of them.
#[derive(Default)]
pub struct Sums {
    /// Partial sums, alive until they are added.
    parts: Vec<Floats>,
    pending: Vec<Pending>,
}

impl Sums {
    /// `to += column sums of x`, x (rows, d).
    pub fn columns(&mut self, gpu: &Gpu, x: At, rows: usize, d: usize, to: At) -> Done<()> {
        let (chunk, count) = chunks(rows);
        let part = self.part(gpu, rows, d, &[to])?;
        gpu.launch("column_sums", Grid::elements(d).times(count), &args![x, part, rows, d, chunk])
    }

    /// Adds what the gain and the bias of a layer norm of `x` (rows, d) receive from `dy`.
    pub fn norm(
        &mut self,
        gpu: &Gpu,
        (x, stats): (At, At),
        dy: At,
        (rows, d): (usize, usize),
        to: [At; 2],
    ) -> Done<()> {
        let (chunk, count) = chunks(rows);
        let part = self.part(gpu, rows, d, &to)?;
        let grid = Grid::elements(d).times(count);
        gpu.launch("norm_sums", grid, &args![x, stats, dy, part, rows, d, chunk])
    }

    /// Memory for the partial sums of vectors of d values, which a kernel writes one after another for
    /// every chunk of rows.
    pub fn part(&mut self, gpu: &Gpu, rows: usize, d: usize, to: &[At]) -> Done<At> {
        let (_, count) = chunks(rows);
        let stride = to.len() * d;
        let part = gpu.floats(count * stride)?;
        let start = at(&part);
        self.parts.push(part);
        for (i, to) in to.iter().enumerate().filter(|_| count > 0) {
            let first = self.pending.last().map_or(0, |p| p.first + (p.n as usize).div_ceil(THREADS) as i32);
            let [n, chunks, stride] = [d, count, stride].map(|n| n as i32);
            self.pending.push(Pending { part: start + floats(i * d), to: *to, n, chunks, stride, first });
        }
        Ok(start)
    }

    /// Adds all partial sums to where they belong.
    pub fn finish(self, gpu: &Gpu) -> Done<()> {
        for group in self.pending.chunks(MOST_PENDING) {
            let mut all = [Pending::default(); MOST_PENDING];
            let start = group[0].first;
            for (to, p) in all.iter_mut().zip(group) {
                *to = Pending { first: p.first - start, ..*p };
            }
            let last = all[group.len() - 1];
            let blocks = last.first as usize + (last.n as usize).div_ceil(THREADS);
            let count = group.len() as i32;
            let mut pointers = [(&raw const all).cast_mut().cast(), (&raw const count).cast_mut().cast()];
            gpu.launch_pointers("add_chunks", Grid::blocks(blocks, 1, THREADS), &mut pointers)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::chunks;

    #[test]
    fn chunks_cover_the_rows() {
        for rows in [0, 1, 63, 64, 65, 16_384, 16_385, 1_000_000] {
            let (chunk, count) = chunks(rows);
            assert!(chunk * count >= rows && (count == 0 || chunk * (count - 1) < rows), "{rows}");
            assert!(count <= 256);
        }
    }
}
