//! Whole text files in and out, bounded in size.

use std::fs::{self, File};
use std::io::{ErrorKind, Read, Write};
use std::path::Path;

use hal_diagnostics::{Diagnostic, Document};

use crate::failure::Failure;

/// The largest series that is read, in bytes: two weeks of rows at 50 Hz would be a mistake.
pub(crate) const SERIES_BYTES_MAX: u64 = 64 << 20;

/// Reads a text of at most `bytes_max` bytes.
pub(crate) fn read(path: &Path, bytes_max: u64) -> Result<Document, Diagnostic> {
    let file = path.display().to_string();
    let complain = |what: String, remedy: &str| Diagnostic {
        file: file.clone(),
        position: None,
        what,
        remedy: remedy.to_owned(),
    };
    let unreadable = |error: std::io::Error| {
        complain(format!("cannot be read: {error}"), "give the path of a readable file")
    };
    let mut bytes = Vec::new();
    let mut bounded = File::open(path).map_err(unreadable)?.take(bytes_max + 1);
    bounded.read_to_end(&mut bytes).map_err(unreadable)?;
    if bytes.len() as u64 > bytes_max {
        return Err(complain(
            format!("has more than {bytes_max} bytes"),
            "check that this is the right file, or split it",
        ));
    }
    let text = String::from_utf8(bytes)
        .map_err(|error| complain(format!("is not UTF-8: {error}"), "save the file as UTF-8"))?;
    Ok(Document::new(&file, &text))
}

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

/// A line for people, on standard output; nobody may be listening.
pub(crate) fn say(line: &str) {
    let _ = writeln!(std::io::stdout().lock(), "{line}");
}

pub(crate) fn is_standard_output(path: &Path) -> bool {
    path.as_os_str() == "-"
}
