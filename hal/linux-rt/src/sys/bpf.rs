//! The kernel's packet programs and their maps: the call `bpf(2)`, and shared pages.
//!
//! Numbers and layouts are those of `linux/bpf.h`; the kernel takes an attribute that is shorter than the
//! one it knows as if the rest were zero.

use std::mem::{MaybeUninit, size_of};
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::ptr::{self, NonNull};
use std::sync::atomic::AtomicU64;

use super::check;
use crate::errno::{CallError, Errno};

/// A kind of map.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum MapKind {
    /// `BPF_MAP_TYPE_HASH`.
    Hash = 1,
    /// `BPF_MAP_TYPE_ARRAY`, which a process can map into its memory.
    SharedArray = 2,
    /// `BPF_MAP_TYPE_LRU_HASH`: forgets the entry that was used least recently when it is full.
    ForgetfulHash = 9,
}

/// The shape of a map, as it is made and as the kernel tells it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct MapShape {
    pub(crate) kind: MapKind,
    pub(crate) key_bytes: u32,
    pub(crate) value_bytes: u32,
    pub(crate) entries_max: u32,
}

impl MapShape {
    const fn flags(self) -> u32 {
        /// `BPF_F_MMAPABLE`
        const MMAPABLE: u32 = 1 << 10;
        match self.kind {
            MapKind::SharedArray => MMAPABLE,
            MapKind::Hash | MapKind::ForgetfulHash => 0,
        }
    }
}

/// Names of programs and maps are this long, with a zero at the end.
const NAME_BYTES: usize = 16;

const MAP_CREATE: u32 = 0;
const MAP_UPDATE: u32 = 2;
const PROG_LOAD: u32 = 5;
const PROG_ATTACH: u32 = 8;
const OBJ_GET_INFO: u32 = 15;
const PROG_QUERY: u32 = 16;
/// `BPF_PROG_TYPE_CGROUP_SKB`
const CGROUP_SKB: u32 = 8;
/// `BPF_CGROUP_INET_EGRESS`
const EGRESS: u32 = 1;

/// Calls `bpf` with a command and its attribute.
///
/// # Safety
/// Every pointer in `attribute` must be valid for what the command does with it, for as long as the call
/// lasts.
unsafe fn bpf<A>(call: &'static str, command: u32, attribute: &mut A) -> Result<libc::c_int, CallError> {
    // SAFETY: `attribute` is a plain structure of integers, writable for its true size, which is passed; the
    // pointers in it are the caller's promise.
    let result = unsafe { libc::syscall(libc::SYS_bpf, command, ptr::from_mut(attribute), size_of::<A>()) };
    check(call, libc::c_int::try_from(result).unwrap_or(-1))
}

fn address<T>(of: *const T) -> u64 {
    of.expose_provenance() as u64
}

fn name(text: &str) -> [u8; NAME_BYTES] {
    let mut name = [0; NAME_BYTES];
    name.iter_mut().zip(text.bytes()).take(NAME_BYTES - 1).for_each(|(to, from)| *to = from);
    name
}

fn owned(fd: libc::c_int) -> OwnedFd {
    // SAFETY: only called with the result of a command that succeeded in making a descriptor, which nobody
    // else owns; the kernel makes it close-on-exec.
    unsafe { OwnedFd::from_raw_fd(fd) }
}

/// Makes a map.
pub(crate) fn map_create(called: &str, shape: MapShape) -> Result<OwnedFd, CallError> {
    #[repr(C)]
    struct Attribute {
        map_type: u32,
        key_size: u32,
        value_size: u32,
        max_entries: u32,
        map_flags: u32,
        inner_map_fd: u32,
        numa_node: u32,
        map_name: [u8; NAME_BYTES],
    }
    let mut attribute = Attribute {
        map_type: shape.kind as u32,
        key_size: shape.key_bytes,
        value_size: shape.value_bytes,
        max_entries: shape.entries_max,
        map_flags: shape.flags(),
        inner_map_fd: 0,
        numa_node: 0,
        map_name: name(called),
    };
    // SAFETY: the attribute holds no pointer.
    unsafe { bpf("bpf(BPF_MAP_CREATE)", MAP_CREATE, &mut attribute) }.map(owned)
}

