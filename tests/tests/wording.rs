//! What core's errors say: what is wrong and, where one has a place or a number, that; in words, not in the
//! names of variants.

use std::fmt::{Debug, Display};

use sealnet_core::artefact::{ArtefactError, SealError, SectionError};
use sealnet_core::fernet::FernetError;
use sealnet_core::mlp::{LayerError, Shape, ShapeError};
use sealnet_core::protocol::{FrameError, MessageError, ReceiptError};
use sealnet_core::quant::RequantError;
use sealnet_core::record::TagMismatch;
use sealnet_core::sign::{BadSignature, HmacKey, Scheme, SigningKey};
use sealnet_core::wire::WireError;

/// Each error, and what of its contents the text must tell.
fn say<E: Display + Debug>(errors: &[(E, &[&str])]) {
    let mut texts = Vec::new();
    for (error, tells) in errors {
        let (text, debug) = (error.to_string(), format!("{error:?}"));
        let variant = debug.split([' ', '(', '{']).next().unwrap_or_default();
        assert!(
            text.split(' ').count() >= 3,
            "{debug}: {text:?} says too little"
        );
        assert!(
            !text.ends_with('.') && !text.contains('\n'),
            "{debug}: {text:?}"
        );
        assert!(
            !text.contains("Err(") && !text.contains(['{', '}']),
            "{debug}: {text:?}"
        );
        let name = text
            .split(|c: char| !c.is_alphanumeric())
            .any(|word| word == variant);
        assert!(!name, "{text:?} is the name of a variant");
        for told in *tells {
            assert!(
                text.contains(told),
                "{debug}: {text:?} does not tell {told}"
            );
        }
        assert!(!texts.contains(&text), "{text:?} is said for two causes");
        texts.push(text);
    }
}

#[test]
fn of_sealed_models() {
    use ArtefactError as E;
    let [given, found] =
        [1, 2].map(|byte| SigningKey::Hmac(HmacKey::from_bytes([byte; 64])).key_id());
    let [one, other] = [given.to_string(), found.to_string()];
    let [narrow, wide] = [[784, 64, 64, 10], [4, 3, 2, 1]]
        .map(|[a, b, c, d]| Shape::new(a, b, c, d).expect("no width is 0"));
    let [narrow_text, wide_text] = [narrow.to_string(), wide.to_string()];
    let section = |section, cause| E::Section { section, cause };
    let layer = |layer, cause| E::Layer { layer, cause };
    say(&[
        (E::Truncated, &["ends too early"]),
        (E::TrailingBytes, &["signature"]),
        (E::Magic, &["SEALNETM"]),
        (E::Version(7), &["7", "known: 1"]),
        (E::Scheme(9), &["scheme 9"]),
        (E::Encoding(9), &["encoding 9"]),
        (E::Flags(0x21), &["0x00000021"]),
        (E::ModelKeyField, &["key"]),
        (E::ZeroWidth, &["0"]),
        (E::WeightType(9), &["weight type 9"]),
        (
            E::UnsupportedWeightType(2),
            &["weight type 2", "this build"],
        ),
        (E::Granularity(9), &["granularity 9"]),
        (E::Rounding(9), &["rounding rule 9"]),
        (E::FeatureType(9), &["feature type 9"]),
        (E::HeaderLength(300), &["300", "256"]),
        (
            E::PlaintextLength {
                body: 31,
                plaintext: 48,
            },
            &["31", "48"],
        ),
        (E::Provenance(9), &["provenance 9"]),
        (E::ReceiptDigest, &["receipt"]),
        (E::ReservedBytes { offset: 61 }, &["offset 61"]),
        (E::Name, &["name"]),
        (
            E::SchemeMismatch {
                trusted: Scheme::Ed25519,
                found: Scheme::HmacSha512,
            },
            &["ed25519", "hmac-sha512"],
        ),
        (
            E::SigningKey {
                trusted: given,
                found,
            },
            &[&one, &other],
        ),
        (E::Signature, &["signature"]),
        (
            E::Rollback {
                found: 3,
                minimum: 5,
            },
            &["3", "5", "older"],
        ),
        (E::BodyIsClear, &["clear"]),
        (E::BodyIsEncrypted, &["needs a key"]),
        (E::ModelKey { given, found }, &[&one, &other]),
        (E::BufferTooSmall { needed: 77 }, &["77 bytes"]),
        (E::Decrypt, &["decrypt"]),
        (E::ModelDigest, &["digest"]),
        (
            E::Dimensions {
                expected: narrow,
                found: wide,
            },
            &[&narrow_text, &wide_text],
        ),
        (
            section(3, SectionError::Missing),
            &["section 3 (", "missing"],
        ),
        (
            section(77, SectionError::Unknown),
            &["section 77", "not known"],
        ),
        (
            section(2, SectionError::Inapplicable),
            &["section 2 (", "int4", "no model of this kind"],
        ),
        (
            section(1, SectionError::Version(4)),
            &["section 1", "version 4"],
        ),
        (section(1, SectionError::Order), &["section 1", "order"]),
        (section(1, SectionError::Length), &["section 1", "length"]),
        (section(1, SectionError::Padding), &["section 1", "padding"]),
        (E::LogitScale, &["logit scale"]),
        (
            layer(2, LayerError::WeightRange { row: 5 }),
            &["layer 2", "output 5", "weight", "range"],
        ),
        (layer(3, LayerError::Length), &["layer 3", "length"]),
        (E::ReplyPolicy(9), &["reply policy 9"]),
        (E::GoldenCount, &["1 to 16"]),
        (E::Golden { vector: 4 }, &["golden vector 4"]),
        (E::FeatureScaling { column: 12 }, &["column 12"]),
        (E::Buffers(ShapeError::Scratch), &["scratch buffer"]),
    ]);
    use SealError as S;
    say(&[
        (S::NoSpace, &["output buffer"]),
        (S::TooLong, &["4 GiB"]),
        (S::LogitScale, &["logit scale"]),
        (S::GoldenCount, &["1 and 16"]),
        (S::Scaling, &["each feature"]),
        (S::ReceiptDigest, &["receipt"]),
        (S::KeyId, &["another key"]),
        (S::Buffers(ShapeError::Logits), &["logits buffer"]),
        (S::Fernet(FernetError::EmptyKeyring), &["one key"]),
    ]);
}

