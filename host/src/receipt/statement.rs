//! In-toto Statement v1 (<https://github.com/in-toto/attestation/blob/main/spec/v1/statement.md>) about one
//! subject, which is named by its SHA-512 digest.

use sealnet_core::sign::Digest512;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::dsse;

/// A statement that says `P`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Statement<P> {
    #[serde(rename = "_type")]
    statement_type: String,
    subject: [Resource; 1],
    #[serde(rename = "predicateType")]
    predicate_type: String,
    pub(super) predicate: P,
}

/// A file by its name and digest: what in-toto calls a resource descriptor
/// (<https://github.com/in-toto/attestation/blob/main/spec/v1/resource_descriptor.md>).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Resource {
    /// What it is called.
    pub name: String,
    /// Of its bytes.
    pub digest: DigestSet,
}

/// What in-toto calls a digest set, of one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DigestSet {
    /// 128 hexadecimal digits.
    pub sha512: String,
}

impl Resource {
    /// The file `name` with this digest.
    pub fn new(name: &str, sha512: &Digest512) -> Resource {
        Resource {
            name: name.into(),
            digest: DigestSet {
                sha512: hex::encode(sha512),
            },
        }
    }
}

/// What kind of statement it is, whatever else it says.
#[derive(Deserialize)]
struct Types {
    #[serde(rename = "_type")]
    statement_type: String,
    #[serde(rename = "predicateType")]
    predicate_type: String,
}

impl<P> Statement<P> {
    pub(super) fn new(name: &str, sha512: &Digest512, predicate_type: &str, predicate: P) -> Self {
        Statement {
            statement_type: STATEMENT_TYPE.into(),
            subject: [Resource::new(name, sha512)],
            predicate_type: predicate_type.into(),
            predicate,
        }
    }

    pub(super) fn subject_name(&self) -> &str {
        let [subject] = &self.subject;
        &subject.name
    }

    /// Hexadecimal.
    pub(super) fn subject_sha512(&self) -> &str {
        let [subject] = &self.subject;
        &subject.digest.sha512
    }
}

impl<P: DeserializeOwned> Statement<P> {
    /// Reads a statement of one kind.
    pub(super) fn parse(document: &[u8], predicate_type: &str) -> Result<Self, String> {
        // The kind first: of another one, that it has other members says nothing.
        let types: Types = serde_json::from_slice(document).map_err(|e| e.to_string())?;
        for (found, expected) in [
            (&*types.statement_type, STATEMENT_TYPE),
            (&*types.predicate_type, predicate_type),
        ] {
            if found != expected {
                return Err(format!(
                    "it is of type {found:?}; only {expected:?} is known"
                ));
            }
        }
        dsse::from_json_strict(document)
    }
}

const STATEMENT_TYPE: &str = "https://in-toto.io/Statement/v1";
