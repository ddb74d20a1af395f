//! The image that ships, executed in QEMU with random secrets.

use std::time::Duration;

use sealnet_core::fernet::NONCE_LEN;
use sealnet_core::mlp::WeightType;
use sealnet_core::protocol::{FrameReader, Kind, MAX_PAYLOAD, frame_len, write_frame};
use sealnet_core::sign::SIGNATURE_LEN;

use super::comparison::Comparison;
use super::secrets::Secrets;
use super::{ConstantTimeError, Part};
use crate::client::Client;
use crate::journal::Counters;
use crate::provision::flash_image;
use crate::qemu::{Board, Code, Counted, Debugged, Image, Mode, QemuError, Traced, build_for};
use crate::sim::flash::SimFlash;

/// An image and its code.
pub(super) struct Bench {
    image: Image,
    code: Code,
    weights: WeightType,
    name: String,
}

/// A device with secrets of its own that runs, and its client.
struct Awake {
    board: Traced,
    client: Client,
}

impl Bench {
    pub(super) fn new(
        board: Board,
        mode: Mode,
        weights: WeightType,
    ) -> Result<Self, ConstantTimeError> {
        let image = build_for(board, mode, weights)?;
        let code = Code::read(&image)?;
        let mode = match mode {
            Mode::Clear => "clear",
            Mode::Confidential => "confidential",
            Mode::Streamed => "streamed",
        };
        let name = match weights {
            WeightType::Int8 => mode.to_owned(),
            other => format!("{mode}, {other}"),
        };
        Ok(Self {
            image,
            code,
            weights,
            name,
        })
    }

    /// Boots devices and asks each for an answer. `done` is told of each.
    pub(super) fn answers(
        &self,
        devices: u64,
        mut done: impl FnMut(),
    ) -> Result<Vec<Part>, ConstantTimeError> {
        let name = &self.name;
        // A model that is decrypted as it runs has a kernel of its own.
        let kernel = match self.image.mode {
            Mode::Streamed => "portable kernel",
            _ => "dense kernel",
        };
        let mut boot = Comparison::new(format!("boot, {name}"));
        let mut answer = Comparison::new(format!("answer, {name}"));
        let mut open = Comparison::new(format!("Fernet open of a request, {name}"));
        let mut dense = Comparison::new(format!("{kernel}, {name}"));
        for seed in 0..devices {
            let secrets = Secrets(seed);
            let flash = self.flash(secrets)?;
            self.boot(&mut boot, &flash, "Serving", seed + 1 == devices)?;
            let (board, path) = again(|| {
                let Awake {
                    mut board,
                    mut client,
                } = self.wake(secrets, &flash)?;
                let request = client.seal(&secrets.features())?;
                let (reply, path) = board.exchange(&request.frame)?;
                client.open(&request, &reply)?;
                Ok((board, path))
            })?;
            let named = |address| board.instruction(address);
            answer.path(self.work(&path)?, &self.code, named)?;
            open.path(self.call(&path, COMMAND, OPEN)?, &self.code, named)?;
            dense.path(self.call(&path, KERNEL, LOGITS)?, &self.code, named)?;
            done();
        }
        Ok([boot, open, dense, answer].map(Comparison::part).into())
    }

    /// Sends devices requests whose tag is wrong in one byte, in all, or at random. `done` is told of each.
    pub(super) fn tags(
        &self,
        devices: u64,
        mut done: impl FnMut(),
    ) -> Result<Part, ConstantTimeError> {
        let mut tags = Comparison::new("comparison of a request's tag");
        for seed in 0..devices {
            let secrets = Secrets(seed);
            let mut awake = self.wake(secrets, &self.flash(secrets)?)?;
            let request = awake.client.seal(&secrets.features())?;
            let token = payload(&request.frame)?;
            for difference in differences::<TAG_LEN>(seed) {
                let frame = frame(&changed(&token, &difference))?;
                let path = again(|| self.refusal(&mut awake, &frame))?;
                let named = |address| awake.board.instruction(address);
                tags.path(&path, &self.code, named)?;
            }
            done();
        }
        Ok(tags.part())
    }

