//! CSV data sets: a row a record, one column the label, all others numbers.
//!
//! Comma-separated, RFC 4180 quoting, UTF-8. The first row is a heading when the label column is named
//! or when no cell beside the label's is a number.
//!
//! **Features.** When every number is a whole one from 0 to 255 they stay as they are. Else each column
//! is mapped to `u8` by its own offset (its least value) and scale (its range / 255), to the nearest,
//! and [`Dataset::scaling`] says how. Both are numbers that an `f32` holds, as a sealed model keeps them:
//! a model scales the file that it was trained on to the same features.
//!
//! **Labels.** When all are whole numbers from 0 to 1023 they stay as they are, and the number of classes
//! is one more than the greatest. Else each distinct text is a class, in numerical order when all are
//! numbers, in the order of their bytes otherwise, and [`Dataset::class_names`] holds them.
//!
//! **For a model** ([`read_in_form`]) none of this is decided anew: the columns are found by their names,
//! reals become features by the model's own scaling, and labels are the model's classes.

mod columns;
mod labels;
mod layout;
mod quotes;
mod rows;

use std::io::Read;
use std::path::Path;

use ::csv::{ByteRecord, ReaderBuilder, Trim};

use super::{Dataset, Form, Headings, Loaded, Part};
use crate::error::{Error, Result};
use columns::{Values, number, scale};
use labels::Labels;
use layout::Layout;
use quotes::Quotes;

pub use rows::Rows;

/// Which column holds the label.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum LabelColumn {
    /// The first.
    #[default]
    First,
    /// The one with this heading.
    Named(String),
}

impl LabelColumn {
    /// `first`, or a heading.
    pub fn parse(text: &str) -> LabelColumn {
        match text {
            "first" => LabelColumn::First,
            name => LabelColumn::Named(name.to_owned()),
        }
    }
}

/// Reads a CSV file as one part `all`.
///
/// # Errors
/// [`Error::Io`] when it cannot be read; [`Error::Input`] with the line of what is wrong: another number
/// of cells than before, a cell that is empty, not a number or not finite, a quotation without an end, too
/// many classes, no records.
pub fn read(path: &Path, label: &LabelColumn) -> Result<Dataset> {
    read_in_form(path, Some(label), None).map(|loaded| loaded.dataset)
}

/// Reads a CSV file as one part `all`, in the form that a model takes where there is one: its columns by
/// their names and in its order, reals by its scaling, labels as its classes. The label's column is the one
/// given, else the one that the form does not name, else the first.
///
/// # Errors
/// As [`read`]; [`Error::Input`] when a column of the form is missing or another one is there, when a label
/// is none of its classes, and when a real is not whole though the form has no scaling.
pub fn read_in_form(
    path: &Path,
    label: Option<&LabelColumn>,
    form: Option<&Form>,
) -> Result<Loaded> {
    let file = super::open(path)?;
    let length = file.metadata().map_err(Error::io("read", path))?.len();
    if length > MAX_BYTES {
        return Err(Error::input(
            format!("{} is larger than {MAX_BYTES} bytes", path.display()),
            "split it into several data sets",
        ));
    }
    let mut table = Table::new(path, label, form);
    let mut reader = ReaderBuilder::new()
        .has_headers(false)
        .flexible(true)
        .trim(Trim::All)
        .from_reader(Quotes::new(file.take(MAX_BYTES)));
    let mut row = ByteRecord::new();
    loop {
        let read = reader.read_byte_record(&mut row);
        // Whatever the row is taken for, this is what is wrong with it.
        if let Some(line) = reader.get_ref().unclosed() {
            return Err(wrong(
                path,
                line,
                "a quotation begins here and never ends: a quote (\") is missing, or one too many",
            ));
        }
        match read {
            Ok(true) => table.row(&row)?,
            Ok(false) => return table.finish(),
            Err(e) => {
                return Err(match e.into_kind() {
                    ::csv::ErrorKind::Io(e) => Error::io("read", path)(e),
                    other => wrong(path, 0, format!("it cannot be read as CSV: {other:?}")),
                });
            }
        }
    }
}

/// Writes a data set as CSV where nothing is yet, all or nothing; see [`Rows`].
///
/// # Errors
/// [`Error::Io`] when something is there or the disk refuses.
pub fn write(path: &Path, data: &Dataset) -> Result<()> {
    let mut rows = Rows::create(
        path,
        data.feature_count(),
        data.headings.as_ref(),
        data.scaling.as_deref(),
        data.class_names.as_deref(),
    )?;
    rows.write(&data.labels, &data.features)?;
    rows.finish()
}

