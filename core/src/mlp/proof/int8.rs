//! Of int8 weights, [packed](super::super::packed).

use zeroize::Zeroizing;

use super::super::LayerError;
use super::super::packed::{column_words, weights};
use super::super::stream::Source;
use super::super::weights::{TILE, columns};
use super::{fill, most, one_sign};

/// Proves that all are in range and what fills up is 0. Whether the layer is narrow: no odd output's sum of products
/// reaches 2^23.
pub(super) fn prove(
    inputs: usize,
    outputs: usize,
    packed: &mut dyn Source,
) -> Result<bool, LayerError> {
    let mut narrow = true;
    let mut room = Zeroizing::new([[0; 4]; TILE / 2]);
    for first in (0..outputs).step_by(TILE) {
        let left = outputs - first;
        let column = room.get_mut(..column_words(left)).unwrap_or_default();
        let mut odd_sums = [[0; 2]; TILE / 2];
        for input in (0..2 * columns(inputs)).step_by(2) {
            fill(packed, column)?;
            let in_range = add_odd(column, &mut odd_sums);
            if !in_range || left < TILE || inputs < input + 2 {
                look_closer(column, first, outputs, inputs.saturating_sub(input))?;
            }
        }
        narrow &= odd_sums.iter().all(|sums| most(*sums) <= NARROW);
    }
    Ok(narrow)
}

/// What an odd output's weights of one sign may add up to in a narrow layer.
const NARROW: i32 = one_sign(1 << 23);

/// Adds the magnitudes of the odd outputs' weights and the weights themselves to their sums, and says whether all weights of
/// the column are in range. Four weights at a time, since it is most of what a device spends on a proof.
#[inline(never)]
fn add_odd(column: &[[u8; 4]], sums: &mut [[i32; 2]; TILE / 2]) -> bool {
    const EVEN: u32 = 0x00FF_00FF;
    const TOPS: u32 = 0x8080_8080;
    let mut any = 0;
    for (word, [size, sum]) in column.iter().zip(sums) {
        let word = u32::from_le_bytes(*word);
        // An upper byte is one less than its weight where the lower one is negative.
        let odd = (word & !EVEN).wrapping_add((word & TOPS & EVEN) << 1) & !EVEN;
        // -128, or 128 which is the same byte: where a byte is zero in `zeros`.
        let zeros = (odd | word & EVEN) ^ TOPS;
        any |= zeros.wrapping_sub(0x0101_0101) & !zeros;
        // The accumulators' bound leaves no layer so many inputs that a sum could wrap.
        for weight in [odd << 16, odd].map(|odd| odd as i32 >> 24) {
            *size = size.wrapping_add(weight.abs());
            *sum = sum.wrapping_add(weight);
        }
    }
    any & TOPS == 0
}

