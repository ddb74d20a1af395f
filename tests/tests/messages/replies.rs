//! What a device answers.

use super::*;

fn logits(classes: usize) -> Vec<i32> {
    (0..classes).map(|i| (i as i32 * 37) % 101 - 50).collect()
}

fn reply(
    policy: ReplyPolicy,
    classes: usize,
    receipt: &SignedReceipt,
) -> Result<Vec<u8>, MessageError> {
    let logits = logits(classes);
    let probabilities: Vec<f32> = (0..classes).map(|i| i as f32 / 512.0).collect();
    let reply = Reply {
        policy,
        receipt,
        probabilities: &probabilities,
        logits: &logits,
    };
    let mut scratch = vec![0; reply_len(policy, classes)];
    let mut out = vec![0; fernet::binary_len(scratch.len())];
    Ok(reply
        .seal(&wire(), TIME, iv(), &mut scratch, &mut out)?
        .to_vec())
}

#[test]
fn replies_come_back_with_what_the_policy_allows() {
    for key in device_keys() {
        for classes in [1, 2, 10, 256] {
            let label = sealnet_core::mlp::argmax(&logits(classes)) as u16;
            let signed = receipt(label, &logits(classes)).sign(&key);
            for policy in POLICIES {
                let mut token = reply(policy, classes, &signed).unwrap();
                let opened = AuthenticReply::open(&wire(), &mut token).unwrap();
                assert_eq!(opened.policy(), policy);
                assert_eq!(usize::from(opened.class_count()), classes);
                assert_eq!(opened.time(), TIME);
                assert_eq!(opened.receipt().as_bytes(), signed.as_bytes());
                let probabilities: Option<Vec<f32>> = opened.probabilities().map(Iterator::collect);
                assert_eq!(probabilities.is_some(), policy != ReplyPolicy::Label);
                if let Some(probabilities) = probabilities {
                    assert!(
                        probabilities
                            .iter()
                            .zip(0..)
                            .all(|(&p, i)| p == i as f32 / 512.0)
                    );
                }
                let expected = (policy == ReplyPolicy::Logits).then(|| logits(classes));
                assert_eq!(opened.logits().map(Iterator::collect), expected);

                let verified = opened.verify(&key.trusted(), &[0xA2; 64]).unwrap();
                assert_eq!(verified.receipt().label, label);
            }
        }
    }
}

#[test]
fn a_reply_of_another_size_cannot_be_sealed() {
    let signed = receipt(0, &[]).sign(&device_keys()[0]);
    for policy in POLICIES {
        for classes in [0, 257] {
            let refused = reply(policy, classes, &signed).unwrap_err();
            assert_eq!(refused, MessageError::ClassCount(classes as u16));
        }
        let unequal = Reply {
            policy,
            receipt: &signed,
            probabilities: &[0.5],
            logits: &[1, 2],
        };
        let refused = unequal
            .seal(&wire(), TIME, iv(), &mut [0; 1000], &mut [0; 1000])
            .map(drop);
        let expected = match policy {
            ReplyPolicy::Label => Ok(()),
            _ => Err(MessageError::ClassCount(2)),
        };
        assert_eq!(refused, expected);
        let small = Reply {
            policy,
            receipt: &signed,
            probabilities: &[0.5],
            logits: &[1],
        };
        let needed = reply_len(policy, 1);
        let mut room = vec![0; needed];
        let mut out = vec![0; fernet::binary_len(needed)];
        let (short, short_out) = (needed - 1, out.len() - 1);
        let mut seal = |scratch: usize, written: usize| {
            small
                .seal(
                    &wire(),
                    TIME,
                    iv(),
                    &mut room[..scratch],
                    &mut out[..written],
                )
                .map(drop)
        };
        assert_eq!(seal(short, short_out + 1), Err(MessageError::NoSpace));
        assert_eq!(seal(needed, short_out), Err(MessageError::NoSpace));
        assert_eq!(seal(needed, short_out + 1), Ok(()));
    }
}

fn refused_reply(token: &[u8]) -> MessageError {
    AuthenticReply::open(&wire(), &mut token.to_vec()).unwrap_err()
}

