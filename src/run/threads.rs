//! How many threads a run may compute with.

use std::sync::{Arc, Mutex, mpsc};

use crate::{kernels, run::RunError};

/// Refuses a run for which no thread can be started: images are made on one of their own, however few may
/// compute.
pub fn refuse_none() -> Result<(), RunError> {
    if startable(1) > 0 {
        return Ok(());
    }
    let message = "threads: the system lets this process start none (see `ulimit -u`); a run needs one";
    Err(RunError::Config(message.into()))
}

/// Sizes the compute pool. A second call in one process keeps the first size. Where fewer threads can be
/// had, says so and takes what there is: no number depends on it.
pub fn start_threads(threads: Option<usize>) -> Option<String> {
    kernels::keep_memory();
    let cores = || std::thread::available_parallelism().map_or(1, usize::from);
    let wanted = threads.unwrap_or_else(cores);
    let started = startable(wanted + OTHER_THREADS);
    let possible = started.saturating_sub(OTHER_THREADS).clamp(1, wanted);
    let builder = rayon::ThreadPoolBuilder::new().num_threads(possible);
    // The thread that asks computes along where there may be no room for another.
    let builder = if started <= OTHER_THREADS { builder.use_current_thread() } else { builder };
    let _ = builder.build_global();
    let line = "threads were wanted, the system allows";
    let fewer = || format!("note: {wanted} {line} {possible} (see `ulimit -u`); no number depends on it");
    (started < wanted + OTHER_THREADS).then(fewer)
}

/// Threads that a run needs besides those that compute: images, signals, the display.
const OTHER_THREADS: usize = 8;

/// How many threads can be started, at most `wanted`: tries it.
fn startable(wanted: usize) -> usize {
    let (release, gate) = mpsc::channel::<()>();
    let gate = Arc::new(Mutex::new(gate));
    let wait = |gate: Arc<Mutex<mpsc::Receiver<()>>>| {
        let _ = gate.lock().map(|gate| gate.recv());
    };
    let start = |_| {
        let gate = gate.clone();
        std::thread::Builder::new().spawn(move || wait(gate)).ok()
    };
    let started: Vec<_> = (0..wanted).map_while(start).collect();
    drop(release);
    let possible = started.len();
    started.into_iter().for_each(|thread| drop(thread.join()));
    possible
}
