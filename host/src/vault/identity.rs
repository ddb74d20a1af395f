//! Which data set a sealing is of, and its serial, given what lies in the store and what is remembered.
//!
//! Every manifest in the store may be a genuine one of the owner's, put there by whoever has the storage: an
//! old one, or one of another data set. So the id in it is taken up only where this machine remembers that data
//! set in that place, or where the user names it; and what was sealed there must be the same kind of data. A
//! manifest that the owner did not sign is not theirs: it is told of and stops nobody.

use getrandom::SysRng;
use rand_core::TryRng;
use sealnet_core::record::DatasetId;
use sealnet_core::sign::TrustedKey;

use super::locate::{has_index, manifest_name, read_manifest, refuse_another, serials};
use super::manifest::Manifest;
use super::records::About;
use super::seal::SealOptions;
use crate::error::{Error, Result};
use crate::state::SerialMemory;
use crate::store::Store;

/// What a sealing is of.
#[derive(Debug)]
pub(super) struct Identity {
    pub(super) dataset_id: DatasetId,
    /// Absent without a signed manifest.
    pub(super) serial: Option<u64>,
    /// Whether the data set was sealed before.
    pub(super) continues: bool,
    /// What the user should know of the store.
    pub(super) warnings: Vec<String>,
}

/// Decides it, before anything is written.
pub(super) fn identity(
    about: &About,
    store: &Store,
    trusted: &TrustedKey,
    options: &SealOptions,
    memory: &SerialMemory,
) -> Result<Identity> {
    let there = serials(store)?;
    if !options.profile.signed_manifest {
        return unsigned(store, options, &there, memory);
    }
    if has_index(store)? {
        return Err(Error::input(
            format!(
                "{} holds a vault of profile paper, which nothing signs",
                store.location()
            ),
            ANOTHER_FOLDER,
        ));
    }
    let Newest { ours, foreign } = newest(store, trusted, &there)?;
    let signer = trusted.key_id().to_string();
    let mut warnings = Vec::new();
    let dataset_id = match &ours {
        Some(ours) => {
            may_continue(ours, options.dataset_id, store, memory)?;
            same_kind(ours, about)?;
            ours.dataset_id
        }
        None => {
            let mut known = memory.vaults_at(&store.place())?;
            known.extend(options.dataset_id.map(|id| id.to_string()));
            let mut mine = Vec::new();
            for id in known {
                if memory.highest(&id, &signer)?.is_some() {
                    mine.push(id);
                }
            }
            match (foreign.first(), mine.first(), options.dataset_id) {
                // Nothing here was ever this owner's: the keys are wrong, or the folder is.
                (Some(name), None, _) => {
                    return Err(read_manifest(store, name, trusted, None)
                        .err()
                        .unwrap_or_else(|| moved(name)));
                }
                (_, Some(id), None) => {
                    warnings.push(format!(
                        "this place held data set {id}, whose manifests are gone: another data set is \
                         begun (--dataset-id {id} continues that one)"
                    ));
                    random_id()?
                }
                (_, _, Some(asked)) => asked,
                (_, None, None) => random_id()?,
            }
        }
    };
    let seen = memory.highest(&dataset_id.to_string(), &signer)?;
    let lies_there = ours.and_then(|manifest| manifest.seal);
    let lies_there = lies_there.map(|seal| seal.serial);
    let serial = next_serial(options.serial, lies_there.max(seen), &there)?;
    for name in foreign.iter().take(MAX_NAMED) {
        warnings.push(format!(
            "{name} is not a manifest of this owner; it was left alone, but while it has the highest serial \
             the vault is refused: remove it if you did not put it there"
        ));
    }
    if foreign.len() > MAX_NAMED {
        warnings.push(format!(
            "and {} more such manifests",
            foreign.len() - MAX_NAMED
        ));
    }
    Ok(Identity {
        dataset_id,
        serial: Some(serial),
        continues: lies_there.is_some() || seen.is_some(),
        warnings,
    })
}