#[test]
fn a_reply_that_was_touched_or_is_malformed_is_refused() {
    let signed = receipt(3, &logits(4)).sign(&device_keys()[0]);
    for policy in POLICIES {
        let token = reply(policy, 4, &signed).unwrap();
        for bit in 0..token.len() * 8 {
            let mut touched = token.clone();
            touched[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(
                refused_reply(&touched),
                MessageError::Unauthentic,
                "bit {bit}"
            );
        }
        for len in 0..token.len() {
            assert_eq!(
                refused_reply(&token[..len]),
                MessageError::Unauthentic,
                "{len} bytes"
            );
        }

        let good = opened(&token);
        assert_eq!(good.len(), reply_len(policy, 4));
        assert_eq!(good[..8], [2, 0x81, 4, 0, policy as u8, 0, 0, 0]);
        let refused = |change: &dyn Fn(&mut Vec<u8>)| {
            let mut plaintext = good.clone();
            change(&mut plaintext);
            refused_reply(&sealed(&plaintext))
        };
        for version in (0..=255_u8).filter(|&v| v != 2) {
            assert_eq!(refused(&|p| p[0] = version), MessageError::Version(version));
        }
        for other in (0..=255_u8).filter(|&v| v != 0x81) {
            let expected = match other {
                1 | 3..=5 => MessageError::Direction,
                _ => MessageError::Kind(other),
            };
            assert_eq!(refused(&|p| p[1] = other), expected);
        }
        for other in (0..=255_u8).filter(|v| !(1..=3).contains(v)) {
            assert_eq!(refused(&|p| p[4] = other), MessageError::ReplyPolicy(other));
        }
        for other in POLICIES.into_iter().filter(|&p| p != policy) {
            assert_eq!(refused(&|p| p[4] = other as u8), MessageError::Length);
        }
        for at in 5..8 {
            assert_eq!(refused(&|p| p[at] = 1), MessageError::ReservedBytes);
        }
        for count in [0, 257, u16::MAX] {
            let error = MessageError::ClassCount(count);
            assert_eq!(
                refused(&|p| p[2..4].copy_from_slice(&count.to_le_bytes())),
                error
            );
        }
        for len in 0..good.len() {
            assert_eq!(
                refused(&|p| p.truncate(len)),
                MessageError::Length,
                "{len} bytes"
            );
        }
        assert_eq!(refused(&|p| p.push(0)), MessageError::Length);
    }
}

/// One key seals both directions: what comes back to its sender is refused for that alone.
#[test]
fn a_reflected_message_is_refused() {
    let signed = receipt(3, &logits(4)).sign(&device_keys()[0]);
    for policy in POLICIES {
        let reply = reply(policy, 4, &signed).unwrap();
        let refused = refused_request(&reply);
        assert_eq!(refused, MessageError::Direction);
        assert_eq!(refused.refusal(), RefusalCode::Unauthentic);
    }
    // As long as a reply of each policy, and as close to one as its sender can make it.
    for policy in POLICIES {
        let features = vec![1; reply_len(policy, 4) - request_len(0)];
        let request = request(7, &features).unwrap();
        assert_eq!(refused_reply(&request), MessageError::Direction);
    }
}

#[test]
fn a_receipt_for_something_else_is_refused() {
    let key = &device_keys()[1];
    let largest = sealnet_core::mlp::argmax(&logits(4)) as u16;
    let refused = |receipt: Receipt, policy, request: Digest512| {
        let mut token = reply(policy, 4, &receipt.sign(key)).unwrap();
        let opened = AuthenticReply::open(&wire(), &mut token).unwrap();
        opened.verify(&key.trusted(), &request).map(drop)
    };
    let good = receipt(largest, &logits(4));
    for policy in POLICIES {
        assert_eq!(refused(good, policy, [0xA2; 64]), Ok(()));
        assert_eq!(
            refused(good, policy, [0xA3; 64]),
            Err(ReceiptError::Request)
        );
        let beyond = Receipt { label: 4, ..good };
        assert_eq!(
            refused(beyond, policy, [0xA2; 64]),
            Err(ReceiptError::Label)
        );
    }
    let other = Receipt {
        label: (largest + 1) % 4,
        ..good
    };
    assert_eq!(
        refused(other, ReplyPolicy::Logits, [0xA2; 64]),
        Err(ReceiptError::Label)
    );
    let other = receipt(largest, &[1, 2, 3, 4]);
    assert_eq!(
        refused(other, ReplyPolicy::Logits, [0xA2; 64]),
        Err(ReceiptError::Logits)
    );
    // Without the logits the reader cannot know; the digest is there for who can.
    assert_eq!(refused(other, ReplyPolicy::Label, [0xA2; 64]), Ok(()));
}
