//! `sealnet doctor`: what this machine has, and whether the demo can run.

mod firmware;

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{SystemTime, UNIX_EPOCH};

use sealnet::cores::cores;
use sealnet::dataset::fetch;
use sealnet::demo;
use sealnet::error::Result;
use sealnet::files;
use sealnet::state::SerialMemory;
use serde::Serialize;

use super::Outcome;
use crate::cli::DoctorArgs;
use crate::ui::Ui;

pub(crate) fn run(_args: &DoctorArgs, ui: &Ui) -> Result<Outcome> {
    let mnist = mnist();
    let mut checks = vec![
        cache(&mnist),
        mnist,
        folder("state", state_folder(), STATE_SPACE),
        folder("work", Ok(std::env::temp_dir()), demo::SPACE),
        random(),
        clock(),
        new_files(),
        processor(),
    ];
    checks.extend(TOOLS.iter().map(tool));
    checks.extend(firmware::checks());

    let ready = checks.iter().all(|check| check.status != Status::Missing);
    for check in &checks {
        let status = match check.status {
            Status::Ok => "ok      ",
            Status::Note => "note    ",
            Status::Missing => "missing ",
        };
        ui.line(format_args!("{status} {:<16} {}", check.name, check.found))?;
        if !check.advice.is_empty() {
            ui.line(format_args!("{:26}{}", "", check.advice))?;
        }
    }
    ui.line(match ready {
        true => "the demo can run: sealnet demo",
        false => "the demo cannot run yet: see what is missing above",
    })?;
    ui.document(&Diagnosis { ready, checks })?;
    Ok(match ready {
        true => Outcome::Done,
        false => Outcome::NotReady,
    })
}

#[derive(Serialize)]
struct Diagnosis {
    ready: bool,
    checks: Vec<Check>,
}

#[derive(Serialize)]
struct Check {
    name: &'static str,
    status: Status,
    found: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    advice: String,
}

#[derive(Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Status {
    /// As it should be.
    Ok,
    /// Good to know; the demo runs all the same.
    Note,
    /// The demo cannot run.
    Missing,
}

impl Check {
    fn ok(name: &'static str, found: impl Into<String>) -> Check {
        Check {
            name,
            status: Status::Ok,
            found: found.into(),
            advice: String::new(),
        }
    }

    fn note(self, advice: impl Into<String>) -> Check {
        Check {
            status: Status::Note,
            advice: advice.into(),
            ..self
        }
    }

    fn missing(self, advice: impl Into<String>) -> Check {
        Check {
            status: Status::Missing,
            advice: advice.into(),
            ..self
        }
    }
}

fn state_folder() -> Result<PathBuf> {
    let memory = SerialMemory::of_this_machine()?;
    Ok(files::parent(&memory.file()).to_owned())
}

/// What is to be fetched needs a place; what is there already does not.
fn cache(mnist: &Check) -> Check {
    let check = folder("cache", fetch::cache_dir(), CACHE_SPACE);
    match (check.status, mnist.status) {
        (Status::Missing, Status::Ok) => {
            let advice = check.advice.clone();
            check.note(format!("nothing more can be fetched: {advice}"))
        }
        _ => check,
    }
}

/// A folder must be writable, or one that can be made, with space on its disk.
fn folder(name: &'static str, path: Result<PathBuf>, needed: u64) -> Check {
    let path = match path {
        Ok(path) => path,
        Err(e) => return Check::ok(name, e.to_string()).missing(e.hint()),
    };
    let shown = path.display().to_string();
    // A folder that does not exist yet is judged by the nearest one above it, and not made.
    let existing = path.ancestors().find(|folder| folder.is_dir());
    let existing = existing.unwrap_or(Path::new("."));
    if let Err(e) = tempfile::tempfile_in(existing) {
        let reason = sealnet::error::reason(&e);
        return Check::ok(name, format!("{shown}: {reason}")).missing(match name {
            "cache" => "set SEALNET_CACHE_DIR to a folder that you can write to",
            "state" => "set SEALNET_STATE_DIR to a folder that you can write to",
            _ => "set TMPDIR to a folder that you can write to",
        });
    }
    match free_space(existing) {
        None => Check::ok(name, shown),
        Some(free) => {
            let check = Check::ok(name, format!("{shown}, {} MB free", free / 1_000_000));
            match free < needed {
                true => check.missing(format!("{} MB are needed", needed / 1_000_000)),
                false => check,
            }
        }
    }
}

