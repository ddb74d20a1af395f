//! Files and folders that are whole or absent, and secrets that only their owner can read.
//!
//! Everything written here appears under its name only when it is complete and on the disk: it is
//! written under a temporary name in the same folder, synced, renamed, and the folder synced. Whatever
//! interrupts that leaves the old file as it was. What is written is its owner's alone until it appears.

mod mode;
mod staged;
mod whole;

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Component, Path, PathBuf};

use zeroize::Zeroizing;

use crate::error::{Error, Result};

pub use staged::{Stopped, remove_staged};
pub use whole::{
    AtomicFile, Scratch, StagedDir, StagedParts, write_atomic, write_new, write_private,
    write_public_new,
};

/// Reads a whole file of at most `limit` bytes.
///
/// # Errors
/// [`Error::Io`] when it cannot be read, [`Error::Input`] when it is larger.
pub fn read_limited(path: &Path, limit: u64) -> Result<Vec<u8>> {
    read_open(open(path)?.0, path, limit)
}

/// Reads a public file of at most `limit` bytes that is trusted for where it lies: nobody but its owner may
/// be able to write it.
///
/// # Errors
/// As [`read_limited`], and [`Error::Input`] when its permissions let others write it.
pub fn read_trusted(path: &Path, limit: u64) -> Result<Vec<u8>> {
    let (file, metadata) = open(path)?;
    mode::refuse_writable(&metadata, path)?;
    read_open(file, path, limit)
}

/// Refuses a folder that is trusted for where it lies when others can put files into it; fine when it is not
/// there.
///
/// # Errors
/// [`Error::Input`] when its permissions let others write to it, [`Error::Io`] when it cannot be asked.
pub fn refuse_writable_folder(path: &Path) -> Result<()> {
    match fs::metadata(path) {
        Ok(metadata) => mode::refuse_writable(&metadata, path),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(e) => Err(Error::io("read", path)(e)),
    }
}

/// Opens a regular file for reading. A pipe, at which opening would wait, or a device, which may have no end,
/// is refused.
///
/// # Errors
/// [`Error::Io`] when it cannot be opened or is a folder, [`Error::Input`] when it is no regular file.
pub fn open(path: &Path) -> Result<(File, fs::Metadata)> {
    let mut options = OpenOptions::new();
    options.read(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::custom_flags(
        &mut options,
        rustix::fs::OFlags::NONBLOCK.bits().cast_signed(),
    );
    let file = options.open(path).map_err(Error::io("read", path))?;
    // The open file is asked, not the path: nothing can be swapped in between.
    let metadata = file.metadata().map_err(Error::io("read", path))?;
    if metadata.is_dir() {
        return Err(Error::io("read", path)(io::ErrorKind::IsADirectory.into()));
    }
    if !metadata.is_file() {
        return Err(Error::input(
            format!("{} is a pipe or a device, not a file", path.display()),
            "name a regular file",
        ));
    }
    Ok((file, metadata))
}

/// Reads a secret of at most `limit` bytes, which nobody but its owner may be able to read.
///
/// # Errors
/// [`Error::Io`] when it cannot be read, [`Error::Input`] when it is larger or when its permissions let
/// others read or write it.
pub fn read_secret(path: &Path, limit: u64) -> Result<Zeroizing<Vec<u8>>> {
    let (file, metadata) = open(path)?;
    mode::refuse_shared(&metadata, path)?;
    Ok(Zeroizing::new(read_open(file, path, limit)?))
}

/// Writes a secret to `path`, which must not exist, readable and writable by its owner alone.
///
/// # Errors
/// [`Error::Io`] when it exists or the disk refuses.
pub fn write_secret_new(path: &Path, bytes: &[u8]) -> Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(path).map_err(Error::io("create", path))?;
    let written = file.write_all(bytes).and_then(|()| file.sync_all());
    written.map_err(|e| {
        // Half a key is worse than none.
        let _ = fs::remove_file(path);
        Error::io("write", path)(e)
    })?;
    sync_folder(parent(path))
}

/// Makes a folder and those above it; fine when it is there.
///
/// # Errors
/// [`Error::Io`] when that cannot be.
pub fn create_dir_all(path: &Path) -> Result<()> {
    fs::create_dir_all(path).map_err(Error::io("create", path))
}

/// Makes a folder that only its owner can enter; fine when it is there.
///
/// # Errors
/// [`Error::Io`] when that cannot be.
pub fn create_private_dir(path: &Path) -> Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    let mut builder = fs::DirBuilder::new();
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(path).map_err(Error::io("create", path))
}

