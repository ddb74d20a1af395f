//! Files and folders that are whole or absent, and secrets that only their owner can read.
//!
//! Everything written here appears under its name only when it is complete and on the disk: it is
//! written under a temporary name in the same folder, synced, renamed, and the folder synced. Whatever
//! interrupts that leaves the old file as it was.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use tempfile::{NamedTempFile, TempDir};
use zeroize::Zeroizing;

use crate::error::{Error, Result};

/// Writes `bytes` to `path`, replacing what was there, all or nothing.
///
/// # Errors
/// [`Error::Io`] when the disk refuses, [`Error::Input`] when `path` is a folder or a device.
pub fn write_atomic(path: &Path, bytes: &[u8]) -> Result<()> {
    let mut file = AtomicFile::create(path)?;
    file.write_all(bytes).map_err(Error::io("write", path))?;
    file.commit()
}

/// Writes `bytes` to `path` only if nothing is there, all or nothing.
///
/// # Errors
/// [`Error::Io`] with [`io::ErrorKind::AlreadyExists`] when `path` exists, or when the disk refuses.
pub fn write_new(path: &Path, bytes: &[u8]) -> Result<()> {
    if path.symlink_metadata().is_ok() {
        return Err(Error::io("create", path)(exists()));
    }
    let mut file = AtomicFile::create(path)?;
    file.write_all(bytes).map_err(Error::io("write", path))?;
    file.commit_new()
}

/// A file being written under a temporary name; dropped without [`commit`](Self::commit) it is gone.
#[derive(Debug)]
pub struct AtomicFile {
    temporary: NamedTempFile,
    destination: PathBuf,
    named: PathBuf,
}

impl AtomicFile {
    /// Begins a file that is to replace `path`. A symbolic link is followed: its target is replaced.
    ///
    /// # Errors
    /// [`Error::Io`] when the folder cannot be written to, [`Error::Input`] when `path` is a folder or
    /// a device.
    pub fn create(path: &Path) -> Result<AtomicFile> {
        let destination = destination(path)?;
        let folder = parent(&destination);
        let temporary = tempfile::Builder::new()
            .prefix(".sealnet-")
            .suffix(".part")
            .permissions_if_unix(0o666)
            .tempfile_in(folder)
            .map_err(Error::io("create", path))?;
        Ok(AtomicFile {
            temporary,
            destination,
            named: path.to_owned(),
        })
    }

    /// Syncs the file and gives it its name, replacing what was there.
    ///
    /// # Errors
    /// [`Error::Io`] when the disk refuses; what was there is then unharmed.
    pub fn commit(self) -> Result<()> {
        self.sync()?;
        let AtomicFile {
            temporary,
            destination,
            named,
        } = self;
        temporary
            .persist(&destination)
            .map_err(|e| Error::io("write", &named)(e.error))?;
        sync_folder(parent(&destination))
    }

    /// Syncs the file and gives it its name unless something has that name by now.
    ///
    /// # Errors
    /// [`Error::Io`] with [`io::ErrorKind::AlreadyExists`], or when the disk refuses.
    pub fn commit_new(self) -> Result<()> {
        self.sync()?;
        let AtomicFile {
            temporary,
            destination,
            named,
        } = self;
        temporary
            .persist_noclobber(&destination)
            .map_err(|e| Error::io("create", &named)(e.error))?;
        sync_folder(parent(&destination))
    }

    fn sync(&self) -> Result<()> {
        self.temporary
            .as_file()
            .sync_all()
            .map_err(Error::io("write", &self.named))
    }
}

impl Write for AtomicFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.temporary.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.temporary.flush()
    }
}

/// A folder being filled under a temporary name beside its destination; dropped without
/// [`commit`](Self::commit) it is gone with all that is in it.
#[derive(Debug)]
pub struct StagedDir {
    temporary: TempDir,
    destination: PathBuf,
}

impl StagedDir {
    /// Begins a folder that is to appear as `path`, which must not exist or be an empty folder.
    ///
    /// # Errors
    /// [`Error::Input`] when `path` is there and not an empty folder, [`Error::Io`] when the folder
    /// around it cannot be written to.
    pub fn create(path: &Path) -> Result<StagedDir> {
        Self::with_mode(path, 0o777)
    }

    /// The same, but only the owner can enter it.
    ///
    /// # Errors
    /// As [`create`](Self::create).
    pub fn create_private(path: &Path) -> Result<StagedDir> {
        Self::with_mode(path, 0o700)
    }

    fn with_mode(path: &Path, mode: u32) -> Result<StagedDir> {
        match fs::read_dir(path) {
            Ok(mut entries) => {
                if entries.next().is_some() {
                    return Err(Error::input(
                        format!("{} exists and is not empty", path.display()),
                        "name a folder that does not exist yet; nothing is overwritten",
                    ));
                }
            }
            Err(e) if e.kind() == io::ErrorKind::NotFound => {}
            Err(e) => return Err(Error::io("create", path)(e)),
        }
        let destination = match path.canonicalize() {
            Ok(there) => there,
            Err(_) => path.to_owned(),
        };
        let folder = parent(&destination);
        create_dir_all(folder)?;
        let temporary = tempfile::Builder::new()
            .prefix(".sealnet-")
            .suffix(".part")
            .permissions_if_unix(mode)
            .tempdir_in(folder)
            .map_err(Error::io("create", path))?;
        Ok(StagedDir {
            temporary,
            destination,
        })
    }

