//! Recycled memory for activations and scratch.
//!
//! A fresh large allocation costs a page fault for every 4 KiB and a pass that zeroes it. Buffers
//! are therefore kept when dropped and handed out again *with their old contents*: a caller that
//! takes one must write every value before reading it. The pool never shrinks; since few sizes differ
//! and larger memory serves smaller requests, it holds little more than the peak of one training step.

use std::collections::BTreeMap;
use std::ops::{Deref, DerefMut};
use std::sync::{LazyLock, Mutex};

/// Free memory by capacity.
type Free = BTreeMap<usize, Vec<Vec<f32>>>;

static FREE: LazyLock<Mutex<Free>> = LazyLock::new(Mutex::default);

/// Memory of up to so many times the wanted capacity serves a request.
const LARGEST: usize = 2;

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
        let recycled = recycle(&mut free_lists(), capacity);
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
fn free_lists() -> std::sync::MutexGuard<'static, Free> {
    FREE.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

/// The smallest free memory that serves `capacity`.
fn recycle(free: &mut Free, capacity: usize) -> Option<Vec<f32>> {
    free.range_mut(capacity..=LARGEST * capacity).find_map(|(_, memory)| memory.pop())
}

/// Rounds up to one of two sizes per power of two: batches whose sequences differ in length find memory
/// to reuse, and the part of fresh memory that nobody writes is never given to the process.
fn capacity_class(len: usize) -> usize {
    let step = (len.next_power_of_two() / 4).max(64);
    len.div_ceil(step).max(1) * step
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn capacity_wastes_at_most_a_third() {
        for len in [0, 1, 63, 64, 65, 1000, 1025, 100_000, 1 << 20, (1 << 20) + 1] {
            let capacity = capacity_class(len);
            assert!(capacity >= len && 2 * capacity <= 3 * len + 256, "{len}: {capacity}");
        }
    }

    #[test]
    fn memory_that_is_larger_is_taken_if_it_is_not_much_larger() {
        let mut free = Free::new();
        for capacity in [64, 192, 256, 1024] {
            free.insert(capacity, vec![vec![0.0; capacity]]);
        }
        let mut taken = |capacity| recycle(&mut free, capacity).map(|m| m.len());
        assert_eq!([taken(128), taken(128), taken(128), taken(64)], [Some(192), Some(256), None, Some(64)]);
    }
}
