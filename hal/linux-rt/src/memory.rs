//! Memory that is present before it is needed.
//!
//! A page fault costs a control cycle anything from a microsecond to a disk access. So before the first
//! cycle all pages are locked, the heap and the stacks are touched, and the allocator is told not to give
//! memory back to the kernel, from which it would have to be faulted in again.
//!
//! One exception: a block of [`OWN_MAPPING_BYTES`] or more has a mapping of its own, and goes back to the kernel when
//! it is freed. Such blocks are tables that live long; kept in the heap they leave holes that stay locked for ever.
//! Whoever asks for one waits until the kernel has made it present: nobody faults on it later.
//!
//! Trap: after [`lock`], each new mapping counts against the memory-lock limit unless the process holds
//! `CAP_IPC_LOCK`. A process that drops the capability with a limit of 8 MiB, the default in many
//! containers, can no longer start a thread. See [`lock_capability_needed`].

use std::fmt;
use std::hint::black_box;

use crate::errno::CallError;
use crate::procfs;
use crate::sys;

/// From this size on, in bytes, a block has a mapping of its own. No message, report or state is so large.
pub const OWN_MAPPING_BYTES: usize = 512 << 10;

/// What to prepare.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MemoryPlan {
    /// Heap to touch, in bytes: what the steady state takes and gives back. What is taken beyond it is made present
    /// and locked by the kernel, in the call of whoever takes it.
    pub heap_bytes: usize,
    /// Stack of the calling thread to touch, in bytes. Threads of [`crate::thread`] touch their own.
    pub stack_bytes: usize,
    /// Most allocator arenas, at least 1; `None` leaves 8 per core, each reserving 64 MiB of address
    /// space that counts as locked.
    pub arenas_max: Option<u16>,
}

impl Default for MemoryPlan {
    fn default() -> Self {
        Self { heap_bytes: 1 << 20, stack_bytes: 256 << 10, arenas_max: Some(2) }
    }
}

/// The memory-lock limit of the process; `None` is unlimited.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LockLimit {
    /// The limit in force, in bytes.
    pub soft_bytes: Option<u64>,
    /// How far the process may raise it by itself, in bytes.
    pub hard_bytes: Option<u64>,
}

/// What the kernel says after [`lock`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MemoryReport {
    /// Locked memory, `VmLck`, in bytes.
    pub locked_bytes: u64,
    /// Resident memory, `VmRSS`, in bytes.
    pub resident_bytes: u64,
    /// The limit, which counts only without `CAP_IPC_LOCK`.
    pub limit: LockLimit,
    /// Whether the allocator took its options; false with a C library that has none.
    pub allocator_keeps_memory: bool,
}

/// What the process will hold besides, once its threads run, in bytes: their stacks above all, which are locked
/// as a whole. An agent with one turbine was found to take 11 MiB.
const LATER_BYTES: u64 = 16 << 20;

/// Why memory is not locked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MemoryError {
    /// A call failed; with the limit, and what the process would lock, in bytes.
    Call {
        /// The call and its error.
        error: CallError,
        /// The limit in force.
        limit: Option<LockLimit>,
        /// The process's address space, which is what is locked.
        size_bytes: Option<u64>,
    },
    /// The control groups allow less memory than would be locked. Nothing has been locked.
    Group {
        /// What they allow, in bytes.
        limit_bytes: u64,
        /// What is needed, in bytes.
        needed_bytes: u64,
    },
    /// The calls succeeded, yet the kernel reports no locked memory.
    NotLocked,
    /// `/proc/self/status` cannot be read or lacks a field, so nothing is proved.
    Unproved {
        /// The missing field or the error.
        what: String,
    },
}

impl fmt::Display for MemoryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Call { error, limit, size_bytes } => {
                write!(f, "{error}")?;
                if let Some(limit) = limit {
                    write!(f, "; the memory-lock limit is {}", Bytes(limit.soft_bytes))?;
                }
                if size_bytes.is_some() {
                    write!(f, " and the process has {}", Bytes(*size_bytes))?;
                }
                write!(f, ": grant CAP_IPC_LOCK, or raise the memlock limit above the process's size")
            }
            Self::Group { limit_bytes, needed_bytes } => write!(
                f,
                "the control group allows {} of memory and {} would be locked: at its limit the kernel ends the \
                 process; raise the limit (memory_max_mib of [cgroup], resources.limits.memory of a pod)",
                Bytes(Some(*limit_bytes)),
                Bytes(Some(*needed_bytes))
            ),
            Self::NotLocked => write!(f, "mlockall succeeded but VmLck is 0: memory is not locked"),
            Self::Unproved { what } => write!(f, "locked memory cannot be read back: {what}"),
        }
    }
}

impl std::error::Error for MemoryError {}

struct Bytes(Option<u64>);

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            None => write!(f, "unlimited"),
            Some(bytes) => write!(f, "{} KiB", bytes / 1024),
        }
    }
}

/// Whether what [`lock`] would lock fits into `limit_bytes`, which the control groups of the process allow;
/// `None` is unlimited. A process that locks more is ended by the kernel without a word.
///
/// # Errors
/// [`MemoryError::Group`], or if `/proc/self/status` cannot be read.
pub fn check_group_limit(plan: &MemoryPlan, limit_bytes: Option<u64>) -> Result<(), MemoryError> {
    let Some(limit_bytes) = limit_bytes else { return Ok(()) };
    let planned_bytes = (plan.heap_bytes + plan.stack_bytes) as u64;
    let needed_bytes = read_back()?.resident_bytes + planned_bytes + LATER_BYTES;
    if needed_bytes <= limit_bytes { Ok(()) } else { Err(MemoryError::Group { limit_bytes, needed_bytes }) }
}

