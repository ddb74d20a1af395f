//! What can go wrong, said so that a user can act on it: what was wrong, where, what to do.
//!
//! [`Error`]'s `Display` is the first two (one line, no full stop), [`Error::hint`] the third.
//! [`Error::exit_code`] sorts every failure into the two the command line promises: 1, something
//! did not verify; 2, the request, an input or the machine is not as it must be.

use std::io;
use std::path::PathBuf;

use serde::Serialize;

/// Shorthand for results of this library.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// A failure, with what the user can do about it.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The operating system refused something about a file or folder.
    #[error("cannot {action} {}: {}", path.display(), reason(source))]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What was tried, as it reads after "cannot": `read`, `create`, `write`.
        action: &'static str,
        /// The operating system's answer.
        source: io::Error,
    },
    /// The request or an input is not as it must be, or the machine lacks something.
    #[error("{what}")]
    Input {
        /// What was wrong and where.
        what: String,
        /// What to do; empty when `what` says it all.
        hint: String,
    },
    /// A training came to numbers that are none, and would again.
    #[error("{what}")]
    Diverged {
        /// Which one, and where.
        what: String,
        /// What to do.
        hint: String,
    },
    /// Something did not verify: tampering, a wrong key, a replay, a mismatch.
    #[error("{what}")]
    Verification {
        /// What did not verify and where.
        what: String,
        /// What it means or what to do.
        hint: String,
    },
    /// Several things did not verify, each named.
    #[error("{what}")]
    Refused {
        /// The verdict in one line.
        what: String,
        /// What it means or what to do.
        hint: String,
        /// Each thing that failed, in order of place; where they are too many to list, the last one says so.
        failures: Vec<Failure>,
        /// How many things failed, those not listed included.
        failed: u64,
    },
    /// The reader of standard output went away: no failure, nothing left to say.
    #[error("standard output was closed")]
    ClosedPipe,
}

/// One thing that did not verify.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Failure {
    /// Where: `record 17 (shard 0, line 18)`, `manifest-00000002.json`.
    pub place: String,
    /// The kind of check that failed, one word of a fixed set: `decrypt`, `tag`, `index`, `count`,
    /// `root`, `signature`, `serial`; of receipts `form`, `member`, `key`, `signature`, `device`, `model`,
    /// `request`, `label`, `weights`; of a training that is done again `weights`, `widths`,
    /// `epochs`, `score`, `distance`.
    pub check: &'static str,
    /// What that check found.
    pub cause: String,
    /// The record's index in its data set, if it is a record.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub index: Option<u64>,
    /// The shard's number in its vault, if it lies in one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shard: Option<u32>,
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}: {}", self.place, self.check, self.cause)
    }
}

impl Error {
    /// The request, an input or the machine is not as it must be.
    pub fn input(what: impl Into<String>, hint: impl Into<String>) -> Error {
        Error::Input {
            what: what.into(),
            hint: hint.into(),
        }
    }

    /// Something did not verify.
    pub fn verification(what: impl Into<String>, hint: impl Into<String>) -> Error {
        Error::Verification {
            what: what.into(),
            hint: hint.into(),
        }
    }

    /// For `map_err`: the operating system refused to `action` (as in "cannot read") `path`.
    pub fn io(action: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Error {
        let path = path.into();
        move |source| Error::Io {
            path,
            action,
            source,
        }
    }

    /// The process's exit code: 1 something did not verify, 2 usage, input or environment, and 0
    /// for a closed pipe.
    pub fn exit_code(&self) -> u8 {
        match self {
            Error::Verification { .. } | Error::Refused { .. } => 1,
            Error::Io { .. } | Error::Input { .. } | Error::Diverged { .. } => 2,
            Error::ClosedPipe => 0,
        }
    }

    /// One word for the kind of failure, for JSON: `verification`, `input`, `io`.
    pub fn kind(&self) -> &'static str {
        match self {
            Error::Verification { .. } | Error::Refused { .. } => "verification",
            Error::Input { .. } | Error::Diverged { .. } => "input",
            Error::Io { .. } | Error::ClosedPipe => "io",
        }
    }