/// Without a signed manifest there is neither serial nor anything to continue: the place must be free.
fn unsigned(
    store: &Store,
    options: &SealOptions,
    there: &[u64],
    memory: &SerialMemory,
) -> Result<Identity> {
    if options.serial.is_some() {
        return Err(Error::input(
            "a vault without a signed manifest has no serial",
            "leave --serial out, or --profile paper",
        ));
    }
    let location = store.location();
    if let Some(serial) = there.last() {
        let name = manifest_name(*serial);
        return Err(Error::input(
            format!("{location} holds a vault with a signed manifest, {name}"),
            ANOTHER_FOLDER,
        ));
    }
    if has_index(store)? {
        return Err(Error::input(
            format!(
                "{location} holds a vault of profile paper, which has no serials and is sealed once"
            ),
            "seal into another folder, or remove the vault that is there",
        ));
    }
    // Opening would refuse what sealing made.
    if let Some(id) = options.dataset_id
        && memory.knows(&id.to_string())?
    {
        return Err(Error::input(
            format!("data set {id} was sealed with signed manifests, and profile paper has none"),
            "leave --dataset-id out: without signatures it is another data set",
        ));
    }
    if let Some(signed) = memory.vaults_at(&store.place())?.first() {
        return Err(Error::input(
            format!(
                "{location} held the signed data set {signed}, and a vault of profile paper there would \
                     be refused"
            ),
            "seal into another folder",
        ));
    }
    Ok(Identity {
        dataset_id: options.dataset_id.map_or_else(random_id, Ok)?,
        serial: None,
        continues: false,
        warnings: Vec::new(),
    })
}

/// The newest manifest that the owner signed, and the names of those above it that the owner did not.
struct Newest {
    ours: Option<Manifest>,
    foreign: Vec<String>,
}

fn newest(store: &Store, signer: &TrustedKey, there: &[u64]) -> Result<Newest> {
    let mut foreign = Vec::new();
    for serial in there.iter().rev() {
        let name = manifest_name(*serial);
        match read_manifest(store, &name, signer, None) {
            Ok((manifest, _)) => {
                let ours = Some(manifest);
                return Ok(Newest { ours, foreign });
            }
            // Anybody can put it there; an older one of ours under another name is no better.
            Err(error) if error.exit_code() == 1 => foreign.push(name),
            // A newer version's, or it cannot be read: who seals over that does not know what is there.
            Err(error) => return Err(error),
        }
    }
    Ok(Newest {
        ours: None,
        foreign,
    })
}

/// Whether the data set that lies there is the one to be sealed: the user says so, or this machine remembers it
/// in this place.
fn may_continue(
    there: &Manifest,
    asked: Option<DatasetId>,
    store: &Store,
    memory: &SerialMemory,
) -> Result<()> {
    let id = there.dataset_id;
    if let Some(asked) = asked {
        return match asked == id {
            true => Ok(()),
            false => Err(Error::input(
                format!("the store holds data set {id}, not {asked}"),
                ANOTHER_FOLDER,
            )),
        };
    }
    let serial = there.seal.as_ref().map_or(0, |seal| seal.serial);
    if memory.vaults_at(&store.place())?.is_empty() {
        return Err(Error::input(
            format!(
                "{} holds data set {id} ({}, serial {serial}), which this machine has not met there: it may \
                 have been put there to be continued by mistake",
                store.location(),
                there.about.name
            ),
            format!("to continue that data set: --dataset-id {id}; else seal into another folder"),
        ));
    }
    refuse_another(store, memory, &manifest_name(serial), &id.to_string())
}

/// Refuses data that is not of the kind that `there` holds, and says in what it differs.
fn same_kind(there: &Manifest, about: &About) -> Result<()> {
    let Some((member, was, is)) = difference(&there.about, about) else {
        return Ok(());
    };
    Err(Error::input(
        format!(
            "the store holds data set {}, and its {member} is {was}; here it is {is}",
            there.dataset_id
        ),
        "a vault holds one data set, alike in every serial: seal this one into another folder",
    ))
}

