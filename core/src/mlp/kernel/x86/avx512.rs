//! AVX-512 with VNNI: `vpdpbusd` adds 64 products, four to each of sixteen sums, without saturation.
#![allow(unsafe_code)] // loads and stores

use core::arch::x86_64::*;
use core::iter;
use std::vec;
use std::vec::Vec;

use zeroize::Zeroizing;

use super::{GROUP, LANES, Line, Out, Rows, Tile, WIDEST, last_group};

/// The weights of a group for a vector of outputs, output by output.
pub(super) fn line(weight: impl Fn(usize, usize) -> i8) -> Line {
    let mut line = Line([0; 64]);
    for (at, byte) in line.0.iter_mut().enumerate() {
        *byte = weight(at / GROUP, at % GROUP) as u8;
    }
    line
}

/// The outputs of a tile, the first of which is `first`, for each record.
#[target_feature(enable = "avx512f,avx512vnni,popcnt")]
pub(super) fn tile(
    inputs: usize,
    tile: &Tile,
    records: &[&[u8]],
    first: usize,
    skip: bool,
    out: &mut impl Out,
) {
    if skip && tile.vectors == WIDEST {
        skipping(tile, records, first, out);
        return;
    }
    // As many sums as there are registers for, beside a vector of weights or a few.
    if tile.vectors == WIDEST {
        blocks::<WIDEST, 6, _>(inputs, tile, records, first, out);
    } else {
        blocks::<1, 12, _>(inputs, tile, records, first, out);
    }
}

#[target_feature(enable = "avx512f,avx512vnni,popcnt")]
fn blocks<const V: usize, const R: usize, O: Out>(
    inputs: usize,
    tile: &Tile,
    records: &[&[u8]],
    first: usize,
    out: &mut O,
) {
    let (blocks, rest) = records.as_chunks::<R>();
    let mut sums = [[_mm512_setzero_si512(); V]; R];
    for (block, at) in blocks.iter().zip((0..).step_by(R)) {
        let next = records.get(at + R).copied().unwrap_or_default();
        dense(inputs, tile, block, next, &mut sums);
        store(&sums, tile, at, first, out);
    }
    let mut sums = [[_mm512_setzero_si512(); V]];
    for (record, at) in rest.iter().zip(R * blocks.len()..) {
        dense(inputs, tile, &[*record], &[], &mut sums);
        store(&sums, tile, at, first, out);
    }
}

/// Biases and products, `[records][vectors]`. What lies from `next` on will be needed.
#[inline]
#[target_feature(enable = "avx512f,avx512vnni,popcnt")]
fn dense<const V: usize, const R: usize>(
    inputs: usize,
    tile: &Tile,
    records: &[&[u8]; R],
    next: &[u8],
    out: &mut [[__m512i; V]; R],
) {
    let mut sums = [biases(tile); R];
    // All have as many; whatever they have, nothing beyond is read.
    let whole = records.iter().map(|record| record.len()).min();
    let whole = whole.unwrap_or_default().min(inputs) / GROUP;
    let groups = tile.weights.as_chunks::<V>().0;
    for (lines, at) in groups.iter().take(whole).zip((0..).step_by(GROUP)) {
        // Records mostly lie side by side.
        soon(next, R * at);
        // SAFETY: each record has at least `whole` groups.
        add(&mut sums, lines, |record| unsafe {
            let group = records.get_unchecked(record).as_ptr().add(at);
            group.cast::<i32>().read_unaligned()
        });
    }
    if let Some(lines) = groups.get(whole) {
        add(&mut sums, lines, |at| {
            let record = records.get(at);
            last_group(record.and_then(|record| record.get(GROUP * whole..inputs)))
        });
    }
    *out = sums;
}

