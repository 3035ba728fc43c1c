//! Signals that ask a run to stop: the first asks for a checkpoint, a second Ctrl-C leaves at once.

use std::{
    io,
    sync::{
        Arc, LazyLock,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

use super::{Exit, print};

static STOP: LazyLock<Arc<AtomicBool>> = LazyLock::new(Arc::default);

/// Set when somebody wants an end: not by warnings, nor by a time limit that is watched here.
static TOLD: LazyLock<Arc<AtomicBool>> = LazyLock::new(Arc::default);

/// Whether a person or a system told this process to leave, by SIGINT or SIGTERM: then it does not come back by
/// itself.
pub(crate) fn was_told_to_leave() -> bool {
    TOLD.load(Ordering::SeqCst)
}

/// Sets the flag after so much time.
pub(crate) fn stop_after(time: Duration) {
    let wait = move || {
        thread::sleep(time);
        print::stderr("the time limit is near: stopping with a checkpoint");
        STOP.store(true, Ordering::SeqCst);
    };
    if let Err(error) = thread::Builder::new().spawn(wait) {
        print::stderr(&format!("note: no thread can be started ({error}): the time limit goes unnoticed"));
    }
}

/// A flag that a signal sets. Once more Ctrl-C or SIGTERM ends the process without a checkpoint.
pub(crate) fn stop_flag() -> &'static AtomicBool {
    #[cfg(unix)]
    // Fails where a system forbids it; then the signals end the process as they do by default.
    let _ = unix::listen(&STOP);
    &STOP
}

#[cfg(unix)]
mod unix {
    use signal_hook::{
        consts::{SIGHUP, SIGINT, SIGTERM, SIGUSR1, SIGUSR2, SIGXCPU},
        flag,
        iterator::Signals,
    };

    use super::*;

    /// Asked by a person or a system that wants an end.
    const ASKED: [i32; 2] = [SIGINT, SIGTERM];

    /// Warnings: a terminal that closes, and what batch systems send ahead of the end. They may come more
    /// than once, and before SIGTERM: a checkpoint under way is not given up for them.
    const WARNED: [i32; 4] = [SIGHUP, SIGUSR1, SIGUSR2, SIGXCPU];

    /// Sets `stop` on every signal that the parent process did not have ignored: `nohup` means it.
    pub fn listen(stop: &Arc<AtomicBool>) -> io::Result<()> {
        static LISTENING: AtomicBool = AtomicBool::new(false);
        if LISTENING.swap(true, Ordering::SeqCst) {
            return Ok(());
        }
        let ignored = ignored(&std::fs::read_to_string("/proc/self/status").unwrap_or_default());
        let heard = |signals: &[i32]| -> Vec<i32> {
            signals.iter().copied().filter(|signal| ignored >> (signal - 1) & 1 == 0).collect()
        };
        let (asked, warned) = (heard(&ASKED), heard(&WARNED));
        let again = Arc::new(AtomicBool::new(false));
        for signal in &asked {
            flag::register(*signal, TOLD.clone())?;
            flag::register_conditional_shutdown(*signal, Exit::Interrupted as i32, again.clone())?;
            flag::register(*signal, again.clone())?;
        }
        let all = [asked, warned].concat();
        for signal in &all {
            flag::register(*signal, stop.clone())?;
        }
        announce(Signals::new(all)?);
        Ok(())
    }

    /// Says once that a signal was heard; silent where there is no thread to be had.
    fn announce(mut signals: Signals) {
        let say = move || {
            if signals.forever().next().is_some() {
                print::stderr(
                    "stopping after this step and writing a checkpoint; Ctrl-C once more leaves at once",
                );
            }
        };
        let _ = thread::Builder::new().spawn(say);
    }

    /// The mask of ignored signals in the text of `/proc/self/status`; where there is no such file, none.
    fn ignored(status: &str) -> u64 {
        let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
        mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0)
    }

    #[cfg(test)]
    mod tests {
        use super::*;

        #[test]
        fn ignored_signals_are_bits_from_one_on() {
            let mask = ignored("Name:\tx\nSigIgn:\t0000000000001001\nSigCgt:\t0000000000000002\n");
            assert!(mask >> (SIGHUP - 1) & 1 == 1 && mask >> (SIGINT - 1) & 1 == 0);
            assert_eq!(ignored(""), 0);
        }
    }
}

/// Sets the flag when stdin ends: when whoever started this process asks for it, or is gone.
pub(crate) fn stop_when_stdin_ends() {
    let wait = || {
        // An error means that nobody is there either.
        let _ = io::copy(&mut io::stdin().lock(), &mut io::sink());
        STOP.store(true, Ordering::SeqCst);
    };
    if let Err(error) = thread::Builder::new().spawn(wait) {
        print::stderr(&format!("note: no thread can be started ({error}): the end of stdin goes unnoticed"));
    }
}
