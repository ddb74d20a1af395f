//! What a model takes: the columns, the scaling and the classes of the data that it was trained on.

use super::{Column, Dataset};
use crate::error::{Error, Result};

/// The form that records must have for a model's answers to mean something.
#[derive(Debug, Clone, PartialEq)]
pub struct Form {
    /// Features a record.
    pub features: usize,
    /// Number of classes; labels are below it.
    pub classes: u16,
    /// `[features]` names of the columns, in order, if they have names. No two are the same.
    pub columns: Option<Vec<String>>,
    /// `[classes]` names, if they have names. No two are the same.
    pub class_names: Option<Vec<String>>,
    /// `[features]`: how reals became features; `None` when the features are what was read.
    pub scaling: Option<Vec<Column>>,
}

impl Form {
    /// Judges records that are as they are, from a vault or from IDX files. The answer is what cannot be
    /// judged and should be known.
    ///
    /// # Errors
    /// [`Error::Input`] when their columns, scaling or classes are others. Another number of features is
    /// left to whoever runs the model.
    pub fn check(&self, data: &Dataset) -> Result<Option<String>> {
        if data.feature_count() != self.features {
            return Ok(None);
        }
        let unfit = |what: String| {
            Err(Error::input(
                format!("{}: {what}", data.name),
                "give it records of the kind that the model was trained on; a CSV file is brought into \
                 the model's form, sealed records cannot be",
            ))
        };
        // An artefact keeps both numbers as f32.
        let steps = |scaling: Option<&[Column]>| -> Option<Vec<(f32, f32)>> {
            let narrowed = |c: &Column| (c.offset as f32, c.scale as f32);
            scaling.map(|columns| columns.iter().map(narrowed).collect())
        };
        if steps(self.scaling.as_deref()) != steps(data.scaling.as_deref()) {
            return unfit(
                "the features are scaled otherwise than those that the model was trained on".into(),
            );
        }
        let columns = data.headings.as_ref().map(|headings| &headings.features);
        if let (Some(expected), Some(found)) = (&self.columns, columns)
            && let Some((at, (expected, found))) = first_difference(expected, found)
        {
            return unfit(format!(
                "column {} of its features is {found:?}, and the model was trained on {expected:?} there",
                at + 1
            ));
        }
        match (&self.class_names, &data.class_names) {
            (Some(expected), Some(found)) => {
                if let Some((at, (expected, found))) = first_difference(expected, found) {
                    return unfit(format!(
                        "class {at} is {found:?}, and the model's is {expected:?}"
                    ));
                }
                if expected.len() != found.len() {
                    return unfit(format!(
                        "it has {} classes, the model {}",
                        found.len(),
                        expected.len()
                    ));
                }
            }
            (Some(_), None) => {
                return unfit("its classes are numbers, and those of the model have names".into());
            }
            (None, Some(_)) => {
                return unfit("its classes have names, and those of the model are numbers".into());
            }
            (None, None) => {}
        }
        Ok((self.columns.is_some() && columns.is_none()).then(|| {
            format!(
                "{} does not name its columns: they are taken to be the model's, in its order",
                data.name
            )
        }))
    }

    /// The class that a label's text names; the error is to be read after its place.
    pub(super) fn class(&self, text: &str) -> Result<u16, String> {
        let found = match &self.class_names {
            Some(names) => names
                .iter()
                .position(|name| name == text)
                .and_then(|at| u16::try_from(at).ok()),
            None => text.parse().ok().filter(|&class| class < self.classes),
        };
        found.ok_or_else(|| {
            let text = super::csv::shortened(text);
            match &self.class_names {
                Some(names) => format!(
                    "the label {text:?} is none of the model's classes: {}",
                    super::csv::shortened(&names.join(", "))
                ),
                None => format!(
                    "the label {text:?} is none of the model's classes, 0 to {}",
                    self.classes.saturating_sub(1)
                ),
            }
        })
    }
}

fn first_difference<'a>(
    expected: &'a [String],
    found: &'a [String],
) -> Option<(usize, (&'a String, &'a String))> {
    let mut pairs = expected.iter().zip(found).enumerate();
    pairs.find(|(_, (expected, found))| expected != found)
}
