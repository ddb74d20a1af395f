//! `firmware-sim`: the simulated device as a program of its own.
//!
//! Its flash is a file, written through at every operation, so that killing the program is a power cut.
//! Frames come in on standard input and go out on standard output; the device logs on standard error.
//! Exit codes are `sealnet`'s: 0 done; 1 verification failed; 2 usage, input or environment.
#![forbid(unsafe_code)]

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read, Write};
use std::mem;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use sealnet_core::artefact::Sealed;
use sealnet_firmware::device::{BootError, FIRMWARE_VERSION};
use sealnet_firmware::env::Event;
use sealnet_firmware::identity::Provisioned;
use sealnet_firmware::journal::{Counters, Journal};
use sealnet_firmware::layout::{FLASH_LEN, IDENTITY, JOURNAL, SLOT_A, SLOT_B, SLOT_LEN};
use sealnet_firmware::provision::{self, ProvisionError};
use sealnet_firmware::shape::SHAPE;
use sealnet_firmware::sim::Machine;
use sealnet_firmware::sim::flash::SimFlash;
use zeroize::Zeroizing;

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
    },
    /// Put a newer model into a flash image, if its device boots it; keys and counters stay
    Update {
        /// The flash image
        #[arg(long, value_name = "FILE")]
        flash: PathBuf,
        /// The sealed model, with a security counter above the device's
        #[arg(long, value_name = "FILE")]
        model: PathBuf,
    },
    /// Boot the device and answer frames until standard input ends
    Run {
        /// The flash image, which the device changes as it runs
        #[arg(long, value_name = "FILE")]
        flash: PathBuf,
    },
    /// Say what a flash image holds, secrets aside
    Info {
        /// The flash image
        #[arg(long, value_name = "FILE")]
        flash: PathBuf,
    },
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
        } => provision(&keys, &model, &flash, min_counter, force, !no_check),
        Command::Update { flash, model } => update(&flash, &model),
        Command::Run { flash } => run(&flash),
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

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error("cannot {action} {}: {source}", path.display())]
    Io {
        action: &'static str,
        path: PathBuf,
        source: io::Error,
    },
    #[error("cannot {0} the frames: {1}")]
    Frames(&'static str, io::Error),
    #[error(transparent)]
    Provision(#[from] ProvisionError),
    #[error("the device serves no model: {0}")]
    NoModel(BootError),
    #[error("the model is no newer one: security counter {found}, the device is at {stored}")]
    NotNewer { found: u32, stored: u32 },
    #[error("{} exists", .0.display())]
    Exists(PathBuf),
    #[error("{} is open to other users", .0.display())]
    Permissions(PathBuf),
    #[error("{} is in use by another firmware-sim", .0.display())]
    InUse(PathBuf),
    #[error("{} is no flash image of this firmware: {len} bytes, not {FLASH_LEN}", path.display())]
    NoImage { path: PathBuf, len: u64 },
}

impl Failure {
    fn hint(&self) -> String {
        match self {
            Self::Provision(error) => error.hint(),
            Self::Exists(_) => {
                "to give its device a newer model, use `firmware-sim update`; to provision it anew, --force"
                    .into()
            }
            Self::Permissions(path) => {
                format!("it holds the device's keys: chmod 600 {}", path.display())
            }
            Self::NotNewer { stored, .. } => format!(
                "export it with a higher one: sealnet export --counter {}",
                stored.saturating_add(1)
            ),
            Self::NoImage { .. } => "make one with `firmware-sim provision`".into(),
            Self::Io { .. } | Self::Frames(..) | Self::NoModel(_) | Self::InUse(_) => String::new(),
        }
    }

    fn exit_code(&self) -> u8 {
        match self {
            Self::NoModel(error) if error.is_verification() => 1,
            Self::NotNewer { .. } => 1,
            _ => 2,
        }
    }

    fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io {
            action,
            path: path.to_owned(),
            source,
        }
    }
}

fn provision(
    keys: &Path,
    model: &Path,
    flash: &Path,
    min_counter: u32,
    force: bool,
    check: bool,
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
    if check {
        // A copy boots, so that the counters of the one that is written stay as they are.
        Machine::new(SimFlash::new(image.bytes().to_vec()))
            .boot(|_: Event| {})
            .model()
            .map_err(Failure::NoModel)?;
    }
    write_new(flash, image.bytes(), force)?;
    say(format_args!(
        "device {}: {} provisioned, {FLASH_LEN} bytes",
        identity.device,
        flash.display()
    ));
    Ok(())
}

fn update(flash: &Path, model: &Path) -> Result<(), Failure> {
    let (mut old, _locked) = open(flash)?;
    let model = read_model(model)?;
    let (_, journal) = old.split(JOURNAL);
    let stored = Journal::open(journal)
        .map_err(|error| Failure::NoModel(BootError::Journal(error)))?
        .counters()
        .security;
    // A copy boots, and raises its security counter if it serves the model; only then is it written.
    let mut machine = Machine::new(provision::with_model(&old, &model)?);
    let device = machine.boot(|_: Event| {});
    let found = device.model().map_err(Failure::NoModel)?.security_counter;
    drop(device);
    if found <= stored {
        return Err(Failure::NotNewer { found, stored });
    }
    write_new(flash, machine.flash().bytes(), true)?;
    say(format_args!(
        "{}: the model is replaced; security counter {stored} -> {found}",
        flash.display()
    ));
    Ok(())
}

