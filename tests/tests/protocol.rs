//! Frames and the messages in clear: round trips, truncation, garbage, resynchronisation.

use proptest::prelude::*;
use rand_chacha::ChaCha20Rng;
use rand_core::{Rng, SeedableRng};
use sealnet_core::mlp::Shape;
use sealnet_core::protocol::{
    DeviceId, FrameError, FrameReader, Kind, MAX_FRAME, MAX_PAYLOAD, MessageError, REFUSED_LEN,
    Refusal, RefusalCode, STATUS_LEN, SlotName, Status, StatusModel, UpdateOutcome, frame_len,
    write_frame,
};

const KINDS: [Kind; 9] = [
    Kind::Request,
    Kind::StatusQuery,
    Kind::UpdateBegin,
    Kind::UpdateChunk,
    Kind::UpdateFinish,
    Kind::Reply,
    Kind::Status,
    Kind::Acknowledged,
    Kind::Refused,
];

type Reader = FrameReader<{ 1 + MAX_PAYLOAD }>;
type Received = Result<(Kind, Vec<u8>), FrameError>;

/// Everything that a reader gives for a stream.
fn receive<const N: usize>(reader: &mut FrameReader<N>, stream: &[u8]) -> Vec<Received> {
    let mut received = Vec::new();
    for &byte in stream {
        if let Some(event) = reader.push(byte) {
            received.push(event.map(|frame| (frame.kind, frame.payload.to_vec())));
        }
    }
    received
}

fn framed(kind: Kind, payload: &[u8]) -> Vec<u8> {
    let mut out = vec![0xEE; frame_len(payload.len())];
    let len = write_frame(kind, payload, &mut out).unwrap();
    out.truncate(len);
    out
}

