//! `Sealed → Verified`: the publisher's, unchanged, and not too old.

use core::fmt;

use super::{ArtefactError, Header, Sealed};
use crate::sign::{Authentic, Domain, Signature, TrustedKey};

/// A sealed model whose signature holds under a trusted key and whose counter is high enough.
/// Only [`Sealed::verify`] makes one.
pub struct Verified<'a> {
    pub(super) header: Header,
    pub(super) signed: Authentic<'a>,
}

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
        let header = self.header;
        if header.scheme != trusted.scheme() {
            return Err(ArtefactError::SchemeMismatch {
                trusted: trusted.scheme(),
                found: header.scheme,
            });
        }
        if header.signing_key != trusted.key_id() {
            return Err(ArtefactError::SigningKey {
                trusted: trusted.key_id(),
                found: header.signing_key,
            });
        }
        let signature = Signature::from_bytes(*self.signature);
        let signed = trusted
            .verify(Domain::Model, self.signed, &signature)
            .map_err(|_| ArtefactError::Signature)?;
        if header.security_counter < min_counter {
            return Err(ArtefactError::Rollback {
                found: header.security_counter,
                minimum: min_counter,
            });
        }
        Ok(Verified { header, signed })
    }
}

impl Verified<'_> {
    /// What the publisher says about the model.
    #[must_use]
    pub const fn header(&self) -> &Header {
        &self.header
    }
}

impl fmt::Debug for Verified<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Verified")
            .field("header", &self.header)
            .finish_non_exhaustive()
    }
}
