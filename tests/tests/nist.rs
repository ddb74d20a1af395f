//! Published vectors of the primitives, through our own entry points wherever one takes them.
//!
//! - SHA-512: FIPS 180-4 examples; NIST CAVP `SHA512ShortMsg.rsp` and `SHA512Monte.rsp`.
//! - HMAC-SHA-512: RFC 4231.
//! - Ed25519: RFC 8032, section 7.1.
//! - AES-128-CBC: SP 800-38A, appendix F.2; NIST CAVP `CBCMMT128.rsp`, `CBCGFSbox128.rsp`,
//!   `CBCKeySbox128.rsp`.
//!
//! The CAVP files are as published, line ends aside. Each test demands the number of cases its source has.

use std::collections::HashMap;
use std::fs;
use std::path::Path;

use hmac::{Hmac, KeyInit, Mac};
use sealnet_core::fernet::{self, FernetKey, Iv};
use sealnet_core::sign::{
    BadSignature, Ed25519PublicKey, Ed25519SigningKey, HmacKey, Signature, sha512,
};
use sha2::Sha512;

/// FIPS 180-4's examples (NIST, "Cryptographic Standards and Guidelines: example values", SHA-512) and the
/// long message of FIPS 180-2, appendix C.3.
#[test]
fn sha512_examples() {
    let examples: [(&[u8], &str); 3] = [
        (b"abc", ABC),
        (
            b"abcdefghbcdefghicdefghijdefghijkefghijklfghijklmghijklmnhijklmnoijklmnopjklmnopqklmnopqrlmnopqrsmnopqrstnopqrstu",
            TWO_BLOCKS,
        ),
        (&[b'a'; 1_000_000], MILLION_A),
    ];
    for (message, digest) in examples {
        assert_eq!(hex::encode(sha512(&[message])), digest);
        // The same in uneven parts, as documents are hashed.
        let (head, tail) = message.split_at(message.len() / 3);
        assert_eq!(hex::encode(sha512(&[head, &[], tail])), digest);
    }
}

#[test]
fn sha512_cavp_short_messages() {
    let cases = read("nist/SHA512ShortMsg.rsp", "MD");
    assert_eq!(cases.len(), 129, "lengths 0 to 128 bytes");
    for case in cases {
        // `Msg = 00` stands for the message of length 0.
        let bits: usize = case["Len"].parse().expect("a number");
        let message = &bytes(&case["Msg"])[..bits / 8];
        assert_eq!(hex::encode(sha512(&[message])), case["MD"]);
    }
}

/// The Secure Hash Algorithm Validation System, section 6.4: 100 checkpoints of 1,000 hashes.
#[test]
fn sha512_cavp_monte_carlo() {
    let cases = read("nist/SHA512Monte.rsp", "MD");
    assert_eq!(cases.len(), 100);
    let mut seed = bytes(&cases[0]["Seed"]);
    for case in cases {
        let mut last_three = [seed.clone(), seed.clone(), seed];
        for _ in 0..1000 {
            let [a, b, c] = &last_three;
            let next = sha512(&[a, b, c]).to_vec();
            last_three.rotate_left(1);
            last_three[2] = next;
        }
        let [_, _, last] = last_three;
        assert_eq!(hex::encode(&last), case["MD"]);
        seed = last;
    }
}

#[test]
fn hmac_sha512_rfc_4231() {
    let cases = read("rfc/rfc4231-hmac-sha512.txt", "MAC");
    assert_eq!(cases.len(), 7);
    let mut through_our_key = 0;
    for case in cases {
        let (key, message, mac) = (
            bytes(&case["KEY"]),
            bytes(&case["MESSAGE"]),
            bytes(&case["MAC"]),
        );
        let mut primitive = Hmac::<Sha512>::new_from_slice(&key).expect("any length is a key");
        primitive.update(&message);
        let computed = primitive.finalize().into_bytes();
        assert_eq!(computed[..mac.len()], mac, "case 5 gives a truncated value");

        // HMAC fills a key with zeros up to the block, so a shorter key is also one of 64 bytes.
        let mut filled = [0; 64];
        if let Some(head) = filled.get_mut(..key.len()) {
            head.copy_from_slice(&key);
            let ours = HmacKey::from_bytes(filled);
            let signature = ours.sign_raw(&message);
            assert_eq!(signature.to_bytes()[..mac.len()], mac);
            assert_eq!(ours.verify_raw(&message, &signature), Ok(()));
            through_our_key += 1;
        }
    }
    assert_eq!(through_our_key, 5, "cases 6 and 7 have keys of 131 bytes");
}

