//! Data sets: records of `u8` features with a label, from IDX folders, CSV files or a known name.

pub mod csv;
pub mod fetch;
mod form;
pub mod idx;
pub mod split;

use std::collections::HashSet;
use std::fs::File;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::files::{self, AtomicFile, StagedDir};
use crate::progress::Progress;

pub use form::Form;

/// Records in memory. [`Dataset::checked`] proves that the fields fit together.
#[derive(Debug, Clone, PartialEq)]
pub struct Dataset {
    /// What people call it: `mnist`, or the file's or folder's name.
    pub name: String,
    /// Shape of one record's features: `[28, 28]`, or `[columns]` for CSV.
    pub shape: Vec<usize>,
    /// Number of classes; labels are `0..classes`.
    pub classes: u16,
    /// `[count][shape…]` row-major.
    pub features: Vec<u8>,
    /// `[count]`.
    pub labels: Vec<u16>,
    /// Contiguous pieces that cover all records in order; one piece `all` when no split is known.
    pub parts: Vec<Part>,
    /// How CSV reals became `u8`, a column each; `None` when the features are what was read.
    pub scaling: Option<Vec<Column>>,
    /// `[classes]` names, when labels were not numbers that could be used as they are.
    pub class_names: Option<Vec<String>>,
    /// What a CSV file's first row calls its columns, when it is a heading.
    pub headings: Option<Headings>,
}

/// A contiguous piece of a data set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// `train`, `test`, or `all`.
    pub name: String,
    /// Index of its first record.
    pub start: u64,
    /// How many records.
    pub len: u64,
}

/// The names of a CSV file's columns. No two are the same.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Headings {
    /// The label's column.
    pub label: String,
    /// `[features]`, in the order of the features.
    pub features: Vec<String>,
}

/// How a CSV column of reals became `u8`: real = offset + scale × feature, up to rounding.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Column {
    /// The column's heading, or `column N` (1-based).
    pub name: String,
    /// The real that feature 0 stands for.
    pub offset: f64,
    /// The step between two features, positive.
    pub scale: f64,
}

/// Records, and how they came into a prescribed form.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// The records.
    pub dataset: Dataset,
    /// How many values lay beyond what the form's features can stand for, and became its ends.
    pub clamped: u64,
}

/// How to read unsealed data.
#[derive(Debug, Clone, Default)]
pub struct LoadOptions {
    /// Which CSV column holds the label; where it is not said, the one that `form` does not name, else
    /// the first.
    pub label: Option<csv::LabelColumn>,
    /// What a model takes: a CSV file is read as its columns and classes are, whatever the file's own.
    pub form: Option<Form>,
}

/// What a place on the command line holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SourceKind {
    /// A vault: anything with a scheme (`file://…`), or a folder that looks like one.
    Store,
    /// Unsealed data.
    Data,
}

impl Dataset {
    /// Lines and columns, where records are images of one channel.
    pub fn image(&self) -> Option<[usize; 2]> {
        match self.shape[..] {
            [lines, columns] | [lines, columns, 1] => Some([lines, columns]),
            _ => None,
        }
    }

    /// Checks the invariants that the fields' documentation states.
    ///
    /// # Errors
    /// [`Error::Input`] naming the one that does not hold.
    pub fn checked(self) -> Result<Dataset> {
        let wrong = |what: String| Err(Error::input(format!("{}: {what}", self.name), ""));
        let count = self.labels.len();
        let width = self.feature_count();
        if count == 0 || width == 0 {
            return wrong("it holds no records".into());
        }
        if count as u64 > MAX_RECORDS {
            return wrong(format!(
                "{count} records; at most {MAX_RECORDS} are supported"
            ));
        }
        if width > MAX_FEATURES {
            return wrong(format!(
                "{width} features a record; at most {MAX_FEATURES} are supported"
            ));
        }
        if width.checked_mul(count) != Some(self.features.len()) {
            return wrong(format!(
                "{} feature bytes do not make {count} records of {width}",
                self.features.len()
            ));
        }
        if let Some(at) = self.labels.iter().position(|&label| label >= self.classes) {
            return wrong(format!(
                "label {} of record {at} is not below the number of classes, {}",
                self.labels[at], self.classes
            ));
        }
        let mut next = 0;
        for part in &self.parts {
            if part.start != next {
                return wrong(format!("part {} does not follow the one before", part.name));
            }
            next += part.len;
        }
        if next != count as u64 {
            return wrong(format!("the parts cover {next} of {count} records"));
        }
        if self.scaling.as_ref().is_some_and(|s| s.len() != width) {
            return wrong("the scaling has another number of columns".into());
        }
        if let Some(names) = &self.class_names
            && names.len() != usize::from(self.classes)
        {
            return wrong("the class names are not as many as the classes".into());
        }
        if let Some(headings) = &self.headings
            && (headings.features.len() != width || headings.repeated().is_some())
        {
            return wrong("the headings are not one name of its own for each column".into());
        }
        Ok(self)
    }

