//! A device's receipt for one answer, kept outside the wire.
//!
//! The device signs 320 bytes, whose table is in [`sealnet_core::protocol`] (domain
//! `sealnet/v1/device-receipt`). They are kept in one of two forms, and a file holds one or more of either:
//!
//! **Binary**: the 320 bytes, one receipt after another with nothing between.
//!
//! **JSON**: an in-toto Statement v1
//! (<https://github.com/in-toto/attestation/blob/main/spec/v1/statement.md>) that carries those bytes beside
//! what they say; of several, each on a line of its own. All numbers are those of the table, digests are
//! hexadecimal in lowercase:
//!
//! ```text
//! _type                       "https://in-toto.io/Statement/v1"
//! subject                     one: name "model", digest.sha512 the model digest
//! predicateType               "urn:sealnet:device-receipt:v1"
//! predicate.receipt           the 320 bytes in base64 (RFC 4648, section 4, with padding)
//! predicate.scheme            "hmac-sha512" or "ed25519"
//! predicate.device            the device id without the zeros after it; 32 hexadecimal digits if that is no name
//! predicate.firmware_version  number
//! predicate.boot              number
//! predicate.message           number
//! predicate.nonce             32 hexadecimal digits
//! predicate.request_sha512    the request digest
//! predicate.label             number
//! predicate.logits_sha512     the logits digest
//! predicate.verdict           "not-evaluated", "accept" or "suspicious"
//! ```
//!
//! Only the carried bytes are verified. The other members are for people and queries: one that says anything
//! else than the bytes do is an error, and so is one that is missing, unknown or there twice. White space and
//! the order of members mean nothing.

use base64ct::{Base64, Encoding};
use sealnet_core::protocol::{
    DeviceId, RECEIPT_LEN, Receipt, ReceiptError, UnverifiedReceipt, VerifiedReceipt,
};
use sealnet_core::sign::{Scheme, TrustedKey};
use sealnet_firmware::identity::DeviceName;
use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::statement::Statement;

/// A receipt as it was kept: the device's bytes, and in JSON what is said of them. Nothing is verified.
#[derive(Debug, Clone)]
pub struct Kept {
    bytes: [u8; RECEIPT_LEN],
    statement: Option<Box<Statement<Said>>>,
}

/// A receipt that holds: its signature is the trusted key's, and what was said of it is what it says. Only
/// [`Kept::verify`] makes one.
#[derive(Debug, Clone, Copy)]
pub struct Held {
    receipt: VerifiedReceipt,
    scheme: Scheme,
}

impl Held {
    /// What the device says.
    pub fn receipt(&self) -> &Receipt {
        self.receipt.receipt()
    }

    /// How it signed.
    pub fn scheme(&self) -> Scheme {
        self.scheme
    }
}

/// Why a receipt is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeptError {
    /// It is no receipt.
    #[error("{0}")]
    Form(String),
    /// The device's bytes are refused.
    #[error("{0}")]
    Receipt(#[from] ReceiptError),
    /// The JSON says something else than the bytes that it carries.
    #[error("its member {member} is {said}, and the signed bytes that it carries say {signed}")]
    Disagrees {
        /// The member.
        member: String,
        /// What the JSON says.
        said: String,
        /// What the bytes say.
        signed: String,
    },
}

impl KeptError {
    /// The kind of check that failed, as in [`Failure::check`](crate::error::Failure::check).
    pub fn check(&self) -> &'static str {
        match self {
            KeptError::Receipt(ReceiptError::Signature) => "signature",
            KeptError::Form(_) | KeptError::Receipt(_) => "form",
            KeptError::Disagrees { .. } => "member",
        }
    }
}

impl Kept {
    /// A receipt in binary form.
    pub fn new(bytes: &[u8; RECEIPT_LEN]) -> Kept {
        Kept {
            bytes: *bytes,
            statement: None,
        }
    }

