//! Rows picked by indices and added up.

use super::gpu::{Done, Gpu};
use super::launch::{Grid, args};
use super::values::At;

/// Rows to be picked, and the address of an index for every row that comes out. A `Term` of `device/rows.cu`.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C)]
pub struct Term {
    pub rows: At,
    pub index: At,
}

/// Terms that one launch adds, as there.
const MOST_TERMS: usize = 4;

impl Gpu {
    /// `out[i] = sum over terms of rows[index[i]]` for rows of d values; an index of [`super::super::NONE`]
    /// adds nothing.
    pub fn gather(&self, terms: &[Term], out: At, (rows, d): (usize, usize)) -> Done<()> {
        for (turn, group) in terms.chunks(MOST_TERMS).enumerate() {
            let mut all = [Term::default(); MOST_TERMS];
            all[..group.len()].copy_from_slice(group);
            let args = args![group.len(), out, rows, d, turn > 0];
            self.launch_with("gather_sum", Grid::warps(rows), &all, &args)?;
        }
        Ok(())
    }
}
