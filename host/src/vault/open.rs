//! Opening a vault (Phase 2): verify first, then believe.
//!
//! In this order, each step believing only what the former has proved:
//!
//! 1. The manifest of the highest serial, or of the one asked for, is read once. Its digest is compared with
//!    the one asked for, if any; its signature is verified over the stored bytes; only then is it parsed.
//! 2. The serial in it must be the one in its name, not below `min_serial`, and not below the highest that
//!    this machine has seen ([`crate::state`]). An unsigned index has none: it is refused where this machine
//!    has seen a signed one, of that data set anywhere or of any in this place (unless the user names the
//!    unsigned data set).
//! 3. The Merkle root must be the root over the shards' subroots.
//! 4. Every shard is read once and checked record by record: the token's MAC, H1 against H0, the index
//!    against the place, the leaf against the subroot ([`super::finding`] says what can go wrong). All
//!    shards are checked to the end, so that everything that fails is named.
//! 5. Only if nothing failed, or no more than may be set aside, is the serial remembered and the sink told
//!    to show what it has.

use futures::{StreamExt, stream};
use sealnet_core::fernet::Keyring;
use sealnet_core::record::{DatasetId, TagScheme, Tagger};
use sealnet_core::sign::Digest512;

use super::check::{Checked, Checker, Place};
use super::finding::{Finding, Findings};
use super::flight::{on_a_core, shards_in_flight};
use super::locate::{not_older, signed_manifest, unsigned_index};
use super::manifest::Manifest;
use super::records::{About, RecordSink};
use super::{OpenKeys, Profile, line_len};
use crate::error::{Error, Result};
use crate::progress::Progress;
use crate::state::{Contact, SerialMemory};
use crate::store::{Fetched, Store};

/// What to open and how strictly.
#[derive(Debug, Clone)]
pub struct OpenOptions {
    /// What the reader relies on. With a signed manifest, the manifest says how records are tagged; without
    /// one the reader must, since whoever wrote the index could have written anything.
    pub profile: Profile,
    /// Open this serial, not the highest there is.
    pub serial: Option<u64>,
    /// Refuse a lower serial.
    pub min_serial: Option<u64>,
    /// Refuse any data set but the one with this id.
    pub dataset_id: Option<DatasetId>,
    /// Refuse any manifest object but the one with this SHA-512 digest.
    pub manifest_digest: Option<Digest512>,
    /// How many records may be set aside.
    pub max_tampered: Tolerance,
}

impl Default for OpenOptions {
    fn default() -> OpenOptions {
        OpenOptions {
            profile: Profile::DEFAULT,
            serial: None,
            min_serial: None,
            dataset_id: None,
            manifest_digest: None,
            max_tampered: Tolerance::Records(0),
        }
    }
}

/// How many records may be set aside.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Tolerance {
    /// At most this many.
    Records(u64),
    /// At most this share of all, in percent.
    Percent(f64),
}

impl Tolerance {
    /// The number of records that may be set aside of `total`.
    pub fn of(self, total: u64) -> u64 {
        match self {
            Tolerance::Records(records) => records,
            // Rounded down; the cast saturates, and NaN is 0.
            Tolerance::Percent(percent) => (total as f64 * percent / 100.0) as u64,
        }
    }
}

/// A vault that verified.
#[derive(Debug, Clone)]
pub struct Opened {
    /// What the manifest (or index) says.
    pub manifest: Manifest,
    /// SHA-512 of the manifest object; absent without a signed manifest.
    pub manifest_digest: Option<Digest512>,
    /// How its serial stands to those seen before; absent without a signed manifest.
    pub contact: Option<Contact>,
    /// What is left without the records set aside.
    pub about: About,
    /// The records set aside, in order.
    pub quarantined: Vec<Finding>,
    /// What harms no record but should be known.
    pub warnings: Vec<String>,
}

