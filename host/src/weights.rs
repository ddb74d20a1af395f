//! Weight files: `safetensors`, written as PyTorch reads them, and read as people have them.
//!
//! # What is written
//!
//! Six f32 tensors under PyTorch's names and shapes for `Linear` layers `fc1`, `fc2`, `fc3`:
//! `fcN.weight` `[outputs, inputs]` and `fcN.bias` `[outputs]`, in order of name. The metadata says
//! `format` = `pt`, `sealnet.weights` = `1` (the version of this page), `sealnet.recipe` (what trained
//! them) and `sealnet.input` = `u/255-0.5` (what the first layer expects of a feature `u`).
//!
//! The same network gives the same bytes: metadata in order of name and nothing that changes from run
//! to run. (The `safetensors` crate reads; its writer puts metadata in a random order.)
//!
//! # What is read
//!
//! Any three dense layers with biases, ReLU after the first two, logits after the last (softmax changes no
//! label). A tensor's name ends, after a `.` or `/`, in what it is; what stands before is the layer:
//!
//! | ends in | shape | as in |
//! |---|---|---|
//! | `weight` | `[outputs, inputs]` | PyTorch: `fc1.weight`, `0.weight`, `layers.0.weight` |
//! | `kernel` | `[inputs, outputs]` | Keras, Flax: `sequential/dense/kernel`, `dense_1/kernel:0`, `Dense_2.kernel` |
//! | `bias` | `[outputs]` | each |
//!
//! - A file has weights or kernels, not both. So a square layer, of which shapes tell nothing, lies as its
//!   neighbours do, and these are held to their biases: what is transposed is refused. (Only where all four
//!   widths are the same does the name decide alone.)
//! - Layers whose names differ in numbers alone follow in that order (`dense` before `dense_1`). Other names
//!   tell no order: shapes must, and where two orders fit the file is refused.
//! - Numbers are F32, F64, F16 or BF16. All but F64 are taken exactly; F64 is rounded to f32, to the nearest.
//! - Anything else in the file, a fourth layer or a layer without a bias, is an error.
//!
//! # What the first layer was trained on
//!
//! A record's feature is a byte `u`, 0 to 255 (a pixel as it is; a table's column as
//! [`dataset`](crate::dataset) scales it). The network here takes `u/255-0.5`. Others were trained on `u/255`
//! (Keras's examples), on `(u/255-0.1307)/0.3081` (torchvision's `Normalize`) or on something else of the form
//! [`Input`] writes. That is `sealnet.input` in the file's metadata, or what the reader is told; where neither says,
//! it is `u/255-0.5`, and `export` refuses what does clearly better otherwise. It is folded into the first layer in f64 and rounded once, so nothing behind this module knows
//! of it. Where both say, they must say the same.
//!
//! <https://huggingface.co/docs/safetensors/index#format>

mod dense;
mod input;

use std::collections::BTreeMap;
use std::path::Path;

use safetensors::SafeTensors;
use serde::Serialize;

use crate::error::{Error, Result};
use crate::files;
use crate::train::{Network, Recipe, Shape};
pub use input::Input;

/// The bytes of a weight file.
pub fn to_safetensors(network: &Network, recipe: &Recipe) -> Vec<u8> {
    let mut header = Header {
        metadata: BTreeMap::from([
            ("format", "pt"),
            (VERSION_KEY, VERSION),
            ("sealnet.recipe", recipe.name.as_str()),
            (INPUT_KEY, INPUT),
        ]),
        tensors: BTreeMap::new(),
    };
    let mut data = Vec::new();
    for (layer, name) in network.layers.iter().zip(NAMES) {
        let (inputs, outputs) = (layer.inputs, layer.outputs);
        let mut tensor =
            |suffix: &str, shape: Vec<usize>, values: &mut dyn Iterator<Item = f32>| {
                let start = data.len();
                data.extend(values.flat_map(f32::to_le_bytes));
                let entry = Tensor {
                    dtype: "F32",
                    shape,
                    data_offsets: [start, data.len()],
                };
                header.tensors.insert(format!("{name}.{suffix}"), entry);
            };
        tensor("bias", vec![outputs], &mut layer.bias.iter().copied());
        let mut by_output =
            (0..outputs).flat_map(|o| (0..inputs).map(move |i| layer.weights[i * outputs + o]));
        tensor("weight", vec![outputs, inputs], &mut by_output);
    }
    // Strings, numbers and string keys only: serialisation cannot fail.
    let mut json = serde_json::to_vec(&header).unwrap_or_default();
    json.resize(json.len().next_multiple_of(8), b' ');
    let length = json.len() as u64;
    [&length.to_le_bytes()[..], &json, &data].concat()
}