    /// A receipt in JSON form, from a document that holds this one alone.
    ///
    /// # Errors
    /// [`KeptError::Form`] with what is wrong.
    pub fn from_json(document: &[u8]) -> Result<Kept, KeptError> {
        if document.len() > MAX_DOCUMENT {
            return Err(KeptError::Form(format!(
                "it has {} bytes, and a receipt in JSON at most {MAX_DOCUMENT}",
                document.len()
            )));
        }
        let statement: Statement<Said> =
            Statement::parse(document, PREDICATE_TYPE).map_err(KeptError::Form)?;
        let mut bytes = [0; RECEIPT_LEN];
        match Base64::decode(&statement.predicate.receipt, &mut bytes) {
            Ok(decoded) if decoded.len() == RECEIPT_LEN => {}
            _ => {
                let what = format!("its member receipt is not {RECEIPT_LEN} bytes in base64");
                return Err(KeptError::Form(what));
            }
        }
        Ok(Kept {
            bytes,
            statement: Some(Box::new(statement)),
        })
    }

    /// The device's bytes.
    pub fn bytes(&self) -> &[u8; RECEIPT_LEN] {
        &self.bytes
    }

    /// What the bytes claim: for showing and for finding the key, never for deciding.
    ///
    /// # Errors
    /// [`KeptError::Receipt`] when they are malformed.
    pub fn untrusted(&self) -> Result<Receipt, KeptError> {
        Ok(UnverifiedReceipt::new(&self.bytes).untrusted()?)
    }

    /// Whether the JSON says what the bytes claim. A receipt in binary form says nothing else.
    ///
    /// # Errors
    /// [`KeptError::Disagrees`] with the first member that does not, [`KeptError::Receipt`] when the bytes are
    /// malformed.
    pub fn agrees(&self) -> Result<(), KeptError> {
        let receipt = self.untrusted()?;
        self.agrees_with(&receipt)
    }

    /// Checks the signature over the carried bytes with `key`, which fixes the scheme, and only then what is
    /// said of them.
    ///
    /// # Errors
    /// [`KeptError::Receipt`] when the bytes are not the key's, [`KeptError::Disagrees`] when they are and the
    /// JSON says something else.
    pub fn verify(&self, key: &TrustedKey) -> Result<Held, KeptError> {
        let receipt = UnverifiedReceipt::new(&self.bytes).verify(key)?;
        self.agrees_with(receipt.receipt())?;
        let scheme = key.scheme();
        Ok(Held { receipt, scheme })
    }

    fn agrees_with(&self, receipt: &Receipt) -> Result<(), KeptError> {
        let Some(said) = &self.statement else {
            return Ok(());
        };
        let signed = statement(&self.bytes, receipt);
        let members = |statement: &Statement<Said>| {
            let mut members = vec![
                ("subject name".to_owned(), statement.subject_name().into()),
                ("subject sha512".into(), statement.subject_sha512().into()),
            ];
            if let Ok(Value::Object(predicate)) = serde_json::to_value(&statement.predicate) {
                members.extend(predicate);
            }
            members
        };
        // Both have the same members, which their type names.
        for ((member, said), (_, signed)) in members(said).into_iter().zip(members(&signed)) {
            if said != signed {
                return Err(KeptError::Disagrees {
                    member,
                    said: cut(&said),
                    signed: cut(&signed),
                });
            }
        }
        Ok(())
    }
}

/// A receipt in JSON form: one line with an LF at its end.
///
/// # Errors
/// [`ReceiptError`] when the bytes are malformed.
pub fn to_json(bytes: &[u8; RECEIPT_LEN]) -> Result<Vec<u8>, ReceiptError> {
    let receipt = UnverifiedReceipt::new(bytes).untrusted()?;
    // Strings and integers always serialise.
    let mut line = serde_json::to_vec(&statement(bytes, &receipt)).unwrap_or_default();
    line.push(b'\n');
    Ok(line)
}

