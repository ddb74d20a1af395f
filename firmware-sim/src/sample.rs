//! A publisher, a device and networks to measure and attack with. Their keys are in the open and worth nothing;
//! they are always the same, so that what is measured can be measured again.

use sealnet_core::artefact::{
    BodySpec, Claims, Encryption, Name, Provenance, ReplyPolicy, SealError, expand, seal,
    sealed_len, write_body,
};
use sealnet_core::fernet::{DerivationKey, FernetKey, Iv, NONCE_LEN};
use sealnet_core::mlp::{
    DenseRef, Granularity, Kernel, LayerBytes, LayerError, Network, Quantisation, ShapeError,
    WeightType,
};
use sealnet_core::sign::{Ed25519SigningKey, HmacKey, SigningKey};

use crate::identity::{DeviceName, Identity};
use crate::shape::{CLASSES, HIDDEN1, HIDDEN2, INPUT};

/// How a model is sealed.
#[derive(Debug, Clone)]
pub struct Sealing {
    /// Who signs it.
    pub signer: SigningKey,
    /// Whether its body is encrypted.
    pub encrypted: bool,
    /// Its security counter.
    pub counter: u32,
    /// Which kernel it runs with.
    pub kernel: Kernel,
    /// How fine its weights are, where the sample chooses them.
    pub weights: WeightType,
}

impl Default for Sealing {
    /// By the publisher whom the device trusts, in clear, counter 1, for the dense kernel, int8.
    fn default() -> Self {
        Self {
            signer: publisher(1),
            encrypted: false,
            counter: 1,
            kernel: Kernel::Dense,
            weights: WeightType::Int8,
        }
    }
}

