//! The kernel's check, on every packet to a device, that the lease of this node still holds.
//!
//! # Problem
//!
//! A node that has lost its office must not write, not even if it does not know: its process may be stopped,
//! starved, or dead with writes left in the kernel's queues, from where TCP sends them again and again. No
//! check in the process helps there.
//!
//! # Model
//!
//! A packet program is attached to a control group, and the process enters the group before it makes a
//! socket: a socket belongs to the group of its creation. The program compares the boot clock with a deadline
//! in a page that it shares with the process ([`LeaseCell`]), so renewing the lease is one store. When the
//! lease is over, connections stay open and single read requests still pass, but no write does; a connection
//! that lost a write here is dead for good (see the module `program`). Packets to anything but a device pass.
//!
//! Each run gets a **group of its own**. The group of an earlier run keeps its program, whose deadline
//! nobody moves any more: what is left of that run can never write again, whatever the new one may do. So
//! no program is ever exchanged, and there is no moment in which a group is open by mistake. Groups of
//! earlier runs are removed once nobody is in them; the kernel keeps the program for their sockets all the
//! same.
//!
//! # Terms
//!
//! - shut: the deadline is over, or 0, as in a new gate.
//! - marked: the arbiter's client writes without a lease; its sockets carry [`EXEMPT_MARK`].
//! - condemned: a connection of which the gate dropped a packet.
//!
//! # What remains
//!
//! A packet that has passed may still wait in the queues of the device driver; the guard time of the pair's
//! timing covers that. The gate judges Modbus TCP; a serial line has no packets, and there only the process's
//! own check and the device's watchdog help. It binds a process that makes its sockets itself; it is no
//! defence against one that is hostile and has the privileges to leave the group.
//!
//! # Permissions
//!
//! Setting up takes `CAP_BPF` and `CAP_NET_ADMIN` ([`NEEDED_TO_SET_UP`]) and a cgroup v2 hierarchy that can be
//! written. Renewing takes nothing. Marking takes `CAP_NET_ADMIN` ([`NEEDED_TO_MARK`]), for each new socket of
//! the arbiter's client.

mod assembler;
mod cell;
mod profile;
mod program;
#[cfg(test)]
mod verdicts;

use std::fs::{self, File};
use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::thread;

use hal_units::Duration;

pub use cell::LeaseCell;
pub use profile::{GateError, Profile, Unfenced};

use crate::capability::Capability;
use crate::cgroup::{Layout, Version};
use crate::clock;
use crate::errno::{CallError, Errno};
use crate::sys::{self, MapKind, MapShape};

/// What [`mark_exempt`] marks a socket with: "takt" in ASCII.
pub const EXEMPT_MARK: u32 = 0x7461_6b74;
/// The most devices of a gate.
pub const DEVICES_MAX: usize = 1024;
/// What a process needs to set a gate up; it can be given up afterwards.
pub const NEEDED_TO_SET_UP: [Capability; 2] = [Capability::CAP_BPF, Capability::CAP_NET_ADMIN];
/// What a thread needs to make a socket of the arbiter's client. From Linux 5.17 on `CAP_NET_RAW` is enough.
pub const NEEDED_TO_MARK: Capability = Capability::CAP_NET_ADMIN;

/// Every gate's group has a name that begins so.
const GROUP_PREFIX: &str = "takt-gate-";
/// Connections that lost a packet are remembered up to this number.
const CONDEMNED_MAX: u32 = 4096;
/// Groups of earlier runs that are looked at.
const EARLIER_MAX: usize = 1024;
/// A thread that has ended, and been joined, is still in its group for a moment: the kernel takes it out when
/// it lets go of the task. Far longer than that was ever seen to last.
const LEAVES_WITHIN: Duration = Duration::from_millis(200);
/// How often a group is tried again meanwhile.
const LEAVE_POLL: Duration = Duration::from_millis(1);

/// What a gate guards.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GateSpec<'a> {
    /// The site: letters, digits, `-` and `_`.
    pub site: &'a str,
    /// The node within it: likewise.
    pub node: &'a str,
    /// The devices, at most [`DEVICES_MAX`].
    pub devices: &'a [SocketAddr],
}

/// What was found after setting up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GateReport {
    /// The group.
    pub group: PathBuf,
    /// The program's number in the kernel, read back from the group.
    pub program_id: u32,
    /// Programs of groups above that judge the same packets.
    pub programs_above: usize,
    /// Endpoints that are guarded.
    pub devices: usize,
    /// Groups of earlier runs of this node that are not empty: a process lives on in each, and its own gate
    /// binds it.
    pub earlier: Vec<PathBuf>,
}

/// A gate that is set up. It stays until its group is [removed](LeaseGate::remove): a crash must not open it.
#[derive(Debug)]
pub struct LeaseGate {
    cell: LeaseCell,
    report: GateReport,
    /// Kept open so that devices can be added.
    devices: OwnedFd,
    #[cfg(test)]
    program: OwnedFd,
}

