//! When a checkpoint is written: when the program is told to stop, and now and then.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard};
use std::time::{Duration, Instant};

use sealnet_core::sign::SigningKey;

use super::Checkpoint;
use crate::error::{Error, Result};
use crate::files;

/// How often a checkpoint is written at most while nobody stops the program. There is a new one at the end of each
/// epoch and of each round of a teacher's answers, so that is lost too when it is killed.
pub const EVERY: Duration = Duration::from_secs(60);

/// Holds a training's newest checkpoint, and writes it. Shared with who hears signals.
#[derive(Debug)]
pub struct Keeper {
    path: PathBuf,
    owner: SigningKey,
    every: Duration,
    at: Mutex<At>,
}

#[derive(Debug)]
struct At {
    newest: Option<Checkpoint>,
    /// Whether `newest` is in the file.
    written: bool,
    /// When it will be written next.
    due: Instant,
    /// Nothing is written or removed any more.
    stopped: bool,
}

/// What is kept of a training that was stopped.
#[derive(Debug)]
pub struct Kept {
    /// How far it was.
    pub place: String,
    /// Where it is kept.
    pub path: PathBuf,
    /// Whether it is.
    pub written: Result<()>,
}

impl Kept {
    /// What to tell of it.
    pub fn tell(&self) -> String {
        let place = &self.place;
        match &self.written {
            Ok(()) => format!(
                "the training so far ({place}) is in {}: the same command goes on",
                self.path.display()
            ),
            Err(e) => format!("the training so far ({place}) is not kept: {e}"),
        }
    }
}

impl Keeper {
    /// Keeps in `path`, signed by `owner`, what goes on from `from`, which lies there.
    pub fn new(
        path: &Path,
        owner: SigningKey,
        every: Duration,
        from: Option<Checkpoint>,
    ) -> Keeper {
        Keeper {
            path: path.to_owned(),
            owner,
            every,
            at: Mutex::new(At {
                written: from.is_some(),
                newest: from,
                due: Instant::now() + every,
                stopped: false,
            }),
        }
    }

    /// Takes a newer checkpoint, and writes it when it is time.
    ///
    /// # Errors
    /// [`Error::Io`] when it could not be written; it is held, and written later.
    pub fn keep(&self, checkpoint: Checkpoint) -> Result<()> {
        let mut at = self.at();
        if at.stopped {
            return Ok(());
        }
        at.newest = Some(checkpoint);
        at.written = false;
        let begun = Instant::now();
        if begun < at.due {
            return Ok(());
        }
        let written = self.write(&mut at);
        // However large it is and slow the disk: a twentieth of the time at most goes into writing.
        at.due = Instant::now() + self.every.max(20 * begun.elapsed());
        written
    }

    /// The program is told to stop: writes what is not written yet. `None` when nothing was done that could be kept.
    pub fn stop(&self) -> Option<Kept> {
        let mut at = self.at();
        at.stopped = true;
        let place = at.newest.as_ref()?.place();
        let written = self.write(&mut at);
        Some(Kept {
            place,
            path: self.path.clone(),
            written,
        })
    }

    /// The training is over and its result on the disk: removes the file.
    ///
    /// # Errors
    /// [`Error::Io`] when it cannot be removed.
    pub fn finish(&self) -> Result<()> {
        let mut at = self.at();
        if at.stopped {
            return Ok(());
        }
        at.stopped = true;
        at.newest = None;
        discard(&self.path)
    }

    fn write(&self, at: &mut At) -> Result<()> {
        let Some(newest) = at.newest.as_ref().filter(|_| !at.written) else {
            return Ok(());
        };
        files::write_private(&self.path, &newest.to_bytes(&self.owner))?;
        at.written = true;
        Ok(())
    }

    fn at(&self) -> MutexGuard<'_, At> {
        self.at
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

/// Removes a checkpoint, if there is one.
///
/// # Errors
/// [`Error::Io`] when it cannot be removed.
pub fn discard(path: &Path) -> Result<()> {
    match fs::remove_file(path) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(Error::io("remove", path)(e)),
        _ => Ok(()),
    }
}
