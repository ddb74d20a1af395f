//! A publisher, devices and their machines, for the tests of the device.

use sealnet_core::artefact::{
    BodySpec, Claims, Encrypted, Encryption, Name, NamesSpec, Provenance, ReplyPolicy, seal,
    sealed_len, write_body,
};
use sealnet_core::fernet::{DerivationKey, FernetKey, Iv, decrypt_in_place, encrypt};
use sealnet_core::mlp::{Granularity, Kernel, Quantisation, WeightType};
use sealnet_core::protocol::{
    Frame, FrameReader, Kind, MAX_PAYLOAD, Refusal, RefusalCode, frame_len, write_frame,
};
use sealnet_core::sign::{Domain, Ed25519SigningKey, HmacKey, SigningKey, sha512};
use sealnet_firmware::client::{Client, ClientError, Link};
use sealnet_firmware::device::BootError;
use sealnet_firmware::env::Event;
use sealnet_firmware::identity::{DeviceName, Identity, Provisioned};
use sealnet_firmware::layout::{IDENTITY, SLOT_LEN};
use sealnet_firmware::sim::flash::SimFlash;
use sealnet_firmware::sim::{Machine, SimDevice};

use crate::model_fixture::Model;

/// What the firmware under test was built for.
pub(crate) const WIDTHS: [usize; 4] = [784, 64, 64, 10];

pub(crate) fn network(seed: u64) -> Model {
    Model::random(WIDTHS, Granularity::PerOutput, seed)
}

pub(crate) const INT4: Quantisation = Quantisation {
    weights: WeightType::Int4,
    granularity: Granularity::PerOutput,
};

/// One with int4 weights.
pub(crate) fn int4_network(seed: u64) -> Model {
    Model::random_of(WIDTHS, INT4, seed)
}

pub(crate) fn ed25519() -> SigningKey {
    SigningKey::Ed25519(Ed25519SigningKey::from_seed(&[21; 32]))
}

pub(crate) fn hmac() -> SigningKey {
    SigningKey::Hmac(HmacKey::from_bytes([22; 64]))
}

pub(crate) fn model_key() -> FernetKey {
    FernetKey::from_bytes([23; 32])
}

/// A device that trusts `publisher`.
pub(crate) fn identity(publisher: &SigningKey) -> Identity {
    Identity {
        device: DeviceName::new("0001").unwrap(),
        wire: FernetKey::from_bytes([31; 32]),
        secret: DerivationKey::from_bytes([32; 32]),
        model: Some(model_key()),
        publisher: publisher.trusted(),
        receipt: SigningKey::Hmac(HmacKey::from_bytes([33; 64])),
    }
}

/// How a model is sealed.
#[derive(Debug, Clone)]
pub(crate) struct Export {
    pub(crate) signing: SigningKey,
    pub(crate) encrypted: bool,
    pub(crate) counter: u32,
    pub(crate) policy: ReplyPolicy,
}

impl Default for Export {
    fn default() -> Self {
        Self {
            signing: ed25519(),
            encrypted: true,
            counter: 1,
            policy: ReplyPolicy::Logits,
        }
    }
}

impl Export {
    pub(crate) fn seal(&self, model: &Model) -> Vec<u8> {
        self.seal_named(model, None)
    }

    /// With names of `text` bytes in all for its columns.
    pub(crate) fn with_names(&self, model: &Model, text: usize) -> Vec<u8> {
        let count = usize::from(model.network().shape().input());
        let name = "n".repeat(text / count + 1);
        let longer = text % count;
        let columns: Vec<&str> = (0..count)
            .map(|at| &name[usize::from(at >= longer)..])
            .collect();
        let names = NamesSpec {
            columns: &columns,
            classes: &[],
        };
        self.seal_named(model, Some(names))
    }

    fn seal_named(&self, model: &Model, names: Option<NamesSpec<'_>>) -> Vec<u8> {
        let network = model.network();
        let spec = BodySpec {
            network,
            logit_scale: 1e-6,
            golden_seed: 7,
            golden_count: 2,
            policy: self.policy,
            kernel: Kernel::Dense,
            scaling: None,
            names,
        };
        let mut body = vec![0; spec.body_len()];
        let mut scratch = vec![0; network.shape().golden_scratch_len()];
        let mut logits = vec![0; usize::from(network.shape().output())];
        let body = write_body(&mut body, &spec, &mut scratch, &mut logits).unwrap();
        let claims = Claims {
            security_counter: self.counter,
            provenance: Provenance::Unverified,
            created: 1_700_000_000,
            name: Name::new("test").unwrap(),
        };
        let key = model_key();
        let encryption = self.encrypted.then(|| Encryption {
            key: &key,
            iv: Iv::from_bytes([9; 16]),
            time: 1_700_000_000,
        });
        let mut file = vec![0; sealed_len(spec.body_len(), self.encrypted)];
        let len = seal(&claims, body, &self.signing, encryption, &mut file).unwrap();
        assert_eq!(len, file.len());
        file
    }
}

