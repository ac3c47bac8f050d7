//! The text of JSON strings: finds where the plain part ends, and decodes escapes.

/// The number of bytes from the start that are neither a quote, a backslash nor a control character. Reads eight bytes
/// at a time, because most strings of an event are longer than that.
#[inline]
#[must_use]
pub fn plain_bytes(bytes: &[u8]) -> usize {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const HIGH: u64 = 0x8080_8080_8080_8080;
    let zero_bytes = |word: u64| word.wrapping_sub(ONES) & !word & HIGH;
    let mut at = 0;
    while let Some(chunk) = bytes.get(at..).and_then(<[u8]>::first_chunk::<8>) {
        let word = u64::from_le_bytes(*chunk);
        let quotes = zero_bytes(word ^ (ONES * b'"' as u64));
        let backslashes = zero_bytes(word ^ (ONES * b'\\' as u64));
        let controls = word.wrapping_sub(ONES * 0x20) & !word & HIGH;
        // A borrow can only mark bytes after the first hit, so the first hit is exact.
        let hits = quotes | backslashes | controls;
        if hits != 0 {
            return at + hits.trailing_zeros() as usize / 8;
        }
        at += 8;
    }
    let special = |byte: &u8| matches!(byte, b'"' | b'\\' | 0..0x20);
    let rest = bytes.get(at..).unwrap_or_default();
    at + rest.iter().position(special).unwrap_or(rest.len())
}

/// Appends the decoded text of a scanned string. The string is UTF-8, and so is the text.
pub fn unescape(raw: &[u8], out: &mut Vec<u8>) {
    let mut rest = raw;
    while let Some(at) = memchr::memchr(b'\\', rest) {
        out.extend_from_slice(&rest[..at]);
        let plain = match rest.get(at + 1) {
            Some(b'b') => 0x08,
            Some(b'f') => 0x0c,
            Some(b'n') => b'\n',
            Some(b'r') => b'\r',
            Some(b't') => b'\t',
            Some(b'u') => {
                let unit = |from: usize| {
                    let hex = rest.get(from..from + 4).and_then(|hex| std::str::from_utf8(hex).ok());
                    hex.and_then(|hex| u16::from_str_radix(hex, 16).ok()).unwrap_or_default()
                };
                let units = [unit(at + 2), unit(at + 8)];
                // The scanner has checked that the other half of a surrogate pair follows.
                let units = if (0xD800..0xDC00).contains(&units[0]) { &units[..] } else { &units[..1] };
                for c in char::decode_utf16(units.iter().copied()) {
                    let c = c.unwrap_or(char::REPLACEMENT_CHARACTER);
                    out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
                }
                rest = rest.get(at + 6 * units.len()..).unwrap_or_default();
                continue;
            }
            Some(other) => *other,
            None => return,
        };
        out.push(plain);
        rest = &rest[at + 2..];
    }
    out.extend_from_slice(rest);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn unescaping_agrees_with_serde_json(text in "\\PC{0,20}|[\u{0}-\u{ff}]{0,20}") {
            let written = serde_json::to_string(&text).unwrap();
            let mut out = Vec::new();
            unescape(&written.as_bytes()[1..written.len() - 1], &mut out);
            prop_assert_eq!(String::from_utf8(out).unwrap(), text);
        }

        #[test]
        fn plain_bytes_finds_the_first_special_byte(bytes: Vec<u8>) {
            let expected = bytes.iter().position(|byte| matches!(byte, b'"' | b'\\' | 0..0x20));
            prop_assert_eq!(plain_bytes(&bytes), expected.unwrap_or(bytes.len()));
        }
    }
}