    /// How many records.
    pub fn count(&self) -> usize {
        self.labels.len()
    }

    /// Features a record.
    pub fn feature_count(&self) -> usize {
        self.shape.iter().product()
    }

    /// The features of record `index`, `[feature_count]`; empty beyond the last record.
    pub fn features_of(&self, index: usize) -> &[u8] {
        let width = self.feature_count();
        let start = index.saturating_mul(width);
        self.features.get(start..start + width).unwrap_or(&[])
    }

    /// The part of that name.
    pub fn part(&self, name: &str) -> Option<&Part> {
        self.parts.iter().find(|part| part.name == name)
    }

    /// Records a class, `[classes]`.
    pub fn class_counts(&self) -> Vec<u64> {
        let mut counts = vec![0; usize::from(self.classes)];
        for &label in &self.labels {
            counts[usize::from(label)] += 1;
        }
        counts
    }
}

impl Headings {
    /// A name that two columns have.
    pub fn repeated(&self) -> Option<&str> {
        let mut seen = HashSet::from([self.label.as_str()]);
        let mut features = self.features.iter().map(String::as_str);
        features.find(|name| !seen.insert(name))
    }
}

impl Part {
    /// The indices of its records.
    pub fn range(&self) -> std::ops::Range<usize> {
        self.start as usize..(self.start + self.len) as usize
    }
}

/// Reads unsealed data: `mnist` (the cache, fetched when absent), a folder of IDX files, or a CSV file.
///
/// The known name comes first: a folder that is called `mnist` is `./mnist`.
///
/// # Errors
/// [`Error::Io`] and [`Error::Input`] with the place of what is wrong.
pub fn load(data: &str, options: &LoadOptions, progress: &dyn Progress) -> Result<Dataset> {
    load_in_form(data, options, progress).map(|loaded| loaded.dataset)
}

/// The same, telling how a CSV file's values came into the form that the options prescribe. Other data is
/// as it is, and [`Form::check`] judges it.
///
/// # Errors
/// As [`load`]; [`Error::Input`] when a CSV file does not have the form's columns or classes.
pub fn load_in_form(data: &str, options: &LoadOptions, progress: &dyn Progress) -> Result<Loaded> {
    let as_it_is = |dataset| Loaded {
        dataset,
        clamped: 0,
    };
    if data == "mnist" {
        return idx::read_mnist(&fetch::mnist_to_read(progress)?).map(as_it_is);
    }
    let path = Path::new(data);
    let metadata = std::fs::metadata(path).map_err(Error::io("read", path))?;
    if metadata.is_dir() {
        idx::read_folder(path).map(as_it_is)
    } else if idx::has_idx_magic(path)? {
        Err(Error::input(
            format!("{data} is a single IDX file; images and labels are needed"),
            "name the folder that holds both",
        ))
    } else {
        csv::read_in_form(path, options.label.as_ref(), options.form.as_ref())
    }
}

/// Writes a data set where nothing is yet, all or nothing: as CSV when the name ends in `.csv`, else as a
/// folder of IDX files.
///
/// # Errors
/// [`Error::Input`] when something is there already or IDX cannot hold the data; [`Error::Io`] when the
/// disk refuses.
pub fn save(path: &Path, data: &Dataset) -> Result<()> {
    can_save(path, data)?;
    if is_csv(path) {
        return csv::write(path, data);
    }
    let staged = StagedDir::create(path)?;
    idx::write_folder(staged.path(), data).map_err(|e| staged.renamed(e))?;
    staged.commit()
}

