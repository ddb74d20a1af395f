//! Tokens in a caller's buffer: encrypt into it, decrypt in place.

use aes::cipher::{Array, BlockModeEncrypt, InnerIvInit};
use hmac::Mac;
use zeroize::Zeroizing;

use super::{FernetError, FernetKey, Iv, Ttl, base64url, cbc};
use crate::wire::copy;

/// Length in bytes of the binary token of a plaintext of `plaintext_len` bytes; `usize::MAX` if it cannot
/// exist.
#[must_use]
pub const fn binary_len(plaintext_len: usize) -> usize {
    // PKCS#7 always pads: a whole block when the plaintext fills its last one.
    let padded = (plaintext_len / BLOCK)
        .saturating_add(1)
        .saturating_mul(BLOCK);
    padded.saturating_add(OVERHEAD)
}

/// Length in characters of the text form of a binary token of `binary_len` bytes; `usize::MAX` if it
/// cannot exist.
#[must_use]
pub const fn text_len(binary_len: usize) -> usize {
    base64url::encoded_len(binary_len)
}

/// Encrypts `plaintext` into a binary token at the start of `out` and returns its length,
/// [`binary_len`]`(plaintext.len())`.
///
/// `time` is the token's timestamp in seconds since the Unix epoch.
///
/// # Errors
/// [`FernetError::BufferTooSmall`]; `out` is untouched then.
pub fn encrypt(
    key: &FernetKey,
    time: u64,
    iv: Iv,
    plaintext: &[u8],
    out: &mut [u8],
) -> Result<usize, FernetError> {
    let len = binary_len(plaintext.len());
    let token = out.get_mut(..len).ok_or(FernetError::BufferTooSmall)?;
    let body = token.get_mut(HEADER..).ok_or(FernetError::BufferTooSmall)?;
    copy(body, plaintext);
    seal_in_place(key, time, iv, plaintext.len(), token)?;
    Ok(len)
}

/// Encrypts `plaintext` into a token in text form (ASCII) at the start of `out` and returns its length,
/// [`text_len`]`(`[`binary_len`]`(plaintext.len()))`.
///
/// # Errors
/// [`FernetError::BufferTooSmall`]; `out` is untouched then.
pub fn encrypt_text(
    key: &FernetKey,
    time: u64,
    iv: Iv,
    plaintext: &[u8],
    out: &mut [u8],
) -> Result<usize, FernetError> {
    let len = binary_len(plaintext.len());
    let text_len = text_len(len);
    let text = out.get_mut(..text_len).ok_or(FernetError::BufferTooSmall)?;
    // The binary token is made in the tail of the text's place and encoded from there to the front.
    let tail = text
        .get_mut(text_len.saturating_sub(len)..)
        .ok_or(FernetError::BufferTooSmall)?;
    encrypt(key, time, iv, plaintext, tail)?;
    base64url::encode_from_tail(text, len);
    Ok(text_len)
}

/// Writes the text form of a binary token to the start of `out` and returns its length,
/// [`text_len`]`(token.len())`. Whether the bytes are a token is not looked at.
///
/// # Errors
/// [`FernetError::BufferTooSmall`]; `out` is untouched then.
pub fn encode_text(token: &[u8], out: &mut [u8]) -> Result<usize, FernetError> {
    let text_len = text_len(token.len());
    let text = out.get_mut(..text_len).ok_or(FernetError::BufferTooSmall)?;
    let tail = text
        .get_mut(text_len.saturating_sub(token.len())..)
        .ok_or(FernetError::BufferTooSmall)?;
    copy(tail, token);
    base64url::encode_from_tail(text, token.len());
    Ok(text_len)
}

