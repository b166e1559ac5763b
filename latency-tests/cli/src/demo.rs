//! A demo of one's own: the programs that are built beside this one.

use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};

/// The demo says where its broker is, in such a line.
const BROKER_LINE: &str = "broker: mqtt://";
/// A day: it is ended long before.
const SECONDS: &str = "86400";

/// A running demo; dropped, it ends.
pub(crate) struct Demo {
    child: Child,
    /// Where its broker listens.
    pub(crate) broker: SocketAddr,
    folder: tempfile::TempDir,
}

/// A program that is built beside this one.
pub(crate) fn beside(name: &str) -> Result<PathBuf, String> {
    let own = std::env::current_exe().map_err(|error| error.to_string())?;
    let path = own.with_file_name(name);
    if path.exists() { Ok(path) } else { Err(format!("{}: build the whole workspace", path.display())) }
}

impl Demo {
    /// Starts it with such options beside the usual ones, and waits until its agents run.
    pub(crate) fn start(options: &[&str]) -> Result<Self, String> {
        let folder = tempfile::tempdir().map_err(|error| error.to_string())?;
        let takt = beside("takt")?;
        let mut child = Command::new(&takt)
            .arg("demo")
            .args(options)
            .args(["--seconds", SECONDS, "--keep"])
            .arg(folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|error| format!("{}: {error}", takt.display()))?;
        match broker_of(&mut child) {
            Ok(broker) => Ok(Self { child, broker, folder }),
            Err(why) => {
                end(&mut child);
                Err(why)
            }
        }
    }

    /// Where its files are; those of an agent are in `agent`, or in `a` and `b`.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }
}

impl Drop for Demo {
    fn drop(&mut self) {
        end(&mut self.child);
    }
}

/// The demo ends what it has started.
fn end(child: &mut Child) {
    if let Some(pid) = i32::try_from(child.id()).ok().and_then(Pid::from_raw) {
        let _ = kill_process(pid, Signal::TERM);
    }
    let _ = child.wait();
}

/// Reads what the demo says until it has told the broker; the rest is read and forgotten, so that it is never held up.
fn broker_of(child: &mut Child) -> Result<SocketAddr, String> {
    let stdout = child.stdout.take().ok_or("the demo has no output")?;
    let mut lines = BufReader::new(stdout);
    let mut line = String::new();
    loop {
        line.clear();
        if lines.read_line(&mut line).map_err(|error| error.to_string())? == 0 {
            return Err("the demo ended before it had begun".to_owned());
        }
        if let Some(address) = line.trim().strip_prefix(BROKER_LINE) {
            let address = address.parse().map_err(|error| format!("`{address}`: {error}"))?;
            std::thread::spawn(move || std::io::copy(&mut lines.by_ref(), &mut std::io::sink()));
            return Ok(address);
        }
    }
}
