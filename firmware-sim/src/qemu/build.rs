//! Builds the image, with whichever toolchain this machine has. Cargo keeps it between runs.

use std::io::{self, Write as _};
use std::path::{Path, PathBuf, absolute};
use std::process::Command;
use std::{env, fs};

use sealnet_core::mlp::WeightType;

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
    /// How fine the weights are of the models that it runs.
    pub weights: WeightType,
}

/// What an image of the bench runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Program {
    /// The device's kernels and plain loops.
    Kernels,
    /// The portable kernel.
    Portable,
    /// Layers of any widths.
    Layers,
}

/// What can be built.
#[derive(Debug, Clone, Copy)]
struct Recipe {
    /// The folder of its sources, in the repository.
    sources: &'static str,
    /// The program that comes out.
    name: &'static str,
    /// The folder that it is kept in: images of different features must not overwrite each other.
    kept: &'static str,
    /// A feature beside those of the board and the weights.
    feature: Option<&'static str>,
    board: Board,
    mode: Mode,
    weights: WeightType,
}

impl Recipe {
    /// The device.
    fn device(board: Board, mode: Mode, weights: WeightType) -> Self {
        Self {
            sources: "firmware-sim/firmware",
            name: "sealnet-image",
            kept: match (mode, weights) {
                (Mode::Confidential, WeightType::Int4) => "confidential-int4",
                (Mode::Confidential, _) => "confidential",
                (_, WeightType::Int4) => "clear-int4",
                _ => "clear",
            },
            feature: mode.feature(),
            board,
            mode,
            weights,
        }
    }

    fn bench(board: Board, weights: WeightType, program: Program) -> Self {
        Self {
            sources: "firmware-sim/bench-image",
            name: "sealnet-bench-image",
            kept: match (program, weights) {
                (Program::Kernels, WeightType::Int4) => "bench-int4",
                (Program::Kernels, _) => "bench",
                (Program::Portable, WeightType::Int4) => "bench-portable-int4",
                (Program::Portable, _) => "bench-portable",
                (Program::Layers, WeightType::Int4) => "bench-layers-int4",
                (Program::Layers, _) => "bench-layers",
            },
            feature: match program {
                Program::Kernels => None,
                Program::Portable => Some("portable"),
                Program::Layers => Some("layers"),
            },
            board,
            mode: Mode::Clear,
            weights,
        }
    }
}

/// The images' feature for models with such weights.
const fn feature(weights: WeightType) -> &'static str {
    match weights {
        WeightType::Int4 => "int4",
        _ => "int8",
    }
}

/// Builds the image for a board that runs models with int8 weights, or takes the one of the last time. What takes long is
/// said on standard error.
///
/// # Errors
/// [`QemuError`].
pub fn build(board: Board, mode: Mode) -> Result<Image, QemuError> {
    build_for(board, mode, WeightType::Int8)
}

/// The same for any weights.
///
/// # Errors
/// [`QemuError`].
pub fn build_for(board: Board, mode: Mode, weights: WeightType) -> Result<Image, QemuError> {
    // Nobody can be told that standard error is gone.
    build_telling(board, mode, weights, &|line| {
        let _ = writeln!(io::stderr(), "{line}");
    })
}

/// The same; `tell` is told, a line each, what takes long: a target that is installed, a build.
///
/// # Errors
/// [`QemuError`].
pub fn build_telling(
    board: Board,
    mode: Mode,
    weights: WeightType,
    tell: &dyn Fn(&str),
) -> Result<Image, QemuError> {
    make(Recipe::device(board, mode, weights), tell)
}

/// Builds the image that runs a program of the bench, or takes that of the last time.
///
/// # Errors
/// [`QemuError`].
pub(crate) fn build_bench(
    board: Board,
    weights: WeightType,
    program: Program,
    tell: &dyn Fn(&str),
) -> Result<Image, QemuError> {
    make(Recipe::bench(board, weights, program), tell)
}