/// Without groups of inputs that are all zero.
#[target_feature(enable = "avx512f,avx512vnni,popcnt")]
fn skipping(tile: &Tile, records: &[&[u8]], first: usize, out: &mut impl Out) {
    let lines = tile.weights.as_chunks::<WIDEST>().0;
    // What is left is listed before any of it is taken, so that the processor guesses wrong but once a record; and for some
    // records at once, so that what is read is not still being written.
    let mut lists = vec![List::new(lines.len()); LISTED];
    let mut all_sums = [[_mm512_setzero_si512(); WIDEST]; LISTED];
    for (some, at) in records.chunks(LISTED).zip((0..).step_by(LISTED)) {
        let next = records.iter().skip(at + LISTED).copied();
        let next = next.chain(iter::repeat(&[][..]));
        for ((record, next), list) in some.iter().zip(next).zip(&mut lists) {
            list.fill(record, next);
        }
        for ((record, list), out) in some.iter().zip(&lists).zip(&mut all_sums) {
            let mut sums = [biases(tile)];
            let (groups, rest) = record.as_chunks::<GROUP>();
            for number in list.numbers.iter().take(list.length) {
                let number = *number as usize;
                let (Some(lines), Some(group)) = (lines.get(number), groups.get(number)) else {
                    break;
                };
                add(&mut sums, lines, |_| i32::from_le_bytes(*group));
            }
            if let (Some(lines), [_, ..]) = (lines.get(groups.len()), rest) {
                add(&mut sums, lines, |_| last_group(Some(rest)));
            }
            [*out] = sums;
        }
        store(
            all_sums.get(..some.len()).unwrap_or_default(),
            tile,
            at,
            first,
            out,
        );
    }
}

/// Records of which it is listed at once what is left.
const LISTED: usize = 8;

/// The numbers of a record's whole groups that are not zero.
#[derive(Clone)]
struct List {
    /// With room for a register more.
    numbers: Zeroizing<Vec<u32>>,
    length: usize,
}

impl List {
    /// Of no more than so many groups.
    fn new(groups: usize) -> Self {
        Self {
            numbers: Zeroizing::new(vec![0; groups + LANES]),
            length: 0,
        }
    }

    #[inline]
    #[target_feature(enable = "avx512f,popcnt")]
    fn fill(&mut self, record: &[u8], next: &[u8]) {
        self.length = 0;
        let mut numbers = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
        for (groups, at) in record.chunks(64).zip((0..).step_by(64)) {
            soon(next, at);
            let taken = match groups.first_chunk() {
                Some(groups) => _mm512_test_epi32_mask(load::<u8, 64>(groups), load(groups)),
                None => {
                    let groups = groups.as_chunks::<GROUP>().0.iter().zip(0..);
                    groups.fold(0, |taken, (group, at)| {
                        taken | u16::from(*group != [0; 4]) << at
                    })
                }
            };
            let room = self.numbers.get_mut(self.length..);
            let Some(room) = room.and_then(|room| room.first_chunk_mut::<LANES>()) else {
                break;
            };
            let found = _mm512_maskz_compress_epi32(taken, numbers);
            // SAFETY: it is as long as a register.
            unsafe { _mm512_storeu_si512(room.as_mut_ptr().cast(), found) };
            self.length += taken.count_ones() as usize;
            numbers = _mm512_add_epi32(numbers, _mm512_set1_epi32(LANES as i32));
        }
    }
}

#[inline]
#[target_feature(enable = "avx512f")]
fn biases<const V: usize>(tile: &Tile) -> [__m512i; V] {
    let mut biases = [_mm512_setzero_si512(); V];
    for (biases, rows) in biases.iter_mut().zip(tile.rows.iter()) {
        *biases = load(&rows.biases);
    }
    biases
}

/// Adds the products of a group.
#[inline]
#[target_feature(enable = "avx512f,avx512vnni,popcnt")]
fn add<const V: usize, const R: usize>(
    sums: &mut [[__m512i; V]; R],
    lines: &[Line; V],
    group: impl Fn(usize) -> i32,
) {
    let mut weights = [_mm512_setzero_si512(); V];
    for (weights, line) in weights.iter_mut().zip(lines) {
        *weights = load(&line.0);
    }
    for (sums, at) in sums.iter_mut().zip(0..) {
        let inputs = _mm512_set1_epi32(group(at));
        for (sum, weights) in sums.iter_mut().zip(weights) {
            *sum = _mm512_dpbusd_epi32(*sum, inputs, weights);
        }
    }
}

