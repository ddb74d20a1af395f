//! Newtypes cannot be called like functions from outside.
use sealnet_core::artefact::Hashed;
use sealnet_core::mlp::{Dense, DenseRef};
use sealnet_core::protocol::{Receipt, SignedReceipt, VerifiedReceipt};
use sealnet_core::sign::Message;

fn receipt(receipt: Receipt) -> VerifiedReceipt {
    VerifiedReceipt(receipt) //~ E0423
}

fn signed() -> SignedReceipt {
    SignedReceipt([0; 320]) //~ E0423
}

fn hashed(message: Message) -> Hashed {
    Hashed(message) //~ E0423
}

fn dense(layer: DenseRef<'_>) -> Dense<'_, 4, 3> {
    Dense(layer) //~ E0423
}

fn main() {}
