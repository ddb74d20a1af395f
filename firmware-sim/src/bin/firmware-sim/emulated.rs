//! `run --on qemu`: the device as a Cortex-M image, behind the same standard input and output; `update --on qemu`: a
//! newer model over its wire.
//!
//! While it runs its flash is QEMU's memory, the file `FILE.running`. A clean end writes that back; if there was
//! none, whoever opens FILE next does: see [`files`](crate::files).

use std::io::{self, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use clap::{Args, ValueEnum};
use sealnet_core::artefact::{ArtefactError, Sealed};
use sealnet_core::mlp::WeightType;
use sealnet_core::protocol::{FrameReader, MAX_PAYLOAD, SlotName};
use sealnet_firmware::client::{Client, ClientError, status};
use sealnet_firmware::device::BootError;
use sealnet_firmware::identity::Identity;
use sealnet_firmware::journal::{Journal, Slots, Trial};
use sealnet_firmware::layout::{JOURNAL, SLOT_A, SLOT_B, SLOT_LEN};
use sealnet_firmware::qemu::{
    Board, Image, Machine, Memory, Mode, QemuError, build_telling, installed,
};
use sealnet_firmware::sim::flash::SimFlash;

use crate::cli::{Place, UpdateArgs};
use crate::failure::Failure;
use crate::files::{open, recover, running, write_new};
use crate::text::say;
use crate::update::{Uploaded, attempt, update};

/// How the device runs in QEMU.
#[derive(Debug, Args)]
pub(crate) struct Emulated {
    /// With --on qemu: the core [default: cortex-m4]
    #[arg(long, value_enum)]
    board: Option<Board>,
    /// With --on qemu: how many seconds an answer may take [default: 60]
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..=86_400))]
    timeout: Option<u64>,
    /// With --on qemu: what weights the firmware is built for; it refuses models with others [default: those of the model that
    /// boots, or int8]
    #[arg(long, value_enum)]
    weights: Option<WeightsArg>,
}

/// How fine weights are.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum WeightsArg {
    /// 8 bits
    Int8,
    /// 4 bits
    Int4,
}

/// The weights that the model claims to have that boots next: the one that is to be tried, or the active one. None if there
/// is no such model.
fn claimed(flash: &SimFlash) -> Option<WeightType> {
    let mut flash = SimFlash::new(flash.bytes().to_vec());
    let (mapped, region) = flash.split(JOURNAL);
    let Slots { active, trial, .. } = Journal::open(region).ok()?.slots();
    let start = match (active, trial) {
        (SlotName::A, Trial::Pending) | (SlotName::B, Trial::None | Trial::Attempted) => SLOT_B,
        (SlotName::B, Trial::Pending) | (SlotName::A, Trial::None | Trial::Attempted) => SLOT_A,
    };
    let sealed = Sealed::parse_prefix(mapped.get(start..start + SLOT_LEN)?).ok()?;
    Some(sealed.untrusted_header().quantisation.weights)
}

/// That the image runs no models with such weights, if it does not.
fn unsupported(image: &Image, model: &[u8]) -> Option<BootError> {
    let header = *Sealed::parse(model).ok()?.untrusted_header();
    let weights = header.quantisation.weights;
    let error = ArtefactError::UnsupportedWeightType(weights.code());
    (weights != image.weights).then_some(error.into())
}

impl Emulated {
    /// Refuses options that would do nothing.
    pub(crate) fn is_asked_for(&self, on: Place) -> Result<(), Failure> {
        let given = [
            ("--board", self.board.is_some()),
            ("--timeout", self.timeout.is_some()),
            ("--weights", self.weights.is_some()),
        ];
        match given.into_iter().find(|(_, given)| *given) {
            Some((option, _)) if on == Place::Sim => Err(Failure::NoBoard(option)),
            _ => Ok(()),
        }
    }