/// Decrypts a binary token where it lies.
///
/// Form, MAC, time (if `ttl` is given) and padding are checked before the first byte of `token` changes: a
/// refused token is left as it was.
///
/// # Errors
/// [`FernetError::InvalidToken`], whatever was wrong.
pub fn decrypt_in_place<'b>(
    key: &FernetKey,
    token: &'b mut [u8],
    ttl: Option<Ttl>,
) -> Result<Decrypted<'b>, FernetError> {
    let parts = Parts::split(token)?;
    parts.authenticate(key)?;
    parts.open(key, ttl)?.apply(token)
}

/// Decodes a token in text form to its binary form, at the start of the same buffer.
///
/// Only the canonical form is taken, see the [module](super). What the buffer holds after an error is
/// unspecified.
///
/// # Errors
/// [`FernetError::InvalidToken`] if the text is not canonical base64url.
pub fn decode_text_in_place(text: &mut [u8]) -> Result<&mut [u8], FernetError> {
    let len = base64url::decode_in_place(text).ok_or(FernetError::InvalidToken)?;
    text.get_mut(..len).ok_or(FernetError::InvalidToken)
}

/// Decrypts a token in text form where it lies. What the buffer holds after an error is unspecified, but
/// never plaintext.
///
/// # Errors
/// [`FernetError::InvalidToken`], whatever was wrong.
pub fn decrypt_text_in_place<'b>(
    key: &FernetKey,
    text: &'b mut [u8],
    ttl: Option<Ttl>,
) -> Result<Decrypted<'b>, FernetError> {
    decrypt_in_place(key, decode_text_in_place(text)?, ttl)
}

/// The timestamp that a binary token claims, in seconds since the Unix epoch, **not authenticated**: for
/// display only.
///
/// # Errors
/// [`FernetError::InvalidToken`] if the bytes do not have the form of a token.
pub fn untrusted_timestamp(token: &[u8]) -> Result<u64, FernetError> {
    Ok(Parts::split(token)?.timestamp)
}

/// The plaintext of a token that was valid, in the buffer that held the token.
///
/// `Debug` shows neither.
pub struct Decrypted<'b> {
    plaintext: &'b mut [u8],
    timestamp: u64,
}

impl<'b> Decrypted<'b> {
    /// The plaintext.
    #[must_use]
    pub const fn plaintext(&self) -> &[u8] {
        self.plaintext
    }

    /// The plaintext, to work on or to wipe.
    #[must_use]
    pub const fn plaintext_mut(&mut self) -> &mut [u8] {
        self.plaintext
    }

    /// The plaintext for as long as the buffer lives.
    #[must_use]
    pub const fn into_plaintext(self) -> &'b mut [u8] {
        self.plaintext
    }

    /// The token's timestamp in seconds since the Unix epoch, authenticated.
    #[must_use]
    pub const fn timestamp(&self) -> u64 {
        self.timestamp
    }
}

impl core::fmt::Debug for Decrypted<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("Decrypted(..)")
    }
}

/// Checks a binary token's form and MAC.
///
/// # Errors
/// [`FernetError::InvalidToken`].
#[inline(never)] // where what follows checks the same, none is a part of the other
pub(crate) fn authenticate(key: &FernetKey, token: &[u8]) -> Result<(), FernetError> {
    Parts::split(token)?.authenticate(key)
}

/// A binary token taken apart. Its form is right; nothing is authenticated.
pub(super) struct Parts<'a> {
    signed: &'a [u8],
    mac: &'a [u8; MAC],
    pub(super) timestamp: u64,
    pub(super) iv: &'a [u8; BLOCK],
    /// At least one block.
    pub(super) ciphertext: &'a [[u8; BLOCK]],
}

impl<'a> Parts<'a> {
    pub(super) fn split(token: &'a [u8]) -> Result<Self, FernetError> {
        Self::try_split(token).ok_or(FernetError::InvalidToken)
    }

