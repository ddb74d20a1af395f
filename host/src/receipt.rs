//! The training receipt: what trained which weights, signed by the owner.
//!
//! A DSSE envelope ([`crate::dsse`]; domain `sealnet/v1/training-receipt`) of type
//! `application/vnd.in-toto+json` around an in-toto Statement v1
//! (<https://github.com/in-toto/attestation/blob/main/spec/v1/statement.md>):
//!
//! ```text
//! _type          "https://in-toto.io/Statement/v1"
//! subject        one: name of the weight file, digest.sha512 of its bytes, hexadecimal
//! predicateType  "urn:sealnet:training-receipt:v2"
//! predicate      [`Training`]:
//!                what decided the weights
//!   data           [`Data`]: source, name, label, origin, records, records_sha512, quarantined
//!     origin         [`Origin`]: "unsealed", or of one member
//!                    manifest: { manifest: { name, digest: { sha512 } }, dataset_id, serial } or
//!                    unsigned-vault: { dataset_id, profile }
//!     records_sha512 [`records_digest`], hexadecimal
//!     quarantined    array of { record, check, cause }: what failed and was set aside
//!   split          [`Split`]: seed or null, and the numbers of training, validation and test records
//!   network        [`Widths`]: inputs, hidden (array of two), classes
//!   recipe         [`Recipe`](crate::train::Recipe) in full, whatever it is called
//!   seed           u64: first weights and the order of the records
//!   numerics       [`Numerics`](crate::train::numerics::Numerics): version, libm, rand_chacha
//!                what came of it
//!   epochs         array of { training, validation }, each { loss, accuracy }
//!   teacher_epochs the same of a recipe's teacher; left out where there is none
//!   validation     { loss, accuracy } after the last epoch
//!   test           { loss, accuracy } after the last epoch
//!                what trained
//!   software       { name, version }
//!                what had no influence on the weights
//!   run            [`Run`]: backend, threads, machine, seconds, created
//! ```
//!
//! The members stand in this order; unknown and duplicate ones are errors, and so is a recipe that no training
//! takes. Numbers are JSON numbers: whole ones exact, losses, accuracies and hyper-parameters the shortest
//! decimal that reads as the same `f64`; those of `augmentation`, and a teacher's `dropout`, as the same `f32`. Who has the data trains again with what the first part says and gets
//! weights of the subject's digest and the same second part, to the bit, whatever `run` says:
//! [`reproduce`](crate::reproduce), and `sealnet reproduce` on the command line.
//!
//! It lies beside the weights as `NAME.receipt.json`. Version 1 had neither `numerics` nor `run`; it is
//! refused.
//!
//! A device's receipt for an answer is another document: [`device`].

pub mod check;
pub mod device;
mod records;
mod statement;
mod training;

use std::path::{Path, PathBuf};

use sealnet_core::sign::{Digest512, Domain, KeyId, SigningKey, TrustedKey, sha512};
use serde::Deserialize;
use serde::de::IgnoredAny;

use crate::dsse;
use crate::error::{Error, Result};
use crate::files;
use statement::Statement;

pub use records::records_digest;
pub use statement::{DigestSet, Resource};
pub use training::{
    Data, EpochScore, Origin, Quarantined, Run, Score, Software, Split, Training, Widths,
};

/// A receipt that was verified, for weights that match it. Only [`verify`] makes one.
#[derive(Debug, Clone)]
pub struct Verified {
    training: Training,
    digest: Digest512,
}

impl Verified {
    /// What the receipt says.
    pub fn training(&self) -> &Training {
        &self.training
    }

    /// SHA-512 of the receipt's file.
    pub fn digest(&self) -> &Digest512 {
        &self.digest
    }
}

/// Signs a receipt for a weight file: the bytes of the receipt's file.
pub fn sign(training: &Training, name: &str, weights: &[u8], owner: &SigningKey) -> Vec<u8> {
    let statement = Statement::new(name, &sha512(&[weights]), PREDICATE_TYPE, training.clone());
    // Strings and finite numbers always serialise.
    let payload = serde_json::to_vec_pretty(&statement).unwrap_or_default();
    dsse::sign_json(PAYLOAD_TYPE, &payload, owner, Domain::TrainingReceipt)
}

/// Verifies a receipt's file and that it is about the weight file with the bytes `weights`.
///
/// # Errors
/// [`Error::Verification`] with the reason: not signed by `owner`, changed, of another kind, or about
/// other weights.
pub fn verify(receipt: &[u8], weights: &[u8], owner: &TrustedKey) -> Result<Verified> {
    verify_alone(receipt, owner)?.about(weights)
}

