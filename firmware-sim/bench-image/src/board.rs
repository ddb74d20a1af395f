//! What lies where on the board: memory, timer and UART of Arm's MPS2 with a Cortex-M3 or M4 (AN385, AN386).

use core::cell::UnsafeCell;
use core::sync::atomic::{AtomicBool, Ordering};
use core::{ptr, slice};

use sealnet_firmware::layout::MODEL_RAM_LEN;

use crate::uart::{Interrupt, Uart};

/// What there is once.
pub(crate) struct Board {
    pub(crate) port: Uart,
    pub(crate) timer: Timer,
    /// For a model that is decrypted.
    pub(crate) ram: &'static mut [u8],
}

#[repr(align(16))] // as a body's arrays are
struct Ram(UnsafeCell<[u8; MODEL_RAM_LEN]>);

// SAFETY: lent once, by `take`.
unsafe impl Sync for Ram {}

static RAM: Ram = Ram(UnsafeCell::new([0; MODEL_RAM_LEN]));
static TAKEN: AtomicBool = AtomicBool::new(false);

/// The board, the first time.
pub(crate) fn take() -> Option<Board> {
    // One core and no interrupts: load and store suffice.
    if TAKEN.load(Ordering::Relaxed) {
        return None;
    }
    TAKEN.store(true, Ordering::Relaxed);
    // SAFETY: the board has this UART, and the RAM is lent once.
    unsafe {
        Some(Board {
            port: Uart::new(UART0, Some(UART0_RECEIVE)),
            timer: Timer::start(),
            ram: &mut *RAM.0.get(),
        })
    }
}

/// The first timer of Arm's Cortex-M System Design Kit (CMSDK TRM, chapter "APB timer"). It counts down, 25 million ticks a
/// second, from all ones.
pub(crate) struct Timer(());

impl Timer {
    fn start() -> Self {
        for (register, value) in [(RELOAD, u32::MAX), (VALUE, u32::MAX), (CTRL, ENABLE)] {
            // SAFETY: the board has this timer.
            unsafe {
                ptr::write_volatile(ptr::with_exposed_provenance_mut(TIMER0 + register), value)
            }
        }
        Self(())
    }

    #[inline(always)]
    pub(crate) fn value(&self) -> u32 {
        // SAFETY: as above.
        unsafe { ptr::read_volatile(ptr::with_exposed_provenance(TIMER0 + VALUE)) }
    }
}

/// The word at an offset in the memory; 0 beyond it.
pub(crate) fn word(at: usize) -> u32 {
    if at > MEMORY_LEN - 4 {
        return 0;
    }
    // SAFETY: the memory is there, and whoever runs the board writes to it too.
    unsafe { ptr::read_volatile(ptr::with_exposed_provenance(MEMORY + at)) }
}

/// Writes the word at an offset in the memory; not beyond it.
pub(crate) fn set_word(at: usize, value: u32) {
    if at > MEMORY_LEN - 4 {
        return;
    }
    // SAFETY: as above. Where results lie, nothing else does.
    unsafe { ptr::write_volatile(ptr::with_exposed_provenance_mut(MEMORY + at), value) }
}

/// Writes the byte at an offset in the memory; not beyond it.
#[cfg(feature = "layers")]
pub(crate) fn set_byte(at: usize, value: u8) {
    if at >= MEMORY_LEN {
        return;
    }
    // SAFETY: as above.
    unsafe { ptr::write_volatile(ptr::with_exposed_provenance_mut(MEMORY + at), value) }
}

/// Bytes at an offset in the memory, `len` of which there are.
pub(crate) fn bytes(at: usize, len: usize) -> &'static [u8] {
    assert!(at <= MEMORY_LEN && len <= MEMORY_LEN - at);
    // SAFETY: they are there. Whoever runs the board changes no models and keys, and no images while they are run.
    unsafe { slice::from_raw_parts(ptr::with_exposed_provenance(MEMORY + at), len) }
}

/// Bytes of the memory.
pub(crate) const MEMORY_LEN: usize = 16 << 20;

/// What the board has of memory beside that for code and data.
const MEMORY: usize = 0x2100_0000;
const UART0: usize = 0x4000_4000;
const UART0_RECEIVE: Interrupt = Interrupt(0);
const TIMER0: usize = 0x4000_0000;
const CTRL: usize = 0x0;
const VALUE: usize = 0x4;
const RELOAD: usize = 0x8;
const ENABLE: u32 = 1;