/// The first member that differs, as it was and as it is.
fn difference(was: &About, is: &About) -> Option<(String, String, String)> {
    let of = |member: &str, was: &dyn std::fmt::Debug, is: &dyn std::fmt::Debug| {
        let (was, is) = (format!("{was:?}"), format!("{is:?}"));
        (was != is).then(|| (member.to_owned(), was, is))
    };
    let names = |about: &About| about.class_names.is_some();
    let headed = |about: &About| about.headings.is_some();
    let headings = |about: &About| {
        let headings = about.headings.clone();
        headings.map_or_else(Vec::new, |all| [vec![all.label], all.features].concat())
    };
    let scaled = |about: &About| about.scaling.is_some();
    let classes = |about: &About| about.class_names.clone().unwrap_or_default();
    let columns = |about: &About| about.scaling.clone().unwrap_or_default();
    of("name", &was.name, &is.name)
        .or_else(|| of("shape", &was.shape, &is.shape))
        .or_else(|| of("number of classes", &was.classes, &is.classes))
        .or_else(|| of("having class names", &names(was), &names(is)))
        .or_else(|| {
            let mut pairs = classes(was).into_iter().zip(classes(is)).enumerate();
            pairs.find_map(|(n, (was, is))| of(&format!("name of class {n}"), &was, &is))
        })
        .or_else(|| of("having headings", &headed(was), &headed(is)))
        .or_else(|| {
            let mut pairs = headings(was).into_iter().zip(headings(is));
            pairs.find_map(|(was, is)| of(&format!("heading {was}"), &was, &is))
        })
        .or_else(|| of("having scaled columns", &scaled(was), &scaled(is)))
        .or_else(|| {
            let mut pairs = columns(was).into_iter().zip(columns(is)).enumerate();
            pairs.find_map(|(n, (was, is))| {
                of(&format!("name of column {n}"), &was.name, &is.name)
                    .or_else(|| {
                        let member = format!("offset of column {}", was.name);
                        of(&member, &was.offset, &is.offset)
                    })
                    .or_else(|| {
                        let member = format!("scale of column {}", was.name);
                        of(&member, &was.scale, &is.scale)
                    })
            })
        })
}

/// The serial asked for, or the first above the `highest` that is free in the store.
fn next_serial(asked: Option<u64>, highest: Option<u64>, there: &[u64]) -> Result<u64> {
    let highest = highest.unwrap_or(0);
    match asked {
        Some(asked) if asked <= highest => Err(Error::input(
            format!("serial {asked} is not above {highest}, the highest of this data set"),
            "leave --serial out to take the next",
        )),
        Some(asked) if there.contains(&asked) => Err(moved(&manifest_name(asked))),
        Some(asked) => Ok(asked),
        None => (highest..u64::MAX)
            .map(|serial| serial + 1)
            .find(|serial| !there.contains(serial))
            .ok_or_else(|| Error::input("there is no serial above the highest", "")),
    }
}

fn moved(name: &str) -> Error {
    Error::input(
        format!("something has the name {name} already"),
        "look at what is there, and take another serial or another folder",
    )
}

pub(super) fn random_id() -> Result<DatasetId> {
    let mut id = [0; 16];
    SysRng
        .try_fill_bytes(&mut id)
        .map_err(|e| Error::input(format!("the system gives no random bytes: {e}"), ""))?;
    Ok(DatasetId::from_bytes(id))
}

const ANOTHER_FOLDER: &str = "a vault holds one data set: seal this one into another folder";

/// Foreign manifests that are warned of by name.
const MAX_NAMED: usize = 5;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn serials_rise_around_what_is_in_the_way() {
        let next = |highest, there: &[u64]| next_serial(None, highest, there).ok();
        assert_eq!(next(None, &[]), Some(1));
        assert_eq!(next(Some(4), &[3, 4]), Some(5));
        assert_eq!(next(Some(4), &[4, 5, 6, 8, u64::MAX]), Some(7));
        assert_eq!(next(Some(u64::MAX - 1), &[]), Some(u64::MAX));
        assert_eq!(next(Some(u64::MAX - 1), &[u64::MAX]), None);
        assert_eq!(next(Some(u64::MAX), &[]), None);
        let asked = |serial, there: &[u64]| next_serial(Some(serial), Some(4), there).ok();
        assert_eq!((asked(4, &[]), asked(9, &[])), (None, Some(9)));
        assert_eq!(asked(9, &[9]), None);
    }
}
