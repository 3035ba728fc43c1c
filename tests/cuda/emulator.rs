//! The device that the tests compute on.
//!
//! Without a GPU it is the null driver of `cuda-shim`, which has the kernels carried out by
//! `emulator.cpp`; that needs a C++ compiler, and tests of numbers fail without one. With
//! `IJEPA_TEST_GPU=1`, which `scripts/gpu-check.sh` sets, it is the first GPU of this machine.

use std::{
    ffi::{CString, c_char, c_int, c_void},
    path::{Path, PathBuf},
    process::Command,
    sync::{Mutex, MutexGuard, OnceLock, PoisonError},
};

use dfdx::prelude::Cuda;

/// `emulate` of `emulator.cpp`.
type Emulate = unsafe extern "C" fn(*const c_char, *const u32, *const u32, *mut *mut c_void) -> c_int;

/// The functions of `emulator.cpp`.
#[derive(Clone, Copy)]
struct Emulator {
    emulate: Emulate,
    run_backwards: unsafe extern "C" fn(c_int),
}

unsafe extern "C" {
    fn dlopen(file: *const c_char, flags: c_int) -> *mut c_void;
    fn dlsym(handle: *mut c_void, name: *const c_char) -> *mut c_void;
}

static EMULATOR: OnceLock<Option<Emulator>> = OnceLock::new();

/// One test at a time: the counts of the null driver are those of the process.
static TURN: Mutex<()> = Mutex::new(());

/// A device, for as long as nobody else has it.
pub struct Turn {
    pub cuda: Cuda,
    /// Whether kernels compute numbers here.
    pub computes: bool,
    /// Whether this is a GPU.
    pub gpu: bool,
    _turn: MutexGuard<'static, ()>,
}

/// The device, once the other tests are done with it.
pub fn device() -> Turn {
    let turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let gpu = std::env::var_os("IJEPA_TEST_GPU").is_some_and(|v| v == "1");
    if !gpu {
        cuda_shim::null::install(Some(execute));
    }
    let computes = gpu || EMULATOR.get_or_init(build).is_some();
    let cuda = ijepa_run::kernels::open(0).unwrap_or_else(|e| panic!("the device cannot be opened: {e}"));
    Turn { cuda, computes, gpu, _turn: turn }
}

/// A device that carries nothing out, in a process that has no other: what remains is the host's work.
pub fn idle_device() -> Cuda {
    assert!(cuda_shim::null::install(None), "run this test alone");
    ijepa_run::kernels::open(0).unwrap()
}

/// A device that computes; fails where there is neither a GPU nor a compiler to emulate one with.
pub fn computing_device() -> Turn {
    let turn = device();
    assert!(turn.computes, "no C++ compiler (`c++`, or `CXX`) to emulate the kernels with: install one");
    turn
}

/// Carries out a kernel; does nothing where there is no emulator.
unsafe fn execute(name: &str, grid: [u32; 3], block: [u32; 3], _shared: u32, args: *mut *mut c_void) -> i32 {
    let Some(emulator) = EMULATOR.get().copied().flatten() else { return 0 };
    let name = CString::new(name).unwrap();
    // SAFETY: the arguments are those of a launch, on memory of the null driver.
    unsafe { (emulator.emulate)(name.as_ptr(), grid.as_ptr(), block.as_ptr(), args) }
}

/// Compiles the kernels with the system's C++ compiler and opens the result.
fn build() -> Option<Emulator> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let library = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("libemulator.so");
    let compiler = std::env::var_os("CXX").unwrap_or_else(|| "c++".into());
    let mut compile = Command::new(compiler);
    compile.args(["-std=c++17", "-O2", "-ffp-contract=off", "-w", "-shared", "-fPIC", "-o"]).arg(&library);
    compile.arg("-I").arg(root.join("src/kernels/cuda/device")).arg(root.join("tests/cuda/emulator.cpp"));
    let output = compile.output().ok()?;
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let file = CString::new(library.to_str()?).ok()?;
    // SAFETY: the library was compiled above and exports these functions with these signatures.
    unsafe {
        let handle = dlopen(file.as_ptr(), 2);
        assert!(!handle.is_null(), "the emulator cannot be opened");
        let found = [c"emulate", c"run_backwards"].map(|name| dlsym(handle, name.as_ptr()));
        assert!(found.iter().all(|f| !f.is_null()), "the emulator lacks a function");
        let emulate = std::mem::transmute::<*mut c_void, Emulate>(found[0]);
        let run_backwards = std::mem::transmute::<*mut c_void, unsafe extern "C" fn(c_int)>(found[1]);
        Some(Emulator { emulate, run_backwards })
    }
}

/// Emulates the threads of a block from the last to the first, or again in order.
pub fn run_backwards(on: bool) {
    if let Some(emulator) = EMULATOR.get().copied().flatten() {
        // SAFETY: sets a flag; the caller's turn keeps others away.
        unsafe { (emulator.run_backwards)(on.into()) }
    }
}
