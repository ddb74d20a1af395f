//! Finding a vault's manifest and deciding whether it may be believed; nothing of the records yet.

use bytes::Bytes;
use sealnet_core::record::DatasetId;
use sealnet_core::sign::{Digest512, Domain, KeyId, TrustedKey, sha512};

use super::OpenKeys;
use super::finding::{Kind, refuse};
use super::manifest::{MAX_MANIFEST_BYTES, Manifest, ManifestError, PAYLOAD_TYPE};
use super::open::OpenOptions;
use crate::dsse;
use crate::error::{Error, Result};
use crate::state::{Contact, SerialMemory, Version};
use crate::store::{Fetched, Store};

/// The manifest of that name, its digest compared with the `pinned` one, its signature verified under
/// `signer`, and only then parsed.
pub(super) fn read_manifest(
    store: &Store,
    name: &str,
    signer: &TrustedKey,
    pinned: Option<Digest512>,
) -> Result<(Manifest, Digest512)> {
    let bytes = fetch_document(store, name)?;
    let digest = sha512(&[&bytes]);
    if pinned.is_some_and(|pinned| pinned != digest) {
        let cause = format!(
            "its digest is {}, not the one asked for",
            hex::encode(digest)
        );
        let hint = "the vault holds another manifest than --manifest-digest names";
        return Err(refuse(Kind::Serial, name, cause, hint));
    }
    let payload = dsse::verify(&bytes, PAYLOAD_TYPE, signer, Domain::Manifest).map_err(|e| {
        let hint = "it was changed, or signed with another key: check that --keys is the owner's";
        refuse(Kind::Signature, name, e.to_string(), hint)
    })?;
    let manifest = Manifest::from_json(&payload, true).map_err(|e| unusable(name, &e))?;
    // The caller believes what is in the manifest, so the object's name must not say otherwise.
    let serial = manifest.seal.as_ref().map(|seal| seal.serial);
    if serial != serial_of(name) {
        let cause = format!("the serial in it is {}", serial.unwrap_or_default());
        return Err(refuse(
            Kind::Serial,
            name,
            cause,
            "an older manifest was copied to this name",
        ));
    }
    if manifest.seal.as_ref().map(|seal| seal.signer) != Some(signer.key_id()) {
        let cause = "it names another signer than the one who signed it";
        return Err(refuse(Kind::Signature, name, cause, ""));
    }
    Ok((manifest, digest))
}

/// The name of the manifest with this serial.
pub fn manifest_name(serial: u64) -> String {
    format!("{MANIFEST_PREFIX}{serial:08}{MANIFEST_SUFFIX}")
}

/// The serials of the manifests in `store`, in rising order.
pub(super) fn serials(store: &Store) -> Result<Vec<u64>> {
    let names = store.block_on(store.names())?;
    let mut serials: Vec<u64> = names.iter().filter_map(|name| serial_of(name)).collect();
    serials.sort_unstable();
    Ok(serials)
}

/// The object of an unsigned index.
pub(super) const INDEX_NAME: &str = "paper/index.json";

/// A manifest whose serial and keys are right, or an index.
pub(super) struct Source {
    pub(super) manifest: Manifest,
    pub(super) digest: Option<Digest512>,
    pub(super) version: Option<Version>,
}

pub(super) fn signed_manifest(
    store: &Store,
    keys: OpenKeys<'_>,
    options: &OpenOptions,
    memory: &SerialMemory,
) -> Result<Source> {
    let serial = match options.serial {
        Some(serial) => serial,
        None => match serials(store)?.last() {
            Some(serial) => *serial,
            None => return Err(no_vault(store, memory)?),
        },
    };
    let name = manifest_name(serial);
    let (manifest, digest) = read_manifest(store, &name, keys.signer, options.manifest_digest)?;
    if let Some(least) = options.min_serial
        && serial < least
    {
        let cause = format!("its serial is {serial}, and --min-serial asks for {least}");
        return Err(refuse(Kind::Serial, &name, cause, OLD_VAULT_HINT));
    }
    refuse_unpinned(&name, &manifest, options)?;
    let version = Version {
        dataset_id: manifest.dataset_id.to_string(),
        signer: keys.signer.key_id().to_string(),
        serial,
        manifest_digest: hex::encode(digest),
    };
    not_older(memory.compare(&version)?, &version)?;
    // Who names the data set has said that it may lie there.
    if options.dataset_id.is_none() {
        refuse_another(store, memory, &name, &version.dataset_id)?;
    }
    if let Some(seal) = &manifest.seal {
        check_keys(&name, keys, seal.vault_key, seal.tag_key)?;
    }
    Ok(Source {
        manifest,
        digest: Some(digest),
        version: Some(version),
    })
}