    /// What to do about it; empty when there is nothing to add.
    pub fn hint(&self) -> &str {
        match self {
            Error::Input { hint, .. }
            | Error::Diverged { hint, .. }
            | Error::Verification { hint, .. }
            | Error::Refused { hint, .. } => hint,
            Error::Io { source, .. } => io_hint(source),
            Error::ClosedPipe => "",
        }
    }

    /// Each thing that failed, when there are several.
    pub fn failures(&self) -> &[Failure] {
        match self {
            Error::Refused { failures, .. } => failures,
            _ => &[],
        }
    }

    /// How many things failed, when there are several; those not listed are counted too.
    pub fn failed(&self) -> u64 {
        match self {
            Error::Refused { failed, .. } => *failed,
            _ => 0,
        }
    }
}

/// The operating system's reason in words that do not change with the platform, without "(os error N)".
pub fn reason(error: &io::Error) -> String {
    use io::ErrorKind as Kind;
    let fixed = match error.kind() {
        Kind::NotFound => "no such file or folder",
        Kind::PermissionDenied => "permission denied",
        Kind::AlreadyExists => "it exists already",
        Kind::StorageFull => "no space left on the disk",
        Kind::QuotaExceeded => "the disk quota is used up",
        Kind::ReadOnlyFilesystem => "the file system is read-only",
        Kind::IsADirectory => "it is a folder, not a file",
        Kind::NotADirectory => "a part of the path is a file, not a folder",
        Kind::DirectoryNotEmpty => "the folder is not empty",
        Kind::UnexpectedEof => "it ends too early",
        Kind::TimedOut => "it took too long",
        _ => "",
    };
    if !fixed.is_empty() {
        return fixed.to_owned();
    }
    let text = error.to_string();
    match text.find(" (os error ") {
        Some(end) => text[..end].to_lowercase(),
        None => text,
    }
}

fn io_hint(error: &io::Error) -> &'static str {
    use io::ErrorKind as Kind;
    match error.kind() {
        Kind::NotFound => "check the path",
        Kind::PermissionDenied => "check who owns it and its permissions (ls -l)",
        Kind::AlreadyExists => "choose another name; nothing is overwritten",
        Kind::StorageFull | Kind::QuotaExceeded => {
            "free some space and run the command again; nothing half-written was kept"
        }
        Kind::ReadOnlyFilesystem => "choose a place that can be written to",
        Kind::IsADirectory => "name a file in it",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exit_codes_and_wording() {
        let io = Error::io("read", "a/b")(io::Error::from(io::ErrorKind::NotFound));
        assert_eq!(io.to_string(), "cannot read a/b: no such file or folder");
        assert_eq!((io.exit_code(), io.kind()), (2, "io"));
        assert_eq!(io.hint(), "check the path");
        assert_eq!(Error::input("x", "y").exit_code(), 2);
        let refused = Error::Refused {
            what: "1 record failed".into(),
            hint: String::new(),
            failures: vec![Failure {
                place: "record 3".into(),
                check: "tag",
                cause: "H1 differs from H0".into(),
                index: Some(3),
                shard: None,
            }],
            failed: 1,
        };
        assert_eq!(refused.exit_code(), 1);
        assert_eq!(
            refused.failures()[0].to_string(),
            "record 3: tag: H1 differs from H0"
        );
        assert_eq!(Error::verification("x", "y").exit_code(), 1);
        assert_eq!(Error::ClosedPipe.exit_code(), 0);
    }

    #[test]
    fn reasons_carry_no_numbers() {
        let busy = io::Error::from_raw_os_error(16);
        assert!(!reason(&busy).contains("os error"), "{}", reason(&busy));
        assert_eq!(reason(&io::Error::other("odd")), "odd");
    }
}
