//! A board's flash as a file that QEMU maps.

use std::fs::{File, TryLockError};
use std::io::{self, Write as _};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;
use zeroize::Zeroizing;

use super::QemuError;
use crate::layout::FLASH_LEN;

/// The memory of a board in which its flash lies: a file of its owner's alone.
///
/// It is locked as long as this value or a QEMU that maps it lives: what is there and not locked was left behind
/// by a run that was killed, and holds the newest state of the flash.
#[derive(Debug)]
pub struct Memory {
    path: PathBuf,
    file: File,
    /// The same file, locked, and open for reading alone.
    held: File,
}

impl Memory {
    /// Makes the file, which must not exist, whole or not at all.
    ///
    /// # Errors
    /// [`QemuError::Io`].
    pub fn create(path: &Path, flash: &[u8]) -> Result<Self, QemuError> {
        let path = std::path::absolute(path).map_err(QemuError::io("name the flash image"))?;
        Self::create_at(path, flash).map_err(QemuError::io("write the running board's flash image"))
    }

    fn create_at(path: PathBuf, flash: &[u8]) -> io::Result<Self> {
        let folder = path.parent().unwrap_or(Path::new("/"));
        // A temporary file has mode 0600.
        let mut file = NamedTempFile::new_in(folder)?;
        file.write_all(flash)?;
        file.as_file().set_len(MEMORY_LEN)?;
        file.as_file().sync_all()?;
        let held = File::open(file.path())?;
        held.try_lock()?;
        let file = file.persist_noclobber(&path)?;
        Ok(Self { path, file, held })
    }

    /// What a run that was killed left behind in `file`, which is locked from then on.
    ///
    /// # Errors
    /// [`io::ErrorKind::WouldBlock`] while QEMU still has it, [`io::ErrorKind::InvalidData`] if it is no
    /// board's memory, or what the operating system says.
    pub fn left_behind(file: &File) -> io::Result<Zeroizing<Vec<u8>>> {
        file.try_lock().map_err(|error| match error {
            TryLockError::WouldBlock => io::ErrorKind::WouldBlock.into(),
            TryLockError::Error(error) => error,
        })?;
        if file.metadata()?.len() != MEMORY_LEN {
            return Err(io::ErrorKind::InvalidData.into());
        }
        read(file)
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The flash as it is now.
    ///
    /// # Errors
    /// [`QemuError::Io`].
    pub fn flash(&self) -> Result<Zeroizing<Vec<u8>>, QemuError> {
        read(&self.file).map_err(QemuError::io("read the flash image"))
    }

    /// Another flash, for a core that stands still.
    pub(super) fn write(&self, flash: &[u8]) -> Result<(), QemuError> {
        self.write_at(0, flash)
    }

    /// Other bytes at an offset, for a core that does not look at them.
    pub(super) fn write_at(&self, at: u32, bytes: &[u8]) -> Result<(), QemuError> {
        self.file
            .write_all_at(bytes, at.into())
            .map_err(QemuError::io("write the flash image"))
    }

    /// The bytes at an offset.
    pub(super) fn read_at(&self, at: u32, bytes: &mut [u8]) -> Result<(), QemuError> {
        self.file
            .read_exact_at(bytes, at.into())
            .map_err(QemuError::io("read the flash image"))
    }

    /// Its lock, to be held by QEMU too.
    pub(super) fn held(&self) -> io::Result<File> {
        self.held.try_clone()
    }
}

fn read(file: &File) -> io::Result<Zeroizing<Vec<u8>>> {
    let mut flash = Zeroizing::new(vec![0; FLASH_LEN]);
    file.read_exact_at(&mut flash, 0)?;
    Ok(flash)
}

/// What the boards have at [`Board::storage`](super::Board::storage).
pub(crate) const MEMORY_LEN: u64 = 16 << 20;
