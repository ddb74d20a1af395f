//! Two-pass decryption of a token that stays where it is, for instance in flash.

use core::fmt;

use aes::Aes128Dec;
use zeroize::Zeroizing;

use super::token::{BLOCK, Parts};
use super::{FernetError, FernetKey, Ttl, cbc};
use crate::wire::copy;

/// A binary token whose MAC, time and padding have been found right, and whose plaintext can be read any
/// number of times. Only [`VerifiedToken::verify`] makes one.
///
/// It borrows the token's bytes, so that they cannot be changed through Rust between the check and the
/// reading. Memory that something else can write to (external flash, DMA) does not give that promise.
pub struct VerifiedToken<'a> {
    cipher: Aes128Dec,
    iv: [u8; BLOCK],
    ciphertext: &'a [[u8; BLOCK]],
    plaintext_len: usize,
    timestamp: u64,
}

impl<'a> VerifiedToken<'a> {
    /// First pass: checks form, MAC over everything, time (if `ttl` is given) and padding.
    ///
    /// # Errors
    /// [`FernetError::InvalidToken`], whatever was wrong.
    pub fn verify(key: &FernetKey, token: &'a [u8], ttl: Option<Ttl>) -> Result<Self, FernetError> {
        let parts = Parts::split(token)?;
        parts.authenticate(key)?;
        Self::open(key, &parts, ttl)
    }

    /// The rest of the first pass, for a token whose MAC was found right under `key`.
    pub(super) fn open(
        key: &FernetKey,
        parts: &Parts<'a>,
        ttl: Option<Ttl>,
    ) -> Result<Self, FernetError> {
        let opening = parts.open(key, ttl)?;
        Ok(Self {
            cipher: opening.cipher,
            iv: opening.iv,
            ciphertext: parts.ciphertext,
            plaintext_len: opening.plaintext_len,
            timestamp: opening.timestamp,
        })
    }

    /// Length of the plaintext in bytes.
    #[must_use]
    pub const fn plaintext_len(&self) -> usize {
        self.plaintext_len
    }

    /// The token's timestamp in seconds since the Unix epoch, authenticated.
    #[must_use]
    pub const fn timestamp(&self) -> u64 {
        self.timestamp
    }

    /// Second pass: a reader at the start of the plaintext.
    #[must_use]
    pub fn reader(&self) -> PlaintextReader<'_> {
        self.reader_at(0)
    }

    /// Second pass: a reader at byte `position` of the plaintext, or at its end if that is nearer. Nothing
    /// before that byte's block is decrypted: CBC needs no more of it than one block of ciphertext.
    #[must_use]
    pub fn reader_at(&self, position: usize) -> PlaintextReader<'_> {
        let position = position.min(self.plaintext_len);
        let (block, offset) = (position / BLOCK, position % BLOCK);
        let (before, ciphertext) = self.ciphertext.split_at_checked(block).unwrap_or_default();
        let iv = before.last().unwrap_or(&self.iv);
        let mut reader = PlaintextReader {
            cipher: &self.cipher,
            previous: *iv,
            ciphertext,
            // Of the block's plaintext too what is skipped; `position` is not below `offset`.
            remaining: (self.plaintext_len - position) + offset,
            block: Zeroizing::new([0; BLOCK]),
            used: BLOCK,
        };
        let mut skipped = Zeroizing::new([0; BLOCK]);
        reader.read(skipped.get_mut(..offset).unwrap_or_default());
        reader
    }

    /// Second pass at once: the whole plaintext at the start of `out`.
    ///
    /// # Errors
    /// [`FernetError::BufferTooSmall`] if `out` is shorter than [`VerifiedToken::plaintext_len`].
    pub fn decrypt_into<'b>(&self, out: &'b mut [u8]) -> Result<&'b mut [u8], FernetError> {
        let out = out
            .get_mut(..self.plaintext_len)
            .ok_or(FernetError::BufferTooSmall)?;
        self.reader().read(out);
        Ok(out)
    }
}

impl fmt::Debug for VerifiedToken<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("VerifiedToken(..)")
    }
}

/// Decrypts a verified token piece by piece, from front to back. What it buffers is wiped when dropped.
pub struct PlaintextReader<'t> {
    cipher: &'t Aes128Dec,
    /// The block before those, or the IV.
    previous: [u8; BLOCK],
    /// Blocks not yet decrypted.
    ciphertext: &'t [[u8; BLOCK]],
    /// Bytes of plaintext not yet read.
    remaining: usize,
    /// The last block that was decrypted, and how many of its bytes have been read.
    block: Zeroizing<[u8; BLOCK]>,
    used: usize,
}

impl PlaintextReader<'_> {
    /// Reads the next bytes of the plaintext into `buf` and returns how many: `buf.len()`, or what is left
    /// if that is less. Pieces of whole blocks are decrypted straight into `buf`, the fastest way.
    pub fn read(&mut self, buf: &mut [u8]) -> usize {
        let wanted = buf.len().min(self.remaining);
        let Some(buf) = buf.get_mut(..wanted) else {
            return 0;
        };
        let buf = self.take_buffered(buf);
        let (whole, rest) = cbc::Block::slice_as_chunks_mut(buf);
        let (now, later) = self
            .ciphertext
            .split_at_checked(whole.len())
            .unwrap_or_default();
        self.ciphertext = later;
        cbc::copy(whole, now);
        cbc::decrypt(self.cipher, &mut self.previous, whole);
        if !rest.is_empty()
            && let Some((next, later)) = self.ciphertext.split_first()
        {
            self.ciphertext = later;
            let (block, _) = cbc::Block::slice_as_chunks_mut(self.block.as_mut_slice());
            cbc::copy(block, &[*next]);
            cbc::decrypt(self.cipher, &mut self.previous, block);
            self.used = 0;
            self.take_buffered(rest);
        }
        self.remaining = self.remaining.saturating_sub(wanted);
        wanted
    }

    /// Bytes of plaintext not yet read.
    #[must_use]
    pub const fn remaining(&self) -> usize {
        self.remaining
    }

    /// Moves what the decrypted block still holds to the start of `buf`; returns the part left to fill.
    fn take_buffered<'b>(&mut self, buf: &'b mut [u8]) -> &'b mut [u8] {
        let held = self.block.get(self.used..).unwrap_or_default();
        let n = held.len().min(buf.len());
        let (head, rest) = buf.split_at_mut(n);
        copy(head, held);
        self.used = self.used.saturating_add(n);
        rest
    }
}

impl fmt::Debug for PlaintextReader<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PlaintextReader(..)")
    }
}