/// What is wrong with a column, the first of tile `first..`, of which there are `inputs_left` inputs.
#[inline(never)]
fn look_closer(
    column: &[[u8; 4]],
    first: usize,
    outputs: usize,
    inputs_left: usize,
) -> Result<(), LayerError> {
    let mut even = first;
    for word in column {
        for (weight, place) in weights(*word).as_flattened().iter().zip(0..) {
            let row = even + place % 2;
            if (row >= outputs || place / 2 >= inputs_left) && *weight != 0 {
                return Err(LayerError::Padding { row });
            }
            if !(-127..=127).contains(weight) {
                return Err(LayerError::WeightRange { row });
            }
        }
        even += 2;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::super::packed::pack;
    use super::super::super::{Granularity, Quantisation, WeightType};
    use super::super::{Facts, prove};
    use super::{LayerError, *};

    const fn packed_len(inputs: usize, outputs: usize) -> usize {
        WeightType::Int8.packed_len(inputs, outputs)
    }

    /// Every pair of bytes that a half can be, in either half, against its definition.
    #[test]
    fn a_column_is_summed_and_ranged_as_its_weights_are() {
        for half in 0..=u16::MAX {
            let [low, high] = half.to_le_bytes();
            for word in [[low, high, 0, 0], [0, 0, low, high], [low, high, low, high]] {
                let mut sums = [[0; 2]; TILE / 2];
                let in_range = add_odd(&[word], &mut sums);
                let both = weights(word);
                let expected = both
                    .as_flattened()
                    .iter()
                    .all(|weight| (-127..=127).contains(weight));
                assert_eq!(in_range, expected, "{word:?}");
                if in_range {
                    let [[_, first], [_, second]] = both;
                    assert_eq!(sums[0], [first.abs() + second.abs(), first + second]);
                }
            }
        }
    }

    const QUANTISATION: Quantisation = Quantisation {
        weights: WeightType::Int8,
        granularity: Granularity::PerOutput,
    };
    const WIDTHS: (usize, usize) = (18, 70);

    /// Proves a layer of 18 inputs and 70 outputs, a whole tile and a part of one, with these weights.
    fn proved(weights: &[u8; 18 * 70]) -> Result<Facts, LayerError> {
        let (inputs, outputs) = WIDTHS;
        let mut packed = [0; packed_len(18, 70)];
        pack(inputs, outputs, weights, &mut packed).unwrap();
        let (biases, shifts) = ([0; 4 * 70], [40; 70]);
        let sources: [&mut dyn Source; 4] = [
            &mut &biases[..],
            &mut &biases[..],
            &mut &shifts[..],
            &mut &packed[..],
        ];
        prove(inputs, outputs, QUANTISATION, sources)
    }

    #[test]
    fn a_weight_of_minus_128_is_found_in_a_whole_tile_too() {
        let (inputs, outputs) = WIDTHS;
        for row in 0..outputs {
            for input in [0, 1, inputs - 1] {
                let mut weights = [0; 18 * 70];
                weights[row * inputs + input] = 0x80;
                assert_eq!(
                    proved(&weights).err(),
                    Some(LayerError::WeightRange { row })
                );
            }
        }
    }

    /// Whether a layer of two outputs is narrow, both with these weights.
    fn narrow<const N: usize, const TWICE: usize, const PACKED: usize>(row: [i8; N]) -> bool {
        let mut weights = [0; TWICE];
        for (weight, from) in weights.iter_mut().zip(row.iter().cycle()) {
            *weight = *from as u8;
        }
        let mut packed = [0; PACKED];
        pack(N, 2, &weights, &mut packed).unwrap();
        let zeros = [0; 8];
        let sources: [&mut dyn Source; 4] = [
            &mut &zeros[..],
            &mut &zeros[..],
            &mut &[40; 2][..],
            &mut &packed[..],
        ];
        prove(N, 2, QUANTISATION, sources).unwrap().narrow
    }

    #[test]
    fn narrow_is_what_no_odd_output_can_leave() {
        // 255 times as much is just below 2^23, or above.
        const WHOLE: usize = 32_896 / 127;
        let rest = 32_896 % 127;
        for (last, expected) in [(rest, true), (rest + 1, false)] {
            for sign in [1, -1] {
                let mut row = [127 * sign; WHOLE + 1];
                row[WHOLE] = last as i8 * sign;
                let found =
                    narrow::<{ WHOLE + 1 }, { 2 * WHOLE + 2 }, { packed_len(WHOLE + 1, 2) }>(row);
                assert_eq!(found, expected, "{last}");
                // What the other sign adds up to does not matter, unless it is more.
                let mut both = [-127 * sign; 2 * WHOLE + 1];
                both[..=WHOLE].copy_from_slice(&row);
                let found = narrow::<
                    { 2 * WHOLE + 1 },
                    { 4 * WHOLE + 2 },
                    { packed_len(2 * WHOLE + 1, 2) },
                >(both);
                assert_eq!(found, expected, "{last}");
            }
        }
    }
}
