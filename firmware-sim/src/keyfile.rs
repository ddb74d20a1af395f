//! Key files: who may reach them, how they are opened, and what they look like. One rule for device and host.
//!
//! A secret is refused when group or others can read or write it, a file or folder that is trusted for where
//! it lies when they can write it, and either when it belongs to somebody else than this process's user or
//! root. What was opened is asked, never its path, which may name something else by then. Elsewhere than on
//! Unix the platform's own rules hold.

use std::fmt;
use std::fs::{File, Metadata, OpenOptions};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use base64ct::{Base64, Encoding as _};
use ed25519_dalek::pkcs8::DecodePublicKey as _;
use sealnet_core::fernet::FernetKey;
use sealnet_core::sign::Ed25519PublicKey;
use zeroize::Zeroizing;

/// What a file or folder is guarded for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Guard {
    /// None but its owner may read or write it.
    Secret,
    /// None but its owner may write it: what lies there is believed.
    Trusted,
}

impl Guard {
    /// Refuses what others can reach.
    ///
    /// # Errors
    /// [`Exposed`].
    #[cfg(unix)]
    pub fn check(self, metadata: &Metadata) -> Result<(), Exposed> {
        use std::os::unix::fs::MetadataExt as _;
        let me = rustix::process::geteuid().as_raw();
        self.judge(metadata.mode() & 0o7777, metadata.uid(), me)
    }

    /// Refuses nothing: there are no such permissions here.
    ///
    /// # Errors
    /// None.
    #[cfg(not(unix))]
    pub fn check(self, _metadata: &Metadata) -> Result<(), Exposed> {
        Ok(())
    }

    #[cfg_attr(not(unix), expect(dead_code))]
    const fn judge(self, mode: u32, owner: u32, me: u32) -> Result<(), Exposed> {
        let guard = self;
        let forbidden = match self {
            Self::Secret => 0o077,
            Self::Trusted => 0o022,
        };
        if owner != me && owner != ROOT {
            return Err(Exposed::Owner { guard, owner });
        }
        if mode & forbidden != 0 {
            return Err(Exposed::Mode { guard, mode });
        }
        Ok(())
    }
}

/// Why a file or folder is not believed. `Display` goes on from its path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exposed {
    /// Its permissions let others reach it.
    Mode {
        /// What it is guarded for.
        guard: Guard,
        /// Its permission bits.
        mode: u32,
    },
    /// It belongs to another user, who can do anything with it.
    Owner {
        /// What it is guarded for.
        guard: Guard,
        /// The user's number.
        owner: u32,
    },
}

impl Exposed {
    /// What to do about it.
    pub fn hint(&self, path: &Path) -> String {
        let path = path.display();
        match self {
            Self::Mode {
                guard: Guard::Secret,
                ..
            } => format!("chmod 600 {path}, and make new keys if others may have read it"),
            Self::Mode {
                guard: Guard::Trusted,
                ..
            } => {
                format!("chmod go-w {path}, and compare the key ids with where you have them from")
            }
            Self::Owner { .. } => format!(
                "if that user is to be trusted, copy the files for yourself; \
                 else make new keys: {path} may be read or changed by its owner"
            ),
        }
    }
}

impl fmt::Display for Exposed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = |guard: &Guard| match guard {
            Guard::Secret => "is a secret",
            Guard::Trusted => "is trusted",
        };
        match self {
            Self::Mode {
                guard: guard @ Guard::Secret,
                mode,
            } => write!(f, "{} that others can reach (mode {mode:04o})", what(guard)),
            Self::Mode { guard, mode } => {
                write!(
                    f,
                    "{}, and others can change it (mode {mode:04o})",
                    what(guard)
                )
            }
            Self::Owner { guard, owner } => {
                write!(f, "{}, and belongs to another user ({owner})", what(guard))
            }
        }
    }
}

/// Why a key file or its folder was refused. `Display` says what was wrong and where,
/// [`KeyFileError::hint`] what to do.
#[derive(Debug, thiserror::Error)]
pub enum KeyFileError {
    /// It could not be read.
    #[error("cannot read {}: {source}", path.display())]
    Read {
        /// The file or folder.
        path: PathBuf,
        /// The operating system's answer.
        source: io::Error,
    },
    /// It is no regular file.
    #[error("{} is a pipe or a device, not a file", .0.display())]
    NoFile(PathBuf),
    /// Others can reach it.
    #[error("{} {exposed}", path.display())]
    Exposed {
        /// The file or folder.
        path: PathBuf,
        /// How.
        exposed: Exposed,
    },
    /// It does not hold what it should.
    #[error("{}: {what}", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        what: String,
    },
}

