//! `&[u8] → Sealed`: well-formed, and nothing more.

use core::fmt;

use super::{ArtefactError, BodyEncoding, HEADER_LEN, Header, Names, section};
use crate::sign::SIGNATURE_LEN;
use crate::wire::Reader;

/// A file that has the form of a sealed model. Nobody vouches for what it says.
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

    /// Reads a file at the start of a longer memory, such as a flash slot. Its own header says where it
    /// ends; what follows is not looked at.
    ///
    /// # Errors
    ///
    /// As [`Sealed::parse`], but for [`ArtefactError::TrailingBytes`].
    pub fn parse_prefix(memory: &'a [u8]) -> Result<Self, ArtefactError> {
        let mut fields = Reader::new(memory);
        fields.bytes(BODY_LEN_OFFSET)?;
        let body_len = fields.u32()? as usize;
        let file = body_len
            .checked_add(HEADER_LEN + SIGNATURE_LEN)
            .and_then(|len| memory.get(..len));
        // If it would not fit, the parser says so, or what is wrong before that.
        Self::parse(file.unwrap_or(memory))
    }

    /// What the file claims to be: for showing, never for deciding.
    #[must_use]
    pub const fn untrusted_header(&self) -> &Header {
        &self.header
    }

    /// What a clear file claims that columns and classes are called: for showing, never for deciding. `None`
    /// for an encrypted one, which shows nothing of its body.
    ///
    /// # Errors
    ///
    /// [`ArtefactError`] if the body is not a sequence of sections.
    pub fn untrusted_names(&self) -> Result<Option<Names<'a>>, ArtefactError> {
        match (self.header.encoding, self.signed.get(HEADER_LEN..)) {
            (BodyEncoding::Clear, Some(body)) => {
                section::names(body, self.header.shape, self.header.quantisation.weights)
            }
            _ => Ok(None),
        }
    }
}

impl fmt::Debug for Sealed<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sealed")
            .field("header", &self.header)
            .finish_non_exhaustive()
    }
}

/// Where the header holds the stored length of the body.
const BODY_LEN_OFFSET: usize = 52;
