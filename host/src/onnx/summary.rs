//! What an ONNX file says of itself, whoever wrote it.

use prost::Message;

use super::messages::{FLOAT, ModelProto, UINT8, ValueInfoProto};

/// What a file holds. Every text is the file's, and may be anything.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Summary {
    /// What wrote it: name and version.
    pub producer: String,
    /// The format's version.
    pub ir_version: i64,
    /// Its operators' version.
    pub opset: i64,
    /// Name, type and shape of what the graph takes.
    pub inputs: Vec<String>,
    /// The same of what it gives.
    pub outputs: Vec<String>,
    /// Operators in the order in which they run.
    pub operators: Vec<String>,
    /// Numbers in its constants, by their shapes.
    pub parameters: u64,
    /// `name=value`, in order of name.
    pub metadata: Vec<String>,
}

impl Summary {
    /// Reads a file; none where it is no ONNX, which has no magic number: something that decodes as a model and has
    /// a graph with operators is one.
    pub fn read(bytes: &[u8]) -> Option<Summary> {
        let model = ModelProto::decode(bytes).ok()?;
        let graph = model.graph.filter(|graph| !graph.node.is_empty())?;
        let opset = model.opset_import.first()?.version;
        let operators = graph.node.into_iter().map(|node| node.op_type).collect();
        let sizes = graph.initializer.iter().map(|tensor| {
            let mut sizes = tensor.dims.iter().map(|&size| u64::try_from(size).ok());
            let product = sizes.try_fold(1u64, |all, size| all.checked_mul(size?));
            product.unwrap_or(0)
        });
        let mut metadata: Vec<String> = (model.metadata_props.iter())
            .map(|entry| format!("{}={}", entry.key, entry.value))
            .collect();
        metadata.sort();
        let producer = [model.producer_name, model.producer_version];
        Some(Summary {
            producer: producer.join(" ").trim().to_owned(),
            ir_version: model.ir_version,
            opset,
            // What is a constant is no input, though old versions listed it as one.
            inputs: (graph.input.iter())
                .filter(|input| graph.initializer.iter().all(|t| t.name != input.name))
                .map(described)
                .collect(),
            outputs: graph.output.iter().map(described).collect(),
            operators,
            parameters: sizes.fold(0, u64::saturating_add),
            metadata,
        })
    }
}

/// `features uint8 [records, 784]`.
fn described(value: &ValueInfoProto) -> String {
    let tensor = (value.r#type.as_ref()).and_then(|of| of.tensor_type.as_ref());
    let Some(tensor) = tensor else {
        return value.name.clone();
    };
    let sizes = tensor.shape.iter().flat_map(|shape| &shape.dim);
    let sizes: Vec<String> = sizes
        .map(|size| match (size.dim_value, &size.dim_param) {
            (Some(value), _) => value.to_string(),
            (None, Some(name)) => name.clone(),
            (None, None) => "?".to_owned(),
        })
        .collect();
    let element = match tensor.elem_type {
        FLOAT => "float".to_owned(),
        UINT8 => "uint8".to_owned(),
        // `TensorProto.DataType`.
        3 => "int8".to_owned(),
        6 => "int32".to_owned(),
        7 => "int64".to_owned(),
        10 => "float16".to_owned(),
        11 => "double".to_owned(),
        other => format!("type {other}"),
    };
    format!("{} {element} [{}]", value.name, sizes.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::onnx::{Origin, to_onnx};
    use crate::train::{Network, Shape};

    #[test]
    fn it_says_what_was_written() {
        let shape = Shape::new(5, [4, 3], 2).unwrap();
        let origin = Origin {
            weights: [7; 64],
            recipe: Some("paper".into()),
            receipt: None,
        };
        let bytes = to_onnx(&Network::zeros(&shape), &origin);
        let summary = Summary::read(&bytes).unwrap();
        assert_eq!(summary.inputs, ["features uint8 [records, 5]"]);
        assert_eq!(summary.outputs, ["logits float [records, 2]"]);
        assert_eq!(
            summary.operators.join(" "),
            "Cast Div Sub Gemm Relu Gemm Relu Gemm"
        );
        assert_eq!((summary.ir_version, summary.opset), (7, 13));
        // Those of the layers, and 255 and 0.5.
        let layers = 5 * 4 + 4 + 4 * 3 + 3 + 3 * 2 + 2;
        assert_eq!(summary.parameters, layers + 2);
        assert!(summary.metadata.contains(&"sealnet.recipe=paper".into()));
        for end in 0..bytes.len() {
            // A part of it may be a smaller model; it is never a panic.
            let _ = Summary::read(&bytes[..end]);
        }
        assert_eq!(Summary::read(b""), None);
        assert_eq!(Summary::read(b"label,a,b\n1,2,3\n"), None);
    }

    #[test]
    fn sizes_that_are_not_possible_count_as_none() {
        use crate::onnx::messages::{GraphProto, NodeProto, OperatorSetIdProto, TensorProto};
        let tensor = |dims: &[i64]| TensorProto {
            dims: dims.to_vec(),
            ..TensorProto::default()
        };
        let graph = GraphProto {
            node: vec![NodeProto::default()],
            initializer: vec![
                tensor(&[-1, 4]),
                tensor(&[i64::MAX, i64::MAX]),
                tensor(&[2, 3]),
            ],
            ..GraphProto::default()
        };
        let model = ModelProto {
            opset_import: vec![OperatorSetIdProto { version: 13 }],
            graph: Some(graph),
            ..ModelProto::default()
        };
        let summary = Summary::read(&model.encode_to_vec()).unwrap();
        assert_eq!(summary.parameters, 6);
    }
}
