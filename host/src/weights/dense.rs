//! Which tensors of a file are which layer, how their numbers lie, and in which order the layers follow.

use std::collections::BTreeMap;

use half::{bf16, f16};
use safetensors::{Dtype, SafeTensors};

/// A dense layer as a file has it, in numbers that hold any of its types exactly.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Dense {
    pub(super) inputs: usize,
    pub(super) outputs: usize,
    /// `[inputs][outputs]`.
    pub(super) weights: Vec<f64>,
    /// `[outputs]`.
    pub(super) bias: Vec<f64>,
}

/// The three layers in a file, first to last, by the rules on the page of [`weights`](super).
pub(super) fn layers(tensors: &SafeTensors<'_>) -> Result<[Dense; 3], String> {
    let mut found: BTreeMap<&str, Named<'_>> = BTreeMap::new();
    let mut names = tensors.names();
    names.sort_unstable();
    for name in names {
        let (layer, part) = part(name).ok_or_else(|| {
            format!("holds a tensor {name:?}, which is no weight, kernel or bias of a dense layer")
        })?;
        let named = found.entry(layer).or_default();
        let place = match part {
            Part::Weight => &mut named.weight,
            Part::Kernel => &mut named.kernel,
            Part::Bias => &mut named.bias,
        };
        if let Some(other) = place.replace(name) {
            return Err(format!("holds both {other:?} and {name:?}"));
        }
    }
    if found.len() != 3 {
        let names: Vec<_> = found.keys().take(MAX_NAMED).collect();
        let more = if found.len() > names.len() {
            ", …"
        } else {
            ""
        };
        return Err(format!(
            "holds {} layers and not three: {names:?}{more}",
            found.len()
        ));
    }
    let kernels = found
        .values()
        .filter(|named| named.kernel.is_some())
        .count();
    let weights = found
        .values()
        .filter(|named| named.weight.is_some())
        .count();
    if kernels > 0 && weights > 0 {
        return Err(
            "holds weights, [outputs, inputs] as in PyTorch, and kernels, [inputs, outputs] as in Keras: \
             it must be one or the other"
                .into(),
        );
    }
    let mut layers = Vec::new();
    for (layer, named) in found {
        layers.push((layer, named.read(layer, tensors)?));
    }
    ordered(layers)
}

/// What a tensor is to its layer.
#[derive(Debug, Clone, Copy)]
enum Part {
    /// `[outputs, inputs]`: PyTorch.
    Weight,
    /// `[inputs, outputs]`: Keras, Flax.
    Kernel,
    /// `[outputs]`.
    Bias,
}

/// A tensor's layer, and what it is to it, by the last part of its name.
fn part(name: &str) -> Option<(&str, Part)> {
    // TensorFlow numbers the outputs of an operation.
    let name = name.strip_suffix(":0").unwrap_or(name);
    let (layer, part) = name.rsplit_once(['.', '/'])?;
    let part = match part {
        "weight" => Part::Weight,
        "kernel" => Part::Kernel,
        "bias" => Part::Bias,
        _ => return None,
    };
    Some((layer, part))
}

/// The tensors of a layer, by name.
#[derive(Debug, Default)]
struct Named<'a> {
    weight: Option<&'a str>,
    kernel: Option<&'a str>,
    bias: Option<&'a str>,
}

impl Named<'_> {
    fn read(&self, layer: &str, tensors: &SafeTensors<'_>) -> Result<Dense, String> {
        let Some(name) = self.weight.or(self.kernel) else {
            return Err(format!(
                "has no weight or kernel of layer {layer:?}, of which it holds a bias"
            ));
        };
        let Some(bias_name) = self.bias else {
            return Err(format!("has no bias of layer {layer:?}"));
        };
        let (shape, numbers) = read(tensors, name)?;
        let (bias_shape, bias) = read(tensors, bias_name)?;
        let (&[rows, columns], &[length]) = (&shape[..], &bias_shape[..]) else {
            return Err(format!(
                "holds {name:?} of shape {shape:?} and {bias_name:?} of shape {bias_shape:?}: no dense layer"
            ));
        };
        let by_output = self.weight.is_some();
        let (inputs, outputs) = match by_output {
            true => (columns, rows),
            false => (rows, columns),
        };
        if length != outputs {
            let (said, other) = match by_output {
                true => ("a weight is [outputs, inputs], as in PyTorch", "kernel"),
                false => ("a kernel is [inputs, outputs], as in Keras", "weight"),
            };
            let advice = match length == inputs {
                true => format!("; if it lies the other way round, call it {other}"),
                false => String::new(),
            };
            return Err(format!(
                "holds {name:?} of shape {shape:?} and {bias_name:?} of {length}: {said}{advice}"
            ));
        }
        let weights = match by_output {
            true => (0..inputs)
                .flat_map(|i| numbers.iter().skip(i).step_by(inputs.max(1)).copied())
                .collect(),
            false => numbers,
        };
        Ok(Dense {
            inputs,
            outputs,
            weights,
            bias,
        })
    }
}