    /// Boots the board and passes frames on until standard input ends and all are answered.
    pub(crate) fn run(&self, path: &Path, streamed: bool) -> Result<(), Failure> {
        let (flash, _locked) = open(path)?;
        let image = self.image(streamed, &flash)?;
        self.powered(&image, path, flash, |machine| {
            pass_on(machine, self.timeout())?;
            model(machine)
        })
    }

    /// Gives the device of a flash image a newer model, on a board.
    pub(crate) fn update(&self, args: &UpdateArgs) -> Result<(), Failure> {
        update(args, |flash, identity, model| {
            let image = self.image(args.streamed, &flash)?;
            self.upload(&image, &args.flash, flash, identity, model)
        })
    }

    /// Boots the board and gives it a model over its wire.
    fn upload(
        &self,
        image: &Image,
        path: &Path,
        flash: SimFlash,
        identity: &Identity,
        model: &[u8],
    ) -> Result<Uploaded, Failure> {
        let before = SimFlash::new(flash.bytes().to_vec());
        let mut client = Client::new(identity);
        let updated = self.powered(image, path, flash, |machine| {
            let uploaded = client.update(machine, model, |_| {});
            Ok(uploaded.and_then(|()| client.updated(machine, model)))
        })?;
        match updated {
            // The board ended, or is deaf: that is not what it thinks of the model.
            Err(ClientError::Link(error)) => Err(QemuError::Machine(error.to_string()).into()),
            // The reason in words, which the board's log gives in short: a device in this process has the same.
            Err(error) => {
                // The device in this process runs all weights.
                let reason = unsupported(image, model).or_else(|| {
                    let streamed = image.mode == Mode::Streamed;
                    let (attempted, _) = attempt(streamed, before, identity, model);
                    attempted.err().and_then(|(_, reason)| reason)
                });
                Ok(Err((error, reason)))
            }
            Ok(()) => Ok(Ok(())),
        }
    }

    /// The image for the board with this flash, built if it is not there.
    fn image(&self, streamed: bool, flash: &SimFlash) -> Result<Image, Failure> {
        // Either takes clear models too, as the device in this process does.
        let mode = match streamed {
            true => Mode::Streamed,
            false => Mode::Confidential,
        };
        installed()?;
        let board = self.board.unwrap_or(Board::CortexM4);
        let weights = match self.weights {
            Some(WeightsArg::Int8) => WeightType::Int8,
            Some(WeightsArg::Int4) => WeightType::Int4,
            None => claimed(flash).unwrap_or(WeightType::Int8),
        };
        Ok(build_telling(board, mode, weights, &|line| {
            say(format_args!("{line}"));
        })?)
    }

    /// Switches the board of a flash image on, works with it, and writes back its flash, whatever came of that.
    fn powered<T>(
        &self,
        image: &Image,
        path: &Path,
        flash: SimFlash,
        work: impl FnOnce(&mut Machine) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        let memory = Memory::create(&running(path), flash.bytes())?;
        let log = |line: &str| say(format_args!("{line}"));
        let mut machine = match Machine::power_on_with(image, memory, self.timeout(), log) {
            Ok(machine) => machine,
            Err(error) => {
                recover(path, &flash)?;
                return Err(error.into());
            }
        };
        drop(flash);
        let worked = work(&mut machine);
        machine.power_off();
        write_new(path, &machine.flash()?, true)?;
        std::fs::remove_file(running(path)).map_err(Failure::io("remove", &running(path)))?;
        worked
    }

    fn timeout(&self) -> Duration {
        self.timeout.map_or(TIMEOUT, Duration::from_secs)
    }
}

/// Fails if the device serves no model.
fn model(machine: &mut Machine) -> Result<(), Failure> {
    let status = status(machine).map_err(|error| QemuError::Machine(error.to_string()))?;
    match (status.model, machine.boot_error()?) {
        (Some(_), _) => Ok(()),
        (None, Some(error)) => Err(Failure::NoModel(error)),
        (None, None) => {
            let what = "the device serves no model, and says why in its log";
            Err(QemuError::Machine(what.into()).into())
        }
    }
}

