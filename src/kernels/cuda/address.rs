//! Where a tensor's values are on the device.
//!
//! dfdx gives access to the memory of a gradient but not of a tensor. The address is in the `Debug`
//! output of a tensor, though, whose text cannot change because Cargo.toml pins dfdx and cudarc to one
//! version each; `check` guards it at start-up all the same.

use std::fmt::{self, Write};

use cudarc::driver::{DriverError, result, sys::CUresult};
use dfdx::prelude::{Cuda, HasShape, Shape, Storage, Tensor, Unit, ZerosTensor};
use ijepa_registry::tensor::{Flat, ModelError};

use super::super::Result;
use super::super::check::ensure;
use super::gpu::Done;
use super::values::At;

const KEY: &[u8] = b"cu_device_ptr: ";

/// Reads the number after the first [`KEY`] and then fails, which stops the formatter there.
#[derive(Default)]
struct Reader {
    matched: usize,
    digits: u32,
    value: u64,
    done: bool,
}

impl Reader {
    fn take(&mut self, byte: u8) -> fmt::Result {
        if self.matched < KEY.len() {
            let next = if byte == KEY[self.matched] { self.matched + 1 } else { usize::from(byte == KEY[0]) };
            self.matched = next;
            return Ok(());
        }
        if byte.is_ascii_digit() {
            let digit = u64::from(byte - b'0');
            self.value = self.value.checked_mul(10).and_then(|v| v.checked_add(digit)).ok_or(fmt::Error)?;
            self.digits += 1;
            return Ok(());
        }
        self.done = self.digits > 0;
        Err(fmt::Error)
    }
}

impl Write for Reader {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        text.bytes().try_for_each(|byte| self.take(byte))
    }
}

/// The address of a contiguous tensor's first value.
pub fn of<S: Shape, E: Unit, T>(tensor: &Tensor<S, E, Cuda, T>) -> Done<At>
where
    Tensor<S, E, Cuda, T>: fmt::Debug,
{
    let mut reader = Reader::default();
    // The error is how the reader stops the formatter.
    let _ = write!(reader, "{tensor:?}");
    let unreadable = DriverError(CUresult::CUDA_ERROR_NOT_FOUND);
    if reader.done { Ok(reader.value) } else { Err(unreadable.into()) }
}

/// A tensor whose values are anything: for a kernel that writes all of them. dfdx makes none that it does
/// not fill with zeros, which would be one more launch.
pub fn unfilled<S: HasShape, E: Unit>(device: &Cuda, shape: S) -> Done<Tensor<S::Shape, E, Cuda>>
where
    Cuda: ZerosTensor<E> + Storage<E>,
{
    // SAFETY: what is allocated within becomes this tensor, and any bits are a number.
    unsafe { cuda_shim::without_fills(|| device.try_zeros_like(&shape)) }
}

/// The address of the gradient of a tensor, or of its ghost (whose type has no public name); zeros if
/// there was none yet.
macro_rules! slope {
    ($gradients:expr, $tensor:expr) => {
        *cudarc::driver::DevicePtr::device_ptr(&**$gradients.get_or_alloc_mut($tensor)?)
    };
}
pub(super) use slope;

/// Fails unless values written through an address are read back by dfdx.
pub fn check(device: &Cuda) -> Result<()> {
    let tensor: Flat<Cuda> = device.try_zeros_like(&(4,)).map_err(ModelError::from_debug)?;
    let wanted = [1.0f32, -2.0, 3.5, 0.25];
    let address = of(&tensor).map_err(ModelError::from_debug)?;
    // SAFETY: the address of four floats, by the output of `Debug` that the pinned versions print.
    unsafe { result::memcpy_htod_sync(address, &wanted) }.map_err(ModelError::from_debug)?;
    ensure(tensor.as_vec() == wanted, || "memory written on the device is not read back".into())
}
