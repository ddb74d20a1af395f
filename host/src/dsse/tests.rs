use super::*;
use sealnet_core::sign::{Ed25519SigningKey, HmacKey};

const TYPE: &str = "application/vnd.sealnet.test+json";

fn keys() -> [SigningKey; 2] {
    [
        SigningKey::Ed25519(Ed25519SigningKey::from_seed(&[1; 32])),
        SigningKey::Hmac(HmacKey::from_bytes([2; 64])),
    ]
}

#[test]
fn pae_is_that_of_the_specification() {
    // protocol.md of DSSE v1, "Test Vectors".
    assert_eq!(
        pae("http://example.com/HelloWorld", b"hello world"),
        b"DSSEv1 29 http://example.com/HelloWorld 11 hello world"
    );
}

#[test]
fn what_was_signed_comes_back_and_nothing_else() {
    for key in keys() {
        let envelope = sign_json(TYPE, b"{\"a\": 1}", &key, Domain::Manifest);
        let trusted = key.trusted();
        let verify = |bytes: &[u8], kind, domain| verify(bytes, kind, &trusted, domain);
        let payload = verify(&envelope, TYPE, Domain::Manifest);
        assert_eq!(payload.as_deref(), Ok(&b"{\"a\": 1}"[..]));
        assert_eq!(
            verify(&envelope, TYPE, Domain::TrainingReceipt),
            Err(DsseError::Signature)
        );
        assert!(matches!(
            verify(&envelope, "text/plain", Domain::Manifest),
            Err(DsseError::PayloadType { .. })
        ));
        for at in 0..envelope.len() {
            for bit in 0..8 {
                let mut changed = envelope.clone();
                changed[at] ^= 1 << bit;
                let verified = verify(&changed, TYPE, Domain::Manifest);
                assert!(verified.is_err(), "byte {at}, bit {bit}");
            }
        }
        for length in 0..envelope.len() {
            assert!(verify(&envelope[..length], TYPE, Domain::Manifest).is_err());
        }
    }
    let [one, other] = keys();
    let envelope = sign_json(TYPE, b"{}", &one, Domain::Manifest);
    let refused = verify(&envelope, TYPE, &other.trusted(), Domain::Manifest);
    assert!(matches!(refused, Err(DsseError::Key { .. })));
}

#[test]
fn one_document_has_one_form() {
    for key in keys() {
        let envelope = sign_json(TYPE, b"{\"a\": 1}>>>?", &key, Domain::Manifest);
        let text = String::from_utf8(envelope).unwrap();
        let refused = |other: String| {
            assert_ne!(other, text);
            let verdict = verify(other.as_bytes(), TYPE, &key.trusted(), Domain::Manifest);
            assert!(
                matches!(verdict, Err(DsseError::Form(_))),
                "{other}: {verdict:?}"
            );
        };
        let with = |from: &str, to: &str| {
            assert!(text.contains(from), "{from}");
            refused(text.replacen(from, to, 1));
        };
        // White space, at either end and at every token.
        refused(text.trim_end().to_owned());
        for blank in [" ", "\n", "\t", "\r\n"] {
            refused(format!("{blank}{text}"));
            refused(format!("{text}{blank}"));
            for token in ["{", "}", "[", "]", ",", ":"] {
                for (at, _) in text.match_indices(token) {
                    for at in [at, at + 1] {
                        refused(format!("{}{blank}{}", &text[..at], &text[at..]));
                    }
                }
            }
        }
        refused(format!("\u{feff}{text}"));
        // The order of members, in both objects.
        let json: serde_json::Value = serde_json::from_str(&text).unwrap();
        let (payload, signature) = (&json["payload"], &json["signatures"][0]);
        let (keyid, sig) = (&signature["keyid"], &signature["sig"]);
        let kind = &json["payloadType"];
        let signed = format!("{{\"keyid\":{keyid},\"sig\":{sig}}}");
        assert_eq!(
            text,
            format!("{{\"payload\":{payload},\"payloadType\":{kind},\"signatures\":[{signed}]}}\n")
        );
        refused(format!(
            "{{\"payloadType\":{kind},\"payload\":{payload},\"signatures\":[{signed}]}}\n"
        ));
        with(&signed, &format!("{{\"sig\":{sig},\"keyid\":{keyid}}}"));
        // More or fewer signatures and members.
        with(&signed, "");
        with(&signed, &format!("{signed},{signed}"));
        with("{\"payload\"", "{\"more\":1,\"payload\"");
        // Escapes of what needs none.
        with("\"payload\"", "\"\\u0070ayload\"");
        with("application/", "application\\/");
        with("vnd", "\\u0076nd");
        // Base64: the other alphabet, no padding, bits beyond the end, line breaks.
        let payload = payload.as_str().unwrap();
        assert!(payload.contains('+') && payload.contains('/'), "{payload}");
        with(payload, &payload.replace('+', "-").replace('/', "_"));
        let sig = sig.as_str().unwrap();
        assert!(sig.ends_with("=="));
        with(sig, sig.trim_end_matches('='));
        let at = sig.len() - 3;
        let last = char::from(sig.as_bytes()[at]);
        const ALPHABET: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
        let value = ALPHABET.find(last).unwrap();
        let next = &ALPHABET[value + 1..value + 2];
        with(sig, &format!("{}{next}==", &sig[..at]));
        with(sig, &format!("{}\\n{}", &sig[..4], &sig[4..]));
        // The key's id: upper case, shorter, longer, anything else.
        let id = keyid.as_str().unwrap();
        for other in [
            id[1..].to_owned(),
            format!("{id}0"),
            format!("{}A", &id[..15]),
            format!("{}\\u001b", &id[..15]),
            "\\u001b[2J\\u001b[31mTrust me".to_owned(),
            String::new(),
        ] {
            with(id, &other);
        }
    }
}

#[test]
fn json_is_strict() {
    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Document {
        #[serde(rename = "a")]
        _a: serde_json::Value,
    }
    let parse = |text: &str| from_json_strict::<Document>(text.as_bytes());
    assert!(parse(r#"{"a": [1, null, -2.5, true, {"b": "c"}]}"#).is_ok());
    for wrong in [
        "",
        "{}",
        r#"{"a": 1} {}"#,
        r#"{"a": 1}x"#,
        r#"{"a": 1, "a": 2}"#,
        r#"{"a": 1, "\u0061": 2}"#,
        r#"{"a": {"b": 1, "b": 1}}"#,
        r#"{"a": [[{"b": 1, "b": 1}]]}"#,
        r#"{"a": 1, "b": 2}"#,
        r#"{"a": 1e999}"#,
        "{'a': 1}",
    ] {
        assert!(parse(wrong).is_err(), "{wrong}");
    }
    let deep = format!("{{\"a\": {}{}}}", "[".repeat(500), "]".repeat(500));
    assert!(parse(&deep).is_err());
}
