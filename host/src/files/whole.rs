//! Files and folders that appear whole, by rename, or not at all.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use tempfile::{NamedTempFile, TempDir, TempPath};

use super::staged::Staged;
use super::{create_dir_all, mode, parent, sync_folder};
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

/// The same, for its owner alone, whatever the umask and whoever could read what was there.
///
/// # Errors
/// As [`write_atomic`].
pub fn write_private(path: &Path, bytes: &[u8]) -> Result<()> {
    let mut file = AtomicFile::create(path)?;
    file.mode = mode::PRIVATE_FILE;
    file.write_all(bytes).map_err(Error::io("write", path))?;
    file.commit()
}

/// Writes `bytes` to `path` only if nothing is there, all or nothing.
///
/// # Errors
/// [`Error::Io`] with [`io::ErrorKind::AlreadyExists`] when `path` exists, or when the disk refuses.
pub fn write_new(path: &Path, bytes: &[u8]) -> Result<()> {
    new_file(path, bytes, mode::FILE)
}

/// The same for a public key: others may read it, and none but its owner write it, whatever the umask.
///
/// # Errors
/// As [`write_new`].
pub fn write_public_new(path: &Path, bytes: &[u8]) -> Result<()> {
    new_file(path, bytes, mode::PUBLIC_FILE)
}

fn new_file(path: &Path, bytes: &[u8], mode: u32) -> Result<()> {
    if path.symlink_metadata().is_ok() {
        return Err(Error::io("create", path)(exists()));
    }
    let mut file = AtomicFile::create(path)?;
    file.mode = mode::by_umask(mode);
    file.write_all(bytes).map_err(Error::io("write", path))?;
    file.commit_new()
}

/// A file being written under a temporary name; dropped without [`commit`](Self::commit) it is gone.
///
/// Only its owner can read it until then. It gets the permissions of the file it replaces, a new one those
/// that the umask says.
#[derive(Debug)]
pub struct AtomicFile {
    staged: Staged<NamedTempFile>,
    destination: PathBuf,
    named: PathBuf,
    mode: u32,
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
        Ok(AtomicFile {
            staged: Staged::file_in(folder).map_err(Error::io("create", path))?,
            mode: mode::of(&destination).unwrap_or(mode::by_umask(mode::FILE)),
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
        self.staged
            .release(|file| file.persist(&self.destination).map_err(|e| e.error))
            .map_err(Error::io("write", self.named))?;
        sync_folder(parent(&self.destination))
    }

    /// Syncs the file and gives it its name unless something has that name by now.
    ///
    /// # Errors
    /// [`Error::Io`] with [`io::ErrorKind::AlreadyExists`], or when the disk refuses.
    pub fn commit_new(self) -> Result<()> {
        self.sync()?;
        self.staged
            .release(|file| {
                let named = file.persist_noclobber(&self.destination);
                named.map_err(|e| e.error)
            })
            .map_err(Error::io("create", self.named))?;
        sync_folder(parent(&self.destination))
    }

    /// Brings the file to the disk, still under its temporary name: what a later [`commit`](Self::commit) has left to
    /// do takes no room.
    ///
    /// # Errors
    /// [`Error::Io`] when the disk refuses.
    pub fn sync(&self) -> Result<()> {
        self.staged
            .get()
            .and_then(|file| {
                mode::set(file.as_file(), self.mode)?;
                file.as_file().sync_all()
            })
            .map_err(Error::io("write", &self.named))
    }
}

impl Write for AtomicFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.staged.get_mut()?.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.staged.get_mut()?.flush()
    }
}

/// A folder being filled under a temporary name beside its destination; dropped without
/// [`commit`](Self::commit) it is gone with all that is in it.
///
/// Only its owner can enter it until then. It gets the permissions of the empty folder that it replaces, a
/// new one those that the umask says.
#[derive(Debug)]
pub struct StagedDir {
    staged: Staged<TempDir>,
    destination: PathBuf,
    mode: u32,
}

impl StagedDir {
    /// Begins a folder that is to appear as `path`, which must not exist or be an empty folder.
    ///
    /// # Errors
    /// [`Error::Input`] when `path` is there and not an empty folder, [`Error::Io`] when the folder
    /// around it cannot be written to.
    pub fn create(path: &Path) -> Result<StagedDir> {
        let there = mode::of(path);
        Self::with_mode(path, there.unwrap_or(mode::by_umask(mode::FOLDER)))
    }

    /// The same, but only the owner can ever enter it.
    ///
    /// # Errors
    /// As [`create`](Self::create).
    pub fn create_private(path: &Path) -> Result<StagedDir> {
        Self::with_mode(path, mode::PRIVATE_FOLDER)
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
        Ok(StagedDir {
            staged: Staged::folder_in(folder).map_err(Error::io("create", path))?,
            destination,
            mode,
        })
    }

    /// The temporary folder: write here.
    pub fn path(&self) -> &Path {
        self.staged.path()
    }

    /// An error about a file in the temporary folder, as one about the file it was to become.
    pub fn renamed(&self, error: Error) -> Error {
        renamed(error, self.staged.path(), &self.destination)
    }

