//! The whole device path over a board that does nothing, linked for a Cortex-M, so that
//! `tests/python/panics.py` can look for panics that are left. It is never run.
#![cfg_attr(target_os = "none", no_std, no_main)]
#![forbid(unsafe_code)]

use core::convert::Infallible;
use core::hint::black_box;
use core::marker::PhantomData;

use embedded_io::{ErrorType as PortErrorType, Read, Write};
use embedded_storage::nor_flash::{ErrorType, NorFlash, NorFlashErrorKind, ReadNorFlash};
use sealnet_core::artefact::{Encrypted, InRam, Streamed};
use sealnet_firmware::device::Device;
use sealnet_firmware::env::{Board, Env, Event, Log, Slot};

/// Keeps the device path, and all that it reaches: with encrypted models in RAM, and streamed.
#[used]
static ROOT: (Path<InRam>, Path<Streamed>) = (device_path, device_path);

type Path<M> = fn(Board<'static, Probe<M>>);

/// Boots and serves.
fn device_path<M: Encrypted>(board: Board<'static, Probe<M>>) {
    if CONTROL {
        black_box(black_box(None::<u8>).expect("the panic to be found"));
    }
    let mut device = Device::boot(board);
    black_box(device.model().is_ok());
    let _ = black_box(device.run());
}

/// A build with a panic shows that the check sees one.
const CONTROL: bool = option_env!("SEALNET_PANIC_CONTROL").is_some();

/// A board about which the compiler knows nothing.
#[derive(Debug)]
struct Probe<M = InRam>(PhantomData<M>);

impl<M: Encrypted> Env for Probe<M> {
    type Slot<'m> = Probe;
    type Journal = Probe;
    type Port = Probe;
    type Log = Probe;
    type Encrypted = M;
}

impl Log for Probe {
    #[inline(never)]
    fn event(&mut self, event: Event) {
        black_box(event);
    }
}

impl PortErrorType for Probe {
    type Error = Infallible;
}

impl Read for Probe {
    #[inline(never)]
    fn read(&mut self, buf: &mut [u8]) -> Result<usize, Infallible> {
        Ok(black_box(black_box(buf).len()))
    }
}

impl Write for Probe {
    #[inline(never)]
    fn write(&mut self, buf: &[u8]) -> Result<usize, Infallible> {
        Ok(black_box(black_box(buf).len()))
    }

    fn flush(&mut self) -> Result<(), Infallible> {
        Ok(())
    }
}

impl ErrorType for Probe {
    type Error = NorFlashErrorKind;
}

impl ReadNorFlash for Probe {
    const READ_SIZE: usize = 1;

    #[inline(never)]
    fn read(&mut self, offset: u32, bytes: &mut [u8]) -> Result<(), NorFlashErrorKind> {
        black_box((offset, bytes));
        black_box(Ok(()))
    }

    #[inline(never)]
    fn capacity(&self) -> usize {
        black_box(8192)
    }
}

impl NorFlash for Probe {
    const WRITE_SIZE: usize = 8;
    const ERASE_SIZE: usize = 4096;

    #[inline(never)]
    fn erase(&mut self, from: u32, to: u32) -> Result<(), NorFlashErrorKind> {
        black_box((from, to));
        black_box(Ok(()))
    }

    #[inline(never)]
    fn write(&mut self, offset: u32, bytes: &[u8]) -> Result<(), NorFlashErrorKind> {
        black_box((offset, bytes));
        black_box(Ok(()))
    }
}

impl<'m> Slot<'m> for Probe {
    #[inline(never)]
    fn bytes(&self) -> &[u8] {
        black_box(&[])
    }

    #[inline(never)]
    fn lend(self) -> &'m [u8] {
        black_box(&[])
    }
}

#[cfg(not(target_os = "none"))]
fn main() {}

#[cfg(target_os = "none")]
#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    loop {
        core::hint::spin_loop();
    }
}
