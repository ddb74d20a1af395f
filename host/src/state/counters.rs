//! What this machine remembers of models between runs: the last security counter that a publisher's key
//! signed here, and the highest that was seen of each publisher and model name.
//!
//! A device keeps its own counter in flash. Here the publisher is kept from signing two models under one
//! counter, and whoever runs models from being given an old one: its signature is genuine, and only its
//! counter gives it away. Both are in `counters.json` in the folder of [`SerialMemory`].
//!
//! ```json
//! {"version": 1,
//!  "issued": [{"signer": "16 hex", "counter": 3}],
//!  "seen":   [{"signer": "16 hex", "name": "mnist", "counter": 3}]}
//! ```
//!
//! Changes are made under a file lock and appear whole by rename. A file that cannot be read stops the
//! command rather than count as "seen nothing".

use std::fs::{File, OpenOptions};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::SerialMemory;
use crate::error::{Error, Result};
use crate::files;

/// The memory of counters, in a folder. Signers are key ids in 16 hexadecimal digits.
#[derive(Debug, Clone)]
pub struct CounterMemory {
    folder: PathBuf,
}

impl CounterMemory {
    /// The memory beside that of serials.
    ///
    /// # Errors
    /// As [`SerialMemory::of_this_machine`].
    pub fn of_this_machine() -> Result<CounterMemory> {
        let serials = SerialMemory::of_this_machine()?.file();
        Ok(CounterMemory::at(files::parent(&serials)))
    }

    /// The memory in `folder`, which is made when something is first remembered.
    pub fn at(folder: impl Into<PathBuf>) -> CounterMemory {
        CounterMemory {
            folder: folder.into(),
        }
    }

    /// The counter that a model would be signed under, remembering nothing: the one asked for, else one
    /// above the last of this signer, else 1.
    ///
    /// # Errors
    /// [`Error::Input`] when the one asked for is not above the last and `reuse` does not allow that, and
    /// when there is none above the last; [`Error::Io`] or [`Error::Input`] when the memory cannot be read.
    pub fn next(&self, signer: &str, asked: Option<u32>, reuse: bool) -> Result<Next> {
        self.read()?.next(signer, asked, reuse)
    }

    /// The same, and it is the last of this signer from now on: no other command gets it.
    ///
    /// # Errors
    /// As [`next`](Self::next), and [`Error::Io`] when the memory cannot be written.
    pub fn issue(&self, signer: &str, asked: Option<u32>, reuse: bool) -> Result<Next> {
        let _lock = self.lock()?;
        let mut memory = self.read()?;
        let next = memory.next(signer, asked, reuse)?;
        let highest = next
            .last
            .map_or(next.counter, |last| last.max(next.counter));
        memory.issued.retain(|issued| issued.signer != signer);
        memory.issued.push(Issued {
            signer: signer.to_owned(),
            counter: highest,
        });
        self.write(&memory)?;
        Ok(next)
    }

    /// The highest counter seen of a signer's models of that name.
    ///
    /// # Errors
    /// [`Error::Io`] or [`Error::Input`] when the memory cannot be read.
    pub fn highest_seen(&self, signer: &str, name: &str) -> Result<Option<u32>> {
        Ok(self.read()?.seen(signer, name))
    }

    /// Remembers the counter of a model that verified, if it is the highest.
    ///
    /// # Errors
    /// As [`highest_seen`](Self::highest_seen), and [`Error::Io`] when the memory cannot be written.
    pub fn remember(&self, signer: &str, name: &str, counter: u32) -> Result<()> {
        let _lock = self.lock()?;
        let mut memory = self.read()?;
        if memory
            .seen(signer, name)
            .is_some_and(|seen| seen >= counter)
        {
            return Ok(());
        }
        memory.seen.retain(|seen| !seen.is_of(signer, name));
        memory.seen.push(Seen {
            signer: signer.to_owned(),
            name: name.to_owned(),
            counter,
        });
        self.write(&memory)
    }

    /// The file that holds the memory.
    pub fn file(&self) -> PathBuf {
        self.folder.join("counters.json")
    }