#[cfg(unix)]
fn free_space(folder: &Path) -> Option<u64> {
    let disk = rustix::fs::statvfs(folder).ok()?;
    disk.f_bavail.checked_mul(disk.f_frsize)
}

#[cfg(not(unix))]
fn free_space(_folder: &Path) -> Option<u64> {
    None
}

fn mnist() -> Check {
    match fetch::mnist_folder() {
        Ok(folder) if fetch::has_mnist(&folder) => Check::ok(
            "mnist",
            format!("{}, digests as published", folder.display()),
        ),
        _ => Check::ok("mnist", "not in the cache")
            .note("the demo fetches it; sealnet fetch mnist does so now"),
    }
}

fn random() -> Check {
    let mut bytes = [0; 16];
    match getrandom::fill(&mut bytes) {
        Ok(()) => Check::ok("random source", "the operating system's"),
        Err(e) => Check::ok("random source", e.to_string())
            .missing("without one no key and no IV can be made"),
    }
}

fn clock() -> Check {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let now = now.map_or(0, |since| since.as_secs());
    let check = Check::ok("clock", format!("{now} s since 1970"));
    match (PLAUSIBLE_FROM..PLAUSIBLE_TO).contains(&now) {
        true => check,
        false => check.note("set it: tokens and manifests carry the time, and --ttl judges by it"),
    }
}

/// The umask, by what it does.
fn new_files() -> Check {
    let private = private_by_default();
    let check = Check::ok(
        "new files",
        match private {
            Some(true) => "private by the umask",
            Some(false) => "readable by others by the umask",
            None => "permissions unknown",
        },
    );
    match private {
        Some(false) => Check {
            advice: "secret files are made private all the same".into(),
            ..check
        },
        _ => check,
    }
}

#[cfg(unix)]
fn private_by_default() -> Option<bool> {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().ok()?;
    let path = folder.path().join("new");
    files::write_new(&path, b"").ok()?;
    let mode = std::fs::metadata(&path).ok()?.permissions().mode();
    Some(mode & 0o077 == 0)
}

#[cfg(not(unix))]
fn private_by_default() -> Option<bool> {
    None
}

fn processor() -> Check {
    let cores = cores();
    let features = features();
    let features = match features.as_slice() {
        [] => "no known extensions".to_owned(),
        some => some.join(" "),
    };
    Check::ok("processor", format!("{cores} cores, {features}"))
}

#[cfg(target_arch = "x86_64")]
fn features() -> Vec<&'static str> {
    [
        ("aes", is_x86_feature_detected!("aes")),
        ("sha", is_x86_feature_detected!("sha")),
        ("fma", is_x86_feature_detected!("fma")),
        ("avx2", is_x86_feature_detected!("avx2")),
        ("avx512f", is_x86_feature_detected!("avx512f")),
    ]
    .into_iter()
    .filter_map(|(name, has)| has.then_some(name))
    .collect()
}

#[cfg(not(target_arch = "x86_64"))]
fn features() -> Vec<&'static str> {
    Vec::new()
}

/// A program that something here can use.
struct Tool {
    name: &'static str,
    version: &'static str,
    used_for: &'static str,
}

fn tool(tool: &Tool) -> Check {
    match first_line(tool.name, &[tool.version]) {
        Some(version) => Check::ok(tool.name, version),
        None => Check::ok(tool.name, "not found").note(tool.used_for),
    }
}

fn first_line(program: &str, arguments: &[&str]) -> Option<String> {
    let text = output(program, arguments)?;
    let line = text.lines().next().unwrap_or_default().trim();
    Some(line.to_owned())
}

fn output(program: &str, arguments: &[&str]) -> Option<String> {
    let ran = Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .output()
        .ok()?;
    let text = String::from_utf8_lossy(&ran.stdout).into_owned();
    ran.status.success().then_some(text)
}

const TOOLS: [Tool; 3] = [
    Tool {
        name: "npm",
        version: "--version",
        used_for: "only to fetch mnist where the mirrors cannot be reached",
    },
    Tool {
        name: "python3",
        version: "--version",
        used_for: "only for the tests, which compare with Python's cryptography",
    },
    Tool {
        name: "openssl",
        version: "version",
        used_for: "only for the tests, and to check signatures without sealnet",
    },
];

/// The four files, twice: while they are written the old ones are kept.
const CACHE_SPACE: u64 = 120_000_000;

/// A few kilobytes, and room to spare.
const STATE_SPACE: u64 = 1_000_000;

/// 2025 to 2100.
const PLAUSIBLE_FROM: u64 = 1_735_689_600;
const PLAUSIBLE_TO: u64 = 4_102_444_800;
