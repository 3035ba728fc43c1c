//! Reading numbers that were computed at different times, waiting for the device once.

use dfdx::prelude::Cuda;
use ijepa_registry::tensor::{ModelError, Scalar};

use super::super::{LossValue, Result};
use super::address::of;
use super::gpu::{Done, Gpu};
use super::launch::{Grid, THREADS, args};

/// See [`super::Backend::read`].
pub fn numbers(losses: &[&LossValue<Cuda>], norms: &[&Scalar<Cuda>]) -> Result<Vec<f64>> {
    let device = losses.iter().map(|n| n.device()).chain(norms.iter().map(|n| n.device())).next();
    device.map_or(Ok(Vec::new()), |device| collect(device, losses, norms).map_err(ModelError::from_debug))
}

fn collect(device: &Cuda, losses: &[&LossValue<Cuda>], norms: &[&Scalar<Cuda>]) -> Done<Vec<f64>> {
    let gpu = Gpu::of(device)?;
    let addresses = losses.iter().map(|n| of(*n)).chain(norms.iter().map(|n| of(*n)));
    let addresses = gpu.upload(&addresses.collect::<Done<Vec<_>>>()?)?;
    let count = losses.len() + norms.len();
    let together = gpu.memory::<f64>(count)?;
    gpu.launch("collect", Grid::blocks(1, 1, THREADS), &args![&addresses, &together, losses.len(), count])?;
    Ok(gpu.driver.dtoh_sync_copy(&together)?)
}
