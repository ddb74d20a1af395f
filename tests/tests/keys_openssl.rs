//! Ed25519 keys and signatures both ways against the `openssl` command.

use std::fs;
use std::path::Path;
use std::process::Command;

use sealnet::keys::{self, DeviceSet, KeyFolder};
use sealnet_core::sign::{Domain, Ed25519SigningKey, Signature, SigningKey, TrustedKey, sha512};
use sealnet_tests::Ran;

/// Runs `openssl` in a folder; the test fails when it is missing.
fn openssl(folder: &Path, arguments: &[&str]) -> Ran {
    let mut command = Command::new("openssl");
    command.args(arguments).current_dir(folder);
    Ran::new(&mut command)
}

fn succeeds(folder: &Path, arguments: &[&str]) -> String {
    let ran = openssl(folder, arguments);
    assert_eq!(ran.code, 0, "openssl {arguments:?}: {}", ran.stderr);
    ran.stdout
}

/// The bytes that a signature is over, as the documentation has them.
fn message(domain: Domain, document: &[u8]) -> Vec<u8> {
    [domain.label(), &[0], &sha512(&[document])].concat()
}

fn private(path: &Path) {
    #[cfg(unix)]
    fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
}

#[test]
fn openssl_reads_our_keys_and_verifies_our_signatures() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("keys");
    let device = keys::device_name("0001").unwrap();
    let set = DeviceSet {
        names: &[device],
        clear_only: false,
        hmac: false,
    };
    keys::generate(&root, set, false).unwrap();
    let text = succeeds(&root, &["pkey", "-in", "owner/sign.pem", "-text"]);
    assert!(text.contains("ED25519 Private-Key"), "{text}");
    let public = succeeds(&root, &["pkey", "-in", "owner/sign.pem", "-pubout"]);
    assert_eq!(
        public,
        fs::read_to_string(root.join("owner/sign.pub.pem")).unwrap()
    );
    let same = succeeds(&root, &["pkey", "-in", "owner/sign.pem"]);
    assert_eq!(
        same,
        fs::read_to_string(root.join("owner/sign.pem")).unwrap()
    );

    let key = KeyFolder::open(&root).unwrap().owner_signing().unwrap();
    for domain in [Domain::Manifest, Domain::TrainingReceipt, Domain::Model] {
        let signature = key.sign(domain, &[b"a document"]);
        fs::write(root.join("sig"), signature.to_bytes()).unwrap();
        fs::write(root.join("msg"), message(domain, b"a document")).unwrap();
        let verify = [
            "pkeyutl",
            "-verify",
            "-pubin",
            "-inkey",
            "owner/sign.pub.pem",
            "-rawin",
            "-in",
            "msg",
            "-sigfile",
            "sig",
        ];
        assert!(succeeds(&root, &verify).contains("Verified Successfully"));
        fs::write(root.join("msg"), message(domain, b"another")).unwrap();
        assert_ne!(openssl(&root, &verify).code, 0);
    }
}

#[test]
fn we_read_openssls_keys_and_verify_its_signatures() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path();
    succeeds(root, &["genpkey", "-algorithm", "ed25519", "-out", "o.pem"]);
    succeeds(
        root,
        &["pkey", "-in", "o.pem", "-pubout", "-out", "o.pub.pem"],
    );
    private(&root.join("o.pem"));
    let secret = SigningKey::Ed25519(keys::signing_key(&root.join("o.pem")).unwrap());
    let public = TrustedKey::Ed25519(keys::public_key(&root.join("o.pub.pem")).unwrap());
    assert_eq!(secret.key_id(), public.key_id());

    fs::write(root.join("msg"), message(Domain::Manifest, b"a document")).unwrap();
    let sign = [
        "pkeyutl", "-sign", "-inkey", "o.pem", "-rawin", "-in", "msg", "-out", "sig",
    ];
    succeeds(root, &sign);
    let bytes: [u8; 64] = fs::read(root.join("sig")).unwrap().try_into().unwrap();
    // Ed25519 has one signature for a message: theirs is ours.
    assert_eq!(
        secret.sign(Domain::Manifest, &[b"a document"]).to_bytes(),
        bytes
    );
    let signature = Signature::from_bytes(bytes);
    assert!(
        public
            .verify(Domain::Manifest, b"a document", &signature)
            .is_ok()
    );
    assert!(
        public
            .verify(Domain::Manifest, b"another", &signature)
            .is_err()
    );
    assert!(
        public
            .verify(Domain::Model, b"a document", &signature)
            .is_err()
    );
}

#[test]
fn other_keys_of_openssl_are_refused_with_a_reason() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path();
    let make = |name: &str, arguments: &[&str]| {
        let mut all = vec!["genpkey", "-out", name];
        all.extend(arguments);
        succeeds(root, &all);
        private(&root.join(name));
        keys::signing_key(&root.join(name)).unwrap_err()
    };
    let error = make("x.pem", &["-algorithm", "x25519"]);
    assert!(
        error.to_string().contains("not an Ed25519 private key"),
        "{error}"
    );
    let error = make(
        "p.pem",
        &[
            "-algorithm",
            "ed25519",
            "-aes-256-cbc",
            "-pass",
            "pass:secret",
        ],
    );
    assert!(error.to_string().contains("passphrase"), "{error}");
    succeeds(
        root,
        &["pkey", "-in", "x.pem", "-pubout", "-out", "x.pub.pem"],
    );
    assert!(keys::public_key(&root.join("x.pub.pem")).is_err());
    // A private key where a public one belongs, and the other way round.
    succeeds(root, &["genpkey", "-algorithm", "ed25519", "-out", "e.pem"]);
    succeeds(
        root,
        &["pkey", "-in", "e.pem", "-pubout", "-out", "e.pub.pem"],
    );
    private(&root.join("e.pem"));
    private(&root.join("e.pub.pem"));
    assert!(keys::public_key(&root.join("e.pem")).is_err());
    assert!(keys::signing_key(&root.join("e.pub.pem")).is_err());
}

/// RFC 8032, section 7.1, TEST 2, in the form of RFC 8410.
#[test]
fn a_published_key_is_read() {
    let dir = tempfile::tempdir().unwrap();
    let seed =
        hex::decode("4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb").unwrap();
    let public =
        hex::decode("3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c").unwrap();
    let der = [
        &hex::decode("302e020100300506032b657004220420").unwrap()[..],
        &seed,
    ]
    .concat();
    fs::write(dir.path().join("k.der"), der).unwrap();
    succeeds(
        dir.path(),
        &["pkey", "-inform", "DER", "-in", "k.der", "-out", "k.pem"],
    );
    private(&dir.path().join("k.pem"));
    let key: Ed25519SigningKey = keys::signing_key(&dir.path().join("k.pem")).unwrap();
    assert_eq!(key.public().to_bytes().as_slice(), public);
}
