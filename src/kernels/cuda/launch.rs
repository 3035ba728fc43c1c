//! Launching a kernel.

use std::ffi::c_void;

use cudarc::driver::{CudaSlice, DevicePtr, result};

use super::gpu::{Done, Gpu};
use super::values::{At, Operand, Values};

/// Threads of a block where a kernel does not ask for its own number.
pub const THREADS: usize = 256;

/// Threads of a warp.
pub const WARP: usize = 32;

/// An argument of a kernel.
#[derive(Clone, Copy, Debug)]
pub enum Arg {
    /// A pointer; 0 is null.
    At(At),
    /// An `int` or `unsigned`.
    Int(i32),
    /// A `long long`.
    Long(i64),
    /// A `float`.
    Float(f32),
    /// A `double`.
    Double(f64),
    /// A `Values`.
    Values(Values),
}

impl<E> From<&CudaSlice<E>> for Arg {
    fn from(slice: &CudaSlice<E>) -> Arg {
        Arg::At(*slice.device_ptr())
    }
}

impl From<&Operand> for Arg {
    fn from(operand: &Operand) -> Arg {
        Arg::Values(operand.values())
    }
}

impl From<Values> for Arg {
    fn from(values: Values) -> Arg {
        Arg::Values(values)
    }
}

impl From<At> for Arg {
    fn from(address: At) -> Arg {
        Arg::At(address)
    }
}

impl From<usize> for Arg {
    /// Sizes: far below 2^31 wherever a kernel takes an `int`.
    fn from(size: usize) -> Arg {
        Arg::Int(size as i32)
    }
}

impl From<f32> for Arg {
    fn from(value: f32) -> Arg {
        Arg::Float(value)
    }
}

impl From<f64> for Arg {
    fn from(value: f64) -> Arg {
        Arg::Double(value)
    }
}

impl From<bool> for Arg {
    fn from(value: bool) -> Arg {
        Arg::Int(value.into())
    }
}

/// The arguments of a launch, each turned into an [`Arg`].
macro_rules! args {
    ($($value:expr),* $(,)?) => { [$($crate::kernels::cuda::launch::Arg::from($value)),*] };
}
pub(super) use args;

/// Blocks and threads of a launch.
#[derive(Clone, Copy, Debug)]
pub struct Grid {
    blocks: (usize, usize),
    threads: usize,
}

impl Grid {
    /// One thread per element.
    pub fn elements(count: usize) -> Grid {
        Grid::blocks(count.div_ceil(THREADS), 1, THREADS)
    }
    /// One warp per row.
    pub fn warps(rows: usize) -> Grid {
        Grid::elements(rows * WARP)
    }
    /// The given blocks along x and y, the given threads each.
    pub fn blocks(x: usize, y: usize, threads: usize) -> Grid {
        Grid { blocks: (x, y), threads }
    }
    /// The same along x, `y` times along y.
    pub fn times(self, y: usize) -> Grid {
        Grid { blocks: (self.blocks.0, y), ..self }
    }
}

impl Gpu {
    /// Puts a kernel on the device's stream. A grid without blocks launches nothing.
    ///
    /// The arguments must be those of the kernel in number, kind and order, and the memory they point
    /// to as large as the kernel's comment says. It may be freed afterwards: that too waits its turn.
    pub fn launch(&self, kernel: &str, grid: Grid, args: &[Arg]) -> Done<()> {
        self.launch_pointers(kernel, grid, args.iter().map(pointer).collect())
    }

    /// [`Gpu::launch`] of a kernel whose first argument is a structure by value, laid out as there.
    pub fn launch_with<S>(&self, kernel: &str, grid: Grid, first: &S, args: &[Arg]) -> Done<()> {
        let first = (first as *const S).cast_mut().cast();
        self.launch_pointers(kernel, grid, std::iter::once(first).chain(args.iter().map(pointer)).collect())
    }

    fn launch_pointers(&self, kernel: &str, grid: Grid, mut pointers: Vec<*mut c_void>) -> Done<()> {
        let (x, y) = grid.blocks;
        if x * y == 0 {
            return Ok(());
        }
        let (blocks, threads) = ((x as u32, y as u32, 1), (grid.threads as u32, 1, 1));
        self.driver.bind_to_thread()?;
        // SAFETY: a kernel of our module on its own context; callers pass the arguments it declares,
        // which the tests on emulated kernels check for every launch in this folder.
        unsafe {
            result::launch_kernel(
                self.function(kernel)?,
                blocks,
                threads,
                0,
                *self.driver.cu_stream(),
                &mut pointers,
            )?;
        }
        Ok(())
    }
}

fn pointer(arg: &Arg) -> *mut c_void {
    match arg {
        Arg::At(v) => (v as *const u64).cast_mut().cast(),
        Arg::Int(v) => (v as *const i32).cast_mut().cast(),
        Arg::Long(v) => (v as *const i64).cast_mut().cast(),
        Arg::Float(v) => (v as *const f32).cast_mut().cast(),
        Arg::Double(v) => (v as *const f64).cast_mut().cast(),
        Arg::Values(v) => (v as *const Values).cast_mut().cast(),
    }
}