impl LeaseGate {
    /// Sets a gate up, shut, in a group of its own, and reads it back. Nobody is in it yet: see
    /// [`LeaseGate::enter`] and [`LeaseGate::admit`].
    ///
    /// # Errors
    /// If a name is wrong or the kernel refuses; then what was made is removed.
    pub fn set_up(spec: &GateSpec<'_>) -> Result<Self, GateError> {
        check_names(spec)?;
        let place = place_for_groups(&Layout::detect().unwrap_or_default())?;
        let stem = format!("{GROUP_PREFIX}{}-{}.", spec.site, spec.node);
        // Unique: two runs cannot begin in the same nanosecond of one machine.
        let group = place.join(format!("{stem}{:x}", clock::boot_now().as_nanos()));
        fs::create_dir(&group).map_err(refused("create", &group))?;
        let gate = Self::set_up_in(&group, spec);
        match gate {
            Ok(mut gate) => {
                gate.report.earlier = remove_earlier(&place, &stem, &group);
                Ok(gate)
            }
            Err(error) => {
                let _ = fs::remove_dir(&group);
                Err(error)
            }
        }
    }

    fn set_up_in(group: &Path, spec: &GateSpec<'_>) -> Result<Self, GateError> {
        let shape = |kind, key_bytes, value_bytes, entries_max| MapShape {
            kind,
            key_bytes: size(key_bytes),
            value_bytes: size(value_bytes),
            entries_max,
        };
        let page_bytes = sys::PAGE_WORDS * size_of::<u64>();
        let lease = sys::map_create("takt_lease", shape(MapKind::SharedArray, 4, page_bytes, 1))?;
        // An endpoint has two keys.
        let entries = size(2 * DEVICES_MAX);
        let keys = shape(MapKind::Hash, program::KEY_BYTES, program::VALUE_BYTES, entries);
        let devices = sys::map_create("takt_devices", keys)?;
        let sockets = shape(MapKind::ForgetfulHash, size_of::<u64>(), program::VALUE_BYTES, CONDEMNED_MAX);
        let condemned = sys::map_create("takt_condemned", sockets)?;
        for device in spec.devices {
            add_device(&devices, *device)?;
        }
        let maps = program::Maps {
            lease: lease.as_raw_fd(),
            devices: devices.as_raw_fd(),
            condemned: condemned.as_raw_fd(),
        };
        let instructions = program::program(maps, EXEMPT_MARK).map_err(|mistake| GateError::NotTaken {
            asked: "a program that assembles".to_owned(),
            found: format!("{mistake:?}"),
        })?;
        let program = sys::program_load("takt_lease_gate", &instructions)
            .map_err(|e| GateError::Program { error: e.error, verifier: e.verifier })?;
        let directory = File::open(group).map_err(refused("open", group))?;
        sys::program_attach(directory.as_fd(), program.as_fd())?;

        let program_id = sys::program_id(program.as_fd())?;
        let own = sys::programs_attached(directory.as_fd(), false)?;
        let effective = sys::programs_attached(directory.as_fd(), true)?;
        if own != [program_id] || !effective.contains(&program_id) {
            let found = format!("{own:?}, of all in force {effective:?}");
            return Err(GateError::NotTaken { asked: format!("program {program_id} alone"), found });
        }
        let report = GateReport {
            group: group.to_path_buf(),
            program_id,
            programs_above: effective.len().saturating_sub(1),
            devices: spec.devices.len(),
            earlier: Vec::new(),
        };
        Ok(Self {
            cell: LeaseCell::from_fd(lease)?,
            report,
            devices,
            #[cfg(test)]
            program,
        })
    }

    /// The lease.
    #[must_use]
    pub fn cell(&self) -> &LeaseCell {
        &self.cell
    }

    /// What was found after setting up.
    #[must_use]
    pub fn report(&self) -> &GateReport {
        &self.report
    }

    /// Guards one more device. Connections to it that exist are guarded too.
    ///
    /// # Errors
    /// If the map is full or the kernel refuses.
    pub fn guard_device(&self, device: SocketAddr) -> Result<(), CallError> {
        add_device(&self.devices, device)
    }

    /// Moves the calling process with all its threads into the group. To be done before the first socket
    /// to a device is made: one that exists already stays outside.
    ///
    /// # Errors
    /// If the kernel refuses, or shows another group afterwards.
    pub fn enter(&self) -> Result<(), GateError> {
        enter_group(&self.report.group)
    }

    /// Moves the calling thread alone into the group, for a trial. The group becomes a threaded one, into
    /// which whole processes from elsewhere can no longer be moved.
    pub(crate) fn enter_with_this_thread(&self) -> Result<(), GateError> {
        let group = &self.report.group;
        let write = |name: &str, text: &str| {
            let file = group.join(name);
            fs::write(&file, text).map_err(refused("write", &file))
        };
        write("cgroup.type", "threaded")?;
        write("cgroup.threads", &sys::current_thread_id().to_string())
    }

    /// Moves another process into the group, for a supervisor. As [`LeaseGate::enter`].
    ///
    /// # Errors
    /// If the kernel refuses: `ESRCH` if there is no such process.
    pub fn admit(&self, process_id: u32) -> Result<(), GateError> {
        let file = self.report.group.join("cgroup.procs");
        fs::write(&file, process_id.to_string()).map_err(refused("write", &file))
    }

