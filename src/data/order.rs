//! Which images make up which training batch.

use ijepa_registry::rng::Stream;

/// Image indices `0..count` in the order in which `epoch` visits them.
pub fn epoch_order(seed: u64, epoch: u64, count: usize) -> Vec<u32> {
    let mut order: Vec<u32> = (0..count as u32).collect();
    Stream::new(seed, "order", epoch, 0).shuffle(&mut order);
    order
}

/// Full batches in an epoch: the last, partial one is dropped, so every step costs the same.
pub fn steps_per_epoch(count: usize, batch_size: usize) -> usize {
    count.checked_div(batch_size).unwrap_or(0)
}

/// The part of an epoch's order that step `step` trains on; empty past the last full batch.
pub fn batch_indices(order: &[u32], batch_size: usize, step: usize) -> &[u32] {
    order.chunks_exact(batch_size.max(1)).nth(step).unwrap_or(&[])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn order_is_a_permutation_that_changes_with_epoch_and_seed() {
        let order = epoch_order(1, 0, 100);
        let mut sorted = order.clone();
        sorted.sort_unstable();
        assert_eq!(sorted, (0..100).collect::<Vec<u32>>());
        assert_eq!(order, epoch_order(1, 0, 100));
        assert_ne!(order, epoch_order(1, 1, 100));
        assert_ne!(order, epoch_order(2, 0, 100));
    }

    #[test]
    fn batches_tile_the_order_and_drop_the_rest() {
        let order = epoch_order(1, 0, 10);
        assert_eq!(steps_per_epoch(10, 4), 2);
        assert_eq!([batch_indices(&order, 4, 0), batch_indices(&order, 4, 1)].concat(), order[..8]);
        assert!(batch_indices(&order, 4, 2).is_empty());
        assert_eq!(steps_per_epoch(3, 4), 0);
        assert_eq!(steps_per_epoch(3, 0), 0);
    }
}
