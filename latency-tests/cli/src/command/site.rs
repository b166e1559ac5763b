//! The turbine that obeys, in a demo of its own.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::thread::sleep;

use hal_units::{Duration, Instant};

use crate::demo::Demo;

/// The demo's last turbine: its own operator lets it be.
pub(super) const UNIT: &str = "WT04";
const DEVICE: &str = "4";
/// Too weak a wind to start in.
const WIND: &str = "const:2";
const LOG_POLL: Duration = Duration::from_millis(2);

/// Blades beyond this count as feathered, rad: the controller goes on from a standstill only then.
const FEATHERED_RAD: f64 = 1.56;

/// What a write told the unit's device.
struct Write {
    at: Instant,
    pitch_rad: f64,
    brake: bool,
}

/// The demo, and what the unit's device saw.
pub(super) struct Site {
    pub(super) demo: Demo,
    log: BufReader<File>,
    /// Zero of the log's times.
    zero: Instant,
    /// A line that is not complete.
    part: String,
}

impl Site {
    pub(super) fn start() -> Result<Self, String> {
        let demo = Demo::start(&["--alone", "--turbines", "4", "--agvs", "0", "--wind", WIND])?;
        let (log, zero) = first_line(&demo.folder().join("writes.log"))?;
        Ok(Self { demo, log, zero, part: String::new() })
    }

    /// Passes over all that the devices have seen.
    pub(super) fn skip(&mut self) -> Result<(), String> {
        while self.write()?.is_some() {}
        Ok(())
    }

    /// Waits for the first write, at or after `since`, with such a brake; how long after it that was.
    pub(super) fn brake_becomes(
        &mut self,
        closed: bool,
        since: Instant,
        within: Duration,
    ) -> Result<Duration, String> {
        self.first(since, within, |write| write.brake == closed)
    }

    /// Waits until the unit stands, feathered and braked.
    pub(super) fn stands(&mut self, since: Instant, within: Duration) -> Result<Duration, String> {
        self.first(since, within, |write| write.brake && write.pitch_rad >= FEATHERED_RAD)
    }

    fn first(
        &mut self,
        since: Instant,
        within: Duration,
        wanted: impl Fn(&Write) -> bool,
    ) -> Result<Duration, String> {
        while hal_linux_rt::clock::now().since(since) < within {
            match self.write()? {
                Some(write) if wanted(&write) && write.at >= since => return Ok(write.at.since(since)),
                Some(_) => {}
                None => sleep(LOG_POLL),
            }
        }
        Err(format!("no device carried the command out within {within:?}"))
    }

    /// The next write of the unit's device that was carried out, if there is one by now.
    fn write(&mut self) -> Result<Option<Write>, String> {
        loop {
            self.log.read_line(&mut self.part).map_err(|error| format!("the write log: {error}"))?;
            if !self.part.ends_with('\n') {
                return Ok(None);
            }
            let line = std::mem::take(&mut self.part);
            let fields: Vec<&str> = line.trim().split(',').collect();
            if let ["w", ns, DEVICE, _, _, "applied", _, pitch, _, brake, ..] = fields.as_slice() {
                let (Ok(ns), Ok(pitch_rad)) = (ns.parse(), pitch.parse()) else {
                    return Err(format!("the write log has a strange line: {line}"));
                };
                let at = self.zero + Duration::from_nanos(ns);
                return Ok(Some(Write { at, pitch_rad, brake: *brake == "1" }));
            }
        }
    }
}

/// The log behind its first line, which says when its times begin.
fn first_line(path: &Path) -> Result<(BufReader<File>, Instant), String> {
    let file = File::open(path).map_err(|error| format!("{}: {error}", path.display()))?;
    let mut log = BufReader::new(file);
    let mut line = String::new();
    for _ in 0..100 {
        log.read_line(&mut line).map_err(|error| error.to_string())?;
        if let Some(zero) = line.trim().strip_prefix("takt-write-log,1,").filter(|_| line.ends_with('\n')) {
            let zero = zero.parse().map_err(|_| format!("`{zero}` is no time"))?;
            return Ok((log, Instant::ZERO + Duration::from_nanos(zero)));
        }
        sleep(Duration::from_millis(10));
    }
    Err(format!("{}: it does not begin", path.display()))
}