    /// The temporary folder: write here.
    pub fn path(&self) -> &Path {
        self.temporary.path()
    }

    /// An error about a file in the temporary folder, as one about the file it was to become.
    pub fn renamed(&self, error: Error) -> Error {
        match error {
            Error::Io {
                path,
                action,
                source,
            } => {
                let path = match path.strip_prefix(self.temporary.path()) {
                    Ok(inside) => self.destination.join(inside),
                    Err(_) => path,
                };
                Error::Io {
                    path,
                    action,
                    source,
                }
            }
            other => other,
        }
    }

    /// Gives the folder its name. Its files should have been synced by whoever wrote them.
    ///
    /// # Errors
    /// [`Error::Io`] when the disk refuses or something has taken the name.
    pub fn commit(self) -> Result<()> {
        sync_folder(self.temporary.path())?;
        let StagedDir {
            temporary,
            destination,
        } = self;
        // Renaming onto an empty folder replaces it; onto a full one fails.
        fs::rename(temporary.path(), &destination).map_err(Error::io("create", &destination))?;
        // The folder has moved: nothing is left for the guard to remove.
        let _ = temporary.keep();
        sync_folder(parent(&destination))
    }
}

/// Reads a whole file of at most `limit` bytes.
///
/// # Errors
/// [`Error::Io`] when it cannot be read, [`Error::Input`] when it is larger.
pub fn read_limited(path: &Path, limit: u64) -> Result<Vec<u8>> {
    let file = File::open(path).map_err(Error::io("read", path))?;
    read_open(file, path, limit)
}

/// Reads a secret of at most `limit` bytes, which nobody but its owner may be able to read.
///
/// # Errors
/// [`Error::Io`] when it cannot be read, [`Error::Input`] when it is larger or when its permissions let
/// others read or write it.
pub fn read_secret(path: &Path, limit: u64) -> Result<Zeroizing<Vec<u8>>> {
    let file = File::open(path).map_err(Error::io("read", path))?;
    // The open file is asked, not the path: nothing can be swapped in between.
    refuse_shared(&file, path)?;
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

/// Refuses to write over what is being read: `output` must not be one of `inputs`, by whatever name.
///
/// # Errors
/// [`Error::Input`] when it is.
pub fn refuse_overwriting(output: &Path, inputs: &[&Path]) -> Result<()> {
    let real = |path: &Path| path.canonicalize().ok();
    let Some(target) = real(output) else {
        return Ok(());
    };
    for input in inputs {
        // A folder of keys or a vault is an input with all that lies in it.
        if real(input).is_some_and(|input| target.starts_with(input)) {
            return Err(Error::input(
                format!(
                    "{} would be overwritten, and it is an input",
                    output.display()
                ),
                "name another output",
            ));
        }
    }
    Ok(())
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
    if length.is_dir() {
        return Err(Error::io("read", path)(io::ErrorKind::IsADirectory.into()));
    }
    let mut bytes = Vec::with_capacity(usize::try_from(length.len().min(limit)).unwrap_or(0));
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

#[cfg(unix)]
fn refuse_shared(file: &File, path: &Path) -> Result<()> {
    use std::os::unix::fs::PermissionsExt;
    let metadata = file.metadata().map_err(Error::io("read", path))?;
    let mode = metadata.permissions().mode() & 0o7777;
    if metadata.is_file() && mode & 0o077 != 0 {
        return Err(Error::input(
            format!(
                "{} is a secret that others can reach (mode {mode:04o})",
                path.display()
            ),
            format!(
                "chmod 600 {}, and make new keys if others may have read it",
                path.display()
            ),
        ));
    }
    Ok(())
}

#[cfg(not(unix))]
fn refuse_shared(_file: &File, _path: &Path) -> Result<()> {
    Ok(())
}

/// Where a file for `path` goes: through a symbolic link to its target, and never onto a folder, a
/// device or a pipe, which renaming would replace or harm.
fn destination(path: &Path) -> Result<PathBuf> {
    match fs::metadata(path) {
        Ok(there) if there.is_file() => path.canonicalize().map_err(Error::io("write", path)),
        Ok(there) if there.is_dir() => {
            Err(Error::io("write", path)(io::ErrorKind::IsADirectory.into()))
        }
        Ok(_) => Err(Error::input(
            format!("{} exists and is not a regular file", path.display()),
            "name a file; devices and pipes are not written to",
        )),
        Err(_) if path.file_name().is_some() => Ok(path.to_owned()),
        Err(e) => Err(Error::io("write", path)(e)),
    }
}

fn exists() -> io::Error {
    io::ErrorKind::AlreadyExists.into()
}

/// `tempfile` makes what only the owner can read; ordinary output follows the umask instead.
trait PermissionsIfUnix {
    fn permissions_if_unix(&mut self, mode: u32) -> &mut Self;
}

impl PermissionsIfUnix for tempfile::Builder<'_, '_> {
    #[cfg(unix)]
    fn permissions_if_unix(&mut self, mode: u32) -> &mut Self {
        self.permissions(std::os::unix::fs::PermissionsExt::from_mode(mode))
    }

    #[cfg(not(unix))]
    fn permissions_if_unix(&mut self, _mode: u32) -> &mut Self {
        self
    }
}
