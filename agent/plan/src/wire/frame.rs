//! Frames: how messages are told apart on a stream.
//!
//! ```text
//! frame := length:u32   big endian, of all that follows
//!          version:u8   1
//!          kind:u8      which message
//!          body         length - 2 bytes
//! ```

use core::fmt;
use std::io::{self, Read, Write};

use crate::document::SIGNED_BYTES_MAX;

/// The version of the frames and messages.
pub const VERSION: u8 = 1;

/// Version and kind.
const HEAD_BYTES: usize = 2;

/// The longest frame, its length field not counted: the longest plan, and room for what is said beside it.
pub const FRAME_BYTES_MAX: usize = SIGNED_BYTES_MAX + (64 << 10);

/// A frame that arrived.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    /// Which message.
    pub kind: u8,
    /// Its body.
    pub body: Vec<u8>,
}

/// Why bytes are no frame. What follows on the stream cannot be understood: close it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FrameError {
    /// Longer than any frame.
    TooLong {
        /// The length that it claims.
        bytes: u32,
    },
    /// Too short to have a version and a kind.
    TooShort,
    /// Another version.
    Version {
        /// Which.
        version: u8,
    },
}

impl fmt::Display for FrameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLong { bytes } => write!(f, "a frame of {bytes} bytes; at most {FRAME_BYTES_MAX}"),
            Self::TooShort => f.write_str("a frame without version and kind"),
            Self::Version { version } => {
                write!(f, "a frame of version {version}; this is version {VERSION}: use the same release")
            }
        }
    }
}

impl std::error::Error for FrameError {}

impl From<FrameError> for io::Error {
    fn from(error: FrameError) -> Self {
        Self::new(io::ErrorKind::InvalidData, error)
    }
}

/// A frame's bytes; `None` if the body is too long for one.
#[must_use]
pub fn encode(kind: u8, body: &[u8]) -> Option<Vec<u8>> {
    let length = body.len().checked_add(HEAD_BYTES).filter(|length| *length <= FRAME_BYTES_MAX)?;
    let length = u32::try_from(length).ok()?;
    let mut bytes = Vec::with_capacity(4 + HEAD_BYTES + body.len());
    bytes.extend_from_slice(&length.to_be_bytes());
    bytes.extend_from_slice(&[VERSION, kind]);
    bytes.extend_from_slice(body);
    Some(bytes)
}

/// Turns the bytes of a stream, in whatever pieces they come, into frames. Holds one frame at most, and what
/// was pushed behind it.
#[derive(Debug, Default)]
pub struct Deframer {
    bytes: Vec<u8>,
}

impl Deframer {
    /// Takes the next bytes of the stream.
    pub fn push(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// The next whole frame, if it is there.
    ///
    /// # Errors
    /// If the stream cannot be understood from here on.
    pub fn next_frame(&mut self) -> Result<Option<Frame>, FrameError> {
        let Some(length) = self.bytes.first_chunk::<4>().map(|bytes| u32::from_be_bytes(*bytes)) else {
            return Ok(None);
        };
        let length = checked_length(length)?;
        if let Some(version) = self.bytes.get(4) {
            checked_version(*version)?;
        }
        let Some(&[_, kind, ref body @ ..]) = self.bytes.get(4..4 + length) else { return Ok(None) };
        let frame = Frame { kind, body: body.to_vec() };
        self.bytes.drain(..4 + length);
        Ok(Some(frame))
    }
}

fn checked_length(bytes: u32) -> Result<usize, FrameError> {
    let length = usize::try_from(bytes).unwrap_or(usize::MAX);
    if length > FRAME_BYTES_MAX {
        return Err(FrameError::TooLong { bytes });
    }
    if length < HEAD_BYTES {
        return Err(FrameError::TooShort);
    }
    Ok(length)
}

fn checked_version(version: u8) -> Result<(), FrameError> {
    if version == VERSION { Ok(()) } else { Err(FrameError::Version { version }) }
}

/// Reads one frame from a blocking stream.
///
/// # Errors
/// Whatever the stream answers; [`io::ErrorKind::InvalidData`] with a [`FrameError`] for what is no frame.
pub fn read_frame(stream: &mut impl Read) -> io::Result<Frame> {
    let mut head = [0; 4 + HEAD_BYTES];
    stream.read_exact(&mut head)?;
    let [a, b, c, d, version, kind] = head;
    let length = checked_length(u32::from_be_bytes([a, b, c, d]))?;
    checked_version(version)?;
    let mut body = vec![0; length - HEAD_BYTES];
    stream.read_exact(&mut body)?;
    Ok(Frame { kind, body })
}

/// Writes one frame to a blocking stream.
///
/// # Errors
/// Whatever the stream answers; [`io::ErrorKind::InvalidInput`] for a body that is too long.
pub fn write_frame(stream: &mut impl Write, kind: u8, body: &[u8]) -> io::Result<()> {
    let bytes = encode(kind, body).ok_or(io::ErrorKind::InvalidInput)?;
    stream.write_all(&bytes)?;
    stream.flush()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn frames_come_through_in_pieces_of_any_size(
            frames in proptest::collection::vec((any::<u8>(), proptest::collection::vec(any::<u8>(), 0..60)), 1..8),
            piece in 1_usize..30,
        ) {
            let stream: Vec<u8> =
                frames.iter().flat_map(|(kind, body)| encode(*kind, body).unwrap()).collect();
            let (mut deframer, mut found) = (Deframer::default(), Vec::new());
            for bytes in stream.chunks(piece) {
                deframer.push(bytes);
                while let Some(Frame { kind, body }) = deframer.next_frame().unwrap() {
                    found.push((kind, body));
                }
            }
            prop_assert_eq!(found, frames);
        }

        #[test]
        fn any_bytes_are_a_frame_an_error_or_not_enough(bytes in proptest::collection::vec(any::<u8>(), 0..40)) {
            let mut deframer = Deframer::default();
            deframer.push(&bytes);
            while let Ok(Some(_)) = deframer.next_frame() {}
            let _ = read_frame(&mut bytes.as_slice());
        }
    }

    #[test]
    fn a_length_that_no_frame_has_is_refused_before_it_is_read() {
        let mut deframer = Deframer::default();
        deframer.push(&[0xff; 4]);
        assert_eq!(deframer.next_frame(), Err(FrameError::TooLong { bytes: u32::MAX }));
        let mut short = Deframer::default();
        short.push(&[0, 0, 0, 1, 1]);
        assert_eq!(short.next_frame(), Err(FrameError::TooShort));
    }

    #[test]
    fn another_version_is_named() {
        let mut deframer = Deframer::default();
        deframer.push(&[0, 0, 0, 2, 9, 1]);
        assert_eq!(deframer.next_frame(), Err(FrameError::Version { version: 9 }));
    }
}
