//! How much of a batch goes through the model at a time.

use ijepa_registry::tensor::ModelError;

use crate::kernels::{Backend, Memory};

/// Patches of whole images that a processor takes at a time: enough groups of tokens for a few dozen
/// threads. More would share little more and take more memory.
pub const MICRO_BATCH_TOKENS: usize = 4096;

/// The part of a GPU's memory that activations may take.
const SHARE: f64 = 0.5;

/// Bytes that a GPU holds per byte that backward needs by [`super::cost::StepCost::activations`]: it also
/// keeps normalised rows and both sides of the GELU, 1.6 in the usual form, and gradients of one block.
const HELD: f64 = 2.0;

/// Patches of whole images that a step passes through the model together, at most, where backward needs so
/// many bytes per patch (none: not known). On a GPU as many as its memory holds, however much others use of
/// it: how sums are cut depends on the kind of device alone.
pub fn micro_batch_tokens<D: Backend>(
    device: &D,
    bytes: impl FnOnce() -> Option<f64>,
) -> Result<usize, ModelError> {
    let Some(Memory { total, .. }) = device.memory()? else { return Ok(MICRO_BATCH_TOKENS) };
    Ok(bytes().map_or(usize::MAX, |bytes| (SHARE * total as f64 / (HELD * bytes)) as usize))
}
