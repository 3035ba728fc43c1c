//! Page-locked memory, through which the host hands values to the device.
//!
//! From other memory a copy may wait for everything that the device has to do before. From this one it
//! never waits, but the values must stay as they are until the stream has passed the copy: a page that
//! is full is used again only then. The driver takes a limited number of launches in advance, and so
//! there are a few pages for the life of the process.

use std::ffi::c_void;
use std::mem::size_of_val;

use cudarc::driver::{DeviceRepr, DriverError, result, sys};

/// Bytes of a page, unless one value needs more.
const PAGE: usize = 8 << 20;

/// Values start at multiples of so many bytes.
const ALIGNMENT: usize = 64;

/// One block of memory. Its event follows the last copy out of it.
struct Page {
    start: *mut u8,
    size: usize,
    used: usize,
    event: sys::CUevent,
}

// SAFETY: memory and event belong to the process; the driver lets every thread use them.
unsafe impl Send for Page {}

impl Page {
    fn new(size: usize) -> Result<Page, DriverError> {
        let mut start: *mut c_void = std::ptr::null_mut();
        // SAFETY: the pointer can be written.
        unsafe { sys::cuMemAllocHost_v2(&mut start, size).result()? };
        let event = result::event::create(sys::CUevent_flags::CU_EVENT_DISABLE_TIMING)?;
        Ok(Page { start: start.cast(), size, used: 0, event })
    }

    fn has_room(&self, bytes: usize) -> bool {
        self.used + bytes <= self.size
    }

    /// Whether all copies out of it are done.
    fn is_free(&self) -> bool {
        // SAFETY: the event was recorded when the page was left.
        unsafe { sys::cuEventQuery(self.event) == sys::CUresult::CUDA_SUCCESS }
    }
}

/// The pages of a device.
#[derive(Default)]
pub struct Staging {
    current: Option<Page>,
    /// Full ones, the oldest first.
    full: Vec<Page>,
}

impl Staging {
    /// A copy of `values` that lasts until the stream has passed the next copy to the device.
    pub fn place<E: DeviceRepr>(&mut self, values: &[E], stream: sys::CUstream) -> Result<&[E], DriverError> {
        let bytes = size_of_val(values).next_multiple_of(ALIGNMENT);
        let page = self.page_for(bytes, stream)?;
        // SAFETY: the page has room for the values from `used` on, which is aligned; they are plain data,
        // and no copy to the device reads this part of the page any more.
        let placed = unsafe {
            let to = page.start.add(page.used).cast::<E>();
            to.copy_from_nonoverlapping(values.as_ptr(), values.len());
            std::slice::from_raw_parts(to, values.len())
        };
        page.used += bytes;
        Ok(placed)
    }

    fn page_for(&mut self, bytes: usize, stream: sys::CUstream) -> Result<&mut Page, DriverError> {
        let current = self.current.take();
        let page = match current {
            Some(page) if page.has_room(bytes) => page,
            other => {
                if let Some(page) = other {
                    // SAFETY: a live event, and the stream of the page's copies.
                    unsafe { result::event::record(page.event, stream)? };
                    self.full.push(page);
                }
                let free = self.full.iter().position(|p| p.size >= bytes && p.is_free());
                let reused = free.map(|i| Page { used: 0, ..self.full.remove(i) });
                reused.map_or_else(|| Page::new(bytes.max(PAGE)), Ok)?
            }
        };
        Ok(self.current.insert(page))
    }
}