/// A tensor's shape and numbers, row-major.
fn read(tensors: &SafeTensors<'_>, name: &str) -> Result<(Vec<usize>, Vec<f64>), String> {
    let tensor = tensors
        .tensor(name)
        .map_err(|_| format!("has no tensor {name:?}"))?;
    let data = tensor.data();
    let numbers = match tensor.dtype() {
        Dtype::F64 => each(data, f64::from_le_bytes),
        Dtype::F32 => each(data, |bytes| f64::from(f32::from_le_bytes(bytes))),
        Dtype::F16 => each(data, |bytes| f16::from_le_bytes(bytes).to_f64()),
        Dtype::BF16 => each(data, |bytes| bf16::from_le_bytes(bytes).to_f64()),
        other => {
            return Err(format!(
                "holds {name:?} as {other:?}: numbers must be F32, F64, F16 or BF16"
            ));
        }
    };
    Ok((tensor.shape().to_vec(), numbers))
}

fn each<const N: usize>(data: &[u8], number: impl Fn([u8; N]) -> f64) -> Vec<f64> {
    let (numbers, _) = data.as_chunks();
    numbers.iter().map(|bytes| number(*bytes)).collect()
}

/// The order that names tell, if they differ in numbers alone; else the one order in which shapes fit.
fn ordered(layers: Vec<(&str, Dense)>) -> Result<[Dense; 3], String> {
    let Ok(mut layers): Result<[_; 3], _> = layers.try_into() else {
        return Err("does not hold three layers".into());
    };
    layers.sort_by_cached_key(|(name, _)| numbered(name));
    let [one, two, three] = layers.each_ref().map(|(name, _)| numbered(name));
    let by_number = one.0 == two.0 && two.0 == three.0 && one.1 < two.1 && two.1 < three.1;
    let orders = match by_number {
        true => &ORDERS[..1],
        false => &ORDERS[..],
    };
    let mut fitting = orders
        .iter()
        .filter(|order| fit(order.map(|at| &layers[at].1)));
    match (fitting.next(), fitting.next()) {
        (Some(order), None) => Ok(order.map(|at| layers[at].1.clone())),
        (None, _) => {
            let layers = layers.map(
                |(
                    name,
                    Dense {
                        inputs, outputs, ..
                    },
                )| format!("{name:?} {inputs} to {outputs}"),
            );
            Err(format!(
                "holds layers that do not fit: {}",
                layers.join(", ")
            ))
        }
        (Some(_), Some(_)) => Err(format!(
            "does not tell in which order its layers {:?} follow: number their names, as in fc1, fc2, fc3",
            layers.map(|(name, _)| name)
        )),
    }
}

fn fit([one, two, three]: [&Dense; 3]) -> bool {
    one.outputs == two.inputs && two.outputs == three.inputs
}

/// A name without its numbers, and these: `layers.10` goes after `layers.9`, `dense_1` after `dense`.
fn numbered(name: &str) -> (String, Vec<u64>) {
    let text: String = name.chars().filter(|c| !c.is_ascii_digit()).collect();
    let numbers = name
        .split(|c: char| !c.is_ascii_digit())
        .filter_map(|digits| digits.parse().ok());
    (text.trim_end_matches('_').to_owned(), numbers.collect())
}

const ORDERS: [[usize; 3]; 6] = [
    [0, 1, 2],
    [0, 2, 1],
    [1, 0, 2],
    [1, 2, 0],
    [2, 0, 1],
    [2, 1, 0],
];
/// Layers that a message names.
const MAX_NAMED: usize = 8;

#[cfg(test)]
mod tests;
