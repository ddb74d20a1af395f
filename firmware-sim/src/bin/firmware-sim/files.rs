//! Models and flash images as files.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read, Write};
use std::mem;
use std::path::Path;
#[cfg(unix)]
use std::{
    path::PathBuf,
    thread,
    time::{Duration, Instant},
};

#[cfg(unix)]
use sealnet_firmware::journal::{Counters, Journal};
#[cfg(unix)]
use sealnet_firmware::keyfile::KeyFileError;
use sealnet_firmware::keyfile::{self, Guard};
use sealnet_firmware::layout::FLASH_LEN;
#[cfg(unix)]
use sealnet_firmware::layout::{IDENTITY, JOURNAL};
#[cfg(unix)]
use sealnet_firmware::qemu::Memory;
use sealnet_firmware::sim::flash::SimFlash;
use zeroize::Zeroizing;

use crate::failure::Failure;
#[cfg(unix)]
use crate::text::say;

pub(crate) fn read_model(path: &Path) -> Result<Vec<u8>, Failure> {
    let mut bytes = Vec::new();
    let file = keyfile::open_regular(path).map_err(Failure::Model)?;
    let len = file.metadata().map_err(Failure::io("read", path))?.len();
    if len > MODEL_FILE_LEN_MAX {
        let path = path.to_owned();
        return Err(Failure::Huge { path, len });
    }
    file.take(MODEL_FILE_LEN_MAX)
        .read_to_end(&mut bytes)
        .map_err(Failure::io("read", path))?;
    Ok(bytes)
}

/// Writes a file whole or not at all, for its owner alone.
pub(crate) fn write_new(path: &Path, bytes: &[u8], force: bool) -> Result<(), Failure> {
    // Through a link to what it names: the image itself is replaced, and no old one stays behind.
    let target = if force {
        std::fs::canonicalize(path).unwrap_or_else(|_| path.to_owned())
    } else {
        path.to_owned()
    };
    let folder = match target.parent() {
        Some(folder) if folder != Path::new("") => folder,
        _ => Path::new("."),
    };
    // A temporary file has mode 0600.
    let mut file =
        tempfile::NamedTempFile::new_in(folder).map_err(Failure::io("write in", folder))?;
    file.write_all(bytes)
        .and_then(|()| file.as_file().sync_all())
        .map_err(Failure::io("write", path))?;
    let kept = if force {
        file.persist(&target)
    } else {
        file.persist_noclobber(&target)
    };
    kept.map_err(|error| match error.error.kind() {
        io::ErrorKind::AlreadyExists => Failure::Exists(path.to_owned()),
        _ => Failure::io("write", path)(error.error),
    })?;
    // Else a power cut may bring the former image back, and its counters with it.
    if cfg!(unix) {
        File::open(folder)
            .and_then(|folder| folder.sync_all())
            .map_err(Failure::io("sync", folder))?;
    }
    Ok(())
}

/// Opens a flash image for this process alone.
pub(crate) fn open(path: &Path) -> Result<(SimFlash, File), Failure> {
    loop {
        let opened = open_once(path, true)?;
        // Whoever had it before may have put another in its place, whose counters are ahead of this one's.
        if !is_at(&opened.1, path).map_err(Failure::io("read", path))? {
            continue;
        }
        #[cfg(unix)]
        if recover(path, &opened.0)? {
            say_cut_off(path);
            continue;
        }
        return Ok(opened);
    }
}

/// Reads a flash image, and what a run in QEMU left behind if that is newer; changes neither. Nobody changes them
/// while the file that is given is open.
pub(crate) fn read(path: &Path) -> Result<(SimFlash, File), Failure> {
    loop {
        let opened = open_once(path, false)?;
        if !is_at(&opened.1, path).map_err(Failure::io("read", path))? {
            continue;
        }
        #[cfg(unix)]
        if let Some((mut newer, file)) = left_behind(path, &opened.0)? {
            say_cut_off(path);
            return Ok((SimFlash::new(mem::take(&mut newer)), file));
        }
        return Ok(opened);
    }
}

#[cfg(unix)]
fn say_cut_off(path: &Path) {
    say(format_args!(
        "{}: the device was cut off in QEMU; its flash is as that left it",
        path.display()
    ));
}

/// Where the flash lies while the device runs in QEMU.
#[cfg(unix)]
pub(crate) fn running(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".running");
    name.into()
}

/// If a run in QEMU came to no clean end, writes the state that it left behind into the flash image, whose
/// counters are behind that one's. The image is locked, and `flash` is what it holds.
#[cfg(unix)]
pub(crate) fn recover(path: &Path, flash: &SimFlash) -> Result<bool, Failure> {
    let Some((newer, _locked)) = left_behind(path, flash)? else {
        return Ok(false);
    };
    write_new(path, &newer, true)?;
    let left = running(path);
    std::fs::remove_file(&left).map_err(Failure::io("remove", &left))?;
    Ok(true)
}

