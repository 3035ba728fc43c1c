//! Sums over rows: what biases, gains and the loss receive.

use super::gpu::{Done, Gpu};
use super::launch::{Grid, THREADS, WARP, args};
use super::values::{At, Operand, Values, at, floats};

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
    dy: Values,
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
    held: Vec<Operand>,
    rows: Vec<RowSums>,
    pending: Vec<Pending>,
}

impl Sums {
    /// `to += column sums of x`, x (rows, d). It must keep its values until the end.
    pub fn columns(&mut self, gpu: &Gpu, x: impl Into<Values>, rows: usize, d: usize, to: At) -> Done<()> {
        self.first_stage(gpu, RowSums { dy: x.into(), ..RowSums::default() }, (rows, d), &[to])
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
        self.first_stage(gpu, RowSums { x, stats, dy: dy.into(), ..RowSums::default() }, shape, &to)
    }

    /// Keeps memory until the end.
    pub fn hold(&mut self, memory: Operand) {
        self.held.push(memory);
    }

    fn first_stage(&mut self, gpu: &Gpu, sums: RowSums, (rows, d): (usize, usize), to: &[At]) -> Done<()> {
        let part = self.part(gpu, rows, d, to)?;
        let [rows, d, chunk] = [rows, d, chunks(rows).0].map(|n| n as i32);
        self.rows.push(RowSums { part, rows, d, chunk, ..sums });
        Ok(())
    }

    /// Memory for the partial sums of vectors of d values, which a kernel writes one after another for
    /// every chunk of rows.
    pub fn part(&mut self, gpu: &Gpu, rows: usize, d: usize, to: &[At]) -> Done<At> {
        let (_, count) = chunks(rows);
        let stride = to.len() * d;
        let part = gpu.floats(count * stride)?;
        let start = at(&part);
        self.held.push(Operand::Full(part));
        for (i, to) in to.iter().enumerate().filter(|_| count > 0) {
            let [n, chunks, stride] = [d, count, stride].map(|n| n as i32);
            let part = start + floats(i * d);
            self.pending.push(Pending { part, to: *to, n, chunks, stride, ..Pending::default() });
        }
        Ok(start)
    }

    /// Computes all sums and adds them to where they belong.
    pub fn finish(self, gpu: &Gpu) -> Done<()> {
        launch_all::<_, MOST_ROW_SUMS>(gpu, "row_sums", &self.rows)?;
        launch_all::<_, MOST_PENDING>(gpu, "add_chunks", &self.pending)
    }
}

/// What some consecutive blocks of a launch do.
trait Share: Copy + Default {
    /// How many blocks.
    fn blocks(&self) -> i32;
    /// The first of them.
    fn first(&mut self) -> &mut i32;
}

impl Share for RowSums {
    fn blocks(&self) -> i32 {
        let warps = (self.d as usize).div_ceil(WARP) * chunks(self.rows as usize).1;
        (warps * WARP).div_ceil(THREADS) as i32
    }
    fn first(&mut self) -> &mut i32 {
        &mut self.first
    }
}

impl Share for Pending {
    fn blocks(&self) -> i32 {
        (self.n as usize).div_ceil(THREADS) as i32
    }
    fn first(&mut self) -> &mut i32 {
        &mut self.first
    }
}

/// Launches a kernel that takes up to `N` shares, and how many, as often as it takes.
fn launch_all<S: Share, const N: usize>(gpu: &Gpu, kernel: &str, shares: &[S]) -> Done<()> {
    for group in shares.chunks(N) {
        let (mut all, mut blocks) = ([S::default(); N], 0);
        for (to, share) in all.iter_mut().zip(group) {
            *to = *share;
            *to.first() = blocks;
            blocks += share.blocks();
        }
        gpu.launch_with(kernel, Grid::blocks(blocks as usize, 1, THREADS), &all, &args![group.len()])?;
    }
    Ok(())
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
