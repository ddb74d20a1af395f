use safetensors::tensor::TensorView;

use super::*;

/// Whose tensor `layer` has 1, 2, 3, … for weights in order of `[inputs][outputs]`, and for biases their negatives.
struct Made {
    name: String,
    dtype: Dtype,
    shape: Vec<usize>,
    bytes: Vec<u8>,
}

fn bytes(dtype: Dtype, numbers: &[f64]) -> Vec<u8> {
    let each = |number: &f64| match dtype {
        Dtype::F64 => number.to_le_bytes().to_vec(),
        Dtype::F32 => (*number as f32).to_le_bytes().to_vec(),
        Dtype::F16 => f16::from_f64(*number).to_le_bytes().to_vec(),
        _ => bf16::from_f64(*number).to_le_bytes().to_vec(),
    };
    numbers.iter().flat_map(each).collect()
}

/// A layer of `inputs` and `outputs` whose weight of input `i` and output `o` is `10 i + o`, and whose bias is `-o`.
fn layer(name: &str, [inputs, outputs]: [usize; 2], dtype: Dtype) -> [Made; 2] {
    let by_output = name.ends_with("weight");
    let value = |i: usize, o: usize| (10 * i + o) as f64;
    let (shape, numbers): (_, Vec<f64>) = if by_output {
        let numbers = (0..outputs).flat_map(|o| (0..inputs).map(move |i| value(i, o)));
        (vec![outputs, inputs], numbers.collect())
    } else {
        let numbers = (0..inputs).flat_map(|i| (0..outputs).map(move |o| value(i, o)));
        (vec![inputs, outputs], numbers.collect())
    };
    let bias: Vec<f64> = (0..outputs).map(|o| -(o as f64)).collect();
    let bias_name = name.replace("weight", "bias").replace("kernel", "bias");
    let made = |name: String, shape, numbers: &[f64]| Made {
        name,
        dtype,
        shape,
        bytes: bytes(dtype, numbers),
    };
    [
        made(name.to_owned(), shape, &numbers),
        made(bias_name, vec![outputs], &bias),
    ]
}

fn read_all<'m>(made: impl IntoIterator<Item = &'m Made>) -> Result<[Dense; 3], String> {
    let views = made.into_iter().map(|made| {
        let view = TensorView::new(made.dtype, made.shape.clone(), &made.bytes).unwrap();
        (made.name.as_str(), view)
    });
    let file = safetensors::serialize(views.collect::<Vec<_>>(), None).unwrap();
    layers(&SafeTensors::deserialize(&file).unwrap())
}

/// Layers under these names, in the order in which they follow each other, of these widths.
fn named(names: [&str; 3], widths: [usize; 4]) -> Vec<Made> {
    let pairs = widths.windows(2).map(|pair| [pair[0], pair[1]]);
    let layers = names.into_iter().zip(pairs);
    layers
        .flat_map(|(name, pair)| layer(name, pair, Dtype::F32))
        .collect()
}

fn widths(layers: &[Dense; 3]) -> [usize; 4] {
    let [one, two, three] = layers;
    [one.inputs, two.inputs, three.inputs, three.outputs]
}

#[test]
fn the_names_that_people_have_are_read_and_every_number_is_in_its_place() {
    for names in [
        ["fc1.weight", "fc2.weight", "fc3.weight"],
        ["0.weight", "2.weight", "4.weight"],
        ["layers.9.weight", "layers.10.weight", "layers.11.weight"],
        [
            "module.net.1.weight",
            "module.net.3.weight",
            "module.net.5.weight",
        ],
        ["dense/kernel", "dense_1/kernel", "dense_2/kernel"],
        ["dense_9/kernel:0", "dense_10/kernel:0", "dense_11/kernel:0"],
        [
            "sequential/dense/kernel",
            "sequential/dense_1/kernel",
            "sequential/dense_2/kernel",
        ],
        [
            "params.Dense_0.kernel",
            "params.Dense_1.kernel",
            "params.Dense_2.kernel",
        ],
    ] {
        // The middle one square, and all of them.
        for shape in [[5, 4, 4, 3], [4, 4, 4, 4]] {
            let layers =
                read_all(&named(names, shape)).unwrap_or_else(|e| panic!("{names:?}: {e}"));
            assert_eq!(widths(&layers), shape, "{names:?}");
            for layer in &layers {
                for i in 0..layer.inputs {
                    for o in 0..layer.outputs {
                        let got = layer.weights[i * layer.outputs + o];
                        assert_eq!(got, (10 * i + o) as f64, "{names:?}");
                    }
                }
                let bias = layer.bias.iter().enumerate();
                assert!(
                    bias.clone().all(|(o, &bias)| bias == -(o as f64)),
                    "{names:?}"
                );
                assert_eq!(bias.len(), layer.outputs);
            }
        }
    }
}