/// A network from a weight file.
#[derive(Debug, Clone, PartialEq)]
pub struct Imported {
    /// The network, over `u/255-0.5`.
    pub network: Network,
    /// What its first layer was trained on.
    pub input: Input,
    /// Whether the file or the reader said so; else `input` is a guess.
    pub input_is_known: bool,
    /// What trained it, if the file says so.
    pub recipe: Option<String>,
}

/// The network in the bytes of a weight file.
///
/// # Errors
/// A reason, to be read after the file's name, as [`import`].
pub fn from_safetensors(bytes: &[u8]) -> Result<Network, String> {
    import(bytes, None).map(|imported| imported.network)
}

/// The network in the bytes of a weight file, whose first layer was trained on `input`; on what the file says, if
/// that is `None`.
///
/// # Errors
/// A reason, to be read after the file's name: not `safetensors`, not three dense layers that fit by the rules on this
/// page, numbers that are not finite in f32, another version, or another input than it says.
pub fn import(bytes: &[u8], input: Option<Input>) -> Result<Imported, String> {
    let (_, metadata) =
        SafeTensors::read_metadata(bytes).map_err(|e| format!("is not a safetensors file: {e}"))?;
    let said = |key: &str| metadata.metadata().as_ref().and_then(|map| map.get(key));
    if let Some(found) = said(VERSION_KEY).filter(|found| *found != VERSION) {
        return Err(format!(
            "says {VERSION_KEY} is {found:?}; only {VERSION:?} is known"
        ));
    }
    let in_file = match said(INPUT_KEY) {
        None => None,
        Some(text) => Some(
            (text.parse::<Input>()).map_err(|e| format!("says {INPUT_KEY} is {text:?}: {e}"))?,
        ),
    };
    if let (Some(file), Some(asked)) = (in_file, input)
        && file != asked
    {
        return Err(format!(
            "says that it was trained on {file}, and not on {asked}"
        ));
    }
    let known = in_file.or(input);
    let input = known.unwrap_or(Input::NETWORK);
    let tensors =
        SafeTensors::deserialize(bytes).map_err(|e| format!("is not a safetensors file: {e}"))?;
    let [first, second, last] = dense::layers(&tensors)?;
    let network = Network {
        layers: [
            input.fold(&first),
            Input::NETWORK.fold(&second),
            Input::NETWORK.fold(&last),
        ],
    };
    let Shape {
        inputs,
        hidden,
        classes,
    } = network.shape();
    Shape::new(inputs, hidden, classes).map_err(|e| format!("is {e}"))?;
    if !network.is_finite() {
        return Err("holds numbers that are not finite in f32".into());
    }
    Ok(Imported {
        network,
        input,
        input_is_known: known.is_some(),
        recipe: said("sealnet.recipe").cloned(),
    })
}

/// Reads a weight file: its bytes and the network in them.
///
/// # Errors
/// [`Error::Io`] when it cannot be read, [`Error::Input`] when it is not a weight file.
pub fn read(path: &Path) -> Result<(Vec<u8>, Network)> {
    read_as(path, None).map(|(bytes, imported)| (bytes, imported.network))
}

/// As [`read`], of a network whose first layer was trained on `input`; see [`import`].
///
/// # Errors
/// As [`read`].
pub fn read_as(path: &Path, input: Option<Input>) -> Result<(Vec<u8>, Imported)> {
    let bytes = files::read_limited(path, LIMIT)?;
    let imported = import(&bytes, input).map_err(|reason| {
        Error::input(
            format!("{} {reason}", path.display()),
            "weights come from `sealnet train`, or are three dense layers with biases as PyTorch (`fc1.weight`, \
             `0.weight`: [outputs, inputs]) or Keras (`dense/kernel`: [inputs, outputs]) has them",
        )
    })?;
    Ok((bytes, imported))
}

/// Whether the weights of such a network make a file that can be read again.
///
/// # Errors
/// [`Error::Input`] when they are too many.
pub fn fits(shape: &Shape) -> Result<()> {
    if shape.parameters() as u64 > (LIMIT - HEADER_ROOM) / 4 {
        return Err(Error::input(
            format!(
                "a network {shape} has {} parameters, more than a weight file may hold",
                shape.parameters()
            ),
            "take narrower hidden layers",
        ));
    }
    Ok(())
}

#[derive(Serialize)]
struct Header<'a> {
    #[serde(rename = "__metadata__")]
    metadata: BTreeMap<&'a str, &'a str>,
    #[serde(flatten)]
    tensors: BTreeMap<String, Tensor>,
}