    /// Removes the group. Sockets that were made in it stay guarded, by a gate that is shut.
    ///
    /// # Errors
    /// `EBUSY` while a process is in it, after up to 200 ms; the gate is shut all the same.
    pub fn remove(self) -> Result<(), GateError> {
        self.cell.shut();
        let begin = clock::boot_now();
        loop {
            match fs::remove_dir(&self.report.group) {
                Err(error)
                    if error.kind() == ErrorKind::ResourceBusy
                        && clock::boot_now().since(begin) < LEAVES_WITHIN =>
                {
                    thread::sleep(LEAVE_POLL);
                }
                removed => return removed.map_err(refused("remove", &self.report.group)),
            }
        }
    }
}

/// Moves the calling process into a gate's group that its parent has set up, and reads it back. Before the
/// first socket.
///
/// # Errors
/// If the path is no gate's group, the kernel refuses, or shows another group afterwards.
pub fn enter_group(group: &Path) -> Result<(), GateError> {
    if !is_gate(group) {
        let found = group.display().to_string();
        return Err(GateError::NotTaken { asked: format!("a group named {GROUP_PREFIX}..."), found });
    }
    let file = group.join("cgroup.procs");
    fs::write(&file, std::process::id().to_string()).map_err(refused("write", &file))?;
    let found = own_group(&Layout::detect().unwrap_or_default())?;
    if found == group {
        return Ok(());
    }
    Err(GateError::NotTaken { asked: group.display().to_string(), found: found.display().to_string() })
}

/// The gate's group that the calling process is in, and the programs in force there; `None` outside of any.
///
/// # Errors
/// If there is no hierarchy, or the kernel refuses to tell, for which `CAP_NET_ADMIN` is needed.
pub fn current_group() -> Result<Option<(PathBuf, Vec<u32>)>, GateError> {
    let group = own_group(&Layout::detect().unwrap_or_default())?;
    if !is_gate(&group) {
        return Ok(None);
    }
    let directory = File::open(&group).map_err(refused("open", &group))?;
    let programs = sys::programs_attached(directory.as_fd(), true)?;
    Ok(Some((group, programs)))
}

/// Lets a socket write to devices without a lease: the arbiter's client, whose writes decide on the lease.
///
/// # Errors
/// `EPERM` without [`NEEDED_TO_MARK`].
pub fn mark_exempt(socket: &impl AsFd) -> Result<(), CallError> {
    sys::mark_socket(socket.as_fd(), EXEMPT_MARK)
}

fn size(of: usize) -> u32 {
    u32::try_from(of).unwrap_or(u32::MAX)
}

fn refused(action: &'static str, path: &Path) -> impl Fn(io::Error) -> GateError {
    move |error| GateError::Group { action, path: path.to_path_buf(), errno: Errno::of(&error) }
}

fn check_names(spec: &GateSpec<'_>) -> Result<(), GateError> {
    let fits = |letter: char| letter.is_ascii_alphanumeric() || letter == '-' || letter == '_';
    for name in [spec.site, spec.node] {
        if name.is_empty() || name.len() > 64 || !name.chars().all(fits) {
            return Err(GateError::Name { name: name.to_owned() });
        }
    }
    if spec.devices.len() > DEVICES_MAX {
        return Err(GateError::TooMany { devices: spec.devices.len() });
    }
    Ok(())
}

fn add_device(devices: &OwnedFd, device: SocketAddr) -> Result<(), CallError> {
    let value = [0; program::VALUE_BYTES];
    program::keys(device).iter().try_for_each(|key| sys::map_update(devices.as_fd(), key, &value))
}

fn is_gate(group: &Path) -> bool {
    group.file_name().and_then(|name| name.to_str()).is_some_and(|name| name.starts_with(GROUP_PREFIX))
}

fn own_group(layout: &Layout) -> Result<PathBuf, GateError> {
    let v2 = layout.hierarchies.iter().find(|hierarchy| hierarchy.version == Version::V2);
    v2.map(|v2| v2.directory.clone()).ok_or(GateError::NoHierarchy)
}

/// Below the group of this process; beside the gate that it is in, if it is in one, since a gate allows no
/// other one below.
fn place_for_groups(layout: &Layout) -> Result<PathBuf, GateError> {
    let own = own_group(layout)?;
    let place = own.ancestors().find(|level| !is_gate(level)).unwrap_or(&own);
    Ok(place.to_path_buf())
}

/// Removes the groups of earlier runs that are empty; returns the others.
fn remove_earlier(place: &Path, stem: &str, own: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(place) else { return Vec::new() };
    let earlier = entries.flatten().take(EARLIER_MAX).filter(|entry| {
        let name = entry.file_name();
        name.to_str().is_some_and(|name| name.starts_with(stem)) && entry.path() != own
    });
    earlier.map(|entry| entry.path()).filter(|group| fs::remove_dir(group).is_err()).collect()
}
