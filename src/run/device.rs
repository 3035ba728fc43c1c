//! Which device a run computes on.

use ijepa_registry::params::MatmulPrecision;

use super::RunError;
use crate::{
    config::{Device, Experiment},
    kernels,
};

/// A device of this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ComputeDevice {
    /// The processor.
    Cpu,
    /// A GPU by ordinal, and its name.
    #[cfg(feature = "cuda-base")]
    Cuda(usize, String),
}

impl std::fmt::Display for ComputeDevice {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            ComputeDevice::Cpu => write!(f, "cpu"),
            #[cfg(feature = "cuda-base")]
            ComputeDevice::Cuda(ordinal, name) => write!(f, "cuda:{ordinal} ({name})"),
        }
    }
}

/// Where `wanted` leads here. `auto` takes the first GPU if there is one that can be used, and the
/// processor otherwise; a GPU that is asked for and cannot be used is an error.
pub fn choose(wanted: Device) -> Result<ComputeDevice, RunError> {
    match wanted {
        Device::Cpu => Ok(ComputeDevice::Cpu),
        Device::Auto => Ok(gpu(0).unwrap_or(ComputeDevice::Cpu)),
        Device::Cuda(ordinal) => gpu(ordinal).map_err(|refusal| {
            let cause = refusal.cause;
            RunError::Config(format!("device: GPU {ordinal} cannot be used: {cause}; write `cpu` or `auto`"))
        }),
    }
}

/// What a person should know who leaves the choice to the program: a GPU seems to be there, and is not
/// used.
pub fn warning(wanted: Device) -> Option<String> {
    let refusal = gpu(0).err().filter(|r| wanted == Device::Auto && r.surprising)?;
    Some(takes_the_processor(&refusal.cause))
}

/// The same of a GPU that looked usable and could not be opened.
#[cfg(feature = "cuda-base")]
pub fn fallback(cause: &RunError) -> String {
    takes_the_processor(&cause.to_string())
}

fn takes_the_processor(cause: &str) -> String {
    format!("device: auto takes the processor, because a GPU cannot be used: {cause}")
}

/// What a person should know about how products are rounded: `tf32` is a format of GPUs, and `bf16` needs a processor
/// that multiplies it fast.
pub fn rounding_note(place: &ComputeDevice, precision: MatmulPrecision) -> Option<String> {
    let units = kernels::has_matrix_units();
    // What is the fastest has to be tried: only where it is asked for, and no better one is known.
    let asked = precision == MatmulPrecision::Bf16 && !units;
    let fast_bf16 = !asked || kernels::fastest_precision() == MatmulPrecision::Bf16;
    note_on(place, precision, fast_bf16, units)
}

/// `units`: whether the processor has matrix units.
fn note_on(
    place: &ComputeDevice,
    precision: MatmulPrecision,
    fast_bf16: bool,
    units: bool,
) -> Option<String> {
    let note = match precision {
        MatmulPrecision::Tf32 => {
            "train.matmul: tf32 is a format of GPUs; on the CPU the products are f32, with the same results as train.matmul=f32"
        }
        MatmulPrecision::Bf16 if units => {
            "train.matmul: this processor has matrix units for bf16 (AMX), which add up in an order of their own: train.matmul=bf16_amx is faster here"
        }
        MatmulPrecision::Bf16 if !fast_bf16 => {
            "train.matmul: this processor multiplies bf16 no faster than f32 (it has no AVX512-BF16, or a slow one); the results are the same as on one that does, but train.matmul=f32 is faster here"
        }
        MatmulPrecision::Bf16Amx if !units => {
            "train.matmul: this processor has no matrix units for bf16 (AMX), or the system does not give them; the results are the same as on one that has, but train.matmul=f32 is faster here"
        }
        _ => return None,
    };
    (*place == ComputeDevice::Cpu).then(|| note.into())
}

/// The same about the device that an experiment asks for, if it is there.
pub fn rounding_note_of(experiment: &Experiment) -> Option<String> {
    rounding_note(&choose(experiment.device).ok()?, experiment.train.matmul)
}

/// Why a GPU cannot be used.
struct Refusal {
    cause: String,
    /// Whether it seems to be there all the same.
    surprising: bool,
}

/// The GPU of this ordinal, ready to compute.
#[cfg(feature = "cuda-base")]
pub fn open(ordinal: usize) -> Result<dfdx::prelude::Cuda, RunError> {
    let failed = |e| RunError::Config(format!("device: GPU {ordinal} cannot be used: {e}; write device=cpu"));
    kernels::open(ordinal).map_err(failed)
}

#[cfg(feature = "cuda-base")]
fn gpu(ordinal: usize) -> Result<ComputeDevice, Refusal> {
    let found = kernels::drivers().and_then(|d| d.usable(ordinal).cloned());
    found
        .map(|gpu| ComputeDevice::Cuda(ordinal, gpu.name))
        .map_err(|e| Refusal { cause: e.to_string(), surprising: matches!(e, kernels::Unusable::Broken(_)) })
}

#[cfg(not(feature = "cuda-base"))]
fn gpu(_ordinal: usize) -> Result<ComputeDevice, Refusal> {
    let cause = "this program was built without the feature `cuda`".into();
    Err(Refusal { cause, surprising: false })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_processor_is_always_there() {
        assert_eq!(choose(Device::Cpu).unwrap(), ComputeDevice::Cpu);
        assert!(choose(Device::Auto).is_ok());
        assert_eq!(warning(Device::Cpu), None);
    }

    #[test]
    fn what_the_processor_has_no_products_for_is_noted() {
        let note = |precision, fast_bf16| note_on(&ComputeDevice::Cpu, precision, fast_bf16, false);
        assert!(note(MatmulPrecision::Tf32, true).is_some_and(|n| n.contains("format of GPUs")));
        assert!(note(MatmulPrecision::Bf16, false).is_some_and(|n| n.contains("f32 is faster here")));
        assert!(note(MatmulPrecision::Bf16Amx, false).is_some_and(|n| n.contains("no matrix units")));
        assert_eq!((note(MatmulPrecision::Bf16, true), note(MatmulPrecision::F32, false)), (None, None));
        let beside_units = note_on(&ComputeDevice::Cpu, MatmulPrecision::Bf16, true, true);
        assert!(beside_units.is_some_and(|n| n.contains("bf16_amx is faster")));
    }

    #[test]
    fn a_gpu_that_is_not_there_is_an_error() {
        let error = choose(Device::Cuda(9999)).unwrap_err().to_string();
        assert!(error.contains("GPU 9999") && error.contains("`auto`"), "{error}");
    }
}