/// What the reader of standard input tells.
enum Asked {
    /// So many frames are on their way to the device.
    Frames(i64),
    /// Nothing more will come.
    Ended(io::Result<()>),
}

/// Standard input to the wire and the wire to standard output. The device sends a frame for each that it gets.
fn pass_on(machine: &Machine, timeout: Duration) -> Result<(), Failure> {
    let (tell, hear) = channel();
    let wire = machine.wire()?;
    // Not waited for: it may be reading when the machine has failed.
    thread::spawn(move || {
        let ended = ask(wire, &tell);
        let _ = tell.send(Asked::Ended(ended));
    });
    match answers(machine.wire()?, &hear, timeout)? {
        // Whoever asked has gone; there is nobody left to answer.
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(Failure::Frames(error)),
        _ => Ok(()),
    }
}

fn ask(mut wire: UnixStream, tell: &Sender<Asked>) -> io::Result<()> {
    let mut frames = FrameReader::<{ 1 + MAX_PAYLOAD }>::new();
    let (mut input, mut piece, mut begun) = (io::stdin().lock(), [0; 4096], false);
    loop {
        let read = match input.read(&mut piece) {
            // A frame that was begun ends here: nothing that is asked later must be taken for its end.
            Ok(0) if begun => &[0],
            Ok(0) => return Ok(()),
            Ok(read) => piece.get(..read).unwrap_or_default(),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        begun = read.last().is_some_and(|last| *last != 0);
        let whole = read.iter().filter(|byte| frames.push(**byte).is_some());
        let _ = tell.send(Asked::Frames(whole.count() as i64));
        // If the device takes nothing, no answer comes either, and that is noticed.
        if wire.write_all(read).is_err() {
            return Ok(());
        }
    }
}

/// The outer error is the machine's, the inner one that of a stream of this process.
fn answers(
    mut wire: UnixStream,
    hear: &Receiver<Asked>,
    timeout: Duration,
) -> Result<io::Result<()>, Failure> {
    wire.set_read_timeout(Some(GLANCE))
        .map_err(Failure::Frames)?;
    // Below zero where an answer comes before it is told what was asked.
    let (mut pending, mut since, mut ended) = (0_i64, Instant::now(), None);
    let (mut output, mut piece) = (io::stdout().lock(), [0; 4096]);
    loop {
        for asked in hear.try_iter() {
            match asked {
                Asked::Frames(frames) => {
                    if pending <= 0 {
                        since = Instant::now();
                    }
                    pending += frames;
                }
                Asked::Ended(how) => ended = Some(how),
            }
        }
        match ended.take() {
            Some(how) if pending == 0 || how.is_err() => return Ok(how),
            how => ended = how,
        }
        let answer = match wire.read(&mut piece) {
            Ok(0) => return Err(QemuError::Machine("it ended".into()).into()),
            Ok(read) => piece.get(..read).unwrap_or_default(),
            Err(error) => match error.kind() {
                io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted if pending <= 0 => continue,
                io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted => {
                    if since.elapsed() > timeout {
                        return Err(QemuError::Timeout(timeout).into());
                    }
                    continue;
                }
                _ => return Err(QemuError::Machine(format!("it ended: {error}")).into()),
            },
        };
        let frames = answer.iter().filter(|byte| **byte == 0).count() as i64;
        if frames > 0 {
            (pending, since) = (pending - frames, Instant::now());
        }
        if let Err(error) = output.write_all(answer).and_then(|()| output.flush()) {
            return Ok(Err(error));
        }
    }
}

/// How long an answer may take unless said otherwise.
const TIMEOUT: Duration = Duration::from_secs(60);
/// How long a wait for the device lasts before standard input is looked at.
const GLANCE: Duration = Duration::from_millis(20);
