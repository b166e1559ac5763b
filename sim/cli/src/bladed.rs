//! A turbine controller of somebody else: a shared library with Bladed's interface, in a child process.
//!
//! # Model
//!
//! The parent writes the swap array, the child calls the library and writes it back (see
//! `hal_linux_rt::bladed` for why there is a child at all). One exchange a controller period. The child
//! is this very program under a hidden command. Its standard input is one end of a socket that goes both
//! ways, because libraries print banners to standard output; it ends when the parent drops the other.
//!
//! # Terms
//!
//! Records of the swap array are numbered as in Bladed's user's manual, from 1; names in the comments.

use std::fs;
use std::io::{Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use clap::Args;
use hal_diagnostics::Diagnostic;
use hal_linux_rt::bladed::{self, ANSWER_LEN, MESSAGE_LEN, REQUEST_LEN, SWAP_LEN};
use hal_units::{Duration, NewtonMeters, Radians, RadiansPerSecond};
use sim_plants::{Actuation, Measurements};

use crate::failure::Failure;

/// Runs a controller library for its parent; not for people
#[derive(Debug, Args)]
pub(crate) struct HostArguments {
    library: PathBuf,
    infile: String,
    outname: String,
}

/// The child's whole life.
pub(crate) fn host(arguments: &HostArguments) -> Result<(), Failure> {
    let HostArguments { library, infile, outname } = arguments;
    let parent = std::io::stdin().as_fd().try_clone_to_owned().map(UnixStream::from);
    parent
        .map_err(bladed::LibraryError::from)
        .and_then(|parent| bladed::serve(library, infile, outname, &parent, &parent))
        .map_err(|error| unusable(library, &error.to_string()))
}

fn unusable(library: &Path, what: &str) -> Failure {
    Failure::Input(Diagnostic {
        file: library.display().to_string(),
        position: None,
        what: what.trim().to_owned(),
        remedy: "give a shared library that exports DISCON, and its own input file with --config".to_owned(),
    })
}

/// One library at work.
pub(crate) struct Peer {
    library: PathBuf,
    child: Child,
    socket: UnixStream,
    /// Where the library may leave its logs; goes with it.
    folder: PathBuf,
    swap: Vec<f32>,
    calls: u64,
    period: Duration,
}

impl Peer {
    /// Starts the child. `infile` is the library's own input file, may be empty.
    pub(crate) fn start(library: &Path, infile: Option<&Path>, period: Duration) -> Result<Self, Failure> {
        let absolute = |path: &Path| {
            fs::canonicalize(path).map_err(|error| unusable(path, &format!("cannot be found: {error}")))
        };
        let library = absolute(library)?;
        let infile = infile.map(absolute).transpose()?.unwrap_or_default();
        let folder = log_folder().map_err(|error| unusable(&library, &error.to_string()))?;
        let spawned = UnixStream::pair().and_then(|(socket, hosted)| {
            let child = Command::new(std::env::current_exe()?)
                .arg("discon-host")
                .args([&library, &infile, &folder.join("run")])
                .current_dir(&folder)
                .stdin(Stdio::from(OwnedFd::from(hosted)))
                .stdout(Stdio::null())
                .spawn()?;
            Ok((socket, child))
        });
        let (socket, child) =
            spawned.map_err(|error| unusable(&library, &format!("cannot be hosted: {error}")))?;
        let swap = vec![0.0; SWAP_LEN];
        Ok(Self { library, child, socket, folder, swap, calls: 0, period })
    }

    /// One controller period.
    pub(crate) fn step(&mut self, shown: &Measurements, now: Duration) -> Result<Actuation, Failure> {
        let status = if self.calls == 0 { 0.0 } else { 1.0 };
        self.calls += 1;
        self.fill(shown, now, status);
        self.exchange()?;
        let number = |record: usize| f64::from(self.swap.get(record - 1).copied().unwrap_or(f32::NAN));
        Ok(Actuation {
            // 47 demanded torque; 42 to 44 demanded pitch of each blade; 48 demanded yaw rate.
            generator_torque: NewtonMeters(number(47)),
            pitch: [42, 43, 44].map(|record| Radians(number(record))),
            yaw_rate: RadiansPerSecond(number(48)),
            brake: false,
            generator_connected: true,
        })
    }

    fn fill(&mut self, shown: &Measurements, now: Duration, status: f64) {
        let records = sim_world::bladed::records(shown, now, self.period);
        for (record, value) in records.into_iter().chain([(1, status)]) {
            if let Some(number) = self.swap.get_mut(record - 1) {
                *number = value as f32;
            }
        }
    }

    fn exchange(&mut self) -> Result<(), Failure> {
        let mut request = Vec::with_capacity(REQUEST_LEN);
        request.extend(self.swap.iter().flat_map(|number| number.to_le_bytes()));
        let mut answer = vec![0; ANSWER_LEN];
        let exchanged = self.socket.write_all(&request).and_then(|()| self.socket.read_exact(&mut answer));
        if exchanged.is_err() {
            return Err(unusable(&self.library, "ended its process (its own words stand above)"));
        }
        let (status, rest) = answer.split_first_chunk::<4>().unwrap_or((&[0; 4], &[]));
        let (message, numbers) = rest.split_at_checked(MESSAGE_LEN).unwrap_or((rest, &[]));
        if i32::from_le_bytes(*status) < 0 {
            let message: Vec<u8> = message.iter().copied().take_while(|&byte| byte != 0).collect();
            return Err(unusable(&self.library, &String::from_utf8_lossy(&message)));
        }
        for (number, bytes) in self.swap.iter_mut().zip(numbers.as_chunks::<4>().0) {
            *number = f32::from_le_bytes(*bytes);
        }
        Ok(())
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// A new folder for what the library writes.
fn log_folder() -> std::io::Result<PathBuf> {
    let parent = std::env::temp_dir();
    let mut last = None;
    for number in 0..100 {
        let folder = parent.join(format!("takt-discon-{}-{number}", std::process::id()));
        match fs::create_dir(&folder) {
            Ok(()) => return Ok(folder),
            Err(error) => last = Some(error),
        }
    }
    Err(last.unwrap_or_else(|| std::io::ErrorKind::AlreadyExists.into()))
}
