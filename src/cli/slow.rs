//! A word to a person who waits.

use std::{
    sync::mpsc::{self, RecvTimeoutError, Sender},
    thread,
    time::Duration,
};

use super::print;

/// Time after which a person wants to know what goes on.
const PATIENCE: Duration = Duration::from_secs(1);

/// Says what is being done if this is not dropped within a second.
pub(super) struct Slow {
    _done: Sender<()>,
}

impl Slow {
    /// Waits in the background.
    pub fn new(what: String) -> Self {
        let (done, wait) = mpsc::channel::<()>();
        // Without a thread to be had nothing is said.
        let _ = thread::Builder::new().spawn(move || {
            if wait.recv_timeout(PATIENCE) == Err(RecvTimeoutError::Timeout) {
                print::stderr(&what);
            }
        });
        Slow { _done: done }
    }
}
