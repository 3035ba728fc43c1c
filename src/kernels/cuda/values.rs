//! Numbers on the device: f32, or bfloat16 where products alone read them and round to it.

use cudarc::driver::{CudaSlice, DevicePtr};

/// An address on the device.
pub type At = u64;

/// Memory on the device.
pub type Floats = CudaSlice<f32>;

/// The address of owned memory.
pub fn at<E>(slice: &CudaSlice<E>) -> At {
    *slice.device_ptr()
}

/// Bytes of `n` floats or indices.
pub fn floats(n: usize) -> At {
    4 * n as At
}

/// Where numbers are: a `Values` of `device/common.cuh`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Values {
    full: At,
    half: At,
}

impl From<At> for Values {
    /// Those in f32; none at the null address.
    fn from(full: At) -> Values {
        Values { full, half: 0 }
    }
}

impl Values {
    /// Those in bfloat16.
    pub fn half(half: At) -> Values {
        Values { full: 0, half }
    }

    /// Where the first one is.
    pub fn at(self) -> At {
        self.full.max(self.half)
    }

    /// The address if they are bfloat16, null otherwise.
    pub fn rounded(self) -> At {
        self.half
    }

    pub fn is_half(self) -> bool {
        self.half != 0
    }

    /// Those from the `n`th on.
    pub fn skip(self, n: usize) -> Values {
        let n = n as At;
        if self.is_half() { Values::half(self.half + 2 * n) } else { Values::from(self.full + 4 * n) }
    }
}

/// Memory for operands of products.
pub enum Operand {
    Full(Floats),
    Half(CudaSlice<u16>),
}

impl Operand {
    pub fn values(&self) -> Values {
        match self {
            Operand::Full(memory) => Values::from(at(memory)),
            Operand::Half(memory) => Values::half(at(memory)),
        }
    }
}
