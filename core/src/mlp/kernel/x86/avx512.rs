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
    // Of a block of records, then of the others.
    macro_rules! blocks {
        ($block:ident, $one:ident, $records:literal) => {
            let (blocks, rest) = records.as_chunks::<$records>();
            for (block, at) in blocks.iter().zip((0..).step_by($records)) {
                let next = records.get(at + $records).copied().unwrap_or_default();
                store(&$block(inputs, tile, block, next), tile, at, first, out);
            }
            for (record, at) in rest.iter().zip($records * blocks.len()..) {
                store(&$one(inputs, tile, &[record], &[]), tile, at, first, out);
            }
        };
    }
    if tile.vectors == WIDEST {
        blocks!(six, one, 6);
    } else {
        blocks!(twelve_narrow, one_narrow, 12);
    }
}

/// Makes a function that takes as many records as there are names, of a tile with `$vectors` vectors: biases and products,
/// `[records][vectors]`. What lies from `next` on will be needed.
///
/// The sums of each record have a variable of their own: a compiler that is left to unroll a loop over them may do so too late
/// to keep them in registers, and then they take twice as long.
macro_rules! dense {
    ($name:ident, $vectors:expr, $($sums:ident $record:ident),+) => {
        #[inline]
        #[target_feature(enable = "avx512f,avx512vnni,popcnt")]
        fn $name(
            inputs: usize,
            tile: &Tile,
            records: &[&[u8]; [$(stringify!($record)),+].len()],
            next: &[u8],
        ) -> [[__m512i; $vectors]; [$(stringify!($record)),+].len()] {
            let [$($record),+] = records;
            // All have as many; whatever they have, nothing beyond is read.
            let whole = inputs$(.min($record.len()))+ / GROUP;
            let groups = tile.weights.as_chunks::<{ $vectors }>().0;
            $(let mut $sums = biases(tile);)+
            for (lines, at) in groups.iter().take(whole).zip((0..).step_by(GROUP)) {
                // Records mostly lie side by side.
                soon(next, records.len() * at);
                let weights = weights(lines);
                $(
                    // SAFETY: each record has at least `whole` groups.
                    let group = unsafe { $record.as_ptr().add(at).cast::<i32>().read_unaligned() };
                    $sums = add($sums, &weights, group);
                )+
            }
            if let Some(lines) = groups.get(whole) {
                let weights = weights(lines);
                $(
                    let group = last_group($record.get(GROUP * whole..inputs));
                    $sums = add($sums, &weights, group);
                )+
            }
            [$($sums),+]
        }
    };
}

// As many sums as there are registers for, beside a vector of weights or a few.
dense!(six, WIDEST, s0 r0, s1 r1, s2 r2, s3 r3, s4 r4, s5 r5);
dense!(one, WIDEST, s0 r0);
dense!(twelve_narrow, 1, s0 r0, s1 r1, s2 r2, s3 r3, s4 r4, s5 r5, s6 r6, s7 r7, s8 r8, s9 r9, s10 r10, s11 r11);
dense!(one_narrow, 1, s0 r0);

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
            // Two sums of each output, in turn: an addition to one need not wait for the one before.
            let mut sums = biases(tile);
            let mut others = [_mm512_setzero_si512(); WIDEST];
            let (groups, rest) = record.as_chunks::<GROUP>();
            let numbers = list.numbers.get(..list.length).unwrap_or_default();
            let (pairs, last) = numbers.as_chunks::<2>();
            for [one, other] in pairs {
                sums = add_group(sums, lines, groups, *one);
                others = add_group(others, lines, groups, *other);
            }
            for one in last {
                sums = add_group(sums, lines, groups, *one);
            }
            if let (Some(lines), [_, ..]) = (lines.get(groups.len()), rest) {
                others = add(others, &weights(lines), last_group(Some(rest)));
            }
            for ((out, sum), other) in out.iter_mut().zip(sums).zip(others) {
                *out = _mm512_add_epi32(sum, other);
            }
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
                Some(groups) => load::<u8, 64>(groups),
                None => whole_groups(groups),
            };
            let taken = _mm512_test_epi32_mask(taken, taken);
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