/// Changes the plaintext body of a model at `offset` and signs it again, as only its publisher could.
pub(crate) fn change_and_sign(file: &mut [u8], offset: usize, signing: &SigningKey) {
    let end = file.len() - 64;
    let (header, body) = file[..end].split_at_mut(256);
    let clear = header[11] == 1;
    let mut change = |plaintext: &mut [u8]| {
        plaintext[offset] ^= 1;
        header[64..128].copy_from_slice(&sha512(&[plaintext]));
    };
    if clear {
        change(body);
    } else {
        let mut token = body.to_vec();
        let mut plaintext = decrypt_in_place(&model_key(), &mut token, None).unwrap();
        change(plaintext.plaintext_mut());
        let iv = Iv::from_bytes([10; 16]);
        encrypt(&model_key(), 0, iv, plaintext.plaintext(), body).unwrap();
    }
    let signature = signing.sign(Domain::Model, &[&file[..end]]).to_bytes();
    file[end..].copy_from_slice(&signature);
}

/// A machine with a model of the default export, and a client of its device.
pub(crate) fn machine() -> (Machine, Client, Model) {
    let model = network(1);
    let identity = identity(&ed25519());
    let machine = Machine::provision(&identity, &Export::default().seal(&model), 0).unwrap();
    let client = client_of_0001(&machine);
    (machine, client, model)
}

/// The machine as it is, but with another model in its slot.
pub(crate) fn with_model(machine: &Machine, file: &[u8]) -> Machine {
    let mut bytes = machine.flash().bytes().to_vec();
    bytes[..SLOT_LEN].fill(0xFF);
    bytes[..file.len()].copy_from_slice(file);
    Machine::new(SimFlash::new(bytes))
}

pub(crate) fn silent(_: Event) {}

/// Boots and says why no model is served; checks that the device is alive and answers no request.
pub(crate) fn boot_error<M: Encrypted>(machine: &mut Machine<M>, client: &mut Client) -> BootError {
    let mut logged = None;
    let mut device = machine.boot(|event| {
        if let Event::NoModel(error) = event {
            logged = Some(error);
        }
    });
    let error = device.model().unwrap_err();
    let status = client.status(&mut device).unwrap();
    assert_eq!(status.model, None);
    let refused = client.infer(&mut device, &[0; 784]).unwrap_err();
    assert!(
        matches!(
            refused,
            ClientError::Refused(Refusal {
                code: RefusalCode::NotReady,
                ..
            })
        ),
        "{refused}"
    );
    drop(device);
    assert_eq!(logged, Some(error));
    error
}

/// The frames in a response: kind and payload.
pub(crate) fn frames(response: &[u8]) -> Vec<(Kind, Vec<u8>)> {
    let mut reader = FrameReader::<{ 1 + MAX_PAYLOAD }>::new();
    let mut frames = Vec::new();
    for byte in response {
        if let Some(frame) = reader.push(*byte) {
            let Frame { kind, payload } = frame.unwrap();
            frames.push((kind, payload.to_vec()));
        }
    }
    frames
}

/// Sends bytes and gives the code of the one refusal that comes back.
pub(crate) fn refusal(device: &mut SimDevice<'_, fn(Event)>, bytes: &[u8]) -> Refusal {
    let response = device.exchange(bytes).unwrap();
    match frames(&response).as_slice() {
        [(Kind::Refused, payload)] => Refusal::parse(payload).unwrap(),
        other => panic!("no single refusal: {other:?}"),
    }
}

/// The IV of the one reply in a response.
pub(crate) fn reply_iv(response: &[u8]) -> [u8; 16] {
    match frames(response).as_slice() {
        [(Kind::Reply, token)] => token[9..25].try_into().unwrap(),
        other => panic!("no single reply: {other:?}"),
    }
}

/// The nonce of a machine's provisioning.
pub(crate) fn nonce(machine: &Machine) -> [u8; 16] {
    Provisioned::read(&machine.flash().bytes()[IDENTITY..])
        .unwrap()
        .nonce
}

/// A client that knows device 0001's keys and provisioning, and nothing else.
pub(crate) fn client_of_0001(machine: &Machine) -> Client {
    let mut client = stranger_to_0001();
    client.expect_provisioning(nonce(machine));
    client
}

/// A client that knows device 0001's keys and nothing else.
pub(crate) fn stranger_to_0001() -> Client {
    Client::new(&identity(&ed25519()))
}

/// A frame of any kind.
pub(crate) fn frame(kind: Kind, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![0; frame_len(payload.len())];
    let len = write_frame(kind, payload, &mut frame).unwrap();
    frame.truncate(len);
    frame
}

/// A log for who does not listen.
pub(crate) const SILENT: fn(Event) = silent;
