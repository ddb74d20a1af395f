//! `firmware-sim`: the simulated device as a program of its own.
//!
//! Its flash is a file, written through at every operation, so that killing the program is a power cut.
//! Frames come in on standard input and go out on standard output; the device logs on standard error.
//! Exit codes are `sealnet`'s: 0 done; 1 verification failed; 2 usage, input or environment.
#![forbid(unsafe_code)]

#[cfg(unix)]
mod budget;
#[cfg(unix)]
mod campaign;
#[cfg(unix)]
mod constant_time;
#[cfg(unix)]
mod emulated;
mod failure;
mod files;
mod info;
#[cfg(unix)]
mod progress;
mod text;
mod update;

use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use sealnet_core::artefact::Encrypted;
use sealnet_firmware::device::{BootError, Served};
use sealnet_firmware::env::Event;
use sealnet_firmware::journal::Counters;
use sealnet_firmware::layout::FLASH_LEN;
use sealnet_firmware::provision;
use sealnet_firmware::sim::Machine;
use sealnet_firmware::sim::flash::SimFlash;

#[cfg(unix)]
use budget::budget;
use failure::Failure;
use files::{open, read_model, write_new};
use info::info;
use text::say;
use update::{in_process, update};

/// Runs Sealnet's device on this machine: flash in a file, frames on standard input and output.
#[derive(Debug, Parser)]
#[command(
    name = "firmware-sim",
    version,
    max_term_width = 100,
    arg_required_else_help = true
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Make a device's flash: its keys, a model, counters
    Provision {
        /// The device's keys: the folder DIR/device-ID that `sealnet keygen DIR` made
        #[arg(long, value_name = "DIR")]
        keys: PathBuf,
        /// The sealed model, by `sealnet export`
        #[arg(long, value_name = "FILE")]
        model: PathBuf,
        /// The flash image to make, readable by its owner alone: it holds the device's keys
        #[arg(long, value_name = "FILE")]
        flash: PathBuf,
        /// The lowest security counter that the device takes
        #[arg(long, value_name = "N", default_value_t = 0)]
        min_counter: u32,
        /// Replace a flash image that exists; if it is the same device's, its counters go on
        #[arg(long)]
        force: bool,
        /// Make it even if the model would not boot, to see the device refuse it
        #[arg(long)]
        no_check: bool,
        /// For a board that streams encrypted models: one that is longer than model RAM boots there
        #[arg(long)]
        streamed: bool,
    },
    /// Give the device of a flash image a newer model over its wire; it keeps the old one if it refuses
    Update {
        /// The flash image
        #[arg(long, value_name = "FILE")]
        flash: PathBuf,
        /// The sealed model, with a security counter above the device's
        #[arg(long, value_name = "FILE")]
        model: PathBuf,
        /// On a board without RAM for a model: an encrypted one stays encrypted in flash
        #[arg(long)]
        streamed: bool,
        /// Where the device runs
        #[arg(long, value_enum, default_value_t = Place::Sim)]
        on: Place,
        /// Print one JSON document
        #[arg(long)]
        json: bool,
        #[cfg(unix)]
        #[command(flatten)]
        emulated: emulated::Emulated,
    },
    /// Boot the device and answer frames until standard input ends
    Run {
        /// The flash image, which the device changes as it runs
        #[arg(long, value_name = "FILE")]
        flash: PathBuf,
        /// Without RAM for a model: leave an encrypted one encrypted in flash; each answer decrypts it in pieces
        #[arg(long)]
        streamed: bool,
        /// Where the device runs
        #[arg(long, value_enum, default_value_t = Place::Sim)]
        on: Place,
        #[cfg(unix)]
        #[command(flatten)]
        emulated: emulated::Emulated,
    },
    /// Attack the device with faults at every place, and say what came of it
    #[cfg(unix)]
    Campaign(campaign::CampaignArgs),
    /// Measure what the device costs on a Cortex-M4 in QEMU: flash, RAM with stack, instructions
    #[cfg(unix)]
    Budget {
        /// Print one JSON document
        #[arg(long)]
        json: bool,
    },
    /// Show that what the device executes does not depend on its secrets, on a Cortex-M in QEMU
    #[cfg(unix)]
    ConstantTime(constant_time::ConstantTimeArgs),
    /// Say what a flash image holds, secrets aside
    Info {
        /// The flash image
        #[arg(long, value_name = "FILE")]
        flash: PathBuf,
    },
}

/// Where the device runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Place {
    /// In this process
    Sim,
    /// As a Cortex-M image in QEMU; Unix alone
    Qemu,
}