fn read_model(path: &Path) -> Result<Vec<u8>, Failure> {
    let mut bytes = Vec::new();
    File::open(path)
        .and_then(|open| open.take(MODEL_FILE_LEN_MAX).read_to_end(&mut bytes))
        .map_err(Failure::io("read", path))?;
    Ok(bytes)
}

/// Writes a file whole or not at all, for its owner alone.
fn write_new(path: &Path, bytes: &[u8], force: bool) -> Result<(), Failure> {
    let folder = match path.parent() {
        Some(folder) if folder != Path::new("") => folder,
        _ => Path::new("."),
    };
    // A temporary file has mode 0600.
    let mut file =
        tempfile::NamedTempFile::new_in(folder).map_err(Failure::io("write in", folder))?;
    file.write_all(bytes)
        .and_then(|()| file.as_file().sync_all())
        .map_err(Failure::io("write", path))?;
    let kept = if force {
        file.persist(path)
    } else {
        file.persist_noclobber(path)
    };
    kept.map_err(|error| match error.error.kind() {
        io::ErrorKind::AlreadyExists => Failure::Exists(path.to_owned()),
        _ => Failure::io("write", path)(error.error),
    })?;
    Ok(())
}

fn run(path: &Path) -> Result<(), Failure> {
    let (flash, file) = open(path)?;
    let mut machine = Machine::new(flash);
    machine.flash_mut().attach(file);
    let frames = Frames {
        input: io::stdin().lock(),
        output: io::stdout().lock(),
    };
    let mut device = machine.boot_on(frames, |event| say(format_args!("{event}")));
    let ended = device.run();
    let model = device.model().map(drop);
    drop(device);
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

fn info(path: &Path) -> Result<(), Failure> {
    let (mut flash, _locked) = open(path)?;
    let [_, major, minor, patch] = FIRMWARE_VERSION.to_be_bytes();
    let mut lines = vec![format!(
        "firmware   {major}.{minor}.{patch}, built for {SHAPE}"
    )];
    let (mapped, region) = flash.split(JOURNAL);
    match Provisioned::read(mapped.get(IDENTITY..).unwrap_or_default()) {
        Ok(Provisioned { identity, .. }) => lines.extend([
            format!("device     {}", identity.device),
            format!(
                "publisher  {} {}",
                identity.publisher.scheme(),
                identity.publisher.key_id()
            ),
            match &identity.model {
                Some(key) => format!("model key  fernet {}", key.key_id()),
                None => "model key  none: clear models alone".into(),
            },
            format!("wire key   fernet {}", identity.wire.key_id()),
            format!(
                "receipts   {} {}",
                identity.receipt.scheme(),
                identity.receipt.key_id()
            ),
        ]),
        Err(error) => lines.push(format!("device     {error}")),
    }
    for (name, offset) in [("slot A", SLOT_A), ("slot B", SLOT_B)] {
        let slot = mapped.get(offset..offset + SLOT_LEN).unwrap_or_default();
        lines.push(match Sealed::parse_prefix(slot) {
            _ if slot.iter().all(|byte| *byte == 0xFF) => format!("{name}     blank"),
            Err(error) => format!("{name}     {error}"),
            Ok(sealed) => {
                let claims = sealed.untrusted_header();
                format!(
                    "{name}     claims: {} {:?}, security counter {}, signed by {} {}",
                    claims.shape,
                    claims.name.as_str(),
                    claims.security_counter,
                    claims.scheme,
                    claims.signing_key
                )
            }
        });
    }
    match Journal::open(region) {
        Ok(journal) => {
            let counters = journal.counters();
            lines.push(format!(
                "counters   {} boots, security counter {}, no request up to {}",
                counters.boot, counters.security, counters.requests
            ));
        }
        Err(error) => lines.push(format!("counters   {error}")),
    }
    let text = lines.join("\n") + "\n";
    match io::stdout().write_all(text.as_bytes()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(Failure::Frames("print", error))
        }
        _ => Ok(()),
    }
}

/// Opens a flash image for this process alone.
fn open(path: &Path) -> Result<(SimFlash, File), Failure> {
    let mut file = OpenOptions::new()
        .read(true)
        .write(true)
        .open(path)
        .map_err(Failure::io("open", path))?;
    let metadata = file.metadata().map_err(Failure::io("read", path))?;
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        if metadata.permissions().mode() & 0o077 != 0 {
            return Err(Failure::Permissions(path.to_owned()));
        }
    }
    if !metadata.is_file() || metadata.len() != FLASH_LEN as u64 {
        return Err(Failure::NoImage {
            path: path.to_owned(),
            len: metadata.len(),
        });
    }
    file.try_lock().map_err(|error| match error {
        TryLockError::WouldBlock => Failure::InUse(path.to_owned()),
        TryLockError::Error(error) => Failure::io("lock", path)(error),
    })?;
    let mut bytes = Zeroizing::new(vec![0; FLASH_LEN]);
    file.read_exact(&mut bytes)
        .map_err(Failure::io("read", path))?;
    Ok((SimFlash::new(mem::take(&mut bytes)), file))
}

/// Says a line on standard error, if anyone listens.
fn say(line: std::fmt::Arguments<'_>) {
    let _ = writeln!(io::stderr(), "{}", plain(&line.to_string()));
}

/// The text without what would command a terminal: a file's name may hold anything.
fn plain(text: &str) -> String {
    text.chars()
        .flat_map(|c| {
            let escaped = c.is_control().then(|| c.escape_default());
            let kept = escaped.is_none().then_some(c);
            escaped.into_iter().flatten().chain(kept)
        })
        .collect()
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

/// Bounds what is read of a file that is no model.
const MODEL_FILE_LEN_MAX: u64 = 256 << 20;
