//! What someone does who writes to a vault's storage, with or without its Fernet key.

use std::collections::BTreeSet;

use base64ct::{Base64, Encoding};
use sealnet_core::sign::Domain;
use serde_json::Value;

use super::campaign::{End, Kind, RECORDS};
use super::scene::{Bench, Change, Image, SHARD, tokens_of};
use crate::dsse;
use crate::error::{Error, Result};
use crate::random::Random;

/// Every way. Those that touch records touch between one and half of them.
pub(super) const KINDS: &[Kind] = &[
    kind(
        "a character of a token changed",
        "decrypt",
        |bench, random| {
            records(bench, random, "decrypt", 1, |lines, touched, random| {
                for &at in touched {
                    let place = random.below(lines[at].len() as u32) as usize;
                    let old = lines[at][place];
                    let others = ALPHABET.iter().filter(|&&character| character != old);
                    let others: Vec<u8> = others.copied().collect();
                    lines[at][place] = others[random.below(others.len() as u32) as usize];
                }
            })
        },
    ),
    kind("tokens cut short", "decrypt", |bench, random| {
        records(bench, random, "decrypt", 1, |lines, touched, random| {
            for &at in touched {
                let left = random.below(lines[at].len() as u32 - 1) as usize + 1;
                lines[at].truncate(left);
            }
        })
    }),
    kind("records dropped", "count", |bench, random| {
        records(bench, random, "count", 1, |lines, touched, _| {
            for &at in touched {
                lines[at].clear();
            }
        })
    }),
    kind("records repeated", "count", |bench, random| {
        records(bench, random, "count", 1, |lines, touched, _| {
            for &at in touched {
                let mut twice = lines[at].clone();
                twice.push(b'\n');
                twice.extend_from_slice(&lines[at]);
                lines[at] = twice;
            }
        })
    }),
    kind(
        "records written over by others",
        "index",
        |bench, random| {
            records(bench, random, "index", 1, |lines, touched, random| {
                let original = lines.to_vec();
                for &at in touched {
                    // Any but itself.
                    let from = (at + 1 + random.below(RECORDS as u32 - 1) as usize) % RECORDS;
                    lines[at].clone_from(&original[from]);
                }
            })
        },
    ),
    kind("records in another order", "index", |bench, random| {
        records(bench, random, "index", 2, |lines, touched, _| {
            let places: Vec<usize> = touched.iter().copied().collect();
            let first = lines[places[0]].clone();
            for pair in places.windows(2) {
                lines[pair[0]] = lines[pair[1]].clone();
            }
            lines[places[places.len() - 1]] = first;
        })
    }),
    kind("records of another data set", "tag", |bench, random| {
        let other = bench.scene.other.lines();
        records(bench, random, "tag", 1, |lines, touched, _| {
            for &at in touched {
                lines[at].clone_from(&other[at]);
            }
        })
    }),
    kind("records of an older vault", "root", |bench, random| {
        let older = bench.scene.older.lines();
        records(bench, random, "root", 1, |lines, touched, _| {
            for &at in touched {
                lines[at].clone_from(&older[at]);
            }
        })
    }),
    kind(
        "records encrypted again by an insider",
        "root",
        |bench, random| {
            let key = &bench.scene.keys.vault[0];
            records(bench, random, "root", 1, |lines, touched, _| {
                for &at in touched {
                    if let Some((line, _)) = super::encrypt_again(&lines[at], key) {
                        lines[at] = line;
                    }
                }
            })
        },
    ),
    kind("records forged by an insider", "tag", forged_by_insider),
    kind("a shard taken away", "count", |bench, random| {
        let shard = &bench.scene.newest.manifest.shards[random.below(2) as usize];
        open(bench, &[(tokens_of(&shard.name), None)], "count", None)
    }),
    kind("two shards exchanged", "index", |bench, _| {
        let newest = &bench.scene.newest;
        let names = newest
            .manifest
            .shards
            .iter()
            .map(|shard| tokens_of(&shard.name));
        let names: Vec<String> = names.collect();
        let text = |name: &String| newest.objects.get(name).cloned();
        let changes = [
            (names[0].clone(), text(&names[1])),
            (names[1].clone(), text(&names[0])),
        ];
        open(
            bench,
            &changes,
            "index",
            Some((0..RECORDS as u64).collect()),
        )
    }),
    kind(
        "a bit of the manifest flipped",
        "signature",
        |bench, random| {
            manifest(bench, |envelope| {
                flip_base64(envelope.get_mut("payload")?, random)
            })
        },
    ),
    kind(
        "a bit of its signature flipped",
        "signature",
        |bench, random| {
            manifest(bench, |envelope| {
                let signature = envelope.get_mut("signatures")?.get_mut(0)?;
                flip_base64(signature.get_mut("sig")?, random)
            })
        },
    ),
    kind(
        "the manifest signed by a stranger",
        "signature",
        |bench, random| {
            let owner = bench.scene.keys.owner_public.key_id().to_string();
            let says_owner = random.below(2) == 0;
            let stranger = &bench.scene.keys.stranger;
            manifest(bench, |envelope| {
                let payload = Base64::decode_vec(envelope.get("payload")?.as_str()?).ok()?;
                let kind = envelope.get("payloadType")?.as_str()?;
                let signed = dsse::sign_json(kind, &payload, stranger, Domain::Manifest);
                *envelope = serde_json::from_slice(&signed).ok()?;
                if says_owner {
                    envelope["signatures"][0]["keyid"] = owner.into();
                }
                Some(())
            })
        },
    ),
    kind("an older vault in its place", "serial", |bench, _| {
        let scene = bench.scene;
        let mut changes = replaced(&scene.newest, &scene.older);
        changes.push((scene.newest.manifest_name(), None));
        open(bench, &changes, "serial", None)
    }),
    kind("another vault under its serial", "serial", |bench, _| {
        let changes = replaced(&bench.scene.newest, &bench.scene.twin);
        open(bench, &changes, "serial", None)
    }),
];

