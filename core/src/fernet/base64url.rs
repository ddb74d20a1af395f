//! Base64url (RFC 4648, section 5) with padding: canonical, in place, without tables or branches on data.
//!
//! Tokens are long, and the general crate that reads keys works a character at a time. Here a block of 64
//! characters is mapped between ASCII and sextets in a loop that the compiler turns into vector
//! instructions, and sextets are packed eight to a word.

/// Length in characters of `n` bytes encoded; `usize::MAX` if it cannot exist.
pub(super) const fn encoded_len(n: usize) -> usize {
    n.div_ceil(3).saturating_mul(4)
}

/// Encodes the last `binary_len` bytes of `buf` over the whole of it; `buf` has exactly
/// `encoded_len(binary_len)` bytes.
///
/// The text never overtakes the bytes still to be read: after `k` bytes, `4 k / 3` characters are written,
/// and reading stands at `buf.len() - binary_len + k`, where the lead is at least `binary_len / 3`.
pub(super) fn encode_from_tail(buf: &mut [u8], binary_len: usize) {
    debug_assert_eq!(buf.len(), encoded_len(binary_len));
    let mut read = buf.len().saturating_sub(binary_len);
    let mut write = 0;
    while write < buf.len() {
        let mut bytes = [0; BYTES];
        let source = buf.get(read..).unwrap_or_default();
        let taken = source.len().min(BYTES);
        copy(&mut bytes, source);
        let mut text = encode_block(&bytes);
        if taken < BYTES {
            // `taken` bytes fill `taken * 4 / 3` characters, rounded up; padding ends the last four.
            let characters = (taken * 4).div_ceil(3);
            text.iter_mut().skip(characters).for_each(|c| *c = PAD);
        }
        copy(buf.get_mut(write..).unwrap_or_default(), &text);
        read += taken;
        write += CHARACTERS;
    }
}

/// Decodes `buf` over its own start and returns the number of bytes, or `None` if the text is not canonical.
pub(super) fn decode_in_place(buf: &mut [u8]) -> Option<usize> {
    let padding = match buf {
        [.., PAD, PAD] => 2,
        [.., PAD] => 1,
        _ => 0,
    };
    if !buf.len().is_multiple_of(4) {
        return None;
    }
    let characters = buf.len() - padding;
    let mut read = 0;
    let mut write = 0;
    let mut bad = 0;
    while read < characters {
        // 'A' stands for zero bits in place of the padding and after the end.
        let mut text = [b'A'; CHARACTERS];
        let source = buf.get(read..characters).unwrap_or_default();
        let taken = source.len().min(CHARACTERS);
        copy(&mut text, source);
        let (bytes, invalid) = decode_block(&text);
        bad |= invalid;
        // A last character carries bits beyond the last byte: zero in the canonical form.
        let decoded = taken * 3 / 4;
        bad |= bytes.iter().skip(decoded).fold(0, |or, byte| or | byte);
        let written = bytes.get(..decoded).unwrap_or_default();
        copy(buf.get_mut(write..).unwrap_or_default(), written);
        read += taken;
        write += decoded;
    }
    (bad == 0).then_some(write)
}

/// 48 bytes to 64 characters.
fn encode_block(bytes: &[u8; BYTES]) -> [u8; CHARACTERS] {
    let mut text = [0; CHARACTERS];
    let (sixes, _) = bytes.as_chunks();
    let (eights, _) = text.as_chunks_mut();
    for (eight, &[a, b, c, d, e, f]) in eights.iter_mut().zip(sixes) {
        // Split 48 bits into two lanes of 24, four of 12, eight of 6.
        let bits = u64::from_be_bytes([0, 0, a, b, c, d, e, f]);
        let halves = ((bits << 8) & 0x00ff_ffff_0000_0000) | (bits & 0x00ff_ffff);
        let quarters = ((halves << 4) & 0x0fff_0000_0fff_0000) | (halves & 0x0000_0fff_0000_0fff);
        let sextets =
            ((quarters << 2) & 0x3f00_3f00_3f00_3f00) | (quarters & 0x003f_003f_003f_003f);
        *eight = sextets.to_be_bytes();
    }
    for c in &mut text {
        *c = to_ascii(*c);
    }
    text
}

/// 64 characters to 48 bytes, and a value that is zero if all characters are of the alphabet.
fn decode_block(text: &[u8; CHARACTERS]) -> ([u8; BYTES], u8) {
    let mut sextets = [0; CHARACTERS];
    let mut invalid = 0;
    for (sextet, c) in sextets.iter_mut().zip(text) {
        let (value, bad) = from_ascii(*c);
        *sextet = value;
        invalid |= bad;
    }
    let mut bytes = [0; BYTES];
    let (eights, _) = sextets.as_chunks();
    let (sixes, _) = bytes.as_chunks_mut();
    for (six, eight) in sixes.iter_mut().zip(eights) {
        let sextets = u64::from_be_bytes(*eight);
        let quarters = ((sextets & 0x3f00_3f00_3f00_3f00) >> 2) | (sextets & 0x003f_003f_003f_003f);
        let halves = ((quarters & 0x0fff_0000_0fff_0000) >> 4) | (quarters & 0x0000_0fff_0000_0fff);
        let bits = ((halves & 0x00ff_ffff_0000_0000) >> 8) | (halves & 0x00ff_ffff);
        let [_, _, rest @ ..] = bits.to_be_bytes();
        *six = rest;
    }
    (bytes, invalid)
}

