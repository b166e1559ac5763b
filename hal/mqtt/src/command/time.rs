//! RFC 3339 times, and nothing else.

use jiff::Timestamp;

/// A time in the form `2026-05-17T09:30:00Z`, `2026-05-17T09:30:00.25+02:00` (RFC 3339, `date-time`).
///
/// The library's own parser takes more (spaces, weeks, time zones in brackets): the shape is checked first.
pub(crate) fn parse_time(text: &str) -> Option<Timestamp> {
    has_the_shape(text.as_bytes()).then(|| text.parse().ok()).flatten()
}

fn has_the_shape(text: &[u8]) -> bool {
    let Some((date_time, rest)) = text.split_at_checked("0000-00-00T00:00:00".len()) else { return false };
    let fits = |text: &[u8], pattern: &[u8]| {
        text.len() == pattern.len()
            && text.iter().zip(pattern).all(|(c, p)| if *p == b'0' { c.is_ascii_digit() } else { c == p })
    };
    let offset = match rest.split_first() {
        Some((b'.', fraction)) => {
            let digits = fraction.iter().take_while(|c| c.is_ascii_digit()).count();
            if !(1..=9).contains(&digits) {
                return false;
            }
            fraction.get(digits..).unwrap_or_default()
        }
        Some(_) | None => rest,
    };
    fits(date_time, b"0000-00-00T00:00:00")
        && (offset == b"Z" || fits(offset, b"+00:00") || fits(offset, b"-00:00"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_of_rfc_3339_are_taken() {
        let seconds = |text: &str| parse_time(text).map(Timestamp::as_second);
        assert_eq!(seconds("1970-01-01T00:00:10Z"), Some(10));
        assert_eq!(seconds("1970-01-01T01:00:10.5+01:00"), Some(10));
        assert_eq!(seconds("1970-01-01T00:00:10.123456789-00:00"), Some(10));
    }

    #[test]
    fn other_times_are_refused() {
        for text in [
            "",
            "now",
            "1970-01-01",
            "1970-01-01T00:00Z",
            "1970-01-01 00:00:10Z",
            "1970-01-01T00:00:10",
            "1970-01-01T00:00:10Z[UTC]",
            "1970-13-01T00:00:10Z",
            "1970-01-01T00:00:10.Z",
            "1970-01-01T00:00:10,5Z",
            "+001970-01-01T00:00:10Z",
            "1970-01-01T00:00:10+99:99",
            "1970-01-01T00:00:10Z\n",
        ] {
            assert_eq!(parse_time(text), None, "{text}");
        }
    }
}
