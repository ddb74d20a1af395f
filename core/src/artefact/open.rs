//! `Verified → Opened`: the plaintext body, with the digest that the header promises.

use core::fmt;
use core::mem;

use zeroize::Zeroize;

use super::{ArtefactError, BodyEncoding, HEADER_LEN, Header, Verified};
use crate::fernet::{FernetKey, VerifiedToken};
use crate::sign::sha512;

/// A model's plaintext body, authentic and with the right digest.
/// Only [`Verified::open`] and [`Verified::open_in_place`] make one.
///
/// A buffer that the body was decrypted into is wiped when this is dropped, so that a model that does not
/// load leaves nothing of itself behind.
pub struct Opened<'b> {
    pub(super) header: Header,
    body: Place<'b>,
}

enum Place<'b> {
    /// In the artefact.
    Clear(&'b [u8]),
    /// In the caller's buffer.
    Decrypted(&'b mut [u8]),
}

impl<'a> Verified<'a> {
    /// Decrypts the body into `buffer`, which needs [`Header::plaintext_len`] bytes.
    ///
    /// The token's MAC is checked over all of it before the first plaintext byte is written; its
    /// time is not judged. On an error the buffer holds nothing of the plaintext.
    ///
    /// # Errors
    ///
    /// [`ArtefactError::BodyIsClear`], [`ModelKey`](ArtefactError::ModelKey),
    /// [`BufferTooSmall`](ArtefactError::BufferTooSmall), [`Decrypt`](ArtefactError::Decrypt) or
    /// [`ModelDigest`](ArtefactError::ModelDigest), checked in this order.
    pub fn open<'b>(
        self,
        key: &FernetKey,
        buffer: &'b mut [u8],
    ) -> Result<Opened<'b>, ArtefactError> {
        let header = self.header;
        let BodyEncoding::Fernet { key: found } = header.encoding else {
            return Err(ArtefactError::BodyIsClear);
        };
        let given = key.key_id();
        if given != found {
            return Err(ArtefactError::ModelKey { given, found });
        }
        let buffer = buffer.get_mut(..header.plaintext_len as usize).ok_or(
            ArtefactError::BufferTooSmall {
                needed: header.plaintext_len,
            },
        )?;
        let token = self.body()?;
        let token = VerifiedToken::verify(key, token, None).map_err(|_| ArtefactError::Decrypt)?;
        // The last block's padding, read by the verification, decides the true length.
        if token.plaintext_len() != buffer.len() {
            return Err(ArtefactError::Decrypt);
        }
        let body = token
            .decrypt_into(buffer)
            .map_err(|_| ArtefactError::Decrypt)?;
        if sha512(&[body]) != header.model_digest {
            body.zeroize();
            return Err(ArtefactError::ModelDigest);
        }
        Ok(Opened {
            header,
            body: Place::Decrypted(body),
        })
    }

    /// Takes a clear body where it lies, without copying it.
    ///
    /// # Errors
    ///
    /// [`ArtefactError::BodyIsEncrypted`] or [`ModelDigest`](ArtefactError::ModelDigest).
    pub fn open_in_place(self) -> Result<Opened<'a>, ArtefactError> {
        let header = self.header;
        if header.encoding != BodyEncoding::Clear {
            return Err(ArtefactError::BodyIsEncrypted);
        }
        let body = self.body()?;
        if sha512(&[body]) != header.model_digest {
            return Err(ArtefactError::ModelDigest);
        }
        Ok(Opened {
            header,
            body: Place::Clear(body),
        })
    }

    /// The body as stored: what was signed, after the header.
    fn body(&self) -> Result<&'a [u8], ArtefactError> {
        let signed = self.signed.bytes();
        signed.get(HEADER_LEN..).ok_or(ArtefactError::Truncated)
    }
}

impl<'b> Opened<'b> {
    /// What the publisher says about the model.
    #[must_use]
    pub const fn header(&self) -> &Header {
        &self.header
    }

    pub(super) fn body_bytes(&self) -> &[u8] {
        match &self.body {
            Place::Clear(body) => body,
            Place::Decrypted(body) => body,
        }
    }

    /// Gives up the body, which is wiped no more.
    pub(super) fn into_body(mut self) -> &'b [u8] {
        match &mut self.body {
            Place::Clear(body) => body,
            Place::Decrypted(body) => mem::take::<&mut [u8]>(body),
        }
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        if let Self::Decrypted(body) = self {
            body.zeroize();
        }
    }
}

/// The plaintext may be secret: it is not shown.
impl fmt::Debug for Opened<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Opened")
            .field("header", &self.header)
            .finish_non_exhaustive()
    }
}