/// Sets an entry of a map. Key and value must have the sizes that the map was made with.
pub(crate) fn map_update(map: BorrowedFd<'_>, key: &[u8], value: &[u8]) -> Result<(), CallError> {
    #[repr(C)]
    struct Attribute {
        map_fd: u32,
        padding: u32,
        key: u64,
        value: u64,
        flags: u64,
    }
    const CALL: &str = "bpf(BPF_MAP_UPDATE_ELEM)";
    let shape = map_shape(map)?;
    if shape.map(|s| (s.key_bytes as usize, s.value_bytes as usize)) != Some((key.len(), value.len())) {
        return Err(CallError { call: CALL, errno: Errno::EINVAL });
    }
    let mut attribute = Attribute {
        map_fd: map.as_raw_fd().cast_unsigned(),
        padding: 0,
        key: address(key.as_ptr()),
        value: address(value.as_ptr()),
        flags: 0,
    };
    // SAFETY: the kernel reads as many bytes of key and value as the map's shape says, which was compared
    // with their true lengths above.
    unsafe { bpf(CALL, MAP_UPDATE, &mut attribute) }.map(drop)
}

/// Why a program is not loaded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LoadError {
    pub(crate) error: CallError,
    /// What the kernel's verifier says; empty if it was not reached.
    pub(crate) verifier: String,
}

/// Loads a program for packets that leave the sockets of a control group.
pub(crate) fn program_load(called: &str, instructions: &[u64]) -> Result<OwnedFd, LoadError> {
    let mut log = [0_u8; 4096];
    program_load_with(called, instructions, &mut []).or_else(|_| {
        // Once more with an account: a verifier that is asked for one needs more time and room.
        program_load_with(called, instructions, &mut log).map_err(|error| {
            let text = log.split(|byte| *byte == 0).next().unwrap_or_default();
            LoadError { error, verifier: String::from_utf8_lossy(text).trim().to_owned() }
        })
    })
}

fn program_load_with(called: &str, instructions: &[u64], log: &mut [u8]) -> Result<OwnedFd, CallError> {
    #[repr(C)]
    struct Attribute {
        prog_type: u32,
        insn_cnt: u32,
        insns: u64,
        license: u64,
        log_level: u32,
        log_size: u32,
        log_buf: u64,
        kern_version: u32,
        prog_flags: u32,
        prog_name: [u8; NAME_BYTES],
        prog_ifindex: u32,
        expected_attach_type: u32,
    }
    let count = |len: usize| u32::try_from(len).unwrap_or(u32::MAX);
    let mut attribute = Attribute {
        prog_type: CGROUP_SKB,
        insn_cnt: count(instructions.len()),
        insns: address(instructions.as_ptr()),
        // None of the helpers used asks for the GPL.
        license: address(c"MIT".as_ptr()),
        log_level: u32::from(!log.is_empty()),
        log_size: count(log.len()),
        log_buf: if log.is_empty() { 0 } else { address(log.as_ptr()) },
        kern_version: 0,
        prog_flags: 0,
        prog_name: name(called),
        prog_ifindex: 0,
        expected_attach_type: EGRESS,
    };
    // SAFETY: the kernel reads `insn_cnt` instructions of 8 bytes and a text that ends in zero, and writes at
    // most `log_size` bytes to the log, which is borrowed mutably for the call.
    unsafe { bpf("bpf(BPF_PROG_LOAD)", PROG_LOAD, &mut attribute) }.map(owned)
}

