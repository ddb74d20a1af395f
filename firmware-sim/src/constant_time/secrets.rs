//! Random secrets, the same in each run: what is found can be found again.

use sealnet_core::artefact::expand;
use sealnet_core::fernet::{DerivationKey, FernetKey};
use sealnet_core::mlp::WeightType;
use sealnet_core::sign::{HmacKey, SigningKey};

use crate::identity::Identity;
use crate::sample::{self, Layer, SampleError, Sealing};
use crate::shape::{CLASSES, HIDDEN1, HIDDEN2, INPUT};

/// Bytes from a seed. The first two seeds give the extremes: all zeros, and all ones.
#[derive(Debug, Clone, Copy)]
pub(super) struct Secrets(pub(super) u64);

impl Secrets {
    /// A device none of whose keys another one has, and whose models are signed with HMAC-SHA-512.
    pub(super) fn identity(self) -> Result<Identity, SampleError> {
        Ok(Identity {
            wire: FernetKey::from_bytes(self.bytes("wire")),
            secret: DerivationKey::from_bytes(self.bytes("secret")),
            model: Some(FernetKey::from_bytes(self.bytes("model"))),
            publisher: self.publisher().trusted(),
            receipt: SigningKey::Hmac(HmacKey::from_bytes(self.bytes("receipt"))),
            ..sample::identity()?
        })
    }

    /// A key whose id holds no zero byte: a boot logs the id, which is no secret, and the log's coding takes three
    /// instructions less for a zero.
    fn publisher(self) -> SigningKey {
        let key = |number| HmacKey::from_bytes(self.bytes(&format!("publisher {number}")));
        let mut number = 0;
        while key(number).key_id().to_bytes().contains(&0) && number < TRIES {
            number += 1;
        }
        SigningKey::Hmac(key(number))
    }

    /// A model for that device whose weights, biases and factors are secrets as well.
    pub(super) fn model(
        self,
        encrypted: bool,
        weights: WeightType,
    ) -> Result<Vec<u8>, SampleError> {
        let sealing = Sealing {
            signer: self.publisher(),
            encrypted,
            weights,
            ..Sealing::default()
        };
        let key = FernetKey::from_bytes(self.bytes("model"));
        sample::model_of(&self.layers(weights), self.0, &key, &sealing)
    }

    pub(super) fn layers(self, weights: WeightType) -> [Layer; 3] {
        [(INPUT, HIDDEN1), (HIDDEN1, HIDDEN2), (HIDDEN2, CLASSES)]
            .map(|(inputs, outputs)| self.layer(inputs, outputs, weights))
    }

    pub(super) fn features(self) -> [u8; INPUT] {
        match self.0 {
            0 | 1 => self.bytes("features"),
            _ => sample::features(self.0),
        }
    }

    fn layer(self, inputs: usize, outputs: usize, weight_type: WeightType) -> Layer {
        // Bits that are left out.
        let rest = 8 - weight_type.bits() as u8;
        let mut weights = self.vec("weights", inputs * outputs);
        for weight in &mut weights {
            // As in a network that was trained, no row's magnitudes add up to much: each model is of the same kind then.
            *weight = (*weight as i8 >> (1 + rest)) as u8;
        }
        let mut packed = vec![0; weight_type.packed_len(inputs, outputs)];
        // Both have their lengths.
        let _ = weight_type.pack(inputs, outputs, &weights, &mut packed);
        let mut biases = self.vec("biases", 4 * outputs);
        for bias in biases.as_chunks_mut().0 {
            *bias = (i32::from_le_bytes(*bias) >> BIAS_SHIFT).to_le_bytes();
        }
        // As an exporter makes them: 31 significant bits. They bring sums of random signs, which grow with the square
        // root of their number, to some 100, with a spread that takes many of them out of a byte.
        let mut multipliers = self.vec("multipliers", 4 * outputs);
        for multiplier in multipliers.as_chunks_mut().0 {
            *multiplier = (i32::from_le_bytes(*multiplier) & i32::MAX | 1 << 30).to_le_bytes();
        }
        let root = (inputs as f64).sqrt().log2() as u8;
        let mut shifts = self.vec("shifts", outputs);
        for shift in &mut shifts {
            // Above 32 in each model, as an exporter's are.
            *shift = (35 + root - rest).max(33) + *shift % 5;
        }
        Layer {
            inputs,
            outputs,
            weight_type,
            biases,
            multipliers,
            shifts,
            weights: packed,
        }
    }

    pub(super) fn bytes<const N: usize>(self, what: &str) -> [u8; N] {
        let mut bytes = [0; N];
        self.fill(what, &mut bytes);
        bytes
    }

    fn vec(self, what: &str, len: usize) -> Vec<u8> {
        let mut bytes = vec![0; len];
        self.fill(what, &mut bytes);
        bytes
    }

    fn fill(self, what: &str, bytes: &mut [u8]) {
        match self.0 {
            0 => bytes.fill(0),
            1 => bytes.fill(u8::MAX),
            seed => {
                // A stream of its own for each secret.
                let name = what
                    .bytes()
                    .fold(0_u64, |name, byte| name << 5 ^ u64::from(byte));
                expand(seed ^ name << 20 ^ (bytes.len() as u64) << 48, 0, bytes);
            }
        }
    }
}

/// One key in thirty has such an id.
const TRIES: u32 = 20;
/// Biases of some 20 bits.
const BIAS_SHIFT: u32 = 12;
