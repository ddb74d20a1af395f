//! What someone does on the wire between a client and a device.

use sealnet_core::protocol::{FrameReader, MAX_PAYLOAD, frame_len, write_frame};
use sealnet_firmware::client::{Client, ClientError, Link, SealedRequest};
use sealnet_firmware::env::Event;
use sealnet_firmware::identity::Identity;
use sealnet_firmware::sim::{Machine, SimDevice};

use super::campaign::{End, Kind, RECORDS, Run};
use super::scene::{Bench, COUNTER};
use super::vault::flip;
use crate::error::{Error, Result};
use crate::random::Random;

/// Every way.
pub(super) const KINDS: &[Kind] = &[
    device(
        "a bit of a request flipped",
        UNAUTHENTIC,
        |bench, random| {
            asked(bench, random, UNAUTHENTIC, |_, request, random| {
                reframed(&request.frame, |token| flip(token, random))
            })
        },
    ),
    device(
        "a request for another device",
        UNAUTHENTIC,
        |bench, random| {
            let other = &bench.scene.other_device;
            let features = record(bench, random);
            asked(bench, random, UNAUTHENTIC, |_, request, _| {
                let mut client = Client::new(other);
                client.expect_provisioning(request.nonce);
                Ok(client.seal(features).map_err(asking)?.frame)
            })
        },
    ),
    device("a request replayed", REPLAY, |bench, random| {
        asked(bench, random, REPLAY, |link, request, _| {
            link.exchange(&request.frame)
                .map_err(|e| asking(e.into()))?;
            Ok(request.frame.clone())
        })
    }),
    device(
        "a request held back until a newer one",
        REPLAY,
        |bench, random| {
            let features = record(bench, random);
            asked(bench, random, REPLAY, |link, request, _| {
                let mut client = Client::new(&bench.scene.device);
                client.status(link).map_err(asking)?;
                client.expect_provisioning(request.nonce);
                // The one after it.
                client.seal(features).map_err(asking)?;
                let newer = client.seal(features).map_err(asking)?;
                link.exchange(&newer.frame).map_err(|e| asking(e.into()))?;
                Ok(request.frame.clone())
            })
        },
    ),
    device(
        "a request of an earlier provisioning",
        PROVISIONING,
        |bench, random| {
            let features = record(bench, random);
            let earlier = {
                let mut machine = machine(&bench.scene.device, &bench.scene.model)?;
                let mut link = machine.boot(silent);
                let mut client = Client::new(&bench.scene.device);
                client.status(&mut link).map_err(asking)?;
                client.seal(features).map_err(asking)?.frame
            };
            asked(bench, random, PROVISIONING, |_, _, _| Ok(earlier))
        },
    ),
    client("a bit of a reply flipped", UNSEALED, |bench, random| {
        answered(bench, random, UNSEALED, |_, reply, random| {
            reframed(reply, |token| flip(token, random))
        })
    }),
    client("a reply of another device", UNSEALED, |bench, random| {
        let features = record(bench, random);
        let mut machine = machine(&bench.scene.other_device, &bench.scene.model)?;
        let mut link = machine.boot(silent);
        let mut client = Client::new(&bench.scene.other_device);
        client.status(&mut link).map_err(asking)?;
        let request = client.seal(features).map_err(asking)?;
        let other = link
            .exchange(&request.frame)
            .map_err(|e| asking(e.into()))?;
        answered(bench, random, UNSEALED, |_, _, _| Ok(other))
    }),
    client(
        "a reply to another request",
        "another request",
        |bench, random| {
            answered(bench, random, "another request", |earlier, _, _| {
                Ok(earlier.to_vec())
            })
        },
    ),
];

const UNAUTHENTIC: &str = "not sealed with the device's wire key";
const UNSEALED: &str = "not a message under this wire key";
const REPLAY: &str = "a replay";
const PROVISIONING: &str = "another provisioning";

const fn device(tampering: &'static str, reason: &'static str, run: Run) -> Kind {
    Kind {
        met_by: "device",
        tampering,
        reason,
        run,
    }
}

const fn client(tampering: &'static str, reason: &'static str, run: Run) -> Kind {
    Kind {
        met_by: "client",
        tampering,
        reason,
        run,
    }
}

