use std::io;

use sealnet_core::protocol::UpdateStep;

use super::oracle::Wrong;
use super::*;
use crate::client::frame;
use crate::sim::flash::SimFlash;

/// What gives a device bytes.
type Device<'d> = &'d mut dyn FnMut(&[u8]) -> Vec<u8>;

/// A device and what stands before it.
struct Through<'d, L, F> {
    device: &'d mut L,
    exchange: F,
}

impl<L: Link, F: FnMut(Device<'_>, &[u8]) -> Vec<u8>> Link for Through<'_, L, F> {
    fn exchange(&mut self, bytes: &[u8]) -> io::Result<Vec<u8>> {
        let device = &mut self.device;
        Ok((self.exchange)(
            &mut |bytes| device.exchange(bytes).unwrap(),
            bytes,
        ))
    }
}

/// A device with nothing before it.
struct Bare<'d>(Device<'d>);

impl Link for Bare<'_> {
    fn exchange(&mut self, bytes: &[u8]) -> io::Result<Vec<u8>> {
        Ok((self.0)(bytes))
    }
}

fn machine() -> Machine {
    let identity = sample::identity().unwrap();
    let model = sample::model(1, &Sealing::default()).unwrap();
    Machine::provision(&identity, &model, 0).unwrap()
}

/// What the fuzzer finds with a device that it reaches through `exchange`.
fn fuzz_through(count: u64, exchange: impl FnMut(Device<'_>, &[u8]) -> Vec<u8>) -> Frames {
    let mut machine = machine();
    let mut link = Through {
        device: &mut machine.boot(|_| {}),
        exchange,
    };
    fuzz(&mut link, &sample::identity().unwrap(), count, 7, |_| {}).unwrap()
}

/// The fuzzer's streams begin with a zero, the client's frames do not.
fn is_forged(stream: &[u8]) -> bool {
    stream.first() == Some(&0)
}

fn is_reply(message: &Message) -> bool {
    message.0 == Kind::Reply
}

#[test]
fn nothing_forged_is_accepted() {
    let found = in_process(5_000, 1, |_| {}).unwrap();
    assert_eq!(found.forgeries.trials, 5_000);
    assert_eq!(found.forgeries.failures, 0, "{:?}", found.forgeries);
    assert_eq!(found.panics, 0);
    assert!(found.honest >= 12, "{}", found.honest);
}

/// A frame without its end is completed by what follows, and is answered all the same; here the answers come one
/// at a time, as over a slow wire.
#[test]
fn no_answer_is_left_on_the_wire() {
    let mut said = Vec::new();
    let found = fuzz_through(20_000, |device, bytes| {
        said.extend(device(bytes));
        let end = said.iter().position(|byte| *byte == 0);
        said.drain(..end.map_or(0, |at| at + 1)).collect()
    });
    assert_eq!(found.forgeries.failures, 0, "{:?}", found.forgeries);
    assert!(said.is_empty());
}

#[test]
fn a_device_that_answers_forgeries_with_an_older_reply_is_found() {
    let mut older = None;
    let (mut streams, mut accepted) = (0, 0);
    let found = fuzz_through(2_000, |device, bytes| {
        let response = device(bytes);
        let mut answers: Vec<Message> = frames(&response).into_iter().flatten().collect();
        streams += 1;
        let refused = answers.iter_mut().find(|a| a.0 == Kind::Refused);
        if let (0, Some(refused), Some(older)) = (streams % 10, refused, &older) {
            *refused = Message::clone(older);
            accepted += 1;
        }
        older = answers
            .iter()
            .find(|a| is_reply(a))
            .cloned()
            .or(older.take());
        let frames = answers.iter().map(|(kind, payload)| frame(*kind, payload));
        frames.collect::<Result<Vec<_>, _>>().unwrap().concat()
    });
    assert!(accepted > 100, "{accepted}");
    assert_eq!(found.forgeries.failures, accepted);
    assert_eq!((found.forgeries.trials, found.panics), (2_000, 0));
    assert_eq!(found.honest, 5);
}

/// It says that it refused, but has carried something out for which a counter went.
#[test]
fn a_device_that_carries_out_a_forgery_in_silence_is_found() {
    let identity = sample::identity().unwrap();
    let features = sample::features(1);
    let (mut honest, mut carried_out) = (None, 0);
    let found = fuzz_through(3_000, |device, bytes| {
        let mut forger = Bare(device);
        let mut client = Client::new(&identity);
        let highest = client.status(&mut forger).unwrap().highest_counter;
        let sent = frames(bytes);
        let before = sent.split_last().map_or(&[][..], |(_, before)| before);
        let garbage = !before.is_empty() && before.iter().all(Option::is_none);
        // Once after each honest request, while the counters that the client has sealed are above this one.
        if garbage && honest == Some(highest) {
            client.infer(&mut forger, &features).unwrap();
            carried_out += 1;
        }
        let response = forger.exchange(bytes).unwrap();
        if !is_forged(bytes) {
            honest = Some(client.status(&mut forger).unwrap().highest_counter);
        }
        response
    });
    assert!(carried_out > 0);
    assert_eq!(found.forgeries.failures, carried_out);
    assert_eq!(found.panics, 0);
}

#[test]
fn a_device_that_dies_is_found() {
    /// Gives what the fuzzer finds if the device ends as `end` does, at the `nth` of what `dies_of` names.
    fn found(dies_of: fn(&[u8]) -> bool, nth: u64, end: fn() -> Vec<u8>) -> (u64, u64, u64, u64) {
        let mut times = 0;
        let found = fuzz_through(1_200, |device, bytes| {
            times += u64::from(dies_of(bytes));
            if times >= nth { end() } else { device(bytes) }
        });
        let Frames {
            forgeries,
            panics,
            honest,
        } = found;
        (forgeries.trials, forgeries.failures, panics, honest)
    }
    fn request(bytes: &[u8]) -> bool {
        !is_forged(bytes) && bytes != STATUS_QUERY
    }
    fn panics() -> Vec<u8> {
        panic!("the device dies")
    }
    assert_eq!(found(is_forged, 42, panics), (42, 0, 1, 1));
    assert_eq!(found(is_forged, 42, Vec::new), (42, 0, 1, 1));
    assert_eq!(
        found(|bytes| bytes == STATUS_QUERY, 1, panics),
        (0, 0, 1, 0)
    );
    assert_eq!(found(request, 2, panics), (500, 0, 1, 1));
    // The one after all frames.
    assert_eq!(found(request, 4, panics), (1_200, 0, 1, 3));
}

#[test]
fn a_thread_that_is_lost_or_does_less_is_found() {
    let sent = |trials, panics| {
        let mut found = Frames {
            panics,
            ..Frames::default()
        };
        (0..trials).for_each(|_| found.forgeries.count(Ok(())));
        Ok(found)
    };
    assert_eq!(spread(100, 3, |_, share| sent(share, 0)).unwrap().panics, 0);
    let lost = spread(100, 2, |worker, share| {
        assert_eq!(worker, 0, "the device dies");
        sent(share, 0)
    });
    let lost = lost.unwrap();
    assert_eq!((lost.forgeries.trials, lost.panics), (50, 1));
    assert!(matches!(
        spread(100, 2, |worker, share| sent(share - worker, 0)),
        Err(FuzzError::Count {
            made: 99,
            asked: 100
        })
    ));
    assert_eq!(spread(100, 2, |_, _| sent(7, 1)).unwrap().panics, 2);
}

/// An oracle, two messages that its device has not had, each with the device's answer to it alone, and a refusal.
/// The second's counter is the higher one.
fn messages_and_answers() -> (Oracle, [(Message, Message); 2], (Message, Message)) {
    let identity = sample::identity().unwrap();
    let mut first = machine();
    let mut second = Machine::new(SimFlash::new(first.flash().bytes().to_vec()));
    let (mut first, mut second) = (first.boot(|_| {}), second.boot(|_| {}));
    let mut oracle = Oracle::new(Client::new(&identity), &mut first).unwrap();
    let request = oracle.keep_request(&sample::features(1)).unwrap();
    let begin = UpdateStep::Begin { total: 1024 };
    let begin = oracle.keep_update(begin).unwrap();
    let forged = frame(Kind::Request, b"forged").unwrap();
    let message = |bytes: &[u8]| frames(bytes).remove(0).unwrap();
    let refusal = message(&first.exchange(&forged).unwrap());
    let reply = message(&first.exchange(&request).unwrap());
    // It has not had the request, and would take it still.
    let acknowledged = message(&second.exchange(&begin).unwrap());
    assert_eq!(
        (reply.0, acknowledged.0, refusal.0),
        (Kind::Reply, Kind::Acknowledged, Kind::Refused)
    );
    let own = [(message(&request), reply), (message(&begin), acknowledged)];
    (oracle, own, (message(&forged), refusal))
}

/// What the oracle says to frames and answers that are picked from an own message and its answer, another, and a
/// forgery and its refusal.
fn judge(sent: &[usize], answers: &[usize]) -> Result<(), Wrong> {
    let (mut oracle, [request, begin], forged) = messages_and_answers();
    let all = [request, begin, forged];
    let sent: Vec<_> = sent.iter().map(|at| Some(all[*at].0.clone())).collect();
    let answers: Vec<_> = answers.iter().map(|at| Some(all[*at].1.clone())).collect();
    oracle.judge(&sent, &answers)
}

#[test]
fn an_answer_is_for_the_message_that_it_stands_for() {
    const REQUEST: usize = 0;
    const BEGIN: usize = 1;
    const FORGED: usize = 2;
    judge(&[FORGED, REQUEST], &[FORGED, REQUEST]).unwrap();
    judge(&[REQUEST, BEGIN], &[REQUEST, BEGIN]).unwrap();
    for (sent, answers) in [
        // A forgery is answered and the message beside it refused.
        ([FORGED, REQUEST], [REQUEST, FORGED]),
        ([FORGED, BEGIN], [BEGIN, FORGED]),
        // Counters fall.
        ([BEGIN, REQUEST], [BEGIN, REQUEST]),
        // A message is accepted twice.
        ([REQUEST, REQUEST], [REQUEST, REQUEST]),
        ([BEGIN, BEGIN], [BEGIN, BEGIN]),
    ] {
        let judged = judge(&sent, &answers);
        assert!(matches!(judged, Err(Wrong::Accepted)), "{judged:?}");
    }
    for (sent, answers) in [(REQUEST, BEGIN), (BEGIN, REQUEST)] {
        let judged = judge(&[sent], &[answers]);
        assert!(matches!(judged, Err(Wrong::Answer(_))), "{judged:?}");
    }
    // The refusal names the counter before the request's.
    assert!(matches!(
        judge(&[REQUEST, FORGED], &[REQUEST, FORGED]),
        Err(Wrong::Counter { .. })
    ));
    assert!(matches!(
        judge(&[FORGED, REQUEST], &[FORGED]),
        Err(Wrong::Count {
            sent: 2,
            answers: 1
        })
    ));
}
