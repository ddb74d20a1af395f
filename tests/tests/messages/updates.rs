//! Update messages and their acknowledgements.

use sealnet_core::protocol::{
    ACKNOWLEDGEMENT_LEN, Acknowledgement, AuthenticAcknowledgement, AuthenticUpdate, CHUNK_MAX,
    Kind, Update, UpdateState, UpdateStep, update_len,
};

use super::*;

fn update(step: UpdateStep<'_>) -> Result<Vec<u8>, MessageError> {
    let update = Update {
        counter: 0x0102_0304_0506_0708,
        nonce: NONCE,
        step,
    };
    let mut scratch = vec![0; update_len(CHUNK_MAX + 1)];
    let mut out = vec![0; fernet::binary_len(scratch.len())];
    let token = update.seal(&wire(), TIME, iv(), &mut scratch, &mut out)?;
    Ok(token.to_vec())
}

fn steps(data: &[u8]) -> [UpdateStep<'_>; 3] {
    [
        UpdateStep::Begin { total: 57_000 },
        UpdateStep::Chunk {
            offset: 0x1122_3344,
            data,
        },
        UpdateStep::Finish { total: 57_000 },
    ]
}

fn open_as(kind: Kind, token: &[u8]) -> Result<u64, MessageError> {
    AuthenticUpdate::open(&wire(), kind, &mut token.to_vec()).map(|opened| opened.counter())
}

#[test]
fn updates_come_back_and_are_as_documented() {
    for len in [1, 16, CHUNK_MAX] {
        let data: Vec<u8> = (0..len).map(|i| i as u8).collect();
        for (step, kind) in steps(&data).into_iter().zip(3..) {
            assert_eq!(step.kind() as u8, kind);
            let mut token = update(step).unwrap();
            let mut expected = vec![2, kind, 0, 0, 8, 7, 6, 5, 4, 3, 2, 1];
            match step {
                UpdateStep::Chunk { data, .. } => {
                    expected.extend([0x44, 0x33, 0x22, 0x11]);
                    expected.extend(NONCE);
                    expected.extend(data);
                }
                _ => {
                    expected.extend(57_000_u32.to_le_bytes());
                    expected.extend(NONCE);
                }
            }
            assert_eq!(opened(&token), expected);
            let digest = sha512(&[&token]);
            let found = AuthenticUpdate::open(&wire(), step.kind(), &mut token).unwrap();
            assert_eq!((found.step(), found.time()), (step, TIME));
            assert_eq!((found.nonce(), found.digest()), (&NONCE, &digest));
        }
    }
    for data in [&[][..], &[0; CHUNK_MAX + 1]] {
        let step = UpdateStep::Chunk { offset: 0, data };
        assert_eq!(update(step), Err(MessageError::Length));
    }
}

#[test]
fn an_update_that_was_touched_is_not_authentic() {
    let step = UpdateStep::Begin { total: 1 };
    let token = update(step).unwrap();
    for bit in 0..token.len() * 8 {
        let mut touched = token.clone();
        touched[bit / 8] ^= 1 << (bit % 8);
        let refused = open_as(Kind::UpdateBegin, &touched);
        assert_eq!(refused, Err(MessageError::Unauthentic), "bit {bit}");
    }
    for len in 0..token.len() {
        let refused = open_as(Kind::UpdateBegin, &token[..len]);
        assert_eq!(refused, Err(MessageError::Unauthentic), "{len} bytes");
    }
}

#[test]
fn an_authentic_update_with_wrong_contents_is_refused() {
    for step in steps(&[9; 8]) {
        let kind = step.kind();
        let good = opened(&update(step).unwrap());
        let refused = |change: &dyn Fn(&mut Vec<u8>)| {
            let mut plaintext = good.clone();
            change(&mut plaintext);
            open_as(kind, &sealed(&plaintext)).unwrap_err()
        };
        for other in (0..=255).filter(|&v| v != 2) {
            assert_eq!(refused(&|p| p[0] = other), MessageError::Version(other));
        }
        // Neither another step nor a request passes for this one.
        for other in (0..=255).filter(|&v| v != kind as u8) {
            let expected = match other {
                0x81 | 0x83 => MessageError::Direction,
                _ => MessageError::Kind(other),
            };
            assert_eq!(refused(&|p| p[1] = other), expected);
        }
        for at in [2, 3] {
            assert_eq!(refused(&|p| p[at] = 1), MessageError::ReservedBytes);
        }
        for len in 0..32 {
            assert_eq!(refused(&|p| p.truncate(len)), MessageError::Length);
        }
        let chunk = matches!(step, UpdateStep::Chunk { .. });
        let longer = if chunk { CHUNK_MAX - 7 } else { 1 };
        assert_eq!(
            refused(&|p| p.extend(vec![0; longer])),
            MessageError::Length
        );
        if chunk {
            assert_eq!(refused(&|p| p.truncate(32)), MessageError::Length);
        }
        // A frame of a kind that carries no update.
        let request = sealed(&[&[2, 1], &good[2..]].concat());
        let error = open_as(Kind::Request, &request).unwrap_err();
        assert_eq!(error, MessageError::Kind(1));
    }
}

#[test]
fn an_acknowledgement_comes_back_and_is_as_documented() {
    let said = Acknowledgement {
        state: UpdateState::Complete,
        received: 0x0102_0304,
        request_digest: [0xA3; 64],
    };
    let mut scratch = [0; ACKNOWLEDGEMENT_LEN];
    let mut out = [0; fernet::binary_len(ACKNOWLEDGEMENT_LEN)];
    let token = said
        .seal(&wire(), TIME, iv(), &mut scratch, &mut out)
        .unwrap()
        .to_vec();
    let good = opened(&token);
    let mut expected = vec![2, 0x83, 2, 0, 4, 3, 2, 1];
    expected.extend([0xA3; 64]);
    assert_eq!(good, expected);
    let open = |token: &[u8]| {
        AuthenticAcknowledgement::open(&wire(), &mut token.to_vec())
            .map(|opened| *opened.acknowledgement())
    };
    assert_eq!(open(&token), Ok(said));
    for bit in 0..token.len() * 8 {
        let mut touched = token.clone();
        touched[bit / 8] ^= 1 << (bit % 8);
        assert_eq!(open(&touched), Err(MessageError::Unauthentic), "bit {bit}");
    }
    let refused = |change: &dyn Fn(&mut Vec<u8>)| {
        let mut plaintext = good.clone();
        change(&mut plaintext);
        open(&sealed(&plaintext)).unwrap_err()
    };
    assert_eq!(refused(&|p| p[0] = 1), MessageError::Version(1));
    for other in (0..=255).filter(|&v| v != 0x83) {
        let expected = match other {
            1 | 3..=5 => MessageError::Direction,
            _ => MessageError::Kind(other),
        };
        assert_eq!(refused(&|p| p[1] = other), expected);
    }
    for other in (0..=255).filter(|&v| v != 1 && v != 2) {
        assert_eq!(refused(&|p| p[2] = other), MessageError::Update(other));
    }
    assert_eq!(refused(&|p| p[3] = 1), MessageError::ReservedBytes);
    assert_eq!(refused(&|p| p.push(0)), MessageError::Length);
    for len in 0..good.len() {
        assert_eq!(refused(&|p| p.truncate(len)), MessageError::Length);
    }
}
