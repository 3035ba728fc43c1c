//! The kernel's filter: which system calls come to the handler.

use super::calls::TABLE;

/// Sixth argument of a call that the filter lets pass: no call in the table has six.
const PASS: usize = 0x5eed_fa17_1eaf_c0de;

#[cfg(target_arch = "x86_64")]
const ARCHITECTURE: u32 = 0xc000_003e;
#[cfg(target_arch = "aarch64")]
const ARCHITECTURE: u32 = 0xc000_00b7;

/// Offsets in `struct seccomp_data`.
const NUMBER: u32 = 0;
const MACHINE: u32 = 4;
const SIXTH: u32 = 16 + 5 * 8;

const LOAD: u16 = (libc::BPF_LD | libc::BPF_W | libc::BPF_ABS) as u16;
const EQUAL: u16 = (libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K) as u16;
const RETURN: u16 = (libc::BPF_RET | libc::BPF_K) as u16;

/// The call itself, past the filter. Returns the kernel's answer: a negative error number on failure.
pub fn raw(number: libc::c_long, arguments: [usize; 5]) -> isize {
    let [a, b, c, d, e] = arguments;
    // SAFETY: hands on a call of the program with the program's own arguments, or one of ours on our memory.
    let answer = unsafe { libc::syscall(number, a, b, c, d, e, PASS) } as isize;
    // SAFETY: the address of this thread's error number is always valid.
    if answer == -1 { -(unsafe { *libc::__errno_location() } as isize) } else { answer }
}

fn step(code: u16, k: u32, yes: u8, no: u8) -> libc::sock_filter {
    libc::sock_filter { code, jt: yes, jf: no, k }
}

/// The filter's program: calls in the table that do not carry [`PASS`] trap, all others pass.
fn program() -> Vec<libc::sock_filter> {
    let mut numbers: Vec<u32> = TABLE.iter().map(|entry| entry.number as u32).collect();
    numbers.dedup();
    let count = numbers.len() as u8;
    let mut steps = vec![
        step(LOAD, MACHINE, 0, 0),
        step(EQUAL, ARCHITECTURE, 0, count + 5),
        step(LOAD, SIXTH, 0, 0),
        step(EQUAL, PASS as u32, 0, 2),
        step(LOAD, SIXTH + 4, 0, 0),
        step(EQUAL, (PASS >> 32) as u32, count + 1, 0),
        step(LOAD, NUMBER, 0, 0),
    ];
    for (i, number) in numbers.into_iter().enumerate() {
        steps.push(step(EQUAL, number, count - i as u8, 0));
    }
    steps.push(step(RETURN, libc::SECCOMP_RET_ALLOW, 0, 0));
    steps.push(step(RETURN, libc::SECCOMP_RET_TRAP, 0, 0));
    steps
}

/// Puts the filter in place for this process and its threads to come. Whether that worked.
pub fn install() -> bool {
    let mut steps = program();
    let filter = libc::sock_fprog { len: steps.len() as u16, filter: steps.as_mut_ptr() };
    // SAFETY: the filter and its steps live until the kernel has copied them.
    unsafe {
        libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0
            && libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &raw const filter) == 0
    }
}