fn main() -> ExitCode {
    let done = match Cli::parse().command {
        Command::Provision {
            keys,
            model,
            flash,
            min_counter,
            force,
            no_check,
            streamed,
        } => {
            let check = (!no_check).then_some(streamed);
            provision(&keys, &model, &flash, min_counter, force, check)
        }
        Command::Update {
            flash,
            model,
            streamed,
            on: Place::Sim,
            json,
            ..
        } => update(&flash, &model, json, |image, identity, model| {
            in_process(&flash, streamed, image, identity, model)
        }),
        #[cfg(unix)]
        Command::Update {
            flash,
            model,
            streamed,
            json,
            emulated,
            ..
        } => emulated.image(streamed).and_then(|board| {
            update(&flash, &model, json, |image, identity, model| {
                emulated.update(&board, &flash, image, identity, model)
            })
        }),
        #[cfg(not(unix))]
        Command::Update { .. } => Err(Failure::NeedsUnix),
        Command::Run {
            flash,
            streamed,
            on: Place::Sim,
            ..
        } => run(&flash, streamed),
        #[cfg(unix)]
        Command::Run {
            flash,
            streamed,
            emulated,
            ..
        } => emulated.run(&flash, streamed),
        #[cfg(not(unix))]
        Command::Run { .. } => Err(Failure::NeedsUnix),
        #[cfg(unix)]
        Command::Campaign(args) => campaign::campaign(&args),
        #[cfg(unix)]
        Command::Budget { json } => budget(json),
        #[cfg(unix)]
        Command::ConstantTime(args) => constant_time::constant_time(&args),
        Command::Info { flash } => info(&flash),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            say(format_args!("error: {failure}"));
            let hint = failure.hint();
            if !hint.is_empty() {
                say(format_args!("  hint: {hint}"));
            }
            ExitCode::from(failure.exit_code())
        }
    }
}

fn provision(
    keys: &Path,
    model: &Path,
    flash: &Path,
    min_counter: u32,
    force: bool,
    check: Option<bool>,
) -> Result<(), Failure> {
    // What is replaced must be a flash image, not a device node, a model, or anything else of value.
    if let Ok(there) = std::fs::metadata(flash)
        && !(force && there.is_file() && there.len() == FLASH_LEN as u64)
    {
        return Err(Failure::Exists(flash.to_owned()));
    }
    let identity = provision::load_keys(keys)?;
    let model = read_model(model)?;
    let mut counters = Counters::default();
    // Locked until it is replaced, so that no device counts on meanwhile.
    let mut replaced = flash.exists().then(|| open(flash)).transpose()?;
    if let Some((old, _locked)) = &mut replaced {
        match provision::counters_of(old, &identity)? {
            Some(old) => {
                counters = old;
                say(format_args!(
                    "the counters of {} go on: {} boots, security counter {}, no request up to {}",
                    flash.display(),
                    old.boot,
                    old.security,
                    old.requests
                ));
            }
            None => say(format_args!(
                "warning: {} was another device's: the counters of {} begin at zero, and it takes models from \
                 security counter {min_counter} on; if it has served a newer one before, say so with \
                 --min-counter",
                flash.display(),
                identity.device
            )),
        }
    }
    counters.security = counters.security.max(min_counter);
    let image = provision::flash_image(&identity, &model, counters)?;
    if let Some(streamed) = check {
        // A copy boots, so that the counters of the one that is written stay as they are.
        let machine = Machine::new(SimFlash::new(image.bytes().to_vec()));
        let boots = if streamed {
            boots(machine.streamed())
        } else {
            boots(machine)
        };
        boots.map_err(Failure::NoModel)?;
    }
    write_new(flash, image.bytes(), force)?;
    say(format_args!(
        "device {}: {} provisioned, {FLASH_LEN} bytes",
        identity.device,
        flash.display()
    ));
    Ok(())
}

/// Whether a machine's device serves its model.
fn boots<M: Encrypted>(mut machine: Machine<M>) -> Result<(), BootError> {
    machine.boot(|_: Event| {}).model().map(drop)
}

fn run(path: &Path, streamed: bool) -> Result<(), Failure> {
    let (flash, file) = open(path)?;
    let mut machine = Machine::new(flash);
    machine.flash_mut().attach(file);
    if streamed {
        serve(machine.streamed(), path)
    } else {
        serve(machine, path)
    }
}

fn serve<M: Encrypted>(mut machine: Machine<M>, path: &Path) -> Result<(), Failure> {
    let mut frames = Frames {
        input: io::stdin().lock(),
        output: io::stdout().lock(),
    };
    let (ended, model) = loop {
        let mut device = machine.boot_on(&mut frames, |event| say(format_args!("{event}")));
        let ended = device.run();
        let model = device.model().map(drop);
        // To try a new model, the board resets itself.
        if !matches!(ended, Ok(Served::Reset)) {
            break (ended, model);
        }
    };
    if let Some(error) = machine.flash_mut().take_file_error() {
        return Err(Failure::io("write", path)(error));
    }
    match ended {
        // Whoever asked has gone; there is nobody left to answer.
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(Failure::Frames("pass on", error))
        }
        _ => model.map_err(Failure::NoModel),
    }
}

/// Frames on standard input and output.
struct Frames {
    input: io::StdinLock<'static>,
    output: io::StdoutLock<'static>,
}

impl Read for Frames {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.input.read(buf)
    }
}

impl Write for Frames {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.output.write(buf)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.output.flush()
    }
}
