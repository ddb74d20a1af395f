//! Checking one shard: tokens to verified records, and a name for everything that is wrong.
//!
//! The shard is read once; the bytes that are hashed are the bytes that are decrypted and used.

use sealnet_core::fernet::{Keyring, decode_text_in_place};
use sealnet_core::record::merkle::{leaf_hash, root_of};
use sealnet_core::record::{self, DatasetId, Record, Tagger};
use sealnet_core::sign::Digest512;

use super::finding::{Cause, Finding, Findings, Kind};
use super::line_len;
use crate::store::Fetched;

/// What all shards of a vault are checked with.
#[derive(Debug)]
pub(super) struct Checker<'k> {
    pub(super) dataset_id: DatasetId,
    pub(super) keyring: Keyring<'k>,
    pub(super) tagger: Tagger,
    pub(super) classes: u16,
    pub(super) feature_count: usize,
}

/// Where a shard stands in its vault and what the manifest says of it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place<'m> {
    /// The folder of its objects.
    pub(super) folder: &'static str,
    /// Its objects' name, without ending.
    pub(super) name: &'m str,
    pub(super) number: u32,
    /// Index of its first record.
    pub(super) start: u64,
    pub(super) records: u32,
    /// Absent without a signed manifest.
    pub(super) subroot: Option<Digest512>,
}

impl Place<'_> {
    /// The object that holds its tokens.
    pub(super) fn tokens(&self) -> String {
        format!("{}/{}.fernet", self.folder, self.name)
    }

    /// The object that holds its leaves.
    pub(super) fn leaves(&self) -> String {
        format!("{}/{}.leaves", self.folder, self.name)
    }
}

/// A shard's verified records and what was wrong with the others.
#[derive(Debug)]
pub(super) struct Checked {
    /// One a record; a record with a finding has 0.
    pub(super) labels: Vec<u16>,
    /// Row-major; a record with a finding has zeros.
    pub(super) features: Vec<u8>,
    pub(super) findings: Findings,
    /// Something that harms no record.
    pub(super) warning: Option<&'static str>,
}

impl Default for Checked {
    fn default() -> Checked {
        Checked {
            labels: Vec::new(),
            features: Vec::new(),
            findings: Findings::of_shard(),
            warning: None,
        }
    }
}