pub(super) fn unsigned_index(
    store: &Store,
    options: &OpenOptions,
    memory: &SerialMemory,
) -> Result<Source> {
    if options.serial.is_some() || options.min_serial.is_some() || options.manifest_digest.is_some()
    {
        return Err(Error::input(
            "a vault without a signed manifest has neither serial nor manifest digest to check",
            "leave --serial, --min-serial and --manifest-digest out, or --profile paper",
        ));
    }
    let bytes = fetch_document(store, INDEX_NAME)?;
    let manifest = Manifest::from_json(&bytes, false).map_err(|e| unusable(INDEX_NAME, &e))?;
    refuse_unpinned(INDEX_NAME, &manifest, options)?;
    refuse_downgrade(store, memory, manifest.dataset_id, options.dataset_id)?;
    let asked = options.profile.tag_scheme;
    if manifest.profile.tag_scheme != asked {
        return Err(Error::input(
            format!(
                "{INDEX_NAME} says that records are tagged with {}, and {asked} was asked for",
                manifest.profile.tag_scheme
            ),
            "an unsigned index may say anything, so it does not choose",
        ));
    }
    Ok(Source {
        manifest,
        digest: None,
        version: None,
    })
}

/// Refuses a manifest of another data set than the one that this place is known to hold, by either of its names.
pub(super) fn refuse_another(
    store: &Store,
    memory: &SerialMemory,
    name: &str,
    dataset_id: &str,
) -> Result<()> {
    let known = memory.vaults_at(&store.place())?;
    match known.iter().find(|id| *id != dataset_id) {
        None => Ok(()),
        Some(other) => Err(refuse(
            Kind::Serial,
            name,
            format!("it is of data set {dataset_id}, and this place held {other}"),
            &format!("if it was put there on purpose, say so: --dataset-id {dataset_id}"),
        )),
    }
}

/// Refuses what nothing signs where signatures are known to belong: a data set that was once signed, anywhere;
/// and in a place that held a signed vault, all but the data set that the user names.
pub(super) fn refuse_downgrade(
    store: &Store,
    memory: &SerialMemory,
    found: DatasetId,
    asked: Option<DatasetId>,
) -> Result<()> {
    let id = found.to_string();
    if memory.knows(&id)? {
        return Err(refuse(
            Kind::Serial,
            INDEX_NAME,
            format!(
                "it is of data set {id}, whose manifests are signed, and nothing signs this one"
            ),
            "a vault was replaced by one that anybody could have made: restore the signed one, or seal again",
        ));
    }
    match memory.vaults_at(&store.place())?.first() {
        Some(signed) if asked != Some(found) => Err(refuse(
            Kind::Serial,
            INDEX_NAME,
            format!("nothing signs it, and this place held the signed data set {signed}"),
            &format!(
                "restore the signed vault; if this one, data set {id}, was put there on purpose, say so: \
                 --dataset-id {id}"
            ),
        )),
        _ => Ok(()),
    }
}

fn refuse_unpinned(name: &str, manifest: &Manifest, options: &OpenOptions) -> Result<()> {
    let found = manifest.dataset_id;
    match options.dataset_id {
        Some(asked) if asked != found => Err(refuse(
            Kind::Serial,
            name,
            format!("it is of data set {found}, not of {asked}, which was asked for"),
            "another vault lies there than --dataset-id names",
        )),
        _ => Ok(()),
    }
}

/// Refuses early, and once, what would otherwise fail at every record.
fn check_keys(
    name: &str,
    keys: OpenKeys<'_>,
    vault_key: KeyId,
    tag_key: Option<KeyId>,
) -> Result<()> {
    if !keys.vault.iter().any(|key| key.key_id() == vault_key) {
        let ours: Vec<String> = keys.vault.iter().map(|k| k.key_id().to_string()).collect();
        let cause = format!(
            "it is encrypted under key {vault_key}, and vault.key holds {}",
            ours.join(", ")
        );
        return Err(refuse(Kind::Decrypt, name, cause, WRONG_KEY_HINT));
    }
    match tag_key {
        Some(id) if id != keys.tag.key_id() => {
            let ours = keys.tag.key_id();
            let cause =
                format!("its records are tagged under key {id}, and record-tag.key is {ours}");
            Err(refuse(Kind::Tag, name, cause, WRONG_KEY_HINT))
        }
        _ => Ok(()),
    }
}

