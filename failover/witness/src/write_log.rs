//! Reads the simulator's write log while it grows.
//!
//! All times become nanoseconds on CLOCK_MONOTONIC, the clock on which a drill notes what it did.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;

use latency_tests_harness::stalls::Span;

use crate::LogError;

/// What became of a write of commands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Carried out.
    Applied,
    /// An epoch alone: it fences and moves nothing.
    Fence,
    /// Refused for its epoch, or because it named none.
    RefusedEpoch,
    /// Refused for a value.
    RefusedValue,
}

/// A write of commands at a device.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Write {
    /// When it came, in nanoseconds.
    pub at_ns: u64,
    /// From 1.
    pub device: u16,
    /// 0 if it named none.
    pub epoch: u32,
    /// What became of it.
    pub verdict: Verdict,
    /// Generator torque in newton metres.
    pub torque_nm: f64,
    /// Pitch demand in radians.
    pub pitch_rad: f64,
}

/// What a line says.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Line {
    /// Zero of the times, on CLOCK_MONOTONIC.
    Zero(u64),
    /// A write of commands.
    Write(Write),
    /// The simulator itself did not get to run.
    Stall(Span),
    /// What happened before is written.
    Until(u64),
    /// Writes that are missing, since the start.
    Missing(u64),
}

/// Reads one line, with times as they stand in it; `None` if it is no such line.
#[must_use]
pub fn parse(line: &str) -> Option<Line> {
    let mut fields = line.split(',');
    let kind = fields.next()?;
    let mut number = || fields.next()?.parse::<u64>().ok();
    match kind {
        "takt-write-log" if number()? == 1 => Some(Line::Zero(number()?)),
        "s" => Some(Line::Stall(Span { from_ns: number()?, to_ns: number()? })),
        "t" => Some(Line::Until(number()?)),
        "d" => Some(Line::Missing(number()?)),
        "w" => {
            let at_ns = number()?;
            let device = fields.next()?.parse().ok()?;
            let epoch = match fields.next()? {
                "" => 0,
                epoch => epoch.parse().ok()?,
            };
            let _watchdog: u16 = fields.next()?.parse().ok()?;
            let verdict = match fields.next()? {
                "applied" => Verdict::Applied,
                "fence" => Verdict::Fence,
                "refused-epoch" | "refused-no-epoch" => Verdict::RefusedEpoch,
                "refused-value" => Verdict::RefusedValue,
                _ => return None,
            };
            let torque_nm = fields.next()?.parse().ok()?;
            let pitch_rad = fields.next()?.parse().ok()?;
            Some(Line::Write(Write { at_ns, device, epoch, verdict, torque_nm, pitch_rad }))
        }
        _ => None,
    }
}

/// A growing log.
#[derive(Debug)]
pub struct LogReader {
    file: BufReader<File>,
    name: String,
    /// A line that is not whole yet.
    partial: String,
    zero_ns: u64,
}

impl LogReader {
    /// Opens a log, at its beginning.
    ///
    /// # Errors
    /// If it cannot be opened.
    pub fn open(path: &Path) -> Result<Self, LogError> {
        let failed = |why: String| LogError { path: path.display().to_string(), why };
        let file = File::open(path).map_err(|error| failed(error.to_string()))?;
        let name = path.display().to_string();
        Ok(Self { file: BufReader::with_capacity(1 << 16, file), name, partial: String::new(), zero_ns: 0 })
    }

    /// Takes the lines that have come, on CLOCK_MONOTONIC.
    ///
    /// # Errors
    /// If it cannot be read, or a line is none of a write log.
    pub fn take(&mut self, mut each: impl FnMut(Line)) -> Result<(), LogError> {
        loop {
            let failed = |why: String| LogError { path: self.name.clone(), why };
            let read = self.file.read_line(&mut self.partial).map_err(|error| failed(error.to_string()))?;
            if read == 0 || !self.partial.ends_with('\n') {
                return Ok(());
            }
            let line = self.partial.trim_end();
            let parsed = parse(line).ok_or_else(|| failed(format!("`{line}` is no line of a write log")))?;
            self.partial.clear();
            let zero_ns = self.zero_ns;
            match parsed {
                Line::Zero(zero_ns) => self.zero_ns = zero_ns,
                Line::Write(write) => each(Line::Write(Write { at_ns: write.at_ns + zero_ns, ..write })),
                Line::Stall(span) => {
                    each(Line::Stall(Span { from_ns: span.from_ns + zero_ns, to_ns: span.to_ns + zero_ns }))
                }
                Line::Until(until_ns) => each(Line::Until(until_ns + zero_ns)),
                Line::Missing(count) => each(Line::Missing(count)),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write as _;

    #[test]
    fn each_kind_of_line_is_read() {
        let write = Write {
            at_ns: 12,
            device: 3,
            epoch: 7,
            verdict: Verdict::Applied,
            torque_nm: 40000.5,
            pitch_rad: 0.25,
        };
        assert_eq!(parse("w,12,3,7,99,applied,40000.5,0.25,0,0,1"), Some(Line::Write(write)));
        let unnamed = Write { epoch: 0, verdict: Verdict::RefusedEpoch, ..write };
        assert_eq!(parse("w,12,3,,99,refused-no-epoch,40000.5,0.25,0,0,1"), Some(Line::Write(unnamed)));
        assert_eq!(parse("s,5,9"), Some(Line::Stall(Span { from_ns: 5, to_ns: 9 })));
        assert_eq!(parse("takt-write-log,1,500"), Some(Line::Zero(500)));
        for wrong in ["", "x,1", "w,12", "w,12,3,7,99,perhaps,1,2", "takt-write-log,2,500", "t,x"] {
            assert_eq!(parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_line_that_is_half_written_is_read_when_it_is_whole() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        let mut file = File::create(&path).unwrap();
        write!(file, "takt-write-log,1,1000\nt,5\ns,1").unwrap();
        let mut reader = LogReader::open(&path).unwrap();
        let mut lines = Vec::new();
        reader.take(|line| lines.push(line)).unwrap();
        assert_eq!(lines, [Line::Until(1005)]);
        writeln!(file, "0,20").unwrap();
        reader.take(|line| lines.push(line)).unwrap();
        assert_eq!(lines[1], Line::Stall(Span { from_ns: 1010, to_ns: 1020 }));
    }
}
