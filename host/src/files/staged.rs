//! Temporary names: private while they last, removed when their process is told to stop, and swept by the
//! next run when it was killed.
//!
//! A temporary file or folder is called `.sealnet-RANDOM.part` and lies beside what it is to become. Nobody
//! but its owner can read it. Its process holds a lock on it (`flock`), which the operating system drops
//! when the process dies, however it dies: what has the name and no lock was left behind by a run that was
//! killed, and whoever begins a file in the same folder removes it.

use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard};

use tempfile::{NamedTempFile, TempDir};

/// The temporary names that this process holds.
static HELD: Mutex<Vec<PathBuf>> = Mutex::new(Vec::new());

/// Proof that nothing is staged and that nothing can be until it is dropped.
#[derive(Debug)]
pub struct Stopped {
    _held: MutexGuard<'static, Vec<PathBuf>>,
}

/// Removes everything that this process has under a temporary name, for a process that is about to exit:
/// until the proof is dropped, whoever would begin, finish or remove a file waits.
pub fn remove_staged() -> Stopped {
    let mut held = held();
    for path in held.drain(..) {
        // Threads may still be writing into the folder that is being emptied.
        for _ in 0..REMOVALS {
            match remove(&path) {
                Err(e) if e.kind() == io::ErrorKind::DirectoryNotEmpty => {}
                // What cannot be removed is left to the next run's sweep.
                _ => break,
            }
        }
    }
    Stopped { _held: held }
}

/// A temporary file or folder: removed when dropped, unless it was released.
#[derive(Debug)]
pub(super) struct Staged<T> {
    path: PathBuf,
    inner: Option<T>,
    /// Keeps the lock of a folder; a file is its own.
    _lock: Option<File>,
}

impl Staged<NamedTempFile> {
    /// A new file in `folder`, mode 0600.
    pub(super) fn file_in(folder: &Path) -> io::Result<Self> {
        stage(folder, |builder| {
            let file = builder.tempfile_in(folder)?;
            let mine = holds(file.as_file(), file.path())?;
            Ok((file.path().to_owned(), mine.then_some((file, None))))
        })
    }
}

impl Staged<TempDir> {
    /// A new folder in `folder`, mode 0700.
    pub(super) fn folder_in(folder: &Path) -> io::Result<Self> {
        Self::folder_called(folder, PREFIX, SUFFIX)
    }

    /// The same under another kind of name, which no sweep knows.
    pub(super) fn folder_called(folder: &Path, prefix: &str, suffix: &str) -> io::Result<Self> {
        stage(folder, |builder| {
            private(builder.prefix(prefix).suffix(suffix));
            let temporary = builder.tempdir_in(folder)?;
            let path = temporary.path().to_owned();
            if cfg!(not(unix)) {
                return Ok((path, Some((temporary, None))));
            }
            let lock = File::open(&path)?;
            let mine = holds(&lock, &path)?;
            Ok((path, mine.then_some((temporary, Some(lock)))))
        })
    }
}

impl<T> Staged<T> {
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// The thing itself, for as long as it is staged.
    pub(super) fn get(&self) -> io::Result<&T> {
        self.inner.as_ref().ok_or_else(gone)
    }

    /// The same, to write to.
    pub(super) fn get_mut(&mut self) -> io::Result<&mut T> {
        self.inner.as_mut().ok_or_else(gone)
    }

    /// Ends its being staged by what `finish` does with it. A signal comes before or after, not between.
    pub(super) fn release<R>(mut self, finish: impl FnOnce(T) -> io::Result<R>) -> io::Result<R> {
        let mut held = held();
        let inner = self.inner.take().ok_or_else(gone)?;
        let finished = finish(inner);
        held.retain(|path| *path != self.path);
        finished
    }
}

impl<T> Drop for Staged<T> {
    fn drop(&mut self) {
        if let Some(inner) = self.inner.take() {
            let mut held = held();
            drop(inner);
            held.retain(|path| *path != self.path);
        }
    }
}