/// RFC 4648, table 2.
#[inline(always)]
fn to_ascii(sextet: u8) -> u8 {
    let mut offset = b'A';
    offset = if sextet >= 26 { b'a' - 26 } else { offset };
    offset = if sextet >= 52 {
        b'0'.wrapping_sub(52)
    } else {
        offset
    };
    offset = if sextet == 62 {
        b'-'.wrapping_sub(62)
    } else {
        offset
    };
    offset = if sextet == 63 { b'_' - 63 } else { offset };
    sextet.wrapping_add(offset)
}

/// The inverse of [`to_ascii`], and `0xff` for a character outside the alphabet.
#[inline(always)]
fn from_ascii(c: u8) -> (u8, u8) {
    let upper = c.wrapping_sub(b'A');
    let lower = c.wrapping_sub(b'a');
    let digit = c.wrapping_sub(b'0');
    let mut value = 0xff;
    value = if upper < 26 { upper } else { value };
    value = if lower < 26 {
        lower.wrapping_add(26)
    } else {
        value
    };
    value = if digit < 10 {
        digit.wrapping_add(52)
    } else {
        value
    };
    value = if c == b'-' { 62 } else { value };
    value = if c == b'_' { 63 } else { value };
    // Sextets are below 64, so the top bit tells.
    (value & 0x3f, value & 0x80)
}

use crate::wire::copy;

const PAD: u8 = b'=';
const BYTES: usize = 48;
const CHARACTERS: usize = 64;

#[cfg(test)]
mod tests {
    extern crate std;
    use std::vec;
    use std::vec::Vec;

    use base64ct::{Base64Url, Encoding};

    use super::{decode_in_place, encode_from_tail, encoded_len, from_ascii, to_ascii};

    fn encode(bytes: &[u8]) -> Vec<u8> {
        let mut buf = vec![0; encoded_len(bytes.len())];
        let tail = buf.len() - bytes.len();
        buf[tail..].copy_from_slice(bytes);
        encode_from_tail(&mut buf, bytes.len());
        buf
    }

    fn decode(text: &[u8]) -> Option<Vec<u8>> {
        let mut buf = text.to_vec();
        let len = decode_in_place(&mut buf)?;
        buf.truncate(len);
        Some(buf)
    }

    /// What the constant-time crate says.
    fn oracle(text: &[u8]) -> Option<Vec<u8>> {
        let mut out = vec![0; text.len()];
        Base64Url::decode(text, &mut out).ok().map(<[u8]>::to_vec)
    }

    #[test]
    fn the_alphabet_is_the_standards() {
        let alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
        for c in 0..=255 {
            match alphabet.iter().position(|a| *a == c) {
                Some(sextet) => {
                    assert_eq!(from_ascii(c), (sextet as u8, 0));
                    assert_eq!(to_ascii(sextet as u8), c);
                }
                None => assert_ne!(from_ascii(c).1, 0),
            }
        }
    }

    #[test]
    fn all_lengths_agree_with_the_constant_time_crate() {
        let bytes: Vec<u8> = (0..400_u32).map(|i| (i * 167 + i / 7) as u8).collect();
        for len in 0..=bytes.len() {
            let text = encode(&bytes[..len]);
            let mut expected = vec![0; text.len()];
            let expected = Base64Url::encode(&bytes[..len], &mut expected).unwrap();
            assert_eq!(text, expected.as_bytes());
            assert_eq!(decode(&text).unwrap(), &bytes[..len]);
            // Any truncation or change of the padding is judged alike.
            for cut in 1..text.len().min(5) {
                let short = &text[..text.len() - cut];
                assert_eq!(decode(short), oracle(short));
            }
        }
    }

    #[test]
    fn every_change_of_one_character_is_judged_as_the_crate_does() {
        // 70 and 71 bytes: more than one block, with two and one characters of padding.
        for len in [1, 2, 3, 47, 48, 49, 70, 71] {
            let bytes: Vec<u8> = (0..len).map(|i| (i * 31 + 5) as u8).collect();
            let text = encode(&bytes);
            for at in 0..text.len() {
                for c in 0..=255 {
                    let mut changed = text.clone();
                    changed[at] = c;
                    let decoded = decode(&changed);
                    assert_eq!(decoded, oracle(&changed));
                    if let Some(decoded) = decoded {
                        assert_eq!(encode(&decoded), changed, "only canonical text is taken");
                    }
                }
            }
        }
    }
}