impl Checker<'_> {
    /// Checks the shard at `place`, given its two objects. Without a subroot `leaves` is not looked at.
    pub(super) fn check(&self, place: Place<'_>, text: &Fetched, leaves: &Fetched) -> Checked {
        let lost = |what: String| self.lost(place, format!("{} {what}", place.tokens()));
        let text = match text {
            Fetched::Found(bytes) => bytes,
            Fetched::Absent => return lost("is gone".into()),
            Fetched::TooLarge(size) => {
                return lost(format!("has {size} bytes, far more than its records take"));
            }
            Fetched::Odd(what) => return lost(format!("is {what}, not a file")),
        };
        let lines = match self.lines(place, text) {
            Ok(lines) => lines,
            Err(count) => return self.lost(place, wrong_count(count, place)),
        };
        if lines.len() != place.records as usize {
            return self.miscounted(place, &lines);
        }
        let mut labels = vec![0; lines.len()];
        let mut features = vec![0; lines.len() * self.feature_count];
        let mut causes: Vec<Option<Cause>> = vec![None; lines.len()];
        let mut computed = vec![
            [0; 64];
            if place.subroot.is_some() {
                lines.len()
            } else {
                0
            }
        ];
        let mut buffer = Vec::with_capacity(line_len(self.feature_count));
        let mut leaf_slots = computed.iter_mut();
        for (position, line) in lines.iter().enumerate() {
            let row = position * self.feature_count..(position + 1) * self.feature_count;
            let expected = place.start + position as u64;
            let result = self.open(line, leaf_slots.next(), &mut buffer, |record| {
                if record.index != expected {
                    return Err(Cause::Place {
                        found: record.index,
                    });
                }
                labels[position] = record.label;
                features[row.clone()].copy_from_slice(record.features);
                Ok(())
            });
            causes[position] = result.err();
        }
        let mut checked = Checked {
            labels,
            features,
            findings: Findings::of_shard(),
            warning: None,
        };
        let whole = place
            .subroot
            .is_none_or(|subroot| root_of(&computed) == subroot);
        if whole && causes.iter().all(Option::is_none) {
            checked.warning = place.subroot.and_then(|_| judge_leaves(leaves, &computed));
            return checked;
        }
        self.attribute(place, whole, causes, &computed, leaves, &mut checked);
        checked
    }

    /// Opens one line and hands its record, whose tag has been verified, to `take`.
    fn open(
        &self,
        line: &[u8],
        leaf: Option<&mut Digest512>,
        buffer: &mut Vec<u8>,
        take: impl FnOnce(&Record<'_>) -> Result<(), Cause>,
    ) -> Result<(), Cause> {
        let text = line.strip_suffix(b"\n").ok_or(Cause::NotOurToken)?;
        buffer.clear();
        buffer.extend_from_slice(text);
        let token = decode_text_in_place(buffer).map_err(|_| Cause::NotOurToken)?;
        if let Some(leaf) = leaf {
            *leaf = leaf_hash(token);
        }
        let opened = self
            .keyring
            .decrypt_in_place(token, None)
            .map_err(|_| Cause::NotOurToken)?;
        let (record, h0) = record::decode(opened.plaintext()).map_err(|_| Cause::Length {
            found: 0,
            expected: self.feature_count,
        })?;
        if record.features.len() != self.feature_count {
            return Err(Cause::Length {
                found: record.features.len(),
                expected: self.feature_count,
            });
        }
        // H1 is computed from the record alone and only then compared with H0.
        self.tagger
            .verify(&self.dataset_id, &record, &h0)
            .map_err(|_| Cause::Tag)?;
        if record.label >= self.classes {
            return Err(Cause::Label {
                found: record.label,
                classes: self.classes,
            });
        }
        take(&record)
    }

    /// Cuts a shard into its lines, each with its LF. While the length is right a line is a fixed number of
    /// bytes, so that a changed byte, be it an LF, stays its own record's failure. The error is the number of
    /// lines, when it is absurd.
    fn lines<'t>(&self, place: Place<'_>, text: &'t [u8]) -> Result<Vec<&'t [u8]>, usize> {
        let step = line_len(self.feature_count) + 1;
        if text.len() == place.records as usize * step {
            return Ok(text.chunks_exact(step).collect());
        }
        let lines = || text.split_inclusive(|byte| *byte == b'\n');
        let count = lines().count();
        if count > 2 * place.records as usize {
            return Err(count);
        }
        Ok(lines().collect())
    }

    /// The right number of lines, and something is wrong: whose failure is it?
    fn attribute(
        &self,
        place: Place<'_>,
        whole: bool,
        causes: Vec<Option<Cause>>,
        computed: &[Digest512],
        leaves: &Fetched,
        checked: &mut Checked,
    ) {
        let leaves = place
            .subroot
            .filter(|_| !whole)
            .and_then(|subroot| authentic_leaves(leaves, subroot, place.records));
        // With neither tokens nor leaves that hash to a signed subroot no record's innocence can be shown.
        let attributable = place.subroot.is_some() && (whole || leaves.is_some());
        if place.subroot.is_some() && !attributable {
            checked.findings.push(Finding {
                index: None,
                shard: Some(place.number),
                kind: Kind::Root,
                attributable: false,
                cause: Cause::Said(
                    "neither its tokens nor its leaves hash to the manifest's subroot".into(),
                ),
            });
        }
        for (position, cause) in causes.into_iter().enumerate() {
            let replaced =
                leaves.is_some_and(|leaves| leaves.get(position) != computed.get(position));
            let Some(cause) = cause.or(replaced.then_some(Cause::Replaced)) else {
                continue;
            };
            checked.findings.push(Finding {
                index: Some(place.start + position as u64),
                shard: Some(place.number),
                kind: cause.kind(),
                attributable,
                cause,
            });
            let row = position * self.feature_count..(position + 1) * self.feature_count;
            checked.labels[position] = 0;
            checked.features[row].fill(0);
        }
    }

    /// Too few lines or too many: fatal, but the records in question can still be named.
    fn miscounted(&self, place: Place<'_>, lines: &[&[u8]]) -> Checked {
        let count = |cause: Cause, index| Finding {
            index,
            shard: Some(place.number),
            kind: Kind::Count,
            attributable: false,
            cause,
        };
        let mut checked = Checked::default();
        checked
            .findings
            .push(count(Cause::Said(wrong_count(lines.len(), place)), None));
        let mut seen = vec![0_u32; place.records as usize];
        let mut buffer = Vec::new();
        for (position, line) in lines.iter().enumerate() {
            let result = self.open(line, None, &mut buffer, |record| {
                let here = record.index.checked_sub(place.start);
                match here.and_then(|at| seen.get_mut(usize::try_from(at).ok()?)) {
                    Some(times) => *times += 1,
                    None => {
                        return Err(Cause::Place {
                            found: record.index,
                        });
                    }
                }
                Ok(())
            });
            if let Err(cause) = result {
                checked.findings.push(Finding {
                    index: None,
                    shard: Some(place.number),
                    kind: cause.kind(),
                    attributable: false,
                    cause: Cause::Said(format!("line {}: {cause}", position + 1)),
                });
            }
        }
        for (index, times) in (place.start..).zip(seen) {
            match times {
                0 => checked.findings.push(count(Cause::Missing, Some(index))),
                1 => {}
                _ => {
                    let cause = Cause::Said(format!("it is there {times} times"));
                    checked.findings.push(count(cause, Some(index)));
                }
            }
        }
        checked
    }

    /// A shard of which nothing could be read.
    fn lost(&self, place: Place<'_>, cause: String) -> Checked {
        let mut checked = Checked::default();
        checked.findings.push(Finding {
            index: None,
            shard: Some(place.number),
            kind: Kind::Count,
            attributable: false,
            cause: Cause::Said(cause),
        });
        checked
    }
}

fn wrong_count(lines: usize, place: Place<'_>) -> String {
    format!("it holds {lines} records and should hold {}", place.records)
}

/// The leaves object, if the manifest's subroot vouches for it. Their number matters: the subroot alone, or
/// the nodes of any level, hash to the subroot too, and storage knows them.
fn authentic_leaves(leaves: &Fetched, subroot: Digest512, records: u32) -> Option<&[Digest512]> {
    let leaves = whole_leaves(leaves)?;
    (leaves.len() == records as usize && root_of(leaves) == subroot).then_some(leaves)
}

/// What is wrong with the leaves object of a shard whose tokens hash to the subroot. The records are proved
/// without it, so that is no failure; but it would be missed when a record fails.
fn judge_leaves(leaves: &Fetched, computed: &[Digest512]) -> Option<&'static str> {
    match whole_leaves(leaves) {
        Some(stored) if stored == computed => None,
        _ if matches!(leaves, Fetched::Absent) => Some("its leaves are gone"),
        _ => Some("its leaves are damaged"),
    }
}

fn whole_leaves(leaves: &Fetched) -> Option<&[Digest512]> {
    let Fetched::Found(bytes) = leaves else {
        return None;
    };
    let (leaves, rest) = bytes.as_chunks();
    rest.is_empty().then_some(leaves)
}
