//! `&[u8] → Sealed`: well-formed, and nothing more.

use super::{ArtefactError, Header};
use crate::sign::SIGNATURE_LEN;

/// A file that has the form of a sealed model. Nobody vouches for what it says.
#[derive(Debug)]
pub struct Sealed<'a> {
    pub(super) header: Header,
    /// Header and body: what is signed.
    pub(super) signed: &'a [u8],
    pub(super) signature: &'a [u8; SIGNATURE_LEN],
}

impl<'a> Sealed<'a> {
    /// Reads a file's header and checks its form: every field known, lengths exactly the file's.
    ///
    /// # Errors
    ///
    /// [`ArtefactError`], the variants from `Truncated` to `Name`.
    pub fn parse(file: &'a [u8]) -> Result<Self, ArtefactError> {
        let header = Header::parse(file)?;
        // The header's parser made sure that header, body and signature are the whole file.
        let (signed, signature) = file.split_last_chunk().ok_or(ArtefactError::Truncated)?;
        Ok(Self {
            header,
            signed,
            signature,
        })
    }

    /// What the file claims to be: for showing, never for deciding.
    #[must_use]
    pub const fn untrusted_header(&self) -> &Header {
        &self.header
    }
}