/// Verifies a receipt's file where the weights are not at hand: what it says is the owner's, and which weights
/// it is about is known by their digest alone.
///
/// # Errors
/// [`Error::Verification`] with the reason: not signed by `owner`, changed, or of another kind.
pub fn verify_alone(receipt: &[u8], owner: &TrustedKey) -> Result<Alone> {
    let payload = dsse::verify(receipt, PAYLOAD_TYPE, owner, Domain::TrainingReceipt)
        .map_err(|e| refused(e.to_string()))?;
    let statement: Statement<Training> =
        Statement::parse(&payload, PREDICATE_TYPE).map_err(refused)?;
    let recipe = &statement.predicate.recipe;
    recipe
        .check()
        .map_err(|wrong| refused(format!("its recipe: {wrong}")))?;
    Ok(Alone {
        statement,
        key_id: owner.key_id(),
        digest: sha512(&[receipt]),
    })
}

/// A receipt that was verified, for weights that nobody has looked at. Only [`verify_alone`] makes one.
#[derive(Debug, Clone)]
pub struct Alone {
    statement: Statement<Training>,
    key_id: KeyId,
    digest: Digest512,
}

impl Alone {
    /// What the receipt says.
    pub fn training(&self) -> &Training {
        &self.statement.predicate
    }

    /// The id of the owner's key, which signed it.
    pub fn key_id(&self) -> KeyId {
        self.key_id
    }

    /// What the weight file was called.
    pub fn weights_name(&self) -> &str {
        self.statement.subject_name()
    }

    /// SHA-512 of the weight file, hexadecimal.
    pub fn weights_sha512(&self) -> &str {
        self.statement.subject_sha512()
    }

    /// Goes on to weights that match the receipt.
    ///
    /// # Errors
    /// [`Error::Verification`] when it is about others than the weight file with the bytes `weights`.
    pub fn about(self, weights: &[u8]) -> Result<Verified> {
        let (digest, said) = (hex::encode(sha512(&[weights])), self.weights_sha512());
        if said != digest {
            return Err(refused(format!(
                "it is about other weights: {}… and not {}…",
                said.get(..16).unwrap_or_default(),
                &digest[..16]
            )));
        }
        Ok(Verified {
            training: self.statement.predicate,
            digest: self.digest,
        })
    }
}

/// Reads and verifies the receipt in `path` for the weights in `weights`.
///
/// # Errors
/// [`Error::Verification`] as [`verify`], and when there is no receipt; [`Error::Io`] when it cannot be
/// read.
pub fn read(path: &Path, weights: &[u8], owner: &TrustedKey) -> Result<Verified> {
    if !path.exists() {
        return Err(Error::verification(
            format!("there is no training receipt {}", path.display()),
            "name it with --receipt, train again, or take the risk with --unverified-weights",
        ));
    }
    let bytes = files::read_limited(path, MAX_BYTES)?;
    verify(&bytes, weights, owner).map_err(|e| match e {
        Error::Verification { what, hint } => Error::Verification {
            what: format!("{}: {what}", path.display()),
            hint,
        },
        other => other,
    })
}

/// SHA-512, hexadecimal, of the weight file that a receipt's file claims to be about. Nothing is verified.
///
/// # Errors
/// A reason: it is no training receipt.
pub fn untrusted_weights_sha512(receipt: &[u8]) -> Result<String, String> {
    let envelope = dsse::peek(receipt).map_err(|e| e.to_string())?;
    let statement: Statement<Training> = Statement::parse(&envelope.payload, PREDICATE_TYPE)?;
    Ok(statement.subject_sha512().to_owned())
}

/// Whether a file seems to be a signed document, as a training receipt is, rather than devices' receipts.
pub fn is_envelope(file: &[u8]) -> bool {
    #[derive(Deserialize)]
    struct Envelope {
        #[serde(rename = "payloadType")]
        _payload_type: IgnoredAny,
    }
    let mut documents = serde_json::Deserializer::from_slice(file).into_iter::<Envelope>();
    documents.next().is_some_and(|first| first.is_ok())
}

/// Where the receipt of the weights in `path` lies: `model.safetensors.receipt.json` beside them.
pub fn path_beside(weights: &Path) -> PathBuf {
    let mut name = weights.file_name().unwrap_or_default().to_owned();
    name.push(".receipt.json");
    weights.with_file_name(name)
}

fn refused(reason: impl std::fmt::Display) -> Error {
    Error::verification(
        format!("{REFUSED}{reason}"),
        "use the weights and the receipt as `sealnet train` wrote them, with the same owner's keys",
    )
}

const REFUSED: &str = "the training receipt is refused: ";
const PREDICATE_TYPE: &str = "urn:sealnet:training-receipt:v2";
/// Payload type of a receipt's envelope (in-toto Attestation Framework, envelope layer).
pub const PAYLOAD_TYPE: &str = "application/vnd.in-toto+json";
/// Most records that a receipt names as set aside: training on what is left of worse data is refused.
pub const MAX_QUARANTINED: usize = 10_000;

/// Most bytes of a receipt's file: what there is once, and in base64 each epoch (10,000, and of a teacher as many) and each
/// record set aside.
pub const MAX_BYTES: u64 = (1 << 20) + 20_000 * 512 + MAX_QUARANTINED as u64 * 512;
