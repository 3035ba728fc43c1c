//! Printing that survives a closed pipe: `ijepa-run components | head -1` is no error.

use std::io::Write;

use super::Exit;

/// Prints results on standard output.
pub(crate) fn stdout(text: &str) -> Exit {
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Ok(()) => Exit::Done,
        Err(e) if e.kind() == std::io::ErrorKind::BrokenPipe => Exit::Done,
        Err(_) => Exit::Failed,
    }
}

/// Prints one message for the user on standard error.
pub(crate) fn stderr(text: &str) {
    // Nobody is left to tell if this fails.
    let _ = writeln!(std::io::stderr().lock(), "{text}");
}
