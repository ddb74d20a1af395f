//! What this machine remembers of vaults between runs: the highest serial seen.
//!
//! A storage that keeps an old vault can replay it whole; every signature in it is genuine. What gives it
//! away is its serial. So the highest serial that ever verified is kept for each data set and signer, with
//! the digest of its manifest, in `serials.json` in the platform's state folder (`SEALNET_STATE_DIR`
//! instead, where set). A lower serial is refused, and the same serial with another manifest too. A data
//! set seen for the first time cannot be judged; [`Contact::First`] makes the caller say so.
//!
//! Beside that it remembers which places held vaults, so that plain files, or another vault, put in a vault's
//! place are not quietly taken. A place is kept under two names, as it was typed (made absolute) and without
//! links: a link that is pointed elsewhere changes one of them, and both must agree ([`Location`]).
//!
//! ```json
//! {"version": 1,
//!  "serials": [{"dataset_id": "32 hex", "signer": "16 hex", "serial": 2, "manifest_digest": "128 hex"}],
//!  "places":  [{"location": "/srv/vault", "dataset_id": "32 hex"}]}      (one entry a name)
//! ```
//!
//! Changes are made under a file lock and appear whole by rename: two commands at once lose nothing. A
//! file that cannot be read stops the command rather than count as "seen nothing".

pub mod counters;
mod document;

use std::fs::File;
use std::path::{Path, PathBuf};

use etcetera::BaseStrategy;
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// The memory of serials, in a folder.
#[derive(Debug, Clone)]
pub struct SerialMemory {
    folder: PathBuf,
}

/// A place by its names: without links, and as it was typed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Location {
    names: Vec<String>,
}

impl Location {
    /// The names of `path`, which need not exist.
    pub fn of(path: &Path) -> Location {
        let typed = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
        // Without the slash at its end.
        let typed: PathBuf = typed.components().collect();
        let real = path.canonicalize().unwrap_or_else(|_| typed.clone());
        let mut names = vec![real.display().to_string(), typed.display().to_string()];
        names.dedup();
        Location { names }
    }
}

/// One version of one data set, as its signer numbered it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Version {
    /// The data set's id, 32 hexadecimal digits.
    pub dataset_id: String,
    /// The id of the key that signed the manifest, 16 hexadecimal digits.
    pub signer: String,
    /// Its serial, from 1.
    pub serial: u64,
    /// SHA-512 of the manifest object, 128 hexadecimal digits.
    pub manifest_digest: String,
}

/// How a version stands to what was seen before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Contact {
    /// Nothing of this data set and signer was seen: that it is old cannot be known.
    First,
    /// It is the highest that was seen, or higher.
    Known,
    /// A higher serial was seen: this one is old.
    Older {
        /// The highest serial seen.
        seen: u64,
    },
    /// The same serial was seen with another manifest: one signer, two truths.
    Different,
}

impl SerialMemory {
    /// The memory in the platform's state folder, or in `SEALNET_STATE_DIR`.
    ///
    /// # Errors
    /// [`Error::Input`] when there is neither.
    pub fn of_this_machine() -> Result<SerialMemory> {
        if let Some(folder) = std::env::var_os(STATE_DIR_VARIABLE).filter(|v| !v.is_empty()) {
            return Ok(SerialMemory::at(folder));
        }
        let platform = etcetera::choose_base_strategy().map_err(|_| {
            Error::input(
                "no home folder is known, so vaults seen before cannot be remembered",
                format!("set {STATE_DIR_VARIABLE} to a folder that stays"),
            )
        })?;
        let base = platform.state_dir().unwrap_or_else(|| platform.data_dir());
        Ok(SerialMemory::at(base.join("sealnet")))
    }

    /// The memory in `folder`, which is made when something is first remembered.
    pub fn at(folder: impl Into<PathBuf>) -> SerialMemory {
        SerialMemory {
            folder: folder.into(),
        }
    }

    /// How `version` stands to what was seen before. Remembers nothing.
    ///
    /// # Errors
    /// [`Error::Io`] or [`Error::Input`] when the memory cannot be read.
    pub fn compare(&self, version: &Version) -> Result<Contact> {
        Ok(self.read()?.compare(version))
    }

    /// The highest serial seen of a data set and signer.
    ///
    /// # Errors
    /// As [`SerialMemory::compare`].
    pub fn highest(&self, dataset_id: &str, signer: &str) -> Result<Option<u64>> {
        let memory = self.read()?;
        Ok(memory.of(dataset_id, signer).map(|seen| seen.serial))
    }

    /// Whether a signed manifest of that data set was ever seen, whoever signed it.
    ///
    /// # Errors
    /// As [`SerialMemory::compare`].
    pub fn knows(&self, dataset_id: &str) -> Result<bool> {
        let memory = self.read()?;
        let mut serials = memory.serials.iter();
        Ok(serials.any(|seen| seen.dataset_id == dataset_id))
    }