/// Why a sample could not be made: none in practice.
#[derive(Debug, thiserror::Error)]
pub enum SampleError {
    /// A layer was refused.
    #[error("{0}")]
    Layer(LayerError),
    /// The layers do not follow on from each other.
    #[error("{0}")]
    Shape(#[from] ShapeError),
    /// The model could not be sealed.
    #[error("{0}")]
    Seal(#[from] SealError),
    /// The device's name is none.
    #[error("the device's name is none")]
    Name,
}

/// The key of a publisher. The device trusts number 1.
pub fn publisher(number: u8) -> SigningKey {
    SigningKey::Ed25519(Ed25519SigningKey::from_seed(&[number; 32]))
}

/// The device.
///
/// # Errors
/// None in practice.
pub fn identity() -> Result<Identity, SampleError> {
    Ok(Identity {
        device: DeviceName::new("sample").ok_or(SampleError::Name)?,
        wire: FernetKey::from_bytes([2; 32]),
        secret: DerivationKey::from_bytes([3; 32]),
        model: Some(model_key()),
        publisher: publisher(1).trusted(),
        receipt: SigningKey::Hmac(HmacKey::from_bytes([5; 64])),
    })
}

/// A network of the shape that this build runs, with weights over their whole range, as a sealed model.
///
/// # Errors
/// None in practice.
pub fn model(seed: u64, sealing: &Sealing) -> Result<Vec<u8>, SampleError> {
    let layers = [(INPUT, HIDDEN1), (HIDDEN1, HIDDEN2), (HIDDEN2, CLASSES)]
        .map(|(inputs, outputs)| Layer::random(inputs, outputs, seed, sealing.weights));
    model_of(&layers, seed, &model_key(), sealing)
}

/// A network of these layers as a sealed model, with golden vectors of this seed; `key` encrypts it.
pub(crate) fn model_of(
    layers: &[Layer; 3],
    seed: u64,
    key: &FernetKey,
    sealing: &Sealing,
) -> Result<Vec<u8>, SampleError> {
    let [first, second, third] = layers;
    let network = Network::new([first.as_ref()?, second.as_ref()?, third.as_ref()?])?;
    sealed(&network, seed, key, sealing)
}

/// A network of the shape that this build runs as a sealed model, with golden vectors of this seed; `key` encrypts it.
pub(crate) fn sealed(
    network: &Network<'_>,
    seed: u64,
    key: &FernetKey,
    sealing: &Sealing,
) -> Result<Vec<u8>, SampleError> {
    let spec = BodySpec {
        network: *network,
        logit_scale: 1.0 / 64.0,
        golden_seed: seed,
        golden_count: GOLDEN_COUNT,
        policy: ReplyPolicy::Logits,
        kernel: sealing.kernel,
        scaling: None,
        names: None,
    };
    let mut body = vec![0; spec.body_len()];
    let mut scratch = vec![0; network.shape().golden_scratch_len()];
    let mut logits = vec![0; CLASSES];
    let body = write_body(&mut body, &spec, &mut scratch, &mut logits)?;
    let claims = Claims {
        security_counter: sealing.counter,
        provenance: Provenance::Unverified,
        created: 0,
        name: Name::new("sample").ok_or(SampleError::Name)?,
    };
    let encryption = sealing.encrypted.then(|| Encryption {
        key,
        iv: Iv::derive(&DerivationKey::from_bytes([6; 32]), &[0; NONCE_LEN], 0, 0),
        time: 0,
    });
    let mut file = vec![0; sealed_len(spec.body_len(), sealing.encrypted)];
    seal(&claims, body, &sealing.signer, encryption, &mut file)?;
    Ok(file)
}

/// Features that look like an image with background.
pub fn features(seed: u64) -> [u8; INPUT] {
    let mut features = [0; INPUT];
    // Odd vectors are sparse.
    expand(seed, 1, &mut features);
    features
}

fn model_key() -> FernetKey {
    FernetKey::from_bytes([4; 32])
}

/// A layer's parameters as they are stored.
pub(crate) struct Layer {
    pub(crate) inputs: usize,
    pub(crate) outputs: usize,
    pub(crate) weight_type: WeightType,
    pub(crate) biases: Vec<u8>,
    pub(crate) multipliers: Vec<u8>,
    pub(crate) shifts: Vec<u8>,
    pub(crate) weights: Vec<u8>,
}

impl Layer {
    fn random(inputs: usize, outputs: usize, seed: u64, weight_type: WeightType) -> Self {
        // Each the mean of three bytes, none of which is -128: as trained weights are, most are small.
        let mut bytes = vec![0; 3 * inputs * outputs];
        expand(seed.wrapping_add(inputs as u64), 0, &mut bytes);
        let (threes, _) = bytes.as_chunks::<3>();
        let mean = |three: &[u8; 3]| {
            let sum: i32 = three
                .iter()
                .map(|byte| i32::from((*byte as i8).max(-127)))
                .sum();
            // Over the whole range of the type.
            (sum / 3 * i32::from(weight_type.max()) / 127) as u8
        };
        let weights: Vec<u8> = threes.iter().map(mean).collect();
        let mut packed = vec![0; weight_type.packed_len(inputs, outputs)];
        // Its arrays have their lengths.
        let _ = weight_type.pack(inputs, outputs, &weights, &mut packed);
        // Sums of random signs grow with the square root of their number: this brings them to some 100.
        let multiplier = ((1_u64 << 32) as f64 / (inputs as f64).sqrt()) as i32;
        // And what is smaller by as much further.
        let shift = 29 + weight_type.bits() as u8;
        Self {
            inputs,
            outputs,
            weight_type,
            biases: vec![0; 4 * outputs],
            multipliers: multiplier.to_le_bytes().repeat(outputs),
            shifts: vec![shift; outputs],
            weights: packed,
        }
    }

    pub(crate) fn as_ref(&self) -> Result<DenseRef<'_>, SampleError> {
        let bytes = LayerBytes {
            biases: &self.biases,
            multipliers: &self.multipliers,
            shifts: &self.shifts,
            weights: &self.weights,
        };
        let quantisation = Quantisation {
            weights: self.weight_type,
            granularity: Granularity::PerOutput,
        };
        DenseRef::new(self.inputs, self.outputs, quantisation, bytes).map_err(SampleError::Layer)
    }
}

/// As many as `sealnet export` puts into a model.
const GOLDEN_COUNT: u16 = 4;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::Client;
    use crate::sim::Machine;

    #[test]
    fn samples_boot_and_answer_differently() {
        let answers = [1, 2].map(|seed| {
            [false, true].map(|encrypted| {
                let sealing = Sealing {
                    encrypted,
                    ..Sealing::default()
                };
                let identity = identity().unwrap();
                let model = model(seed, &sealing).unwrap();
                let mut machine = Machine::provision(&identity, &model, 0).unwrap();
                let mut device = machine.boot(|_| {});
                let mut client = Client::new(&identity);
                client.infer(&mut device, &features(1)).unwrap().logits
            })
        });
        let [[a, b], [c, d]] = answers;
        assert!(a == b && c == d && a != c, "{a:?} {c:?}");
        let a = a.unwrap();
        assert!(a.iter().any(|logit| logit.abs() > 10), "{a:?}");
    }
}
