//! Writing CSV, some rows at a time.

use std::path::{Path, PathBuf};

use ::csv::Writer;

use super::super::{Column, Headings};
use crate::error::{Error, Result};
use crate::files::AtomicFile;

/// A CSV file that appears when it is finished: a heading (the columns' own names where they have some),
/// the label first, scaled columns as the reals that
/// their features stand for, in the shortest form that reads back to the same number.
#[derive(Debug)]
pub struct Rows {
    writer: Writer<AtomicFile>,
    path: PathBuf,
    width: usize,
    scaling: Option<Vec<Column>>,
    class_names: Option<Vec<String>>,
    row: Vec<String>,
}

impl Rows {
    /// Begins a file for `path`, where nothing may be, with `width` features a row.
    ///
    /// # Errors
    /// [`Error::Io`] when something is there or the disk refuses.
    pub fn create(
        path: &Path,
        width: usize,
        headings: Option<&Headings>,
        scaling: Option<&[Column]>,
        class_names: Option<&[String]>,
    ) -> Result<Rows> {
        if path.symlink_metadata().is_ok() {
            let exists = std::io::ErrorKind::AlreadyExists.into();
            return Err(Error::io("create", path)(exists));
        }
        let label = headings.map_or_else(|| "label".to_owned(), |headings| headings.label.clone());
        let mut row = vec![label];
        match (headings, scaling) {
            (Some(headings), _) => row.extend_from_slice(&headings.features),
            (None, Some(columns)) => row.extend(columns.iter().map(|column| column.name.clone())),
            (None, None) => row.extend((1..=width).map(|n| format!("feature {n}"))),
        }
        let mut rows = Rows {
            writer: Writer::from_writer(AtomicFile::create(path)?),
            path: path.to_owned(),
            width,
            scaling: scaling.map(<[Column]>::to_vec),
            class_names: class_names.map(<[String]>::to_vec),
            row,
        };
        rows.write_row()?;
        Ok(rows)
    }

    /// Appends a row for each label.
    ///
    /// # Errors
    /// [`Error::Io`] when the disk refuses.
    pub fn write(&mut self, labels: &[u16], features: &[u8]) -> Result<()> {
        for (label, features) in labels.iter().zip(features.chunks_exact(self.width)) {
            let names = self.class_names.as_ref();
            let name = names.and_then(|names| names.get(usize::from(*label)));
            self.row.clear();
            self.row
                .push(name.cloned().unwrap_or_else(|| label.to_string()));
            match &self.scaling {
                Some(columns) => self.row.extend(
                    columns
                        .iter()
                        .zip(features)
                        .map(|(column, feature)| column.real(*feature).to_string()),
                ),
                None => self.row.extend(features.iter().map(ToString::to_string)),
            }
            self.write_row()?;
        }
        Ok(())
    }

    /// Gives the file its name.
    ///
    /// # Errors
    /// [`Error::Io`] when the disk refuses or something has taken the name.
    pub fn finish(self) -> Result<()> {
        self.writer
            .into_inner()
            .map_err(|e| Error::io("write", self.path)(e.into_error()))?
            .commit_new()
    }

    fn write_row(&mut self) -> Result<()> {
        self.writer
            .write_record(&self.row)
            .map_err(|e| match e.into_kind() {
                ::csv::ErrorKind::Io(e) => Error::io("write", &self.path)(e),
                other => Error::input(format!("{}: {other:?}", self.path.display()), ""),
            })
    }
}
