//! Several keys: the first encrypts, all decrypt, as Python's `MultiFernet`.

use super::token::{self, Decrypted, HEADER, Parts};
use super::{FernetError, FernetKey, Iv, Ttl, VerifiedToken, base64url};

/// One or more keys, the first of which encrypts. Changing keys is: put the new one first, rotate every
/// token, remove the old one.
#[derive(Clone, Copy, Debug)]
pub struct Keyring<'k> {
    first: &'k FernetKey,
    all: &'k [FernetKey],
}

impl<'k> Keyring<'k> {
    /// Borrows the keys; the first encrypts.
    ///
    /// # Errors
    /// [`FernetError::EmptyKeyring`] if there is none.
    pub fn new(keys: &'k [FernetKey]) -> Result<Self, FernetError> {
        let first = keys.first().ok_or(FernetError::EmptyKeyring)?;
        Ok(Self { first, all: keys })
    }

    /// The key that encrypts.
    #[must_use]
    pub const fn primary(&self) -> &'k FernetKey {
        self.first
    }

    /// [`encrypt`](super::encrypt) with the first key.
    ///
    /// # Errors
    /// As there.
    pub fn encrypt(
        &self,
        time: u64,
        iv: Iv,
        plaintext: &[u8],
        out: &mut [u8],
    ) -> Result<usize, FernetError> {
        token::encrypt(self.first, time, iv, plaintext, out)
    }

    /// [`encrypt_text`](super::encrypt_text) with the first key.
    ///
    /// # Errors
    /// As there.
    pub fn encrypt_text(
        &self,
        time: u64,
        iv: Iv,
        plaintext: &[u8],
        out: &mut [u8],
    ) -> Result<usize, FernetError> {
        token::encrypt_text(self.first, time, iv, plaintext, out)
    }

    /// Decrypts a binary token under whichever key it was made: the MAC finds the key, then the token is
    /// decrypted once. A refused token is left as it was.
    ///
    /// # Errors
    /// [`FernetError::InvalidToken`] if it is valid under none.
    pub fn decrypt_in_place<'b>(
        &self,
        token: &'b mut [u8],
        ttl: Option<Ttl>,
    ) -> Result<Decrypted<'b>, FernetError> {
        let parts = Parts::split(token)?;
        let key = self.authenticate(&parts)?;
        parts.open(key, ttl)?.apply(token)
    }

    /// Decrypts a token in text form under whichever key it was made.
    ///
    /// # Errors
    /// [`FernetError::InvalidToken`] if it is valid under none.
    pub fn decrypt_text_in_place<'b>(
        &self,
        text: &'b mut [u8],
        ttl: Option<Ttl>,
    ) -> Result<Decrypted<'b>, FernetError> {
        self.decrypt_in_place(token::decode_text_in_place(text)?, ttl)
    }

    /// [`VerifiedToken::verify`] under whichever key it was made.
    ///
    /// # Errors
    /// [`FernetError::InvalidToken`] if it is valid under none.
    pub fn verify<'a>(
        &self,
        token: &'a [u8],
        ttl: Option<Ttl>,
    ) -> Result<VerifiedToken<'a>, FernetError> {
        let parts = Parts::split(token)?;
        VerifiedToken::open(self.authenticate(&parts)?, &parts, ttl)
    }

    /// Encrypts a binary token anew under the first key, with a new IV and **the timestamp it had**, so that
    /// rotation never prolongs a token's life. Writes to the start of `out`; the length stays the same.
    ///
    /// # Errors
    /// [`FernetError::InvalidToken`] if the token is valid under no key, [`FernetError::BufferTooSmall`] if
    /// `out` is shorter than the token.
    pub fn rotate(&self, token: &[u8], iv: Iv, out: &mut [u8]) -> Result<usize, FernetError> {
        let verified = self.verify(token, None)?;
        let rotated = out
            .get_mut(..token.len())
            .ok_or(FernetError::BufferTooSmall)?;
        let body = rotated
            .get_mut(HEADER..)
            .ok_or(FernetError::BufferTooSmall)?;
        let plaintext_len = verified.decrypt_into(body)?.len();
        token::seal_in_place(self.first, verified.timestamp(), iv, plaintext_len, rotated)?;
        Ok(token.len())
    }

    /// [`Keyring::rotate`] for a token in text form, which becomes its own replacement. What the buffer holds
    /// after an error is unspecified, but never plaintext.
    ///
    /// # Errors
    /// [`FernetError::InvalidToken`] if the token is valid under no key.
    pub fn rotate_text_in_place(&self, text: &mut [u8], iv: Iv) -> Result<(), FernetError> {
        let token = token::decode_text_in_place(text)?;
        let len = token.len();
        let decrypted = self.decrypt_in_place(token, None)?;
        let timestamp = decrypted.timestamp();
        let plaintext_len = decrypted.plaintext().len();
        let token = text.get_mut(..len).ok_or(FernetError::InvalidToken)?;
        token::seal_in_place(self.first, timestamp, iv, plaintext_len, token)?;
        let tail = text.len().saturating_sub(len);
        text.copy_within(..len, tail);
        base64url::encode_from_tail(text, len);
        Ok(())
    }

    /// The key under which the token's MAC is right.
    fn authenticate(&self, parts: &Parts<'_>) -> Result<&'k FernetKey, FernetError> {
        self.all
            .iter()
            .find(|key| parts.authenticate(key).is_ok())
            .ok_or(FernetError::InvalidToken)
    }
}
