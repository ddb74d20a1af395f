//! Where records to be sealed come from, and where verified ones go, a shard at a time.

use std::borrow::Cow;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::dataset::idx::IdxFolder;
use crate::dataset::{
    self, Column, Dataset, Headings, LoadOptions, MAX_FEATURES, MAX_RECORDS, Part, fetch,
};
use crate::error::Result;
use crate::progress::Progress;

/// What the records of a data set are; everything about it but the records.
#[derive(Debug, Clone, PartialEq)]
pub struct About {
    /// For people.
    pub name: String,
    /// Lengths of a record's axes, `[28, 28]` for MNIST; their product is the number of features.
    pub shape: Vec<usize>,
    /// Number of classes; labels are below it.
    pub classes: u16,
    /// A name for each class.
    pub class_names: Option<Vec<String>>,
    /// Number of records.
    pub records: u64,
    /// The parts in order, which together are all records.
    pub parts: Vec<PartSize>,
    /// What the features stand for, one entry each.
    pub scaling: Option<Vec<Column>>,
    /// What the columns are called.
    pub headings: Option<Headings>,
}

/// Most axes of a record.
pub(super) const MAX_AXES: usize = 8;

/// Most parts of a data set.
pub(super) const MAX_PARTS: usize = 64;

/// A named run of records, such as `train`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PartSize {
    /// 1 to 32 letters, digits, `-` and `_`: it becomes a part of a file's name.
    pub name: String,
    /// Records in it.
    pub records: u64,
}

impl About {
    /// What `dataset` is.
    pub fn of(dataset: &Dataset) -> About {
        About {
            name: dataset.name.clone(),
            shape: dataset.shape.clone(),
            classes: dataset.classes,
            class_names: dataset.class_names.clone(),
            records: dataset.count() as u64,
            parts: part_sizes(&dataset.parts),
            scaling: dataset.scaling.clone(),
            headings: dataset.headings.clone(),
        }
    }

    /// Number of features of a record: at most [`MAX_FEATURES`] in anything sealed or opened.
    pub fn feature_count(&self) -> usize {
        self.shape.iter().product()
    }

    /// Checks what types alone cannot say; the answer is what is wrong.
    pub(super) fn check(&self) -> Result<(), String> {
        let features = self
            .shape
            .iter()
            .try_fold(1_usize, |product, axis| product.checked_mul(*axis));
        if self.shape.is_empty() || !features.is_some_and(|n| (1..=MAX_FEATURES).contains(&n)) {
            return Err(format!("a record must have 1 to {MAX_FEATURES} features"));
        }
        if self.shape.len() > MAX_AXES || self.parts.len() > MAX_PARTS {
            return Err(format!(
                "a record has more than {MAX_AXES} axes, or there are more than {MAX_PARTS} parts"
            ));
        }
        if self.classes == 0 {
            return Err("there are no classes".into());
        }
        if self.records == 0 {
            return Err("there are no records".into());
        }
        if self.records > MAX_RECORDS {
            return Err(format!("there are more than {MAX_RECORDS} records"));
        }
        let in_parts = self
            .parts
            .iter()
            .try_fold(0_u64, |sum, part| sum.checked_add(part.records));
        if in_parts != Some(self.records) {
            return Err("its parts do not add up to its records".into());
        }
        if self.parts.iter().any(|part| !is_part_name(&part.name)) {
            return Err("a part's name must be 1 to 32 letters, digits, - and _".into());
        }
        let class_names = self.class_names.iter().flatten();
        let column_names = self.scaling.iter().flatten().map(|column| &column.name);
        if class_names
            .chain(column_names)
            .chain(self.headings.iter().flat_map(|headings| &headings.features))
            .chain(self.headings.iter().map(|headings| &headings.label))
            .chain([&self.name])
            .any(|name| name.len() > MAX_NAME_BYTES || name.contains(char::is_control))
        {
            return Err(format!(
                "a name has control characters or more than {MAX_NAME_BYTES} bytes"
            ));
        }
        if let Some(names) = &self.class_names
            && names.len() != usize::from(self.classes)
        {
            return Err("there is not one name for each class".into());
        }
        if let Some(headings) = &self.headings
            && (headings.features.len() != self.feature_count() || headings.repeated().is_some())
        {
            return Err("there is not one heading of its own for each column".into());
        }
        if let Some(columns) = &self.scaling {
            let finite = |c: &Column| c.offset.is_finite() && c.scale.is_finite();
            if columns.len() != self.feature_count() || !columns.iter().all(finite) {
                return Err("there is not one finite scaling for each feature".into());
            }
        }
        Ok(())
    }
}

fn is_part_name(name: &str) -> bool {
    let allowed = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    (1..=32).contains(&name.len()) && name.chars().all(allowed)
}

/// Some records in a row.
#[derive(Debug, Clone)]
pub struct Chunk<'a> {
    /// Labels, one a record.
    pub labels: Cow<'a, [u16]>,
    /// Features, row-major.
    pub features: Cow<'a, [u8]>,
}

