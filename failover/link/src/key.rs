//! The pair's secret.

use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

/// Bytes of a key.
pub(crate) const KEY_BYTES: usize = 32;
/// Bytes of an authentication code.
pub(crate) const TAG_BYTES: usize = 16;
/// A key file is this long at most, in bytes: the digits, white space around them.
const FILE_BYTES_MAX: u64 = 256;

/// The secret that both nodes of a pair share: 32 random bytes.
///
/// Frames are authenticated by HMAC-SHA-256 (RFC 2104, RFC 4231), cut to 16 bytes as RFC 2104 allows, section
/// 5; IEC 62351-6 does the same for protection messages. The implementation is that of the RustCrypto project,
/// with its comparison in constant time.
#[derive(Clone)]
pub struct Key(Hmac<Sha256>);

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key(secret)")
    }
}

/// Why there is no key.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The file cannot be read.
    #[error("cannot read the key file {}: {error}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// Others than the owner may read or write the file.
    #[error("the key file {} has mode {mode:03o}: others may use it; run chmod 600 on it", path.display())]
    Open {
        /// The file.
        path: PathBuf,
        /// Its permissions.
        mode: u32,
    },
    /// The file holds something else than 64 hexadecimal digits.
    #[error(
        "the key file {} does not hold 64 hexadecimal digits; make one with: openssl rand -hex 32", path.display()
    )]
    Text {
        /// The file.
        path: PathBuf,
    },
}

impl Key {
    /// The key of these bytes, which must be random.
    #[must_use]
    pub fn from_bytes(bytes: &[u8; KEY_BYTES]) -> Self {
        // Any length is a valid key of HMAC.
        Self(Hmac::new_from_slice(bytes).unwrap_or_else(|_| Hmac::new(&Default::default())))
    }

    /// Reads a file with 64 hexadecimal digits, white space around them. Only its owner may have access.
    ///
    /// # Errors
    /// If the file cannot be read, is open to others, or holds something else.
    pub fn from_file(path: &Path) -> Result<Self, KeyError> {
        let read = |error| KeyError::Read { path: path.to_path_buf(), error };
        let file = File::open(path).map_err(read)?;
        let about = file.metadata().map_err(read)?;
        let mode = about.mode() & 0o777;
        if mode & 0o077 != 0 {
            return Err(KeyError::Open { path: path.to_path_buf(), mode });
        }
        let mut text = String::new();
        file.take(FILE_BYTES_MAX + 1).read_to_string(&mut text).map_err(read)?;
        let bytes = parse(text.trim()).ok_or_else(|| KeyError::Text { path: path.to_path_buf() })?;
        Ok(Self::from_bytes(&bytes))
    }

    /// The authentication code of these bytes.
    pub(crate) fn tag(&self, bytes: &[u8]) -> [u8; TAG_BYTES] {
        let mut mac = self.0.clone();
        mac.update(bytes);
        let whole = mac.finalize().into_bytes();
        let mut tag = [0; TAG_BYTES];
        tag.iter_mut().zip(whole).for_each(|(to, from)| *to = from);
        tag
    }

    /// Whether this is the code of these bytes; takes the same time for every wrong one.
    pub(crate) fn verifies(&self, bytes: &[u8], tag: &[u8; TAG_BYTES]) -> bool {
        let mut mac = self.0.clone();
        mac.update(bytes);
        mac.verify_truncated_left(tag).is_ok()
    }
}

fn parse(text: &str) -> Option<[u8; KEY_BYTES]> {
    let digits = text.as_bytes();
    if digits.len() != 2 * KEY_BYTES {
        return None;
    }
    let digit = |byte: u8| char::from(byte).to_digit(16);
    let mut key = [0; KEY_BYTES];
    for (to, pair) in key.iter_mut().zip(digits.chunks_exact(2)) {
        let &[high, low] = pair else { return None };
        *to = u8::try_from(digit(high)? << 4 | digit(low)?).ok()?;
    }
    Some(key)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::{self, Permissions};
    use std::os::unix::fs::PermissionsExt;

    fn file(text: &str, mode: u32) -> tempfile::NamedTempFile {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), text).unwrap();
        fs::set_permissions(file.path(), Permissions::from_mode(mode)).unwrap();
        file
    }

    #[test]
    fn the_code_is_that_of_the_standard() {
        // As `openssl dgst -sha256 -mac HMAC -macopt hexkey:0b0b...` says, cut to 16 bytes.
        let key = Key::from_bytes(&[0x0b; KEY_BYTES]);
        let hex: String = key.tag(b"Hi There").iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hex, "198a607eb44bfbc69903a0f1cf2bbdc5");
    }

    #[test]
    fn a_code_belongs_to_its_bytes_and_its_key() {
        let (key, other) = (Key::from_bytes(&[1; KEY_BYTES]), Key::from_bytes(&[2; KEY_BYTES]));
        let tag = key.tag(b"takt");
        assert!(key.verifies(b"takt", &tag));
        assert!(!key.verifies(b"talt", &tag) && !other.verifies(b"takt", &tag));
    }

    #[test]
    fn a_key_is_read_from_a_file_that_is_its_owners_alone() {
        let digits = "0b".repeat(KEY_BYTES);
        let read = Key::from_file(file(&format!("{digits}\n"), 0o600).path()).unwrap();
        assert_eq!(read.tag(b"x"), Key::from_bytes(&[0x0b; KEY_BYTES]).tag(b"x"));
        let error = Key::from_file(file(&digits, 0o640).path()).unwrap_err();
        assert!(error.to_string().contains("chmod 600"), "{error}");
    }

    #[test]
    fn a_key_file_with_something_else_is_refused() {
        for text in ["", "0b", &"0b".repeat(33), &"0g".repeat(32), &"é".repeat(32)] {
            let error = Key::from_file(file(text, 0o600).path()).unwrap_err();
            assert!(error.to_string().contains("64 hexadecimal digits"), "{error}");
        }
        assert!(matches!(Key::from_file(Path::new("/nowhere")), Err(KeyError::Read { .. })));
    }
}
