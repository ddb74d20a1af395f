//! Sealed models on the host: from a file through the proof chain to a network that may answer.

use std::path::Path;

use sealnet_core::artefact::{
    ArtefactError, BodyEncoding, DeployedAny, FORMAT_VERSION, Header, Sealed,
};
use sealnet_core::fernet::FernetKey;
use sealnet_core::sign::TrustedKey;
use zeroize::Zeroizing;

use crate::error::{Error, Result};
use crate::files;

/// The bytes of a sealed model, of which nothing is trusted yet.
#[derive(Debug)]
pub struct ModelFile {
    name: String,
    bytes: Vec<u8>,
}

impl ModelFile {
    /// Reads a file.
    ///
    /// # Errors
    /// [`Error::Io`] when it cannot be read, [`Error::Input`] when it is larger than any model.
    pub fn read(path: &Path) -> Result<ModelFile> {
        let bytes = files::read_limited(path, LIMIT)?;
        Ok(ModelFile::from_bytes(path.display().to_string(), bytes))
    }

    /// A model in memory; `name` is what errors call it.
    pub fn from_bytes(name: String, bytes: Vec<u8>) -> ModelFile {
        ModelFile { name, bytes }
    }

    /// The bytes.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The bytes.
    pub fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }

    /// Takes the model through the chain (parse, verify, open, load with its golden vectors) and lends it
    /// to `work`. `key` opens an encrypted body.
    ///
    /// # Errors
    /// [`Error::Verification`] with the reason when a step refuses, [`Error::Input`] when the model is of a
    /// newer version, and what `work` gives.
    pub fn deployed<T>(
        &self,
        trusted: &TrustedKey,
        key: Option<&FernetKey>,
        min_counter: u32,
        work: impl FnOnce(&DeployedAny<'_>) -> Result<T>,
    ) -> Result<T> {
        let refused = |e: ArtefactError| self.refused(e);
        let sealed = Sealed::parse(&self.bytes).map_err(refused)?;
        let verified = sealed.verify(trusted, min_counter).map_err(refused)?;
        let header = *verified.header();
        let length = match header.encoding {
            BodyEncoding::Clear => 0,
            BodyEncoding::Fernet { .. } => header.plaintext_len as usize,
        };
        let mut plaintext = Zeroizing::new(vec![0; length]);
        let opened = match (header.encoding, key) {
            (BodyEncoding::Clear, _) => verified.open_in_place().map_err(refused)?,
            (BodyEncoding::Fernet { .. }, Some(key)) => {
                verified.open(key, &mut plaintext).map_err(refused)?
            }
            (BodyEncoding::Fernet { .. }, None) => {
                return Err(Error::verification(
                    format!(
                        "{} is encrypted, and this device has no model key",
                        self.name
                    ),
                    "use a device with one, or export the model with --clear",
                ));
            }
        };
        let mut scratch = vec![0; header.shape.golden_scratch_len()];
        let mut logits = vec![0; usize::from(header.shape.output())];
        let deployed = opened
            .load_any(&mut scratch, &mut logits)
            .map_err(refused)?;
        work(&deployed)
    }

    /// Verifies the signature alone, and gives the header that it covers: to know which model it is, not to
    /// run it.
    ///
    /// # Errors
    /// As [`deployed`](Self::deployed).
    pub fn verified(&self, trusted: &TrustedKey) -> Result<Header> {
        let sealed = Sealed::parse(&self.bytes).map_err(|e| self.refused(e))?;
        let verified = sealed.verify(trusted, 0).map_err(|e| self.refused(e))?;
        Ok(*verified.header())
    }

    fn refused(&self, error: ArtefactError) -> Error {
        // Nothing says that it is wrong: as with a newer vault, it is only not understood here.
        if let ArtefactError::Version(version) = error
            && version > FORMAT_VERSION
        {
            return Error::input(
                format!(
                    "{} cannot be read: it was made by a newer sealnet, in version {version}, and this one \
                     reads version {FORMAT_VERSION}",
                    self.name
                ),
                "use the sealnet that made it, or a later one",
            );
        }
        let hint = match error {
            ArtefactError::Rollback { .. } => {
                "use the newest model; --min-counter says which is the oldest to be taken"
            }
            ArtefactError::SchemeMismatch { .. } | ArtefactError::SigningKey { .. } => {
                "use the keys of the publisher that signed it, and of a device that it was signed for"
            }
            ArtefactError::ModelKey { .. } => "use the keys that it was encrypted for",
            _ => "get it again from its publisher",
        };
        Error::verification(format!("{} is refused: {error}", self.name), hint)
    }
}

/// The format's lengths are 32 bits; a model for a microcontroller is far smaller than this.
const LIMIT: u64 = 1 << 30;
