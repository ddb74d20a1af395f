//! Who may read and write: Unix permissions. Elsewhere the platform's own rules hold.

use std::fs::{self, File};
use std::io;
use std::path::Path;

use sealnet_firmware::keyfile::Guard;

use crate::error::{Error, Result};

/// Of a file, before the umask.
pub(super) const FILE: u32 = 0o666;
/// Of a file that others may read and never write.
pub(super) const PUBLIC_FILE: u32 = 0o644;
/// Of a file that only its owner can read.
pub(super) const PRIVATE_FILE: u32 = 0o600;
/// Of a folder, before the umask.
pub(super) const FOLDER: u32 = 0o777;
/// Of a folder that only its owner can enter.
pub(super) const PRIVATE_FOLDER: u32 = 0o700;

/// What is left of `mode` under the umask of this process.
#[cfg(unix)]
pub(super) fn by_umask(mode: u32) -> u32 {
    use rustix::fs::Mode;
    use std::sync::OnceLock;
    static UMASK: OnceLock<u32> = OnceLock::new();
    let umask = UMASK.get_or_init(|| {
        // It can be read only by setting it. What another thread makes in between is private.
        let umask = rustix::process::umask(Mode::from_raw_mode(0o077));
        rustix::process::umask(umask);
        // It is 16 bits wide on some systems.
        #[allow(clippy::useless_conversion)]
        u32::from(umask.bits())
    });
    mode & !umask
}

#[cfg(not(unix))]
pub(super) fn by_umask(mode: u32) -> u32 {
    mode
}

/// The permissions of what has the name, if anything has it.
#[cfg(unix)]
pub(super) fn of(path: &Path) -> Option<u32> {
    use std::os::unix::fs::PermissionsExt;
    Some(fs::metadata(path).ok()?.permissions().mode() & 0o777)
}

#[cfg(not(unix))]
pub(super) fn of(_path: &Path) -> Option<u32> {
    None
}

#[cfg(unix)]
pub(super) fn set(file: &File, mode: u32) -> io::Result<()> {
    file.set_permissions(std::os::unix::fs::PermissionsExt::from_mode(mode))
}

#[cfg(not(unix))]
pub(super) fn set(_file: &File, _mode: u32) -> io::Result<()> {
    Ok(())
}

#[cfg(unix)]
pub(super) fn set_path(path: &Path, mode: u32) -> io::Result<()> {
    fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(mode))
}

#[cfg(not(unix))]
pub(super) fn set_path(_path: &Path, _mode: u32) -> io::Result<()> {
    Ok(())
}

/// Refuses a secret that others can read or write.
pub(super) fn refuse_shared(metadata: &fs::Metadata, path: &Path) -> Result<()> {
    refuse(Guard::Secret, metadata, path)
}

/// Refuses a file or folder that others can write to, and so swap what is trusted.
pub(super) fn refuse_writable(metadata: &fs::Metadata, path: &Path) -> Result<()> {
    refuse(Guard::Trusted, metadata, path)
}

/// The rule is the device's too.
fn refuse(guard: Guard, metadata: &fs::Metadata, path: &Path) -> Result<()> {
    guard
        .check(metadata)
        .map_err(|e| Error::input(format!("{} {e}", path.display()), e.hint(path)))
}
