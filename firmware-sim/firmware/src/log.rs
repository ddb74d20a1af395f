//! `defmt` frames on the second UART, in defmt's rzCOBS encoding.

use core::cell::UnsafeCell;

use critical_section::RestoreState;
use defmt::Encoder;

use crate::board;
use crate::uart::Uart;

struct State {
    encoder: Encoder,
    uart: Option<Uart>,
    restore: RestoreState,
}

struct Shared(UnsafeCell<State>);

// SAFETY: one core, and `acquire` to `release` is a critical section.
unsafe impl Sync for Shared {}

static STATE: Shared = Shared(UnsafeCell::new(State {
    encoder: Encoder::new(),
    uart: None,
    restore: RestoreState::invalid(),
}));

#[defmt::global_logger]
struct Logger;

impl State {
    /// # Safety
    /// Only between `acquire` and `release`.
    unsafe fn with(work: impl FnOnce(&mut Encoder, &mut dyn FnMut(&[u8]))) {
        // SAFETY: the caller's.
        let State { encoder, uart, .. } = unsafe { &mut *STATE.0.get() };
        let uart = uart.get_or_insert_with(board::log_uart);
        work(encoder, &mut |bytes| {
            bytes.iter().for_each(|byte| uart.send(*byte))
        });
    }
}

// SAFETY: a critical section lasts from `acquire` to `release`; nothing here logs.
unsafe impl defmt::Logger for Logger {
    fn acquire() {
        // SAFETY: released in `release`.
        let restore = unsafe { critical_section::acquire() };
        // SAFETY: inside the critical section.
        unsafe {
            (*STATE.0.get()).restore = restore;
            State::with(|encoder, write| encoder.start_frame(write));
        }
    }

    unsafe fn flush() {}

    unsafe fn release() {
        // SAFETY: inside the critical section, which ends here.
        unsafe {
            State::with(|encoder, write| encoder.end_frame(write));
            critical_section::release((*STATE.0.get()).restore);
        }
    }

    unsafe fn write(bytes: &[u8]) {
        // SAFETY: defmt calls it between `acquire` and `release`.
        unsafe { State::with(|encoder, write| encoder.write(bytes, write)) }
    }
}
