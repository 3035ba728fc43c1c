//! The yardstick: a large matrix product through the kernels that training uses.

use std::time::{Duration, Instant};

use ijepa_registry::tensor::{Cpu, ModelError};

use super::wait_for;
use crate::{
    kernels::{self, Backend, MatmulPrecision},
    nn::cost::linear,
    run::start_threads,
};

/// Share of a large matrix product's speed that training is taken to reach: more on an idle machine with
/// the reference recipe (docs/performance.md), less with small models.
pub const SHARE_OF_PRODUCT: f64 = 0.6;

/// Products that follow one another before a GPU is waited for.
const IN_A_ROW: u32 = 16;

/// FLOP/s of [`speed`]: with one thread, if it is threads that compute, and as the device is.
pub fn speeds<D: Backend>(device: &D, precision: MatmulPrecision) -> Result<(Option<f64>, f64), ModelError> {
    if D::READING_WAITS {
        return Ok((None, speed(device, precision)?));
    }
    let one = rayon::ThreadPoolBuilder::new().num_threads(1).build();
    let on_cpu = || speed(&Cpu::default(), precision);
    let of_one = one.map_or_else(|_| on_cpu(), |pool| pool.install(on_cpu));
    Ok((Some(of_one?), speed(device, precision)?))
}

/// Useful operations per second that training reaches on this processor, by experience: a share of a
/// large matrix product that rounds so, measured now with `threads` (none: all cores).
pub fn attainable_speed(threads: Option<usize>, precision: MatmulPrecision) -> Option<f64> {
    start_threads(threads);
    Some(SHARE_OF_PRODUCT * speed(&Cpu::default(), precision).ok()?)
}

/// The best of several products of 2048 x 768 and 768 x 768 values, FLOP/s. On a GPU a product is the
/// mean of some in a row: the host is not part of it.
fn speed<D: Backend>(device: &D, precision: MatmulPrecision) -> Result<f64, ModelError> {
    const ROWS: usize = 2048;
    const DIM: usize = 768;
    let values = |n: usize| (0..n).map(|i| (i % 97) as f32 * 0.01 - 0.5).collect::<Vec<_>>();
    let x = kernels::from_host(device, values(ROWS * DIM), ROWS, DIM)?;
    let flat = |n: usize| device.try_tensor_from_vec(values(n), (n,)).map_err(ModelError::from_debug);
    let (weight, bias) = (flat(DIM * DIM)?, flat(DIM)?);
    let products = if D::READING_WAITS { IN_A_ROW } else { 1 };
    let (begin, mut best) = (Instant::now(), f64::MAX);
    let mut rounds = 0;
    while rounds < 3 || (rounds < 50 && begin.elapsed() < Duration::from_millis(500)) {
        wait_for(device)?;
        let start = Instant::now();
        for _ in 0..products {
            D::linear(x.clone(), &weight, &bias, precision)?;
        }
        wait_for(device)?;
        best = best.min(start.elapsed().as_secs_f64() / f64::from(products));
        rounds += 1;
    }
    Ok(linear(ROWS, DIM, DIM) / best)
}
