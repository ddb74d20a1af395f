//! What a device vouches for.

use super::*;

#[test]
fn a_receipt_is_as_documented() {
    let logits = [-1, 2, i32::MIN];
    let mut le = Vec::new();
    for logit in logits {
        le.extend(logit.to_le_bytes());
    }
    for (key, scheme) in device_keys().iter().zip([1, 2]) {
        let mut expected = b"SNRC".to_vec();
        expected.extend([2, 0, scheme, 0]);
        expected.extend(b"sixteen byte id.");
        expected.extend([0xA1; 64]);
        expected.extend([4, 3, 2, 1]);
        expected.extend([0x14, 0x13, 0x12, 0x11]);
        expected.extend([0x28, 0x27, 0x26, 0x25, 0x24, 0x23, 0x22, 0x21]);
        expected.extend([0xA2; 64]);
        expected.extend([1, 0, 0, 0, 0, 0, 0, 0]);
        expected.extend(sha512(&[&le]));
        expected.extend(NONCE);
        expected.extend(key.sign(Domain::DeviceReceipt, &[&expected]).to_bytes());
        let signed = receipt(1, &logits).sign(key);
        assert_eq!(signed.as_bytes()[..], expected);

        let unverified = UnverifiedReceipt::new(signed.as_bytes());
        assert_eq!(unverified.untrusted(), Ok(receipt(1, &logits)));
        let verified = unverified.verify(&key.trusted()).unwrap();
        assert_eq!(*verified.receipt(), receipt(1, &logits));
    }
}

fn refused_receipt(bytes: &[u8; RECEIPT_LEN], key: &TrustedKey) -> ReceiptError {
    UnverifiedReceipt::new(bytes).verify(key).unwrap_err()
}

#[test]
fn a_receipt_that_was_touched_does_not_verify() {
    for key in device_keys() {
        let good = *receipt(3, &[1]).sign(&key).as_bytes();
        for bit in 0..RECEIPT_LEN * 8 {
            let mut touched = good;
            touched[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(
                refused_receipt(&touched, &key.trusted()),
                ReceiptError::Signature
            );
        }
        let stranger = SigningKey::Hmac(HmacKey::from_bytes([0; 64])).trusted();
        assert_eq!(refused_receipt(&good, &stranger), ReceiptError::Signature);
    }
}

#[test]
fn a_signed_receipt_with_wrong_contents_is_refused() {
    for (key, other_scheme) in device_keys().iter().zip([2, 1]) {
        let refused = |at: usize, value: u8| {
            let mut bytes = *receipt(3, &[1]).sign(key).as_bytes();
            bytes[at] = value;
            let signature = key.sign(Domain::DeviceReceipt, &[&bytes[..256]]).to_bytes();
            bytes[256..].copy_from_slice(&signature);
            refused_receipt(&bytes, &key.trusted())
        };
        assert_eq!(refused(0, b's'), ReceiptError::Magic);
        assert_eq!(refused(4, 1), ReceiptError::Version(1));
        assert_eq!(refused(5, 1), ReceiptError::Version(0x0102));
        for scheme in [0, 3, 255, other_scheme] {
            assert_eq!(refused(6, scheme), ReceiptError::Scheme(scheme));
        }
        for verdict in 3..=255 {
            assert_eq!(refused(7, verdict), ReceiptError::Verdict(verdict));
        }
        for at in 170..176 {
            assert_eq!(refused(at, 1), ReceiptError::ReservedBytes);
        }
    }
}
