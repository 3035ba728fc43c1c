//! Sums over rows: what biases, gains and the loss receive.

use super::address::At;
use super::block::{Floats, at, floats};
use super::gpu::{Done, Gpu};
use super::launch::{Grid, THREADS};

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

/// A `RowSums` there.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C)]
struct RowSums {
    x: At,
    stats: At,
    dy: At,
    part: At,
    rows: i32,
    d: i32,
    chunk: i32,
    first: i32,
}

/// Sums that one launch takes, as there: of the first stage, of the second.
const MOST_ROW_SUMS: usize = 8;
const MOST_PENDING: usize = 12;

/// Sums over rows, which wait until [`Sums::finish`] puts all of them into one launch per stage.
#[derive(Default)]
pub struct Sums {
    /// Partial sums, and other memory that is read at the end.
    held: Vec<Floats>,
    rows: Vec<RowSums>,
    pending: Vec<Pending>,
}

impl Sums {
    /// `to += column sums of x`, x (rows, d). It must keep its values until the end.
    pub fn columns(&mut self, gpu: &Gpu, x: At, rows: usize, d: usize, to: At) -> Done<()> {
        self.first_stage(gpu, RowSums { dy: x, ..RowSums::default() }, (rows, d), &[to])
    }

    /// Adds what the gain and the bias of a layer norm of `x` (rows, d) receive from `dy`. All must keep
    /// their values until the end.
    pub fn norm(
        &mut self,
        gpu: &Gpu,
        (x, stats): (At, At),
        dy: At,
        shape: (usize, usize),
        to: [At; 2],
    ) -> Done<()> {
        self.first_stage(gpu, RowSums { x, stats, dy, ..RowSums::default() }, shape, &to)
    }

    /// Keeps memory until the end.
    pub fn hold(&mut self, memory: Floats) {
        self.held.push(memory);
    }

    fn first_stage(&mut self, gpu: &Gpu, sums: RowSums, (rows, d): (usize, usize), to: &[At]) -> Done<()> {
        let part = self.part(gpu, rows, d, to)?;
        let first = self.rows.last().map_or(0, |s| s.first + s.blocks());
        let [rows, d, chunk] = [rows, d, chunks(rows).0].map(|n| n as i32);
        self.rows.push(RowSums { part, rows, d, chunk, first, ..sums });
        Ok(())
    }

    /// Memory for the partial sums of vectors of d values, which a kernel writes one after another for
    /// every chunk of rows.
    pub fn part(&mut self, gpu: &Gpu, rows: usize, d: usize, to: &[At]) -> Done<At> {
        let (_, count) = chunks(rows);
        let stride = to.len() * d;
        let part = gpu.floats(count * stride)?;
        let start = at(&part);
        self.held.push(part);
        for (i, to) in to.iter().enumerate().filter(|_| count > 0) {
            let first = self.pending.last().map_or(0, |p| p.first + p.blocks());
            let [n, chunks, stride] = [d, count, stride].map(|n| n as i32);
            self.pending.push(Pending { part: start + floats(i * d), to: *to, n, chunks, stride, first });
        }
        Ok(start)
    }

    /// Computes all sums and adds them to where they belong.
    pub fn finish(self, gpu: &Gpu) -> Done<()> {
        for group in self.rows.chunks(MOST_ROW_SUMS) {
            let start = group[0].first;
            let last = group[group.len() - 1];
            let blocks = last.first - start + last.blocks();
            let moved = |s: &RowSums| RowSums { first: s.first - start, ..*s };
            launch_all::<_, MOST_ROW_SUMS>(gpu, "row_sums", blocks, group.iter().map(moved))?;
        }
        for group in self.pending.chunks(MOST_PENDING) {
            let start = group[0].first;
            let last = group[group.len() - 1];
            let blocks = last.first - start + last.blocks();
            let moved = |p: &Pending| Pending { first: p.first - start, ..*p };
            launch_all::<_, MOST_PENDING>(gpu, "add_chunks", blocks, group.iter().map(moved))?;
        }
        Ok(())
    }
}

impl RowSums {
    fn blocks(&self) -> i32 {
        (self.d as usize).div_ceil(THREADS) as i32 * chunks(self.rows as usize).1 as i32
    }
}

impl Pending {
    fn blocks(&self) -> i32 {
        (self.n as usize).div_ceil(THREADS) as i32
    }
}

/// Launches a kernel that takes up to `N` of something, and how many.
fn launch_all<P: Copy + Default, const N: usize>(
    gpu: &Gpu,
    kernel: &str,
    blocks: i32,
    some: impl ExactSizeIterator<Item = P>,
) -> Done<()> {
    let count = some.len() as i32;
    let mut all = [P::default(); N];
    all.iter_mut().zip(some).for_each(|(to, from)| *to = from);
    let mut pointers = [(&raw const all).cast_mut().cast(), (&raw const count).cast_mut().cast()];
    gpu.launch_pointers(kernel, Grid::blocks(blocks as usize, 1, THREADS), &mut pointers)
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