/// Takes sums to activations or logits, and those to where they belong.
#[inline]
#[target_feature(enable = "avx512f,avx512vnni,popcnt")]
fn store<const V: usize, O: Out>(
    sums: &[[__m512i; V]],
    tile: &Tile,
    at: usize,
    first: usize,
    out: &mut O,
) {
    for (vector, rows) in tile.rows.iter().enumerate().take(V) {
        let (even, odd) = (parameters(rows, 0), parameters(rows, 1));
        let first = first + vector * LANES;
        for (sums, record) in sums.iter().zip(at..) {
            let Some(sum) = sums.get(vector) else { break };
            if O::HIDDEN {
                let bytes = _mm512_cvtepi32_epi8(activations(*sum, even, odd));
                if let Some(room) = out.activations(record, first) {
                    // SAFETY: it is as long.
                    unsafe { _mm_storeu_si128(room.as_mut_ptr().cast(), bytes) };
                }
            } else {
                let room = out.logits(record, first);
                let mask = (1_u32 << room.len().min(LANES)).wrapping_sub(1) as __mmask16;
                let logits = logits(*sum, even, odd);
                // SAFETY: no more are written than there is room for.
                unsafe { _mm512_mask_storeu_epi32(room.as_mut_ptr(), mask, logits) };
            }
        }
    }
}

/// [`Requant::to_u8`](crate::quant::Requant::to_u8) of each.
#[inline]
#[target_feature(enable = "avx512f,avx512vnni,popcnt")]
fn activations(sums: __m512i, even: [__m512i; 3], odd: [__m512i; 3]) -> __m512i {
    // What is below 0 becomes 0, as 0 does; from here on nothing has a sign.
    let sums = _mm512_max_epi32(sums, _mm512_setzero_si512());
    let upper = _mm512_srli_epi64::<32>(sums);
    let [even, odd] = [(sums, even), (upper, odd)].map(|(sums, [multipliers, halves, shifts])| {
        let product = _mm512_add_epi64(_mm512_mul_epu32(sums, multipliers), halves);
        _mm512_min_epu64(_mm512_srav_epi64(product, shifts), _mm512_set1_epi64(255))
    });
    _mm512_or_si512(even, _mm512_slli_epi64::<32>(odd))
}

/// [`Requant::to_i32`](crate::quant::Requant::to_i32) of each.
#[inline]
#[target_feature(enable = "avx512f,avx512vnni,popcnt")]
fn logits(sums: __m512i, even: [__m512i; 3], odd: [__m512i; 3]) -> __m512i {
    let upper = _mm512_srli_epi64::<32>(sums);
    let [even, odd] = [(sums, even), (upper, odd)].map(|(sums, [multipliers, halves, shifts])| {
        let product = _mm512_add_epi64(_mm512_mul_epi32(sums, multipliers), halves);
        let value = _mm512_srav_epi64(product, shifts);
        let value = _mm512_max_epi64(value, _mm512_set1_epi64(i32::MIN.into()));
        _mm512_min_epi64(value, _mm512_set1_epi64(i32::MAX.into()))
    });
    _mm512_mask_blend_epi32(0xAAAA, even, _mm512_slli_epi64::<32>(odd))
}

/// Multipliers, halves and shifts of the even or the odd outputs.
#[inline]
#[target_feature(enable = "avx512f,avx512vnni,popcnt")]
fn parameters(rows: &Rows, half: usize) -> [__m512i; 3] {
    let mut found = [_mm512_setzero_si512(); 3];
    for (found, array) in found
        .iter_mut()
        .zip([&rows.multipliers, &rows.halves, &rows.shifts])
    {
        if let Some(array) = array.get(half) {
            *found = load(array);
        }
    }
    found
}

/// What lies so far behind the beginning of a record will be needed.
#[inline]
#[target_feature(enable = "avx512f")]
fn soon(record: &[u8], at: usize) {
    // Safe, but not as long as compilers have had it.
    #[allow(unused_unsafe)]
    // SAFETY: a hint, wherever it points.
    unsafe {
        _mm_prefetch::<_MM_HINT_T1>(record.as_ptr().wrapping_add(at).cast());
    }
}

/// Sixteen or eight numbers, or the bytes of a line.
#[inline]
#[target_feature(enable = "avx512f")]
fn load<T: Copy, const N: usize>(from: &[T; N]) -> __m512i {
    const { assert!(size_of::<[T; N]>() == 64) };
    // SAFETY: it is as long as a register.
    unsafe { _mm512_loadu_si512(from.as_ptr().cast()) }
}
