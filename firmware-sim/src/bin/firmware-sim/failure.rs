//! Why a command failed, and what to do about it.

use std::io;
use std::path::{Path, PathBuf};

use sealnet_firmware::campaign::frames::FuzzError;
use sealnet_firmware::campaign::power::SetupError;
#[cfg(unix)]
use sealnet_firmware::campaign::skip::SkipError;
use sealnet_firmware::client::ClientError;
use sealnet_firmware::device::BootError;
use sealnet_firmware::keyfile::{Exposed, KeyFileError};
use sealnet_firmware::layout::FLASH_LEN;
use sealnet_firmware::provision::ProvisionError;
#[cfg(unix)]
use sealnet_firmware::qemu::QemuError;
use sealnet_firmware::sample::SampleError;
use serde_json::{Value, json};

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    #[error("cannot {action} {}: {source}", path.display())]
    Io {
        action: &'static str,
        path: PathBuf,
        source: io::Error,
    },
    #[error("cannot pass on the frames: {0}")]
    Frames(io::Error),
    #[error("cannot write standard output: {0}")]
    Output(io::Error),
    /// An option of boards in QEMU where there is none.
    #[cfg(unix)]
    #[error("{0} is for a board in QEMU")]
    NoBoard(&'static str),
    #[error(transparent)]
    Provision(#[from] ProvisionError),
    #[error(transparent)]
    Model(KeyFileError),
    #[error("the device serves no model: {0}")]
    NoModel(BootError),
    #[error("the device refuses the model: {0}")]
    Refused(BootError),
    #[error("the device was not updated: {0}")]
    Update(ClientError),
    #[error("the model is no newer one: security counter {found}, the device is at {stored}")]
    NotNewer { found: u32, stored: u32 },
    #[cfg(unix)]
    #[error(transparent)]
    Qemu(#[from] QemuError),
    #[cfg(unix)]
    #[error(transparent)]
    Skip(#[from] SkipError),
    #[error(transparent)]
    Setup(#[from] SetupError),
    #[error(transparent)]
    Fuzz(#[from] FuzzError),
    #[error(transparent)]
    Sample(#[from] SampleError),
    #[error("the report {} cannot be {cannot}: {what}", path.display())]
    Report {
        path: PathBuf,
        cannot: &'static str,
        what: String,
        hint: &'static str,
    },
    #[error("--scenario is of skipped instructions, which --only leaves out")]
    Scenario,
    #[error("{0} faults were not withstood")]
    Faults(u64),
    #[cfg(unix)]
    #[error(transparent)]
    Budget(#[from] sealnet_firmware::budget::BudgetError),
    #[cfg(unix)]
    #[error(transparent)]
    ConstantTime(#[from] sealnet_firmware::constant_time::ConstantTimeError),
    #[cfg(unix)]
    #[error("{0}")]
    Varies(&'static str),
    #[error("{} exists", .0.display())]
    Exists(PathBuf),
    /// It is no flash image, and might be anything of value.
    #[error("{} exists and is no flash image of this firmware, so it is not replaced", .0.display())]
    Precious(PathBuf),
    #[error("{} is a pipe or a device, not a file", .0.display())]
    NoFile(PathBuf),
    #[error("{} is {len} bytes long, which no model is", path.display())]
    Huge { path: PathBuf, len: u64 },
    /// What a run in QEMU left behind lies beside an image that is not there.
    #[cfg(unix)]
    #[error("{} is not there, and what a run of it in QEMU left behind is: {}", path.display(), running.display())]
    Orphan { running: PathBuf, path: PathBuf },
    #[error("{} {exposed}", path.display())]
    Exposed { path: PathBuf, exposed: Exposed },
    #[error("{} is in use by another firmware-sim", .0.display())]
    InUse(PathBuf),
    /// What a run in QEMU left behind is not this image's.
    #[error("{} is not what a run of {} left behind", running.display(), path.display())]
    Strange { running: PathBuf, path: PathBuf },
    #[error("{} is newer than what a run of it left behind in {}: its counters are higher", path.display(), running.display())]
    Behind { running: PathBuf, path: PathBuf },
    #[cfg(not(unix))]
    #[error("--on qemu needs Unix")]
    NeedsUnix,
    #[error("{} is no flash image of this firmware: {len} bytes, not {FLASH_LEN}", path.display())]
    NoImage { path: PathBuf, len: u64 },
}

impl Failure {
    pub(crate) fn hint(&self) -> String {
        match self {
            Self::Provision(error) => error.hint(),
            #[cfg(unix)]
            Self::Qemu(error) | Self::Skip(SkipError::Qemu(error)) => error.hint(),
            #[cfg(unix)]
            Self::Skip(_) => String::new(),
            Self::Report { hint, .. } => (*hint).into(),
            #[cfg(unix)]
            Self::Budget(error) => error.hint(),
            #[cfg(unix)]
            Self::ConstantTime(error) => error.hint(),
            #[cfg(unix)]
            Self::Varies(_) => String::new(),
            Self::Exists(_) => {
                "to give its device a newer model, use `firmware-sim update`; to provision it anew, --force"
                    .into()
            }
            Self::Exposed { path, exposed } => exposed.hint(path),
            Self::NoModel(error) | Self::Refused(error) => error.hint().into(),
            #[cfg(unix)]
            Self::NoBoard(option) => format!("add --on qemu, or leave {option} out"),
            Self::Precious(_) => "name another file, or remove this one yourself".into(),
            Self::NoFile(_) => "name a regular file".into(),
            #[cfg(unix)]
            Self::Orphan { running, .. } => format!(
                "it holds the newest counters of the device that ran; if they are not to go on, remove {}",
                running.display()
            ),
            Self::Huge { .. } | Self::Model(KeyFileError::NoFile(_)) => "name a model made by `sealnet export`".into(),
            Self::NotNewer { stored, .. } => format!(
                "export it with a higher one: sealnet export --counter {}",
                stored.saturating_add(1)
            ),
            Self::NoImage { .. } => "make one with `firmware-sim provision`".into(),
            Self::Strange { running, .. } => {
                format!("if no device of yours ran from it, remove {}", running.display())
            }
            Self::Behind { running, path } => format!(
                "if {} is the device's flash as it is now, remove {}",
                path.display(),
                running.display()
            ),
            #[cfg(not(unix))]
            Self::NeedsUnix => "leave it out: the device then runs in this process".into(),
            Self::Scenario => "leave --scenario out, or add skips to --only".into(),
            Self::Io { .. }
            | Self::Setup(_)
            | Self::Fuzz(_)
            | Self::Sample(_)
            | Self::Faults(_)
            | Self::Frames(_)
            | Self::Output(_)
            | Self::Model(_)
            | Self::Update(_)
            | Self::InUse(_) => String::new(),
        }
    }

    pub(crate) fn exit_code(&self) -> u8 {
        match self {
            Self::NoModel(error) | Self::Refused(error) if error.is_verification() => 1,
            Self::Update(error) if error.is_verification() => 1,
            Self::NotNewer { .. } | Self::Faults(_) => 1,
            #[cfg(unix)]
            Self::Varies(_) => 1,
            _ => 2,
        }
    }

    /// Whether it says what the command found, in whose document it stands.
    pub(crate) fn is_of_a_result(&self) -> bool {
        match self {
            Self::Faults(_) => true,
            #[cfg(unix)]
            Self::Varies(_) => true,
            _ => false,
        }
    }

    /// For programs, with the members that `sealnet`'s errors have.
    pub(crate) fn told(&self) -> Value {
        let kind = match (self.exit_code(), self) {
            (1, _) => "verification",
            (_, Self::Io { .. } | Self::Output(_) | Self::Frames(_)) => "io",
            _ => "input",
        };
        json!({
            "kind": kind,
            "message": self.to_string(),
            "hint": self.hint(),
            "failures": [],
        })
    }

    pub(crate) fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io {
            action,
            path: path.to_owned(),
            source,
        }
    }
}

/// A result with what is wrong with it as its member `error`.
#[cfg(unix)]
pub(crate) fn with_error(mut document: Value, failure: Option<&Failure>) -> Value {
    if let (Value::Object(members), Some(failure)) = (&mut document, failure) {
        members.insert("error".into(), failure.told());
    }
    document
}
