//! What opening a vault finds wrong: which record, in which shard, and how.
//!
//! A finding is **attributable** when it is one record's own failure, proved so: the leaves beside its shard
//! hash to the subroot that the signed manifest names, and this record's token is not the one its leaf was
//! made from (or it is, and the record in it is not what it should be). Such records can be set aside. All
//! other findings are fatal: what is missing or changed then is not known.

use serde::Serialize;

use crate::error::{Error, Failure};

/// Which check failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// A token is not valid under any of the keys.
    Decrypt,
    /// A record's tag is not that of its content and place: H1 differs from H0.
    Tag,
    /// A record belongs to another place of the data set, or to no class of it.
    Index,
    /// Records are missing or too many.
    Count,
    /// A token, a shard or the whole is not what the manifest's Merkle root was made over.
    Root,
    /// The manifest is not signed by the trusted key.
    Signature,
    /// The manifest is older than one seen before, or not the one asked for.
    Serial,
}

impl Kind {
    /// The kind in one word.
    pub const fn name(self) -> &'static str {
        match self {
            Kind::Decrypt => "decrypt",
            Kind::Tag => "tag",
            Kind::Index => "index",
            Kind::Count => "count",
            Kind::Root => "root",
            Kind::Signature => "signature",
            Kind::Serial => "serial",
        }
    }
}

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// The record's index, if it is a record.
    pub index: Option<u64>,
    /// The shard's number in the manifest's order, from 0, if it is in a shard.
    pub shard: Option<u32>,
    /// Which check failed.
    pub kind: Kind,
    /// Whether it is this record's own failure, proved so.
    pub attributable: bool,
    /// What the check found.
    pub cause: Cause,
}

/// What a check found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cause {
    /// A token that does not decrypt.
    NotOurToken,
    /// A record of another length.
    Length {
        /// Features that the record has.
        found: usize,
        /// Features that it should have.
        expected: usize,
    },
    /// A record that says another place.
    Place {
        /// The index in it.
        found: u64,
    },
    /// A label beyond the classes.
    Label {
        /// The label.
        found: u16,
        /// The number of classes.
        classes: u16,
    },
    /// A tag that does not match.
    Tag,
    /// A record that is in order by itself but is not the one sealed here: an older or a re-encrypted one.
    Replaced,
    /// A record that is not in its shard any more.
    Missing,
    /// Anything else, in words.
    Said(String),
}

impl Cause {
    /// The check that finds it in a record.
    pub const fn kind(&self) -> Kind {
        match self {
            Cause::NotOurToken | Cause::Length { .. } => Kind::Decrypt,
            Cause::Place { .. } | Cause::Label { .. } => Kind::Index,
            Cause::Tag => Kind::Tag,
            Cause::Missing => Kind::Count,
            Cause::Replaced | Cause::Said(_) => Kind::Root,
        }
    }
}

impl std::fmt::Display for Cause {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Cause::NotOurToken => f.write_str("not a valid token under the vault's key"),
            Cause::Length { found, expected } => {
                write!(f, "it has {found} features, not {expected}")
            }
            Cause::Place { found } => write!(f, "the record of index {found} lies in its place"),
            Cause::Label { found, classes } => {
                write!(f, "its label is {found} and there are {classes} classes")
            }
            Cause::Tag => f.write_str("H1, computed from the record, differs from H0 in it"),
            Cause::Replaced => f.write_str("a valid record, but not the one that was sealed here"),
            Cause::Missing => f.write_str("its token is gone"),
            Cause::Said(text) => f.write_str(text),
        }
    }
}

/// What was found wrong with a shard or a vault, bounded: beyond a limit it only counts.
#[derive(Debug)]
pub(super) struct Findings {
    list: Vec<Finding>,
    limit: usize,
    /// Of each kind, in the order of first appearance, the unlisted included.
    counts: Vec<(Kind, u64)>,
    records: u64,
    fatal: bool,
}

impl Findings {
    /// None yet, of a shard.
    pub(super) fn of_shard() -> Findings {
        Findings::up_to(MAX_SHARD_FINDINGS)
    }

    /// None yet, of a vault.
    pub(super) fn of_vault() -> Findings {
        Findings::up_to(MAX_FINDINGS)
    }

    fn up_to(limit: usize) -> Findings {
        Findings {
            list: Vec::new(),
            limit,
            counts: Vec::new(),
            records: 0,
            fatal: false,
        }
    }

    pub(super) fn push(&mut self, finding: Finding) {
        self.count(finding.kind, 1);
        self.records += u64::from(finding.index.is_some());
        self.fatal |= !finding.attributable;
        self.list(finding);
    }

    /// Takes in what was found in one shard.
    pub(super) fn absorb(&mut self, shard: Findings) {
        self.records += shard.records;
        self.fatal |= shard.fatal;
        for (kind, count) in shard.counts {
            self.count(kind, count);
        }
        for finding in shard.list {
            self.list(finding);
        }
    }

    fn count(&mut self, kind: Kind, more: u64) {
        match self.counts.iter_mut().find(|(known, _)| *known == kind) {
            Some((_, count)) => *count += more,
            None => self.counts.push((kind, more)),
        }
    }

