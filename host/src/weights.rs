//! Weight files: `safetensors`, as PyTorch reads them.
//!
//! Six f32 tensors under PyTorch's names and shapes for `Linear` layers `fc1`, `fc2`, `fc3`:
//! `fcN.weight` `[outputs, inputs]` and `fcN.bias` `[outputs]`, in order of name. The metadata says
//! `format` = `pt`, `sealnet.weights` = `1` (the version of this page), `sealnet.recipe` (what trained
//! them) and `sealnet.input` = `u/255-0.5` (what the first layer expects of a feature `u`). A file
//! without `sealnet.input` is taken to expect the same.
//!
//! The same network gives the same bytes: metadata in order of name and nothing that changes from run
//! to run. (The `safetensors` crate reads; its writer puts metadata in a random order.)
//!
//! <https://huggingface.co/docs/safetensors/index#format>

use std::collections::BTreeMap;
use std::path::Path;

use safetensors::{Dtype, SafeTensors};
use serde::Serialize;

use crate::error::{Error, Result};
use crate::files;
use crate::train::{Layer, Network, Recipe, Shape};

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

/// The network in the bytes of a weight file.
///
/// # Errors
/// A reason, to be read after the file's name: not `safetensors`, a tensor missing, unknown, of another
/// type or shape, numbers that are not finite, another version or input normalisation.
pub fn from_safetensors(bytes: &[u8]) -> Result<Network, String> {
    let (_, metadata) =
        SafeTensors::read_metadata(bytes).map_err(|e| format!("is not a safetensors file: {e}"))?;
    let said = |key: &str| metadata.metadata().as_ref().and_then(|map| map.get(key));
    for (key, expected) in [(VERSION_KEY, VERSION), (INPUT_KEY, INPUT)] {
        if let Some(found) = said(key).filter(|found| *found != expected) {
            return Err(format!(
                "says {key} is {found:?}; only {expected:?} is known"
            ));
        }
    }
    let tensors =
        SafeTensors::deserialize(bytes).map_err(|e| format!("is not a safetensors file: {e}"))?;
    let mut unknown = tensors.names();
    unknown.retain(|name| !TENSORS.contains(name));
    if let Some(name) = unknown.iter().min() {
        return Err(format!(
            "holds a tensor {name:?} that no layer of this network has"
        ));
    }
    let [first, second, last] = NAMES;
    let network = Network {
        layers: [
            layer(&tensors, first)?,
            layer(&tensors, second)?,
            layer(&tensors, last)?,
        ],
    };
    let [one, two, three] = &network.layers;
    if one.outputs != two.inputs || two.outputs != three.inputs {
        return Err(format!(
            "holds layers that do not fit: {}x{}, {}x{}, {}x{} (outputs x inputs)",
            one.outputs, one.inputs, two.outputs, two.inputs, three.outputs, three.inputs
        ));
    }
    let Shape {
        inputs,
        hidden,
        classes,
    } = network.shape();
    Shape::new(inputs, hidden, classes).map_err(|e| format!("is {e}"))?;
    if !network.is_finite() {
        return Err("holds numbers that are not finite".into());
    }
    Ok(network)
}

/// Reads a weight file: its bytes and the network in them.
///
/// # Errors
/// [`Error::Io`] when it cannot be read, [`Error::Input`] when it is not a weight file.
pub fn read(path: &Path) -> Result<(Vec<u8>, Network)> {
    let bytes = files::read_limited(path, LIMIT)?;
    let network = from_safetensors(&bytes).map_err(|reason| {
        Error::input(
            format!("{} {reason}", path.display()),
            "weights come from `sealnet train`, or from PyTorch with layers fc1, fc2, fc3 in f32",
        )
    })?;
    Ok((bytes, network))
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

fn layer(tensors: &SafeTensors<'_>, name: &str) -> Result<Layer, String> {
    let get = |suffix: &str| {
        let name = format!("{name}.{suffix}");
        let tensor = tensors
            .tensor(&name)
            .map_err(|_| format!("has no tensor {name:?}"))?;
        if tensor.dtype() != Dtype::F32 {
            return Err(format!("holds {name:?} as {:?}, not F32", tensor.dtype()));
        }
        let (numbers, _) = tensor.data().as_chunks();
        let values: Vec<f32> = numbers.iter().map(|b| f32::from_le_bytes(*b)).collect();
        Ok((tensor.shape().to_vec(), values))
    };
    let (shape, by_output) = get("weight")?;
    let (bias_shape, bias) = get("bias")?;
    let &[outputs, inputs] = &shape[..] else {
        return Err(format!(
            "holds \"{name}.weight\" of shape {shape:?}, not [outputs, inputs]"
        ));
    };
    if bias_shape != [outputs] {
        return Err(format!(
            "holds \"{name}.bias\" of shape {bias_shape:?}, not [{outputs}]"
        ));
    }
    let weights = (0..inputs)
        .flat_map(|i| by_output.iter().skip(i).step_by(inputs.max(1)).copied())
        .collect();
    Ok(Layer {
        inputs,
        outputs,
        weights,
        bias,
    })
}

const NAMES: [&str; 3] = ["fc1", "fc2", "fc3"];
const TENSORS: [&str; 6] = [
    "fc1.bias",
    "fc1.weight",
    "fc2.bias",
    "fc2.weight",
    "fc3.bias",
    "fc3.weight",
];
const VERSION_KEY: &str = "sealnet.weights";
const VERSION: &str = "1";
const INPUT_KEY: &str = "sealnet.input";
const INPUT: &str = "u/255-0.5";
/// A network of 2^28 parameters; far beyond any that a microcontroller holds.
const LIMIT: u64 = 1 << 30;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::train::init::glorot_uniform;
    use safetensors::tensor::TensorView;

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
        assert_eq!(missing, "has no tensor \"fc3.bias\"");
        let extra = reason(&|t| t.push(("fc4.bias", vec![2]))).unwrap_err();
        assert!(extra.contains("fc4.bias"), "{extra}");
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
