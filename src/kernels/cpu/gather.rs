//! Sums of rows picked from tables, and their gradients.

use rayon::prelude::*;

use super::elementwise::add;
use crate::kernels::NONE;

/// Rows per task.
const TASK_ROWS: usize = 256;

/// `out[i] = sum_k tables[k][indices[k][i]]`, rows of `d` values; [`NONE`] adds nothing.
pub fn forward(tables: &[(&[f32], &[u32])], rows: usize, d: usize) -> Vec<f32> {
    let mut out = vec![0.0; rows * d];
    out.par_chunks_mut(TASK_ROWS * d).enumerate().for_each(|(task, out)| {
        for (i, out) in out.chunks_exact_mut(d).enumerate() {
            for (table, index) in tables {
                let from = index[task * TASK_ROWS + i];
                if from != NONE {
                    add(out, &table[from as usize * d..][..d]);
                }
            }
        }
    });
    out
}

/// For each table row the output rows that read it, in order: row `r` owns
/// `readers[starts[r]..starts[r + 1]]`.
struct Readers {
    starts: Vec<usize>,
    readers: Vec<u32>,
}

impl Readers {
    /// Counting sort of the positions of `index` by their value.
    fn new(index: &[u32], table_rows: usize) -> Self {
        let mut starts = vec![0; table_rows + 1];
        for row in index.iter().filter(|r| **r != NONE) {
            starts[*row as usize + 1] += 1;
        }
        for r in 0..table_rows {
            starts[r + 1] += starts[r];
        }
        let mut next = starts.clone();
        let mut readers = vec![0; starts[table_rows]];
        for (i, row) in index.iter().enumerate().filter(|(_, r)| **r != NONE) {
            readers[next[*row as usize]] = i as u32;
            next[*row as usize] += 1;
        }
        Readers { starts, readers }
    }
}

/// Adds to `dtable` the gradients of the output rows that read each row, in their order.
pub fn scatter_add(dy: &[f32], index: &[u32], dtable: &mut [f32], d: usize) {
    let readers = Readers::new(index, dtable.len() / d);
    // One row is a task of its own when few rows have many readers each (a mask token).
    let task_rows = (TASK_ROWS * (dtable.len() / d) / index.len().max(1)).clamp(1, TASK_ROWS);
    dtable.par_chunks_mut(task_rows * d).enumerate().for_each(|(task, dtable)| {
        for (r, row) in dtable.chunks_exact_mut(d).enumerate() {
            let r = task * task_rows + r;
            for i in &readers.readers[readers.starts[r]..readers.starts[r + 1]] {
                add(row, &dy[*i as usize * d..][..d]);
            }
        }
    });
}
