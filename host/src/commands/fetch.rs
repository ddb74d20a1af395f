//! `sealnet fetch`: a known data set, into the cache or a folder.

use sealnet::dataset::fetch;
use sealnet::error::Result;
use serde_json::json;

use super::Outcome;
use crate::cli::{FetchArgs, KnownData};
use crate::ui::Ui;

pub(crate) fn run(args: &FetchArgs, ui: &Ui) -> Result<Outcome> {
    let fetched = match args.name {
        KnownData::Mnist => fetch::mnist(args.from.as_deref(), args.to.as_deref(), ui.progress())?,
    };
    let folder = fetched.folder.display();
    let files = fetch::MNIST_FILES.len();
    ui.line(match fetched.cached {
        true => format!("mnist: {files} files in {folder}, digests as published"),
        false => format!(
            "mnist: {files} files from {} in {folder}, digests as published",
            fetched.source
        ),
    })?;
    let digests = fetch::MNIST_FILES.iter();
    let digests = digests.map(|file| json!({"name": file.name, "sha256": file.sha256}));
    ui.document(&json!({
        "name": "mnist",
        "folder": folder.to_string(),
        "source": fetched.source,
        "cached": fetched.cached,
        "files": digests.collect::<Vec<_>>(),
    }))?;
    Ok(Outcome::Done)
}
