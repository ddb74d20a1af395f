//! A memory between runs: one JSON file, read whole, changed under a lock beside it.

use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::{Error, Result};
use crate::files::{self, AtomicFile};

/// What is kept. Its default is what a machine knows that has met nothing.
pub(super) trait Memory: Default + Serialize + DeserializeOwned {
    /// The name of its file, without ending.
    const NAME: &'static str;
    /// Most bytes of its file.
    const LIMIT: u64;
    /// What it keeps, and what is lost without it, for people.
    const KEEPS: &'static str;
    /// The version of its form: a file of another is not read.
    const VERSION: u32;

    /// The version that its file says.
    fn version(&self) -> u32;
}

/// Where the file of `M` lies in `folder`.
pub(super) fn path<M: Memory>(folder: &Path) -> PathBuf {
    folder.join(M::NAME).with_extension("json")
}

/// What was remembered in `folder`. A file that cannot be read is not "nothing".
pub(super) fn read<M: Memory>(folder: &Path) -> Result<M> {
    let path = path::<M>(folder);
    let bytes = match files::read_limited(&path, M::LIMIT) {
        Ok(bytes) => bytes,
        Err(Error::Io { source, .. }) if source.kind() == ErrorKind::NotFound => {
            return Ok(M::default());
        }
        Err(e) => return Err(e),
    };
    serde_json::from_slice(&bytes)
        .ok()
        .filter(|memory: &M| memory.version() == M::VERSION)
        .ok_or_else(|| {
            Error::input(
                format!("{} is damaged or of a newer version", path.display()),
                format!(
                    "it keeps {}: restore it, or move it away to begin anew",
                    M::KEEPS
                ),
            )
        })
}

/// Keeps every other command from changing it while the answer lives.
pub(super) fn lock<M: Memory>(folder: &Path) -> Result<File> {
    files::create_dir_all(folder)?;
    let path = path::<M>(folder).with_extension("lock");
    let file = OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&path)
        .map_err(Error::io("open", &path))?;
    file.lock().map_err(Error::io("lock", &path))?;
    Ok(file)
}

/// Writes it; whole or not at all.
pub(super) fn write<M: Memory>(folder: &Path, memory: &M) -> Result<()> {
    files::write_atomic(&path::<M>(folder), &to_json(memory)?)
}

/// Tries all of [`write()`] but the renaming.
pub(super) fn probe<M: Memory>(folder: &Path, memory: &M) -> Result<()> {
    let path = path::<M>(folder);
    let mut file = AtomicFile::create(&path)?;
    file.write_all(&to_json(memory)?)
        .map_err(Error::io("write", &path))
}

fn to_json<M: Memory>(memory: &M) -> Result<Vec<u8>> {
    serde_json::to_vec_pretty(memory)
        .map_err(|e| Error::input(format!("cannot write what was seen: {e}"), ""))
}