    /// Gives the folder its name. Its files should have been synced by whoever wrote them.
    ///
    /// # Errors
    /// [`Error::Io`] when the disk refuses or something has taken the name.
    pub fn commit(self) -> Result<()> {
        let folder = self.staged.path();
        mode::set_path(folder, self.mode).map_err(Error::io("create", &self.destination))?;
        sync_folder(folder)?;
        self.staged
            .release(|temporary| {
                // Renaming onto an empty folder replaces it; onto a full one fails.
                fs::rename(temporary.path(), &self.destination)?;
                // The folder has moved: nothing is left for the guard to remove.
                let _ = temporary.keep();
                Ok(())
            })
            .map_err(Error::io("create", &self.destination))?;
        sync_folder(parent(&self.destination))
    }
}

/// Several files and folders that are to appear in one folder, all of them or none.
#[derive(Debug)]
pub struct StagedParts {
    staged: Staged<TempDir>,
    folder: PathBuf,
}

impl StagedParts {
    /// Begins parts of `folder`, which must exist.
    ///
    /// # Errors
    /// [`Error::Io`] when it cannot be written to.
    pub fn create(folder: &Path) -> Result<StagedParts> {
        Ok(StagedParts {
            staged: Staged::folder_in(folder).map_err(Error::io("write in", folder))?,
            folder: folder.to_owned(),
        })
    }

    /// The temporary folder, which only its owner can enter: write here.
    pub fn path(&self) -> &Path {
        self.staged.path()
    }

    /// An error about a file in the temporary folder, as one about the file it was to become.
    pub fn renamed(&self, error: Error) -> Error {
        renamed(error, self.staged.path(), &self.folder)
    }

    /// Gives the parts their names, relative to the folder, in this order; of two who commit the same first
    /// part one fails there.
    ///
    /// # Errors
    /// [`Error::Io`] when one of the names is taken or the disk refuses; then no part is there.
    pub fn commit(self, parts: &[PathBuf]) -> Result<()> {
        let folder = &self.folder;
        let mut failed = None;
        let moved = self.staged.release(|temporary| {
            let mut done: Vec<PathBuf> = Vec::new();
            for part in parts {
                let to = folder.join(part);
                if let Err(e) = name_new(&temporary.path().join(part), &to) {
                    failed = Some(to);
                    for path in done.iter().rev() {
                        // The error below is the one to tell.
                        let _ = remove(path);
                    }
                    return Err(e);
                }
                done.push(to);
            }
            Ok(())
        });
        moved.map_err(|e| Error::io("create", failed.unwrap_or(folder.clone()))(e))?;
        for part in parts {
            sync_folder(parent(&folder.join(part)))?;
        }
        Ok(())
    }
}

/// Renames onto a name that nothing has.
fn name_new(from: &Path, to: &Path) -> io::Result<()> {
    if to.symlink_metadata().is_ok() {
        return Err(exists());
    }
    match from.is_dir() {
        // Onto a folder that came meanwhile and is not empty this fails.
        true => fs::rename(from, to),
        false => {
            let named = TempPath::try_from_path(from)?.persist_noclobber(to);
            named.map_err(|e| e.error)
        }
    }
}

fn remove(path: &Path) -> io::Result<()> {
    match path.is_dir() {
        true => fs::remove_dir_all(path),
        false => fs::remove_file(path),
    }
}

/// A folder among the system's temporary ones that leaves nothing behind unless it is kept.
#[derive(Debug)]
pub struct Scratch(Staged<TempDir>);

impl Scratch {
    /// A new, empty one called `PREFIX` and random letters, that only its owner can enter.
    ///
    /// # Errors
    /// [`Error::Io`] when there is no place for it.
    pub fn create(prefix: &str) -> Result<Scratch> {
        let folder = std::env::temp_dir();
        match Staged::folder_called(&folder, prefix, "") {
            Ok(staged) => Ok(Scratch(staged)),
            Err(e) => Err(Error::io("create a folder in", folder)(e)),
        }
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        self.0.path()
    }

    /// The folder and what is in it stay.
    pub fn keep(self) {
        // It was there: releasing it is all.
        let _ = self.0.release(|temporary| Ok(temporary.keep()));
    }
}

fn renamed(error: Error, temporary: &Path, destination: &Path) -> Error {
    match error {
        Error::Io {
            path,
            action,
            source,
        } => {
            let path = match path.strip_prefix(temporary) {
                Ok(inside) => destination.join(inside),
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

/// Where a file for `path` goes: through a symbolic link to its target, and never onto a folder, a
/// device or a pipe, which renaming would replace or harm.
fn destination(path: &Path) -> Result<PathBuf> {
    // `file_name` sees through a slash at the end; the operating system does not, but only at the rename.
    if path.as_os_str().as_encoded_bytes().ends_with(b"/") {
        return Err(Error::input(
            format!(
                "{} names a folder, and a file is to be written",
                path.display()
            ),
            "leave the slash at its end out, or name a file in that folder",
        ));
    }
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
