//! Widths that are known at compile time join only if they fit, and are not given away unchecked.
use sealnet_core::mlp::{Dense, DenseRef, Mlp};

fn widths(layer: DenseRef<'_>) -> Dense<'_, 4, 3> {
    layer.into() //~ E0277
}

fn join<'w>(a: Dense<'w, 4, 3>, b: Dense<'w, 2, 2>, c: Dense<'w, 2, 1>) -> Mlp<'w, 4, 3, 2, 1> {
    Mlp::new(a, b, c) //~ E0308
}

fn main() {}
