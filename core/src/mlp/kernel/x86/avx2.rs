//! AVX2: `vpmaddwd` adds 16 products of halves, two to each of eight sums. `vpmaddubsw` would take twice as many bytes, but
//! saturates.
#![allow(unsafe_code)] // loads and stores

use core::arch::x86_64::*;
use core::slice;

use super::{GROUP, LANES, Line, Out, PART, Rows, Tile, WIDEST, last_group, whole_part};

/// The weights of a group for a vector of outputs: those of the even inputs, then those of the odd ones. In each, two to an
/// output. They are widened when they are taken: from the second cache half as many bytes come in less time than that takes.
pub(super) fn line(weight: impl Fn(usize, usize) -> i8) -> Line {
    let mut line = Line([0; 64]);
    let (odds, _) = line.0.as_chunks_mut::<{ 2 * LANES }>();
    for (odd, line) in odds.iter_mut().enumerate() {
        for (at, byte) in line.iter_mut().enumerate() {
            *byte = weight(at / 2, at % 2 * 2 + odd) as u8;
        }
    }
    line
}

/// Registers for a vector of outputs.
const HALVES: usize = 2;

/// The outputs of a tile, the first of which is `first`, for each record.
#[target_feature(enable = "avx2")]
pub(super) fn tile(
    inputs: usize,
    tile: &Tile,
    records: &[&[u8]],
    first: usize,
    skip: bool,
    out: &mut impl Out,
) {
    if skip && tile.vectors == WIDEST {
        for (record, at) in records.iter().zip(0..) {
            store(
                [skipping(tile, record)],
                &tile.rows,
                tile.quick,
                at,
                first,
                out,
            );
        }
        return;
    }
    for (vector, rows) in tile.rows.iter().enumerate() {
        let (rows, first) = (slice::from_ref(rows), first + vector * LANES);
        let (blocks, rest) = records.as_chunks::<3>();
        for (block, at) in blocks.iter().zip((0..).step_by(3)) {
            store(
                sums(inputs, tile, vector, block),
                rows,
                tile.quick,
                at,
                first,
                out,
            );
        }
        for (record, at) in rest.iter().zip(3 * blocks.len()..) {
            store(
                sums(inputs, tile, vector, &[*record]),
                rows,
                tile.quick,
                at,
                first,
                out,
            );
        }
    }
}

/// Biases and products of one of the tile's vectors.
#[inline]
#[target_feature(enable = "avx2")]
fn sums<const R: usize>(
    inputs: usize,
    tile: &Tile,
    vector: usize,
    records: &[&[u8]; R],
) -> [[__m256i; HALVES]; R] {
    let mut sums = [biases(tile.rows.get(vector..).unwrap_or_default()); R];
    // All have as many; whatever they have, nothing beyond is read.
    let whole = records.iter().map(|record| record.len()).min();
    let whole = whole.unwrap_or_default().min(inputs) / GROUP;
    let mut lines = tile.weights.iter().skip(vector).step_by(tile.vectors);
    for at in (0..GROUP * whole).step_by(GROUP) {
        let Some(lines) = lines.next() else { break };
        // SAFETY: each record has at least `whole` groups.
        add(&mut sums, slice::from_ref(lines), |record| unsafe {
            let group = records.get_unchecked(record).as_ptr().add(at);
            group.cast::<i32>().read_unaligned()
        });
    }
    if let Some(lines) = lines.next() {
        add(&mut sums, slice::from_ref(lines), |at| {
            last_group(
                records
                    .get(at)
                    .and_then(|record| record.get(GROUP * whole..inputs)),
            )
        });
    }
    sums
}

/// The same of all vectors for one record, without groups that are zero.
#[inline]
#[target_feature(enable = "avx2")]
fn skipping(tile: &Tile, record: &[u8]) -> [__m256i; HALVES * WIDEST] {
    let mut sums = [biases(&tile.rows)];
    let lines = tile.weights.as_chunks::<WIDEST>().0;
    for (part, lines) in record.chunks(PART).zip(lines.chunks(PART / GROUP)) {
        let mut room = [0; PART];
        let part = whole_part(part, &mut room);
        let mut left = 0;
        for (eighth, at) in part.as_chunks::<32>().0.iter().zip((0..).step_by(8)) {
            let zeros = _mm256_cmpeq_epi32(load(eighth), _mm256_setzero_si256());
            let zeros = _mm256_movemask_ps(_mm256_castsi256_ps(zeros));
            left |= (!zeros as u64 & 0xFF) << at;
        }
        let inputs = part.as_chunks::<GROUP>().0;
        while left != 0 {
            let at = left.trailing_zeros() as usize;
            left &= left - 1;
            let (Some(lines), Some(group)) = (lines.get(at), inputs.get(at)) else {
                break;
            };
            add(&mut sums, lines, |_| i32::from_le_bytes(*group));
        }
    }
    let [sums] = sums;
    sums
}

