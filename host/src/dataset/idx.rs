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

mod mnist;

use std::fs::{self, File};
use std::io::{self, BufReader, Read, Write};
use std::path::{Path, PathBuf};

use super::{Dataset, Part};
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
    let file = File::open(path).map_err(Error::io("read", path))?;
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
    let fits = !sizes.is_empty() && sizes.iter().product::<usize>() == values.len();
    let dimensions = u8::try_from(sizes.len()).ok().filter(|_| fits);
    let Some(dimensions) = dimensions else {
        return Err(damaged(path, "its sizes and values do not fit together"));
    };
    let mut header = vec![0, 0, UNSIGNED_BYTE, dimensions];
    for &size in sizes {
        let size = u32::try_from(size).map_err(|_| damaged(path, "a size is beyond 32 bits"))?;
        header.extend(size.to_be_bytes());
    }
    let mut file = AtomicFile::create(path)?;
    file.write_all(&header)
        .and_then(|()| file.write_all(values))
        .map_err(Error::io("write", path))?;
    file.commit()
}

/// Reads a folder of IDX files as a data set.
///
/// # Errors
/// [`Error::Io`] and [`Error::Input`]: no pair of images and labels, counts or shapes that differ, or a
/// damaged file.
pub fn read_folder(folder: &Path) -> Result<Dataset> {
    if let Some(mnist) = mnist::read(folder)? {
        return Ok(mnist);
    }
    let mut features = Vec::new();
    let mut labels = Vec::new();
    let mut parts = Vec::new();
    let mut shape: Option<(Vec<usize>, PathBuf)> = None;
    for pair in pairs(folder)? {
        let images = read(&pair.images)?;
        let part_labels = read(&pair.labels)?;
        let (&count, part_shape) = images.sizes.split_first().unwrap_or((&0, &[]));
        if part_shape.is_empty() {
            return Err(damaged(
                &pair.images,
                "it has one dimension: labels, not images",
            ));
        }
        if part_labels.sizes.len() != 1 {
            return Err(damaged(
                &pair.labels,
                format!(
                    "labels have one dimension, this has {}",
                    part_labels.sizes.len()
                ),
            ));
        }
        if count != part_labels.values.len() {
            return Err(Error::input(
                format!(
                    "{} holds {count} images but {} holds {} labels",
                    pair.images.display(),
                    pair.labels.display(),
                    part_labels.values.len()
                ),
                "one of the two is from another data set or incomplete",
            ));
        }
        match &shape {
            Some((shape, first)) if shape != part_shape => {
                return Err(Error::input(
                    format!(
                        "{} holds records of shape {part_shape:?} but {} of {shape:?}",
                        pair.images.display(),
                        first.display()
                    ),
                    "all parts of a data set have the same shape",
                ));
            }
            Some(_) => {}
            None => shape = Some((part_shape.to_vec(), pair.images.clone())),
        }
        parts.push(Part {
            name: pair.part,
            start: labels.len() as u64,
            len: count as u64,
        });
        features.extend_from_slice(&images.values);
        labels.extend(part_labels.values.iter().map(|&label| u16::from(label)));
    }
    let name = folder
        .canonicalize()
        .ok()
        .and_then(|full| Some(full.file_name()?.to_string_lossy().into_owned()));
    Dataset {
        name: name.unwrap_or_else(|| folder.display().to_string()),
        shape: shape.map(|(shape, _)| shape).unwrap_or_default(),
        classes: labels.iter().max().map_or(0, |max| max + 1),
        features,
        labels,
        parts,
        scaling: None,
        class_names: None,
    }
    .checked()
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
    let labels: Vec<u8> = data.labels.iter().map(|&label| label as u8).collect();
    let width = data.feature_count();
    for part in &data.parts {
        let range = part.range();
        let mut sizes = vec![range.len()];
        sizes.extend(&data.shape);
        let prefix = if part.name == "test" {
            "t10k"
        } else {
            &part.name
        };
        write(
            &folder.join(format!("{prefix}-images-idx{}-ubyte", sizes.len())),
            &sizes,
            &data.features[range.start * width..range.end * width],
        )?;
        write(
            &folder.join(format!("{prefix}-labels-idx1-ubyte")),
            &[range.len()],
            &labels[range],
        )?;
    }
    Ok(())
}

