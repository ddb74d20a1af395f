//! Runs Sealnet's network on a Cortex-M board, an image at a time, by each of its kernels and by plain loops, and says
//! what each run took by the board's timer.
//!
//! Whoever runs the board says what to do: by the [job](job::Job) at the beginning of its memory, and on the wire by a
//! byte: [`LOAD`] first, then [`RUN`] as often as is wanted. Each is answered with two bytes: [`DONE`] or [`FAILED`], and a
//! zero.
#![no_std]
#![no_main]

mod board;
mod job;
#[path = "../../firmware/src/memory.rs"]
mod memory;
#[path = "../../firmware/src/panic.rs"]
mod panic;
mod plain;
#[path = "../../firmware/src/uart.rs"]
mod uart;

use core::hint::black_box;

use cortex_m_rt::entry;
use embedded_io::{Read as _, Write as _};
use sealnet_core::artefact::{ArtefactError, Deployed, InRam, Sealed, Streamed};
use sealnet_core::fernet::FernetKey;
use sealnet_core::sign::{HmacKey, TrustedKey};
use sealnet_firmware::shape::{CLASSES, HIDDEN1, HIDDEN2, INPUT, SHAPE};

use board::{Board, Timer};
use job::{Case, Job};
use uart::Uart;

/// Loads what the job says.
pub(crate) const LOAD: u8 = b'L';
/// Runs the images that the job says.
pub(crate) const RUN: u8 = b'R';
/// It is done.
pub(crate) const DONE: u8 = b'd';
/// It could not be loaded.
pub(crate) const FAILED: u8 = b'f';

/// Takes what is loaded, and runs it whenever it is told to, for good.
type Serve<'s> = &'s mut dyn FnMut(Run<'_>);

/// Writes the logits of an image.
type Run<'r> = &'r mut dyn FnMut(&[u8; INPUT], &mut [i32; CLASSES]);

type Model<'m, M> = Deployed<'m, INPUT, HIDDEN1, HIDDEN2, CLASSES, M>;

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
        if receive(&mut port) == LOAD
            && load(&Job::read(), ram, &mut |run| serve(&mut port, &timer, run)).is_err()
        {
            answer(&mut port, FAILED);
        }
    }
}

/// Loads what the job names and lends it to `serve`.
fn load(job: &Job, ram: &mut [u8], serve: Serve<'_>) -> Result<(), ArtefactError> {
    let signer = TrustedKey::Hmac(HmacKey::from_bytes(job.signer()));
    let key = FernetKey::from_bytes(job.key());
    let verified = || Sealed::parse(job.model())?.verify(&signer, 0);
    match job.case() {
        Case::Nothing => serve(&mut |features, logits| {
            let _ = black_box((features, logits));
        }),
        Case::Clear => {
            let model: Model<'_, Streamed> = verified()?.open_in_place()?.load_for()?;
            serve(&mut |features, logits| *logits = model.logits(features));
        }
        Case::Confidential => {
            let verified = verified()?;
            let model: Model<'_, InRam> = verified.open(&key, ram)?.load()?;
            serve(&mut |features, logits| *logits = model.logits(features));
        }
        Case::Streamed => {
            let model: Model<'_, Streamed> = verified()?.open_streamed(&key)?.load()?;
            serve(&mut |features, logits| *logits = model.logits(features));
        }
        Case::Portable => {
            let mut scratch = [0; SHAPE.golden_scratch_len()];
            let mut room = [0; CLASSES];
            let model = verified()?.open_in_place()?;
            let model = model.load_any(&mut scratch, &mut room)?;
            serve(&mut |features, logits| {
                // The buffers have the network's lengths.
                let _ = model.infer(features, &mut scratch, logits);
            });
        }
        Case::Plain => serve(&mut |features, logits| plain::logits(job.plain(), features, logits)),
    }
    Ok(())
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
