//! What there is to see of a run: curves, confusion, the hardest records, as pictures and as tables.

use std::path::Path;

use super::confusion::Confusion;
use super::hardest::{Hard, hardest};
use super::log::{self, Row, table};
use super::session::Finished;
use super::{Compute, Metrics, Records, for_each_batch};
use crate::dataset::Dataset;
use crate::error::{Error, Result};
use crate::files;
use crate::plots::{
    Axis, Cell, Figure, LineChart, Mark, Matrix, Picture, PictureGrid, Series, Tile, Tone, Unit,
};

/// How a network does on the test records, one by one.
#[derive(Debug, Clone, PartialEq)]
pub struct Judgement {
    /// Classes against predictions.
    pub confusion: Confusion,
    /// At most [`HARDEST`] records, largest loss first.
    pub hardest: Vec<Hard>,
}

/// Judges the network of a run on its test records.
///
/// # Errors
/// [`Error::Input`] when `data` is not what it was trained on.
pub fn judge(
    finished: &Finished,
    data: &Dataset,
    compute: impl Into<Compute>,
) -> Result<Judgement> {
    let which = &finished.test_records;
    let (mut left, mut judged) = (which.iter(), Vec::with_capacity(which.len()));
    let classes = usize::from(data.classes).max(1);
    // Every record named exists: the labels are there.
    let each = |[.., logits]: &[Vec<f32>; 3]| {
        judged.extend(
            logits
                .chunks_exact(classes)
                .zip(&mut left)
                .map(|(logits, &record)| Hard::of(record, data.labels[record as usize], logits)),
        );
    };
    for_each_batch(&finished.network, Records::from(data), which, compute, each)?;
    let pairs = judged.iter().map(|hard| (hard.label, hard.predicted));
    Ok(Judgement {
        confusion: Confusion::new(data.classes, pairs),
        hardest: hardest(&judged, HARDEST),
    })
}

/// A file of a report.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReportFile {
    /// One of [`NAMES`].
    pub name: &'static str,
    /// What is in it; none when these records have no such thing: pictures of a table, a matrix of thousands
    /// of classes.
    pub bytes: Option<Vec<u8>>,
}

/// Makes a report's files.
///
/// # Errors
/// [`Error::Input`] when there is no memory for them.
pub fn files(rows: &[Row], judgement: &Judgement, data: &Dataset) -> Result<[ReportFile; 6]> {
    let classes = Classes(data);
    let svg = |figure: Figure| figure.to_svg().into_bytes();
    let contents = [
        Some(svg(curves(rows))),
        confusion_figure(&judgement.confusion, &classes).map(svg),
        confusion_table(&judgement.confusion, &classes)?,
        hardest_figure(&judgement.hardest, data).map(svg),
        Some(hardest_table(&judgement.hardest, &classes)?),
        Some(log::to_csv(rows)?),
    ];
    let mut contents = contents.into_iter();
    Ok(NAMES.map(|name| ReportFile {
        name,
        bytes: contents.next().flatten(),
    }))
}

/// Writes a report's files into `folder`, each whole or not at all. What an earlier report left there and this
/// one has not is removed: it would be taken for this one's.
///
/// # Errors
/// [`Error::Io`] when the disk refuses.
pub fn write(folder: &Path, report: &[ReportFile]) -> Result<()> {
    for file in report {
        let path = folder.join(file.name);
        match &file.bytes {
            Some(bytes) => files::write_atomic(&path, bytes)?,
            None => match std::fs::remove_file(&path) {
                Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
                    return Err(Error::io("remove", path)(e));
                }
                _ => {}
            },
        }
    }
    Ok(())
}

/// What classes are called.
struct Classes<'a>(&'a Dataset);

impl Classes<'_> {
    fn name(&self, class: u16) -> String {
        let names = self.0.class_names.as_deref().unwrap_or_default();
        match names.get(usize::from(class)) {
            Some(name) => name.clone(),
            None => class.to_string(),
        }
    }

    fn names(&self) -> Vec<String> {
        (0..self.0.classes).map(|class| self.name(class)).collect()
    }
}

/// Loss and accuracy over the epochs, those of all phases one after the other.
fn curves(rows: &[Row]) -> Figure {
    let figure = |metrics: Metrics, of: fn(&Metrics) -> f64| match metrics.records {
        0 => f64::NAN,
        _ => of(&metrics),
    };
    let chart = |title: &str, y: Axis, of: fn(&Metrics) -> f64| {
        let series = |name: &str, which: fn(&Row) -> Metrics| Series {
            name: name.into(),
            points: (1_u32..)
                .zip(rows)
                .map(|(at, row)| (f64::from(at), figure(which(row), of)))
                .collect(),
        };
        LineChart {
            title: title.into(),
            x: Axis {
                label: "epoch".into(),
                from: None,
                to: None,
                unit: Unit::Whole,
            },
            y,
            series: vec![
                series("validation", |row| row.done.result.validation),
                series("training", |row| row.done.result.training),
            ],
            marks: marks(rows),
        }
    };
    let axis = |from, to, unit| Axis {
        label: String::new(),
        from,
        to,
        unit,
    };
    let loss = chart("Loss", axis(Some(0.0), None, Unit::Plain), Metrics::loss);
    let accuracy = chart(
        "Accuracy",
        axis(None, Some(1.0), Unit::Percent),
        Metrics::accuracy,
    );
    let said = |done: Option<&Row>| match done {
        Some(row) => {
            let [training, validation] = [row.done.result.training, row.done.result.validation];
            format!(
                "loss {:.4} in training and {:.4} in validation, accuracy {:.2} % and {:.2} %",
                training.loss(),
                validation.loss(),
                100.0 * training.accuracy(),
                100.0 * validation.accuracy(),
            )
        }
        None => "nothing".into(),
    };
    let description = format!(
        "Epochs: {}. After the first: {}. After the last: {}.",
        rows.len(),
        said(rows.first()),
        said(rows.last()),
    );
    Figure::new("Loss and accuracy by epoch", &description)
        .with(&loss)
        .with(&accuracy)
}