impl KeyFileError {
    /// What to do about it.
    pub fn hint(&self) -> String {
        match self {
            Self::Read { .. } => {
                "name a device's folder made by `sealnet keygen`, such as keys/device-0001".into()
            }
            Self::NoFile(_) => "name a regular file".into(),
            Self::Exposed { path, exposed } => exposed.hint(path),
            Self::Malformed { .. } => {
                "restore the file from where it was made, or make new keys with `sealnet keygen`"
                    .into()
            }
        }
    }

    fn read(path: &Path) -> impl Fn(io::Error) -> Self {
        move |source| Self::Read {
            path: path.to_owned(),
            source,
        }
    }
}

/// A folder of keys that nobody else can change. Its files are found in the folder that was opened and
/// checked, whatever its path names by then.
#[derive(Debug)]
pub struct KeyDir {
    path: PathBuf,
    #[cfg(unix)]
    handle: File,
}

impl KeyDir {
    /// Opens a folder.
    ///
    /// # Errors
    /// [`KeyFileError::Read`] when there is none, [`KeyFileError::Exposed`].
    pub fn open(path: &Path) -> Result<Self, KeyFileError> {
        let handle = Self::handle(path).map_err(KeyFileError::read(path))?;
        let metadata = handle.metadata().map_err(KeyFileError::read(path))?;
        check(Guard::Trusted, &metadata, path)?;
        Ok(Self {
            path: path.to_owned(),
            #[cfg(unix)]
            handle,
        })
    }

    /// Reads a file of the folder.
    ///
    /// # Errors
    /// [`KeyFileError`].
    pub fn read(&self, name: &str, guard: Guard) -> Result<KeyFile, KeyFileError> {
        let path = self.path.join(name);
        let file = self.file(name).map_err(KeyFileError::read(&path))?;
        let metadata = regular(&file, &path)?;
        check(guard, &metadata, &path)?;
        // Room for all of it at once: a vector that grows would leave copies of the key behind.
        let mut bytes = Zeroizing::new(Vec::with_capacity(KEY_FILE_LEN_MAX as usize));
        file.take(KEY_FILE_LEN_MAX)
            .read_to_end(&mut bytes)
            .map_err(KeyFileError::read(&path))?;
        Ok(KeyFile { path, bytes })
    }