fn is_csv(path: &Path) -> bool {
    path.extension().is_some_and(|ending| ending == "csv")
}

/// Whether [`save`] can write such data there, found out before long work and leaving nothing behind.
///
/// # Errors
/// As [`save`].
pub fn can_save(path: &Path, data: &Dataset) -> Result<()> {
    if is_csv(path) {
        if path.symlink_metadata().is_ok() {
            return Err(Error::input(
                format!("{} exists already", path.display()),
                "name a file that does not exist yet; nothing is overwritten",
            ));
        }
        return AtomicFile::create(path).map(drop);
    }
    if data.scaling.is_some() || data.class_names.is_some() {
        return Err(Error::input(
            format!(
                "{} has real numbers or named classes, which IDX files cannot hold",
                data.name
            ),
            format!("write it as CSV: {}.csv", path.display()),
        ));
    }
    StagedDir::create(path).map(drop)
}

/// Tells a vault from unsealed data by what is there, trusting neither.
///
/// Whoever can write to a vault's folder can make it look like unsealed data, so a caller that wants
/// verified records says so: with a `file://` URL or one of the options that only a vault has.
pub fn source_kind(place: &str) -> SourceKind {
    let path = Path::new(place);
    let vault = || {
        let Ok(entries) = std::fs::read_dir(path) else {
            return false;
        };
        entries.flatten().any(|entry| {
            let name = entry.file_name();
            let name = name.to_string_lossy();
            name == "shards" || name == "paper" || name.starts_with("manifest-")
        })
    };
    if place.contains("://") || (place != "mnist" && vault()) {
        SourceKind::Store
    } else {
        SourceKind::Data
    }
}

/// Opens a file to read. What is neither file nor folder is refused: a pipe that nobody writes to would be
/// waited for without end.
fn open(path: &Path) -> Result<File> {
    files::open(path).map(|(file, _)| file)
}

/// The artefact holds the number of inputs in 16 bits.
pub const MAX_FEATURES: usize = 65_535;

/// Indices of records have 32 bits where records are drawn and split.
pub const MAX_RECORDS: u64 = u32::MAX as u64;

#[cfg(test)]
mod tests {
    use super::*;

    fn small() -> Dataset {
        Dataset {
            name: "small".into(),
            shape: vec![2],
            classes: 2,
            features: vec![1, 2, 3, 4],
            labels: vec![0, 1],
            parts: vec![Part {
                name: "all".into(),
                start: 0,
                len: 2,
            }],
            scaling: None,
            class_names: None,
            headings: None,
        }
    }

    #[test]
    fn invariants() {
        let good = small().checked().unwrap();
        assert_eq!(good.features_of(1), [3, 4]);
        assert!(good.features_of(2).is_empty());
        assert_eq!(good.class_counts(), [1, 1]);
        assert_eq!(good.part("all").unwrap().range(), 0..2);
        let headings = |features: &[&str]| Headings {
            label: "l".into(),
            features: features.iter().map(ToString::to_string).collect(),
        };
        let spoil: [&dyn Fn(&mut Dataset); 10] = [
            &|d| d.labels.clear(),
            &|d| d.labels[1] = 2,
            &|d| d.features.truncate(3),
            &|d| d.parts[0].start = 1,
            &|d| d.parts[0].len = 1,
            &|d| d.scaling = Some(vec![]),
            &|d| d.class_names = Some(vec!["one".into()]),
            &|d| d.headings = Some(headings(&["a"])),
            &|d| d.headings = Some(headings(&["a", "a"])),
            &|d| d.headings = Some(headings(&["a", "l"])),
        ];
        for (i, spoil) in spoil.iter().enumerate() {
            let mut bad = small();
            spoil(&mut bad);
            assert!(bad.checked().is_err(), "{i}");
        }
    }

    #[test]
    fn a_vault_is_told_from_data() {
        let dir = tempfile::tempdir().unwrap();
        let place = dir.path().to_str().unwrap();
        assert_eq!(source_kind(place), SourceKind::Data);
        assert_eq!(source_kind("mnist"), SourceKind::Data);
        assert_eq!(source_kind("s3://bucket/x"), SourceKind::Store);
        std::fs::create_dir(dir.path().join("shards")).unwrap();
        assert_eq!(source_kind(place), SourceKind::Store);
    }
}
