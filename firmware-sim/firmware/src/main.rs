//! The device of `sealnet-firmware` on a Cortex-M board.
#![no_std]
#![no_main]

mod board;
mod flash;
mod log;
mod memory;
mod panic;
mod uart;

use cortex_m_rt::entry;
use sealnet_firmware::device::{Device, Served};
use sealnet_firmware::env::DefmtLog;

#[entry]
fn main() -> ! {
    let Some(board) = board::take(DefmtLog) else {
        loop {
            cortex_m::asm::wfi();
        }
    };
    let mut device = Device::boot(board);
    loop {
        // To try a new model, the board resets; the wire never closes.
        if let Ok(Served::Reset) = device.run() {
            cortex_m::peripheral::SCB::sys_reset();
        }
    }
}
