//! Records to learn from or to judge by.

use super::model::Shape;
use crate::dataset::Dataset;
use crate::error::{Error, Result};

/// Records to learn from or to judge by.
#[derive(Debug, Clone, Copy)]
pub struct Records<'a> {
    /// `[N][width]`, row-major.
    pub features: &'a [u8],
    /// Features of a record.
    pub width: usize,
    /// `[N]`, each below the network's classes.
    pub labels: &'a [u16],
}

impl<'a> From<&'a Dataset> for Records<'a> {
    fn from(data: &'a Dataset) -> Records<'a> {
        Records {
            features: &data.features,
            width: data.feature_count(),
            labels: &data.labels,
        }
    }
}

impl Records<'_> {
    /// The label of record `index`, which must be there.
    pub(super) fn label_of(&self, index: u32) -> usize {
        usize::from(self.labels[index as usize])
    }

    /// The features of record `index`, which must be there.
    pub(crate) fn features_of(&self, index: u32) -> &[u8] {
        let start = index as usize * self.width;
        &self.features[start..start + self.width]
    }

    /// The labels of those that `which` names, which must be there.
    pub(super) fn labels_of(&self, which: &[u32]) -> Vec<u16> {
        which.iter().map(|&i| self.labels[i as usize]).collect()
    }
}

/// Every record named exists, has the network's width, and a label among its classes.
pub(super) fn check_records(shape: &Shape, records: &Records<'_>, which: &[u32]) -> Result<()> {
    let count = records.labels.len();
    let wrong = if records.width != shape.inputs {
        format!(
            "the records have {} features, the network takes {}",
            records.width, shape.inputs
        )
    } else if count.checked_mul(records.width) != Some(records.features.len()) {
        format!(
            "{count} labels do not go with {} features",
            records.features.len()
        )
    } else if let Some(index) = which.iter().find(|&&index| index as usize >= count) {
        format!("there is no record {index}: there are {count}")
    } else if let Some((index, label)) = which
        .iter()
        .map(|&index| (index, records.labels[index as usize]))
        .find(|&(_, label)| usize::from(label) >= shape.classes)
    {
        format!(
            "record {index} has label {label}; the network has {} classes",
            shape.classes
        )
    } else {
        return Ok(());
    };
    Err(Error::input(
        wrong,
        "the data and the network must be of one kind",
    ))
}