#[derive(Serialize)]
struct Tensor {
    dtype: &'static str,
    shape: Vec<usize>,
    /// Start and end in the data that follow the header.
    data_offsets: [usize; 2],
}

const NAMES: [&str; 3] = ["fc1", "fc2", "fc3"];
const VERSION_KEY: &str = "sealnet.weights";
const VERSION: &str = "1";
const INPUT_KEY: &str = "sealnet.input";
const INPUT: &str = "u/255-0.5";
/// A network of 2^28 parameters; far beyond any that a microcontroller holds.
const LIMIT: u64 = 1 << 30;
/// Far above what a header of ours takes.
const HEADER_ROOM: u64 = 1 << 16;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::train::init::glorot_uniform;
    use safetensors::tensor::{Dtype, TensorView};

    fn network() -> Network {
        glorot_uniform(
            &Shape {
                inputs: 5,
                hidden: [4, 3],
                classes: 2,
            },
            9,
        )
    }

    #[test]
    fn what_is_written_is_read_and_the_bytes_never_change() {
        let bytes = to_safetensors(&network(), &Recipe::paper());
        assert_eq!(from_safetensors(&bytes).as_ref(), Ok(&network()));
        assert_eq!(bytes, to_safetensors(&network(), &Recipe::paper()));
        let tensors = SafeTensors::deserialize(&bytes).unwrap();
        let weight = tensors.tensor("fc1.weight").unwrap();
        assert_eq!(weight.shape(), [4, 5]);
        // Output 1, input 2 lies at [1][2] in the file and at [2][1] in memory.
        let at = 4 * (5 + 2);
        assert_eq!(
            weight.data()[at..at + 4],
            network().layers[0].weights[2 * 4 + 1].to_le_bytes()
        );
    }

    #[test]
    fn what_does_not_fit_is_refused_with_its_reason() {
        let good = to_safetensors(&network(), &Recipe::paper());
        for length in 0..good.len() {
            assert!(from_safetensors(&good[..length]).is_err(), "{length}");
        }
        let bytes = [0; 80];
        let view = |shape: &[usize]| {
            let size = 4 * shape.iter().product::<usize>();
            TensorView::new(Dtype::F32, shape.to_vec(), &bytes[..size]).unwrap()
        };
        let base = [
            ("fc1.weight", vec![4, 5]),
            ("fc1.bias", vec![4]),
            ("fc2.weight", vec![3, 4]),
            ("fc2.bias", vec![3]),
            ("fc3.weight", vec![2, 3]),
            ("fc3.bias", vec![2]),
        ];
        type Tensors = Vec<(&'static str, Vec<usize>)>;
        let reason = |change: &dyn Fn(&mut Tensors)| {
            let mut tensors = base.to_vec();
            change(&mut tensors);
            let views: Vec<_> = tensors
                .iter()
                .map(|(name, shape)| (*name, view(shape)))
                .collect();
            from_safetensors(&safetensors::serialize(views, None).unwrap()).map(|_| ())
        };
        assert_eq!(reason(&|_| ()), Ok(()));
        let missing = reason(&|t| t.truncate(5)).unwrap_err();
        assert_eq!(missing, "has no bias of layer \"fc3\"");
        let extra = reason(&|t| t.push(("fc4.bias", vec![2]))).unwrap_err();
        assert!(
            extra.contains("4 layers") && extra.contains("fc4"),
            "{extra}"
        );
        let unknown = reason(&|t| t.push(("fc1.running_mean", vec![4]))).unwrap_err();
        assert!(unknown.contains("fc1.running_mean"), "{unknown}");
        let mismatched = reason(&|t| t[2].1 = vec![3, 5]).unwrap_err();
        assert!(mismatched.contains("do not fit"), "{mismatched}");
        let flat = reason(&|t| t[0].1 = vec![20]).unwrap_err();
        assert!(flat.contains("[20]"), "{flat}");
        let empty = reason(&|t| t[0].1 = vec![4, 0]).unwrap_err();
        assert!(empty.contains("0 features"), "{empty}");
        let mut infinite = network();
        infinite.layers[1].bias[0] = f32::INFINITY;
        let bytes = to_safetensors(&infinite, &Recipe::paper());
        assert!(from_safetensors(&bytes).unwrap_err().contains("finite"));
        let mut other = good.clone();
        let version = b"sealnet.weights\":\"1\"";
        let at = good
            .windows(version.len())
            .position(|w| w == version)
            .unwrap();
        other[at + version.len() - 2] = b'2';
        assert!(from_safetensors(&other).unwrap_err().contains("only \"1\""));
    }
}
