//! A sealed request, from its first byte to the last one of its answer.

use super::{BudgetError, TIMEOUT};
use crate::client::Client;
use crate::qemu::{Image, Woken};
use crate::sample;

/// Instructions for one: receiving it a byte at a time, opening, inference, receipt, sealing and sending, the log
/// of it too.
pub(super) fn instructions(image: &Image, flash: &[u8], waits: &[u32]) -> Result<u64, BudgetError> {
    let mut board = Woken::power_on(image, flash, waits, TIMEOUT)?;
    let mut client = Client::new(&sample::identity()?);
    // The first one is not what the others are: its counter opens a block in flash.
    client.infer(&mut board, &sample::features(0))?;
    let mut fewest = u64::MAX;
    for _ in 0..TRIALS {
        let before = board.instructions()?;
        client.infer(&mut board, &sample::features(1))?;
        fewest = fewest.min(board.instructions()? - before);
    }
    Ok(fewest)
}

/// Where this machine does not take an answer as fast as it comes, the core waits; not each time.
const TRIALS: u32 = 3;