/// Where each phase begins, if there are several.
fn marks(rows: &[Row]) -> Vec<Mark> {
    let mut marks: Vec<Mark> = Vec::new();
    for (at, row) in (1_u32..).zip(rows) {
        if marks.last().is_none_or(|mark| mark.label != row.phase) {
            marks.push(Mark {
                x: f64::from(at),
                label: row.phase.clone(),
            });
        }
    }
    if marks.len() > 1 { marks } else { Vec::new() }
}

fn confusion_figure(confusion: &Confusion, classes: &Classes<'_>) -> Option<Figure> {
    if confusion.classes() > MAX_DRAWN_CLASSES {
        return None;
    }
    let names = classes.names();
    let figures = confusion.per_class();
    let row = |label: u16, name: &String| -> Vec<Cell> {
        let of = figures
            .get(usize::from(label))
            .map_or(0, |class| class.records);
        (0..confusion.classes())
            .zip(&names)
            .map(|(predicted, taken_for)| {
                let count = confusion.count(label, predicted);
                let share = count as f64 / of.max(1) as f64;
                let right = label == predicted;
                Cell {
                    tone: if right { Tone::Good } else { Tone::Bad },
                    // Errors are few: like this, one in a hundred is seen and one in four is the darkest.
                    shade: if right { share } else { 2.0 * share.sqrt() },
                    text: count.to_string(),
                    small: match count {
                        0 => String::new(),
                        _ if count == of => "100%".into(),
                        _ => format!("{:.1}%", 100.0 * share),
                    },
                    tip: format!(
                        "true class {name}, predicted {taken_for}: {count} of {of} records, {:.2} %",
                        100.0 * share
                    ),
                }
            })
            .collect()
    };
    let accuracy = confusion.correct() as f64 / confusion.records().max(1) as f64;
    let subtitle = format!(
        "{} test records, {:.2} % right; macro precision {:.4}",
        confusion.records(),
        100.0 * accuracy,
        confusion.macro_precision(),
    );
    let matrix = Matrix {
        title: "Confusion matrix".into(),
        subtitle: subtitle.clone(),
        note: "In a cell: records, and their share of the row".into(),
        row_title: "true class".into(),
        column_title: "predicted class".into(),
        cells: (0..)
            .zip(&names)
            .map(|(label, name)| row(label, name))
            .collect(),
        rows: names.clone(),
        columns: names,
    };
    let description = format!(
        "{subtitle}. A row is a true class, a column a predicted one; right answers are blue, wrong ones orange."
    );
    Some(Figure::new("Confusion matrix of the test records", &description).with(&matrix))
}

fn confusion_table(confusion: &Confusion, classes: &Classes<'_>) -> Result<Option<Vec<u8>>> {
    let Some(matrix) = confusion.matrix() else {
        return Ok(None);
    };
    let names = classes.names();
    let mut heading = vec!["true class".to_owned()];
    heading.extend(names.iter().cloned());
    let rows = names.iter().zip(matrix).map(|(name, counts)| {
        let mut row = vec![name.clone()];
        row.extend(counts.iter().map(u64::to_string));
        row
    });
    table(&heading, rows).map(Some)
}

/// The hardest records as pictures, where they are pictures of one channel, a few pixels at least either way.
fn hardest_figure(hardest: &[Hard], data: &Dataset) -> Option<Figure> {
    let [height, width] = data.image()?;
    let classes = Classes(data);
    let tile = |hard: &Hard| {
        let (label, predicted) = (classes.name(hard.label), classes.name(hard.predicted));
        Some(Tile {
            picture: Picture::new(height, width, data.features_of(hard.record as usize))?,
            caption: format!("{label} → {predicted}"),
            small: format!("{:.1} %", 100.0 * hard.probability),
            tip: format!(
                "record {}: true class {label}, predicted {predicted} with {:.2} %, true class with {:.2} %",
                hard.record,
                100.0 * hard.probability,
                100.0 * hard.label_probability,
            ),
        })
    };
    let grid = PictureGrid {
        title: "Hardest test records".into(),
        subtitle: "true class → prediction, and how sure it was".into(),
        columns: COLUMNS,
        tiles: hardest.iter().map(tile).collect::<Option<_>>()?,
    };
    let description = format!(
        "The {} test records of largest loss, the largest first.",
        hardest.len()
    );
    Some(Figure::new("Hardest test records", &description).with(&grid))
}

fn hardest_table(hardest: &[Hard], classes: &Classes<'_>) -> Result<Vec<u8>> {
    let rows = hardest.iter().map(|hard| {
        [
            hard.record.to_string(),
            classes.name(hard.label),
            classes.name(hard.predicted),
            hard.probability.to_string(),
            hard.label_probability.to_string(),
            hard.loss.to_string(),
        ]
    });
    table(
        &[
            "record",
            "label",
            "predicted",
            "probability",
            "label_probability",
            "loss",
        ],
        rows,
    )
}

/// What a report's files are called.
pub const NAMES: [&str; 6] = [
    "curves.svg",
    "confusion.svg",
    "confusion.csv",
    "hardest.svg",
    "hardest.csv",
    LOG,
];

/// What the log among them is called.
pub const LOG: &str = "log.csv";

/// How many records are shown.
pub const HARDEST: usize = 30;

/// Pictures a row.
const COLUMNS: usize = 5;

/// A matrix of more classes has cells too small to see.
const MAX_DRAWN_CLASSES: u16 = 256;