pub(super) fn not_older(contact: Contact, version: &Version) -> Result<Contact> {
    let name = manifest_name(version.serial);
    match contact {
        Contact::First | Contact::Known => Ok(contact),
        Contact::Older { seen } => {
            let cause = format!(
                "its serial is {}, and serial {seen} of this data set was seen before",
                version.serial
            );
            Err(refuse(Kind::Serial, &name, cause, OLD_VAULT_HINT))
        }
        Contact::Different => {
            let cause = "another manifest of the same serial was seen before";
            Err(refuse(
                Kind::Serial,
                &name,
                cause,
                "one of the two is not the owner's vault",
            ))
        }
    }
}

fn unusable(name: &str, error: &ManifestError) -> Error {
    match error {
        ManifestError::Newer(_) => Error::input(
            format!("{name} cannot be read: {error}"),
            "use the sealnet that sealed it, or a later one",
        ),
        ManifestError::Root => refuse(Kind::Root, name, error.to_string(), ""),
        ManifestError::Count(_) => refuse(Kind::Count, name, error.to_string(), ""),
        ManifestError::Malformed(_) => Error::verification(
            format!("{name} is not valid: {error}"),
            "see the format in the documentation of sealnet::vault::manifest",
        ),
    }
}

fn fetch_document(store: &Store, name: &str) -> Result<Bytes> {
    match store.block_on(store.get(name, MAX_MANIFEST_BYTES))? {
        Fetched::Found(bytes) => Ok(bytes),
        Fetched::Absent => Err(Error::input(
            format!("{} holds no {name}", store.location()),
            "check the path and the serial",
        )),
        Fetched::TooLarge(size) => Err(Error::verification(
            format!("{name} has {size} bytes, more than a manifest can have"),
            "it is not what sealnet wrote",
        )),
        Fetched::Odd(what) => Err(Error::verification(
            format!("{name} is {what}, not a file"),
            "it is not what sealnet wrote",
        )),
    }
}

/// Whether something has the name of an unsigned index.
pub(super) fn has_index(store: &Store) -> Result<bool> {
    let found = store.block_on(store.get(INDEX_NAME, 0))?;
    Ok(found != Fetched::Absent)
}

/// Why there is nothing to open, to say.
fn no_vault(store: &Store, memory: &SerialMemory) -> Result<Error> {
    let location = store.location();
    let unsigned = has_index(store).unwrap_or(false);
    // Whoever replaced the vault must not be helped by advice to open what they put there.
    if let Some(signed) = memory.vaults_at(&store.place())?.first() {
        let now = match unsigned {
            true => "a vault of profile paper, which nothing signs",
            false => "no manifest",
        };
        return Ok(Error::verification(
            format!("{location} held the signed data set {signed} and now holds {now}"),
            "restore the vault from a copy, or seal the data again",
        ));
    }
    if unsigned {
        return Ok(Error::input(
            format!("{location} holds a vault of profile paper, which nothing signs"),
            "to open it all the same, ask for it: --profile paper",
        ));
    }
    Ok(Error::input(
        format!("{location} holds no vault: there is no manifest"),
        "check the path; an interrupted seal leaves none and can simply be run again",
    ))
}

/// The serial in a manifest's name, if it is one, in its only form.
fn serial_of(name: &str) -> Option<u64> {
    let digits = name
        .strip_prefix(MANIFEST_PREFIX)?
        .strip_suffix(MANIFEST_SUFFIX)?;
    let serial = digits.parse().ok()?;
    (serial > 0 && manifest_name(serial) == name).then_some(serial)
}

const MANIFEST_PREFIX: &str = "manifest-";
const MANIFEST_SUFFIX: &str = ".json";

const OLD_VAULT_HINT: &str = "if nobody asked for an older one, an old vault was put in the newer one's place: restore the newest, or \
     seal the data again";
const WRONG_KEY_HINT: &str = "check that --keys is the folder with the keys it was sealed under";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn manifest_names_have_one_form() {
        assert_eq!(manifest_name(7), "manifest-00000007.json");
        assert_eq!(manifest_name(123_456_789), "manifest-123456789.json");
        for serial in [1, 7, 99_999_999, 100_000_000, u64::MAX] {
            assert_eq!(serial_of(&manifest_name(serial)), Some(serial));
        }
        for wrong in [
            "manifest-1.json",
            "manifest-00000000.json",
            "manifest-000000001.json",
            "manifest-+0000001.json",
            "manifest-00000001.json.bak",
            "Manifest-00000001.json",
        ] {
            assert_eq!(serial_of(wrong), None, "{wrong}");
        }
    }
}
