//! MNIST itself, read through the `mnist` crate.
//!
//! That crate panics on anything unexpected. It is asked only when the four files have MNIST's sizes;
//! its panics are caught, silenced and taken as "not MNIST", and so are bytes whose digests are not the
//! published ones: then the folder is read as any other.

use std::cell::Cell;
use std::fs;
use std::panic;
use std::path::Path;
use std::sync::Once;

use mnist::{Mnist, MnistBuilder};
use sha2::{Digest, Sha256};

use super::super::fetch::{MNIST_FILES, MnistFile};
use super::super::{Dataset, Part};
use crate::error::Result;

/// MNIST as a data set, or `None` when the folder does not hold it.
pub(super) fn read(folder: &Path) -> Result<Option<Dataset>> {
    let sizes_match = MNIST_FILES.iter().all(|file| {
        fs::metadata(folder.join(file.name)).is_ok_and(|found| found.len() == file.length)
    });
    // The crate takes its path as a string.
    let Some(base) = folder.to_str().filter(|_| sizes_match) else {
        return Ok(None);
    };
    let Some(found) = without_panic(|| {
        MnistBuilder::new()
            .base_path(base)
            .label_format_digit()
            .training_set_length(TRAIN as u32)
            .validation_set_length(0)
            .test_set_length(TEST as u32)
            .finalize()
    }) else {
        return Ok(None);
    };
    // The digests are taken of what the crate handed over, so that nothing can change in between.
    let Mnist {
        trn_img,
        trn_lbl,
        tst_img,
        tst_lbl,
        ..
    } = found;
    let genuine = MNIST_FILES
        .iter()
        .zip([&trn_img, &trn_lbl, &tst_img, &tst_lbl])
        .all(|(file, values)| is_genuine(file, values));
    if !genuine {
        return Ok(None);
    }
    let mut features = trn_img;
    features.extend_from_slice(&tst_img);
    let labels = trn_lbl
        .iter()
        .chain(&tst_lbl)
        .map(|&label| u16::from(label));
    let part = |name: &str, start, len| Part {
        name: name.to_owned(),
        start,
        len,
    };
    let data = Dataset {
        name: "mnist".into(),
        shape: vec![28, 28],
        classes: 10,
        features,
        labels: labels.collect(),
        parts: vec![part("train", 0, TRAIN), part("test", TRAIN, TEST)],
        scaling: None,
        class_names: None,
        headings: None,
    };
    data.checked().map(Some)
}

fn is_genuine(file: &MnistFile, values: &[u8]) -> bool {
    let mut hasher = Sha256::new();
    hasher.update(file.header);
    hasher.update(values);
    hex::encode(hasher.finalize()) == file.sha256
}

/// Runs `f`; a panic in it prints nothing and gives `None`.
fn without_panic<T>(f: impl FnOnce() -> T) -> Option<T> {
    static HOOK: Once = Once::new();
    thread_local!(static SILENT: Cell<bool> = const { Cell::new(false) });
    HOOK.call_once(|| {
        let before = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            if !SILENT.get() {
                before(info);
            }
        }));
    });
    SILENT.set(true);
    let result = panic::catch_unwind(panic::AssertUnwindSafe(f));
    SILENT.set(false);
    result.ok()
}

const TRAIN: u64 = 60_000;
const TEST: u64 = 10_000;
