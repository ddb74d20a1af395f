//! The UART of Arm's Cortex-M System Design Kit (CMSDK TRM, chapter "APB UART").

use core::convert::Infallible;
use core::ptr;

use cortex_m::interrupt::InterruptNumber;
use cortex_m::peripheral::NVIC;
use embedded_io::{ErrorType, Read, Write};

/// A UART at its base address.
#[derive(Debug)]
pub(crate) struct Uart {
    base: usize,
    /// Its receive interrupt, which wakes the core and is never taken.
    interrupt: Option<Interrupt>,
}

/// A number of the interrupt controller's.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Interrupt(pub(crate) u16);

// SAFETY: the number is a board's, given where the UART is.
unsafe impl InterruptNumber for Interrupt {
    fn number(self) -> u16 {
        self.0
    }
}

impl Uart {
    /// Switches on the UART at `base`.
    ///
    /// # Safety
    /// A CMSDK UART lies at `base`.
    pub(crate) unsafe fn new(base: usize, interrupt: Option<Interrupt>) -> Self {
        let uart = Self { base, interrupt };
        uart.store(BAUDDIV, 16);
        match interrupt {
            None => uart.store(CTRL, TX_ENABLE),
            Some(interrupt) => {
                // Masked as a whole, an enabled interrupt still ends a `wfi`.
                cortex_m::interrupt::disable();
                // SAFETY: it is never taken.
                unsafe { NVIC::unmask(interrupt) };
                uart.store(CTRL, TX_ENABLE | RX_ENABLE | RX_INTERRUPT);
            }
        }
        uart
    }

    /// Sleeps until there may be a byte.
    fn wait(&self) {
        if let Some(interrupt) = self.interrupt {
            self.store(INTERRUPTS, RX_INTERRUPTED);
            NVIC::unpend(interrupt);
            if self.load(STATE) & RX_FULL == 0 {
                cortex_m::asm::wfi();
            }
        }
    }

    /// Sends a byte, waiting for room.
    pub(crate) fn send(&mut self, byte: u8) {
        while self.load(STATE) & TX_FULL != 0 {}
        self.store(DATA, u32::from(byte));
    }

    fn receive(&mut self) -> Option<u8> {
        (self.load(STATE) & RX_FULL != 0).then(|| self.load(DATA) as u8)
    }

    fn load(&self, register: usize) -> u32 {
        // SAFETY: `new`'s caller promised that these registers are here.
        unsafe { ptr::read_volatile(ptr::with_exposed_provenance(self.base + register)) }
    }

    fn store(&self, register: usize, value: u32) {
        // SAFETY: as above.
        unsafe {
            ptr::write_volatile(
                ptr::with_exposed_provenance_mut(self.base + register),
                value,
            )
        }
    }
}

impl ErrorType for Uart {
    type Error = Infallible;
}

impl Read for Uart {
    /// Waits for a byte, then takes what there is.
    fn read(&mut self, buf: &mut [u8]) -> Result<usize, Infallible> {
        let mut count = 0;
        for slot in buf {
            *slot = match self.receive() {
                Some(byte) => byte,
                None if count > 0 => break,
                None => loop {
                    self.wait();
                    if let Some(byte) = self.receive() {
                        break byte;
                    }
                },
            };
            count += 1;
        }
        Ok(count)
    }
}

impl Write for Uart {
    fn write(&mut self, buf: &[u8]) -> Result<usize, Infallible> {
        buf.iter().for_each(|byte| self.send(*byte));
        Ok(buf.len())
    }

    /// Waits until the last byte is sent.
    fn flush(&mut self) -> Result<(), Infallible> {
        while self.load(STATE) & TX_FULL != 0 {}
        Ok(())
    }
}

const DATA: usize = 0x0;
const STATE: usize = 0x4;
const CTRL: usize = 0x8;
const INTERRUPTS: usize = 0xC;
const BAUDDIV: usize = 0x10;
const TX_FULL: u32 = 1;
const RX_FULL: u32 = 2;
const TX_ENABLE: u32 = 1;
const RX_ENABLE: u32 = 2;
const RX_INTERRUPT: u32 = 8;
const RX_INTERRUPTED: u32 = 2;
