//! What the first row of a CSV file decides: which column is the label, and which the features.

use std::collections::HashSet;
use std::path::Path;

use super::super::{Form, Headings, MAX_FEATURES};
use super::{LabelColumn, shortened, wrong};
use crate::error::{Error, Result};

/// Where a row's cells belong.
pub(super) struct Layout {
    /// The label's column.
    pub(super) label: usize,
    /// Cells a row.
    pub(super) width: usize,
    /// The columns of the features, in the order of the features.
    pub(super) features: Vec<usize>,
    /// A name for each column, made up from its number where it has none; none without a heading.
    names: Option<Vec<String>>,
}

impl Layout {
    /// Reads the first row, which is a heading or a record.
    pub(super) fn of(
        path: &Path,
        cells: &[&str],
        line: u64,
        label: Option<&LabelColumn>,
        form: Option<&Form>,
    ) -> Result<Layout> {
        let width = cells.len();
        if width < 2 {
            let mut what = "one column; a label and at least one feature are needed".to_owned();
            if cells.first().is_some_and(|cell| cell.contains([';', '\t'])) {
                what += " (columns are separated by commas, not by semicolons or tabs)";
            }
            return Err(wrong(path, line, what));
        }
        if width - 1 > MAX_FEATURES {
            return Err(wrong(
                path,
                line,
                format!(
                    "{} features; at most {MAX_FEATURES} are supported",
                    width - 1
                ),
            ));
        }
        let wanted = form.and_then(|form| form.columns.as_deref());
        let has_all = |names: &[String]| names.iter().all(|name| cells.contains(&name.as_str()));
        // A first row with a number or a gap in it is a record, sound or not; headings have neither. A label
        // may be a gap, but no heading is a number.
        let is_number = |cell: &&str| cell.parse::<f64>().is_ok();
        let in_words = || {
            let mut beside = cells.iter().skip(1);
            !cells.first().is_some_and(is_number)
                && !beside.any(|cell| cell.is_empty() || is_number(cell))
        };
        let headed = matches!(label, Some(LabelColumn::Named(_)))
            || in_words()
            || wanted.is_some_and(has_all);
        let names = match headed {
            true => Some(named(cells)),
            false => None,
        };
        let features_by_name = names.as_deref().zip(wanted);
        let label = match (label, &names) {
            (Some(LabelColumn::Named(name)), Some(names)) => names
                .iter()
                .position(|found| found == name)
                .ok_or_else(|| {
                    Error::input(
                        format!("{} has no column {name:?}", path.display()),
                        format!("its first row is: {}", shortened(&cells.join(", "))),
                    )
                })?,
            (None, Some(_)) => match features_by_name {
                Some((names, wanted)) => left_over(path, names, wanted)?,
                None => 0,
            },
            _ => 0,
        };
        distinct(path, names.as_deref().unwrap_or_default())?;
        let features = match features_by_name {
            Some((names, wanted)) => by_name(path, names, wanted, label)?,
            None => (0..width).filter(|&at| at != label).collect(),
        };
        match form {
            Some(form) if features.len() != form.features => Err(Error::input(
                format!(
                    "{} has {} features, the model takes {}",
                    path.display(),
                    features.len(),
                    form.features
                ),
                "give it records like those that the model was trained on",
            )),
            _ => Ok(Layout {
                label,
                width,
                features,
                names,
            }),
        }
    }

    /// Whether the row read was a heading.
    pub(super) fn headed(&self) -> bool {
        self.names.is_some()
    }

    /// The headings, if there are any.
    pub(super) fn headings(&self) -> Option<Headings> {
        let names = self.names.as_ref()?;
        Some(Headings {
            label: names.get(self.label)?.clone(),
            features: self.features.iter().map(|&at| self.heading(at)).collect(),
        })
    }

    /// A column's name, made up from its number where it has none.
    pub(super) fn heading(&self, at: usize) -> String {
        match self.names.as_ref().and_then(|names| names.get(at)) {
            Some(name) => name.clone(),
            None => numbered(at),
        }
    }

