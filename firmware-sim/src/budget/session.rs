//! A session that takes every path of the device, for the stack that it needs.

use super::{BudgetError, TIMEOUT};
use crate::client::{Client, ClientError, Link as _};
use crate::qemu::{Image, Machine, Stack};
use crate::sample;

/// Bytes of stack at its highest.
pub(super) fn stack(image: &Image, flash: &[u8], newer: &[u8]) -> Result<u64, BudgetError> {
    let stack = Stack::of(image)?;
    let mut machine = Machine::power_on(image, flash, TIMEOUT, |_| {})?;
    let mut client = Client::new(&sample::identity()?);
    client.status(&mut machine)?;
    for seed in 0..3 {
        client.infer(&mut machine, &sample::features(seed))?;
    }
    // A request that comes again, one that was changed, and what is no frame at all.
    let request = client.seal(&sample::features(3))?;
    client.open(&request, &exchange(&mut machine, &request.frame)?)?;
    let mut changed = request.frame.clone();
    if let Some(byte) = changed.get_mut(100) {
        *byte = byte.wrapping_add(1).max(1);
    }
    for frame in [&request.frame, &changed, &vec![0x55, 0xAA, 0x11, 0]] {
        let answer = exchange(&mut machine, frame)?;
        if client.open(&request, &answer).is_ok() {
            return Err(BudgetError::Took("a frame that it must refuse"));
        }
    }
    // An update that does not verify, which it says after it has checked all of it.
    let mut forged = newer.to_vec();
    if let Some(byte) = forged.get_mut(super::CHANGED) {
        *byte ^= 1;
    }
    if client.update(&mut machine, &forged, |_| {}).is_ok() {
        return Err(BudgetError::Took("a forged update"));
    }
    let before = stack.used(&mut machine)?;
    // The reset after this one paints the stack anew; the boot tries the new model.
    client.update(&mut machine, newer, |_| {})?;
    client.updated(&mut machine, newer)?;
    Ok(before.max(stack.used(&mut machine)?))
}

fn exchange(machine: &mut Machine, frame: &[u8]) -> Result<Vec<u8>, BudgetError> {
    machine
        .exchange(frame)
        .map_err(|error| ClientError::Link(error).into())
}
