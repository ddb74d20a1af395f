//! Builds the image, with whichever toolchain this machine has. Cargo keeps it between runs.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::{Board, Mode, QemuError};
use crate::shape::SHAPE;

/// A built image.
#[derive(Debug, Clone)]
pub struct Image {
    /// The ELF file.
    pub path: PathBuf,
    /// The board that it runs on.
    pub board: Board,
    /// How it keeps a model.
    pub mode: Mode,
}

/// Builds the image for a board, or takes the one of the last time.
///
/// # Errors
/// [`QemuError`].
pub fn build(board: Board, mode: Mode) -> Result<Image, QemuError> {
    let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("firmware");
    if !sources.join("Cargo.toml").is_file() {
        return Err(QemuError::Sources(sources));
    }
    let target = match env::var_os("CARGO_TARGET_DIR") {
        Some(folder) => PathBuf::from(folder),
        None => Path::new(env!("CARGO_MANIFEST_DIR")).join("../target"),
    }
    .join("firmware");
    let mut cargo = toolchain(board.triple())?;
    let features: Vec<&str> = [Some(board.machine()), mode.feature()]
        .into_iter()
        .flatten()
        .collect();
    cargo
        .current_dir(&sources)
        .args(["--release", "--locked", "--target", board.triple()])
        .args(["--features", &features.join(",")])
        .env("CARGO_TARGET_DIR", target.join(mode_folder(mode)))
        .env("DEFMT_LOG", "info")
        .env("SEALNET_SHAPE", SHAPE.to_string())
        // The flags are the image's own, in its .cargo/config.toml.
        .env_remove("RUSTFLAGS")
        .env_remove("CARGO_ENCODED_RUSTFLAGS");
    let output = cargo.output().map_err(|source| QemuError::Program {
        program: "cargo",
        source,
    })?;
    if !output.status.success() {
        return Err(QemuError::Build(
            String::from_utf8_lossy(&output.stderr).into_owned(),
        ));
    }
    let path = target
        .join(mode_folder(mode))
        .join(board.triple())
        .join("release/sealnet-image");
    Ok(Image { path, board, mode })
}

/// Images of different features must not overwrite each other.
fn mode_folder(mode: Mode) -> &'static str {
    mode.feature().unwrap_or("clear")
}

/// `cargo build` for a target: rustup's, else Debian's compiler, which builds `core` itself.
fn toolchain(triple: &'static str) -> Result<Command, QemuError> {
    // Asked first, since adding a target that is there asks the network too.
    if installed(triple) || runs(Command::new("rustup").args(["target", "add", triple])) {
        let mut cargo = Command::new("cargo");
        cargo.arg("build");
        return Ok(cargo);
    }
    let linker = linker();
    match (runs(Command::new(DEBIAN_RUSTC).arg("--version")), linker) {
        (true, Some(linker)) => {
            let variable = triple.replace(['-', '.'], "_").to_uppercase();
            let mut cargo = Command::new("/usr/bin/cargo");
            cargo
                .args(["build", "-Zbuild-std=core"])
                .env("RUSTC", DEBIAN_RUSTC)
                .env("RUSTC_BOOTSTRAP", "1")
                .env(format!("CARGO_TARGET_{variable}_LINKER"), linker);
            Ok(cargo)
        }
        _ => Err(QemuError::Toolchain { triple }),
    }
}

fn installed(triple: &str) -> bool {
    let list = Command::new("rustup")
        .args(["target", "list", "--installed"])
        .output();
    list.is_ok_and(|list| {
        String::from_utf8_lossy(&list.stdout)
            .lines()
            .any(|line| line == triple)
    })
}

/// LLVM's linker, as rustup's toolchain carries it for its host.
fn linker() -> Option<PathBuf> {
    let sysroot = Command::new("rustc")
        .args(["--print", "sysroot"])
        .output()
        .ok()?;
    let targets = Path::new(String::from_utf8(sysroot.stdout).ok()?.trim()).join("lib/rustlib");
    let linkers = targets
        .read_dir()
        .ok()?
        .flatten()
        .map(|target| target.path().join("bin/rust-lld"));
    linkers.into_iter().find(|linker| linker.is_file())
}

fn runs(command: &mut Command) -> bool {
    command.output().is_ok_and(|output| output.status.success())
}

const DEBIAN_RUSTC: &str = "/usr/bin/rustc";