/// Attaches a program to a control group, alone: groups below may have no other one.
pub(crate) fn program_attach(group: BorrowedFd<'_>, program: BorrowedFd<'_>) -> Result<(), CallError> {
    #[repr(C)]
    struct Attribute {
        target_fd: u32,
        attach_bpf_fd: u32,
        attach_type: u32,
        attach_flags: u32,
        replace_bpf_fd: u32,
    }
    let mut attribute = Attribute {
        target_fd: group.as_raw_fd().cast_unsigned(),
        attach_bpf_fd: program.as_raw_fd().cast_unsigned(),
        attach_type: EGRESS,
        attach_flags: 0,
        replace_bpf_fd: 0,
    };
    // SAFETY: the attribute holds no pointer; both descriptors are open while borrowed.
    unsafe { bpf("bpf(BPF_PROG_ATTACH)", PROG_ATTACH, &mut attribute) }.map(drop)
}

/// The numbers of the first programs, at most 16, that the kernel runs for packets that leave a group: its
/// own ones only, or with those of the groups above.
pub(crate) fn programs_attached(group: BorrowedFd<'_>, inherited: bool) -> Result<Vec<u32>, CallError> {
    #[repr(C)]
    struct Attribute {
        target_fd: u32,
        attach_type: u32,
        query_flags: u32,
        attach_flags: u32,
        prog_ids: u64,
        prog_cnt: u32,
        padding: u32,
        prog_attach_flags: u64,
        link_ids: u64,
        link_attach_flags: u64,
        revision: u64,
    }
    const PROGRAMS_MAX: u32 = 16;
    let mut ids = [0_u32; PROGRAMS_MAX as usize];
    let mut attribute = Attribute {
        target_fd: group.as_raw_fd().cast_unsigned(),
        attach_type: EGRESS,
        // `BPF_F_QUERY_EFFECTIVE`
        query_flags: u32::from(inherited),
        attach_flags: 0,
        prog_ids: address(ids.as_mut_ptr()),
        prog_cnt: PROGRAMS_MAX,
        padding: 0,
        prog_attach_flags: 0,
        link_ids: 0,
        link_attach_flags: 0,
        revision: 0,
    };
    // SAFETY: the kernel writes at most `prog_cnt` numbers to `ids`, which has room for them.
    let result = unsafe { bpf("bpf(BPF_PROG_QUERY)", PROG_QUERY, &mut attribute) };
    match result {
        // ENOSPC: there are more; the first ones are filled in.
        Err(error) if error.errno.raw() != libc::ENOSPC => return Err(error),
        _ => {}
    }
    let found = attribute.prog_cnt.min(PROGRAMS_MAX) as usize;
    Ok(ids.iter().copied().take(found).collect())
}

/// Runs a program once over a packet that begins with an Ethernet header; what it returns.
#[cfg(test)]
pub(crate) fn program_try(program: BorrowedFd<'_>, packet: &[u8]) -> Result<u32, CallError> {
    #[repr(C)]
    struct Attribute {
        prog_fd: u32,
        retval: u32,
        data_size_in: u32,
        data_size_out: u32,
        data_in: u64,
        data_out: u64,
        repeat: u32,
        duration: u32,
    }
    const PROG_TEST_RUN: u32 = 10;
    let mut attribute = Attribute {
        prog_fd: program.as_raw_fd().cast_unsigned(),
        retval: 0,
        data_size_in: u32::try_from(packet.len()).unwrap_or(u32::MAX),
        data_size_out: 0,
        data_in: address(packet.as_ptr()),
        data_out: 0,
        repeat: 1,
        duration: 0,
    };
    // SAFETY: the kernel reads `data_size_in` bytes of the packet, and writes no packet back.
    unsafe { bpf("bpf(BPF_PROG_TEST_RUN)", PROG_TEST_RUN, &mut attribute) }?;
    Ok(attribute.retval)
}

#[repr(C)]
struct InfoAttribute {
    bpf_fd: u32,
    info_len: u32,
    info: u64,
}

/// The number of a program.
pub(crate) fn program_id(program: BorrowedFd<'_>) -> Result<u32, CallError> {
    // The beginning of `struct bpf_prog_info`: type, id.
    let mut info = [0_u32; 2];
    read_info(program, &mut info)?;
    Ok(info[1])
}