    /// Boots devices with models whose HMAC-SHA-512 is wrong in one byte, in all, or at random.
    pub(super) fn signatures(
        &self,
        devices: u64,
        mut done: impl FnMut(),
    ) -> Result<Part, ConstantTimeError> {
        let mut signatures = Comparison::new("comparison of a model's HMAC-SHA-512, boot refused");
        for seed in 0..devices {
            let secrets = Secrets(seed);
            let model = secrets.model(self.encrypted(), self.weights)?;
            let differences = differences::<SIGNATURE_LEN>(seed);
            // Each boot costs as much as all of a device's tags together.
            let mut fewer = differences.iter().step_by(FEWER_SIGNATURES).peekable();
            while let Some(difference) = fewer.next() {
                let model = changed(&model, difference);
                let flash = flash_image(&secrets.identity()?, &model, Counters::default())?;
                let said = "NoModel(Model(Signature))";
                let last = seed + 1 == devices && fewer.peek().is_none();
                self.boot(&mut signatures, &flash, said, last)?;
            }
            done();
        }
        Ok(signatures.part())
    }

    /// Sends a device authentic requests for another provisioning: the nonce is public, and its comparison ends at the
    /// first byte that differs, which must be found.
    pub(super) fn control(&self) -> Result<Part, ConstantTimeError> {
        let mut control = Comparison::new("control: comparison of a public nonce");
        let secrets = Secrets(2);
        let mut awake = self.wake(secrets, &self.flash(secrets)?)?;
        let nonce = awake.client.status(awake.board.machine())?.nonce;
        for differs in [0, NONCE_LEN - 1] {
            let mut other = nonce;
            if let Some(byte) = other.get_mut(differs) {
                *byte ^= 1;
            }
            awake.client.expect_provisioning(other);
            let request = awake.client.seal(&secrets.features())?;
            let path = again(|| self.refusal(&mut awake, &request.frame))?;
            let named = |address| awake.board.instruction(address);
            control.path(&path, &self.code, named)?;
        }
        Ok(control.part())
    }

    /// Counts the instructions of a boot that logs `said`. With `trace` it boots once more and says which they are.
    fn boot(
        &self,
        boot: &mut Comparison,
        flash: &SimFlash,
        said: &str,
        trace: bool,
    ) -> Result<(), ConstantTimeError> {
        let counted = Counted::boot(&self.image, flash.bytes(), said, TIMEOUT)?;
        boot.count(counted);
        if trace {
            let ends = self.code.ends();
            let (trace, path) = again(|| {
                let mut trace = Debugged::log(&self.image, flash.bytes(), &ends, TIMEOUT)?;
                let path = trace.take()?;
                Ok((trace, path))
            })?;
            // It ends before the instruction with which the core falls asleep.
            let traced = path.len() as u64 + 1;
            if counted != traced {
                return Err(ConstantTimeError::Trace { counted, traced });
            }
            boot.operands(&path, |address| trace.instruction(address))?;
        }
        Ok(())
    }

    fn encrypted(&self) -> bool {
        self.image.mode != Mode::Clear
    }

    fn flash(&self, secrets: Secrets) -> Result<SimFlash, ConstantTimeError> {
        let model = secrets.model(self.encrypted(), self.weights)?;
        Ok(flash_image(
            &secrets.identity()?,
            &model,
            Counters::default(),
        )?)
    }

    fn wake(&self, secrets: Secrets, flash: &SimFlash) -> Result<Awake, ConstantTimeError> {
        let mut board = Traced::power_on(&self.image, flash.bytes(), TIMEOUT)?;
        let mut client = Client::new(&secrets.identity()?);
        client.status(board.machine())?;
        Ok(Awake { board, client })
    }

    /// The path to a refusal, after which the device is as before.
    fn refusal(&self, awake: &mut Awake, frame: &[u8]) -> Result<Vec<u32>, ConstantTimeError> {
        let (_, path) = awake.board.exchange(frame)?;
        let logits = self.entries(KERNEL, LOGITS)?;
        if path.iter().any(|address| logits.contains(address)) {
            return Err(ConstantTimeError::Answered);
        }
        Ok(self.work(&path)?.to_vec())
    }

