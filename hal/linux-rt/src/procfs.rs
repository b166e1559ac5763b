//! Reading the kernel's text files. Parsers take text, so that tests can give them any machine's.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

/// The largest file that is read, in bytes; the kernel's own are far smaller.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// The file's text; invalid UTF-8 is replaced, not refused.
pub(crate) fn read(path: impl AsRef<Path>) -> io::Result<String> {
    let mut bytes = Vec::new();
    File::open(path)?.take(FILE_BYTES_MAX).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// The value of a `name:  value` line, as in `/proc/self/status`, without surrounding white space.
pub(crate) fn status_field<'t>(text: &'t str, name: &str) -> Option<&'t str> {
    text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':').map(str::trim))
}

/// The value in bytes of a `name:  1234 kB` line.
pub(crate) fn status_bytes(text: &str, name: &str) -> Option<u64> {
    let kib: u64 = status_field(text, name)?.strip_suffix("kB")?.trim().parse().ok()?;
    kib.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    const STATUS: &str = "Name:\tcat\nVmLck:\t      12 kB\nCapEff:\t000001fffeffffff\nVmLckX:\t 9 kB\n";

    #[test]
    fn a_field_is_found_by_its_whole_name() {
        assert_eq!(status_bytes(STATUS, "VmLck"), Some(12 * 1024));
        assert_eq!(status_field(STATUS, "CapEff"), Some("000001fffeffffff"));
    }

    #[test]
    fn a_missing_field_is_none() {
        assert_eq!(status_field(STATUS, "VmPin"), None);
        assert_eq!(status_bytes(STATUS, "Name"), None);
    }
}