#[test]
fn where_names_tell_no_order_shapes_do_or_nothing_is_read() {
    let names = ["stem.weight", "body.weight", "head.weight"];
    let layers = read_all(&named(names, [5, 4, 4, 3])).unwrap();
    assert_eq!(widths(&layers), [5, 4, 4, 3]);
    for shape in [[4, 4, 4, 3], [5, 4, 4, 4], [4, 4, 4, 4]] {
        let reason = read_all(&named(names, shape)).unwrap_err();
        assert!(reason.contains("number their names"), "{shape:?}: {reason}");
    }
    // Numbers say an order in which they do not fit: then no other one is looked for.
    let names = ["fc3.weight", "fc2.weight", "fc1.weight"];
    let reason = read_all(&named(names, [5, 4, 4, 3])).unwrap_err();
    assert!(reason.contains("do not fit"), "{reason}");
    // A number that is there twice says none.
    let names = ["fc1.weight", "fc01.weight", "fc2.weight"];
    let reason = read_all(&named(names, [4, 4, 4, 4])).unwrap_err();
    assert!(reason.contains("number their names"), "{reason}");
}

#[test]
fn what_lies_the_other_way_round_is_refused_with_advice() {
    for (wrong, right) in [("weight", "kernel"), ("kernel", "weight")] {
        let names = ["a1.", "a2.", "a3."].map(|name| format!("{name}{right}"));
        let mut made = named(names.each_ref().map(String::as_str), [5, 4, 4, 3]);
        for made in &mut made {
            made.name = made.name.replace(right, wrong);
        }
        let reason = read_all(&made).unwrap_err();
        assert!(reason.contains(&format!("call it {right}")), "{reason}");
    }
    let names = ["a1.weight", "a2.kernel", "a3.weight"];
    let reason = read_all(&named(names, [5, 4, 4, 3])).unwrap_err();
    assert!(reason.contains("one or the other"), "{reason}");
}

#[test]
fn what_is_missing_or_there_twice_is_named() {
    let names = ["0.weight", "2.weight", "4.weight"];
    let without = |gone: &str| {
        let made = named(names, [5, 4, 4, 3]);
        read_all(made.iter().filter(|made| made.name != gone)).unwrap_err()
    };
    assert_eq!(without("2.bias"), "has no bias of layer \"2\"");
    assert!(without("2.weight").starts_with("has no weight or kernel of layer \"2\""));
    let twice = named(["a/kernel", "b/kernel", "c/kernel"], [5, 4, 4, 3]);
    let more = layer("a/kernel:0", [5, 4], Dtype::F32);
    let reason = read_all(twice.iter().chain(&more[..1])).unwrap_err();
    assert!(
        reason.contains("both \"a/kernel\" and \"a/kernel:0\""),
        "{reason}"
    );
    let five = named(["1.weight", "2.weight", "3.weight"], [5, 4, 4, 3]);
    let reason = read_all(&five[..4]).unwrap_err();
    assert_eq!(reason, "holds 2 layers and not three: [\"1\", \"2\"]");
}

#[test]
fn every_type_of_real_is_read_exactly_and_others_are_refused() {
    for dtype in [Dtype::F64, Dtype::F32, Dtype::F16, Dtype::BF16] {
        let made = [[5, 4], [4, 4], [4, 3]].into_iter().zip(1..);
        let made: Vec<_> = made
            .flat_map(|(pair, number)| layer(&format!("l{number}.weight"), pair, dtype))
            .collect();
        let [first, ..] = read_all(&made).unwrap();
        assert_eq!(
            (first.weights[4 * 4 + 3], first.bias[3]),
            (43.0, -3.0),
            "{dtype:?}"
        );
    }
    // 1 + 2^-30 is one of f64 alone, 2^-24 the smallest of f16, and 3e38 none of f16's.
    assert_eq!(
        each(&(1.0 + 2f64.powi(-30)).to_le_bytes(), f64::from_le_bytes),
        [1.0 + 2f64.powi(-30)]
    );
    let made = |dtype, bytes: Vec<u8>| {
        let mut made = named(["1.weight", "2.weight", "3.weight"], [5, 4, 4, 1]);
        (made[5].dtype, made[5].bytes) = (dtype, bytes);
        read_all(&made).map(|[.., last]| last.bias[0])
    };
    assert_eq!(made(Dtype::F16, vec![1, 0]), Ok(2f64.powi(-24)));
    assert_eq!(
        made(Dtype::BF16, vec![0x61, 0x7F]),
        Ok(f64::from(f32::from_bits(0x7F61_0000)))
    );
    let reason = made(Dtype::I8, vec![1]).unwrap_err();
    assert!(
        reason.contains("I8") && reason.contains("F32, F64, F16 or BF16"),
        "{reason}"
    );
}
