//! A Cortex-M board in QEMU: builds the image, boots it, talks to it, keeps its flash.
//!
//! QEMU's MPS2 boards have plain memory where a microcontroller has flash: the image's driver programs a region
//! of it under NOR rules. That memory is a file, so the flash outlives resets and even QEMU's own end.

mod board;
mod build;
mod code;
mod counted;
mod debug;
mod defmt_log;
mod gdb;
mod machine;
mod memory;
mod monitor;
mod stack;
mod supervisor;
mod timed;
mod trace;
mod traced;
mod watch;
mod work;

use std::io;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

pub use board::{Board, Mode};
pub use build::{Image, Toolchain, build, build_for, build_telling, is_current, sources};
pub(crate) use build::{Program, build_bench};
pub(crate) use code::{Code, IN_FLASH};
pub use counted::{Counted, Woken};
pub(crate) use debug::Debugged;
pub(crate) use gdb::Stop;
pub use machine::Machine;
pub(crate) use memory::MEMORY_LEN;
pub use memory::Memory;
pub use stack::Stack;
pub(crate) use timed::instructions;
pub(crate) use traced::Traced;
pub(crate) use watch::{End, Patience, Watched};

/// The version of the QEMU that is installed, as it says itself.
///
/// # Errors
/// [`QemuError::Program`] if there is none.
pub fn installed() -> Result<String, QemuError> {
    let said = Command::new(machine::QEMU)
        .arg("--version")
        .stdin(Stdio::null())
        .output()
        .map_err(|source| QemuError::Program {
            program: machine::QEMU,
            source,
        })?;
    let said = String::from_utf8_lossy(&said.stdout);
    Ok(said.lines().next().unwrap_or_default().trim().to_owned())
}

/// Why a board in QEMU could not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum QemuError {
    /// A program could not be started.
    #[error("cannot run {program}: {source}")]
    Program {
        /// Its name.
        program: &'static str,
        /// The operating system's answer.
        source: io::Error,
    },
    /// No toolchain of this machine builds for the board.
    #[error("no Rust toolchain here builds for {triple}")]
    Toolchain {
        /// The target.
        triple: &'static str,
    },
    /// The image's sources are not where this program was built.
    #[error("the firmware's sources are not at {}", .0.display())]
    Sources(PathBuf),
    /// The image did not build; all that cargo said.
    #[error("the firmware did not build: {}", brief(.0))]
    Build(String),
    /// QEMU ended, or said something unexpected.
    #[error("QEMU failed: {0}")]
    Machine(String),
    /// Not all that was executed is in QEMU's log. It happens now and then on a busy machine; the next run has it.
    #[error("QEMU failed: its log does not say which instructions were executed")]
    Gap,
    /// QEMU or the device did not answer in time.
    #[error("the device in QEMU gave no answer within {} s", .0.as_secs())]
    Timeout(Duration),
    /// A file or socket failed.
    #[error("cannot {action}: {source}")]
    Io {
        /// What was being done.
        action: &'static str,
        /// The operating system's answer.
        source: io::Error,
    },
}

impl QemuError {
    /// What to do about it.
    pub fn hint(&self) -> String {
        match self {
            Self::Program {
                program: "qemu-system-arm",
                ..
            } => "install QEMU for Arm, such as: apt-get install qemu-system-arm".into(),
            Self::Program { .. } => "install Rust from https://rustup.rs".into(),
            Self::Toolchain { triple } => format!(
                "rustup target add {triple}; on Debian: apt-get install rustc-web cargo-web rust-web-src"
            ),
            Self::Sources(_) => {
                "say where a clone of the repository is: SEALNET_SOURCES=FOLDER in the environment"
                    .into()
            }
            Self::Build(_) => {
                "build it by hand to see all that is wrong (`tests/run thumb`); the first build fetches crates"
                    .into()
            }
            _ => String::new(),
        }
    }

    pub(crate) fn io(action: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io { action, source }
    }
}

/// The first error of what cargo said.
fn brief(said: &str) -> &str {
    let mut lines = said.lines().map(str::trim);
    lines
        .find(|line| line.starts_with("error"))
        .unwrap_or(said.trim())
}
