//! Of int4 weights, [packed](super::super::nibbles).

use zeroize::Zeroizing;

use super::super::LayerError;
use super::super::nibbles::{TOPS, weights};
use super::super::stream::Source;
use super::super::weights::{BLOCK, GROUP, columns};
use super::{fill, most, one_sign};

/// Proves that all are in range and what fills up is 0. Whether the layer is narrow: no block's last output's sum of products
/// reaches 2^19, and there are not more inputs than leave the others' sums below 2^32.
pub(super) fn prove(
    inputs: usize,
    outputs: usize,
    packed: &mut dyn Source,
) -> Result<bool, LayerError> {
    let mut narrow = inputs <= NARROW_INPUTS;
    let mut room = Zeroizing::new([[0; 4]; GROUP / 2]);
    for first in (0..outputs).step_by(BLOCK) {
        let mut sums = [0; 2];
        for input in (0..2 * columns(inputs)).step_by(GROUP) {
            fill(packed, &mut *room)?;
            let in_range = add_last(&room, &mut sums);
            if !in_range || outputs - first < BLOCK || inputs - input < GROUP {
                look_closer(&room, first, outputs, inputs - input)?;
            }
        }
        narrow &= most(sums) <= NARROW;
    }
    Ok(narrow)
}

/// What a block's last output's weights of one sign may add up to in a narrow layer.
const NARROW: i32 = one_sign(1 << 19);
/// Inputs of a narrow layer at most: `256 * 15 * 255 * 4386 < 2^32`.
const NARROW_INPUTS: usize = 4386;

/// Adds the magnitudes of the last output's weights and the weights themselves to their sums, and says whether all weights
/// of these words are in range.
fn add_last(words: &[[u8; 4]; GROUP / 2], [size, sum]: &mut [i32; 2]) -> bool {
    let mut zeros = 0;
    for word in words {
        let word = u32::from_le_bytes(*word);
        // A nibble that is zero here is -8: where a bit is set in `zeros`, if in none below it.
        let nibbles = word ^ TOPS;
        zeros |= nibbles.wrapping_sub(0x1111_1111) & !nibbles;
        for weight in [word << 16, word].map(|half| half as i32 >> 28) {
            // The accumulators' bound leaves no layer so many inputs that a sum could wrap.
            *size = size.wrapping_add(weight.abs());
            *sum = sum.wrapping_add(weight);
        }
    }
    zeros & 0x8888_8888 == 0
}

/// What is wrong with some words of the block that begins with output `first`, of which there are `inputs_left` inputs.
#[inline(never)]
fn look_closer(
    words: &[[u8; 4]; GROUP / 2],
    first: usize,
    outputs: usize,
    inputs_left: usize,
) -> Result<(), LayerError> {
    let inputs = words.iter().flat_map(|word| weights(*word));
    for (four, input) in inputs.zip(0..) {
        for (weight, row) in four.into_iter().zip(first..) {
            if (row >= outputs || input >= inputs_left) && weight != 0 {
                return Err(LayerError::Padding { row });
            }
            if weight == -8 {
                return Err(LayerError::WeightRange { row });
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::super::nibbles::pack;
    use super::super::super::{Granularity, Quantisation, WeightType};
    use super::super::{Facts, prove};
    use super::*;

    const fn packed_len(inputs: usize, outputs: usize) -> usize {
        WeightType::Int4.packed_len(inputs, outputs)
    }

    /// Every half that there is, beside a good one, in either half.
    #[test]
    fn a_group_is_summed_and_ranged_as_its_weights_are() {
        const NONE: [u8; 4] = [0x88, 0x08, 0x88, 0x08];
        for half in 0..=u16::MAX {
            let [low, high] = half.to_le_bytes();
            for word in [[low, high, 0x88, 0x08], [0x88, 0x08, low, high]] {
                let mut group = [NONE; GROUP / 2];
                group[3] = word;
                let both = weights(word);
                let expected = both.as_flattened().iter().all(|weight| *weight != -8);
                let mut sums = [0; 2];
                assert_eq!(add_last(&group, &mut sums), expected, "{word:?}");
                let [[.., first], [.., second]] = both;
                assert_eq!(sums, [first.abs() + second.abs(), first + second]);
            }
        }
    }

    fn proved<const N: usize>(
        inputs: usize,
        outputs: usize,
        packed: &[u8; N],
    ) -> Result<Facts, LayerError> {
        let (words, shifts) = ([0; 4 * 8], [40; 8]);
        let quantisation = Quantisation {
            weights: WeightType::Int4,
            granularity: Granularity::PerOutput,
        };
        let sources: [&mut dyn Source; 4] = [
            &mut &words[..],
            &mut &words[..],
            &mut &shifts[..],
            &mut &packed[..],
        ];
        prove(inputs, outputs, quantisation, sources)
    }

    /// A nibble of any word that is no weight, or a weight where there is none.
    #[test]
    fn every_nibble_is_looked_at() {
        const PACKED: usize = packed_len(18, 6);
        let mut packed = [0; PACKED];
        pack(18, 6, &[1; 18 * 6], &mut packed).unwrap();
        proved(18, 6, &packed).unwrap();
        for nibble in 0..2 * PACKED {
            let (word, place) = (nibble / 8, nibble % 8);
            let (input, row) = (2 * (word % 16) + place / 4, 4 * (word / 16) + place % 4);
            let within = input < 18 && row < 6;
            for (weight, refused) in [
                (-8, LayerError::WeightRange { row }),
                (3, LayerError::Padding { row }),
            ] {
                let mut packed = packed;
                let byte = &mut packed[nibble / 2];
                let stored = if place % 4 == 3 { weight } else { weight + 8 } as u8 & 15;
                *byte = *byte & (0xF0 >> (4 * (nibble % 2))) | stored << (4 * (nibble % 2));
                let found = proved(18, 6, &packed).err();
                let expected = match (within, weight) {
                    (true, 3) => None,
                    (true, _) => Some(refused),
                    (false, _) => Some(LayerError::Padding { row }),
                };
                assert_eq!(found, expected, "{nibble}");
            }
        }
    }

    #[test]
    fn narrow_is_what_no_last_output_can_leave() {
        // 255 times as much is just below 2^19, or above.
        const WHOLE: usize = 2056 / 7;
        const PACKED: usize = packed_len(WHOLE + 1, 4);
        for (last, expected) in [(2056 % 7, true), (2056 % 7 + 1, false)] {
            for sign in [1, -1] {
                let mut weights = [0_u8; 4 * (WHOLE + 1)];
                weights[3 * (WHOLE + 1)..].fill((7 * sign) as u8);
                weights[4 * WHOLE + 3] = (last * sign) as u8;
                let mut packed = [0; PACKED];
                pack(WHOLE + 1, 4, &weights, &mut packed).unwrap();
                let found = proved(WHOLE + 1, 4, &packed).unwrap();
                assert_eq!(found.narrow, expected, "{last}");
            }
        }
        for (inputs, expected) in [(4386, true), (4387, false)] {
            let mut packed = [0; packed_len(4387, 1)];
            let len = packed_len(inputs, 1);
            pack(inputs, 1, &[0; 4387][..inputs], &mut packed[..len]).unwrap();
            assert_eq!(proved(inputs, 1, &packed).unwrap().narrow, expected);
        }
    }
}