/// The receipts in a file of either form, in their order. What is neither gives errors; of nothing comes
/// nothing.
pub fn read(file: &[u8]) -> Box<dyn Iterator<Item = Result<Kept, KeptError>> + '_> {
    if is_json(file) {
        return Box::new(documents(file).map(|document| Kept::from_json(document?)));
    }
    let (whole, rest) = file.as_chunks::<RECEIPT_LEN>();
    // One whose beginning was changed is still counted among others.
    if !file.is_empty() && !whole.iter().any(|bytes| is_binary(bytes)) && !is_binary(rest) {
        return Box::new(std::iter::once(Err(KeptError::Form(NO_RECEIPTS.into()))));
    }
    let rest = (!rest.is_empty()).then(|| {
        Err(KeptError::Form(format!(
            "its length is {} where a receipt has {RECEIPT_LEN} bytes: this is none, or it was cut short",
            rest.len()
        )))
    });
    Box::new(whole.iter().map(|bytes| Ok(Kept::new(bytes))).chain(rest))
}

/// Whether a file is to be read as JSON: a receipt in binary form begins with `SNRC`.
pub fn is_json(file: &[u8]) -> bool {
    file.trim_ascii_start().first() == Some(&b'{')
}

/// Whether a file seems to hold receipts in binary form.
pub fn is_binary(file: &[u8]) -> bool {
    file.starts_with(b"SNRC")
}

/// Whether a document says that it is a device's receipt.
pub fn is_statement(document: &Value) -> bool {
    document.get("predicateType").and_then(Value::as_str) == Some(PREDICATE_TYPE)
}

/// A device's id as people read it: its name, or 32 hexadecimal digits where it is none.
pub fn device_text(id: DeviceId) -> String {
    match DeviceName::from_bytes(id.to_bytes()) {
        Some(name) => name.to_string(),
        None => id.to_string(),
    }
}

/// How a receipt claims to be signed.
pub fn claimed_scheme(bytes: &[u8; RECEIPT_LEN]) -> String {
    match Scheme::try_from(bytes[SCHEME_AT]) {
        Ok(scheme) => scheme.to_string(),
        Err(unknown) => unknown.to_string(),
    }
}

/// The documents in a file of JSON, one after another.
fn documents(file: &[u8]) -> impl Iterator<Item = Result<&[u8], KeptError>> {
    let mut stream = serde_json::Deserializer::from_slice(file).into_iter::<IgnoredAny>();
    std::iter::from_fn(move || {
        let start = stream.byte_offset();
        // After an error it ends.
        let next = stream.next()?;
        let document = &file[start..stream.byte_offset()];
        Some(match next {
            Ok(_) => Ok(document),
            Err(e) => Err(KeptError::Form(format!("it is not JSON: {e}"))),
        })
    })
}

/// The one statement that there is for these bytes.
fn statement(bytes: &[u8; RECEIPT_LEN], receipt: &Receipt) -> Statement<Said> {
    let said = Said {
        receipt: Base64::encode_string(bytes),
        scheme: claimed_scheme(bytes),
        device: device_text(receipt.device_id),
        firmware_version: receipt.firmware_version,
        boot: receipt.boot,
        message: receipt.message,
        nonce: hex::encode(receipt.nonce),
        request_sha512: hex::encode(receipt.request_digest),
        label: receipt.label,
        logits_sha512: hex::encode(receipt.logits_digest),
        verdict: receipt.verdict.to_string(),
    };
    Statement::new("model", &receipt.model_digest, PREDICATE_TYPE, said)
}

/// The predicate.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Said {
    receipt: String,
    scheme: String,
    device: String,
    firmware_version: u32,
    boot: u32,
    message: u64,
    nonce: String,
    request_sha512: String,
    label: u16,
    logits_sha512: String,
    verdict: String,
}

/// A value as it fits into a line.
fn cut(value: &Value) -> String {
    let text = value.to_string();
    match text.char_indices().nth(MAX_SHOWN) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

const PREDICATE_TYPE: &str = "urn:sealnet:device-receipt:v1";
/// Where the scheme lies in a receipt.
const SCHEME_AT: usize = 6;
const NO_RECEIPTS: &str = "it holds no receipt: neither does it begin with SNRC, nor is it JSON";
/// A value is cut off behind this many characters: a digest is shown whole.
const MAX_SHOWN: usize = 140;
/// Most bytes of one receipt in JSON: some ten times what it has without white space.
const MAX_DOCUMENT: usize = 16 << 10;
/// Most bytes of a file of receipts: more than a hundred thousand in JSON.
pub const MAX_FILE: u64 = 256 << 20;
