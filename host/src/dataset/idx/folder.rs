//! A folder of IDX files, read in pieces: sealing it never holds it whole.

use std::fs::{self, File};
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use sha2::{Digest, Sha256};

use super::super::fetch::{MNIST_FILES, MnistFile, not_published};
use super::super::{Dataset, Part};
use super::{MAX_BYTES, cut_short, damaged, goes_on, read, read_header};
use crate::error::{Error, Result};

/// The records of an IDX folder: their form is known and checked, their values still lie in the files
/// (gzipped files, which cannot be read in pieces, are held in memory).
#[derive(Debug)]
pub struct IdxFolder {
    /// The folder's name.
    pub name: String,
    /// Shape of one record's features.
    pub shape: Vec<usize>,
    /// One more than the highest label.
    pub classes: u16,
    /// The parts in order.
    pub parts: Vec<Part>,
    files: Vec<Files>,
}

impl IdxFolder {
    /// Opens the files of a folder and reads their headers, and the labels for the number of classes.
    ///
    /// # Errors
    /// [`Error::Io`] and [`Error::Input`]: no pair of images and labels, counts or shapes that differ, or a
    /// damaged file.
    pub fn open(folder: &Path) -> Result<IdxFolder> {
        let name = folder
            .canonicalize()
            .ok()
            .and_then(|full| Some(full.file_name()?.to_string_lossy().into_owned()));
        let mut whole = IdxFolder::named(name.unwrap_or_else(|| folder.display().to_string()));
        for pair in pairs(folder)? {
            let images = Values::open(&pair.images)?;
            let labels = Values::open(&pair.labels)?;
            whole.push(pair, images, labels)?;
        }
        Ok(whole)
    }

    /// Opens the four files of MNIST in `folder`, and no others that may lie there. Their digests are taken
    /// through the handles that the records are then read from, so another file in their place is not read.
    ///
    /// # Errors
    /// [`Error::Verification`] when a file is not the published one, [`Error::Io`] when it cannot be read.
    pub fn mnist(folder: &Path) -> Result<IdxFolder> {
        let open = |file: &MnistFile| {
            let path = folder.join(file.name);
            let handle = super::super::open(&path)?;
            if digest(&handle).map_err(Error::io("read", &path))? != file.sha256 {
                return Err(not_published(&path));
            }
            Values::of_file(&path, handle)
        };
        let mut whole = IdxFolder::named("mnist".to_owned());
        let (files, _) = MNIST_FILES.as_chunks();
        for (part, [images, labels]) in ["train", "test"].into_iter().zip(files) {
            let pair = Pair {
                part: part.to_owned(),
                images: folder.join(images.name),
                labels: folder.join(labels.name),
            };
            whole.push(pair, open(images)?, open(labels)?)?;
        }
        Ok(whole)
    }

    fn named(name: String) -> IdxFolder {
        IdxFolder {
            name,
            shape: Vec::new(),
            classes: 0,
            parts: Vec::new(),
            files: Vec::new(),
        }
    }

    fn push(&mut self, pair: Pair, images: Values, labels: Values) -> Result<()> {
        let start = self.count();
        let len = self.fit(&pair, &images, &labels)?;
        self.classes = self.classes.max(labels.highest()? + 1);
        self.parts.push(Part {
            name: pair.part,
            start,
            len,
        });
        self.files.push(Files { images, labels });
        Ok(())
    }

    /// Features a record.
    pub fn feature_count(&self) -> usize {
        self.shape.iter().product()
    }

    /// How many records.
    pub fn count(&self) -> u64 {
        self.parts.last().map_or(0, |part| part.start + part.len)
    }

    /// Labels and features of `count` records from `start`; fewer where there are fewer.
    ///
    /// # Errors
    /// [`Error::Io`] when a file cannot be read, [`Error::Input`] when it has become shorter.
    pub fn read(&self, start: u64, count: usize) -> Result<(Vec<u16>, Vec<u8>)> {
        let end = start.saturating_add(count as u64).min(self.count());
        let width = self.feature_count();
        let (mut labels, mut features) = (Vec::new(), Vec::new());
        // Sizes come from the files, which may be sparse: asked for, never taken for granted.
        let reserved = labels
            .try_reserve_exact(count)
            .and_then(|()| features.try_reserve_exact(count.saturating_mul(width)));
        reserved.map_err(|_| {
            Error::input(
                format!(
                    "{}: there is no memory for {count} records of {width} bytes",
                    self.name
                ),
                "is it the right folder? its files say that they are that large",
            )
        })?;
        for (part, files) in self.parts.iter().zip(&self.files) {
            let from = start.max(part.start);
            let to = end.min(part.start + part.len);
            if from < to {
                // Both fit: `to - from` is at most `count`.
                let records = (to - from) as usize;
                let at = from - part.start;
                let mut bytes = Vec::new();
                files.labels.read(at, records, &mut bytes)?;
                labels.extend(bytes.into_iter().map(u16::from));
                files
                    .images
                    .read(at * width as u64, records * width, &mut features)?;
            }
        }
        Ok((labels, features))
    }

