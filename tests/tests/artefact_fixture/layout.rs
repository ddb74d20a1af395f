//! Where the parts of a body lie, by the format's tables.

use std::ops::Range;

use sealnet_core::mlp::WeightType;

use super::{GOLDEN_COUNT, WIDTHS, layers_section, names};

/// One array of a layer: its bytes in the plaintext, and the end of its padding.
#[derive(Debug, Clone)]
pub struct Array {
    pub bytes: Range<usize>,
    pub padded: usize,
}

/// Biases, multipliers, shifts and weights of the three layers, by the format's tables.
pub fn arrays(weight_type: WeightType) -> [[Array; 4]; 3] {
    let mut position = 32;
    let mut array = |len: usize| {
        let bytes = position..position + len;
        position = bytes.end.next_multiple_of(16);
        Array {
            bytes,
            padded: position,
        }
    };
    [0, 1, 2].map(|layer| {
        let (inputs, outputs) = (WIDTHS[layer], WIDTHS[layer + 1]);
        let weights = 16 * inputs.div_ceil(16) * 4 * outputs.div_ceil(4);
        let packed = match weight_type {
            WeightType::Int4 => weights / 2,
            _ => weights,
        };
        [4 * outputs, 4 * outputs, outputs, packed].map(&mut array)
    })
}

/// A section: its header's start, its payload, and its end.
#[derive(Debug, Clone)]
pub struct Section {
    pub start: usize,
    pub payload: Range<usize>,
    pub end: usize,
}

/// The types of a body's sections, in their order.
pub fn kinds(weight_type: WeightType) -> [u16; 5] {
    [layers_section(weight_type), 3, 5, 6, 7]
}

/// Those sections.
pub fn sections(weight_type: WeightType) -> [Section; 5] {
    let [_, _, [_, _, _, weights]] = arrays(weight_type);
    let payloads = [
        weights.padded - 16,
        16 + 4 * usize::from(GOLDEN_COUNT) * WIDTHS[3],
        16,
        8 * WIDTHS[0],
        16 + name_lengths().iter().map(|len| 1 + len).sum::<usize>(),
    ];
    let mut start = 0;
    payloads.map(|len| {
        let payload = start + 16..start + 16 + len;
        let end = payload.end.next_multiple_of(16);
        let section = Section {
            start,
            payload,
            end,
        };
        start = end;
        section
    })
}

/// Bytes of each name, columns first.
pub fn name_lengths() -> Vec<usize> {
    let (columns, classes) = names();
    columns.iter().chain(&classes).map(String::len).collect()
}
