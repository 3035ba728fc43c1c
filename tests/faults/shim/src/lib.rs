//! A library for `LD_PRELOAD` that makes system calls of a program fail, or ends the program there.
//!
//! It does not replace functions of the C library: code that calls the kernel directly would go past
//! them. A filter (seccomp) sends every call of the kinds in [`Kind`] to a handler in the same process,
//! which counts those below one folder and carries out what the environment orders ([`variables`]).
//! The counts lie in a file shared with the campaign, so that they outlive a killed program.
//!
//! The filter also holds for programs that the program starts, where no handler is: they are killed.
//! The campaign hides them by an empty `PATH`.

mod names;

#[cfg(target_os = "linux")]
mod calls;
#[cfg(target_os = "linux")]
mod counters;
#[cfg(target_os = "linux")]
mod filter;
#[cfg(target_os = "linux")]
mod handler;
#[cfg(target_os = "linux")]
mod order;

pub use names::{Kind, board, variables};

/// Runs before `main` of the program.
#[cfg(target_os = "linux")]
#[used]
#[unsafe(link_section = ".init_array")]
static START: extern "C" fn() = start;

#[cfg(target_os = "linux")]
extern "C" fn start() {
    order::arm_timers();
    if let Some(order) = order::Order::from_environment() {
        handler::install(order);
    }
}