    fn read(&self) -> Result<Memory> {
        let path = self.file();
        let bytes = match files::read_limited(&path, MAX_MEMORY_BYTES) {
            Ok(bytes) => bytes,
            Err(Error::Io { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => {
                return Ok(Memory::default());
            }
            Err(e) => return Err(e),
        };
        serde_json::from_slice(&bytes)
            .ok()
            .filter(|memory: &Memory| memory.version == MEMORY_VERSION)
            .ok_or_else(|| unreadable(&path))
    }

    fn write(&self, memory: &Memory) -> Result<()> {
        let json = serde_json::to_vec_pretty(memory)
            .map_err(|e| Error::input(format!("cannot write what was seen: {e}"), ""))?;
        files::write_atomic(&self.file(), &json)
    }

    fn lock(&self) -> Result<File> {
        files::create_dir_all(&self.folder)?;
        let path = self.folder.join("counters.lock");
        let file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&path)
            .map_err(Error::io("open", &path))?;
        file.lock().map_err(Error::io("lock", &path))?;
        Ok(file)
    }
}

/// A counter to sign a model under.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Next {
    /// The counter.
    pub counter: u32,
    /// The highest that this signer's key has signed here before.
    pub last: Option<u32>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Memory {
    version: u32,
    issued: Vec<Issued>,
    seen: Vec<Seen>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Issued {
    signer: String,
    counter: u32,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Seen {
    signer: String,
    name: String,
    counter: u32,
}

impl Default for Memory {
    fn default() -> Memory {
        Memory {
            version: MEMORY_VERSION,
            issued: Vec::new(),
            seen: Vec::new(),
        }
    }
}

impl Memory {
    fn next(&self, signer: &str, asked: Option<u32>, reuse: bool) -> Result<Next> {
        let issued = self.issued.iter().find(|issued| issued.signer == signer);
        let last = issued.map(|issued| issued.counter);
        let counter = match (asked, last) {
            (Some(asked), Some(last)) if asked <= last && !reuse => {
                return Err(Error::input(
                    format!(
                        "security counter {asked} is not above {last}, the last that key {signer} signed"
                    ),
                    "leave --counter out for the next one; with --reuse-counter devices cannot tell \
                     which model is the newer, and take either",
                ));
            }
            (Some(asked), _) => asked,
            (None, None) => 1,
            (None, Some(last)) => last.checked_add(1).ok_or_else(|| {
                Error::input(
                    format!(
                        "key {signer} has signed the highest security counter there is, {last}"
                    ),
                    "make new keys for the publisher and its devices",
                )
            })?,
        };
        Ok(Next { counter, last })
    }

    fn seen(&self, signer: &str, name: &str) -> Option<u32> {
        let seen = self.seen.iter().find(|seen| seen.is_of(signer, name));
        seen.map(|seen| seen.counter)
    }
}

impl Seen {
    fn is_of(&self, signer: &str, name: &str) -> bool {
        self.signer == signer && self.name == name
    }
}

fn unreadable(path: &Path) -> Error {
    Error::input(
        format!("{} is damaged or of a newer version", path.display()),
        "it keeps the security counters of models; without it old models cannot be told: restore it, or \
         move it away to begin anew",
    )
}

const MEMORY_VERSION: u32 = 1;

/// Some 100,000 models.
const MAX_MEMORY_BYTES: u64 = 16 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_of_a_signer_only_rise() {
        let folder = tempfile::tempdir().unwrap();
        let memory = CounterMemory::at(folder.path().join("state"));
        let next = |counter, last| Next { counter, last };
        assert_eq!(memory.next("a", None, false).unwrap(), next(1, None));
        assert_eq!(memory.issue("a", None, false).unwrap(), next(1, None));
        assert_eq!(memory.issue("a", None, false).unwrap(), next(2, Some(1)));
        assert_eq!(memory.issue("a", Some(7), false).unwrap(), next(7, Some(2)));
        assert_eq!(memory.issue("b", Some(3), false).unwrap(), next(3, None));
        for asked in [7, 6, 0] {
            let error = memory.issue("a", Some(asked), false).unwrap_err();
            assert_eq!(error.exit_code(), 2);
            assert!(memory.next("a", Some(asked), false).is_err());
        }
        // An old one again does not lower what is remembered.
        assert_eq!(memory.issue("a", Some(5), true).unwrap(), next(5, Some(7)));
        assert_eq!(memory.issue("a", None, false).unwrap(), next(8, Some(7)));
        memory.issue("a", Some(u32::MAX), false).unwrap();
        assert!(memory.issue("a", None, false).is_err());
    }

    #[test]
    fn the_highest_seen_is_kept_for_each_signer_and_name() {
        let folder = tempfile::tempdir().unwrap();
        let memory = CounterMemory::at(folder.path());
        for (signer, name, counter) in [("a", "m", 3), ("a", "m", 2), ("a", "n", 1), ("b", "m", 9)]
        {
            memory.remember(signer, name, counter).unwrap();
        }
        let seen = |signer, name| memory.highest_seen(signer, name).unwrap();
        assert_eq!(
            [
                seen("a", "m"),
                seen("a", "n"),
                seen("b", "m"),
                seen("b", "n")
            ],
            [Some(3), Some(1), Some(9), None]
        );
        // Seeing is not signing.
        assert_eq!(memory.next("b", None, false).unwrap().counter, 1);
    }

    #[test]
    fn damage_is_not_taken_for_a_blank_memory() {
        let folder = tempfile::tempdir().unwrap();
        let memory = CounterMemory::at(folder.path());
        for damaged in ["", "{", r#"{"version":2,"issued":[],"seen":[]}"#] {
            std::fs::write(memory.file(), damaged).unwrap();
            assert_eq!(memory.next("a", None, false).unwrap_err().exit_code(), 2);
            assert_eq!(memory.remember("a", "m", 1).unwrap_err().exit_code(), 2);
        }
    }

    #[test]
    fn no_two_get_the_same_counter() {
        let folder = tempfile::tempdir().unwrap();
        let memory = CounterMemory::at(folder.path());
        let mut counters: Vec<u32> = std::thread::scope(|scope| {
            let issue = || memory.issue("a", None, false).unwrap().counter;
            let threads: Vec<_> = (0..8).map(|_| scope.spawn(issue)).collect();
            threads.into_iter().map(|t| t.join().unwrap()).collect()
        });
        counters.sort_unstable();
        assert_eq!(counters, (1..=8).collect::<Vec<_>>());
    }
}