    fn try_split(token: &'a [u8]) -> Option<Self> {
        let (signed, mac) = token.split_last_chunk()?;
        let (version, rest) = signed.split_first()?;
        let (timestamp, rest) = rest.split_first_chunk()?;
        let (iv, body) = rest.split_first_chunk()?;
        let (ciphertext, odd) = body.as_chunks();
        let well_formed = *version == VERSION && odd.is_empty() && !ciphertext.is_empty();
        well_formed.then_some(Self {
            signed,
            mac,
            timestamp: u64::from_be_bytes(*timestamp),
            iv,
            ciphertext,
        })
    }

    /// Checks the MAC over everything, in constant time.
    pub(super) fn authenticate(&self, key: &FernetKey) -> Result<(), FernetError> {
        key.mac(self.signed)
            .verify(self.mac.into())
            .map_err(|_| FernetError::InvalidToken)
    }

    /// Checks what is left after the MAC, time and padding, by decrypting the last block only, aside.
    pub(super) fn open(&self, key: &FernetKey, ttl: Option<Ttl>) -> Result<Opening, FernetError> {
        if ttl.is_some_and(|ttl| !ttl.admits(self.timestamp)) {
            return Err(FernetError::InvalidToken);
        }
        let cipher = key.decryptor();
        let plaintext_len = self
            .plaintext_len(&cipher)
            .ok_or(FernetError::InvalidToken)?;
        Ok(Opening {
            cipher,
            iv: *self.iv,
            plaintext_len,
            timestamp: self.timestamp,
        })
    }

    /// Length of the plaintext, if the PKCS#7 padding is right in every byte (RFC 5652, section 6.3).
    fn plaintext_len(&self, cipher: &aes::Aes128Dec) -> Option<usize> {
        let (last, before) = self.ciphertext.split_last()?;
        let mut previous = *before.last().unwrap_or(self.iv);
        let mut block = Zeroizing::new(*last);
        let (blocks, _) = Array::slice_as_chunks_mut(block.as_mut_slice());
        cbc::decrypt(cipher, &mut previous, blocks);
        let padding = *block.last()?;
        let padding_len = usize::from(padding);
        let text = BLOCK.checked_sub(padding_len)?;
        let right = padding_len != 0 && block.iter().skip(text).all(|byte| *byte == padding);
        right.then_some(before.len() * BLOCK + text)
    }
}

/// A token that was found valid, ready to be decrypted.
pub(super) struct Opening {
    pub(super) cipher: aes::Aes128Dec,
    pub(super) iv: [u8; BLOCK],
    pub(super) plaintext_len: usize,
    pub(super) timestamp: u64,
}

impl Opening {
    pub(super) fn apply(mut self, token: &mut [u8]) -> Result<Decrypted<'_>, FernetError> {
        // The form was checked, so neither `get_mut` fails.
        let end = token.len().saturating_sub(MAC);
        let body = token
            .get_mut(HEADER..end)
            .ok_or(FernetError::InvalidToken)?;
        let (blocks, _) = Array::slice_as_chunks_mut(body);
        cbc::decrypt(&self.cipher, &mut self.iv, blocks);
        let plaintext = body
            .get_mut(..self.plaintext_len)
            .ok_or(FernetError::InvalidToken)?;
        Ok(Decrypted {
            plaintext,
            timestamp: self.timestamp,
        })
    }
}

/// Makes a token of the plaintext that lies in its place in `token`, which has exactly the token's length.
pub(super) fn seal_in_place(
    key: &FernetKey,
    time: u64,
    iv: Iv,
    plaintext_len: usize,
    token: &mut [u8],
) -> Result<(), FernetError> {
    debug_assert_eq!(token.len(), binary_len(plaintext_len));
    let (signed, mac) = token
        .split_last_chunk_mut::<MAC>()
        .ok_or(FernetError::BufferTooSmall)?;
    let (header, body) = signed
        .split_first_chunk_mut::<HEADER>()
        .ok_or(FernetError::BufferTooSmall)?;

    let fields = [VERSION]
        .into_iter()
        .chain(time.to_be_bytes())
        .chain(*iv.as_bytes());
    for (to, from) in header.iter_mut().zip(fields) {
        *to = from;
    }

    let padding = body.len().saturating_sub(plaintext_len);
    // Between 1 and 16 by `binary_len`, so the cast keeps the value.
    body.iter_mut()
        .rev()
        .take(padding)
        .for_each(|byte| *byte = padding as u8);
    let (blocks, _) = Array::slice_as_chunks_mut(body);
    ::cbc::Encryptor::inner_iv_init(key.encryptor(), iv.as_bytes().into()).encrypt_blocks(blocks);

    *mac = key.mac(signed).finalize().into_bytes().into();
    Ok(())
}

