//! `Verified → Opened`: the plaintext body, with the digest that the header promises; or a body that stays
//! encrypted, of which the same is known.

use core::fmt;
use core::mem;

use sha2::{Digest as _, Sha512};
use zeroize::{Zeroize, Zeroizing};

use super::{ArtefactError, BodyEncoding, HEADER_LEN, Header, Verified};
use crate::fernet::{FernetKey, VerifiedToken};
use crate::sign::{Digest512, sha512};

/// A model's plaintext body, authentic and with the right digest.
/// Only [`Verified::open`] and [`Verified::open_in_place`] make one.
///
/// A buffer that the body was decrypted into is wiped when this is dropped, so that a model that does not
/// load leaves nothing of itself behind.
pub struct Opened<'b> {
    pub(super) header: Header,
    pub(super) body: Place<'b>,
}

/// Where a plaintext body lies.
pub(super) enum Place<'b> {
    /// In the artefact.
    Clear(&'b [u8]),
    /// In the caller's buffer.
    Decrypted(&'b mut [u8]),
}

/// A model's body that stays encrypted where it lies: its MAC holds and its plaintext has the right digest.
/// Only [`Verified::open_streamed`] makes one.
///
/// It holds the cipher's key schedule, wiped when it is dropped, and of the plaintext nothing.
pub struct OpenedStreamed<'a> {
    pub(super) header: Header,
    pub(super) token: VerifiedToken<'a>,
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
    #[inline(never)] // its stack is free again when the network is proved
    pub fn open<'b>(
        &self,
        key: &FernetKey,
        buffer: &'b mut [u8],
    ) -> Result<Opened<'b>, ArtefactError> {
        let header = self.header;
        header.encrypted_with(key)?;
        let buffer = buffer.get_mut(..header.plaintext_len as usize).ok_or(
            ArtefactError::BufferTooSmall {
                needed: header.plaintext_len,
            },
        )?;
        let body = self
            .token(key)?
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

    /// Checks an encrypted body and leaves it as it lies; it needs no buffer.
    ///
    /// The token's MAC is checked over all of it, then the plaintext's digest, 128 bytes at a time. From
    /// here on the ciphertext is read again at each use, and its MAC is not: it must lie in memory that
    /// nobody else writes to, such as a microcontroller's internal flash.
    ///
    /// # Errors
    ///
    /// As [`Verified::open`], but for [`BufferTooSmall`](ArtefactError::BufferTooSmall).
    #[inline(never)] // its stack is free again when the network is proved
    pub fn open_streamed(&self, key: &FernetKey) -> Result<OpenedStreamed<'a>, ArtefactError> {
        let header = self.header;
        header.encrypted_with(key)?;
        let token = self.token(key)?;
        if plaintext_digest(&token) != header.model_digest {
            return Err(ArtefactError::ModelDigest);
        }
        Ok(OpenedStreamed { header, token })
    }

    /// Takes a clear body where it lies, without copying it.
    ///
    /// # Errors
    ///
    /// [`ArtefactError::BodyIsEncrypted`] or [`ModelDigest`](ArtefactError::ModelDigest).
    #[inline(never)] // its stack is free again when the network is proved
    pub fn open_in_place(&self) -> Result<Opened<'a>, ArtefactError> {
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

    /// The body as a token whose MAC holds and whose plaintext is as long as the header says.
    fn token(&self, key: &FernetKey) -> Result<VerifiedToken<'a>, ArtefactError> {
        let token = VerifiedToken::verify(key, self.body()?, None);
        let token = token.map_err(|_| ArtefactError::Decrypt)?;
        // The last block's padding, read by the verification, decides the true length.
        if token.plaintext_len() != self.header.plaintext_len as usize {
            return Err(ArtefactError::Decrypt);
        }
        Ok(token)
    }

    /// The body as stored: what was signed, after the header.
    fn body(&self) -> Result<&'a [u8], ArtefactError> {
        self.signed
            .get(HEADER_LEN..)
            .ok_or(ArtefactError::Truncated)
    }
}

/// SHA-512 of what a token holds.
fn plaintext_digest(token: &VerifiedToken<'_>) -> Digest512 {
    let mut hash = Sha512::new();
    let mut reader = token.reader();
    let mut piece = Zeroizing::new([0; PIECE]);
    while reader.remaining() > 0 {
        let read = reader.read(&mut *piece);
        hash.update(piece.get(..read).unwrap_or_default());
    }
    hash.finalize().into()
}

impl Header {
    /// Whether the body is encrypted, and with this key.
    fn encrypted_with(&self, key: &FernetKey) -> Result<(), ArtefactError> {
        let BodyEncoding::Fernet { key: found } = self.encoding else {
            return Err(ArtefactError::BodyIsClear);
        };
        let given = key.key_id();
        if given != found {
            return Err(ArtefactError::ModelKey { given, found });
        }
        Ok(())
    }
}

impl OpenedStreamed<'_> {
    /// What the publisher says about the model.
    #[must_use]
    pub const fn header(&self) -> &Header {
        &self.header
    }
}

impl<'b> Opened<'b> {
    /// What the publisher says about the model.
    #[must_use]
    pub const fn header(&self) -> &Header {
        &self.header
    }
}

impl<'b> Place<'b> {
    pub(super) fn bytes(&self) -> &[u8] {
        match self {
            Self::Clear(body) => body,
            Self::Decrypted(body) => body,
        }
    }

    /// Gives up the body, which is wiped no more.
    pub(super) fn keep(mut self) -> &'b [u8] {
        match &mut self {
            Self::Clear(body) => body,
            Self::Decrypted(body) => mem::take::<&mut [u8]>(body),
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

/// The plaintext may be secret: it is not shown.
impl fmt::Debug for OpenedStreamed<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OpenedStreamed")
            .field("header", &self.header)
            .finish_non_exhaustive()
    }
}

/// Bytes of plaintext that exist at once while a digest is made.
const PIECE: usize = 128;