#[inline]
#[target_feature(enable = "avx2")]
fn biases<const N: usize>(rows: &[Rows]) -> [__m256i; N] {
    let mut sums = [_mm256_setzero_si256(); N];
    let (vectors, _) = sums.as_chunks_mut::<HALVES>();
    for (sums, rows) in vectors.iter_mut().zip(rows) {
        for (sum, biases) in sums.iter_mut().zip(rows.biases.as_chunks::<8>().0) {
            *sum = load(biases);
        }
    }
    sums
}

/// Adds the products of a group.
#[inline]
#[target_feature(enable = "avx2")]
fn add<const N: usize, const R: usize>(
    sums: &mut [[__m256i; N]; R],
    lines: &[Line],
    group: impl Fn(usize) -> i32,
) {
    // Of each pair of bytes the lower one and the upper one, widened.
    let mut inputs = [[_mm256_setzero_si256(); 2]; R];
    for ([lower, upper], at) in inputs.iter_mut().zip(0..) {
        let both = _mm256_set1_epi32(group(at));
        *lower = _mm256_and_si256(both, _mm256_set1_epi32(0x00FF_00FF));
        *upper = _mm256_srli_epi16::<8>(both);
    }
    for (line, vector) in lines.iter().zip((0..).step_by(HALVES)) {
        let (odds, _) = line.0.as_chunks::<{ 2 * LANES }>();
        for (line, parity) in odds.iter().zip(0..) {
            for (half, at) in line.as_chunks::<LANES>().0.iter().zip(vector..) {
                // SAFETY: it is as long as half a register.
                let weights = unsafe { _mm_load_si128(half.as_ptr().cast()) };
                let weights = _mm256_cvtepi8_epi16(weights);
                for (sums, inputs) in sums.iter_mut().zip(&inputs) {
                    if let (Some(sum), Some(inputs)) = (sums.get_mut(at), inputs.get(parity)) {
                        let products = _mm256_madd_epi16(*inputs, weights);
                        *sum = _mm256_add_epi32(*sum, products);
                    }
                }
            }
        }
    }
}

/// Takes sums to activations or logits, and those to where they belong.
#[inline]
#[target_feature(enable = "avx2")]
fn store<const N: usize, const R: usize, O: Out>(
    sums: [[__m256i; N]; R],
    rows: &[Rows],
    quick: bool,
    at: usize,
    first: usize,
    out: &mut O,
) {
    for (sums, record) in sums.iter().zip(at..) {
        let vectors = sums.as_chunks::<HALVES>().0.iter().zip(rows);
        for ((sums, rows), first) in vectors.zip((first..).step_by(LANES)) {
            store_vector(*sums, rows, quick, record, first, out);
        }
    }
}

#[inline]
#[target_feature(enable = "avx2")]
fn store_vector<O: Out>(
    [low, high]: [__m256i; HALVES],
    rows: &Rows,
    quick: bool,
    record: usize,
    first: usize,
    out: &mut O,
) {
    if O::HIDDEN {
        let (of_low, of_high) = (parameters(rows, 0), parameters(rows, 1));
        let (low, high) = match quick {
            true => (
                quick_activations(low, of_low),
                quick_activations(high, of_high),
            ),
            false => (activations(low, of_low), activations(high, of_high)),
        };
        // Each packs halves of a register by itself: quarters are put in order after it.
        let words = _mm256_permute4x64_epi64::<0b11_01_10_00>(_mm256_packus_epi32(low, high));
        let bytes = _mm256_packus_epi16(words, words);
        let bytes = _mm256_permute4x64_epi64::<0b11_01_10_00>(bytes);
        if let Some(room) = out.activations(record, first) {
            // SAFETY: it is as long.
            unsafe { _mm_storeu_si128(room.as_mut_ptr().cast(), _mm256_castsi256_si128(bytes)) };
        }
    } else {
        let room = out.logits(record, first);
        for ((room, sums), half) in room.chunks_mut(LANES / 2).zip([low, high]).zip(0..) {
            let logits = logits(sums, parameters(rows, half));
            let mut all = [0_i32; LANES / 2];
            // SAFETY: it is as long. A store with a mask takes tens of cycles on some processors.
            unsafe { _mm256_storeu_si256(all.as_mut_ptr().cast(), logits) };
            for (room, logit) in room.iter_mut().zip(all) {
                *room = logit;
            }
        }
    }
}