/// Whether nobody's touch is taken for one.
pub(super) fn untouched(bench: &mut Bench<'_>) -> Result<bool> {
    let mut machine = machine(&bench.scene.device, &bench.scene.model)?;
    let mut link = machine.boot(silent);
    let features = bench.scene.data.features_of(0);
    Ok(Client::new(&bench.scene.device)
        .infer(&mut link, features)
        .is_ok())
}

/// A device in this process.
type Wire<'m> = SimDevice<'m, fn(Event)>;

/// Seals a request, and sends what `change` makes of it to the device, which must refuse it for `reason`.
fn asked(
    bench: &Bench<'_>,
    random: &mut Random,
    reason: &str,
    change: impl FnOnce(&mut Wire<'_>, &SealedRequest, &mut Random) -> Result<Vec<u8>>,
) -> Result<End> {
    let mut machine = machine(&bench.scene.device, &bench.scene.model)?;
    let mut link: Wire<'_> = machine.boot(silent);
    let mut client = Client::new(&bench.scene.device);
    client.status(&mut link).map_err(asking)?;
    let request = client.seal(record(bench, random)).map_err(asking)?;
    let frame = change(&mut link, &request, random)?;
    let response = link.exchange(&frame).map_err(|e| asking(e.into()))?;
    Ok(match client.open(&request, &response) {
        Ok(_) => End::Missed,
        // The device is in this process: it was it that refused.
        Err(ClientError::Refused(refusal)) => {
            End::of(Err::<(), _>(refusal.code.to_string()), reason)
        }
        Err(other) => End::OtherReason(other.to_string()),
    })
}

/// Asks twice, and gives the client what `change` makes of both replies for the second, which it must refuse for `reason`.
fn answered(
    bench: &Bench<'_>,
    random: &mut Random,
    reason: &str,
    change: impl FnOnce(&[u8], &[u8], &mut Random) -> Result<Vec<u8>>,
) -> Result<End> {
    let mut machine = machine(&bench.scene.device, &bench.scene.model)?;
    let mut link: Wire<'_> = machine.boot(silent);
    let mut client = Client::new(&bench.scene.device);
    client.status(&mut link).map_err(asking)?;
    let mut ask = |client: &mut Client, random: &mut Random| {
        let request = client.seal(record(bench, random)).map_err(asking)?;
        let reply = link
            .exchange(&request.frame)
            .map_err(|e| asking(e.into()))?;
        Ok::<_, Error>((request, reply))
    };
    let (_, earlier) = ask(&mut client, random)?;
    let (request, reply) = ask(&mut client, random)?;
    let changed = change(&earlier, &reply, random)?;
    let opened = client.open(&request, &changed);
    if let Err(error) = &opened
        && !error.is_verification()
    {
        return Ok(End::OtherReason(error.to_string()));
    }
    Ok(End::of(opened.map_err(|e| e.to_string()), reason))
}

/// The frame again, with what `change` makes of its payload.
fn reframed(frame: &[u8], change: impl FnOnce(&mut [u8])) -> Result<Vec<u8>> {
    let mut reader = FrameReader::<{ 1 + MAX_PAYLOAD }>::new();
    for byte in frame {
        if let Some(Ok(found)) = reader.push(*byte) {
            change(found.payload);
            let mut out = vec![0; frame_len(found.payload.len())];
            let length = write_frame(found.kind, found.payload, &mut out);
            let length = length.map_err(|e| Error::input(e.to_string(), ""))?;
            out.truncate(length);
            return Ok(out);
        }
    }
    Err(Error::input("the device sent no frame", ""))
}

/// One of the records.
fn record<'b>(bench: &Bench<'b>, random: &mut Random) -> &'b [u8] {
    let data = &bench.scene.data;
    data.features_of(random.below(RECORDS as u32) as usize)
}

fn machine(device: &Identity, model: &[u8]) -> Result<Machine> {
    Machine::provision(device, model, COUNTER).map_err(|e| Error::input(e.to_string(), e.hint()))
}

fn silent(_: Event) {}

fn asking(error: ClientError) -> Error {
    Error::input(format!("the simulated device: {error}"), "")
}