/// Whether a file begins as an IDX file of unsigned bytes does.
///
/// # Errors
/// [`Error::Io`] when it cannot be read.
pub fn has_idx_magic(path: &Path) -> Result<bool> {
    let mut magic = Vec::new();
    File::open(path)
        .and_then(|file| file.take(3).read_to_end(&mut magic))
        .map_err(Error::io("read", path))?;
    Ok(magic == [0, 0, UNSIGNED_BYTE])
}

/// `available` bounds what the source can hold, header included, so that a lying header cannot make
/// this allocate more.
fn read_from(mut source: impl Read, path: &Path, available: u64) -> Result<Idx> {
    let mut magic = [0; 4];
    fill(&mut source, &mut magic, path, "its header")?;
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
        fill(&mut source, &mut size, path, "its header")?;
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
    let mut values = Vec::new();
    source
        .by_ref()
        .take(total)
        .read_to_end(&mut values)
        .map_err(Error::io("read", path))?;
    if (values.len() as u64) < total {
        return Err(damaged(
            path,
            format!(
                "it is cut short: {} of {total} bytes of values",
                values.len()
            ),
        ));
    }
    let mut beyond = [0];
    match source.read(&mut beyond) {
        Ok(0) => Ok(Idx { sizes, values }),
        Ok(_) => Err(damaged(
            path,
            "it goes on after the values its header announces",
        )),
        Err(e) => Err(Error::io("read", path)(e)),
    }
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

/// Images and labels of one part.
struct Pair {
    part: String,
    images: PathBuf,
    labels: PathBuf,
}

/// The pairs in a folder: `train` first, then `test`, then the rest by name.
fn pairs(folder: &Path) -> Result<Vec<Pair>> {
    let entries = fs::read_dir(folder).map_err(Error::io("read", folder))?;
    let mut images: Vec<(String, PathBuf)> = Vec::new();
    let mut labels: Vec<(String, PathBuf)> = Vec::new();
    for entry in entries {
        let path = entry.map_err(Error::io("read", folder))?.path();
        let Some(name) = path.file_name().and_then(|name| name.to_str()) else {
            continue;
        };
        let name = name.strip_suffix(".gz").unwrap_or(name).replace('.', "-");
        let Some(stem) = name.strip_suffix("-ubyte") else {
            continue;
        };
        let Some((stem, _dimensions)) = stem.rsplit_once("-idx") else {
            continue;
        };
        if let Some(part) = stem.strip_suffix("-images") {
            images.push((part.to_owned(), path));
        } else if let Some(part) = stem.strip_suffix("-labels") {
            labels.push((part.to_owned(), path));
        }
    }
    // Of a plain file and its .gz the plain one comes first and is taken.
    images.sort();
    labels.sort();
    images.dedup_by(|a, b| a.0 == b.0);
    labels.dedup_by(|a, b| a.0 == b.0);
    let mut pairs = Vec::new();
    for (part, images) in images {
        let Some(at) = labels.iter().position(|(name, _)| *name == part) else {
            return Err(Error::input(
                format!("{} has no labels beside it", images.display()),
                format!("put {part}-labels-idx1-ubyte into the same folder"),
            ));
        };
        let (_, labels) = labels.swap_remove(at);
        let part = if part == "t10k" { "test".into() } else { part };
        pairs.push(Pair {
            part,
            images,
            labels,
        });
    }
    if let Some((part, labels)) = labels.first() {
        return Err(Error::input(
            format!("{} has no images beside it", labels.display()),
            format!("put {part}-images-idx3-ubyte into the same folder"),
        ));
    }
    if pairs.is_empty() {
        return Err(Error::input(
            format!("{} holds no IDX files", folder.display()),
            "expected train-images-idx3-ubyte and train-labels-idx1-ubyte, and the same with t10k; \
             or name a CSV file",
        ));
    }
    pairs.sort_by_key(|pair| match pair.part.as_str() {
        "train" => (0, String::new()),
        "test" => (1, String::new()),
        other => (2, other.to_owned()),
    });
    Ok(pairs)
}

/// The IDX type code of unsigned bytes.
const UNSIGNED_BYTE: u8 = 0x08;

/// Records of up to three dimensions: colour images.
const MAX_DIMENSIONS: u8 = 4;

/// No gzipped file may unfold to more than this.
const MAX_BYTES: u64 = 4 << 30;