    /// Remembers `version`, which has verified, at `location`, unless it is older than or different from
    /// what another command has remembered meanwhile. The answer is how it stood before.
    ///
    /// # Errors
    /// As [`SerialMemory::compare`], and [`Error::Io`] when the memory cannot be written.
    pub fn remember(&self, version: &Version, location: &Location) -> Result<Contact> {
        let _lock = self.lock()?;
        let mut memory = self.read()?;
        let contact = memory.compare(version);
        if matches!(contact, Contact::First | Contact::Known) && memory.take(version, location) {
            document::write(&self.folder, &memory)?;
        }
        Ok(contact)
    }

    /// Tries whether something could be remembered, all but the renaming, so that a folder that cannot be
    /// written to or a full disk is known before work that must be remembered.
    ///
    /// # Errors
    /// As [`SerialMemory::remember`].
    pub fn probe(&self) -> Result<()> {
        let _lock = self.lock()?;
        document::probe(&self.folder, &self.read()?)
    }

    /// The ids of the data sets whose vaults lay at `location` when commands last looked: at most one a name.
    ///
    /// # Errors
    /// As [`SerialMemory::compare`].
    pub fn vaults_at(&self, location: &Location) -> Result<Vec<String>> {
        let mut places = self.read()?.places;
        places.retain(|place| location.names.contains(&place.location));
        let mut ids: Vec<_> = places.into_iter().map(|place| place.dataset_id).collect();
        ids.sort_unstable();
        ids.dedup();
        Ok(ids)
    }

    /// The file that holds the memory.
    pub fn file(&self) -> PathBuf {
        document::path::<Memory>(&self.folder)
    }

    fn read(&self) -> Result<Memory> {
        document::read(&self.folder)
    }

    fn lock(&self) -> Result<File> {
        document::lock::<Memory>(&self.folder)
    }
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Memory {
    version: u32,
    serials: Vec<Version>,
    places: Vec<Place>,
}

#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Place {
    location: String,
    dataset_id: String,
}

impl document::Memory for Memory {
    const NAME: &'static str = "serials";
    /// Some 200,000 data sets.
    const LIMIT: u64 = 64 << 20;
    const KEEPS: &'static str = "the highest serials seen; without it old vaults cannot be told";
    const VERSION: u32 = 1;

    fn version(&self) -> u32 {
        self.version
    }
}

impl Default for Memory {
    fn default() -> Memory {
        Memory {
            version: <Memory as document::Memory>::VERSION,
            serials: Vec::new(),
            places: Vec::new(),
        }
    }
}

impl Memory {
    fn of(&self, dataset_id: &str, signer: &str) -> Option<&Version> {
        self.serials
            .iter()
            .find(|seen| seen.dataset_id == dataset_id && seen.signer == signer)
    }

    fn compare(&self, version: &Version) -> Contact {
        match self.of(&version.dataset_id, &version.signer) {
            None => Contact::First,
            Some(seen) if seen.serial > version.serial => Contact::Older { seen: seen.serial },
            Some(seen) if seen.serial < version.serial => Contact::Known,
            Some(seen) if seen.manifest_digest == version.manifest_digest => Contact::Known,
            Some(_) => Contact::Different,
        }
    }

    /// Takes in a version that is not older; whether that changed anything.
    fn take(&mut self, version: &Version, location: &Location) -> bool {
        let places = location.names.iter().map(|name| Place {
            location: name.clone(),
            dataset_id: version.dataset_id.clone(),
        });
        let places: Vec<Place> = places.collect();
        if self.of(&version.dataset_id, &version.signer) == Some(version)
            && places.iter().all(|place| self.places.contains(place))
        {
            return false;
        }
        self.serials
            .retain(|s| s.dataset_id != version.dataset_id || s.signer != version.signer);
        self.serials.push(version.clone());
        self.places
            .retain(|place| !location.names.contains(&place.location));
        self.places.extend(places);
        // Places are a convenience: the oldest may be forgotten, serials never.
        let surplus = self.places.len().saturating_sub(MAX_PLACES);
        self.places.drain(..surplus);
        true
    }
}

/// Overrides the platform's state folder.
pub const STATE_DIR_VARIABLE: &str = "SEALNET_STATE_DIR";

/// Two for one vault, when it is reached through a link.
const MAX_PLACES: usize = 8192;

#[cfg(test)]
mod tests {
    use super::*;

    fn version(serial: u64, manifest: char) -> Version {
        Version {
            dataset_id: "a".repeat(32),
            signer: "b".repeat(16),
            serial,
            manifest_digest: manifest.to_string().repeat(128),
        }
    }

