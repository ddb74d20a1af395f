//! The training receipt: what trained which weights, signed by the owner.
//!
//! A DSSE envelope ([`crate::dsse`]; domain `sealnet/v1/training-receipt`) of type
//! `application/vnd.in-toto+json` around an in-toto Statement v1
//! (<https://github.com/in-toto/attestation/blob/main/spec/v1/statement.md>):
//!
//! ```text
//! _type          "https://in-toto.io/Statement/v1"
//! subject        one: name of the weight file, digest.sha512 of its bytes, hexadecimal
//! predicateType  "urn:sealnet:training-receipt:v1"
//! predicate      [`Training`]
//! ```
//!
//! Unknown and duplicate members are errors. It lies beside the weights as `NAME.receipt.json`.

mod training;

use std::path::{Path, PathBuf};

use sealnet_core::sign::{Digest512, Domain, SigningKey, TrustedKey, sha512};
use serde::{Deserialize, Serialize};

use crate::dsse;
use crate::error::{Error, Result};
use crate::files;

pub use training::{
    Data, EpochScore, Origin, Quarantined, Score, Software, Split, Training, Widths, records_digest,
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
    let statement = Statement {
        statement_type: STATEMENT_TYPE.into(),
        subject: [Subject {
            name: name.into(),
            digest: SubjectDigest {
                sha512: hex::encode(sha512(&[weights])),
            },
        }],
        predicate_type: PREDICATE_TYPE.into(),
        predicate: training.clone(),
    };
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
    let payload = dsse::verify(receipt, PAYLOAD_TYPE, owner, Domain::TrainingReceipt)
        .map_err(|e| refused(e.to_string()))?;
    let statement = Statement::parse(&payload).map_err(refused)?;
    let [subject] = &statement.subject;
    let digest = hex::encode(sha512(&[weights]));
    if subject.digest.sha512 != digest {
        return Err(refused(format!(
            "it is about other weights: {}… and not {}…",
            subject.digest.sha512.get(..16).unwrap_or_default(),
            &digest[..16]
        )));
    }
    Ok(Verified {
        training: statement.predicate,
        digest: sha512(&[receipt]),
    })
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

/// Where the receipt of the weights in `path` lies: `model.safetensors.receipt.json` beside them.
pub fn path_beside(weights: &Path) -> PathBuf {
    let mut name = weights.file_name().unwrap_or_default().to_owned();
    name.push(".receipt.json");
    weights.with_file_name(name)
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Statement {
    #[serde(rename = "_type")]
    statement_type: String,
    subject: [Subject; 1],
    #[serde(rename = "predicateType")]
    predicate_type: String,
    predicate: Training,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Subject {
    name: String,
    digest: SubjectDigest,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct SubjectDigest {
    sha512: String,
}

impl Statement {
    fn parse(payload: &[u8]) -> Result<Statement, String> {
        let statement: Statement = dsse::from_json_strict(payload)?;
        for (found, expected) in [
            (&statement.statement_type, STATEMENT_TYPE),
            (&statement.predicate_type, PREDICATE_TYPE),
        ] {
            if found != expected {
                return Err(format!(
                    "it is of type {found:?}; only {expected:?} is known"
                ));
            }
        }
        Ok(statement)
    }
}

fn refused(reason: impl std::fmt::Display) -> Error {
    Error::verification(
        format!("the training receipt is refused: {reason}"),
        "use the weights and the receipt as `sealnet train` wrote them, with the same owner's keys",
    )
}

const STATEMENT_TYPE: &str = "https://in-toto.io/Statement/v1";
const PREDICATE_TYPE: &str = "urn:sealnet:training-receipt:v1";
/// Payload type of a receipt's envelope (in-toto Attestation Framework, envelope layer).
pub const PAYLOAD_TYPE: &str = "application/vnd.in-toto+json";
/// Most records that a receipt names as set aside: training on what is left of worse data is refused.
pub const MAX_QUARANTINED: usize = 10_000;

/// Most bytes of a receipt's file: what there is once, and in base64 each epoch (10,000 of them) and each
/// record set aside.
pub const MAX_BYTES: u64 = (1 << 20) + 10_000 * 512 + MAX_QUARANTINED as u64 * 512;