/// [`Requant::to_u8`](crate::quant::Requant::to_u8) of each.
#[inline]
#[target_feature(enable = "avx2")]
fn activations(sums: __m256i, [even, odd]: [[__m256i; 3]; 2]) -> __m256i {
    // What is below 0 becomes 0, as 0 does; from here on nothing has a sign.
    let sums = _mm256_max_epi32(sums, _mm256_setzero_si256());
    let even = every_other_activation(sums, even);
    let odd = every_other_activation(_mm256_srli_epi64::<32>(sums), odd);
    _mm256_or_si256(even, _mm256_slli_epi64::<32>(odd))
}

/// The same where all shifts are above 32: what is odd is shifted by 32 less, which leaves it where it belongs.
#[inline]
#[target_feature(enable = "avx2")]
fn quick_activations(sums: __m256i, [even, odd]: [[__m256i; 3]; 2]) -> __m256i {
    let sums = _mm256_max_epi32(sums, _mm256_setzero_si256());
    let [multipliers, halves, shifts] = even;
    let product = _mm256_add_epi64(_mm256_mul_epu32(sums, multipliers), halves);
    let even = _mm256_srlv_epi64(product, shifts);
    let [multipliers, halves, shifts] = odd;
    let product = _mm256_mul_epu32(_mm256_srli_epi64::<32>(sums), multipliers);
    let shifts = _mm256_sub_epi64(shifts, _mm256_set1_epi64x(32));
    let odd = _mm256_srlv_epi64(_mm256_add_epi64(product, halves), shifts);
    let both = _mm256_blend_epi32::<0b1010_1010>(even, odd);
    _mm256_min_epu32(both, _mm256_set1_epi32(255))
}

#[inline]
#[target_feature(enable = "avx2")]
fn every_other_activation(sums: __m256i, [multipliers, halves, shifts]: [__m256i; 3]) -> __m256i {
    let product = _mm256_add_epi64(_mm256_mul_epu32(sums, multipliers), halves);
    let value = _mm256_srlv_epi64(product, shifts);
    let most = _mm256_set1_epi64x(255);
    _mm256_and_si256(
        _mm256_or_si256(value, _mm256_cmpgt_epi64(value, most)),
        most,
    )
}

/// [`Requant::to_i32`](crate::quant::Requant::to_i32) of each.
#[inline]
#[target_feature(enable = "avx2")]
fn logits(sums: __m256i, [even, odd]: [[__m256i; 3]; 2]) -> __m256i {
    let even = every_other_logit(sums, even);
    let odd = every_other_logit(_mm256_srli_epi64::<32>(sums), odd);
    _mm256_blend_epi32::<0b1010_1010>(even, _mm256_slli_epi64::<32>(odd))
}

#[inline]
#[target_feature(enable = "avx2")]
fn every_other_logit(sums: __m256i, [multipliers, halves, shifts]: [__m256i; 3]) -> __m256i {
    let product = _mm256_add_epi64(_mm256_mul_epi32(sums, multipliers), halves);
    // An arithmetic shift: of what is lifted above 0 by a multiple of what is shifted out, less the same after it.
    let lift = _mm256_set1_epi64x(i64::MIN);
    let value = _mm256_srlv_epi64(_mm256_xor_si256(product, lift), shifts);
    let value = _mm256_sub_epi64(value, _mm256_srlv_epi64(lift, shifts));
    let (low, high) = (
        _mm256_set1_epi64x(i32::MIN.into()),
        _mm256_set1_epi64x(i32::MAX.into()),
    );
    let value = _mm256_blendv_epi8(value, high, _mm256_cmpgt_epi64(value, high));
    _mm256_blendv_epi8(value, low, _mm256_cmpgt_epi64(low, value))
}

/// Multipliers, halves and shifts of the even and of the odd outputs, of the lower or the upper eight.
#[inline]
#[target_feature(enable = "avx2")]
fn parameters(rows: &Rows, half: usize) -> [[__m256i; 3]; 2] {
    let mut found = [[_mm256_setzero_si256(); 3]; 2];
    for (parity, found) in found.iter_mut().enumerate() {
        let arrays = [&rows.multipliers, &rows.halves, &rows.shifts];
        for (found, array) in found.iter_mut().zip(arrays) {
            let array = array.get(parity);
            if let Some(array) = array.and_then(|array| array.as_chunks::<4>().0.get(half)) {
                *found = load(array);
            }
        }
    }
    found
}

/// Eight or four numbers, or the bytes of half a line.
#[inline]
#[target_feature(enable = "avx2")]
fn load<T: Copy, const N: usize>(from: &[T; N]) -> __m256i {
    const { assert!(size_of::<[T; N]>() == 32) };
    // SAFETY: it is as long as a register.
    unsafe { _mm256_loadu_si256(from.as_ptr().cast()) }
}
