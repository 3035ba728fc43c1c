//! Named random streams.
//!
//! Every random number of an experiment comes from a stream keyed by (seed, purpose, two
//! counters), never from a shared generator. What one component draws therefore cannot shift
//! what another one sees: arms of an ablation share their initialisation and data order, and
//! neither worker count nor a resume changes a number.

use rand::{Rng, RngExt, SeedableRng, seq::SliceRandom};
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, StandardNormal};

/// One independent random stream (ChaCha8).
#[derive(Clone, Debug)]
pub struct Stream(ChaCha8Rng);

impl Stream {
    /// The stream of `purpose` under `seed`, for the counters `a` (an epoch, say) and `b` (an
    /// image index, say). Equal keys give equal streams on every machine.
    pub fn new(seed: u64, purpose: &str, a: u64, b: u64) -> Self {
        let mut key = [0; 32];
        for (slot, word) in key.chunks_exact_mut(8).zip([seed, fnv1a(purpose), a, b]) {
            slot.copy_from_slice(&word.to_le_bytes());
        }
        Stream(ChaCha8Rng::from_seed(key))
    }
    /// The first counter of its key: the epoch, for what is drawn for an image.
    pub fn first_counter(&self) -> u64 {
        let seed = self.0.get_seed();
        u64::from_le_bytes(std::array::from_fn(|i| seed[16 + i]))
    }
    /// The stream, from its start, that has another first counter and the same key otherwise: what an image draws in
    /// another epoch.
    pub fn with_first_counter(&self, a: u64) -> Self {
        let mut key = self.0.get_seed();
        key[16..24].copy_from_slice(&a.to_le_bytes());
        Stream(ChaCha8Rng::from_seed(key))
    }
    /// Uniform in `[0, 1)` with 53 random bits.
    pub fn uniform(&mut self) -> f64 {
        (self.0.next_u64() >> 11) as f64 * (1.0 / (1u64 << 53) as f64)
    }
    /// Uniform in `[low, high)`; `low` when the range is empty.
    pub fn uniform_in(&mut self, low: f64, high: f64) -> f64 {
        low + self.uniform() * (high - low)
    }
    /// Uniform integer in `0..n`; 0 for `n <= 1`.
    pub fn below(&mut self, n: usize) -> usize {
        if n <= 1 { 0 } else { self.0.random_range(0..n as u64) as usize }
    }
    /// True with probability `p`.
    pub fn chance(&mut self, p: f64) -> bool {
        self.uniform() < p
    }
    /// Standard normal.
    pub fn normal(&mut self) -> f64 {
        StandardNormal.sample(&mut self.0)
    }
    /// Fisher-Yates shuffle in place.
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        items.shuffle(&mut self.0);
    }
}

/// FNV-1a of the purpose's bytes (Fowler, Noll, Vo): a fixed 64-bit key word.
fn fnv1a(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |h, b| (h ^ u64::from(b)).wrapping_mul(0x0000_0100_0000_01b3))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_are_pinned_and_independent() {
        let first = |purpose, a, b| Stream::new(7, purpose, a, b).0.next_u64();
        let all = [first("mask", 0, 0), first("mask", 0, 1), first("mask", 1, 0), first("init", 0, 0)];
        assert_eq!(all[0], first("mask", 0, 0));
        assert!((1..4).all(|i| !all[..i].contains(&all[i])));
    }

    #[test]
    fn a_stream_knows_its_first_counter_and_gives_that_of_another() {
        let mut used = Stream::new(7, "flip", 3, 9);
        used.uniform();
        assert_eq!(used.first_counter(), 3);
        assert_eq!(used.with_first_counter(5).uniform(), Stream::new(7, "flip", 5, 9).uniform());
    }

    #[test]
    fn uniform_has_mean_one_half() {
        let mut s = Stream::new(1, "test", 0, 0);
        let mean = (0..10_000).map(|_| s.uniform()).sum::<f64>() / 1e4;
        assert!((mean - 0.5).abs() < 0.01, "{mean}");
        assert!((0..1000).all(|_| s.below(3) < 3));
    }
}
