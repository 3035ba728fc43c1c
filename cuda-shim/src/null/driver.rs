//! The driver's functions on host memory.

use std::{
    ffi::{CStr, CString, c_char, c_int, c_uint, c_void},
    ops::Range,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use super::{EXECUTE, FREE, LARGEST, MEMORY, bind_to, count};
use crate::symbols::DRIVER;

/// `CUDA_SUCCESS` and the errors that a misuse gets.
const SUCCESS: c_int = 0;
const INVALID_VALUE: c_int = 1;
const INVALID_PTX: c_int = 218;
const OUT_OF_MEMORY: c_int = 2;
const NOT_FOUND: c_int = 500;

/// Where nothing is carried out, larger blocks are addresses without memory, which are neither written
/// nor read: what is timed then is the program.
const SMALL: usize = 1 << 12;

/// The next such address, above all that a process can have.
static NOWHERE: AtomicU64 = AtomicU64::new(FIRST_NOWHERE);
const FIRST_NOWHERE: u64 = 1 << 62;

/// Copies to the device up to this size never wait (CUDA programming guide, asynchronous execution).
const ALWAYS_AHEAD: usize = 64 << 10;

/// Limits that hold on every device: threads per block, blocks along y and z, shared memory.
const MAX_THREADS: u32 = 1024;
const MAX_BLOCKS_YZ: u32 = 65_535;
const MAX_SHARED: u32 = 48 << 10;

unsafe extern "C" {
    fn malloc(size: usize) -> *mut c_void;
    fn free(block: *mut c_void);
}

/// Page-locked blocks.
static LOCKED: Mutex<Vec<Range<usize>>> = Mutex::new(Vec::new());

/// A kernel that was looked up.
struct Function {
    name: String,
}

pub fn bind() {
    let same = succeed as *const c_void;
    let mut functions: Vec<(&str, *const c_void)> = DRIVER.iter().map(|e| (e.name, same)).collect();
    functions.extend([
        ("cuDeviceGetCount", device_count as *const c_void),
        ("cuDeviceGet", device_get as *const c_void),
        ("cuDeviceGetAttribute", device_attribute as *const c_void),
        ("cuDeviceGetName", device_name as *const c_void),
        ("cuDeviceTotalMem_v2", total_memory as *const c_void),
        ("cuDriverGetVersion", version as *const c_void),
        ("cuDevicePrimaryCtxRetain", handle_for as *const c_void),
        ("cuCtxGetCurrent", handle as *const c_void),
        ("cuEventCreate", handle as *const c_void),
        ("cuStreamCreate", handle as *const c_void),
        ("cuDeviceGetDefaultMemPool", handle as *const c_void),
        ("cuGetErrorName", describe as *const c_void),
        ("cuGetErrorString", describe as *const c_void),
        ("cuMemAllocAsync", allocate as *const c_void),
        ("cuMemAlloc_v2", allocate as *const c_void),
        ("cuMemFreeAsync", release as *const c_void),
        ("cuMemFree_v2", release as *const c_void),
        ("cuMemAllocHost_v2", page_locked as *const c_void),
        ("cuMemGetInfo_v2", memory_info as *const c_void),
        ("cuMemsetD8Async", fill as *const c_void),
        ("cuMemsetD8_v2", fill as *const c_void),
        ("cuMemcpyHtoDAsync_v2", upload as *const c_void),
        ("cuMemcpyHtoD_v2", upload_now as *const c_void),
        ("cuMemcpyDtoHAsync_v2", download as *const c_void),
        ("cuMemcpyDtoH_v2", download_now as *const c_void),
        ("cuMemcpyDtoDAsync_v2", copy as *const c_void),
        ("cuMemcpyDtoD_v2", copy as *const c_void),
        ("cuStreamSynchronize", synchronize as *const c_void),
        ("cuModuleLoadData", load_module as *const c_void),
        ("cuModuleGetFunction", get_function as *const c_void),
        ("cuLaunchKernel", launch as *const c_void),
    ]);
    bind_to(DRIVER, &functions);
}

extern "C" fn succeed() -> c_int {
    SUCCESS
}

// SAFETY: the functions of this file keep the driver's contract. They are called with the arguments of
// the driver's functions, whose pointers are valid for what is read or written here.

unsafe extern "C" fn device_count(count: *mut c_int) -> c_int {
    unsafe { count.write(1) };
    SUCCESS
}

unsafe extern "C" fn device_get(device: *mut c_int, ordinal: c_int) -> c_int {
    unsafe { device.write(ordinal) };
    if ordinal == 0 { SUCCESS } else { 101 }
}

/// Every attribute is 1, or 8 where a capability 8.x is asked for by its number.
unsafe extern "C" fn device_attribute(value: *mut c_int, attribute: c_int, _device: c_int) -> c_int {
    const CAPABILITY_MAJOR: c_int = 75;
    const CAPABILITY_MINOR: c_int = 76;
    let found = match attribute {
        CAPABILITY_MAJOR => 8,
        CAPABILITY_MINOR => 0,
        _ => 1,
    };
    unsafe { value.write(found) };
    SUCCESS
}

unsafe extern "C" fn device_name(name: *mut c_char, length: c_int, _device: c_int) -> c_int {
    let text = c"null device".to_bytes_with_nul();
    let n = text.len().min(length as usize);
    unsafe { std::ptr::copy_nonoverlapping(text.as_ptr().cast(), name, n) };
    SUCCESS
}

unsafe extern "C" fn total_memory(bytes: *mut usize, _device: c_int) -> c_int {
    unsafe { bytes.write(MEMORY) };
    SUCCESS
}

unsafe extern "C" fn version(version: *mut c_int) -> c_int {
    unsafe { version.write(13_000) };
    SUCCESS
}

unsafe extern "C" fn handle(to: *mut *mut c_void) -> c_int {
    unsafe { to.write(std::ptr::without_provenance_mut(1)) };
    SUCCESS
}

unsafe extern "C" fn handle_for(to: *mut *mut c_void, _device: c_int) -> c_int {
    unsafe { handle(to) }
}

unsafe extern "C" fn describe(_error: c_int, text: *mut *const c_char) -> c_int {
    unsafe { text.write(c"an error of the null driver".as_ptr()) };
    SUCCESS
}

unsafe extern "C" fn allocate(to: *mut u64, bytes: usize) -> c_int {
    count(|c| c.allocations += 1);
    if bytes > LARGEST.load(Ordering::Relaxed) {
        return OUT_OF_MEMORY;
    }
    let block = if EXECUTE.get().is_some() {
        // Bits of a NaN: a kernel that reads what none has written shows.
        unsafe {
            let block = malloc(bytes);
            block.cast::<u8>().write_bytes(0xff, bytes);
            block as u64
        }
    } else if bytes <= SMALL {
        unsafe { malloc(bytes) as u64 }
    } else {
        NOWHERE.fetch_add(bytes as u64, Ordering::Relaxed)
    };
    unsafe { to.write(block) };
    SUCCESS
}

/// Whether there is memory at an address.
fn is_memory(address: u64) -> bool {
    address < FIRST_NOWHERE
}

unsafe extern "C" fn release(block: u64) -> c_int {
    if is_memory(block) {
        unsafe { free(block as *mut c_void) };
    }
    SUCCESS
}

unsafe extern "C" fn memory_info(free: *mut usize, total: *mut usize) -> c_int {
    unsafe {
        free.write(FREE.load(Ordering::Relaxed));
        total.write(MEMORY);
    }
    SUCCESS
}

unsafe extern "C" fn fill(to: u64, value: u8, bytes: usize) -> c_int {
    count(|c| c.fills += 1);
    if is_memory(to) {
        unsafe { (to as *mut u8).write_bytes(value, bytes) };
    }
    SUCCESS
}

unsafe extern "C" fn upload(to: u64, from: *const u8, bytes: usize) -> c_int {
    let locked = LOCKED.lock().unwrap_or_else(PoisonError::into_inner);
    let pageable = bytes > ALWAYS_AHEAD && !locked.iter().any(|block| block.contains(&from.addr()));
    count(|c| {
        c.uploads += 1;
        c.pageable += usize::from(pageable);
    });
    if is_memory(to) {
        unsafe { from.copy_to_nonoverlapping(to as *mut u8, bytes) };
    }
    SUCCESS
}

unsafe extern "C" fn page_locked(to: *mut *mut c_void, bytes: usize) -> c_int {
    let block = unsafe { malloc(bytes) };
    LOCKED.lock().unwrap_or_else(PoisonError::into_inner).push(block.addr()..block.addr() + bytes);
    unsafe { to.write(block) };
    SUCCESS
}

unsafe extern "C" fn upload_now(to: u64, from: *const u8, bytes: usize) -> c_int {
    count(|c| c.waits += 1);
    unsafe { upload(to, from, bytes) }
}

unsafe extern "C" fn download_now(to: *mut u8, from: u64, bytes: usize) -> c_int {
    count(|c| c.waits += 1);
    unsafe { download(to, from, bytes) }
}

extern "C" fn synchronize(_stream: *mut c_void) -> c_int {
    count(|c| c.waits += 1);
    SUCCESS
}

unsafe extern "C" fn download(to: *mut u8, from: u64, bytes: usize) -> c_int {
    count(|c| c.downloads += 1);
    if is_memory(from) {
        unsafe { to.copy_from_nonoverlapping(from as *const u8, bytes) };
    }
    SUCCESS
}

unsafe extern "C" fn copy(to: u64, from: u64, bytes: usize) -> c_int {
    count(|c| c.copies += 1);
    if is_memory(from) && is_memory(to) {
        unsafe { (from as *const u8).copy_to_nonoverlapping(to as *mut u8, bytes) };
    }
    SUCCESS
}

/// The module is a copy of its PTX. An empty one is refused as the driver refuses it.
unsafe extern "C" fn load_module(module: *mut *mut c_void, image: *const c_char) -> c_int {
    let text = unsafe { CStr::from_ptr(image) };
    if !text.to_string_lossy().contains(".target") {
        return INVALID_PTX;
    }
    unsafe { module.write(CString::from(text).into_raw().cast()) };
    SUCCESS
}

unsafe extern "C" fn get_function(to: *mut *mut c_void, module: *mut c_void, name: *const c_char) -> c_int {
    let (ptx, name) = unsafe { (CStr::from_ptr(module.cast()), CStr::from_ptr(name)) };
    let name = name.to_string_lossy().into_owned();
    if !ptx.to_string_lossy().contains(&format!(".entry {name}(")) {
        return NOT_FOUND;
    }
    unsafe { to.write(Box::into_raw(Box::new(Function { name })).cast()) };
    SUCCESS
}

#[allow(clippy::too_many_arguments)]
unsafe extern "C" fn launch(
    function: *const Function,
    grid_x: c_uint,
    grid_y: c_uint,
    grid_z: c_uint,
    block_x: c_uint,
    block_y: c_uint,
    block_z: c_uint,
    shared: c_uint,
    _stream: *mut c_void,
    arguments: *mut *mut c_void,
) -> c_int {
    let (grid, block) = ([grid_x, grid_y, grid_z], [block_x, block_y, block_z]);
    let name = unsafe { &(*function).name };
    count(|c| *c.launches.entry(name.clone()).or_default() += 1);
    let threads: u32 = block.iter().product();
    let empty = grid.contains(&0) || threads == 0;
    if empty || threads > MAX_THREADS || grid_y.max(grid_z) > MAX_BLOCKS_YZ || shared > MAX_SHARED {
        return INVALID_VALUE;
    }
    match EXECUTE.get() {
        Some(execute) => unsafe { execute(name, grid, block, shared, arguments) },
        None => SUCCESS,
    }
}