fn make(recipe: Recipe, tell: &dyn Fn(&str)) -> Result<Image, QemuError> {
    let Recipe { board, mode, .. } = recipe;
    let sources = sources_of(recipe)?;
    let (target, path) = places(recipe)?;
    let current = kept(recipe);
    let image = Image {
        path,
        board,
        mode,
        weights: recipe.weights,
    };
    let mut cargo = match toolchain(board.triple(), !current, tell) {
        // There is nothing to do for a compiler.
        Err(_) if current => return Ok(image),
        found => found?,
    };
    if !current {
        tell(&format!("building the firmware for a {board}…"));
    }
    let weights = feature(recipe.weights);
    let features: Vec<&str> = [Some(board.machine()), Some(weights), recipe.feature]
        .into_iter()
        .flatten()
        .collect();
    cargo
        .current_dir(&sources)
        .args(["--release", "--locked", "--target", board.triple()])
        .args(["--features", &features.join(",")])
        .env("CARGO_TARGET_DIR", target)
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
    Ok(image)
}

/// Whether [`build`], for int8 weights, has nothing to do: the image is there and none of what it was made of is newer.
pub fn is_current(board: Board, mode: Mode) -> bool {
    kept(Recipe::device(board, mode, WeightType::Int8))
}

fn kept(recipe: Recipe) -> bool {
    let Ok((_, path)) = places(recipe) else {
        return false;
    };
    let changed = |path: &Path| path.metadata().and_then(|file| file.modified()).ok();
    // Cargo's own list, as for make: the image, a colon, and what it was made of, spaces escaped.
    let list = fs::read_to_string(path.with_extension("d")).unwrap_or_default();
    let Some((built, (_, parts))) = changed(&path).zip(list.trim_end().split_once(": ")) else {
        return false;
    };
    let parts = parts.replace("\\ ", "\0");
    parts
        .split(' ')
        .map(|part| part.replace('\0', " "))
        .all(|part| changed(Path::new(&part)).is_some_and(|changed| changed <= built))
}

/// The image's sources.
///
/// # Errors
/// [`QemuError::Sources`] if they are not there.
pub fn sources() -> Result<PathBuf, QemuError> {
    // The same for all.
    let (board, mode, weights) = (Board::CortexM4, Mode::Clear, WeightType::Int8);
    sources_of(Recipe::device(board, mode, weights))
}

fn sources_of(recipe: Recipe) -> Result<PathBuf, QemuError> {
    let sources = repository().join(recipe.sources);
    match sources.join("Cargo.toml").is_file() {
        true => Ok(sources),
        false => Err(QemuError::Sources(sources)),
    }
}

/// Where the repository lies: where this program was built, unless the environment names another place.
fn repository() -> PathBuf {
    match env::var_os("SEALNET_SOURCES") {
        Some(folder) => PathBuf::from(folder),
        None => Path::new(env!("CARGO_MANIFEST_DIR")).join(".."),
    }
}

/// Cargo's target folder for an image, and the image.
fn places(recipe: Recipe) -> Result<(PathBuf, PathBuf), QemuError> {
    let target = match env::var_os("CARGO_TARGET_DIR") {
        Some(folder) => PathBuf::from(folder),
        None => repository().join("target"),
    };
    let target = absolute(target)
        .map_err(QemuError::io("name the folder of the firmware"))?
        .join("firmware")
        .join(recipe.kept);
    let folder = target.join(recipe.board.triple()).join("release");
    Ok((target, folder.join(recipe.name)))
}

/// What builds an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Toolchain {
    /// Rustup's, with the target.
    Rustup,
    /// Debian's compiler, which builds `core` itself.
    Debian,
}

impl Toolchain {
    /// What this machine has for a target. Installs nothing.
    pub fn found(triple: &str) -> Option<Self> {
        if installed(triple) {
            Some(Self::Rustup)
        } else {
            (runs(Command::new(DEBIAN_RUSTC).arg("--version")) && linker().is_some())
                .then_some(Self::Debian)
        }
    }
}

/// `cargo build` for a target, which rustup is asked for where it is missing and may be installed.
fn toolchain(
    triple: &'static str,
    install: bool,
    tell: &dyn Fn(&str),
) -> Result<Command, QemuError> {
    let mut found = Toolchain::found(triple);
    // Asked last, since it asks the network.
    if install && found != Some(Toolchain::Rustup) && runs(Command::new("rustup").arg("--version"))
    {
        tell(&format!(
            "installing the Rust target {triple}: rustup target add {triple}"
        ));
        if runs(Command::new("rustup").args(["target", "add", triple])) {
            found = Some(Toolchain::Rustup);
        }
    }
    match (found, linker()) {
        (Some(Toolchain::Rustup), _) => {
            let mut cargo = Command::new("cargo");
            cargo.arg("build");
            Ok(cargo)
        }
        (Some(Toolchain::Debian), Some(linker)) => {
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
