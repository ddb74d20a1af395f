//! x86-64, many records at once: what the vector kernels share.
//!
//! A layer is packed once, for a kernel, in memory that the host has: sixteen outputs a vector, four inputs a group,
//! zeros up to whole ones. Then blocks of records are taken, so that each vector of weights that is loaded serves
//! several of them. The sums are exact, in 32 bits, as the proof of the layer allows in any order; and so is what becomes
//! of them, in 64 bits: see [`quant`](crate::quant). No instruction that saturates is used on the way.
//!
//! Of the dense kernel neither addresses nor the number of instructions depend on an input or on a weight. The other one
//! leaves out groups of inputs that are all zero: what it executes tells which those are.
#![allow(unsafe_code)] // calls of what only some machines have

mod avx2;
mod avx512;

use std::vec;
use std::vec::Vec;

use zeroize::{Zeroize, Zeroizing};

use super::super::{DenseRef, HostKernel, Kernel};

/// Outputs a vector.
const LANES: usize = 16;
/// Inputs a group.
const GROUP: usize = 4;
/// Inputs that are looked through at once for those that are not zero.
const PART: usize = 64 * GROUP;
/// Most vectors a tile.
const WIDEST: usize = 4;

/// A layer as a kernel takes it.
pub(in super::super) struct Packed {
    kernel: Vectors,
    inputs: usize,
    outputs: usize,
    tiles: Vec<Tile>,
}

/// Which kernel, on a machine that has it.
#[derive(Clone, Copy)]
enum Vectors {
    Avx2,
    Avx512Vnni,
}

/// Some vectors of outputs.
struct Tile {
    /// How many.
    vectors: usize,
    /// Whether all shifts are above 32.
    quick: bool,
    /// `[groups][vectors]`, each of what a kernel takes for a group and a vector.
    weights: Zeroizing<Vec<Line>>,
    /// For each vector.
    rows: Zeroizing<Vec<Rows>>,
}

/// As much as a register holds, aligned so that no load takes two lines of the cache.
#[derive(Clone, Copy)]
#[repr(C, align(64))]
struct Line([u8; 64]);

/// What belongs to the outputs of a vector beside their weights; zeros for those that there are not. Where an array is for
/// even and for odd outputs, it is because a multiplication to 64 bits takes every other one.
#[derive(Clone, Copy, Default)]
#[repr(C, align(64))]
struct Rows {
    biases: [i32; LANES],
    multipliers: [[u64; LANES / 2]; 2],
    /// What rounds: half of what is shifted out.
    halves: [[u64; LANES / 2]; 2],
    shifts: [[u64; LANES / 2]; 2],
}

impl Zeroize for Line {
    fn zeroize(&mut self) {
        self.0.zeroize();
    }
}

impl Zeroize for Rows {
    fn zeroize(&mut self) {
        self.biases.zeroize();
        self.multipliers.zeroize();
        self.halves.zeroize();
        self.shifts.zeroize();
    }
}

/// Whether this machine has what the kernel needs.
pub(in super::super) fn has(kernel: HostKernel) -> bool {
    match kernel {
        HostKernel::Portable => true,
        HostKernel::Avx2 => std::is_x86_feature_detected!("avx2"),
        HostKernel::Avx512Vnni => {
            std::is_x86_feature_detected!("avx512f")
                && std::is_x86_feature_detected!("avx512vnni")
                && std::is_x86_feature_detected!("popcnt")
        }
    }
}

impl Packed {
    /// Whether it has outputs for which zeros can be left out.
    pub(in super::super) fn can_skip(&self) -> bool {
        self.tiles.iter().any(|tile| tile.vectors == WIDEST)
    }

    /// Packs a layer for a kernel; `None` for the portable one, and where the machine does not have it.
    pub(in super::super) fn new(layer: &DenseRef<'_>, kernel: HostKernel) -> Option<Self> {
        let vectors = match kernel {
            _ if !has(kernel) => return None,
            HostKernel::Portable => return None,
            HostKernel::Avx2 => Vectors::Avx2,
            HostKernel::Avx512Vnni => Vectors::Avx512Vnni,
        };
        let (inputs, outputs) = (layer.inputs(), layer.outputs());
        let mut weights = Zeroizing::new(vec![0; inputs.checked_mul(outputs)?]);
        let packed = layer.bytes().weights;
        let weight_type = layer.weight_type();
        weight_type.unpack(inputs, outputs, packed, &mut weights)?;
        let weight = |output: usize, input: usize| {
            let within = output < outputs && input < inputs;
            let weight = weights.get(output * inputs + input).filter(|_| within);
            weight.copied().unwrap_or_default() as i8
        };
        let mut tiles = Vec::new();
        let mut first = 0;
        while first < outputs {
            let left = (outputs - first).div_ceil(LANES);
            let width = if left < WIDEST { 1 } else { WIDEST };
            let outputs = (0..width).map(|vector| first + vector * LANES);
            let mut lines = Vec::with_capacity(width * inputs.div_ceil(GROUP));
            for input in (0..inputs).step_by(GROUP) {
                for output in outputs.clone() {
                    let weight = |lane, at| weight(output + lane, input + at);
                    match vectors {
                        Vectors::Avx2 => lines.push(avx2::line(weight)),
                        Vectors::Avx512Vnni => lines.push(avx512::line(weight)),
                    }
                }
            }
            tiles.push(Tile {
                vectors: width,
                quick: layer.facts().quick,
                weights: Zeroizing::new(lines),
                rows: Zeroizing::new(outputs.map(|first| Rows::of(layer, first)).collect()),
            });
            first += width * LANES;
        }
        Some(Self {
            kernel: vectors,
            inputs,
            outputs,
            tiles,
        })
    }

