//! Recycled memory for activations and scratch.
//!
//! A fresh large allocation costs a page fault for every 4 KiB and a pass that zeroes it. Buffers
//! are therefore kept when dropped and handed out again *with their old contents*: a caller that
//! takes one must write every value before reading it. The pool never shrinks; its size is the peak
//! of one training step.

use std::collections::HashMap;
use std::ops::{Deref, DerefMut};
use std::sync::{LazyLock, Mutex};

/// Free memory by capacity.
static FREE: LazyLock<Mutex<HashMap<usize, Vec<Vec<f32>>>>> = LazyLock::new(Mutex::default);

/// A slice of `f32` on loan from the pool.
#[derive(Debug, Default)]
pub struct Buffer {
    memory: Vec<f32>,
    len: usize,
}

impl Buffer {
    /// `len` values of any content.
    pub fn any(len: usize) -> Self {
        let capacity = capacity_class(len);
        let recycled = free_lists().get_mut(&capacity).and_then(Vec::pop);
        let memory = recycled.unwrap_or_else(|| vec![0.0; capacity]);
        Buffer { memory, len }
    }
    /// `len` zeros.
    pub fn zeros(len: usize) -> Self {
        let mut buffer = Buffer::any(len);
        buffer.fill(0.0);
        buffer
    }
    /// A copy of `values`.
    pub fn copy_of(values: &[f32]) -> Self {
        let mut buffer = Buffer::any(values.len());
        buffer.copy_from_slice(values);
        buffer
    }
}

impl Deref for Buffer {
    type Target = [f32];
    fn deref(&self) -> &[f32] {
        &self.memory[..self.len]
    }
}

impl DerefMut for Buffer {
    fn deref_mut(&mut self) -> &mut [f32] {
        &mut self.memory[..self.len]
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        if !self.memory.is_empty() {
            let memory = std::mem::take(&mut self.memory);
            free_lists().entry(memory.len()).or_default().push(memory);
        }
    }
}

/// The free lists; a panic elsewhere leaves them whole, so poisoning is ignored.
fn free_lists() -> std::sync::MutexGuard<'static, HashMap<usize, Vec<Vec<f32>>>> {
    FREE.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

/// Rounds up to one of eight sizes per power of two, so that ragged batches find memory to reuse.
fn capacity_class(len: usize) -> usize {
    let step = (len.next_power_of_two() / 16).max(64);
    len.div_ceil(step).max(1) * step
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn capacity_wastes_at_most_an_eighth() {
        for len in [0, 1, 63, 64, 65, 1000, 1025, 100_000, 1 << 20, (1 << 20) + 1] {
            let capacity = capacity_class(len);
            assert!(capacity >= len && capacity <= len + len / 8 + 64, "{len}: {capacity}");
        }
    }
}