const fn kind(tampering: &'static str, reason: &'static str, run: super::campaign::Run) -> Kind {
    Kind {
        met_by: "open",
        tampering,
        reason,
        run,
    }
}

/// Whether nobody's touch is taken for one.
pub(super) fn untouched(bench: &mut Bench<'_>) -> Result<bool> {
    Ok(bench.open(&[])?.is_ok())
}

/// A random set of records, at least `least` of them and at most half.
fn some(random: &mut Random, least: usize) -> BTreeSet<usize> {
    let count = least + random.below((RECORDS / 2 - least + 1) as u32) as usize;
    let mut all: Vec<usize> = (0..RECORDS).collect();
    random.shuffle(&mut all);
    all.into_iter().take(count).collect()
}

/// Changes some records' lines: those and no others are to be named, for `reason`.
fn records(
    bench: &Bench<'_>,
    random: &mut Random,
    reason: &str,
    least: usize,
    change: impl FnOnce(&mut [Vec<u8>], &BTreeSet<usize>, &mut Random),
) -> Result<End> {
    let newest = &bench.scene.newest;
    let touched = some(random, least);
    let mut lines = newest.lines();
    change(&mut lines, &touched, random);
    let changes = texts(newest, &lines);
    let named = touched.into_iter().map(|at| at as u64).collect();
    open(bench, &changes, reason, Some(named))
}

/// The shards' texts; a line that is empty is not there.
fn texts(image: &Image, lines: &[Vec<u8>]) -> Vec<Change> {
    let shards = image.manifest.shards.iter().zip(lines.chunks(SHARD));
    let text = |lines: &[Vec<u8>]| {
        let there = lines.iter().filter(|line| !line.is_empty());
        there
            .flat_map(|line| line.iter().chain(b"\n"))
            .copied()
            .collect()
    };
    let texts = shards.map(|(shard, lines)| (tokens_of(&shard.name), Some(text(lines))));
    texts.collect()
}