const VERSION: u8 = 0x80;
/// Length of an AES block and of the IV.
pub(super) const BLOCK: usize = 16;
/// Length of version, timestamp and IV.
pub(super) const HEADER: usize = 1 + 8 + BLOCK;
/// Length of an HMAC-SHA-256.
const MAC: usize = 32;
const OVERHEAD: usize = HEADER + MAC;

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "cw_0x689RpI-jtRR7oE8h_eQsKImvJapLeSbXpwF4e4=";
    /// The specification's `generate.json`.
    const TOKEN: &[u8] = b"gAAAAAAdwJ6wAAECAwQFBgcICQoLDA0ODy021cpGVWKZ_eEwCGM4BLLF_5CV9dOPmrhuVUPgJobwOz7JcbmrR64jVmpU4IwqDA==";
    const TIME: u64 = 499_162_800;

    #[test]
    fn the_specifications_token_both_ways() {
        let key = FernetKey::parse(KEY).unwrap();
        let iv = Iv::from_bytes([0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15]);
        let mut text = [0; 100];
        let len = encrypt_text(&key, TIME, iv, b"hello", &mut text);
        assert_eq!(len, Ok(100));
        assert_eq!(text, *TOKEN);

        let mut binary = text;
        let binary = decode_text_in_place(&mut binary).unwrap();
        let mut again = [0; 100];
        assert_eq!(encode_text(binary, &mut again), Ok(100));
        assert_eq!(again, *TOKEN);
        assert_eq!(
            encode_text(binary, &mut again[..99]),
            Err(FernetError::BufferTooSmall)
        );

        let decrypted = decrypt_text_in_place(&key, &mut text, None).unwrap();
        assert_eq!(decrypted.plaintext(), b"hello");
        assert_eq!(decrypted.timestamp(), TIME);
    }

    #[test]
    fn a_refused_token_and_a_short_buffer_stay_as_they_were() {
        let key = FernetKey::from_bytes([3; 32]);
        let mut token = [0; 73];
        encrypt(
            &key,
            1,
            Iv::from_bytes([4; 16]),
            b"sixteen bytes...",
            &mut token[1..],
        )
        .expect_err("89 bytes are needed");
        assert_eq!(token, [0; 73]);
        encrypt(
            &key,
            1,
            Iv::from_bytes([4; 16]),
            b"fifteen bytes..",
            &mut token,
        )
        .unwrap();
        let mut late = token;
        let ttl = Some(Ttl { seconds: 1, now: 3 });
        let refused = decrypt_in_place(&key, &mut late, ttl);
        assert_eq!(refused.err(), Some(FernetError::InvalidToken));
        assert_eq!(late, token);
    }

    #[test]
    fn lengths_saturate() {
        assert_eq!(binary_len(0), 73);
        assert_eq!(binary_len(15), 73);
        assert_eq!(binary_len(16), 89);
        assert_eq!(binary_len(usize::MAX), usize::MAX);
        assert_eq!(text_len(binary_len(usize::MAX)), usize::MAX);
        assert_eq!(text_len(73), 100);
        let key = FernetKey::from_bytes([3; 32]);
        let refused = encrypt(&key, 0, Iv::from_bytes([0; 16]), &[], &mut []);
        assert_eq!(refused, Err(FernetError::BufferTooSmall));
    }
}
