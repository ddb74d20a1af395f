//! What this machine remembers of models between runs: the last security counter that a publisher's key
//! signed here, and the highest that was seen of each publisher.
//!
//! A device keeps its own counter in flash. Here the publisher is kept from signing two models under one
//! counter, and whoever runs models from being given an old one: its signature is genuine, and only its
//! counter gives it away. A publisher's models share one row of counters, whatever they are called, as they
//! do on a device: else an old model could be given under a name that was not met before. Both are in
//! `counters.json` in the folder of [`SerialMemory`].
//!
//! ```json
//! {"version": 1,
//!  "issued": [{"signer": "16 hex", "counter": 3}],
//!  "seen":   [{"signer": "16 hex", "name": "mnist", "counter": 3}]}      (the highest counts; the name is for people)
//! ```
//!
//! Changes are made under a file lock and appear whole by rename. A file that cannot be read stops the
//! command rather than count as "seen nothing".

use std::fs::File;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::{SerialMemory, document};
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
        document::write(&self.folder, &memory)?;
        Ok(next)
    }

    /// The model with the highest counter that was seen of a signer.
    ///
    /// # Errors
    /// [`Error::Io`] or [`Error::Input`] when the memory cannot be read.
    pub fn highest_seen(&self, signer: &str) -> Result<Option<Seen>> {
        Ok(self.read()?.seen(signer).cloned())
    }

    /// Remembers the counter of a model that verified, if it is the highest.
    ///
    /// # Errors
    /// As [`highest_seen`](Self::highest_seen), and [`Error::Io`] when the memory cannot be written.
    pub fn remember(&self, signer: &str, name: &str, counter: u32) -> Result<()> {
        let _lock = self.lock()?;
        let mut memory = self.read()?;
        if memory
            .seen(signer)
            .is_some_and(|seen| seen.counter >= counter)
        {
            return Ok(());
        }
        memory.seen.retain(|seen| seen.signer != signer);
        memory.seen.push(Seen {
            signer: signer.to_owned(),
            name: name.to_owned(),
            counter,
        });
        document::write(&self.folder, &memory)
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

/// A model that was seen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Seen {
    signer: String,
    /// What it is called.
    pub name: String,
    /// Its security counter.
    pub counter: u32,
}

impl document::Memory for Memory {
    const NAME: &'static str = "counters";
    /// Some 100,000 publishers.
    const LIMIT: u64 = 16 << 20;
    const KEEPS: &'static str =
        "the security counters of models; without it old models cannot be told";
    const VERSION: u32 = 1;

    fn version(&self) -> u32 {
        self.version
    }
}

impl Default for Memory {
    fn default() -> Memory {
        Memory {
            version: <Memory as document::Memory>::VERSION,
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

    fn seen(&self, signer: &str) -> Option<&Seen> {
        let of_signer = self.seen.iter().filter(|seen| seen.signer == signer);
        of_signer.max_by_key(|seen| seen.counter)
    }
}

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
    fn the_highest_seen_is_kept_for_each_signer_whatever_the_name() {
        let folder = tempfile::tempdir().unwrap();
        let memory = CounterMemory::at(folder.path());
        for (signer, name, counter) in [("a", "m", 3), ("a", "m", 2), ("a", "n", 1), ("b", "m", 9)]
        {
            memory.remember(signer, name, counter).unwrap();
        }
        let seen = |signer| {
            let seen = memory.highest_seen(signer).unwrap();
            seen.map(|seen| (seen.name, seen.counter))
        };
        assert_eq!(seen("a"), Some(("m".into(), 3)));
        assert_eq!(seen("b"), Some(("m".into(), 9)));
        assert_eq!(seen("c"), None);
        memory.remember("a", "n", 4).unwrap();
        assert_eq!(seen("a"), Some(("n".into(), 4)));
        // Seeing is not signing.
        assert_eq!(memory.next("b", None, false).unwrap().counter, 1);
        // Where a signer stands twice, the highest counts.
        let twice = r#"{"version":1,"issued":[],"seen":[{"signer":"a","name":"m","counter":5},
            {"signer":"a","name":"n","counter":2}]}"#;
        std::fs::write(memory.file(), twice).unwrap();
        assert_eq!(seen("a"), Some(("m".into(), 5)));
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