#[test]
fn of_networks() {
    let requant = |row, cause| LayerError::Requant { row, cause };
    say(&[
        (LayerError::Length, &["length"]),
        (
            LayerError::WeightRange { row: 6 },
            &["output 6", "weight", "range"],
        ),
        (
            LayerError::AccumulatorBound { row: 7 },
            &["output 7", "overflow"],
        ),
        (
            requant(8, RequantError::Multiplier),
            &["factor 8", "negative"],
        ),
        (requant(8, RequantError::Shift), &["factor 8", "1 and 62"]),
    ]);
    say(&[
        (ShapeError::Zero, &["width", "0"]),
        (ShapeError::TooWide, &["16 bits"]),
        (ShapeError::Chain, &["inputs", "outputs"]),
        (ShapeError::Quantisation, &["weight type", "granularity"]),
        (ShapeError::Dimensions, &["shape"]),
        (ShapeError::Features, &["features"]),
        (ShapeError::Scratch, &["scratch"]),
        (ShapeError::Logits, &["logits"]),
    ]);
}

#[test]
fn of_tokens_records_and_bytes() {
    say(&[
        (FernetError::InvalidToken, &["token"]),
        (FernetError::InvalidKey, &["44 characters"]),
        (FernetError::BufferTooSmall, &["output buffer"]),
        (FernetError::EmptyKeyring, &["at least one key"]),
    ]);
    say(&[
        (WireError::Truncated, &["end inside"]),
        (WireError::TrailingBytes, &["left after"]),
        (WireError::NoSpace, &["too small"]),
    ]);
    say(&[(TagMismatch, &["H"])]);
    say(&[(BadSignature, &["signature"])]);
}

#[test]
fn of_messages() {
    say(&[
        (FrameError::Malformed, &["too early"]),
        (FrameError::TooLong, &["longer"]),
        (FrameError::Empty, &["empty"]),
        (FrameError::UnknownKind(0x7F), &["0x7f"]),
        (FrameError::NoSpace, &["output buffer"]),
    ]);
    use MessageError as M;
    say(&[
        (M::Unauthentic, &["wire key"]),
        (M::Version(9), &["version 9", "known: 2"]),
        (M::Kind(9), &["kind 0x09"]),
        (M::ReplyPolicy(9), &["policy 9"]),
        (M::RefusalCode(9), &["code 9"]),
        (M::State(9), &["state 9"]),
        (M::Update(9), &["9 of an update"]),
        (M::Length, &["length"]),
        (M::ReservedBytes, &["not zero"]),
        (M::FeatureCount(5000), &["5000", "4096"]),
        (M::ClassCount(300), &["300", "256"]),
        (M::Model, &["model"]),
        (M::NoSpace, &["buffer"]),
    ]);
    use ReceiptError as R;
    say(&[
        (R::Length, &["320 bytes"]),
        (R::Magic, &["SNRC"]),
        (R::Version(9), &["version 9", "known: 2"]),
        (R::Scheme(9), &["scheme 9"]),
        (R::Verdict(9), &["verdict 9"]),
        (R::ReservedBytes, &["not zero"]),
        (R::Signature, &["signature"]),
        (R::Request, &["another request"]),
        (R::Logits, &["other logits"]),
        (R::Label, &["label"]),
    ]);
}