/// The shape of a map; `None` for a map of another kind. `EINVAL` if the descriptor is no map.
pub(crate) fn map_shape(map: BorrowedFd<'_>) -> Result<Option<MapShape>, CallError> {
    // The beginning of `struct bpf_map_info`: type, id, key size, value size, entries, flags.
    let mut info = [0_u32; 6];
    read_info(map, &mut info)?;
    let [kind, _, key_bytes, value_bytes, entries_max, flags] = info;
    let kinds = [MapKind::Hash, MapKind::SharedArray, MapKind::ForgetfulHash];
    let shape = |kind| MapShape { kind, key_bytes, value_bytes, entries_max };
    Ok(kinds.into_iter().find(|known| *known as u32 == kind).map(shape).filter(|s| s.flags() == flags))
}

fn read_info<const WORDS: usize>(object: BorrowedFd<'_>, info: &mut [u32; WORDS]) -> Result<(), CallError> {
    let mut attribute = InfoAttribute {
        bpf_fd: object.as_raw_fd().cast_unsigned(),
        info_len: u32::try_from(size_of::<[u32; WORDS]>()).unwrap_or(0),
        info: address(info.as_mut_ptr()),
    };
    // SAFETY: the kernel writes at most `info_len` bytes to `info`, which is borrowed mutably for the call.
    unsafe { bpf("bpf(BPF_OBJ_GET_INFO_BY_FD)", OBJ_GET_INFO, &mut attribute) }.map(drop)
}

/// A page of memory without a file, shared by those who have its descriptor. Its size is sealed.
pub(crate) fn memory_descriptor(bytes: usize) -> Result<OwnedFd, CallError> {
    let flags = libc::MFD_CLOEXEC | libc::MFD_ALLOW_SEALING;
    // SAFETY: the name is a text that ends in zero; it is only read.
    let fd = check("memfd_create", unsafe { libc::memfd_create(c"takt-lease".as_ptr(), flags) })?;
    let memory = owned(fd);
    let length = libc::off_t::try_from(bytes).unwrap_or(libc::off_t::MAX);
    // SAFETY: takes integers only; the descriptor is open.
    check("ftruncate", unsafe { libc::ftruncate(memory.as_raw_fd(), length) })?;
    // SAFETY: takes integers only; the descriptor is open.
    check("fcntl(F_ADD_SEALS)", unsafe { libc::fcntl(memory.as_raw_fd(), libc::F_ADD_SEALS, SEALS) })?;
    Ok(memory)
}

/// The size of such a page can no longer change, and neither can this.
const SEALS: libc::c_int = libc::F_SEAL_SHRINK | libc::F_SEAL_GROW | libc::F_SEAL_SEAL;

/// Whether the descriptor is memory of at least `bytes` whose size is sealed.
fn is_sealed_memory(memory: BorrowedFd<'_>, bytes: usize) -> bool {
    // SAFETY: takes integers only; the descriptor is open while borrowed.
    let seals = unsafe { libc::fcntl(memory.as_raw_fd(), libc::F_GET_SEALS) };
    let mut status = MaybeUninit::<libc::stat>::zeroed();
    // SAFETY: `status` is writable and large enough for one stat.
    let result = unsafe { libc::fstat(memory.as_raw_fd(), status.as_mut_ptr()) };
    // SAFETY: plain integers, for which the zeroes written above are valid even if the call failed.
    let status = unsafe { status.assume_init() };
    let long_enough = usize::try_from(status.st_size).is_ok_and(|size| size >= bytes);
    seals != -1 && seals & SEALS == SEALS && result == 0 && long_enough
}

/// A page of counters that is shared with other processes or with the kernel's programs. Unmapped on drop.
#[derive(Debug)]
pub(crate) struct SharedPage {
    at: NonNull<AtomicU64>,
}

