//! CSV data sets: a row a record, one column the label, all others numbers.
//!
//! Comma-separated, RFC 4180 quoting, UTF-8. The first row is a heading when the label column is named
//! or when a cell beside the label's is not a number.
//!
//! **Features.** When every number is a whole one from 0 to 255 they stay as they are. Else each column
//! is mapped to `u8` by its own offset (its least value) and scale (its range / 255), to the nearest,
//! and [`Dataset::scaling`] says how.
//!
//! **Labels.** When all are whole numbers from 0 to 1023 they stay as they are, and the number of classes
//! is one more than the greatest. Else each distinct text is a class, in numerical order when all are
//! numbers, in the order of their bytes otherwise, and [`Dataset::class_names`] holds them.

mod columns;
mod labels;
mod rows;

use std::fs::File;
use std::io::{BufReader, Read};
use std::path::Path;

use ::csv::{ByteRecord, ReaderBuilder, Trim};

use super::{Dataset, MAX_FEATURES, Part};
use crate::error::{Error, Result};
use columns::{Values, number, scale};
use labels::Labels;

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
/// of cells than before, a cell that is empty, not a number or not finite, too many classes, no records.
pub fn read(path: &Path, label: &LabelColumn) -> Result<Dataset> {
    let file = File::open(path).map_err(Error::io("read", path))?;
    let length = file.metadata().map_err(Error::io("read", path))?.len();
    if length > MAX_BYTES {
        return Err(Error::input(
            format!("{} is larger than {MAX_BYTES} bytes", path.display()),
            "split it into several data sets",
        ));
    }
    let mut table = Table::new(path, label);
    let mut reader = ReaderBuilder::new()
        .has_headers(false)
        .flexible(true)
        .trim(Trim::All)
        .from_reader(BufReader::new(file.take(MAX_BYTES)));
    let mut row = ByteRecord::new();
    loop {
        match reader.read_byte_record(&mut row) {
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
    let scaling = data.scaling.as_deref();
    let mut rows = Rows::create(
        path,
        data.feature_count(),
        scaling,
        data.class_names.as_deref(),
    )?;
    rows.write(&data.labels, &data.features)?;
    rows.finish()
}

/// The rows read so far.
struct Table<'a> {
    path: &'a Path,
    label: &'a LabelColumn,
    /// Once the first row is known: which column is the label, and the headings.
    layout: Option<Layout>,
    labels: Labels,
    values: Values,
}

struct Layout {
    label: usize,
    width: usize,
    headings: Option<Vec<String>>,
}

impl<'a> Table<'a> {
    fn new(path: &'a Path, label: &'a LabelColumn) -> Self {
        Table {
            path,
            label,
            layout: None,
            labels: Labels::default(),
            values: Values::Bytes(Vec::new()),
        }
    }

    fn row(&mut self, row: &ByteRecord) -> Result<()> {
        let line = row.position().map_or(0, ::csv::Position::line);
        let mut cells = Vec::with_capacity(row.len());
        for cell in row {
            let cell = std::str::from_utf8(cell)
                .map_err(|_| wrong(self.path, line, "a cell is not UTF-8 text"))?;
            cells.push(cell);
        }
        let layout = match &self.layout {
            Some(layout) => layout,
            None => {
                if let Some(first) = cells.first_mut() {
                    *first = first.trim_start_matches('\u{FEFF}').trim();
                }
                let layout = self.first_row(&cells, line)?;
                let heading = layout.headings.is_some();
                let layout = self.layout.insert(layout);
                if heading {
                    return Ok(());
                }
                layout
            }
        };
        if cells.len() != layout.width {
            return Err(wrong(
                self.path,
                line,
                format!(
                    "{} cells where the first row has {}",
                    cells.len(),
                    layout.width
                ),
            ));
        }
        for (at, cell) in cells.iter().enumerate() {
            if cell.is_empty() {
                return Err(wrong(
                    self.path,
                    line,
                    format!("{} is empty", layout.name(at)),
                ));
            }
            if at == layout.label {
                self.labels
                    .push(cell)
                    .map_err(|what| wrong(self.path, line, what))?;
            } else {
                let value = number(cell).map_err(|what| {
                    wrong(self.path, line, format!("{} {what}", layout.name(at)))
                })?;
                self.values.push(value);
            }
        }
        Ok(())
    }

    /// Finds the label's column, and whether this row is a heading.
    fn first_row(&self, cells: &[&str], line: u64) -> Result<Layout> {
        let width = cells.len();
        if width < 2 {
            let mut what = "one column; a label and at least one feature are needed".to_owned();
            if cells.first().is_some_and(|cell| cell.contains([';', '\t'])) {
                what += " (columns are separated by commas, not by semicolons or tabs)";
            }
            return Err(wrong(self.path, line, what));
        }
        if width - 1 > MAX_FEATURES {
            return Err(wrong(
                self.path,
                line,
                format!(
                    "{} features; at most {MAX_FEATURES} are supported",
                    width - 1
                ),
            ));
        }
        let headings = || Some(cells.iter().map(ToString::to_string).collect());
        match self.label {
            LabelColumn::First => Ok(Layout {
                label: 0,
                width,
                // A first row with a number or a gap in it is a record, sound or not; headings have neither.
                headings: match cells
                    .iter()
                    .skip(1)
                    .any(|cell| cell.is_empty() || cell.parse::<f64>().is_ok())
                {
                    true => None,
                    false => headings(),
                },
            }),
            LabelColumn::Named(name) => {
                let mut found = cells.iter().enumerate().filter(|(_, cell)| *cell == name);
                match (found.next(), found.next()) {
                    (Some((label, _)), None) => Ok(Layout {
                        label,
                        width,
                        headings: headings(),
                    }),
                    (Some(_), Some(_)) => Err(Error::input(
                        format!("{}: two columns are called {name:?}", self.path.display()),
                        "rename one of them",
                    )),
                    (None, _) => Err(Error::input(
                        format!("{} has no column {name:?}", self.path.display()),
                        format!("its first row is: {}", shortened(&cells.join(", "))),
                    )),
                }
            }
        }
    }

    fn finish(self) -> Result<Dataset> {
        let count = self.labels.count();
        let Some(layout) = self.layout.filter(|_| count > 0) else {
            return Err(Error::input(
                format!("{} holds no records", self.path.display()),
                "expected a row a record: a label and numbers, separated by commas",
            ));
        };
        let width = layout.width - 1;
        let (features, scaling) = match self.values {
            Values::Bytes(features) => (features, None),
            Values::Reals(reals) => {
                let columns = (0..layout.width).filter(|&at| at != layout.label);
                let names = columns.map(|at| layout.heading(at));
                let columns = scale(&reals, width, names);
                let features = reals
                    .iter()
                    .zip(columns.iter().cycle())
                    .map(|(&real, column)| column.feature(real))
                    .collect();
                (features, Some(columns))
            }
        };
        let (labels, classes, class_names) = self.labels.finish();
        let name = self.path.file_stem().map(|stem| stem.to_string_lossy());
        Dataset {
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
        }
        .checked()
    }
}

impl Layout {
    fn heading(&self, at: usize) -> String {
        match self.headings.as_ref().and_then(|headings| headings.get(at)) {
            Some(heading) if !heading.is_empty() => heading.clone(),
            _ => format!("column {}", at + 1),
        }
    }

    /// The column as it reads in a message.
    fn name(&self, at: usize) -> String {
        let number = format!("column {}", at + 1);
        match self.heading(at) {
            heading if heading == number => number,
            heading => format!("{number} ({})", shortened(&heading)),
        }
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
fn shortened(text: &str) -> String {
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
