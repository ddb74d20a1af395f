//! What lies where, on each board.

use core::cell::UnsafeCell;
use core::ptr;
use core::slice;
use core::sync::atomic::{AtomicBool, Ordering};

use sealnet_firmware::env::{self, DefmtLog, Env};
use sealnet_firmware::layout::{
    IDENTITY, JOURNAL, JOURNAL_LEN, PAGE_LEN, SLOT_A, SLOT_B, SLOT_LEN,
};

use crate::flash::Region;
use crate::uart::{Interrupt, Uart};

/// Types of the board.
#[derive(Debug)]
pub(crate) struct Mps2;

impl Env for Mps2 {
    type Slot<'m> = Region;
    type Journal = Region;
    type Port = Uart;
    type Log = DefmtLog;
    #[cfg(feature = "confidential")]
    type Encrypted = env::InRam;
    #[cfg(not(feature = "confidential"))]
    type Encrypted = env::Streamed;
}

#[cfg(not(feature = "mps2-an505"))]
mod at {
    use super::Interrupt;

    pub(super) const UART0: usize = 0x4000_4000;
    pub(super) const UART0_RECEIVE: Interrupt = Interrupt(0);
    pub(super) const UART1: usize = 0x4000_5000;
}
#[cfg(feature = "mps2-an505")]
mod at {
    use super::Interrupt;

    pub(super) const UART0: usize = 0x4020_0000;
    pub(super) const UART0_RECEIVE: Interrupt = Interrupt(32);
    pub(super) const UART1: usize = 0x4020_1000;
}

/// The interrupts' part of the vector table, as far as the one that is enabled and never taken. `cortex-m-rt`
/// would bind all 240 that a core may have.
#[used]
#[unsafe(link_section = ".vector_table.interrupts")]
#[unsafe(no_mangle)]
static __INTERRUPTS: [unsafe extern "C" fn(); at::UART0_RECEIVE.0 as usize + 1] =
    [DefaultHandler; at::UART0_RECEIVE.0 as usize + 1];

unsafe extern "C" {
    /// The runtime's, for what has no handler.
    safe fn DefaultHandler();

    /// Where the flash map of [`layout`](sealnet_firmware::layout) begins; its address is the value.
    static _storage: u8;
}

#[cfg(feature = "confidential")]
const RAM: usize = sealnet_firmware::layout::MODEL_RAM_LEN;
#[cfg(not(feature = "confidential"))]
const RAM: usize = 0;

#[repr(align(16))] // as a body's arrays are
struct ModelRam(UnsafeCell<[u8; RAM]>);

// SAFETY: lent once, by `take`.
unsafe impl Sync for ModelRam {}

static MODEL_RAM: ModelRam = ModelRam(UnsafeCell::new([0; RAM]));
static TAKEN: AtomicBool = AtomicBool::new(false);

/// The board, the first time.
pub(crate) fn take(log: DefmtLog) -> Option<env::Board<'static, Mps2>> {
    // One core and no interrupts: load and store suffice, and every Cortex-M has them.
    if TAKEN.load(Ordering::Relaxed) {
        return None;
    }
    TAKEN.store(true, Ordering::Relaxed);
    let storage = (&raw const _storage).expose_provenance();
    // SAFETY: the linker script keeps the storage clear of code and RAM; the identity is only read, slots and
    // journal lie beside it and belong to their regions, and all are lent once.
    unsafe {
        Some(env::Board {
            slots: [SLOT_A, SLOT_B].map(|slot| Region::new(storage + slot, SLOT_LEN)),
            identity: slice::from_raw_parts(
                ptr::with_exposed_provenance(storage + IDENTITY),
                PAGE_LEN,
            ),
            model_ram: &mut *MODEL_RAM.0.get(),
            journal: Region::new(storage + JOURNAL, JOURNAL_LEN),
            port: Uart::new(at::UART0, Some(at::UART0_RECEIVE)),
            log,
        })
    }
}

/// Where logs go. Called once.
pub(crate) fn log_uart() -> Uart {
    // SAFETY: the board's second UART.
    unsafe { Uart::new(at::UART1, None) }
}