/// Opens the vault in `store` and gives its records to `sink`, which shows them only if all verified.
///
/// # Errors
/// [`Error::Refused`] with everything that does not verify, [`Error::Verification`] when a vault is gone from
/// where it lay, [`Error::Input`] when there is no vault or it is of a newer version, [`Error::Io`] when something cannot be read, and the sink's own.
pub fn open(
    store: &Store,
    keys: OpenKeys<'_>,
    options: &OpenOptions,
    memory: &SerialMemory,
    sink: &mut dyn RecordSink,
    progress: &dyn Progress,
) -> Result<Opened> {
    let source = if options.profile.signed_manifest {
        signed_manifest(store, keys, options, memory)?
    } else {
        unsigned_index(store, options, memory)?
    };
    let manifest = &source.manifest;
    let keyring = Keyring::new(keys.vault)
        .map_err(|_| Error::input("there is no vault key", "vault.key must hold at least one"))?;
    let checker = Checker {
        dataset_id: manifest.dataset_id,
        keyring,
        tagger: match manifest.profile.tag_scheme {
            TagScheme::Sha512 => Tagger::Sha512,
            TagScheme::HmacSha512 => Tagger::HmacSha512(keys.tag.clone()),
        },
        classes: manifest.about.classes,
        feature_count: manifest.about.feature_count(),
    };
    sink.begin(&manifest.about)?;
    progress.start("opening", manifest.records());
    let verdict = check_shards(store, &checker, manifest, sink, progress);
    progress.finish();
    let Verdict {
        findings,
        about,
        warnings,
    } = verdict?;

    let allowed = options.max_tampered.of(manifest.records());
    let tolerable = findings.all_attributable() && findings.records() <= allowed;
    if !(findings.is_empty() || tolerable) {
        return Err(too_many(findings, manifest, allowed));
    }
    if about.records == 0 {
        return Err(too_many(findings, manifest, manifest.records() - 1));
    }
    let contact = match &source.version {
        Some(version) => {
            let contact = memory.remember(version, &store.place())?;
            Some(not_older(contact, version)?)
        }
        None => None,
    };
    sink.finish(&about)?;
    Ok(Opened {
        about,
        manifest_digest: source.digest,
        contact,
        quarantined: findings.into_list(),
        warnings,
        manifest: source.manifest,
    })
}

/// What all shards together came to.
struct Verdict {
    findings: Findings,
    about: About,
    warnings: Vec<String>,
}

fn check_shards(
    store: &Store,
    checker: &Checker<'_>,
    manifest: &Manifest,
    sink: &mut dyn RecordSink,
    progress: &dyn Progress,
) -> Result<Verdict> {
    let folder = if manifest.seal.is_some() {
        "shards"
    } else {
        "paper"
    };
    let step = line_len(checker.feature_count) as u64 + 1;
    let mut verdict = Verdict {
        findings: Findings::of_vault(),
        about: manifest.about.clone(),
        warnings: Vec::new(),
    };
    let mut parts = PartCursor::new(&manifest.about);
    rayon::in_place_scope(|scope| {
        store.block_on(async {
            let mut start = 0;
            let places = manifest.shards.iter().zip(0..).map(|(entry, number)| {
                let place = Place {
                    folder,
                    name: &entry.name,
                    number,
                    start,
                    records: entry.records,
                    subroot: entry.subroot,
                };
                start += u64::from(entry.records);
                place
            });
            let checks = places.map(|place| async move {
                let limit = u64::from(place.records) * step + SLACK;
                let text = store.get(&place.tokens(), limit).await?;
                let leaves = match place.subroot {
                    Some(_) => {
                        let limit = u64::from(place.records) * 64;
                        store.get(&place.leaves(), limit).await?
                    }
                    None => Fetched::Absent,
                };
                let checked =
                    on_a_core(scope, move || checker.check(place, &text, &leaves)).await?;
                Ok::<_, Error>((place, checked))
            });
            let mut in_order = stream::iter(checks).buffered(shards_in_flight());
            while let Some(result) = in_order.next().await {
                let (place, checked) = result?;
                take(
                    place,
                    checked,
                    &mut verdict,
                    &mut parts,
                    checker.feature_count,
                    sink,
                )?;
                progress.inc(u64::from(place.records));
            }
            Ok(verdict)
        })
    })
}

