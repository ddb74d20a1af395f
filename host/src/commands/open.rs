//! `sealnet open`: verifies a vault, names every record that fails, and writes the others out if that is
//! allowed and wanted.

use std::time::Instant;

use sealnet::error::{Error, Failure, Result};
use sealnet::files;
use sealnet::keys::KeyFolder;
use sealnet::state::SerialMemory;
use sealnet::store::Store;
use sealnet::vault::{About, FileSink, NullSink, Opened, OwnerKeys, RecordSink, VaultOrigin, open};
use serde_json::{Value, json};

use super::Outcome;
use super::source::{open_options, say_origin};
use crate::cli::OpenArgs;
use crate::ui::Ui;

pub(crate) fn run(args: &OpenArgs, ui: &Ui) -> Result<Outcome> {
    let start = Instant::now();
    let owner = OwnerKeys::load(&KeyFolder::open(&args.keys.dir)?)?;
    let memory = SerialMemory::of_this_machine()?;
    let store = Store::open(&args.store)?;
    if let Some(data) = &args.data
        && store.holds(data)
    {
        return Err(Error::input(
            format!("{} lies in the vault {}", data.display(), args.store),
            "records would lie in clear beside the sealed ones: name a place outside of the vault",
        ));
    }
    if let Some(data) = &args.data {
        files::refuse_overwriting(data, &[&args.keys.dir])?;
    }
    let mut sink = Counted {
        records: None,
        inner: match &args.data {
            Some(path) => Box::new(FileSink::new(path)),
            None => Box::new(NullSink),
        },
    };
    let options = open_options(&args.store_options);
    let progress = ui.progress();
    match open(
        &store,
        owner.open_keys(),
        &options,
        &memory,
        &mut sink,
        progress,
    ) {
        Ok(opened) => {
            tell(args, opened, start.elapsed().as_secs_f64(), ui)?;
            Ok(Outcome::Done)
        }
        Err(error @ Error::Refused { .. }) => {
            let document = json!({
                "records": sink.records,
                "failed": error.failed(),
                "seconds": start.elapsed().as_secs_f64(),
                "failures": error.failures().iter().map(failure).collect::<Vec<_>>(),
            });
            if let Value::Object(document) = document {
                ui.error_in(&error, document);
            }
            Ok(Outcome::Refused)
        }
        Err(error) => Err(error),
    }
}

fn tell(args: &OpenArgs, opened: Opened, seconds: f64, ui: &Ui) -> Result<()> {
    let records = opened.manifest.records();
    let kept = opened.about.records;
    let origin = VaultOrigin::from(opened);
    let serial = origin
        .serial
        .map_or(String::new(), |serial| format!(", serial {serial}"));
    ui.line(format!(
        "{kept} of {records} records of {}{serial} verified in {seconds:.2} s",
        origin.name
    ))?;
    if let Some(digest) = origin.manifest_digest {
        ui.line(format!("manifest digest {}", hex::encode(digest)))?;
    }
    if let Some(path) = &args.data {
        ui.line(format!("written to {}", path.display()))?;
    }
    say_origin(&origin, ui);
    let aside: Vec<Value> = origin
        .quarantined
        .iter()
        .map(|finding| failure(&finding.failure()))
        .collect();
    ui.document(&json!({
        "records": records,
        "failed": aside.len(),
        "seconds": seconds,
        "failures": [],
        "name": origin.name,
        "dataset_id": origin.dataset_id,
        "profile": origin.profile,
        "serial": origin.serial,
        "manifest_digest": origin.manifest_digest.map(hex::encode),
        "first_contact": origin.first_contact,
        "quarantined": aside,
        "warnings": origin.warnings,
        "output": args.data,
    }))
}

fn failure(failure: &Failure) -> Value {
    json!({
        "index": failure.index,
        "shard": failure.shard,
        "kind": failure.check,
        "place": failure.place,
        "cause": failure.cause,
    })
}

/// A sink that remembers how many records were announced, so that a refusal can say it.
struct Counted {
    records: Option<u64>,
    inner: Box<dyn RecordSink>,
}

impl RecordSink for Counted {
    fn begin(&mut self, about: &About) -> Result<()> {
        self.records = Some(about.records);
        self.inner.begin(about)
    }

    fn accept(&mut self, part: usize, labels: &[u16], features: &[u8]) -> Result<()> {
        self.inner.accept(part, labels, features)
    }

    fn finish(&mut self, about: &About) -> Result<()> {
        self.inner.finish(about)
    }
}
