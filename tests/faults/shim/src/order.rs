//! What the environment asks for.

use std::{
    env::var,
    ffi::CString,
    sync::atomic::{AtomicBool, Ordering},
};

use super::{
    counters::Board,
    names::{Kind, variables},
};

/// What to do with the call that is struck.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// Kill the process before it.
    Kill,
    /// Kill the process after it.
    After,
    /// Half of a write, then kill.
    Torn,
    /// Half of a write or read, and go on.
    Short,
    /// Fail with this error number.
    Error(i32),
}

/// The whole order.
pub struct Order {
    below: Vec<u8>,
    kind: Option<Kind>,
    at: Option<u64>,
    action: Action,
    sticky: bool,
    /// Per kind: whether a call of it was struck and later ones fail too.
    stuck: [AtomicBool; Kind::ALL.len()],
    pub board: Board,
}

impl Order {
    /// The order, if the environment holds one.
    pub fn from_environment() -> Option<Order> {
        let board = CString::new(take_variable(variables::BOARD)?).ok()?;
        Some(Order {
            below: var(variables::BELOW).ok()?.into_bytes(),
            kind: var(variables::KIND).ok().and_then(|word| Kind::of_word(&word)),
            at: var(variables::AT).ok().and_then(|n| n.parse().ok()),
            action: action(&var(variables::ACTION).unwrap_or_default()),
            sticky: var(variables::STICKY).is_ok(),
            stuck: std::array::from_fn(|_| AtomicBool::new(false)),
            board: Board::open(&board, var(variables::TRACE).ok().as_deref())?,
        })
    }

    /// Whether a call of this kind on this path counts.
    pub fn counts(&self, kind: Kind, path: &[u8]) -> bool {
        let inside = path.strip_prefix(self.below.as_slice());
        inside.is_some_and(|rest| rest.is_empty() || rest[0] == b'/')
            && self.kind.is_none_or(|wanted| wanted == kind)
    }

    /// Counts a call; what to do with it, if anything.
    pub fn take(&self, kind: Kind, path: &[u8]) -> Option<Action> {
        self.board.trace(kind, path);
        let hit = Some(self.board.count(kind)) == self.at;
        if hit && self.sticky {
            self.stuck[kind as usize].store(true, Ordering::SeqCst);
        }
        let strikes = hit || self.stuck[kind as usize].load(Ordering::SeqCst);
        if strikes {
            self.board.struck();
        }
        strikes.then_some(self.action)
    }
}

fn action(word: &str) -> Action {
    match word {
        "kill" => Action::Kill,
        "after" => Action::After,
        "torn" => Action::Torn,
        "short" => Action::Short,
        number => Action::Error(number.parse().unwrap_or(libc::EIO)),
    }
}

/// Reads a variable and takes it out of the environment: a program that has this crate linked in carries
/// the order out once, and those that it starts not at all.
fn take_variable(name: &str) -> Option<String> {
    let text = var(name).ok()?;
    // SAFETY: this runs before `main`, when there is one thread.
    unsafe { std::env::remove_var(name) };
    Some(text)
}

/// Sends this process the signals that are ordered, by its processor time.
pub fn arm_timers() {
    let Some(text) = take_variable(variables::SIGNALS) else { return };
    for (signal, milliseconds) in text.split(',').filter_map(|word| word.split_once('@')) {
        if let (Ok(signal), Ok(milliseconds)) = (signal.parse(), milliseconds.parse()) {
            arm(signal, milliseconds);
        }
    }
}

fn arm(signal: i32, milliseconds: i64) {
    // SAFETY: both structures are plain numbers, filled before the kernel copies them; a timer that cannot
    // be made sends nothing, which the campaign notices by the signal's absence.
    unsafe {
        let mut event: libc::sigevent = std::mem::zeroed();
        (event.sigev_notify, event.sigev_signo) = (libc::SIGEV_SIGNAL, signal);
        let mut timer: libc::timer_t = std::mem::zeroed();
        if libc::timer_create(libc::CLOCK_PROCESS_CPUTIME_ID, &raw mut event, &raw mut timer) != 0 {
            return;
        }
        let mut when: libc::itimerspec = std::mem::zeroed();
        when.it_value.tv_sec = milliseconds / 1000;
        when.it_value.tv_nsec = (milliseconds % 1000) * 1_000_000;
        libc::timer_settime(timer, 0, &raw const when, std::ptr::null_mut());
    }
}
