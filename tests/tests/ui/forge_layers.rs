//! A layer is made by the check of its weights, and a factor by the check of its range.
use sealnet_core::mlp::DenseRef;
use sealnet_core::quant::Requant;

fn layer<'w>(weights: &'w [[u8; 4]], another: DenseRef<'w>) -> DenseRef<'w> {
    DenseRef { inputs: 1, outputs: 1, weights, ..another } //~ E0451
}

fn factor() -> Requant {
    Requant { multiplier: -1, shift: 99 } //~ E0451
}

fn main() {}
