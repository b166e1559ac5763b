//! Bytes of a segment: encoding, and a scan that takes any bytes.

use super::{LogError, SegmentId};

/// The largest body of a record, in bytes.
pub const RECORD_BYTES_MAX: usize = 1024 * 1024;

/// The last character is the version, a digit.
const SEGMENT_MAGIC: &[u8; 8] = b"TAKTLOG1";
const RECORD_MAGIC: &[u8; 4] = b"TKR1";
const SNAPSHOT_MAGIC: &[u8; 4] = b"TKS1";
pub(super) const SEGMENT_HEADER_BYTES: usize = 8 + 8 + 4;
pub(super) const RECORD_HEADER_BYTES: usize = 4 + 4 + 4;

pub(super) fn encode_segment_header(id: SegmentId) -> [u8; SEGMENT_HEADER_BYTES] {
    let mut header = [0; SEGMENT_HEADER_BYTES];
    let crc = crc32fast::hash(&id.0.to_le_bytes());
    let fields = [&SEGMENT_MAGIC[..], &id.0.to_le_bytes(), &crc.to_le_bytes()].concat();
    header.copy_from_slice(&fields);
    header
}

pub(super) fn encode_record(
    out: &mut Vec<u8>,
    segment: SegmentId,
    offset: u64,
    body: &[u8],
) -> Result<(), LogError> {
    let length = u32::try_from(body.len())
        .ok()
        .filter(|_| body.len() <= RECORD_BYTES_MAX)
        .ok_or(LogError::TooLarge { bytes: body.len() })?;
    out.extend_from_slice(RECORD_MAGIC);
    out.extend_from_slice(&length.to_le_bytes());
    out.extend_from_slice(&crc_of(RECORD_MAGIC, segment, offset, body).to_le_bytes());
    out.extend_from_slice(body);
    Ok(())
}

/// Says that all before it in this segment replaces all older segments.
pub(super) fn encode_snapshot_end(out: &mut Vec<u8>, segment: SegmentId, offset: u64) {
    out.extend_from_slice(SNAPSHOT_MAGIC);
    out.extend_from_slice(&0_u32.to_le_bytes());
    out.extend_from_slice(&crc_of(SNAPSHOT_MAGIC, segment, offset, &[]).to_le_bytes());
}

fn crc_of(magic: &[u8; 4], segment: SegmentId, offset: u64, body: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(magic);
    hasher.update(&segment.0.to_le_bytes());
    hasher.update(&offset.to_le_bytes());
    hasher.update(&(body.len() as u64).to_le_bytes());
    hasher.update(body);
    hasher.finalize()
}

/// What a segment holds.
#[derive(Debug, Default)]
pub(super) struct Scan {
    pub(super) records: Vec<Vec<u8>>,
    pub(super) torn_bytes: u64,
    pub(super) damaged_bytes: u64,
    /// Its beginning is a whole snapshot: the older segments are replaced.
    pub(super) replaces_older: bool,
}

/// Reads the whole records of a segment; takes any bytes.
pub(super) fn scan(id: SegmentId, bytes: &[u8]) -> Result<Scan, LogError> {
    let mut found = Scan::default();
    let Some((header, _)) = bytes.split_at_checked(SEGMENT_HEADER_BYTES) else {
        // The process died while it created the segment.
        found.torn_bytes = bytes.len() as u64;
        return Ok(found);
    };
    if is_of_another_version(header) {
        return Err(LogError::Foreign { segment: id });
    }
    // A damaged header is not fatal: each record proves itself.
    let header_is_whole = header == encode_segment_header(id);
    let mut skipped: u64 = if header_is_whole { 0 } else { SEGMENT_HEADER_BYTES as u64 };
    let mut offset = SEGMENT_HEADER_BYTES;
    while offset < bytes.len() {
        match frame_at(id, bytes, offset) {
            Some(frame) => {
                found.damaged_bytes += skipped;
                skipped = 0;
                offset += RECORD_HEADER_BYTES;
                match frame {
                    Frame::Record(body) => {
                        offset += body.len();
                        found.records.push(body.to_vec());
                    }
                    Frame::SnapshotEnd => found.replaces_older |= found.damaged_bytes == 0,
                }
            }
            None => {
                offset += 1;
                skipped += 1;
            }
        }
    }
    found.torn_bytes = skipped;
    Ok(found)
}

/// A version that is no digit is a torn or damaged header, not a foreign one.
fn is_of_another_version(header: &[u8]) -> bool {
    let (Some((name, [version, ..])), Some((our_version, our_name))) =
        (header.split_at_checked(SEGMENT_MAGIC.len() - 1), SEGMENT_MAGIC.split_last())
    else {
        return false;
    };
    name == our_name && version != our_version && version.is_ascii_digit()
}

enum Frame<'a> {
    Record(&'a [u8]),
    SnapshotEnd,
}

fn frame_at(id: SegmentId, bytes: &[u8], offset: usize) -> Option<Frame<'_>> {
    let (magic, rest) = bytes.get(offset..)?.split_first_chunk::<4>()?;
    if magic != RECORD_MAGIC && magic != SNAPSHOT_MAGIC {
        return None;
    }
    let (length, rest) = rest.split_first_chunk::<4>()?;
    let (crc, rest) = rest.split_first_chunk::<4>()?;
    let length = usize::try_from(u32::from_le_bytes(*length)).ok()?;
    if length > RECORD_BYTES_MAX {
        return None;
    }
    let body = rest.get(..length)?;
    if u32::from_le_bytes(*crc) != crc_of(magic, id, offset as u64, body) {
        return None;
    }
    Some(if magic == RECORD_MAGIC { Frame::Record(body) } else { Frame::SnapshotEnd })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn any_bytes_are_scanned_without_a_panic_and_accounted_for(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
            if let Ok(found) = scan(SegmentId(7), &bytes) {
                prop_assert!(found.records.is_empty());
                prop_assert!(found.torn_bytes <= bytes.len() as u64);
            }
        }

        #[test]
        fn a_prefix_of_a_segment_yields_a_prefix_of_its_records(
            bodies in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..40), 0..12),
            cut in 0_usize..600,
        ) {
            let id = SegmentId(3);
            let mut bytes = encode_segment_header(id).to_vec();
            let mut ends = Vec::new();
            for body in &bodies {
                let offset = bytes.len() as u64;
                encode_record(&mut bytes, id, offset, body).unwrap();
                ends.push(bytes.len());
            }
            let cut = cut.min(bytes.len());
            let found = scan(id, &bytes[..cut]).unwrap();
            let whole = ends.iter().filter(|end| **end <= cut).count();
            prop_assert_eq!(&found.records[..], &bodies[..whole]);
            prop_assert_eq!(found.damaged_bytes, 0);
        }
    }
}