/// The rows read so far.
struct Table<'a> {
    path: &'a Path,
    label: Option<&'a LabelColumn>,
    form: Option<&'a Form>,
    /// Once the first row is known.
    layout: Option<Layout>,
    labels: Labels<'a>,
    values: Values,
    clamped: u64,
}

impl<'a> Table<'a> {
    fn new(path: &'a Path, label: Option<&'a LabelColumn>, form: Option<&'a Form>) -> Self {
        Table {
            path,
            label,
            form,
            layout: None,
            labels: Labels::new(form),
            values: Values::Bytes(Vec::new()),
            clamped: 0,
        }
    }

    fn row(&mut self, row: &ByteRecord) -> Result<()> {
        let path = self.path;
        let line = row.position().map_or(0, ::csv::Position::line);
        let mut cells = Vec::with_capacity(row.len());
        for cell in row {
            let cell = std::str::from_utf8(cell)
                .map_err(|_| wrong(path, line, "a cell is not UTF-8 text"))?;
            cells.push(cell);
        }
        let layout = match &self.layout {
            Some(layout) => layout,
            None => {
                if let Some(first) = cells.first_mut() {
                    *first = first.trim_start_matches('\u{FEFF}').trim();
                }
                let layout = Layout::of(path, &cells, line, self.label, self.form)?;
                let headed = layout.headed();
                let layout = self.layout.insert(layout);
                if headed {
                    return Ok(());
                }
                layout
            }
        };
        if cells.len() != layout.width {
            let (found, first) = (cells.len(), layout.width);
            let what = format!("{found} cells where the first row has {first}");
            return Err(wrong(path, line, what));
        }
        if let Some(at) = cells.iter().position(|cell| cell.is_empty()) {
            return Err(wrong(path, line, format!("{} is empty", layout.name(at))));
        }
        self.labels
            .push(cells[layout.label])
            .map_err(|what| wrong(path, line, what))?;
        for (feature, &at) in layout.features.iter().enumerate() {
            let in_column = |what| wrong(path, line, format!("{} {what}", layout.name(at)));
            let value = number(cells[at]).map_err(in_column)?;
            let value = match self.form {
                None => value,
                Some(form) => {
                    let scaling = form
                        .scaling
                        .as_ref()
                        .and_then(|columns| columns.get(feature));
                    let (value, clamped) = columns::fit(value, scaling).map_err(in_column)?;
                    self.clamped += u64::from(clamped);
                    f64::from(value)
                }
            };
            self.values.push(value);
        }
        Ok(())
    }

    fn finish(self) -> Result<Loaded> {
        let count = self.labels.count();
        let Some(layout) = self.layout.filter(|_| count > 0) else {
            return Err(Error::input(
                format!("{} holds no records", self.path.display()),
                "expected a row a record: a label and numbers, separated by commas",
            ));
        };
        let width = layout.features.len();
        let (features, scaling) = match self.values {
            Values::Bytes(features) => (features, self.form.and_then(|form| form.scaling.clone())),
            Values::Reals(reals) => {
                let names = layout.features.iter().map(|&at| layout.heading(at));
                let columns = scale(&reals, width, names);
                let features = reals
                    .iter()
                    .zip(columns.iter().cycle())
                    .map(|(&real, column)| column.feature(real))
                    .collect();
                (features, Some(columns))
            }
        };
        let headings: Option<Headings> = layout.headings();
        let labels = self.labels.finish();
        let (labels, classes, class_names) = labels.map_err(|what| {
            Error::input(
                format!("{}: {what}", self.path.display()),
                "name the label's column with --label",
            )
        })?;
        let name = self.path.file_stem().map(|stem| stem.to_string_lossy());
        let dataset = Dataset {
            name: name.unwrap_or_default().into_owned(),
            shape: vec![width],
            classes,
            features,
            parts: vec![Part {
                name: "all".into(),
                start: 0,
                len: labels.len() as u64,
            }],
            labels,
            scaling,
            class_names,
            headings,
        };
        Ok(Loaded {
            dataset: dataset.checked()?,
            clamped: self.clamped,
        })
    }
}

fn wrong(path: &Path, line: u64, what: impl std::fmt::Display) -> Error {
    let place = match line {
        0 => String::new(),
        line => format!(", line {line}"),
    };
    Error::input(
        format!("{}{place}: {what}", path.display()),
        "correct the file, or name the label's column with --label",
    )
}

/// Enough of a text to recognise it by; control characters cannot steer the terminal.
pub(super) fn shortened(text: &str) -> String {
    let mut short: String = text
        .chars()
        .take(80)
        .map(|c| if c.is_control() { '\u{FFFD}' } else { c })
        .collect();
    if text.chars().nth(80).is_some() {
        short.push('…');
    }
    short
}

/// No file may be larger: it is read into memory.
const MAX_BYTES: u64 = 1 << 30;
