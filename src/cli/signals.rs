//! Ctrl-C and termination: the first asks for a checkpoint, the second leaves at once.

use std::sync::atomic::{AtomicBool, Ordering};

use super::{Exit, out};

static STOP: AtomicBool = AtomicBool::new(false);

/// A flag that the first signal sets. A second signal ends the process without a checkpoint.
pub(crate) fn stop_flag() -> &'static AtomicBool {
    let handler = || {
        if STOP.swap(true, Ordering::SeqCst) {
            std::process::exit(Exit::Interrupted as i32);
        }
        out::stderr("stopping after this step and writing a checkpoint; once more leaves at once");
    };
    // Fails only if a handler is set already, which then is this one.
    let _ = ctrlc::set_handler(handler);
    &STOP
}

/// Sets the flag when stdin ends: when whoever started this process asks for it, or is gone.
pub(crate) fn stop_when_stdin_ends() {
    std::thread::spawn(|| {
        // An error means that nobody is there either.
        let _ = std::io::copy(&mut std::io::stdin().lock(), &mut std::io::sink());
        STOP.store(true, Ordering::SeqCst);
    });
}