    /// What a device does with a request: from where it begins to open it up to where it begins to write the answer's
    /// frame. Frames are coded by the zeros in them, which are a ciphertext's and no secret.
    fn work<'p>(&self, path: &'p [u32]) -> Result<&'p [u32], ConstantTimeError> {
        let (starts, ends) = (self.entries(COMMAND, OPEN)?, self.entries(SERVE, FRAME_OF)?);
        let start = path.iter().position(|address| starts.contains(address));
        let work = start.and_then(|start| path.get(start..));
        let work = work.ok_or(ConstantTimeError::NotCalled(OPEN))?;
        let end = work.iter().position(|address| ends.contains(address));
        let work = end.and_then(|end| work.get(..end));
        work.ok_or(ConstantTimeError::NotCalled(FRAME_OF))
    }

    /// The part of a path from the entry of a function until it returns.
    fn call<'p>(
        &self,
        path: &'p [u32],
        of: &'static str,
        name: &'static str,
    ) -> Result<&'p [u32], ConstantTimeError> {
        let entries = self.entries(of, name)?;
        let call = self.code.call(path, &entries);
        call.ok_or(ConstantTimeError::NotCalled(name))
    }

    fn entries(&self, of: &str, name: &'static str) -> Result<Vec<u32>, ConstantTimeError> {
        match self.code.entries(of, name) {
            entries if entries.is_empty() => Err(ConstantTimeError::NotCalled(name)),
            entries => Ok(entries),
        }
    }
}

/// Runs something once more, and then once more, if QEMU's log had a gap.
fn again<T>(mut run: impl FnMut() -> Result<T, ConstantTimeError>) -> Result<T, ConstantTimeError> {
    for _ in 0..2 {
        match run() {
            Err(ConstantTimeError::Qemu(QemuError::Gap)) => {}
            other => return other,
        }
    }
    run()
}

/// What a tag is changed by: each byte alone, all of them, and at random.
fn differences<const N: usize>(seed: u64) -> Vec<[u8; N]> {
    let mut differences = vec![[u8::MAX; N]];
    for byte in 0..N {
        let mut difference = [0; N];
        if let Some(byte) = difference.get_mut(byte) {
            *byte = 1 << (seed % 8);
        }
        differences.push(difference);
    }
    for number in 0..RANDOM_TAGS {
        differences.push(Secrets(RANDOM_TAGS * (seed + 1) + number + 2).bytes("tag"));
    }
    differences
}

/// The bytes with their end changed.
fn changed(bytes: &[u8], difference: &[u8]) -> Vec<u8> {
    let mut changed = bytes.to_vec();
    let ends = changed.iter_mut().rev().zip(difference.iter().rev());
    ends.for_each(|(byte, difference)| *byte ^= difference);
    changed
}

/// What a frame carries.
fn payload(frame: &[u8]) -> Result<Vec<u8>, ConstantTimeError> {
    let mut reader = FrameReader::<{ 1 + MAX_PAYLOAD }>::new();
    for byte in frame {
        if let Some(Ok(frame)) = reader.push(*byte) {
            return Ok(frame.payload.to_vec());
        }
    }
    Err(ConstantTimeError::Frame)
}

/// A frame with a request's token.
fn frame(token: &[u8]) -> Result<Vec<u8>, ConstantTimeError> {
    let mut frame = vec![0; frame_len(token.len())];
    let len =
        write_frame(Kind::Request, token, &mut frame).map_err(|_| ConstantTimeError::Frame)?;
    frame.truncate(len);
    Ok(frame)
}

// Functions of the image, each with a part of the path to it.
const COMMAND: &str = "AuthenticCommand";
const OPEN: &str = "open";
const KERNEL: &str = "sealnet_core";
const LOGITS: &str = "logits";
const SERVE: &str = "serve";
const FRAME_OF: &str = "frame_of";
/// Bytes of a Fernet token's HMAC-SHA-256.
const TAG_LEN: usize = 32;
/// Random tags for each device.
const RANDOM_TAGS: u64 = 7;
/// Of so many wrong signatures one is tried: first, last and others, as the prime falls.
const FEWER_SIGNATURES: usize = 7;
/// No boot or answer takes as long.
const TIMEOUT: Duration = Duration::from_secs(120);
