//! Signed JSON documents: DSSE envelopes (<https://github.com/secure-systems-lab/dsse>, protocol v1).
//!
//! ```text
//! {"payload":"BASE64","payloadType":"TYPE","signatures":[{"keyid":"HEX16","sig":"BASE64"}]}
//! ```
//!
//! The payload is the document's exact bytes. What is signed is DSSE's pre-authentication encoding
//!
//! ```text
//! PAE = "DSSEv1" SP len(TYPE) SP TYPE SP len(payload) SP payload      (lengths in decimal, SP one space)
//! ```
//!
//! by the project's one rule for signatures ([`sealnet_core::sign`]): Ed25519 or HMAC-SHA-512 over
//! `domain ‖ 0x00 ‖ SHA-512(PAE)`. There is exactly one signature; base64 is that of RFC 4648, section 4,
//! with padding; `keyid` is the signing key's id, in 16 lowercase hexadecimal digits. The payload is parsed only
//! after its signature has been verified, and never written again.
//!
//! An envelope has exactly the bytes shown: members in this order, no white space but one LF at the end, no
//! escapes that JSON does not ask for. The signature does not cover the envelope, and the digest by which a
//! document is known does: were other spellings read, one signed document could pass for two.

use std::collections::HashSet;
use std::fmt;

use base64ct::{Base64, Encoding};
use sealnet_core::sign::{Domain, Signature, SigningKey, TrustedKey};
use serde::de::{
    DeserializeOwned, DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess,
};
use serde::{Deserialize, Serialize};

use crate::error::Error;

/// Signs a document's exact bytes and wraps both into an envelope: one line with an LF at its end.
pub fn sign_json(payload_type: &str, payload: &[u8], key: &SigningKey, domain: Domain) -> Vec<u8> {
    let signature = key.sign(domain, &[&pae(payload_type, payload)]);
    let envelope = Envelope {
        payload: Base64::encode_string(payload),
        payload_type: payload_type.to_owned(),
        signatures: vec![EnvelopeSignature {
            keyid: key.key_id().to_string(),
            sig: Base64::encode_string(&signature.to_bytes()),
        }],
    };
    envelope.to_bytes()
}

/// Verifies an envelope and gives the payload's exact bytes.
///
/// # Errors
/// [`DsseError`] when it is not an envelope, is signed by another key, holds another type of document,
/// or does not verify.
pub fn verify(
    envelope: &[u8],
    payload_type: &str,
    key: &TrustedKey,
    domain: Domain,
) -> Result<Vec<u8>, DsseError> {
    let parsed = peek(envelope)?;
    let expected = key.key_id().to_string();
    if parsed.key_id != expected {
        return Err(DsseError::Key {
            expected,
            found: parsed.key_id,
        });
    }
    let pae = pae(&parsed.payload_type, &parsed.payload);
    key.verify_parts(domain, &[&pae], &parsed.signature)
        .map_err(|_| DsseError::Signature)?;
    // The type is signed too: a mismatch here is another genuine document in this one's place.
    if parsed.payload_type != payload_type {
        return Err(DsseError::PayloadType {
            expected: payload_type.to_owned(),
            found: parsed.payload_type,
        });
    }
    Ok(parsed.payload)
}

/// What an envelope claims. Nothing in it has been verified.
#[derive(Debug, Clone)]
pub struct Untrusted {
    /// The type of document.
    pub payload_type: String,
    /// The document.
    pub payload: Vec<u8>,
    /// The id of the key that is said to have signed it.
    pub key_id: String,
    signature: Signature,
}