/// Takes in one shard: its findings, and its good records for the sink.
fn take(
    place: Place<'_>,
    checked: Checked,
    verdict: &mut Verdict,
    parts: &mut PartCursor,
    width: usize,
    sink: &mut dyn RecordSink,
) -> Result<()> {
    if let Some(warning) = checked.warning {
        verdict.warnings.push(format!(
            "shard {}: {warning}; its records are whole",
            place.number
        ));
    }
    let bad: Vec<usize> = checked
        .findings
        .listed()
        .iter()
        .filter_map(|finding| usize::try_from(finding.index? - place.start).ok())
        .collect();
    verdict.findings.absorb(checked.findings);
    if !verdict.findings.all_attributable() {
        // Refused for certain: what is still checked is only to be named.
        return Ok(());
    }
    // Runs of good records, cut where a part ends.
    let end = checked.labels.len();
    let mut at = 0;
    for stop in bad.into_iter().chain([end]) {
        while at < stop {
            let (part, left) = parts.at(place.start + at as u64);
            let length = usize::try_from(left).unwrap_or(usize::MAX).min(stop - at);
            sink.accept(
                part,
                &checked.labels[at..at + length],
                &checked.features[at * width..(at + length) * width],
            )?;
            at += length;
        }
        if stop < end {
            let (part, _) = parts.at(place.start + stop as u64);
            verdict.about.records -= 1;
            verdict.about.parts[part].records -= 1;
        }
        at = stop + 1;
    }
    Ok(())
}

/// Finds the part of a record, for indices that only rise.
struct PartCursor {
    /// Index after the last record of each part.
    ends: Vec<u64>,
    part: usize,
}

impl PartCursor {
    fn new(about: &About) -> PartCursor {
        let mut end = 0;
        let ends = about.parts.iter().map(|part| {
            end += part.records;
            end
        });
        PartCursor {
            ends: ends.collect(),
            part: 0,
        }
    }

    /// The part of record `index`, and how many records of it begin there.
    fn at(&mut self, index: u64) -> (usize, u64) {
        while self.part + 1 < self.ends.len() && self.ends[self.part] <= index {
            self.part += 1;
        }
        let end = self.ends.get(self.part).copied().unwrap_or(u64::MAX);
        (self.part, end.saturating_sub(index).max(1))
    }
}

fn too_many(findings: Findings, manifest: &Manifest, allowed: u64) -> Error {
    let (records, total) = (findings.records(), manifest.records());
    let summary = findings.summary();
    let failed = format!("{records} of {total} records do not verify ({summary})");
    let (what, hint) = if findings.all_attributable() {
        (
            format!("{failed}, and {allowed} may be set aside"),
            "nothing was used; restore the vault, or set them aside with --max-tampered",
        )
    } else if findings.unlisted() > 0 {
        (
            format!("the vault does not verify ({summary}): more failures than are kept apart"),
            "nothing was used; restore the vault from a copy, or seal the data again",
        )
    } else if manifest.seal.is_none() {
        (
            failed,
            "nothing was used; without a signed manifest nothing can be set aside",
        )
    } else {
        (
            format!(
                "the vault does not verify ({summary}), and not every failure is one record's own"
            ),
            "nothing was used; restore the vault from a copy, or seal the data again",
        )
    };
    findings.refusal(what, hint)
}

/// A shard with a few records too many is still read, so that they can be counted.
const SLACK: u64 = 64 << 10;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tolerance_is_rounded_down() {
        assert_eq!(Tolerance::Records(3).of(1), 3);
        assert_eq!(Tolerance::Percent(1.0).of(199), 1);
        assert_eq!(Tolerance::Percent(0.0).of(1000), 0);
        assert_eq!(Tolerance::Percent(100.0).of(1000), 1000);
        assert_eq!(Tolerance::Percent(f64::NAN).of(1000), 0);
    }
}