#[test]
fn ed25519_rfc_8032() {
    let cases = read("rfc/rfc8032-ed25519.txt", "SIGNATURE");
    assert_eq!(cases.len(), 5);
    for case in cases {
        let key = Ed25519SigningKey::from_seed(&array(&case["SEED"]));
        let public = Ed25519PublicKey::from_bytes(&array(&case["PUBLIC"])).expect("a good key");
        let message = bytes(&case["MESSAGE"]);
        let signature = Signature::from_bytes(array(&case["SIGNATURE"]));
        assert_eq!(key.public(), public);
        assert_eq!(key.sign_raw(&message), signature);
        assert_eq!(public.verify_raw(&message, &signature), Ok(()));
        let longer = [message.as_slice(), &[0]].concat();
        assert_eq!(public.verify_raw(&longer, &signature), Err(BadSignature));
    }
}

/// SP 800-38A, appendix F.2.1 and F.2.2.
#[test]
fn aes_128_cbc_sp_800_38a() {
    check_cbc(
        &array("2b7e151628aed2a6abf7158809cf4f3c"),
        &array("000102030405060708090a0b0c0d0e0f"),
        &bytes(concat!(
            "6bc1bee22e409f96e93d7e117393172a",
            "ae2d8a571e03ac9c9eb76fac45af8e51",
            "30c81c46a35ce411e5fbc1191a0a52ef",
            "f69f2445df4f9b17ad2b417be66c3710"
        )),
        &bytes(concat!(
            "7649abac8119b246cee98e9b12e9197d",
            "5086cb9b507219ee95db113a917678b2",
            "73bed6b8e3c1743b7116e69e22229516",
            "3ff1caa1681fac09120eca307586e1a7"
        )),
    );
}

#[test]
fn aes_128_cbc_cavp() {
    for (file, count) in [
        ("nist/CBCMMT128.rsp", 10),
        ("nist/CBCGFSbox128.rsp", 7),
        ("nist/CBCKeySbox128.rsp", 21),
    ] {
        // In the section on encryption the ciphertext ends a case, in that on decryption the plaintext.
        let encrypt = read(file, "CIPHERTEXT");
        let decrypt = read(file, "PLAINTEXT");
        assert_eq!(
            (encrypt.len(), decrypt.len()),
            (2 * count, 2 * count),
            "{file}"
        );
        let encrypt = encrypt.into_iter().take(count);
        let decrypt = decrypt.into_iter().skip(count);
        for case in encrypt.chain(decrypt) {
            check_cbc(
                &array(&case["KEY"]),
                &array(&case["IV"]),
                &bytes(&case["PLAINTEXT"]),
                &bytes(&case["CIPHERTEXT"]),
            );
        }
    }
}

/// Through a Fernet token: its ciphertext starts at byte 25 with that of the whole blocks, and ends with a
/// block of padding.
fn check_cbc(key: &[u8; 16], iv: &[u8; 16], plaintext: &[u8], ciphertext: &[u8]) {
    let mut secret = [0; 32];
    secret[16..].copy_from_slice(key);
    let key = FernetKey::from_bytes(secret);
    let mut token = vec![0; fernet::binary_len(plaintext.len())];
    let iv = Iv::from_bytes(*iv);
    fernet::encrypt(&key, 0, iv, plaintext, &mut token).expect("the length is right");
    assert_eq!(token[25..token.len() - 48], *ciphertext);
    let opened = fernet::decrypt_in_place(&key, &mut token, None).expect("just made");
    assert_eq!(opened.plaintext(), plaintext);
}

/// Reads `NAME = value` lines; a case ends with the line named `last` and keeps what came before it.
fn read(file: &str, last: &str) -> Vec<HashMap<String, String>> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("vectors")
        .join(file);
    let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{file}: {error}"));
    let mut cases = Vec::new();
    let mut case = HashMap::new();
    for line in text.lines() {
        let Some((name, value)) = line.split_once('=') else {
            continue;
        };
        let name = name.trim();
        case.insert(name.to_owned(), value.trim().to_owned());
        if name == last {
            cases.push(case.clone());
        }
    }
    cases
}

fn bytes(hexadecimal: &str) -> Vec<u8> {
    hex::decode(hexadecimal).expect("vectors are hexadecimal")
}

fn array<const N: usize>(hexadecimal: &str) -> [u8; N] {
    bytes(hexadecimal)
        .try_into()
        .expect("vectors have the length of their kind")
}

const ABC: &str = concat!(
    "ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a",
    "2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f"
);
const TWO_BLOCKS: &str = concat!(
    "8e959b75dae313da8cf4f72814fc143f8f7779c6eb9f7fa17299aeadb6889018",
    "501d289e4900f7e4331b99dec4b5433ac7d329eeb6dd26545e96e55b874be909"
);
const MILLION_A: &str = concat!(
    "e718483d0ce769644e2e42c7bc15b4638e1f98b13b2044285632a803afa973eb",
    "de0ff244877ea60a4cb0432ce577c31beb009c5c2c49aa2e4eadb217ad8cc09b"
);