/// Sweeps `folder` and makes something in it, again if a sweep of another process was quicker than the lock.
fn stage<'n, T>(
    folder: &Path,
    mut make: impl FnMut(
        &mut tempfile::Builder<'n, 'n>,
    ) -> io::Result<(PathBuf, Option<(T, Option<File>)>)>,
) -> io::Result<Staged<T>> {
    sweep(folder);
    let mut held = held();
    for _ in 0..ATTEMPTS {
        let mut builder = tempfile::Builder::new();
        builder.prefix(PREFIX).suffix(SUFFIX);
        if let (path, Some((inner, lock))) = make(&mut builder)? {
            held.push(path.clone());
            return Ok(Staged {
                path,
                inner: Some(inner),
                _lock: lock,
            });
        }
    }
    Err(io::Error::other("another program removes temporary files"))
}

/// Whether what `file` is open on is ours by lock and still has its name.
fn holds(file: &File, path: &Path) -> io::Result<bool> {
    match file.try_lock() {
        // Where a file system knows no locks a sweep gets none either and removes nothing.
        Ok(()) | Err(TryLockError::Error(_)) => {}
        Err(TryLockError::WouldBlock) => return Ok(false),
    }
    names(file, path)
}

#[cfg(unix)]
fn names(file: &File, path: &Path) -> io::Result<bool> {
    use std::os::unix::fs::MetadataExt;
    let open = file.metadata()?;
    Ok(fs::symlink_metadata(path)
        .is_ok_and(|named| (named.dev(), named.ino()) == (open.dev(), open.ino())))
}

#[cfg(not(unix))]
fn names(_file: &File, _path: &Path) -> io::Result<bool> {
    Ok(true)
}

/// Removes what killed runs of this user have left in `folder`.
#[cfg(unix)]
fn sweep(folder: &Path) {
    let Ok(entries) = fs::read_dir(folder) else {
        return;
    };
    for entry in entries.flatten() {
        if is_temporary(&entry.file_name()) {
            // What cannot be removed does no harm where it is.
            let _ = remove_abandoned(&entry.path());
        }
    }
}

/// Without `flock` nothing tells the living from the dead.
#[cfg(not(unix))]
fn sweep(_folder: &Path) {}

#[cfg(unix)]
fn remove_abandoned(path: &Path) -> io::Result<()> {
    use rustix::fs::{Mode, OFlags};
    use std::os::unix::fs::MetadataExt;
    // Neither through a link nor waiting at a pipe that someone has given the name.
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = File::from(rustix::fs::open(path, flags, Mode::empty())?);
    let found = file.metadata()?;
    let ours = found.uid() == rustix::process::geteuid().as_raw();
    if ours && (found.is_file() || found.is_dir()) && file.try_lock().is_ok() {
        remove(path)?;
    }
    Ok(())
}

/// Whether it is a name that [`stage`] gives.
#[cfg(unix)]
fn is_temporary(name: &std::ffi::OsStr) -> bool {
    let name = name.to_str();
    let middle = name.and_then(|name| name.strip_prefix(PREFIX)?.strip_suffix(SUFFIX));
    middle.is_some_and(|middle| {
        !middle.is_empty() && middle.bytes().all(|byte| byte.is_ascii_alphanumeric())
    })
}

fn remove(path: &Path) -> io::Result<()> {
    match fs::symlink_metadata(path)?.is_dir() {
        true => fs::remove_dir_all(path),
        false => fs::remove_file(path),
    }
}

fn held() -> MutexGuard<'static, Vec<PathBuf>> {
    HELD.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

fn gone() -> io::Error {
    io::ErrorKind::NotFound.into()
}

#[cfg(unix)]
fn private(builder: &mut tempfile::Builder<'_, '_>) {
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o700));
}

#[cfg(not(unix))]
fn private(_builder: &mut tempfile::Builder<'_, '_>) {}

const PREFIX: &str = ".sealnet-";
const SUFFIX: &str = ".part";

/// How often a name is tried.
const ATTEMPTS: usize = 16;

/// How often a folder is emptied that fills again.
const REMOVALS: usize = 1000;
