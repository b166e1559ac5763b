//! Which MQTT does a client speak? The protocol level stands in the first packet it sends.
//!
//! A CONNECT packet begins with the byte 0x10, the remaining length in 1 to 4 bytes, the protocol name
//! `00 04 "MQTT"` and the protocol level: 4 for MQTT 3.1.1, 5 for MQTT 5 (MQTT 3.1.1, section 3.1.2.2, and
//! MQTT 5, section 3.1.2.2).

/// The bytes that decide, at most: header, remaining length, name, level.
pub(crate) const SNIFF_BYTES_MAX: usize = 1 + 4 + 6 + 1;

/// What the first bytes of a connection say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sniffed {
    /// Too few bytes to tell.
    More,
    /// MQTT 3.1.1.
    V4,
    /// MQTT 5.
    V5,
    /// Not a CONNECT of a version that is served.
    Foreign,
}

pub(crate) fn sniff(first_bytes: &[u8]) -> Sniffed {
    let Some((&header, rest)) = first_bytes.split_first() else { return Sniffed::More };
    if header != 0x10 {
        return Sniffed::Foreign;
    }
    let length_bytes = match rest.iter().take(4).position(|byte| byte & 0x80 == 0) {
        Some(last) => last + 1,
        None if rest.len() < 4 => return Sniffed::More,
        None => return Sniffed::Foreign,
    };
    let name = [0, 4, b'M', b'Q', b'T', b'T'];
    let variable = rest.get(length_bytes..).unwrap_or_default();
    if !name.iter().zip(variable).all(|(expected, got)| expected == got) {
        return Sniffed::Foreign;
    }
    match variable.get(name.len()) {
        None => Sniffed::More,
        Some(4) => Sniffed::V4,
        Some(5) => Sniffed::V5,
        Some(_) => Sniffed::Foreign,
    }
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
    fn both_versions_are_told_apart() {
        assert_eq!(sniff(&connect(4, &[20])), Sniffed::V4);
        assert_eq!(sniff(&connect(5, &[0x80, 0x80, 0x01])), Sniffed::V5);
        assert_eq!(sniff(&connect(3, &[20])), Sniffed::Foreign);
    }

    #[test]
    fn every_shorter_prefix_asks_for_more() {
        let whole = connect(5, &[0x80, 0x01]);
        for bytes in 0..9 {
            assert_eq!(sniff(&whole[..bytes]), Sniffed::More, "{bytes} bytes");
        }
        assert_eq!(sniff(&whole[..10]), Sniffed::V5);
    }

    #[test]
    fn a_web_request_is_foreign() {
        assert_eq!(sniff(b"GET / HTTP/1.1"), Sniffed::Foreign);
        assert_eq!(sniff(&[0x10, 0xff, 0xff, 0xff, 0xff, 0]), Sniffed::Foreign);
    }
}