/// Counters of a page that are used; the page itself is as long as the kernel's.
pub(crate) const PAGE_WORDS: usize = 8;

impl SharedPage {
    /// Maps the page of a descriptor: a shared array of one entry of [`PAGE_WORDS`] words, or sealed memory.
    /// `EINVAL` for anything else, since a page whose owner could cut it off would kill its users.
    pub(crate) fn map(descriptor: BorrowedFd<'_>) -> Result<Self, CallError> {
        let bytes = PAGE_WORDS * size_of::<u64>();
        let fits = |shape: &MapShape| {
            shape.kind == MapKind::SharedArray && shape.value_bytes as usize >= bytes && shape.entries_max > 0
        };
        let is_map = map_shape(descriptor).is_ok_and(|shape| shape.as_ref().is_some_and(fits));
        if !is_map && !is_sealed_memory(descriptor, bytes) {
            return Err(CallError { call: "mmap", errno: Errno::EINVAL });
        }
        // SAFETY: asks for a new mapping at an address of the kernel's choice, so it replaces none.
        let at = unsafe {
            libc::mmap(
                ptr::null_mut(),
                bytes,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_SHARED | libc::MAP_POPULATE,
                descriptor.as_raw_fd(),
                0,
            )
        };
        match NonNull::new(at) {
            Some(at) if at.as_ptr() != libc::MAP_FAILED => Ok(Self { at: at.cast() }),
            _ => Err(CallError { call: "mmap", errno: Errno::last() }),
        }
    }

    /// The words of the page.
    pub(crate) fn words(&self) -> &[AtomicU64; PAGE_WORDS] {
        // SAFETY: the mapping is at least this long (checked in `map`), aligned to a page, initialised by the
        // kernel (any bits are a valid integer), and lives until `self` is dropped. Others write it at the
        // same time, which atomics allow; the backing cannot shrink, since a map has a fixed size and other
        // memory is sealed.
        unsafe { self.at.cast::<[AtomicU64; PAGE_WORDS]>().as_ref() }
    }
}

impl Drop for SharedPage {
    fn drop(&mut self) {
        // SAFETY: the mapping was made by `map` with this length and nobody else unmaps it; references into it
        // cannot outlive `self`.
        unsafe { libc::munmap(self.at.as_ptr().cast(), PAGE_WORDS * size_of::<u64>()) };
    }
}

// SAFETY: the page holds atomic integers only, and unmapping it does not depend on the thread.
unsafe impl Send for SharedPage {}
// SAFETY: as above; `&SharedPage` gives nothing but references to atomics.
unsafe impl Sync for SharedPage {}

/// Marks what a socket sends (`SO_MARK`).
pub(crate) fn mark_socket(socket: BorrowedFd<'_>, mark: u32) -> Result<(), CallError> {
    // SAFETY: the descriptor is open while borrowed; `mark` is readable for the size that is passed.
    let result = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_MARK,
            (&raw const mark).cast(),
            libc::socklen_t::try_from(size_of::<u32>()).unwrap_or(0),
        )
    };
    check("setsockopt(SO_MARK)", result).map(drop)
}

/// A copy of a descriptor that stays open in a program that this process executes.
pub(crate) fn inheritable_copy(descriptor: BorrowedFd<'_>) -> Result<OwnedFd, CallError> {
    // SAFETY: takes an integer; the descriptor is open while borrowed; the copy is new and nobody else's.
    check("dup", unsafe { libc::dup(descriptor.as_raw_fd()) }).map(owned)
}

/// Takes over a descriptor that was left open for this process under a number. `EBADF` if there is none.
pub(crate) fn adopt_descriptor(number: libc::c_int) -> Result<OwnedFd, CallError> {
    // SAFETY: takes integers only. The copy is new and owned; the original stays open and is nobody's.
    check("fcntl(F_DUPFD_CLOEXEC)", unsafe { libc::fcntl(number, libc::F_DUPFD_CLOEXEC, 3) }).map(owned)
}
