//! Recycled memory for activations and scratch.
//!
//! A fresh large allocation costs a page fault for every 4 KiB and a pass that zeroes it. Buffers
//! are therefore kept when dropped and handed out again *with their old contents*: a caller that
//! takes one must write every value before reading it. The pool never shrinks; since few sizes differ
//! and larger memory serves smaller requests, it holds little more than the peak of one training step.
//!
//! Buffers begin where a line of the cache begins. Rows of whole vectors then lie in as few lines as they can: matrix units
//! above all read them faster than rows that begin in the middle of a line.

use std::collections::BTreeMap;
use std::ops::{Deref, DerefMut};
use std::sync::{LazyLock, Mutex};

/// Values in a line of the cache.
const LINE: usize = 64 / size_of::<f32>();

/// Free memory by capacity.
type Free = BTreeMap<usize, Vec<Memory>>;

static FREE: LazyLock<Mutex<Free>> = LazyLock::new(Mutex::default);

/// Memory of up to so many times the wanted capacity serves a request.
const LARGEST: usize = 2;

/// A slice of `f32` on loan from the pool.
#[derive(Debug, Default)]
pub struct Buffer {
    memory: Memory,
    len: usize,
}

/// Values from the beginning of a line on.
#[derive(Debug, Default)]
struct Memory {
    values: Vec<f32>,
    /// Values before that line.
    start: usize,
}

impl Memory {
    /// `capacity` zeros.
    fn new(capacity: usize) -> Self {
        let values = vec![0.0; capacity + LINE - 1];
        let start = values.as_ptr().align_offset(LINE * size_of::<f32>()).min(LINE - 1);
        Memory { values, start }
    }
    fn capacity(&self) -> usize {
        (self.values.len() + 1).saturating_sub(LINE)
    }
}

impl Buffer {
    /// `len` values of any content.
    pub fn any(len: usize) -> Self {
        let capacity = capacity_class(len);
        let recycled = recycle(&mut free_lists(), capacity);
        let memory = recycled.unwrap_or_else(|| Memory::new(capacity));
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
        &self.memory.values[self.memory.start..][..self.len]
    }
}

impl DerefMut for Buffer {
    fn deref_mut(&mut self) -> &mut [f32] {
        &mut self.memory.values[self.memory.start..][..self.len]
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        let capacity = self.memory.capacity();
        if capacity > 0 {
            free_lists().entry(capacity).or_default().push(std::mem::take(&mut self.memory));
        }
    }
}

/// The free lists; a panic elsewhere leaves them whole, so poisoning is ignored.
fn free_lists() -> std::sync::MutexGuard<'static, Free> {
    FREE.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

/// The smallest free memory that serves `capacity`.
fn recycle(free: &mut Free, capacity: usize) -> Option<Memory> {
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
    fn a_buffer_begins_where_a_line_begins() {
        let buffers: Vec<Buffer> = [1, 64, 1000, 100_000].map(Buffer::any).into();
        assert!(buffers.iter().all(|b| b.as_ptr().addr().is_multiple_of(64)));
        assert!(Buffer::default().is_empty() && Buffer::zeros(0).is_empty());
    }

    #[test]
    fn memory_that_is_larger_is_taken_if_it_is_not_much_larger() {
        let mut free = Free::new();
        for capacity in [64, 192, 256, 1024] {
            free.insert(capacity, vec![Memory::new(capacity)]);
        }
        let mut taken = |capacity| recycle(&mut free, capacity).map(|m| m.capacity());
        assert_eq!([taken(128), taken(128), taken(128), taken(64)], [Some(192), Some(256), None, Some(64)]);
    }
}
