//! Shared libraries of the system, opened by name.

use std::ffi::{CString, c_char, c_int, c_void};

unsafe extern "C" {
    fn dlopen(file: *const c_char, flags: c_int) -> *mut c_void;
    fn dlsym(handle: *mut c_void, name: *const c_char) -> *mut c_void;
}

/// Resolve every symbol at once; from <dlfcn.h>, the same on Linux and macOS.
const RTLD_NOW: c_int = 2;

/// An open library. It stays open: its functions are called until the process ends.
pub struct Library(*mut c_void);

impl Library {
    /// The first of `names` that can be opened, and its name.
    pub fn first_of(names: &[&'static str]) -> Result<(Library, &'static str), String> {
        let found = names.iter().find_map(|name| Library::open(name).map(|library| (library, *name)));
        found.ok_or_else(|| format!("none of {} could be opened", names.join(", ")))
    }

    fn open(name: &str) -> Option<Library> {
        let name = CString::new(name).ok()?;
        // SAFETY: a C string and a valid flag; the library's initialisers are NVIDIA's.
        let handle = unsafe { dlopen(name.as_ptr(), RTLD_NOW) };
        (!handle.is_null()).then_some(Library(handle))
    }

    /// The address of a function.
    pub fn symbol(&self, name: &str) -> Option<*const c_void> {
        let name = CString::new(name).ok()?;
        // SAFETY: an open handle and a C string.
        let address = unsafe { dlsym(self.0, name.as_ptr()) };
        (!address.is_null()).then_some(address.cast_const())
    }
}
