//! The network in real numbers as an ONNX file, for other runtimes. Nothing about it is signed.
//!
//! One graph, over records as they lie in a data set, so that there is no convention to get wrong: a runtime
//! refuses reals where bytes are asked for.
//!
//! ```text
//! features  uint8 [records, IN]
//! Cast, Div 255, Sub 0.5       u/255-0.5
//! Gemm, Relu, Gemm, Relu, Gemm fcN.kernel [inputs, outputs], fcN.bias [outputs], f32
//! logits    float [records, CLASSES], before softmax
//! ```
//!
//! Operators of opset 13, IR version 7: old enough for any runtime in use. The metadata say what [`Origin`] holds,
//! `sealnet.input` and `sealnet.network`. The same weights and origin give the same bytes.
//!
//! <https://github.com/onnx/onnx/blob/main/docs/IR.md>

mod messages;
mod summary;

pub use summary::Summary;

use prost::Message;
use sealnet_core::sign::Digest512;

use crate::train::Network;
use messages::{
    ATTRIBUTE_INT, AttributeProto, Dimension, FLOAT, GraphProto, ModelProto, NodeProto,
    OperatorSetIdProto, StringStringEntryProto, TensorProto, TensorShapeProto, TensorTypeProto,
    TypeProto, UINT8, ValueInfoProto,
};

/// Where a network comes from, as its file will say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    /// SHA-512 of the weight file: `sealnet.weights_sha512`.
    pub weights: Digest512,
    /// What trained it, if that is known: `sealnet.recipe`.
    pub recipe: Option<String>,
    /// SHA-512 of the training receipt, if there is one: `sealnet.receipt_sha512`.
    pub receipt: Option<Digest512>,
}

/// The bytes of an ONNX file with `network`.
pub fn to_onnx(network: &Network, origin: &Origin) -> Vec<u8> {
    let shape = network.shape();
    let [inputs, .., classes] = shape.widths();
    let mut metadata = vec![
        entry("sealnet.input", "u/255-0.5"),
        entry("sealnet.network", shape.to_string()),
        entry("sealnet.weights_sha512", hex::encode(origin.weights)),
    ];
    metadata.extend((origin.recipe.iter()).map(|recipe| entry("sealnet.recipe", recipe)));
    let receipt = origin.receipt.map(hex::encode);
    metadata.extend(receipt.map(|digest| entry("sealnet.receipt_sha512", digest)));
    let model = ModelProto {
        ir_version: IR_VERSION,
        opset_import: vec![OperatorSetIdProto { version: OPSET }],
        producer_name: "sealnet".into(),
        producer_version: env!("CARGO_PKG_VERSION").into(),
        doc_string: format!(
            "The network {shape} in f32. Input `{FEATURES}`: records as they are, {inputs} bytes each; the \
             graph itself takes a feature u to u/255-0.5. Output `{LOGITS}`: one a class, before softmax. This file is \
             not signed: whoever can write it can change it unseen."
        ),
        graph: Some(GraphProto {
            node: nodes(),
            name: "sealnet".into(),
            initializer: constants(network),
            input: vec![value(FEATURES, UINT8, inputs, "features from 0 to 255")],
            output: vec![value(LOGITS, FLOAT, classes, "logits, before softmax")],
        }),
        metadata_props: metadata,
    };
    model.encode_to_vec()
}

fn nodes() -> Vec<NodeProto> {
    let node = |op: &str, inputs: &[&str], output: &str| NodeProto {
        input: inputs.iter().map(ToString::to_string).collect(),
        output: vec![output.into()],
        name: output.into(),
        op_type: op.into(),
        attribute: Vec::new(),
    };
    let mut cast = node("Cast", &[FEATURES], "real");
    cast.attribute.push(AttributeProto {
        name: "to".into(),
        i: i64::from(FLOAT),
        r#type: ATTRIBUTE_INT,
    });
    vec![
        cast,
        node("Div", &["real", "largest"], "scaled"),
        node("Sub", &["scaled", "half"], "input"),
        node("Gemm", &["input", "fc1.kernel", "fc1.bias"], "fc1"),
        node("Relu", &["fc1"], "hidden1"),
        node("Gemm", &["hidden1", "fc2.kernel", "fc2.bias"], "fc2"),
        node("Relu", &["fc2"], "hidden2"),
        node("Gemm", &["hidden2", "fc3.kernel", "fc3.bias"], LOGITS),
    ]
}

fn constants(network: &Network) -> Vec<TensorProto> {
    let tensor = |name: String, dims: &[usize], numbers: &[f32]| TensorProto {
        dims: dims.iter().map(|&size| size as i64).collect(),
        data_type: FLOAT,
        name,
        raw_data: numbers.iter().copied().flat_map(f32::to_le_bytes).collect(),
    };
    let mut constants = vec![
        tensor("largest".into(), &[], &[255.0]),
        tensor("half".into(), &[], &[0.5]),
    ];
    for (layer, number) in network.layers.iter().zip(1..) {
        let shape = [layer.inputs, layer.outputs];
        constants.push(tensor(format!("fc{number}.kernel"), &shape, &layer.weights));
        constants.push(tensor(format!("fc{number}.bias"), &shape[1..], &layer.bias));
    }
    constants
}

/// An input or output of so many numbers a record.
fn value(name: &str, elem_type: i32, width: usize, doc: &str) -> ValueInfoProto {
    let records = Dimension {
        dim_value: None,
        dim_param: Some("records".into()),
    };
    let width = Dimension {
        dim_value: Some(width as i64),
        dim_param: None,
    };
    ValueInfoProto {
        name: name.into(),
        r#type: Some(TypeProto {
            tensor_type: Some(TensorTypeProto {
                elem_type,
                shape: Some(TensorShapeProto {
                    dim: vec![records, width],
                }),
            }),
        }),
        doc_string: doc.into(),
    }
}

fn entry(key: &str, value: impl Into<String>) -> StringStringEntryProto {
    StringStringEntryProto {
        key: key.into(),
        value: value.into(),
    }
}

/// The graph's input.
pub const FEATURES: &str = "features";
/// The graph's output.
pub const LOGITS: &str = "logits";
/// The operators' version.
pub const OPSET: i64 = 13;
/// The format's version: `IR_VERSION_2020_5_8`.
const IR_VERSION: i64 = 7;
