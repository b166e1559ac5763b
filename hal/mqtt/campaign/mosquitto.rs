//! A real Mosquitto of its own: own configuration, own folder, a free port on loopback.

use std::io::Write;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use std::{env, fs, io, thread};

use rustix::process::{Pid, Signal, kill_process};

/// How a broker ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// SIGTERM: it saves what it must remember.
    Asked,
    /// SIGKILL.
    Killed,
}

/// A Mosquitto that can be stopped and started again.
#[derive(Debug)]
pub struct Mosquitto {
    config: PathBuf,
    address: SocketAddr,
    process: Option<Child>,
}

impl Mosquitto {
    /// Starts one with persistence in `folder` and these further lines of configuration.
    pub fn start(folder: &Path, more_config: &str) -> io::Result<Self> {
        fs::create_dir_all(folder)?;
        let address = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?;
        let config = folder.join("mosquitto.conf");
        let mut file = fs::File::create(&config)?;
        let store = folder.join("store");
        fs::create_dir_all(&store)?;
        // As root it would drop to a user who may not write here. No queue may be cut for length.
        writeln!(file, "listener {} {}\nallow_anonymous true\nuser root", address.port(), address.ip())?;
        writeln!(file, "persistence true\npersistence_location {}/\nmax_queued_messages 0", store.display())?;
        writeln!(
            file,
            "log_dest file {}\nlog_type warning\nlog_type error\n{more_config}",
            folder.join("log").display()
        )?;
        let mut mosquitto = Self { config, address, process: None };
        mosquitto.resume()?;
        Ok(mosquitto)
    }

    /// Starts it again, on the same port and folder.
    pub fn resume(&mut self) -> io::Result<()> {
        let mut process = Command::new(program())
            .arg("-c")
            .arg(&self.config)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        let deadline = Instant::now() + Duration::from_secs(10);
        while TcpStream::connect(self.address).is_err() {
            if Instant::now() > deadline || process.try_wait()?.is_some() {
                process.kill()?;
                process.wait()?;
                return Err(io::Error::other(format!("Mosquitto does not listen on {}", self.address)));
            }
            thread::sleep(Duration::from_millis(5));
        }
        self.process = Some(process);
        Ok(())
    }

    /// Ends it and waits until it is gone.
    pub fn end(&mut self, how: End) -> io::Result<()> {
        let Some(mut process) = self.process.take() else { return Ok(()) };
        let signal = match how {
            End::Asked => Signal::TERM,
            End::Killed => Signal::KILL,
        };
        let pid = i32::try_from(process.id()).ok().and_then(Pid::from_raw);
        if let Some(pid) = pid {
            kill_process(pid, signal)?;
        }
        process.wait()?;
        Ok(())
    }

    /// Its process, while it runs.
    pub fn process_id(&self) -> Option<u32> {
        self.process.as_ref().map(Child::id)
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    pub fn url(&self) -> String {
        format!("mqtt://{}", self.address)
    }
}

impl Drop for Mosquitto {
    fn drop(&mut self) {
        self.end(End::Killed).ok();
    }
}

fn program() -> PathBuf {
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path)
        .map(|folder| folder.join("mosquitto"))
        .find(|program| program.is_file())
        .unwrap_or_else(|| PathBuf::from("/usr/sbin/mosquitto"))
}
