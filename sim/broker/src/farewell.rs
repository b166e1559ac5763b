//! Finds the DISCONNECT packet in the stream of a client.
//!
//! The stream is a sequence of packets: a byte with the type, the remaining length in 1 to 4 bytes of 7 bits each,
//! low bits first, and so many bytes (MQTT 5, section 2.1; MQTT 3.1.1, section 2.2).

const DISCONNECT: u8 = 0xE0;

/// Where in a packet the stream stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Stream {
    /// Before a packet.
    #[default]
    Header,
    /// In the remaining length.
    Length { shift: u32, remaining_bytes: u64 },
    /// Before the rest of a packet.
    Body { left_bytes: u64 },
}

impl Stream {
    /// Takes the next bytes, and says where in them a DISCONNECT begins, if one does. After that it is of no more
    /// use.
    pub(crate) fn farewell_in(&mut self, bytes: &[u8]) -> Option<usize> {
        let mut at = 0;
        while let Some(byte) = bytes.get(at) {
            *self = match *self {
                Self::Header if *byte == DISCONNECT => return Some(at),
                Self::Header => Self::Length { shift: 0, remaining_bytes: 0 },
                Self::Length { shift, remaining_bytes } => {
                    let remaining_bytes = remaining_bytes | u64::from(byte & 0x7f) << shift;
                    match remaining_bytes {
                        // A fifth byte is against the rules; the broker will say so.
                        _ if byte & 0x80 != 0 && shift < 21 => {
                            Self::Length { shift: shift + 7, remaining_bytes }
                        }
                        0 => Self::Header,
                        left_bytes => Self::Body { left_bytes },
                    }
                }
                Self::Body { left_bytes } => {
                    let there = (bytes.len() - at) as u64;
                    let taken = left_bytes.min(there);
                    at += taken as usize;
                    *self = if taken == left_bytes {
                        Self::Header
                    } else {
                        Self::Body { left_bytes: left_bytes - taken }
                    };
                    continue;
                }
            };
            at += 1;
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A PUBLISH whose body is full of bytes that look like a DISCONNECT.
    fn publish(body_bytes: usize) -> Vec<u8> {
        let mut packet = vec![0x30];
        let mut length = body_bytes;
        while length > 127 {
            packet.push((length & 0x7f) as u8 | 0x80);
            length >>= 7;
        }
        packet.push(length as u8);
        packet.extend(std::iter::repeat_n(DISCONNECT, body_bytes));
        packet
    }

    #[test]
    fn a_farewell_is_found_after_packets_of_any_length_however_they_are_cut() {
        let mut stream = Vec::new();
        for body_bytes in [0, 1, 127, 128, 300, 16_384] {
            stream.extend(publish(body_bytes));
        }
        let farewell_at = stream.len();
        stream.extend([DISCONNECT, 0]);
        for chunk_bytes in [1, 2, 3, 7, 129, 100_000] {
            let mut reader = Stream::default();
            let mut before = 0;
            let found = stream.chunks(chunk_bytes).find_map(|chunk| {
                let found = reader.farewell_in(chunk).map(|at| before + at);
                before += chunk.len();
                found
            });
            assert_eq!(found, Some(farewell_at), "in chunks of {chunk_bytes}");
        }
    }

    #[test]
    fn a_stream_without_farewell_has_none() {
        assert_eq!(Stream::default().farewell_in(&publish(1000)), None);
        assert_eq!(Stream::default().farewell_in(&[0x30, 0xff, 0xff, 0xff, 0xff, 0xff, DISCONNECT]), None);
    }
}