    /// Bytes between the activations of two records in [`hidden`](Self::hidden)'s output.
    pub(in super::super) fn stride(&self) -> usize {
        self.outputs.next_multiple_of(LANES)
    }

    /// The activations of a hidden layer, `[inputs.len()][stride]`; those beside the layer's outputs are 0. Each input has
    /// at least as many bytes as the layer has inputs, `out` the room.
    pub(in super::super) fn hidden(&self, kernel: Kernel, inputs: &[&[u8]], out: &mut [u8]) {
        self.run(kernel, inputs, &mut Bytes(out, self.stride()));
    }

    /// The logits of an output layer, `[inputs.len()][outputs]`. Lengths as above.
    pub(in super::super) fn output(&self, kernel: Kernel, inputs: &[&[u8]], out: &mut [i32]) {
        self.run(kernel, inputs, &mut Logits(out, self.outputs));
    }

    fn run(&self, kernel: Kernel, inputs: &[&[u8]], out: &mut impl Out) {
        let skip = kernel == Kernel::Skip;
        let mut first = 0;
        for tile in &self.tiles {
            // SAFETY: a layer is packed for a kernel only where the machine has it.
            unsafe {
                match self.kernel {
                    Vectors::Avx2 => avx2::tile(self.inputs, tile, inputs, first, skip, out),
                    Vectors::Avx512Vnni => {
                        avx512::tile(self.inputs, tile, inputs, first, skip, out);
                    }
                }
            }
            first += tile.vectors * LANES;
        }
    }
}

impl Rows {
    /// Of the outputs from `first` on.
    fn of(layer: &DenseRef<'_>, first: usize) -> Self {
        let mut rows = Self::default();
        let [multipliers, halves, shifts] =
            [&mut rows.multipliers, &mut rows.halves, &mut rows.shifts];
        for (lane, bias) in rows.biases.iter_mut().enumerate() {
            let Some(row) = layer.row(first + lane) else {
                break;
            };
            *bias = row.bias;
            let shift = row.requant.shift();
            for (array, value) in [
                (
                    &mut *multipliers,
                    u64::from(row.requant.multiplier().unsigned_abs()),
                ),
                (&mut *halves, 1 << (shift - 1)),
                (&mut *shifts, u64::from(shift)),
            ] {
                let place = array
                    .get_mut(lane % 2)
                    .and_then(|array| array.get_mut(lane / 2));
                if let Some(place) = place {
                    *place = value;
                }
            }
        }
        rows
    }
}

/// Where a layer's outputs go.
trait Out {
    /// Whether they are activations, else logits.
    const HIDDEN: bool;
    /// Room for the activations of a vector: those of the record from output `first` on.
    fn activations(&mut self, record: usize, first: usize) -> Option<&mut [u8; LANES]>;
    /// Room for the logits of a vector, as many as there are.
    fn logits(&mut self, record: usize, first: usize) -> &mut [i32];
}

/// Activations, and how many of them a record has.
struct Bytes<'o>(&'o mut [u8], usize);

impl Out for Bytes<'_> {
    const HIDDEN: bool = true;

    #[inline(always)]
    fn activations(&mut self, record: usize, first: usize) -> Option<&mut [u8; LANES]> {
        self.0.get_mut(record * self.1 + first..)?.first_chunk_mut()
    }

    #[inline(always)]
    fn logits(&mut self, _: usize, _: usize) -> &mut [i32] {
        &mut []
    }
}

/// Logits, and how many of them a record has.
struct Logits<'o>(&'o mut [i32], usize);

impl Out for Logits<'_> {
    const HIDDEN: bool = false;

    #[inline(always)]
    fn activations(&mut self, _: usize, _: usize) -> Option<&mut [u8; LANES]> {
        None
    }

    #[inline(always)]
    fn logits(&mut self, record: usize, first: usize) -> &mut [i32] {
        let last = self.1.min(first + LANES);
        let range = record * self.1 + first..record * self.1 + last;
        self.0.get_mut(range).unwrap_or_default()
    }
}

/// Inputs of a record, with zeros up to a whole part, in `room` if need be.
#[inline(always)]
fn whole_part<'a>(part: &'a [u8], room: &'a mut [u8; PART]) -> &'a [u8; PART] {
    if let Ok(whole) = part.try_into() {
        return whole;
    }
    for (room, input) in room.iter_mut().zip(part) {
        *room = *input;
    }
    room
}

/// A group of inputs that need not be whole, and zeros.
#[inline(always)]
fn last_group(inputs: Option<&[u8]>) -> i32 {
    let mut group = [0; GROUP];
    for (byte, input) in group.iter_mut().zip(inputs.unwrap_or_default()) {
        *byte = *input;
    }
    i32::from_le_bytes(group)
}
