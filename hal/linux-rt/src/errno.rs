//! Error numbers of the kernel, with their names: an operator searches for `EPERM`, not for 1.

use std::fmt;
use std::io;

/// An error number of the kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Errno(i32);

impl Errno {
    /// Not permitted.
    pub const EPERM: Self = Self(libc::EPERM);
    /// No such file, directory or entry.
    pub const ENOENT: Self = Self(libc::ENOENT);
    /// Interrupted by a signal.
    pub const EINTR: Self = Self(libc::EINTR);
    /// Resource temporarily unavailable; for memory locking: over the limit.
    pub const EAGAIN: Self = Self(libc::EAGAIN);
    /// Out of memory; for memory locking: over the limit.
    pub const ENOMEM: Self = Self(libc::ENOMEM);
    /// No access.
    pub const EACCES: Self = Self(libc::EACCES);
    /// Busy; for cgroups: processes stand in the way.
    pub const EBUSY: Self = Self(libc::EBUSY);
    /// Invalid argument.
    pub const EINVAL: Self = Self(libc::EINVAL);
    /// Not implemented by this kernel.
    pub const ENOSYS: Self = Self(libc::ENOSYS);
    /// No room in a buffer of the network.
    pub const ENOBUFS: Self = Self(libc::ENOBUFS);
    /// Not supported.
    pub const EOPNOTSUPP: Self = Self(libc::EOPNOTSUPP);

    /// The error with this number.
    #[must_use]
    pub const fn from_raw(number: i32) -> Self {
        Self(number)
    }

    /// The error of the calling thread's last failed call.
    #[must_use]
    pub fn last() -> Self {
        Self(io::Error::last_os_error().raw_os_error().unwrap_or(0))
    }

    /// The number behind an [`io::Error`]; `None` if it does not come from the kernel.
    #[must_use]
    pub fn of(error: &io::Error) -> Option<Self> {
        error.raw_os_error().map(Self)
    }

    /// The number.
    #[must_use]
    pub const fn raw(self) -> i32 {
        self.0
    }

    /// The symbolic name, `EPERM` for instance; `None` for numbers that this crate never meets.
    #[must_use]
    pub const fn name(self) -> Option<&'static str> {
        Some(match self.0 {
            libc::EPERM => "EPERM",
            libc::ENOENT => "ENOENT",
            libc::ESRCH => "ESRCH",
            libc::EINTR => "EINTR",
            libc::EIO => "EIO",
            libc::EBADF => "EBADF",
            libc::EAGAIN => "EAGAIN",
            libc::ENOMEM => "ENOMEM",
            libc::EACCES => "EACCES",
            libc::EFAULT => "EFAULT",
            libc::EBUSY => "EBUSY",
            libc::EEXIST => "EEXIST",
            libc::ENODEV => "ENODEV",
            libc::ENOTDIR => "ENOTDIR",
            libc::EINVAL => "EINVAL",
            libc::EMFILE => "EMFILE",
            libc::ENOSPC => "ENOSPC",
            libc::EROFS => "EROFS",
            libc::ERANGE => "ERANGE",
            libc::ENOSYS => "ENOSYS",
            libc::ENOTEMPTY => "ENOTEMPTY",
            libc::ENOBUFS => "ENOBUFS",
            libc::EOPNOTSUPP => "EOPNOTSUPP",
            libc::E2BIG => "E2BIG",
            libc::EOVERFLOW => "EOVERFLOW",
            _ => return None,
        })
    }
}

impl fmt::Display for Errno {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = io::Error::from_raw_os_error(self.0).to_string();
        let meaning = text.split(" (os error").next().unwrap_or(&text);
        match self.name() {
            Some(name) => write!(f, "{name} ({meaning})"),
            None => write!(f, "errno {} ({meaning})", self.0),
        }
    }
}

/// A system call that failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
#[error("{call}: {errno}")]
pub struct CallError {
    /// The call's name.
    pub call: &'static str,
    /// Why it failed.
    pub errno: Errno,
}

impl From<CallError> for io::Error {
    fn from(error: CallError) -> Self {
        Self::from_raw_os_error(error.errno.raw())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_is_shown_with_its_call_its_name_and_its_meaning() {
        let error = CallError { call: "sched_setattr", errno: Errno::EPERM };
        assert_eq!(error.to_string(), "sched_setattr: EPERM (Operation not permitted)");
    }

    #[test]
    fn an_error_without_a_name_is_shown_with_its_number() {
        assert_eq!(Errno::from_raw(libc::ELOOP).name(), None);
        assert!(Errno::from_raw(libc::ELOOP).to_string().starts_with("errno 40 ("));
    }
}