/// Adds the products of a group of a record, by its number.
#[inline]
#[target_feature(enable = "avx512f,avx512vnni,popcnt")]
fn add_group<const V: usize>(
    sums: [__m512i; V],
    lines: &[[Line; V]],
    groups: &[[u8; GROUP]],
    number: u32,
) -> [__m512i; V] {
    let number = number as usize;
    match (lines.get(number), groups.get(number)) {
        (Some(lines), Some(group)) => add(sums, &weights(lines), i32::from_le_bytes(*group)),
        _ => sums,
    }
}

/// Adds the products of a group.
#[inline]
#[target_feature(enable = "avx512f,avx512vnni,popcnt")]
fn add<const V: usize>(mut sums: [__m512i; V], weights: &[__m512i; V], group: i32) -> [__m512i; V] {
    let inputs = _mm512_set1_epi32(group);
    for (sum, weights) in sums.iter_mut().zip(weights) {
        *sum = _mm512_dpbusd_epi32(*sum, inputs, *weights);
    }
    sums
}

#[inline]
#[target_feature(enable = "avx512f")]
fn weights<const V: usize>(lines: &[Line; V]) -> [__m512i; V] {
    let mut weights = [_mm512_setzero_si512(); V];
    for (weights, line) in weights.iter_mut().zip(lines) {
        *weights = load(&line.0);
    }
    weights
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
        let [multipliers, halves, shifts] = odd;
        let shifts = _mm512_sub_epi64(shifts, _mm512_set1_epi64(32));
        let upper = [multipliers, halves, shifts];
        let first = first + vector * LANES;
        for (sums, record) in sums.iter().zip(at..) {
            let Some(sum) = sums.get(vector) else { break };
            if O::HIDDEN {
                let bytes = match tile.quick {
                    true => quick_activations(*sum, even, upper),
                    false => _mm512_cvtepi32_epi8(activations(*sum, even, odd)),
                };
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

/// [`activations`], as bytes, where all shifts are above 32: those of the odd outputs are 32 less here, which leaves their
/// results where they belong.
#[inline]
#[target_feature(enable = "avx512f,avx512vnni,popcnt")]
fn quick_activations(sums: __m512i, even: [__m512i; 3], odd: [__m512i; 3]) -> __m128i {
    let sums = _mm512_max_epi32(sums, _mm512_setzero_si512());
    let upper = _mm512_srli_epi64::<32>(sums);
    let [even, odd] = [(sums, even), (upper, odd)].map(|(sums, [multipliers, halves, shifts])| {
        let product = _mm512_add_epi64(_mm512_mul_epu32(sums, multipliers), halves);
        _mm512_srlv_epi64(product, shifts)
    });
    _mm512_cvtusepi32_epi8(_mm512_mask_blend_epi32(0xAAAA, even, odd))
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

/// The whole groups among less than 64 bytes, and zeros.
#[inline]
#[target_feature(enable = "avx512f")]
fn whole_groups(bytes: &[u8]) -> __m512i {
    let groups = bytes.as_chunks::<GROUP>().0;
    let mask = (1_u32 << groups.len().min(LANES)).wrapping_sub(1) as __mmask16;
    // SAFETY: no more are read than there are.
    unsafe { _mm512_maskz_loadu_epi32(mask, groups.as_ptr().cast()) }
}

/// Sixteen or eight numbers, or the bytes of a line.
#[inline]
#[target_feature(enable = "avx512f")]
fn load<T: Copy, const N: usize>(from: &[T; N]) -> __m512i {
    const { assert!(size_of::<[T; N]>() == 64) };
    // SAFETY: it is as long as a register.
    unsafe { _mm512_loadu_si512(from.as_ptr().cast()) }
}
