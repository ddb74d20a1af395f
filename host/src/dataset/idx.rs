//! The IDX files of MNIST-style folders, plain or gzipped.
//!
//! The format (LeCun, Cortes, Burges, "The MNIST database", *File formats*), big-endian:
//!
//! | offset | size | field |
//! |---|---|---|
//! | 0 | 2 | zero |
//! | 2 | 1 | type of the values; 0x08 is unsigned byte, the only one read here |
//! | 3 | 1 | number of dimensions D |
//! | 4 | 4 × D | sizes, the number of records first |
//! | 4 + 4 D | product of the sizes | values, the last dimension fastest |
//!
//! A folder holds pairs `PART-images-idxD-ubyte` and `PART-labels-idx1-ubyte` (a dot in place of the
//! last hyphen but one is read too, and so is `.gz`). Part `t10k` is called `test`. MNIST itself is read through the
//! `mnist` crate.

mod folder;
mod mnist;

use std::io::{self, BufReader, Read, Write};
use std::path::Path;

pub use folder::IdxFolder;

use super::Dataset;
use crate::error::{Error, Result};
use crate::files::AtomicFile;

/// An array of bytes with its shape.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Idx {
    /// Sizes, the number of records first; at least one dimension, none of them 0.
    pub sizes: Vec<usize>,
    /// Row-major values, as many as the product of the sizes.
    pub values: Vec<u8>,
}

/// Reads an IDX file of unsigned bytes, gzipped if its name ends in `.gz`.
///
/// # Errors
/// [`Error::Io`] when it cannot be read, [`Error::Input`] when it is not such a file, is cut short, or
/// holds more than its header says.
pub fn read(path: &Path) -> Result<Idx> {
    let file = super::open(path)?;
    let length = file.metadata().map_err(Error::io("read", path))?;
    if length.is_dir() {
        return Err(Error::io("read", path)(io::ErrorKind::IsADirectory.into()));
    }
    if path.extension().is_some_and(|e| e == "gz") {
        let plain = flate2::read::MultiGzDecoder::new(BufReader::new(file));
        read_from(plain, path, MAX_BYTES)
    } else {
        read_from(BufReader::new(file), path, length.len())
    }
}

/// Writes an IDX file of unsigned bytes, all or nothing.
///
/// # Errors
/// [`Error::Io`] when the disk refuses, [`Error::Input`] when shape and values do not fit together.
pub fn write(path: &Path, sizes: &[usize], values: &[u8]) -> Result<()> {
    if sizes.iter().product::<usize>() != values.len() {
        return Err(damaged(path, "its sizes and values do not fit together"));
    }
    let sizes: Vec<u64> = sizes.iter().map(|&size| size as u64).collect();
    let header = header(path, &sizes)?;
    let mut file = AtomicFile::create(path)?;
    file.write_all(&header)
        .and_then(|()| file.write_all(values))
        .map_err(Error::io("write", path))?;
    file.commit()
}

/// Reads a folder of IDX files as a data set.
///
/// # Errors
/// As [`IdxFolder::open`], and when a file is damaged.
pub fn read_folder(folder: &Path) -> Result<Dataset> {
    match mnist::read(folder)? {
        Some(mnist) => Ok(mnist),
        None => IdxFolder::open(folder)?.dataset(),
    }
}

/// Reads MNIST from a folder that holds its four files.
///
/// # Errors
/// [`Error::Verification`] when one of them is not the published one, [`Error::Io`] when one cannot be read.
pub fn read_mnist(folder: &Path) -> Result<Dataset> {
    match mnist::read(folder)? {
        Some(mnist) => Ok(mnist),
        // Says which of them it is.
        None => IdxFolder::mnist(folder)?.dataset(),
    }
}

/// Writes a data set as IDX files into a folder that exists, a pair a part.
///
/// # Errors
/// [`Error::Io`] when the disk refuses, [`Error::Input`] when the labels do not fit a byte.
pub fn write_folder(folder: &Path, data: &Dataset) -> Result<()> {
    if data.classes > 256 {
        return Err(Error::input(
            format!(
                "{} has {} classes; IDX labels are bytes",
                data.name, data.classes
            ),
            "write it as CSV",
        ));
    }
    let labels = data.labels.iter().map(|&label| u8::try_from(label));
    let labels: Vec<u8> = labels.collect::<Result<_, _>>().map_err(|_| {
        Error::input(
            format!("{} has a label that does not fit a byte", data.name),
            "write it as CSV",
        )
    })?;
    let width = data.feature_count();
    for part in &data.parts {
        let range = part.range();
        let mut sizes = vec![range.len()];
        sizes.extend(&data.shape);
        let [images, labels_name] = file_names(&part.name, sizes.len());
        write(
            &folder.join(images),
            &sizes,
            &data.features[range.start * width..range.end * width],
        )?;
        write(&folder.join(labels_name), &[range.len()], &labels[range])?;
    }
    Ok(())
}