    /// The column as it reads in a message.
    pub(super) fn name(&self, at: usize) -> String {
        match self.heading(at) {
            heading if heading == numbered(at) => heading,
            heading => format!("{} ({})", numbered(at), shortened(&heading)),
        }
    }
}

/// The names of a heading's columns, made up where there are none.
fn named(cells: &[&str]) -> Vec<String> {
    let name = |(at, cell): (usize, &&str)| match *cell {
        "" => numbered(at),
        cell => cell.to_owned(),
    };
    cells.iter().enumerate().map(name).collect()
}

fn distinct(path: &Path, names: &[String]) -> Result<()> {
    let mut seen = HashSet::new();
    match names.iter().find(|name| !seen.insert(name.as_str())) {
        None => Ok(()),
        Some(twice) => Err(Error::input(
            format!(
                "{}: two columns are called {:?}",
                path.display(),
                shortened(twice)
            ),
            "rename one of them",
        )),
    }
}

/// The one column that the model does not name: the label's.
fn left_over(path: &Path, names: &[String], wanted: &[String]) -> Result<usize> {
    let rest = beside(names, wanted);
    match rest[..] {
        [label] => Ok(label),
        [] => Err(Error::input(
            format!(
                "{} has the model's columns and none for the label",
                path.display()
            ),
            "put the label into a column of its own",
        )),
        _ => {
            missing(path, names, wanted)?;
            Err(Error::input(
                format!(
                    "{} has columns that the model does not know: {}",
                    path.display(),
                    list(rest.iter().filter_map(|&at| names.get(at)))
                ),
                "name the label's with --label, and take the others out",
            ))
        }
    }
}

/// Where the model's columns are, in its order; nothing but the label may lie beside them.
fn by_name(path: &Path, names: &[String], wanted: &[String], label: usize) -> Result<Vec<usize>> {
    let label_name = names.get(label);
    if let Some(name) = label_name.filter(|name| wanted.contains(name)) {
        return Err(Error::input(
            format!(
                "{}: column {:?} is taken for the label, and the model was trained on it",
                path.display(),
                shortened(name)
            ),
            "name the label's column with --label",
        ));
    }
    missing(path, names, wanted)?;
    let mut extra = beside(names, wanted);
    extra.retain(|&at| at != label);
    if !extra.is_empty() {
        return Err(Error::input(
            format!(
                "{} has columns that the model does not know: {}",
                path.display(),
                list(extra.iter().filter_map(|&at| names.get(at)))
            ),
            "take them out",
        ));
    }
    let at = |name: &String| names.iter().position(|found| found == name);
    Ok(wanted.iter().filter_map(at).collect())
}

fn missing(path: &Path, names: &[String], wanted: &[String]) -> Result<()> {
    let found: HashSet<&String> = names.iter().collect();
    let mut lacking = wanted
        .iter()
        .filter(|name| !found.contains(name))
        .peekable();
    if lacking.peek().is_none() {
        return Ok(());
    }
    Err(Error::input(
        format!(
            "{} lacks columns that the model was trained on: {}",
            path.display(),
            list(lacking)
        ),
        format!("its columns are: {}", list(names.iter())),
    ))
}

/// The columns that are none of `wanted`.
fn beside(names: &[String], wanted: &[String]) -> Vec<usize> {
    let wanted: HashSet<&String> = wanted.iter().collect();
    let unknown = names.iter().enumerate();
    unknown
        .filter(|(_, name)| !wanted.contains(name))
        .map(|(at, _)| at)
        .collect()
}

fn list<'a>(names: impl Iterator<Item = &'a String>) -> String {
    let names: Vec<&str> = names.map(String::as_str).collect();
    shortened(&names.join(", "))
}

fn numbered(at: usize) -> String {
    format!("column {}", at + 1)
}
