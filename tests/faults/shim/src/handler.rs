//! Where a stopped system call arrives: it is counted, and carried out or struck.
//!
//! Runs as a signal handler at the place of the call, on any thread: it allocates nothing, takes no lock,
//! and its own calls carry the mark that the filter lets pass.

use std::sync::OnceLock;

use super::{
    calls::Call,
    filter::{self, raw},
    order::{Action, Order},
};

static ORDER: OnceLock<Order> = OnceLock::new();

/// From here on every call in the table comes to the handler.
pub fn install(order: Order) {
    let order = ORDER.get_or_init(|| order);
    // SAFETY: the action is plain numbers; the handler has the signature that SA_SIGINFO asks for.
    let ready = unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = on_call as extern "C" fn(_, _, _) as usize;
        action.sa_flags = libc::SA_SIGINFO | libc::SA_RESTART | libc::SA_NODEFER;
        libc::sigaction(libc::SIGSYS, &raw const action, std::ptr::null_mut()) == 0
    };
    if ready && filter::install() {
        order.board.installed();
    }
}

extern "C" fn on_call(_signal: i32, _info: *mut libc::siginfo_t, context: *mut libc::c_void) {
    // SAFETY: the kernel hands the handler a valid context of this thread, and nobody else uses it now.
    let context = unsafe { &mut *context.cast::<libc::ucontext_t>() };
    // SAFETY: the address of this thread's error number is always valid.
    let errno = unsafe { libc::__errno_location() };
    // SAFETY: as above; the interrupted code must find it unchanged.
    let before = unsafe { *errno };
    let answer = answer(&machine::call(context));
    // SAFETY: as above.
    unsafe { *errno = before };
    machine::set_answer(context, answer);
}

/// What the program gets back.
fn answer(call: &Call) -> isize {
    let Some((order, entry)) = ORDER.get().zip(call.entry()) else { return carry_out(call) };
    let path = call.path(entry.subject);
    if !order.counts(entry.kind, path.as_bytes()) {
        return carry_out(call);
    }
    match order.take(entry.kind, path.as_bytes()) {
        None => carry_out(call),
        Some(Action::Error(number)) => -(number as isize),
        Some(Action::Kill) => die(),
        Some(Action::After) => {
            carry_out(call);
            die()
        }
        Some(Action::Torn) => {
            carry_out(&half(call));
            die()
        }
        Some(Action::Short) => carry_out(&half(call)),
    }
}

fn carry_out(call: &Call) -> isize {
    raw(call.number, call.arguments)
}

/// The same call with half the bytes; other calls than plain reads and writes unchanged.
fn half(call: &Call) -> Call {
    let mut arguments = call.arguments;
    let counted = [libc::SYS_read, libc::SYS_write, libc::SYS_pread64, libc::SYS_pwrite64];
    if counted.contains(&call.number) && arguments[2] > 1 {
        arguments[2] /= 2;
    }
    Call { number: call.number, arguments }
}

fn die() -> isize {
    // SAFETY: plain calls; the process ends here.
    unsafe {
        libc::kill(libc::getpid(), libc::SIGKILL);
        libc::pause();
    }
    unreachable!("killed")
}

#[cfg(target_arch = "x86_64")]
mod machine {
    use super::Call;

    pub fn call(context: &libc::ucontext_t) -> Call {
        let register = |r: i32| context.uc_mcontext.gregs[r as usize] as usize;
        let arguments = [libc::REG_RDI, libc::REG_RSI, libc::REG_RDX, libc::REG_R10, libc::REG_R8];
        Call { number: register(libc::REG_RAX) as libc::c_long, arguments: arguments.map(register) }
    }

    pub fn set_answer(context: &mut libc::ucontext_t, answer: isize) {
        context.uc_mcontext.gregs[libc::REG_RAX as usize] = answer as i64;
    }
}

#[cfg(target_arch = "aarch64")]
mod machine {
    use super::Call;

    pub fn call(context: &libc::ucontext_t) -> Call {
        let registers = &context.uc_mcontext.regs;
        let arguments = std::array::from_fn(|i| registers[i] as usize);
        Call { number: registers[8] as libc::c_long, arguments }
    }

    pub fn set_answer(context: &mut libc::ucontext_t, answer: isize) {
        context.uc_mcontext.regs[0] = answer as u64;
    }
}