/// Someone with the vault's Fernet key, but not the record-tag key, puts other labels on records, hashes them afresh with
/// plain SHA-512, and makes the leaves fit.
fn forged_by_insider(bench: &mut Bench<'_>, random: &mut Random) -> Result<End> {
    let newest = &bench.scene.newest;
    let touched = some(random, 1);
    let mut lines = newest.lines();
    let mut leaves = Vec::new();
    for shard in &newest.manifest.shards {
        let name = format!("shards/{}.leaves", shard.name);
        leaves.push((
            name.clone(),
            newest.objects.get(&name).cloned().unwrap_or_default(),
        ));
    }
    for &at in &touched {
        let forged = super::forge(&lines[at], &newest.manifest, &bench.scene.keys.vault[0]);
        let (line, leaf) = forged.ok_or_else(|| Error::input("a record cannot be forged", ""))?;
        lines[at] = line;
        leaves[at / SHARD].1[64 * (at % SHARD)..][..64].copy_from_slice(&leaf);
    }
    let mut changes = texts(newest, &lines);
    changes.extend(leaves.into_iter().map(|(name, bytes)| (name, Some(bytes))));
    let named = touched.into_iter().map(|at| at as u64).collect();
    open(bench, &changes, "tag", Some(named))
}

/// Edits the manifest's envelope, in the one form that an envelope has, so that nothing else is wrong with it.
fn manifest(bench: &Bench<'_>, edit: impl FnOnce(&mut Value) -> Option<()>) -> Result<End> {
    let name = bench.scene.newest.manifest_name();
    let edited = || {
        let bytes = bench.scene.newest.objects.get(&name)?;
        let mut envelope: Value = serde_json::from_slice(bytes).ok()?;
        edit(&mut envelope)?;
        Some((envelope.to_string() + "\n").into_bytes())
    };
    let edited = edited().ok_or_else(|| Error::input("the manifest is no envelope", ""))?;
    open(bench, &[(name, Some(edited))], "signature", None)
}

/// Flips a random bit of what a member holds in base64.
pub(super) fn flip_base64(member: &mut Value, random: &mut Random) -> Option<()> {
    let mut bytes = Base64::decode_vec(member.as_str()?).ok()?;
    flip(&mut bytes, random);
    *member = Base64::encode_string(&bytes).into();
    Some(())
}

/// Flips a random bit.
pub(super) fn flip(bytes: &mut [u8], random: &mut Random) {
    let bit = random.below(8 * bytes.len() as u32) as usize;
    bytes[bit / 8] ^= 1 << (bit % 8);
}

/// The objects of `new` in the place of those of `old`.
fn replaced(old: &Image, new: &Image) -> Vec<Change> {
    let gone = old
        .objects
        .keys()
        .filter(|name| !new.objects.contains_key(*name));
    let gone = gone.map(|name| (name.clone(), None));
    let there = new.objects.iter();
    gone.chain(there.map(|(name, bytes)| (name.clone(), Some(bytes.clone()))))
        .collect()
}

/// Opens the changed vault. It must be refused by the check `reason`, and, where `named` says so, that check names those
/// records and no others.
fn open(
    bench: &Bench<'_>,
    changes: &[Change],
    reason: &str,
    named: Option<BTreeSet<u64>>,
) -> Result<End> {
    let error = match bench.open(changes)? {
        Ok(()) => return Ok(End::Missed),
        Err(error) => error,
    };
    let failures = error
        .failures()
        .iter()
        .filter(|failure| failure.check == reason);
    let (mut count, mut found) = (0, BTreeSet::new());
    for failure in failures {
        count += 1;
        found.extend(failure.index);
    }
    let right = count > 0 && named.as_ref().is_none_or(|named| *named == found);
    Ok(match (error.exit_code(), right) {
        (1, true) => End::Detected,
        _ => End::OtherReason(format!("{error}: {:?}", error.failures())),
    })
}

/// What tokens are written in.
const ALPHABET: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_=";