/// Tells the allocator what it shall keep and what not. [`lock`] does the same; but large blocks that were taken before
/// are in the heap, and stay there as locked holes when they are freed. Call it before the first of them.
///
/// # Errors
/// None is known. False with a C library that has no such options.
pub fn prepare_allocator(plan: &MemoryPlan) -> Result<bool, MemoryError> {
    keep_memory_in_allocator(plan).map_err(with_limits)
}

/// Locks present and future memory, prefaults heap and stack, and reads the result back.
///
/// Call it before the threads start: they inherit the locking of their stacks.
///
/// # Errors
/// If the kernel refuses, or if what it did cannot be proved from `/proc/self/status`.
pub fn lock(plan: &MemoryPlan) -> Result<MemoryReport, MemoryError> {
    let allocator_keeps_memory = prepare_allocator(plan)?;
    sys::lock_all_memory().map_err(with_limits)?;
    prefault_heap(plan.heap_bytes);
    prefault_stack(plan.stack_bytes);
    let report = MemoryReport { allocator_keeps_memory, ..read_back()? };
    if report.locked_bytes == 0 { Err(MemoryError::NotLocked) } else { Ok(report) }
}

/// What the kernel says now, without changing anything; `allocator_keeps_memory` is false.
///
/// # Errors
/// If the limit or `/proc/self/status` cannot be read.
pub fn read_back() -> Result<MemoryReport, MemoryError> {
    let status = procfs::read("/proc/self/status")
        .map_err(|error| MemoryError::Unproved { what: error.to_string() })?;
    let field = |name: &str| {
        procfs::status_bytes(&status, name).ok_or_else(|| MemoryError::Unproved { what: name.to_owned() })
    };
    Ok(MemoryReport {
        locked_bytes: field("VmLck")?,
        resident_bytes: field("VmRSS")?,
        limit: lock_limit().map_err(with_limits)?,
        allocator_keeps_memory: false,
    })
}

/// The memory-lock limit of this process.
///
/// # Errors
/// None is known on Linux.
pub fn lock_limit() -> Result<LockLimit, CallError> {
    let (soft_bytes, hard_bytes) = sys::memory_lock_limit()?;
    Ok(LockLimit { soft_bytes, hard_bytes })
}

/// Whether a process with locked future memory must keep `CAP_IPC_LOCK`: true unless the limit is
/// unlimited.
#[must_use]
pub fn lock_capability_needed(limit: LockLimit) -> bool {
    limit.soft_bytes.is_some()
}

fn with_limits(error: CallError) -> MemoryError {
    let size_bytes =
        procfs::read("/proc/self/status").ok().and_then(|status| procfs::status_bytes(&status, "VmSize"));
    MemoryError::Call { error, limit: lock_limit().ok(), size_bytes }
}

#[cfg(target_env = "gnu")]
fn keep_memory_in_allocator(plan: &MemoryPlan) -> Result<bool, CallError> {
    // -1 never gives the top of the heap back; the threshold of a mapping of its own stays as it is once it
    // was set (mallopt(3)).
    sys::malloc_option("mallopt(M_TRIM_THRESHOLD)", libc::M_TRIM_THRESHOLD, -1)?;
    let threshold = i32::try_from(OWN_MAPPING_BYTES).unwrap_or(i32::MAX);
    sys::malloc_option("mallopt(M_MMAP_THRESHOLD)", libc::M_MMAP_THRESHOLD, threshold)?;
    if let Some(arenas) = plan.arenas_max {
        sys::malloc_option("mallopt(M_ARENA_MAX)", libc::M_ARENA_MAX, i32::from(arenas.max(1)))?;
    }
    Ok(true)
}

#[cfg(not(target_env = "gnu"))]
fn keep_memory_in_allocator(_plan: &MemoryPlan) -> Result<bool, CallError> {
    Ok(false)
}

/// Takes `bytes` from the allocator, touches each page and gives them back to the allocator, which keeps
/// them. Belongs to the calling thread's arena.
pub fn prefault_heap(bytes: usize) {
    // A larger one would get a mapping of its own, and the heap would not grow.
    const BLOCK_BYTES: usize = OWN_MAPPING_BYTES / 4;
    let blocks: Vec<Vec<u8>> = (0..bytes.div_ceil(BLOCK_BYTES)).map(|_| vec![1; BLOCK_BYTES]).collect();
    black_box(&blocks);
}

/// One step of the stack that is touched at a time, in bytes.
const FRAME_BYTES: usize = 16 << 10;

/// Touches the next `bytes` of the calling thread's stack. Must be less than what is left of the stack.
pub fn prefault_stack(bytes: usize) {
    touch_frames(bytes.div_ceil(FRAME_BYTES));
}

#[inline(never)]
fn touch_frames(frames: usize) {
    if frames == 0 {
        return;
    }
    // black_box keeps the frame alive through the recursion, so that the next one lies below it.
    let mut frame = [0_u8; FRAME_BYTES];
    black_box(&mut frame);
    touch_frames(frames - 1);
    black_box(&frame);
}
