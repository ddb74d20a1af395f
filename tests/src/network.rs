//! Batches and networks in files that the Python peers read.

use std::path::PathBuf;

use safetensors::tensor::{Dtype, SafeTensors, TensorView};
use sealnet::quantise::{Quantised, QuantisedLayer};
use sealnet::random::{Random, Stream};
use sealnet::train::{Network, Recipe, Records, Shape};
use sealnet::weights;

/// Records with labels.
#[derive(Debug)]
pub struct Batch {
    /// `[B][width]`.
    pub features: Vec<u8>,
    /// Features of a record.
    pub width: usize,
    /// `[B]`.
    pub labels: Vec<u16>,
}

impl Batch {
    /// Random records, half of their features zero as in a picture's background.
    pub fn random(shape: &Shape, count: usize, seed: u64) -> Batch {
        let mut random = Random::new(seed, Stream::Split);
        let mut feature = || {
            if random.below(2) == 0 {
                0
            } else {
                random.below(256) as u8
            }
        };
        let features = (0..count * shape.inputs).map(|_| feature()).collect();
        let labels = (0..count)
            .map(|_| random.below(shape.classes as u32) as u16)
            .collect();
        Batch {
            features,
            width: shape.inputs,
            labels,
        }
    }

    /// As the library takes them.
    pub fn records(&self) -> Records<'_> {
        Records {
            features: &self.features,
            width: self.width,
            labels: &self.labels,
        }
    }

    /// The indices of all.
    pub fn all(&self) -> Vec<u32> {
        (0..self.labels.len() as u32).collect()
    }
}

/// A folder for one exchange with a peer.
#[derive(Debug)]
pub struct Folder(tempfile::TempDir);

impl Default for Folder {
    fn default() -> Folder {
        Folder(tempfile::tempdir().expect("a temporary folder"))
    }
}

impl Folder {
    /// The path of a file in it.
    pub fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Writes a network's weights.
    pub fn weights(&self, network: &Network) -> PathBuf {
        let path = self.path("weights");
        std::fs::write(&path, weights::to_safetensors(network, &Recipe::paper())).unwrap();
        path
    }

    /// Writes `features` and `labels`.
    pub fn batch(&self, batch: &Batch) -> PathBuf {
        let count = batch.labels.len();
        let labels: Vec<u8> = batch
            .labels
            .iter()
            .flat_map(|&label| i32::from(label).to_le_bytes())
            .collect();
        self.write(
            "batch",
            &[
                (
                    "features",
                    Dtype::U8,
                    vec![count, batch.width],
                    &batch.features,
                ),
                ("labels", Dtype::I32, vec![count], &labels),
            ],
        )
    }

    /// Writes an integer network's layers.
    pub fn layers(&self, quantised: &Quantised) -> PathBuf {
        let mut tensors = Vec::new();
        let unpacked: Vec<Vec<u8>> = quantised
            .layers
            .iter()
            .map(QuantisedLayer::unpacked)
            .collect();
        for ((layer, weights), number) in quantised.layers.iter().zip(&unpacked).zip(1..) {
            let factors = layer.shifts.len();
            let shape = vec![layer.outputs, layer.inputs];
            tensors.push((format!("weights.{number}"), Dtype::I8, shape, &weights[..]));
            tensors.push((
                format!("biases.{number}"),
                Dtype::I32,
                vec![layer.outputs],
                &layer.biases,
            ));
            tensors.push((
                format!("multipliers.{number}"),
                Dtype::I32,
                vec![factors],
                &layer.multipliers,
            ));
            tensors.push((
                format!("shifts.{number}"),
                Dtype::U8,
                vec![factors],
                &layer.shifts,
            ));
        }
        let named: Vec<_> = tensors
            .iter()
            .map(|(n, d, s, b)| (n.as_str(), *d, s.clone(), *b))
            .collect();
        self.write("layers", &named)
    }

    fn write(&self, name: &str, tensors: &[(&str, Dtype, Vec<usize>, &[u8])]) -> PathBuf {
        let views = tensors.iter().map(|(name, dtype, shape, bytes)| {
            (
                *name,
                TensorView::new(*dtype, shape.clone(), bytes).unwrap(),
            )
        });
        let path = self.path(name);
        std::fs::write(&path, safetensors::serialize(views, None).unwrap()).unwrap();
        path
    }

    /// What a peer wrote.
    pub fn read(&self, name: &str) -> Answer {
        Answer(std::fs::read(self.path(name)).unwrap())
    }
}

/// The tensors that a peer wrote.
#[derive(Debug)]
pub struct Answer(Vec<u8>);

impl Answer {
    /// The tensor of that name, row-major.
    pub fn f32(&self, name: &str) -> Vec<f32> {
        self.numbers(name, Dtype::F32, f32::from_le_bytes)
    }

    /// The tensor of that name, row-major.
    pub fn f64(&self, name: &str) -> Vec<f64> {
        self.numbers(name, Dtype::F64, f64::from_le_bytes)
    }

    /// The tensor of that name, row-major.
    pub fn i32(&self, name: &str) -> Vec<i32> {
        self.numbers(name, Dtype::I32, i32::from_le_bytes)
    }

    fn numbers<const N: usize, T>(
        &self,
        name: &str,
        dtype: Dtype,
        from: fn([u8; N]) -> T,
    ) -> Vec<T> {
        let tensors = SafeTensors::deserialize(&self.0).unwrap();
        let tensor = tensors.tensor(name).unwrap();
        assert_eq!(tensor.dtype(), dtype, "{name}");
        let (numbers, _) = tensor.data().as_chunks();
        numbers.iter().map(|bytes| from(*bytes)).collect()
    }
}

/// The records, by their place, of which some logit is further from the one expected than `part` of the largest one
/// expected of that record.
pub fn logits_differ(got: &[f32], expected: &[f32], classes: usize, part: f32) -> Vec<usize> {
    assert_eq!(got.len(), expected.len(), "as many logits");
    let records = got
        .chunks_exact(classes)
        .zip(expected.chunks_exact(classes));
    let differ = |(got, expected): (&[f32], &[f32])| {
        let largest = expected.iter().fold(0.0_f32, |most, x| most.max(x.abs()));
        // So that what is no number differs.
        let near = |(a, b): (&f32, &f32)| (a - b).abs() <= part * largest;
        !got.iter().zip(expected).all(near)
    };
    records
        .enumerate()
        .filter(|(_, pair)| differ(*pair))
        .map(|(at, _)| at)
        .collect()
}