/// Gives the records to be sealed, from any thread.
pub trait RecordSource: Sync {
    /// What the records are.
    fn about(&self) -> &About;

    /// Records `start` to `start + count`, which are below [`About::records`].
    ///
    /// # Errors
    /// When they cannot be read.
    fn read(&self, start: u64, count: usize) -> Result<Chunk<'_>>;
}

/// A data set in memory as a source.
#[derive(Debug)]
pub struct DatasetSource<'d> {
    dataset: Cow<'d, Dataset>,
    about: About,
}

impl<'d> DatasetSource<'d> {
    /// Borrows the data set.
    pub fn new(dataset: &'d Dataset) -> DatasetSource<'d> {
        DatasetSource {
            about: About::of(dataset),
            dataset: Cow::Borrowed(dataset),
        }
    }
}

impl From<Dataset> for DatasetSource<'static> {
    fn from(dataset: Dataset) -> DatasetSource<'static> {
        DatasetSource {
            about: About::of(&dataset),
            dataset: Cow::Owned(dataset),
        }
    }
}

impl RecordSource for DatasetSource<'_> {
    fn about(&self) -> &About {
        &self.about
    }

    fn read(&self, start: u64, count: usize) -> Result<Chunk<'_>> {
        // Below the number of records in memory, so it fits.
        let start = start as usize;
        let width = self.about.feature_count();
        Ok(Chunk {
            labels: Cow::Borrowed(&self.dataset.labels[start..start + count]),
            features: Cow::Borrowed(&self.dataset.features[start * width..(start + count) * width]),
        })
    }
}

/// A folder of IDX files as a source, read a shard at a time.
#[derive(Debug)]
pub struct FolderSource {
    folder: IdxFolder,
    about: About,
}

impl FolderSource {
    /// Takes the folder.
    pub fn new(folder: IdxFolder) -> FolderSource {
        FolderSource {
            about: About {
                name: folder.name.clone(),
                shape: folder.shape.clone(),
                classes: folder.classes,
                class_names: None,
                records: folder.count(),
                parts: part_sizes(&folder.parts),
                scaling: None,
                headings: None,
            },
            folder,
        }
    }
}

impl RecordSource for FolderSource {
    fn about(&self) -> &About {
        &self.about
    }

    fn read(&self, start: u64, count: usize) -> Result<Chunk<'_>> {
        let (labels, features) = self.folder.read(start, count)?;
        Ok(Chunk {
            labels: Cow::Owned(labels),
            features: Cow::Owned(features),
        })
    }
}

/// The records that `data` names, for sealing: a folder of IDX files (`mnist`: the cached one, fetched when
/// absent) is read a shard at a time, a CSV file is held in memory.
///
/// # Errors
/// As [`dataset::load`].
pub fn record_source(
    data: &str,
    options: &LoadOptions,
    progress: &dyn Progress,
) -> Result<Box<dyn RecordSource>> {
    if data == "mnist" {
        let folder = IdxFolder::mnist(&fetch::mnist_to_read(progress)?)?;
        return Ok(Box::new(FolderSource::new(folder)));
    }
    let path = Path::new(data);
    if path.is_dir() {
        return Ok(Box::new(FolderSource::new(IdxFolder::open(path)?)));
    }
    let dataset = dataset::load(data, options, progress)?;
    Ok(Box::new(DatasetSource::from(dataset)))
}

fn part_sizes(parts: &[Part]) -> Vec<PartSize> {
    let size = |part: &Part| PartSize {
        name: part.name.clone(),
        records: part.len,
    };
    parts.iter().map(size).collect()
}

/// Takes verified records in order. What it shows to anyone before [`RecordSink::finish`] would be unverified
/// as a whole, so it shows nothing.
pub trait RecordSink {
    /// The manifest is verified; its records will follow.
    ///
    /// # Errors
    /// When they cannot be taken.
    fn begin(&mut self, about: &About) -> Result<()>;

    /// The next records, all of one part.
    ///
    /// # Errors
    /// When they cannot be stored.
    fn accept(&mut self, part: usize, labels: &[u16], features: &[u8]) -> Result<()>;

    /// Everything has verified; `about` counts what is left without the records set aside.
    ///
    /// # Errors
    /// When the result cannot be put in its place.
    fn finish(&mut self, about: &About) -> Result<()>;
}

/// Verifies only.
#[derive(Debug, Clone, Copy, Default)]
pub struct NullSink;

impl RecordSink for NullSink {
    fn begin(&mut self, _about: &About) -> Result<()> {
        Ok(())
    }

    fn accept(&mut self, _part: usize, _labels: &[u16], _features: &[u8]) -> Result<()> {
        Ok(())
    }

    fn finish(&mut self, _about: &About) -> Result<()> {
        Ok(())
    }
}

const MAX_NAME_BYTES: usize = 256;