/// The state that a run in QEMU left behind and its file, locked, if it came to no clean end.
#[cfg(unix)]
fn left_behind(path: &Path, flash: &SimFlash) -> Result<Option<LeftBehind>, Failure> {
    let left = running(path);
    let strange = || Failure::Strange {
        running: left.clone(),
        path: path.to_owned(),
    };
    let deadline = Instant::now() + QEMU_ENDS;
    let (newer, file) = loop {
        // A pipe would be waited at.
        let file = match keyfile::open_regular(&left) {
            Ok(file) => file,
            Err(KeyFileError::Read { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
                return Ok(None);
            }
            Err(KeyFileError::Read { source, .. }) => {
                return Err(Failure::io("open", &left)(source));
            }
            Err(_) => return Err(strange()),
        };
        let metadata = file.metadata().map_err(Failure::io("read", &left))?;
        Guard::Secret
            .check(&metadata)
            .map_err(|exposed| Failure::Exposed {
                path: left.clone(),
                exposed,
            })?;
        match Memory::left_behind(&file) {
            // Held until it is removed.
            Ok(newer) if is_at(&file, &left).unwrap_or(false) => break (newer, file),
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                if Instant::now() > deadline {
                    return Err(Failure::InUse(left));
                }
                thread::sleep(Duration::from_millis(10));
            }
            Err(error) if error.kind() == io::ErrorKind::InvalidData => return Err(strange()),
            Err(error) => return Err(Failure::io("read", &left)(error)),
        }
    };
    // Another provisioning has another nonce there.
    if newer.get(IDENTITY..JOURNAL) != flash.bytes().get(IDENTITY..JOURNAL) {
        return Err(strange());
    }
    // Nor may anyone have put a newer state in its place meanwhile: counters never go back.
    let left_behind = SimFlash::new(newer.to_vec());
    if let (Some(here), Some(there)) = (counters(flash), counters(&left_behind))
        && (here.boot > there.boot
            || here.security > there.security
            || here.requests > there.requests)
    {
        return Err(Failure::Behind {
            running: left,
            path: path.to_owned(),
        });
    }
    Ok(Some((newer, file)))
}

/// A flash, and the file in which it lies.
#[cfg(unix)]
type LeftBehind = (Zeroizing<Vec<u8>>, File);

/// The counters of a flash image, if its journal has some.
#[cfg(unix)]
fn counters(flash: &SimFlash) -> Option<Counters> {
    let mut copy = SimFlash::new(flash.bytes().to_vec());
    let (_, journal) = copy.split(JOURNAL);
    Journal::open(journal)
        .ok()
        .map(|journal| journal.counters())
}

/// Whether the file that was opened is the one that has the name now.
fn is_at(file: &File, path: &Path) -> io::Result<bool> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt as _;
        let identity = |metadata: std::fs::Metadata| (metadata.dev(), metadata.ino());
        Ok(identity(file.metadata()?) == identity(std::fs::metadata(path)?))
    }
    #[cfg(not(unix))]
    Ok(true)
}

fn open_once(path: &Path, write: bool) -> Result<(SimFlash, File), Failure> {
    let mut options = OpenOptions::new();
    options.read(true).write(write);
    let mut file = keyfile::without_waiting(&mut options)
        .open(path)
        .map_err(Failure::io("open", path))?;
    let metadata = file.metadata().map_err(Failure::io("read", path))?;
    if metadata.is_dir() {
        return Err(Failure::io("open", path)(
            io::ErrorKind::IsADirectory.into(),
        ));
    }
    // What is no image is no secret either.
    if !metadata.is_file() {
        return Err(Failure::NoFile(path.to_owned()));
    }
    if metadata.len() != FLASH_LEN as u64 {
        return Err(Failure::NoImage {
            path: path.to_owned(),
            len: metadata.len(),
        });
    }
    Guard::Secret
        .check(&metadata)
        .map_err(|exposed| Failure::Exposed {
            path: path.to_owned(),
            exposed,
        })?;
    let locked = match write {
        true => file.try_lock(),
        false => file.try_lock_shared(),
    };
    locked.map_err(|error| match error {
        TryLockError::WouldBlock => Failure::InUse(path.to_owned()),
        TryLockError::Error(error) => Failure::io("lock", path)(error),
    })?;
    let mut bytes = Zeroizing::new(vec![0; FLASH_LEN]);
    file.read_exact(&mut bytes)
        .map_err(Failure::io("read", path))?;
    Ok((SimFlash::new(mem::take(&mut bytes)), file))
}

/// Whoever started QEMU is dead: it is about to end.
#[cfg(unix)]
const QEMU_ENDS: Duration = Duration::from_secs(5);

/// Bounds what is read of a file that is no model.
const MODEL_FILE_LEN_MAX: u64 = 256 << 20;

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_was_replaced_is_not_the_one_at_its_path() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("flash.bin");
        write_new(&path, b"old", false).unwrap();
        let old = File::open(&path).unwrap();
        assert!(is_at(&old, &path).unwrap());
        assert!(matches!(
            write_new(&path, b"new", false),
            Err(Failure::Exists(_))
        ));
        write_new(&path, b"new", true).unwrap();
        assert!(!is_at(&old, &path).unwrap());
        assert!(is_at(&File::open(&path).unwrap(), &path).unwrap());
    }
}