    #[test]
    fn serials_only_rise() {
        let folder = tempfile::tempdir().unwrap();
        let memory = SerialMemory::at(folder.path().join("state"));
        let v2 = version(2, 'c');
        let place = Location::of(Path::new("/v"));
        assert_eq!(memory.compare(&v2).unwrap(), Contact::First);
        assert_eq!(memory.remember(&v2, &place).unwrap(), Contact::First);
        assert_eq!(memory.remember(&v2, &place).unwrap(), Contact::Known);
        let older = memory.remember(&version(1, 'd'), &place).unwrap();
        assert_eq!(older, Contact::Older { seen: 2 });
        let different = memory.remember(&version(2, 'd'), &place).unwrap();
        assert_eq!(different, Contact::Different);
        assert_eq!(
            memory.remember(&version(3, 'd'), &place).unwrap(),
            Contact::Known
        );
        assert_eq!(memory.compare(&v2).unwrap(), Contact::Older { seen: 3 });
        let other_signer = Version {
            signer: "e".repeat(16),
            ..v2
        };
        assert_eq!(memory.compare(&other_signer).unwrap(), Contact::First);
        assert_eq!(memory.vaults_at(&place).unwrap(), ["a".repeat(32)]);
        let elsewhere = Location::of(Path::new("/w"));
        assert!(memory.vaults_at(&elsewhere).unwrap().is_empty());
    }

    #[test]
    fn a_place_has_one_name_in_every_spelling() {
        let place = Location::of(Path::new("/no/such/place"));
        for spelling in ["/no/such/place/", "/no/./such//place"] {
            assert_eq!(Location::of(Path::new(spelling)), place, "{spelling}");
        }
    }

    #[cfg(unix)]
    #[test]
    fn both_names_of_a_place_are_known() {
        let folder = tempfile::tempdir().unwrap();
        let memory = SerialMemory::at(folder.path().join("state"));
        let path = |name: &str| folder.path().join(name);
        let known = |name: &str| memory.vaults_at(&Location::of(&path(name))).unwrap();
        for name in ["one", "two"] {
            std::fs::create_dir(path(name)).unwrap();
        }
        std::os::unix::fs::symlink(path("one"), path("link")).unwrap();
        let of_link = Location::of(&path("link"));
        memory.remember(&version(1, 'c'), &of_link).unwrap();
        assert_eq!(known("link").len(), 1);
        assert_eq!(known("one").len(), 1);
        assert!(known("two").is_empty());
        // Pointed elsewhere, the link is still the name of a place that held a vault.
        std::fs::remove_file(path("link")).unwrap();
        std::os::unix::fs::symlink(path("two"), path("link")).unwrap();
        assert_eq!(known("link").len(), 1);
        // And two vaults can be told apart there.
        let mut other = version(1, 'd');
        other.dataset_id = "0".repeat(32);
        memory
            .remember(&other, &Location::of(&path("two")))
            .unwrap();
        assert_eq!(known("link"), ["0".repeat(32), "a".repeat(32)]);
    }

    #[test]
    fn a_probe_leaves_nothing_and_finds_what_is_in_the_way() {
        let folder = tempfile::tempdir().unwrap();
        let memory = SerialMemory::at(folder.path().join("state"));
        memory.probe().unwrap();
        let left = std::fs::read_dir(folder.path().join("state")).unwrap();
        let left: Vec<_> = left.map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(left, ["serials.lock"]);
        std::fs::create_dir(memory.file()).unwrap();
        assert_eq!(memory.probe().unwrap_err().exit_code(), 2);
    }

    #[test]
    fn damage_is_not_taken_for_a_blank_memory() {
        let folder = tempfile::tempdir().unwrap();
        let memory = SerialMemory::at(folder.path());
        for damaged in [
            "",
            "{",
            r#"{"version":2,"serials":[],"places":[]}"#,
            r#"{"version":1,"serials":[]}"#,
        ] {
            std::fs::write(memory.file(), damaged).unwrap();
            let error = memory.compare(&version(1, 'c')).unwrap_err();
            assert_eq!(error.exit_code(), 2, "{damaged}");
        }
    }

    #[test]
    fn writers_at_once_lose_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let memory = SerialMemory::at(folder.path());
        let place = &Location::of(Path::new("/v"));
        std::thread::scope(|scope| {
            for n in 0..8 {
                let memory = &memory;
                scope.spawn(move || {
                    let mut one = version(1, 'c');
                    one.signer = format!("{n:016}");
                    memory.remember(&one, place).unwrap();
                });
            }
        });
        for n in 0..8 {
            let seen = memory.highest(&"a".repeat(32), &format!("{n:016}"));
            assert_eq!(seen.unwrap(), Some(1));
        }
    }
}