/// Takes an envelope apart without verifying it: to show what a file claims to be.
///
/// # Errors
/// [`DsseError::Form`] when it is not an envelope.
pub fn peek(envelope: &[u8]) -> Result<Untrusted, DsseError> {
    let form = |what: &str| DsseError::Form(what.to_owned());
    let parsed: Envelope = from_json_strict(envelope).map_err(DsseError::Form)?;
    let [signature] = parsed.signatures.as_slice() else {
        return Err(DsseError::Form(format!(
            "{} signatures instead of one",
            parsed.signatures.len()
        )));
    };
    let hexadecimal = |c: u8| c.is_ascii_digit() || (b'a'..=b'f').contains(&c);
    if signature.keyid.len() != 16 || !signature.keyid.bytes().all(hexadecimal) {
        return Err(form("the key id is not 16 lowercase hexadecimal digits"));
    }
    if parsed.to_bytes() != envelope {
        return Err(form(
            "its bytes were written anew: members, white space or escapes are not as signed documents have them",
        ));
    }
    let payload =
        Base64::decode_vec(&parsed.payload).map_err(|_| form("the payload is not base64"))?;
    let mut bytes = [0; 64];
    match Base64::decode(&signature.sig, &mut bytes) {
        Ok(decoded) if decoded.len() == 64 => {}
        _ => return Err(form("the signature is not 64 bytes in base64")),
    }
    Ok(Untrusted {
        payload_type: parsed.payload_type,
        payload,
        key_id: signature.keyid.clone(),
        signature: Signature::from_bytes(bytes),
    })
}

/// Why an envelope was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DsseError {
    /// It is not an envelope.
    #[error("not a signed document (DSSE envelope): {0}")]
    Form(String),
    /// It names another signing key.
    #[error("signed by key {found}, not by the trusted key {expected}")]
    Key {
        /// The trusted key's id.
        expected: String,
        /// What the envelope says.
        found: String,
    },
    /// The signature is not the trusted key's over these bytes.
    #[error("the signature does not verify: the document was changed, or its key is another")]
    Signature,
    /// It is genuine but of another type.
    #[error("a document of type {found} instead of {expected}")]
    PayloadType {
        /// What was asked for.
        expected: String,
        /// What it is.
        found: String,
    },
}

impl From<DsseError> for Error {
    fn from(error: DsseError) -> Error {
        Error::verification(
            error.to_string(),
            "do not use it; get it again from where it was made",
        )
    }
}

/// Parses JSON that must be exactly one document, without duplicate members anywhere, and of bounded
/// size. `T` refuses unknown members itself: `#[serde(deny_unknown_fields)]` on every struct in it.
///
/// # Errors
/// What is wrong and where.
pub fn from_json_strict<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, String> {
    if bytes.len() > MAX_JSON {
        return Err(format!("larger than {MAX_JSON} bytes"));
    }
    let mut parser = serde_json::Deserializer::from_slice(bytes);
    NoDuplicates
        .deserialize(&mut parser)
        .and_then(|()| parser.end())
        .map_err(|e| e.to_string())?;
    serde_json::from_slice(bytes).map_err(|e| e.to_string())
}

/// DSSE's pre-authentication encoding.
pub fn pae(payload_type: &str, payload: &[u8]) -> Vec<u8> {
    let mut bytes = format!(
        "DSSEv1 {} {payload_type} {} ",
        payload_type.len(),
        payload.len()
    )
    .into_bytes();
    bytes.extend_from_slice(payload);
    bytes
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Envelope {
    payload: String,
    #[serde(rename = "payloadType")]
    payload_type: String,
    signatures: Vec<EnvelopeSignature>,
}

impl Envelope {
    /// The one form it has.
    fn to_bytes(&self) -> Vec<u8> {
        // Strings and a list of them always serialise.
        let mut bytes = serde_json::to_vec(self).unwrap_or_default();
        bytes.push(b'\n');
        bytes
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct EnvelopeSignature {
    keyid: String,
    sig: String,
}

/// Walks a JSON value of any form and refuses an object that names a member twice. Depth is bounded by
/// `serde_json` (128).
struct NoDuplicates;

impl<'de> DeserializeSeed<'de> for NoDuplicates {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, source: D) -> Result<(), D::Error> {
        source.deserialize_any(self)
    }
}

impl<'de> serde::de::Visitor<'de> for NoDuplicates {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E>(self, _: &str) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        while items.next_element_seed(NoDuplicates)?.is_some() {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<(), A::Error> {
        let mut seen = HashSet::new();
        while let Some(name) = members.next_key::<String>()? {
            members.next_value_seed(NoDuplicates)?;
            if let Some(twice) = seen.replace(name) {
                return Err(A::Error::custom(format!("member {twice:?} appears twice")));
            }
        }
        Ok(())
    }
}

/// Far above any document there is: a manifest object has at most 64 MiB, see
/// [`MAX_MANIFEST_BYTES`](crate::vault::manifest::MAX_MANIFEST_BYTES).
const MAX_JSON: usize = 256 << 20;

#[cfg(test)]
mod tests;
