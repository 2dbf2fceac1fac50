//! The pause program: holds a pod's namespaces open, and is the parent that buries the pod's
//! orphans when the pod shares its PID namespace.
//!
//! It uses no library at all. All three signals it cares about are blocked and then waited for,
//! so it needs no signal handler; blocked signals reach even a process that is PID 1.
#![no_std]
#![no_main]

use core::arch::{asm, global_asm};
use core::panic::PanicInfo;

const SIGINT: i32 = 2;
const SIGTERM: i32 = 15;
const SIGCHLD: i32 = 17;
const SIG_BLOCK: usize = 0;
const WNOHANG: usize = 1;
/// Bytes in the kernel's signal set.
const SIGNAL_SET_SIZE: usize = 8;
/// `waitpid` for any child.
const ANY_CHILD: usize = usize::MAX;

#[cfg(target_arch = "x86_64")]
mod call {
    pub const RT_SIGPROCMASK: usize = 14;
    pub const WAIT4: usize = 61;
    pub const RT_SIGTIMEDWAIT: usize = 128;
    pub const EXIT_GROUP: usize = 231;
}

#[cfg(target_arch = "aarch64")]
mod call {
    pub const EXIT_GROUP: usize = 94;
    pub const RT_SIGPROCMASK: usize = 135;
    pub const RT_SIGTIMEDWAIT: usize = 137;
    pub const WAIT4: usize = 260;
}

// The kernel enters with a stack that no caller has touched: align it as a call would and go on.
#[cfg(target_arch = "x86_64")]
global_asm!(
    ".globl _start",
    "_start:",
    "xor ebp, ebp",
    "and rsp, -16",
    "call {run}",
    "ud2",
    run = sym run,
);

#[cfg(target_arch = "aarch64")]
global_asm!(
    ".globl _start",
    "_start:",
    "mov x29, #0",
    "mov x30, #0",
    "bl {run}",
    "brk #1",
    run = sym run,
);

/// One system call.
///
/// # Safety
/// Pointers among the arguments must be valid for what the call does with them.
#[cfg(target_arch = "x86_64")]
unsafe fn syscall(number: usize, args: [usize; 4]) -> isize {
    let result: isize;
    // SAFETY: the kernel's convention: rcx and r11 are lost, all else is kept.
    unsafe {
        asm!(
            "syscall",
            inlateout("rax") number => result,
            in("rdi") args[0],
            in("rsi") args[1],
            in("rdx") args[2],
            in("r10") args[3],
            lateout("rcx") _,
            lateout("r11") _,
            options(nostack),
        );
    }
    result
}

/// One system call.
///
/// # Safety
/// Pointers among the arguments must be valid for what the call does with them.
#[cfg(target_arch = "aarch64")]
unsafe fn syscall(number: usize, args: [usize; 4]) -> isize {
    let result: isize;
    // SAFETY: the kernel's convention: x0 carries the result, all else is kept.
    unsafe {
        asm!(
            "svc #0",
            in("x8") number,
            inlateout("x0") args[0] => result,
            in("x1") args[1],
            in("x2") args[2],
            in("x3") args[3],
            options(nostack),
        );
    }
    result
}

fn bit(signal: i32) -> u64 {
    1 << (signal - 1)
}

/// Blocks the signals that `run` waits for.
fn block(set: &u64) {
    let set: *const u64 = set;
    // SAFETY: `set` points to a signal set of the size given; the old set is not asked for.
    unsafe { syscall(call::RT_SIGPROCMASK, [SIG_BLOCK, set as usize, 0, SIGNAL_SET_SIZE]) };
}

/// Sleeps until one of the signals arrives; its number, or a negated errno.
fn wait_signal(set: &u64) -> isize {
    let set: *const u64 = set;
    // SAFETY: as in `block`; neither signal information nor a timeout is passed.
    unsafe { syscall(call::RT_SIGTIMEDWAIT, [set as usize, 0, 0, SIGNAL_SET_SIZE]) }
}

/// Buries every child that has ended.
fn reap() {
    // SAFETY: no pointer is passed.
    while unsafe { syscall(call::WAIT4, [ANY_CHILD, 0, WNOHANG, 0]) } > 0 {}
}

fn exit(code: usize) -> ! {
    loop {
        // SAFETY: no pointer is passed; the call does not return.
        unsafe { syscall(call::EXIT_GROUP, [code, 0, 0, 0]) };
    }
}

extern "C" fn run() -> ! {
    let signals = bit(SIGINT) | bit(SIGTERM) | bit(SIGCHLD);
    block(&signals);
    // Children that were handed to us before the mask was set.
    reap();
    loop {
        let signal = wait_signal(&signals);
        if signal == SIGCHLD as isize {
            reap();
        } else if signal == SIGTERM as isize || signal == SIGINT as isize {
            exit(0);
        }
    }
}

#[panic_handler]
fn panic(_: &PanicInfo<'_>) -> ! {
    exit(101)
}
