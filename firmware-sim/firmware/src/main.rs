//! The device of `sealnet-firmware` on a Cortex-M board.
#![no_std]
#![no_main]

mod board;
mod flash;
mod log;
mod panic;
mod uart;

use cortex_m_rt::entry;
use sealnet_firmware::device::Device;
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
        let Ok(_) = device.serve();
    }
}
