//! What people read. [`str::from_utf8`] judges it in 600 bytes of flash; a device, which has to judge names though it never
//! shows them, has a fifth of that for it.

/// Whether these bytes are UTF-8 (RFC 3629) without control characters; nothing is.
#[inline(never)] // from two places
pub(super) fn is_text(text: &[u8]) -> bool {
    let mut bytes = text.iter().map(|&byte| u32::from(byte));
    while let Some(first) = bytes.next() {
        // Of how many bytes the character is, and below which code point it would be too long for that.
        let (following, least) = match first {
            0..0x80 => (0, 0),
            0xC0..0xE0 => (1, 0x80),
            0xE0..0xF0 => (2, 0x800),
            0xF0..0xF8 => (3, 0x1_0000),
            _ => return false,
        };
        let mut code = first & (0x7F >> following);
        for _ in 0..following {
            match bytes.next() {
                Some(byte @ 0x80..0xC0) => code = code << 6 | byte & 0x3F,
                _ => return false,
            }
        }
        if code < least || char::from_u32(code).is_none_or(char::is_control) {
            return false;
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use core::str;

    use super::*;

    fn oracle(text: &[u8]) -> bool {
        str::from_utf8(text).is_ok_and(|text| !text.chars().any(char::is_control))
    }

    #[test]
    fn text_is_what_the_standard_library_calls_text() {
        assert!(is_text(&[]));
        for word in 0..1_u32 << 24 {
            let [a, b, c, _] = word.to_le_bytes();
            assert_eq!(is_text(&[a, b, c]), oracle(&[a, b, c]), "{word:x}");
        }
        for [a, b] in (0..=u16::MAX).map(u16::to_le_bytes) {
            assert_eq!(is_text(&[a]), oracle(&[a]));
            assert_eq!(is_text(&[a, b]), oracle(&[a, b]));
            for c in [
                0x00, 0x41, 0x7F, 0x80, 0x8F, 0x90, 0x9F, 0xA0, 0xBF, 0xC0, 0xFF,
            ] {
                for d in [0x00, 0x41, 0x7F, 0x80, 0xBF, 0xC0, 0xFF] {
                    assert_eq!(is_text(&[a, b, c, d]), oracle(&[a, b, c, d]));
                }
            }
        }
    }
}