    /// The same; `None` when there is no such file.
    ///
    /// # Errors
    /// [`KeyFileError`].
    pub fn read_if_there(&self, name: &str, guard: Guard) -> Result<Option<KeyFile>, KeyFileError> {
        match self.read(name, guard) {
            Ok(file) => Ok(Some(file)),
            Err(KeyFileError::Read { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    #[cfg(unix)]
    fn handle(path: &Path) -> io::Result<File> {
        use rustix::fs::{Mode, OFlags};
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        Ok(rustix::fs::open(path, flags, Mode::empty())?.into())
    }

    #[cfg(unix)]
    fn file(&self, name: &str) -> io::Result<File> {
        use rustix::fs::{Mode, OFlags};
        // Without waiting at a pipe.
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
        Ok(rustix::fs::openat(&self.handle, name, flags, Mode::empty())?.into())
    }

    #[cfg(not(unix))]
    fn handle(path: &Path) -> io::Result<File> {
        File::open(path)
    }

    #[cfg(not(unix))]
    fn file(&self, name: &str) -> io::Result<File> {
        File::open(self.path.join(name))
    }
}

/// What a key file holds. Wiped when dropped.
pub struct KeyFile {
    path: PathBuf,
    bytes: Zeroizing<Vec<u8>>,
}

/// Without the bytes.
impl fmt::Debug for KeyFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("KeyFile").field(&self.path).finish()
    }
}

impl KeyFile {
    /// What `parse` makes of the file.
    ///
    /// # Errors
    /// [`KeyFileError::Malformed`] with what `parse` says.
    pub fn parse<T>(
        &self,
        parse: impl FnOnce(&[u8]) -> Result<T, String>,
    ) -> Result<T, KeyFileError> {
        parse(&self.bytes).map_err(|what| KeyFileError::Malformed {
            path: self.path.clone(),
            what,
        })
    }
}

/// Fernet keys, at least one: as `Fernet.generate_key()` prints them, one a line; blank lines and lines that
/// begin with `#` are skipped.
///
/// # Errors
/// What is wrong with the text; never the text, which may be nearly a key.
pub fn fernet_keys(text: &[u8]) -> Result<Vec<FernetKey>, String> {
    let mut keys = Vec::new();
    for (number, line) in (1..).zip(text.split(|byte| *byte == b'\n')) {
        let line = line.trim_ascii();
        if line.is_empty() || line.starts_with(b"#") {
            continue;
        }
        keys.push(FernetKey::parse(line).map_err(|_| {
            format!("line {number} is not a Fernet key (44 characters of base64url)")
        })?);
    }
    match keys.is_empty() {
        true => Err("it holds no Fernet key".into()),
        false => Ok(keys),
    }
}

/// The one Fernet key of a device's file.
///
/// # Errors
/// As [`fernet_keys`].
pub fn fernet_key(text: &[u8]) -> Result<FernetKey, String> {
    let mut keys = fernet_keys(text)?;
    match (keys.pop(), keys.is_empty()) {
        (Some(key), true) => Ok(key),
        _ => Err("it holds several Fernet keys, and a device takes one".into()),
    }
}

/// `N` bytes in one line of base64.
///
/// # Errors
/// What is wrong with the text.
pub fn base64_key<const N: usize>(text: &[u8]) -> Result<Zeroizing<[u8; N]>, String> {
    let mut key = Zeroizing::new([0; N]);
    match Base64::decode(text.trim_ascii(), key.as_mut_slice()) {
        Ok(decoded) if decoded.len() == N => Ok(key),
        _ => Err(format!("it is not {N} bytes in one line of base64")),
    }
}

/// An Ed25519 public key as `openssl pkey -pubout` prints it (RFC 8410).
///
/// # Errors
/// What is wrong with the text.
pub fn ed25519_public(text: &[u8]) -> Result<Ed25519PublicKey, String> {
    let wrong = || "it is not a usable Ed25519 public key in PEM (SPKI)".to_owned();
    let text = std::str::from_utf8(text).map_err(|_| wrong())?;
    let key = ed25519_dalek::VerifyingKey::from_public_key_pem(text).map_err(|_| wrong())?;
    Ed25519PublicKey::from_bytes(&key.to_bytes()).map_err(|_| wrong())
}

/// Opens a regular file for reading; a pipe, at which opening would wait, or a device is refused.
///
/// # Errors
/// [`KeyFileError::Read`] or [`KeyFileError::NoFile`].
pub fn open_regular(path: &Path) -> Result<File, KeyFileError> {
    let mut options = OpenOptions::new();
    let options = without_waiting(options.read(true));
    let file = options.open(path).map_err(KeyFileError::read(path))?;
    regular(&file, path)?;
    Ok(file)
}

/// The same options, but opening does not wait at a pipe until somebody opens its other end.
pub fn without_waiting(options: &mut OpenOptions) -> &mut OpenOptions {
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::custom_flags(
        options,
        rustix::fs::OFlags::NONBLOCK.bits().cast_signed(),
    );
    options
}

fn regular(file: &File, path: &Path) -> Result<Metadata, KeyFileError> {
    let metadata = file.metadata().map_err(KeyFileError::read(path))?;
    if metadata.is_dir() {
        return Err(KeyFileError::read(path)(io::ErrorKind::IsADirectory.into()));
    }
    match metadata.is_file() {
        true => Ok(metadata),
        false => Err(KeyFileError::NoFile(path.to_owned())),
    }
}

fn check(guard: Guard, metadata: &Metadata, path: &Path) -> Result<(), KeyFileError> {
    guard
        .check(metadata)
        .map_err(|exposed| KeyFileError::Exposed {
            path: path.to_owned(),
            exposed,
        })
}

const ROOT: u32 = 0;
/// Key files are a few hundred bytes; whatever is longer is not one.
const KEY_FILE_LEN_MAX: u64 = 64 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn others_may_read_what_is_trusted_and_reach_no_secret() {
        for mode in 0..=0o777 {
            let secret = Guard::Secret.judge(mode, 7, 7).is_ok();
            assert_eq!(secret, mode & 0o077 == 0, "{mode:o}");
            let trusted = Guard::Trusted.judge(mode, 7, 7).is_ok();
            assert_eq!(trusted, mode & 0o022 == 0, "{mode:o}");
        }
        for guard in [Guard::Secret, Guard::Trusted] {
            for (owner, me, fine) in [(7, 7, true), (0, 7, true), (8, 7, false), (7, 0, false)] {
                let judged = guard.judge(0o600, owner, me);
                assert_eq!(judged.is_ok(), fine, "{owner} {me}");
                assert!(fine || judged == Err(Exposed::Owner { guard, owner }));
            }
        }
    }

    /// Whoever swaps the folder after it was checked swaps nothing that is read.
    #[cfg(unix)]
    #[test]
    fn files_are_read_from_the_folder_that_was_checked() {
        let root = tempfile::tempdir().unwrap();
        let [checked, moved] = ["keys", "moved"].map(|name| root.path().join(name));
        std::fs::create_dir(&checked).unwrap();
        std::fs::write(checked.join("k"), "ours").unwrap();
        let folder = KeyDir::open(&checked).unwrap();
        std::fs::rename(&checked, &moved).unwrap();
        std::fs::create_dir(&checked).unwrap();
        std::fs::write(checked.join("k"), "theirs").unwrap();
        let file = folder.read("k", Guard::Trusted).unwrap();
        assert_eq!(**file.bytes, *b"ours");
    }
}
