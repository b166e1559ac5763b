//! How large a text may be, and whole texts out.

use std::fs;
use std::io::{ErrorKind, Write};
use std::path::Path;

use serde::Serialize;

use crate::failure::Failure;

/// The largest series that is read, in bytes: two weeks of rows at 50 Hz would be a mistake.
pub(crate) const SERIES_BYTES_MAX: u64 = 64 << 20;

/// Writes a whole text; `-` is standard output, whose reader may leave early (`| head`).
pub(crate) fn write(path: &Path, text: &str) -> Result<(), Failure> {
    let written = if is_standard_output(path) {
        match std::io::stdout().lock().write_all(text.as_bytes()) {
            Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
            written => written,
        }
    } else {
        fs::write(path, text)
    };
    written.map_err(|error| Failure::unwritable(path, &error))
}

/// Writes a whole text so that a reader finds either the whole of it or nothing new.
pub(crate) fn write_at_once(path: &Path, text: &str) -> Result<(), Failure> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}.part", std::process::id()));
    let part = path.with_file_name(name);
    let written = fs::write(&part, text).and_then(|()| fs::rename(&part, path));
    written.map_err(|error| {
        let _ = fs::remove_file(&part);
        Failure::unwritable(path, &error)
    })
}

/// Writes a value as JSON, as [`write_at_once`] does.
pub(crate) fn write_json(path: &Path, value: &impl Serialize) -> Result<(), Failure> {
    let unwritable = |error: serde_json::Error| Failure::unwritable(path, &error.into());
    write_at_once(path, &serde_json::to_string_pretty(value).map_err(unwritable)?)
}

/// A line for people, on standard output; nobody may be listening.
pub(crate) fn say(line: &str) {
    let _ = writeln!(std::io::stdout().lock(), "{line}");
}

pub(crate) fn is_standard_output(path: &Path) -> bool {
    path.as_os_str() == "-"
}