    /// All of it in memory.
    ///
    /// # Errors
    /// As [`IdxFolder::read`] and [`Dataset::checked`]; [`Error::Input`] when it is larger than 4 GiB.
    pub fn dataset(self) -> Result<Dataset> {
        let count = usize::try_from(self.count()).unwrap_or(usize::MAX);
        let bytes = count.saturating_mul(self.feature_count());
        if bytes as u64 > MAX_BYTES {
            return Err(Error::input(
                format!(
                    "{} holds {bytes} bytes; at most {MAX_BYTES} are read into memory",
                    self.name
                ),
                "split it into several data sets",
            ));
        }
        let (labels, features) = self.read(0, count)?;
        Dataset {
            name: self.name,
            shape: self.shape,
            classes: self.classes,
            features,
            labels,
            parts: self.parts,
            scaling: None,
            class_names: None,
            headings: None,
        }
        .checked()
    }

    /// Checks that a pair fits together and to the pairs before; the answer is how many records it has.
    fn fit(&mut self, pair: &Pair, images: &Values, labels: &Values) -> Result<u64> {
        let (&count, shape) = images.sizes.split_first().unwrap_or((&0, &[]));
        if shape.is_empty() {
            return Err(damaged(
                &pair.images,
                "it has one dimension: labels, not images",
            ));
        }
        let [label_count] = labels.sizes[..] else {
            return Err(damaged(
                &pair.labels,
                format!("labels have one dimension, this has {}", labels.sizes.len()),
            ));
        };
        if count != label_count {
            return Err(Error::input(
                format!(
                    "{} holds {count} images but {} holds {label_count} labels",
                    pair.images.display(),
                    pair.labels.display(),
                ),
                "one of the two is from another data set or incomplete",
            ));
        }
        if self.shape.is_empty() {
            self.shape = shape.to_vec();
        } else if self.shape != shape {
            return Err(Error::input(
                format!(
                    "{} holds records of shape {shape:?} but the files before of {:?}",
                    pair.images.display(),
                    self.shape
                ),
                "all parts of a data set have the same shape",
            ));
        }
        Ok(count as u64)
    }
}

/// One part's open files.
#[derive(Debug)]
struct Files {
    images: Values,
    labels: Values,
}

/// The values of one IDX file.
#[derive(Debug)]
struct Values {
    path: PathBuf,
    sizes: Vec<usize>,
    total: u64,
    place: Place,
}

#[derive(Debug)]
enum Place {
    /// From this offset of the file. Threads take turns.
    File(Mutex<File>, u64),
    Memory(Vec<u8>),
}

impl Values {
    fn open(path: &Path) -> Result<Values> {
        if path.extension().is_some_and(|e| e == "gz") {
            let idx = read(path)?;
            return Ok(Values {
                path: path.to_owned(),
                sizes: idx.sizes,
                total: idx.values.len() as u64,
                place: Place::Memory(idx.values),
            });
        }
        Values::of_file(path, super::super::open(path)?)
    }

    /// The values of an open file, plain, which must be at its beginning.
    fn of_file(path: &Path, file: File) -> Result<Values> {
        let length = file.metadata().map_err(Error::io("read", path))?.len();
        let header = read_header(&mut BufReader::new(&file), path, length)?;
        if length > header.length + header.total {
            return Err(goes_on(path));
        }
        Ok(Values {
            path: path.to_owned(),
            sizes: header.sizes,
            total: header.total,
            place: Place::File(Mutex::new(file), header.length),
        })
    }

    /// Appends `count` values from `at` to `out`.
    fn read(&self, at: u64, count: usize, out: &mut Vec<u8>) -> Result<()> {
        let before = out.len();
        match &self.place {
            Place::Memory(values) => {
                let start = usize::try_from(at).unwrap_or(usize::MAX);
                let end = start.saturating_add(count);
                out.extend_from_slice(values.get(start..end).unwrap_or_default());
            }
            Place::File(file, offset) => {
                let mut file = match file.lock() {
                    Ok(file) => file,
                    // Whoever panicked left the file where it was: each read seeks first.
                    Err(poisoned) => poisoned.into_inner(),
                };
                file.seek(SeekFrom::Start(offset + at))
                    .and_then(|_| (&mut *file).take(count as u64).read_to_end(out))
                    .map_err(Error::io("read", &self.path))?;
            }
        }
        if out.len() - before < count {
            let found = at + (out.len() - before) as u64;
            return Err(cut_short(&self.path, found, self.total));
        }
        Ok(())
    }

    /// The highest value.
    fn highest(&self) -> Result<u16> {
        let mut highest = 0;
        let mut at = 0;
        let mut piece = Vec::new();
        while at < self.total {
            let count = (self.total - at).min(PIECE) as usize;
            piece.clear();
            self.read(at, count, &mut piece)?;
            highest = highest.max(piece.iter().copied().max().unwrap_or(0));
            at += count as u64;
        }
        Ok(u16::from(highest))
    }
}

/// SHA-256 of a file from its beginning, in hexadecimal; the file is at its beginning again.
fn digest(mut file: &File) -> io::Result<String> {
    let mut hasher = Sha256::new();
    let mut piece = vec![0; PIECE as usize];
    file.rewind()?;
    loop {
        match file.read(&mut piece)? {
            0 => break,
            length => hasher.update(&piece[..length]),
        }
    }
    file.rewind()?;
    Ok(hex::encode(hasher.finalize()))
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

/// Bytes looked at in one go.
const PIECE: u64 = 1 << 16;