/// Refuses to write over what is being read, or beside it: `output` must be neither one of `inputs` nor lie in
/// one that is a folder, by whatever name. A folder of keys or a vault is an input with all that lies in it,
/// and a vault is what others keep: nothing else belongs there.
///
/// # Errors
/// [`Error::Input`] when it is or does.
pub fn refuse_overwriting(output: &Path, inputs: &[&Path]) -> Result<()> {
    let Some(input) = inputs.iter().find(|input| lies_in(output, input)) else {
        return Ok(());
    };
    if output.exists() || !input.is_dir() {
        return Err(Error::input(
            format!(
                "{} would be overwritten, and it is an input",
                output.display()
            ),
            "name another output",
        ));
    }
    Err(Error::input(
        format!(
            "{} would lie in {}, which is an input",
            output.display(),
            input.display()
        ),
        "name a place outside of it",
    ))
}

/// Refuses a file that is to be written in place, and not replaced, where other names lead to it too: hard links, under
/// which an input or a key may be known.
///
/// # Errors
/// [`Error::Input`] when it has several names.
pub fn refuse_other_names(output: &Path) -> Result<()> {
    #[cfg(unix)]
    if let Ok(metadata) = fs::metadata(output)
        && metadata.is_file()
        && std::os::unix::fs::MetadataExt::nlink(&metadata) > 1
    {
        return Err(Error::input(
            format!(
                "{} has other names (hard links), and what they name would be written over",
                output.display()
            ),
            "name a file of its own",
        ));
    }
    #[cfg(not(unix))]
    let _ = output;
    Ok(())
}

/// Whether `inner` is `outer` or lies in it, by whatever names. Neither need exist.
pub fn lies_in(inner: &Path, outer: &Path) -> bool {
    resolved(inner).starts_with(resolved(outer))
}

/// The path without links, as far as it exists.
fn resolved(path: &Path) -> PathBuf {
    let whole = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let mut known = PathBuf::new();
    for component in whole.components() {
        match component {
            // What is not there yet has no links.
            Component::ParentDir => drop(known.pop()),
            other => known.push(other),
        }
        if let Ok(real) = known.canonicalize() {
            known = real;
        }
    }
    known
}

/// The folder that holds `path`: `.` for a bare name.
pub fn parent(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    }
}

/// Syncs a folder, so that a rename in it outlives a power cut.
///
/// # Errors
/// [`Error::Io`] when the disk refuses.
pub fn sync_folder(path: &Path) -> Result<()> {
    if cfg!(unix) {
        File::open(path)
            .and_then(|folder| folder.sync_all())
            .map_err(Error::io("sync", path))?;
    }
    Ok(())
}

fn read_open(file: File, path: &Path, limit: u64) -> Result<Vec<u8>> {
    let length = file.metadata().map_err(Error::io("read", path))?;
    // One byte more than there is: the buffer of a secret must not grow, which would leave a copy behind.
    let room = length.len().min(limit).saturating_add(1);
    let mut bytes = Vec::new();
    let reserved = usize::try_from(room).map(|room| bytes.try_reserve_exact(room));
    if !matches!(reserved, Ok(Ok(()))) {
        return Err(Error::input(
            format!(
                "there is no memory for the {room} bytes of {}",
                path.display()
            ),
            "this is not a file that belongs here, or the machine is too small for it",
        ));
    }
    // One byte more than allowed tells a file at the limit from one beyond it.
    file.take(limit.saturating_add(1))
        .read_to_end(&mut bytes)
        .map_err(Error::io("read", path))?;
    if bytes.len() as u64 > limit {
        return Err(Error::input(
            format!("{} is larger than {limit} bytes", path.display()),
            "this is not a file that belongs here; check the path",
        ));
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(unix)]
    #[test]
    fn one_place_lies_in_another_by_any_name() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        std::fs::create_dir_all(path("a/b")).unwrap();
        std::os::unix::fs::symlink(path("a"), path("link")).unwrap();
        for inner in [
            "a",
            "a/",
            "a/b",
            "a/new/er",
            "link",
            "link/b/",
            "a/b/../c",
            "a/x/../y",
            "x/../link/z",
        ] {
            assert!(lies_in(&path(inner), &path("a")), "{inner}");
            assert!(lies_in(&path(inner), &path("link/")), "{inner}");
        }
        for outer in ["ab", "a/..", "a/../ab", "link/../x", "."] {
            assert!(!lies_in(&path(outer), &path("a")), "{outer}");
        }
    }

    #[test]
    fn no_output_lies_in_an_input() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        fs::create_dir(path("keys")).unwrap();
        fs::write(path("data.csv"), "").unwrap();
        let (keys, data) = (path("keys"), path("data.csv"));
        let inputs = [keys.as_path(), &data];
        for output in [
            "keys",
            "keys/new",
            "x/../keys/new",
            "keys/new/er",
            "data.csv",
        ] {
            let error = refuse_overwriting(&path(output), &inputs).unwrap_err();
            assert_eq!(error.exit_code(), 2, "{output}");
        }
        for output in ["new", "keys.new", "data.csv.new", "keys/../new"] {
            refuse_overwriting(&path(output), &inputs).unwrap();
        }
    }
}
