//! Which MQTT does a client speak, and how long is its first packet?
//!
//! A CONNECT packet begins with the byte 0x10, the remaining length in 1 to 4 bytes of 7 bits each (low bits
//! first), the protocol name `00 04 "MQTT"` and the protocol level: 4 for MQTT 3.1.1, 5 for MQTT 5 (MQTT 3.1.1,
//! sections 2.2.3 and 3.1.2; MQTT 5, sections 2.1.4 and 3.1.2).

const NAME: [u8; 6] = [0, 4, b'M', b'Q', b'T', b'T'];

/// Protocol version of a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Version {
    /// MQTT 3.1.1.
    V4,
    /// MQTT 5.
    V5,
}

/// What the first bytes of a connection say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sniffed {
    /// Too few bytes to tell.
    More,
    /// A CONNECT packet of so many bytes, its header included.
    Connect { version: Version, packet_bytes: usize },
    /// Not a CONNECT of a version that is served.
    Foreign,
}

pub(crate) fn sniff(first_bytes: &[u8]) -> Sniffed {
    let Some((&header, rest)) = first_bytes.split_first() else { return Sniffed::More };
    if header != 0x10 {
        return Sniffed::Foreign;
    }
    let (remaining_bytes, variable) = match take_variable_integer(rest) {
        Some(taken) => taken,
        None if rest.len() < 4 => return Sniffed::More,
        None => return Sniffed::Foreign,
    };
    let packet_bytes = first_bytes.len() - variable.len() + remaining_bytes;
    if !NAME.iter().zip(variable).all(|(expected, got)| expected == got) {
        return Sniffed::Foreign;
    }
    match variable.get(NAME.len()) {
        None => Sniffed::More,
        Some(4) => Sniffed::Connect { version: Version::V4, packet_bytes },
        Some(5) => Sniffed::Connect { version: Version::V5, packet_bytes },
        Some(_) => Sniffed::Foreign,
    }
}

/// The client id in a whole CONNECT packet; empty if the broker is to choose one.
pub(crate) fn client_id(version: Version, packet: &[u8]) -> Option<&[u8]> {
    let (_, variable) = take_variable_integer(packet.get(1..)?)?;
    let level_flags_and_keep_alive = 1 + 1 + 2;
    let rest = variable.get(NAME.len() + level_flags_and_keep_alive..)?;
    let rest = match version {
        Version::V4 => rest,
        Version::V5 => {
            let (properties_bytes, rest) = take_variable_integer(rest)?;
            rest.get(properties_bytes..)?
        }
    };
    let (length, rest) = rest.split_first_chunk()?;
    rest.get(..usize::from(u16::from_be_bytes(*length)))
}

/// 1 to 4 bytes of 7 bits each, low bits first (section 1.5.5 of MQTT 5), and what comes after.
fn take_variable_integer(bytes: &[u8]) -> Option<(usize, &[u8])> {
    let last = bytes.iter().take(4).position(|byte| byte & 0x80 == 0)?;
    let (integer, rest) = bytes.split_at_checked(last + 1)?;
    Some((integer.iter().rev().fold(0, |sum, byte| sum << 7 | usize::from(byte & 0x7f)), rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn connect(level: u8, remaining_length: &[u8]) -> Vec<u8> {
        let mut bytes = vec![0x10];
        bytes.extend_from_slice(remaining_length);
        bytes.extend_from_slice(&[0, 4, b'M', b'Q', b'T', b'T', level, 2]);
        bytes
    }

    #[test]
    fn both_versions_are_told_apart_and_measured() {
        let check = |level, remaining_length: &[u8], version, packet_bytes| {
            let expected = Sniffed::Connect { version, packet_bytes };
            assert_eq!(sniff(&connect(level, remaining_length)), expected);
        };
        check(4, &[20], Version::V4, 22);
        check(5, &[0x80, 0x01], Version::V5, 131);
        check(5, &[0xff, 0xff, 0x7f], Version::V5, 4 + 2_097_151);
        assert_eq!(sniff(&connect(3, &[20])), Sniffed::Foreign);
    }

    #[test]
    fn every_shorter_prefix_asks_for_more() {
        let whole = connect(5, &[0x80, 0x01]);
        for bytes in 0..9 {
            assert_eq!(sniff(&whole[..bytes]), Sniffed::More, "{bytes} bytes");
        }
        assert!(matches!(sniff(&whole[..10]), Sniffed::Connect { .. }));
    }

    #[test]
    fn a_web_request_is_foreign() {
        assert_eq!(sniff(b"GET / HTTP/1.1"), Sniffed::Foreign);
        assert_eq!(sniff(&[0x10, 0xff, 0xff, 0xff, 0xff, 0]), Sniffed::Foreign);
    }

    #[test]
    fn the_client_id_is_found_in_both_versions() {
        let v4 = [&[0x10, 16][..], &NAME, &[4, 2, 0, 10, 0, 4], b"node"].concat();
        assert_eq!(client_id(Version::V4, &v4), Some(&b"node"[..]));
        let properties = [5, 0x11, 0, 0, 0, 60];
        let v5 = [&[0x10, 22][..], &NAME, &[5, 2, 0, 10], &properties, &[0, 4], b"node"].concat();
        assert_eq!(client_id(Version::V5, &v5), Some(&b"node"[..]));
        assert_eq!(client_id(Version::V5, &v5[..20]), None);
    }
}
