//! Fernet against the specification's own vectors, <https://github.com/fernet/spec>, and a few more of ours.
//!
//! `vectors/fernet/` holds one file a case, named by its defect. A file declares its `source`, the outcome
//! it expects (`expect`: `token`, `plaintext` or `refused`), the outcome when no TTL is given
//! (`without_ttl`), and the state of its MAC, so that a case meant for a later check is known to reach it.
//! `now` is the specification's own field, `now_unix` the same instant in seconds.

mod fernet_support;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use base64ct::{Base64Url, Encoding};
use fernet_support::{mac, open_text};
use sealnet_core::fernet::{self, FernetKey, Iv, Ttl};
use serde::Deserialize;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    source: Source,
    #[serde(default)]
    defect: String,
    expect: Expect,
    secret: String,
    #[serde(rename = "now")]
    _now: String,
    now_unix: u64,
    ttl_sec: Option<u64>,
    iv: Option<String>,
    mac: Option<MacState>,
    without_ttl: Option<Expect>,
    plaintext: Option<String>,
    token: String,
}

#[derive(Deserialize, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Source {
    #[serde(rename = "fernet/spec generate.json")]
    Generate,
    #[serde(rename = "fernet/spec verify.json")]
    Verify,
    #[serde(rename = "fernet/spec invalid.json")]
    Invalid,
    #[serde(rename = "sealnet")]
    Ours,
}

#[derive(Deserialize, Clone, Copy, PartialEq, Eq, Debug)]
#[serde(rename_all = "lowercase")]
enum Expect {
    Token,
    Plaintext,
    Refused,
}

#[derive(Deserialize, Clone, Copy, PartialEq, Eq, Debug)]
#[serde(rename_all = "lowercase")]
enum MacState {
    Valid,
    Wrong,
    /// The text does not decode, or to fewer bytes than a MAC has.
    Absent,
}

#[test]
fn every_case_has_its_declared_outcome() {
    let mut run = BTreeMap::new();
    for (name, case) in cases() {
        check(&name, &case);
        *run.entry(case.source).or_insert(0) += 1;
    }
    // The specification has one case to generate, one to verify, eight that are invalid. A case more or
    // less must be counted here, so that none goes missing unseen.
    let expected = [
        (Source::Generate, 1),
        (Source::Verify, 1),
        (Source::Invalid, 8),
        (Source::Ours, 15),
    ];
    assert_eq!(run, BTreeMap::from(expected));
}

fn check(name: &str, case: &Case) {
    let key = FernetKey::parse(&case.secret).unwrap_or_else(|error| panic!("{name}: {error}"));
    assert_eq!(
        name.starts_with("invalid-"),
        case.expect == Expect::Refused,
        "{name}: a file is named by its defect"
    );
    assert_eq!(
        case.defect.is_empty(),
        case.expect != Expect::Refused,
        "{name}"
    );

    if case.expect == Expect::Token {
        let iv = hex::decode(case.iv.as_deref().unwrap_or_default());
        let iv = iv
            .ok()
            .and_then(|iv| iv.try_into().ok())
            .map(Iv::from_bytes);
        let iv = iv.unwrap_or_else(|| panic!("{name}: no IV of 16 bytes"));
        let plaintext = case.plaintext.as_deref().unwrap_or_default();
        let mut token = vec![0; case.token.len()];
        let len = fernet::encrypt_text(&key, case.now_unix, iv, plaintext.as_bytes(), &mut token);
        assert_eq!(len, Ok(token.len()), "{name}");
        assert_eq!(token, case.token.as_bytes(), "{name}");
        return;
    }

    assert_eq!(
        case.mac,
        Some(mac_state(case)),
        "{name}: not the MAC it declares"
    );
    let ttl = Ttl {
        seconds: case.ttl_sec.unwrap_or_else(|| panic!("{name}: no TTL")),
        now: case.now_unix,
    };
    for (ttl, expect) in [(Some(ttl), Some(case.expect)), (None, case.without_ttl)] {
        let opened = open_text(&key, case.token.as_bytes(), ttl).map(|(plaintext, _)| plaintext);
        let expected = match expect {
            Some(Expect::Plaintext) => case.plaintext.clone().map(String::into_bytes),
            Some(Expect::Refused) => None,
            Some(Expect::Token) | None => panic!("{name}: expects nothing that can be checked"),
        };
        assert_eq!(opened, expected, "{name}, {ttl:?}");
    }
}

fn mac_state(case: &Case) -> MacState {
    let mut secret = [0; 32];
    let mut token = vec![0; case.token.len()];
    Base64Url::decode(&case.secret, &mut secret).expect("the key was parsed before");
    match Base64Url::decode(&case.token, &mut token)
        .ok()
        .and_then(<[u8]>::split_last_chunk)
    {
        None => MacState::Absent,
        Some((signed, tag)) if *tag == mac(&secret[..16], signed) => MacState::Valid,
        Some(_) => MacState::Wrong,
    }
}

fn cases() -> Vec<(String, Case)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("vectors/fernet");
    let entries = fs::read_dir(&folder).expect("the folder of vectors is in the repository");
    let mut cases: Vec<_> = entries
        .map(|entry| {
            let path = entry.expect("the folder can be listed").path();
            let name = path
                .file_name()
                .unwrap_or_default()
                .to_string_lossy()
                .into_owned();
            let text = fs::read_to_string(&path).unwrap_or_else(|e| panic!("{name}: {e}"));
            let case = serde_json::from_str(&text).unwrap_or_else(|e| panic!("{name}: {e}"));
            (name, case)
        })
        .collect();
    cases.sort_by(|(a, _), (b, _)| a.cmp(b));
    cases
}