fn payloads() -> impl Strategy<Value = Vec<u8>> {
    let byte = prop_oneof![Just(0_u8), Just(1), Just(255), any::<u8>()];
    prop_oneof![
        proptest::collection::vec(byte, 0..600),
        (1_u8..=255, 0..MAX_PAYLOAD).prop_map(|(byte, len)| vec![byte; len]),
        proptest::collection::vec(any::<u8>(), 0..=MAX_PAYLOAD),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn frames_come_back(payload in payloads(), kind in 0..KINDS.len()) {
        let frame = framed(KINDS[kind], &payload);
        prop_assert!(frame.len() <= MAX_FRAME);
        prop_assert_eq!(frame.iter().position(|&b| b == 0), Some(frame.len() - 1));
        let mut reader = Reader::new();
        // Twice through one reader, with zeros between: it starts afresh each time.
        for stream in [&frame[..], &[0, 0], &frame] {
            for event in receive(&mut reader, stream) {
                prop_assert_eq!(event, Ok((KINDS[kind], payload.clone())));
            }
        }
    }

    #[test]
    fn a_frame_cut_anywhere_costs_at_most_the_next(payload in payloads(), cut in any::<prop::sample::Index>()) {
        let frame = framed(Kind::Reply, &payload);
        let cut = cut.index(frame.len());
        let good = framed(Kind::Request, b"after");
        let expected = Ok((Kind::Request, b"after".to_vec()));

        // A sender that begins with a zero loses nothing of its own.
        let resynchronised = [&frame[..cut], &[0], &good].concat();
        let received = receive(&mut Reader::new(), &resynchronised);
        prop_assert_eq!(received.last(), Some(&expected));
        prop_assert!(received.len() <= 2);
        let whole = Ok((Kind::Reply, payload));
        prop_assert_eq!(received[..received.len() - 1].contains(&whole), cut == frame.len() - 1);

        let run_together = [&frame[..cut], &good, &good].concat();
        let received = receive(&mut Reader::new(), &run_together);
        prop_assert_eq!(received.last(), Some(&expected));
    }

    #[test]
    fn garbage_is_survived(garbage in proptest::collection::vec(any::<u8>(), 0..3000)) {
        let mut reader = FrameReader::<64>::new();
        let count = receive(&mut reader, &garbage).len();
        prop_assert!(count <= garbage.iter().filter(|&&b| b == 0).count());
        receive(&mut reader, &[0]);
        let good = framed(Kind::StatusQuery, &[]);
        prop_assert_eq!(receive(&mut reader, &good), [Ok((Kind::StatusQuery, vec![]))]);
    }
}

#[test]
fn the_longest_frame_is_as_long_as_stated() {
    // No zeros: one byte of coding for each 254. More does not happen.
    let longest = framed(Kind::Request, &vec![7; MAX_PAYLOAD]);
    assert_eq!(longest.len(), MAX_FRAME);
    assert_eq!((MAX_PAYLOAD, MAX_FRAME), (4201, 4220));
    for len in [0, 1, 252, 253, 254, 255, 506, 507, 508, 509, 1000] {
        let frame = framed(Kind::Request, &vec![7; len]);
        assert!(frame.len() <= frame_len(len), "{len}");
        assert!(frame.len() + 1 >= frame_len(len), "{len}");
    }
}

#[test]
fn a_frame_that_does_not_fit_is_dropped_whole() {
    let mut reader = FrameReader::<10>::new();
    let good = (Kind::Reply, vec![3; 9]);
    for len in [10, 11, 300, 5000] {
        let stream = [
            framed(Kind::Reply, &vec![5; len]),
            framed(Kind::Reply, &[3; 9]),
        ]
        .concat();
        assert_eq!(
            receive(&mut reader, &stream),
            [Err(FrameError::TooLong), Ok(good.clone())]
        );
    }
    // An endless frame costs no memory and is reported once, at its end.
    assert_eq!(receive(&mut reader, &vec![9; 100_000]), []);
    assert_eq!(receive(&mut reader, &[0]), [Err(FrameError::TooLong)]);
    assert_eq!(
        receive(&mut reader, &framed(Kind::Reply, &[3; 9])),
        [Ok(good)]
    );
}

#[test]
fn what_is_no_frame_is_named() {
    let read = |stream: &[u8]| receive(&mut Reader::new(), stream);
    assert_eq!(read(&[1, 0]), [Err(FrameError::Empty)]);
    assert_eq!(read(&[5, 1, 2, 0]), [Err(FrameError::Malformed)]);
    assert_eq!(read(&[0xFF, 1, 0]), [Err(FrameError::Malformed)]);
    assert_eq!(read(&[0; 100]), []);
    for kind in 0..=255_u8 {
        let mut stream = vec![0; 8];
        let len = cobs_of_two(kind, 7, &mut stream);
        let expected = match Kind::try_from(kind) {
            Ok(known) => Ok((known, vec![7])),
            Err(error) => Err(error),
        };
        assert_eq!(read(&stream[..len]), [expected]);
        let known = KINDS.iter().any(|&k| k as u8 == kind);
        assert_eq!(Kind::try_from(kind).is_ok(), known);
    }
}

/// `COBS([first, second]) ‖ 0`, with `second` not zero.
fn cobs_of_two(first: u8, second: u8, out: &mut [u8]) -> usize {
    let coded = if first == 0 {
        [1, 2, second, 0]
    } else {
        [3, first, second, 0]
    };
    out[..4].copy_from_slice(&coded);
    4
}

#[test]
fn a_short_buffer_is_an_error() {
    let payload = [1, 0, 2, 0, 0, 3].repeat(60);
    let len = framed(Kind::Reply, &payload).len();
    for room in 0..len {
        let written = write_frame(Kind::Reply, &payload, &mut vec![0; room]);
        assert_eq!(written, Err(FrameError::NoSpace), "{room}");
    }
    assert_eq!(
        write_frame(Kind::Reply, &payload, &mut vec![0; len]),
        Ok(len)
    );
}

fn status() -> Status {
    Status {
        device_id: DeviceId::from_bytes(*b"sixteen byte id."),
        firmware_version: 0x0102_0304,
        boot: 0x1112_1314,
        highest_counter: 0x2122_2324_2526_2728,
        model: Some(StatusModel {
            digest: [0xAB; 64],
            shape: Shape::new(784, 64, 32, 10).unwrap(),
        }),
        nonce: *b"provisioned once",
        slot: SlotName::B,
        outcome: UpdateOutcome::Failed,
    }
}

#[test]
fn a_status_is_as_documented() {
    let mut expected = b"sixteen byte id.".to_vec();
    expected.extend([4, 3, 2, 1]);
    expected.extend([1]);
    expected.extend([0x14, 0x13, 0x12, 0x11]);
    expected.extend([0x28, 0x27, 0x26, 0x25, 0x24, 0x23, 0x22, 0x21]);
    expected.extend([0xAB; 64]);
    expected.extend([0x10, 3, 64, 0, 32, 0, 10, 0]);
    expected.extend(b"provisioned once");
    expected.extend([1, 2]);
    assert_eq!(status().to_bytes()[..], expected);
    assert_eq!(Status::parse(&expected), Ok(status()));

    let idle = Status {
        model: None,
        ..status()
    };
    assert_eq!(Status::parse(&idle.to_bytes()), Ok(idle));

    for len in 0..STATUS_LEN {
        assert_eq!(Status::parse(&expected[..len]), Err(MessageError::Length));
    }
    let longer = [&expected[..], &[0]].concat();
    assert_eq!(Status::parse(&longer), Err(MessageError::Length));
    for state in (0..=255_u8).filter(|s| !matches!(s, 1 | 2)) {
        let mut bytes = expected.clone();
        bytes[20] = state;
        assert_eq!(Status::parse(&bytes), Err(MessageError::State(state)));
    }
    for (at, known) in [(121, 2), (122, 3)] {
        for value in known..=255 {
            let mut bytes = expected.clone();
            bytes[at] = value;
            assert_eq!(Status::parse(&bytes), Err(MessageError::Update(value)));
        }
    }
    // A model without a shape, a shape without a model.
    let mut bytes = expected.clone();
    bytes[99..101].fill(0);
    assert_eq!(Status::parse(&bytes), Err(MessageError::Model));
    for at in 33..105 {
        let mut bytes = idle.to_bytes();
        bytes[at] = 1;
        assert_eq!(Status::parse(&bytes), Err(MessageError::Model), "byte {at}");
    }
}

#[test]
fn a_refusal_is_as_documented() {
    use RefusalCode as R;
    let codes = [
        R::BadFrame,
        R::Unauthentic,
        R::Replay,
        R::Shape,
        R::NotReady,
        R::Provisioning,
        R::UpdateOrder,
        R::UpdateLength,
        R::Flash,
        R::ModelMalformed,
        R::ModelForged,
        R::ModelNotNewer,
        R::ModelUnfit,
    ];
    for (number, code) in (1..).zip(codes) {
        let refusal = Refusal {
            code,
            highest_counter: 0x0102_0304_0506_0708,
        };
        let bytes = refusal.to_bytes();
        assert_eq!(bytes, [number, 8, 7, 6, 5, 4, 3, 2, 1]);
        assert_eq!(Refusal::parse(&bytes), Ok(refusal));
        for len in 0..REFUSED_LEN {
            assert_eq!(Refusal::parse(&bytes[..len]), Err(MessageError::Length));
        }
        assert_eq!(
            Refusal::parse(&[&bytes[..], &[0]].concat()),
            Err(MessageError::Length)
        );
    }
    for code in [0].into_iter().chain(14..=255_u8) {
        let bytes = [code, 0, 0, 0, 0, 0, 0, 0, 0];
        assert_eq!(Refusal::parse(&bytes), Err(MessageError::RefusalCode(code)));
    }
}

/// Any bytes at any parser in clear: an answer or an error, and never a panic.
#[test]
fn random_bytes_panic_nowhere() {
    let mut rng = ChaCha20Rng::seed_from_u64(4);
    let mut bytes = [0; 140];
    for _ in 0..200_000 {
        rng.fill_bytes(&mut bytes);
        let len = rng.next_u32() as usize % bytes.len();
        let _ = Status::parse(&bytes[..len]);
        let _ = Refusal::parse(&bytes[..len]);
    }
}
