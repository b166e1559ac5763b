//! System-call filters that a thread lays on itself.

use std::mem::{MaybeUninit, offset_of, size_of};
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use super::check;
use crate::errno::{CallError, Errno};

/// The architecture's number in `seccomp_data` (`linux/audit.h`: machine number of ELF, 64 bit, little
/// endian).
#[cfg(target_arch = "x86_64")]
const ARCHITECTURE: u32 = 0xC000_003E;
/// As above.
#[cfg(target_arch = "aarch64")]
const ARCHITECTURE: u32 = 0xC000_00B7;
/// As above.
#[cfg(target_arch = "riscv64")]
const ARCHITECTURE: u32 = 0xC000_00F3;

/// A filter that lets `allowed` pass and answers `denied` to everything else. A call of a foreign
/// architecture (32 bit on a 64-bit kernel) has other numbers, so it kills the process.
pub(crate) fn allow_list(allowed: &[i64], denied: u32) -> Vec<libc::sock_filter> {
    const LOAD: u16 = (libc::BPF_LD | libc::BPF_W | libc::BPF_ABS) as u16;
    const JUMP_IF_EQUAL: u16 = (libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K) as u16;
    const RETURN: u16 = (libc::BPF_RET | libc::BPF_K) as u16;
    let step = |code, k, jt, jf| libc::sock_filter { code, jt, jf, k };
    let offset = |bytes: usize| u32::try_from(bytes).unwrap_or(0);
    let mut program = vec![
        step(LOAD, offset(offset_of!(libc::seccomp_data, arch)), 0, 0),
        step(JUMP_IF_EQUAL, ARCHITECTURE, 1, 0),
        step(RETURN, libc::SECCOMP_RET_KILL_PROCESS, 0, 0),
        step(LOAD, offset(offset_of!(libc::seccomp_data, nr)), 0, 0),
    ];
    for number in allowed {
        program.push(step(JUMP_IF_EQUAL, u32::try_from(*number).unwrap_or(u32::MAX), 0, 1));
        program.push(step(RETURN, libc::SECCOMP_RET_ALLOW, 0, 0));
    }
    program.push(step(RETURN, denied, 0, 0));
    program
}

/// Lays a filter on the calling thread for the rest of its life.
pub(crate) fn filter(program: &mut [libc::sock_filter]) -> Result<(), CallError> {
    install(program, 0).map(drop)
}

/// As [`filter`], and returns the descriptor at which calls that the filter reports wait for an answer.
pub(crate) fn filter_with_listener(program: &mut [libc::sock_filter]) -> Result<OwnedFd, CallError> {
    let fd = install(program, libc::SECCOMP_FILTER_FLAG_NEW_LISTENER)?;
    // SAFETY: with this flag a success is a new open descriptor that nobody else owns.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

fn install(program: &mut [libc::sock_filter], flags: libc::c_ulong) -> Result<libc::c_int, CallError> {
    let too_long = CallError { call: "seccomp", errno: Errno::EINVAL };
    let len = libc::c_ushort::try_from(program.len()).map_err(|_| too_long)?;
    let program = libc::sock_fprog { len, filter: program.as_mut_ptr() };
    // SAFETY: this option takes integers; it only takes rights away from the calling thread.
    check("prctl(PR_SET_NO_NEW_PRIVS)", unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) })?;
    // SAFETY: `program` points to `len` valid instructions that live through the call; the kernel copies
    // and verifies them.
    let result =
        unsafe { libc::syscall(libc::SYS_seccomp, libc::SECCOMP_SET_MODE_FILTER, flags, &raw const program) };
    check("seccomp", libc::c_int::try_from(result).unwrap_or(-1))
}

/// Waits for a call at the listener and lets it go on; its number, or `None` if the caller is gone.
pub(crate) fn pass_one(listener: BorrowedFd<'_>) -> Result<Option<i64>, CallError> {
    let mut request = MaybeUninit::<libc::seccomp_notif>::zeroed();
    // SAFETY: the kernel demands a zeroed, writable request of its own size, which the request code names.
    let got =
        unsafe { libc::ioctl(listener.as_raw_fd(), libc::SECCOMP_IOCTL_NOTIF_RECV, request.as_mut_ptr()) };
    if let Err(error) = check("ioctl(SECCOMP_IOCTL_NOTIF_RECV)", got) {
        // ENOENT: the thread died while it waited.
        let harmless = [Errno::ENOENT, Errno::EINTR].contains(&error.errno);
        return if harmless { Ok(None) } else { Err(error) };
    }
    // SAFETY: the call succeeded and filled it; besides, all zeroes are a valid value of plain integers.
    let request = unsafe { request.assume_init() };
    let mut answer = libc::seccomp_notif_resp {
        id: request.id,
        val: 0,
        error: 0,
        flags: u32::try_from(libc::SECCOMP_USER_NOTIF_FLAG_CONTINUE).unwrap_or(0),
    };
    // SAFETY: `answer` is a valid response of the size that the request code names.
    let sent = unsafe { libc::ioctl(listener.as_raw_fd(), libc::SECCOMP_IOCTL_NOTIF_SEND, &raw mut answer) };
    match check("ioctl(SECCOMP_IOCTL_NOTIF_SEND)", sent) {
        Err(error) if error.errno != Errno::ENOENT => Err(error),
        _ => Ok(Some(i64::from(request.data.nr))),
    }
}

/// Ends the process at once by one system call, `exit_group`: no destructor, no buffer is written.
pub(crate) fn exit_now(status: i32) -> ! {
    // SAFETY: ends the process without running code of it; takes an integer.
    unsafe { libc::_exit(status) }
}

// The kernel interface fixes these sizes (linux/seccomp.h).
const _: () = assert!(size_of::<libc::seccomp_data>() == 64);
const _: () = assert!(size_of::<libc::seccomp_notif>() == 80);
