//! Runs Sealnet's network on a Cortex-M board, an image at a time, by its kernels and by plain loops, and says what each
//! run took by the board's timer.
//!
//! With feature `portable` it runs the portable kernel alone, and with feature `layers` layers of any widths, so that the
//! kernels can be tried with every shape. In one program with those, the compiler would have the kernels share functions with
//! them, and they would execute more than they do in the device's image.
//!
//! Whoever runs the board says what to do, in its memory and on the [wire].
#![no_std]
#![no_main]

mod board;
mod job;
#[cfg(not(any(feature = "portable", feature = "layers")))]
mod kernels;
#[cfg(feature = "layers")]
mod layers;
#[path = "../../firmware/src/memory.rs"]
mod memory;
#[path = "../../firmware/src/panic.rs"]
mod panic;
#[cfg(not(any(feature = "portable", feature = "layers")))]
mod plain;
#[cfg(feature = "portable")]
mod portable;
#[path = "../../firmware/src/uart.rs"]
mod uart;
#[allow(dead_code)] // the bench uses the rest
#[path = "../../src/bench/wire.rs"]
mod wire;

use cortex_m_rt::entry;
use embedded_io::{Read as _, Write as _};
#[cfg(not(feature = "layers"))]
use sealnet_core::artefact::{ArtefactError, Sealed, Verified};
#[cfg(not(feature = "layers"))]
use sealnet_core::sign::{HmacKey, TrustedKey};
use sealnet_firmware::shape::{CLASSES, INPUT};

use board::{Board, Timer};
use job::Job;
#[cfg(not(any(feature = "portable", feature = "layers")))]
use kernels::load;
#[cfg(feature = "layers")]
use layers::load;
#[cfg(feature = "portable")]
use portable::load;
use uart::Uart;
use wire::{DONE, FAILED, LOAD, RUN};

/// Takes what is loaded, and runs it whenever it is told to, for good.
pub(crate) type Serve<'s> = &'s mut dyn FnMut(Run<'_>);

/// Writes the logits of an image.
pub(crate) type Run<'r> = &'r mut dyn FnMut(&[u8; INPUT], &mut [i32; CLASSES]);

#[entry]
fn main() -> ! {
    let Some(Board {
        mut port,
        timer,
        ram,
    }) = board::take()
    else {
        loop {
            cortex_m::asm::wfi();
        }
    };
    loop {
        if receive(&mut port) == LOAD {
            let loaded = load(&Job::read(), ram, &mut |run| serve(&mut port, &timer, run));
            // What serves does not come back.
            answer(&mut port, loaded.map_or(FAILED, |()| DONE));
        }
    }
}

#[cfg(not(feature = "layers"))]
fn verified(job: &Job) -> Result<Verified<'static>, ArtefactError> {
    let signer = TrustedKey::Hmac(HmacKey::from_bytes(job.signer()));
    Sealed::parse(job.model())?.verify(&signer, 0)
}

/// What the counting itself takes is that of a call that does this.
#[cfg(not(feature = "layers"))]
fn nothing(features: &[u8; INPUT], logits: &mut [i32; CLASSES]) {
    let _ = core::hint::black_box((features, logits));
}

/// Runs images whenever it is told to.
fn serve(port: &mut Uart, timer: &Timer, run: Run<'_>) -> ! {
    loop {
        answer(port, DONE);
        while receive(port) != RUN {}
        let job = Job::read();
        for (at, features) in job.features().iter().enumerate() {
            let mut logits = [0; CLASSES];
            let ticks = counted(timer, run, features, &mut logits);
            job.result(at, ticks, &logits);
        }
    }
}

/// Ticks that a run takes.
#[inline(never)]
fn counted(
    timer: &Timer,
    run: Run<'_>,
    features: &[u8; INPUT],
    logits: &mut [i32; CLASSES],
) -> u32 {
    let before = timer.value();
    run(features, logits);
    before.wrapping_sub(timer.value()) // it counts down
}

fn receive(port: &mut Uart) -> u8 {
    let mut byte = [0];
    // It never fails.
    let _ = port.read(&mut byte);
    let [byte] = byte;
    byte
}

fn answer(port: &mut Uart, answer: u8) {
    let _ = port.write_all(&[answer, 0]);
    let _ = port.flush();
}