    fn list(&mut self, finding: Finding) {
        if self.list.len() < self.limit {
            self.list.push(finding);
        } else {
            // What is not listed cannot be set aside.
            self.fatal = true;
        }
    }

    /// Those that are listed, in order.
    pub(super) fn listed(&self) -> &[Finding] {
        &self.list
    }

    /// How many are counted only.
    pub(super) fn unlisted(&self) -> u64 {
        self.total().saturating_sub(self.list.len() as u64)
    }

    fn total(&self) -> u64 {
        self.counts.iter().map(|(_, count)| count).sum()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.counts.is_empty()
    }

    /// Whether every finding is listed and can be set aside.
    pub(super) fn all_attributable(&self) -> bool {
        !self.fatal
    }

    /// How many findings are of one record each.
    pub(super) fn records(&self) -> u64 {
        self.records
    }

    pub(super) fn into_list(self) -> Vec<Finding> {
        self.list
    }

    /// `2 decrypt, 1 index`, in the order of first appearance.
    pub(super) fn summary(&self) -> String {
        let parts: Vec<String> = self
            .counts
            .iter()
            .map(|(kind, count)| format!("{count} {}", kind.name()))
            .collect();
        parts.join(", ")
    }

    /// The refusal that names those listed, and the number of the others.
    pub(super) fn refusal(self, what: String, hint: &str) -> Error {
        let mut failures: Vec<Failure> = self.list.iter().map(Finding::failure).collect();
        if let (more @ 1.., Some((kind, _))) = (self.unlisted(), self.counts.last()) {
            failures.push(Failure {
                place: "the vault".to_owned(),
                check: kind.name(),
                cause: format!("and {more} more failures that are not listed"),
                index: None,
                shard: None,
            });
        }
        Error::Refused {
            what,
            hint: hint.to_owned(),
            failed: self.total(),
            failures,
        }
    }
}

impl Finding {
    /// The finding as errors carry it.
    pub fn failure(&self) -> Failure {
        let place = match (self.index, self.shard) {
            (Some(index), Some(shard)) => format!("record {index} (shard {shard})"),
            (Some(index), None) => format!("record {index}"),
            (None, Some(shard)) => format!("shard {shard}"),
            (None, None) => "the vault".to_owned(),
        };
        Failure {
            place,
            check: self.kind.name(),
            cause: self.cause.to_string(),
            index: self.index,
            shard: self.shard,
        }
    }
}

/// A refusal for one reason that lies in no record: the manifest's, mostly.
pub(super) fn refuse(kind: Kind, place: &str, cause: impl Into<String>, hint: &str) -> Error {
    let cause = cause.into();
    Error::Refused {
        what: format!("{place} does not verify: {cause}"),
        hint: hint.to_owned(),
        failures: vec![Failure {
            place: place.to_owned(),
            check: kind.name(),
            cause,
            index: None,
            shard: None,
        }],
        failed: 1,
    }
}

/// Findings of a vault that are kept and named; further ones are counted, and are fatal: so many records are not
/// set aside. Some 200 bytes each, and as much again when they are told.
pub const MAX_FINDINGS: usize = 20_000;

/// The same of one shard, of which there are several at a time.
pub const MAX_SHARD_FINDINGS: usize = 4096;

#[cfg(test)]
mod tests {
    use super::*;

    fn finding(index: u64, kind: Kind) -> Finding {
        Finding {
            index: Some(index),
            shard: Some(0),
            kind,
            attributable: true,
            cause: Cause::NotOurToken,
        }
    }

    #[test]
    fn what_is_not_listed_is_counted_and_fatal() {
        let mut vault = Findings::of_vault();
        let mut index = 0;
        for shard in 1..=5 {
            let mut findings = Findings::of_shard();
            for _ in 0..MAX_SHARD_FINDINGS {
                findings.push(finding(index, Kind::Decrypt));
                index += 1;
            }
            assert!(findings.all_attributable() && findings.unlisted() == 0);
            vault.absorb(findings);
            let listed = shard * MAX_SHARD_FINDINGS;
            assert_eq!(vault.all_attributable(), listed <= MAX_FINDINGS, "{shard}");
        }
        let mut over = Findings::of_shard();
        for _ in 0..=MAX_SHARD_FINDINGS {
            over.push(finding(index, Kind::Index));
            index += 1;
        }
        assert!(!over.all_attributable());
        assert_eq!((over.unlisted(), over.records()), (1, 4097));
        vault.absorb(over);
        assert_eq!(vault.summary(), "20480 decrypt, 4097 index");
        assert_eq!(vault.records(), index);
        let listed = MAX_FINDINGS as u64;
        assert_eq!(vault.unlisted(), index - listed);
        let error = vault.refusal("it does not verify".into(), "");
        assert_eq!(error.failures().len(), MAX_FINDINGS + 1);
        assert_eq!(error.failed(), index);
        let last = error.failures().last().unwrap().to_string();
        assert_eq!(
            last,
            "the vault: index: and 4577 more failures that are not listed"
        );
    }
}
