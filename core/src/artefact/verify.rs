//! `Sealed → Verified`: the publisher's, unchanged, and not too old.

use core::fmt;

use super::{ArtefactError, Header, Sealed};
use crate::sign::{Domain, Matched, Message, SIGNATURE_LEN, Signature, TrustedKey};

/// A sealed model whose signature holds under a trusted key and whose counter is high enough.
/// Only [`Sealed::verify`] makes one.
pub struct Verified<'a> {
    pub(super) header: Header,
    /// Header and body, which the signature covers.
    pub(super) signed: &'a [u8],
    message: Message,
    matched: Matched,
}

/// What a verified file was hashed to. Only [`Verified::hashed`] makes one.
#[derive(Clone, Copy, Debug)]
pub struct Hashed(Message);

impl<'a> Sealed<'a> {
    /// Checks the signature over header and body, and that the model is not an older one.
    ///
    /// `trusted` fixes the scheme: a header that names another is refused, never obeyed.
    /// `min_counter` is the lowest security counter accepted.
    ///
    /// # Errors
    ///
    /// [`ArtefactError::SchemeMismatch`], [`SigningKey`](ArtefactError::SigningKey),
    /// [`Signature`](ArtefactError::Signature) or [`Rollback`](ArtefactError::Rollback), checked
    /// in this order.
    pub fn verify(
        self,
        trusted: &TrustedKey,
        min_counter: u32,
    ) -> Result<Verified<'a>, ArtefactError> {
        let message = Message::new(Domain::Model, &[self.signed]);
        let matched = self.check(trusted, min_counter, &message)?;
        Ok(Verified {
            header: self.header,
            signed: self.signed,
            message,
            matched,
        })
    }

    /// Makes every check of [`verify`](Self::verify) again, on a file that was verified before and hashed then.
    ///
    /// One fault, such as an instruction that a glitch skips, can make a core pass one check wrongly and not
    /// two. What this compares should be read from its source again too: file, key and counter.
    ///
    /// # Errors
    ///
    /// As [`verify`](Self::verify).
    pub fn verify_again(
        &self,
        trusted: &TrustedKey,
        min_counter: u32,
        hashed: &Hashed,
    ) -> Result<Matched, ArtefactError> {
        self.check(trusted, min_counter, &hashed.0)
    }

    /// Called twice at a boot, and so never a part of its caller, where both could be skipped at once.
    #[inline(never)]
    fn check(
        &self,
        trusted: &TrustedKey,
        min_counter: u32,
        message: &Message,
    ) -> Result<Matched, ArtefactError> {
        let header = &self.header;
        if header.scheme != trusted.scheme() {
            return Err(ArtefactError::SchemeMismatch {
                trusted: trusted.scheme(),
                found: header.scheme,
            });
        }
        let trusted_id = trusted.key_id();
        if header.signing_key != trusted_id {
            return Err(ArtefactError::SigningKey {
                trusted: trusted_id,
                found: header.signing_key,
            });
        }
        let signature = Signature::from_bytes(*self.signature);
        let matched = trusted
            .verify_message(message, &signature)
            .map_err(|_| ArtefactError::Signature)?;
        if header.security_counter < min_counter {
            return Err(ArtefactError::Rollback {
                found: header.security_counter,
                minimum: min_counter,
            });
        }
        Ok(matched
            .and(header.scheme == trusted.scheme())
            .and(header.signing_key == trusted_id)
            .and(header.security_counter >= min_counter))
    }
}

impl Verified<'_> {
    /// What the publisher says about the model.
    #[must_use]
    pub const fn header(&self) -> &Header {
        &self.header
    }

    /// Bytes of the file, from the header to the signature.
    #[must_use]
    pub const fn file_len(&self) -> usize {
        self.signed.len() + SIGNATURE_LEN
    }

    /// What its checks came to, for a device that counts on faults.
    #[must_use]
    pub const fn matched(&self) -> Matched {
        self.matched
    }

    /// What the file was hashed to, for [`Sealed::verify_again`].
    #[must_use]
    pub const fn hashed(&self) -> Hashed {
        Hashed(self.message)
    }
}

impl fmt::Debug for Verified<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Verified")
            .field("header", &self.header)
            .finish_non_exhaustive()
    }
}
