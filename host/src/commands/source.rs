//! What commands that work on records share: from arguments to verified records.

use std::path::PathBuf;

use sealnet::dataset::csv::LabelColumn;
use sealnet::dataset::{Dataset, LoadOptions, SourceKind, fetch, source_kind};
use sealnet::error::{Error, Result};
use sealnet::keys::KeyFolder;
use sealnet::state::SerialMemory;
use sealnet::store::local_folder;
use sealnet::vault::{
    self, OpenOptions, OwnerKeys, SourceData, SourceOptions, VaultOrigin, load_source,
};
use sealnet_core::record::DatasetId;

use crate::cli::{DataOptions, KeysOption, PartArg, Profile, StoreOptions, Tolerance};
use crate::ui::Ui;

/// The records of `STORE|DATA`. A vault is verified exactly as `open` does it, and what a user must know of
/// it is said.
pub(crate) fn load(
    place: &str,
    keys: &KeysOption,
    store: &StoreOptions,
    load: LoadOptions,
    ui: &Ui,
) -> Result<SourceData> {
    let source = verified(
        place,
        keys,
        store,
        load,
        SerialMemory::of_this_machine()?,
        ui,
    )?;
    match &source.vault {
        Some(origin) => say_origin(origin, ui),
        None => ui.warn(format!("{place} is unsealed data: nothing vouches for it")),
    }
    Ok(source)
}

/// The same for a vault whose manifest `store` names by its digest: it is that one or none, so that neither a
/// newer one that was seen nor that none was says anything.
pub(crate) fn load_pinned(
    place: &str,
    keys: &KeysOption,
    store: &StoreOptions,
    load: LoadOptions,
    ui: &Ui,
) -> Result<SourceData> {
    let nothing_seen = tempfile::tempdir().map_err(Error::io("create", std::env::temp_dir()))?;
    let memory = SerialMemory::at(nothing_seen.path());
    let mut source = verified(place, keys, store, load, memory, ui)?;
    if let Some(origin) = &mut source.vault {
        origin.first_contact = false;
        say_origin(origin, ui);
    }
    Ok(source)
}

fn verified(
    place: &str,
    keys: &KeysOption,
    store: &StoreOptions,
    load: LoadOptions,
    memory: SerialMemory,
    ui: &Ui,
) -> Result<SourceData> {
    let must_be_vault = store.any();
    // Unsealed data needs no keys.
    let owner = match must_be_vault || source_kind(place) == SourceKind::Store {
        true => Some(OwnerKeys::load(&KeyFolder::open(&keys.dir)?)?),
        false => None,
    };
    let options = SourceOptions {
        keys: owner.as_ref().map(OwnerKeys::open_keys),
        open: open_options(store),
        must_be_vault,
        load,
        memory,
    };
    load_source(place, &options, ui.progress())
}

/// The records asked for: their part's name and their indices. Without a part it is the test records, where the data
/// has them.
pub(crate) fn chosen(
    data: &Dataset,
    part: Option<PartArg>,
    limit: Option<u64>,
) -> Result<(&'static str, Vec<u32>)> {
    let name = match part {
        Some(PartArg::Test) => "test",
        Some(PartArg::Train) => "train",
        Some(PartArg::All) => "all",
        None if data.part("test").is_some() => "test",
        None => "all",
    };
    let range = match data.part(name) {
        Some(part) => part.range(),
        None if name == "all" => 0..data.count(),
        None => {
            return Err(Error::input(
                format!("{} has no part {name:?}", data.name),
                "take all records: --part all",
            ));
        }
    };
    let limit = limit.and_then(|limit| usize::try_from(limit).ok());
    let range = range.take(limit.unwrap_or(usize::MAX));
    Ok((name, range.map(|index| index as u32).collect()))
}

/// Where `STORE|DATA` lies.
pub(crate) fn place(source: &str) -> Result<PathBuf> {
    match source {
        "mnist" => fetch::mnist_folder(),
        // Loading says what is wrong with it.
        "" => Ok(PathBuf::new()),
        source => local_folder(source),
    }
}

/// What the user must know of a vault that verified.
pub(crate) fn say_origin(origin: &VaultOrigin, ui: &Ui) {
    if origin.serial.is_none() {
        ui.warn(UNSIGNED);
    }
    if origin.first_contact {
        ui.say(FIRST_CONTACT);
    }
    for warning in &origin.warnings {
        ui.warn(warning);
    }
    if !origin.quarantined.is_empty() {
        let count = origin.quarantined.len();
        let noun = if count == 1 { "record" } else { "records" };
        let shown = origin.quarantined.iter().take(MAX_SHOWN);
        let hidden = count.saturating_sub(MAX_SHOWN);
        let more = (hidden > 0).then(|| format!("and {hidden} more (--json lists them)"));
        ui.warn_of(
            format!("{count} {noun} set aside:"),
            shown
                .map(|finding| finding.failure().to_string())
                .chain(more),
        );
    }
}

/// How strictly to open, as the arguments say.
pub(crate) fn open_options(store: &StoreOptions) -> OpenOptions {
    OpenOptions {
        profile: profile(store.profile.unwrap_or(Profile::Default)),
        serial: store.serial,
        min_serial: store.min_serial,
        dataset_id: store.dataset_id.map(|id| DatasetId::from_bytes(id.0)),
        manifest_digest: store.manifest_digest.map(|digest| digest.0),
        max_tampered: match store.max_tampered {
            None => vault::Tolerance::Records(0),
            Some(Tolerance::Records(records)) => vault::Tolerance::Records(records),
            Some(Tolerance::Percent(percent)) => vault::Tolerance::Percent(percent),
        },
    }
}

/// The profile of that name.
pub(crate) fn profile(argument: Profile) -> vault::Profile {
    match argument {
        Profile::Default => vault::Profile::DEFAULT,
        Profile::Paper => vault::Profile::PAPER,
    }
}

/// How to read unsealed data, as the arguments say.
pub(crate) fn load_options(data: &DataOptions) -> LoadOptions {
    LoadOptions {
        label: data.label.as_deref().map(LabelColumn::parse),
        form: None,
    }
}

/// What profile `paper` does not see.
pub(crate) const UNSIGNED: &str = "profile paper, as published: no signed manifest; whoever holds the \
                                   Fernet key can forge records, and dropped records and old vaults are \
                                   not noticed";

const FIRST_CONTACT: &str = "note: nothing of this data set was seen here before, so whether the vault is \
                             an old one cannot be known (--min-serial, --manifest-digest)";

const MAX_SHOWN: usize = 20;