/// The header of a file for `path` with these sizes, the number of records first.
pub(crate) fn header(path: &Path, sizes: &[u64]) -> Result<Vec<u8>> {
    let dimensions = u8::try_from(sizes.len()).unwrap_or(u8::MAX);
    if !(1..=MAX_DIMENSIONS).contains(&dimensions) {
        return Err(damaged(path, "it would have too many dimensions"));
    }
    let mut header = vec![0, 0, UNSIGNED_BYTE, dimensions];
    for &size in sizes {
        let size = u32::try_from(size).map_err(|_| damaged(path, "a size is beyond 32 bits"))?;
        header.extend(size.to_be_bytes());
    }
    Ok(header)
}

/// The names of a part's images, whose files have so many dimensions, and of its labels.
pub(crate) fn file_names(part: &str, dimensions: usize) -> [String; 2] {
    let prefix = if part == "test" { "t10k" } else { part };
    [
        format!("{prefix}-images-idx{dimensions}-ubyte"),
        format!("{prefix}-labels-idx1-ubyte"),
    ]
}

/// Whether a file begins as an IDX file of unsigned bytes does.
///
/// # Errors
/// [`Error::Io`] when it cannot be read.
pub fn has_idx_magic(path: &Path) -> Result<bool> {
    let mut magic = Vec::new();
    super::open(path)?
        .take(3)
        .read_to_end(&mut magic)
        .map_err(Error::io("read", path))?;
    Ok(magic == [0, 0, UNSIGNED_BYTE])
}

/// `available` bounds what the source can hold, header included, so that a lying header cannot make
/// this allocate more.
fn read_from(mut source: impl Read, path: &Path, available: u64) -> Result<Idx> {
    let Header { sizes, total, .. } = read_header(&mut source, path, available)?;
    let mut values = Vec::new();
    source
        .by_ref()
        .take(total)
        .read_to_end(&mut values)
        .map_err(Error::io("read", path))?;
    if (values.len() as u64) < total {
        return Err(cut_short(path, values.len() as u64, total));
    }
    let mut beyond = [0];
    match source.read(&mut beyond) {
        Ok(0) => Ok(Idx { sizes, values }),
        Ok(_) => Err(goes_on(path)),
        Err(e) => Err(Error::io("read", path)(e)),
    }
}

/// What a file says before its values.
struct Header {
    sizes: Vec<usize>,
    /// Where the values begin.
    length: u64,
    /// How many there are, at least one.
    total: u64,
}

fn read_header(source: &mut impl Read, path: &Path, available: u64) -> Result<Header> {
    let mut magic = [0; 4];
    fill(source, &mut magic, path, "its header")?;
    let [0, 0, kind, dimensions] = magic else {
        return Err(Error::input(
            format!(
                "{} is not an IDX file: it begins with {}",
                path.display(),
                hex::encode(magic)
            ),
            "IDX files of images begin with 00000803, of labels with 00000801",
        ));
    };
    if kind != UNSIGNED_BYTE {
        return Err(damaged(
            path,
            format!("its values are of type 0x{kind:02x}; only unsigned bytes (0x08) are read"),
        ));
    }
    if !(1..=MAX_DIMENSIONS).contains(&dimensions) {
        return Err(damaged(
            path,
            format!("it claims {dimensions} dimensions; 1 to {MAX_DIMENSIONS} are read"),
        ));
    }
    let mut sizes = Vec::new();
    let mut total: u64 = 1;
    for _ in 0..dimensions {
        let mut size = [0; 4];
        fill(source, &mut size, path, "its header")?;
        let size = u32::from_be_bytes(size);
        total = total.saturating_mul(u64::from(size));
        sizes.push(size as usize);
    }
    if total == 0 {
        return Err(damaged(
            path,
            format!("it is empty: its sizes are {sizes:?}"),
        ));
    }
    let header = 4 + 4 * u64::from(dimensions);
    if total > available.saturating_sub(header) {
        return Err(damaged(
            path,
            format!("its header announces {total} bytes of values, more than it can hold"),
        ));
    }
    Ok(Header {
        sizes,
        length: header,
        total,
    })
}

fn cut_short(path: &Path, found: u64, total: u64) -> Error {
    damaged(
        path,
        format!("it is cut short: {found} of {total} bytes of values"),
    )
}

fn goes_on(path: &Path) -> Error {
    damaged(path, "it goes on after the values its header announces")
}

fn fill(source: &mut impl Read, buffer: &mut [u8], path: &Path, what: &str) -> Result<()> {
    source.read_exact(buffer).map_err(|e| match e.kind() {
        io::ErrorKind::UnexpectedEof => damaged(path, format!("it is cut short in {what}")),
        _ => Error::io("read", path)(e),
    })
}

fn damaged(path: &Path, what: impl std::fmt::Display) -> Error {
    Error::input(
        format!("{}: {what}", path.display()),
        "get the file again, or check that it is the right one",
    )
}

/// Where a header holds the number of records.
pub(crate) const COUNT_OFFSET: u64 = 4;

/// The IDX type code of unsigned bytes.
const UNSIGNED_BYTE: u8 = 0x08;

/// Records of up to three dimensions: colour images.
const MAX_DIMENSIONS: u8 = 4;

/// No gzipped file may unfold to more than this.
const MAX_BYTES: u64 = 4 << 30;
