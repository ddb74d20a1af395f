//! `sealnet inspect`: what a file is, without trusting it.

mod keys;
mod plain;
mod receipts;
mod signed;

use std::path::Path;

use sealnet::dataset::csv::LabelColumn;
use sealnet::error::{Error, Result};
use sealnet::files;
use sealnet_firmware::visible::visible;
use serde::Serialize;
use serde::ser::{SerializeMap, Serializer};
use serde_json::Value;

use super::Outcome;
use crate::cli::InspectArgs;
use crate::ui::Ui;

pub(crate) fn run(args: &InspectArgs, ui: &Ui) -> Result<Outcome> {
    let path = args.file.as_path();
    if path.is_dir() {
        return Err(Error::input(
            format!("{} is a folder", path.display()),
            "name a file in it; sealnet open verifies a vault as a whole",
        ));
    }
    let bytes = files::read_limited(path, MAX_BYTES)?;
    let label = args.data_options.label.as_deref();
    let label = label.map_or(LabelColumn::First, LabelColumn::parse);
    let report = look(path, &bytes, &label)?;
    ui.line(format_args!("{}: {}", path.display(), report.what))?;
    for (name, value) in &report.claims {
        ui.line(format_args!("  {name:<18} {}", shown(value)))?;
    }
    for (name, value) in &report.members {
        ui.line(format_args!("    {name:<16} {value}"))?;
    }
    ui.say("nothing of this was verified: it is what the file claims");
    ui.document(&report)?;
    Ok(Outcome::Done)
}

/// Asks each kind of file in turn; the ones with a magic number first.
fn look(path: &Path, bytes: &[u8], label: &LabelColumn) -> Result<Report> {
    let kinds: [Kind; 11] = [
        signed::sealed_model,
        receipts::of_devices,
        signed::envelope,
        keys::pem,
        keys::fernet_keys,
        keys::base64_secret,
        plain::fernet_tokens,
        plain::leaves,
        plain::weights,
        plain::idx,
        plain::onnx,
    ];
    if bytes.is_empty() {
        return Err(Error::input(
            format!("{} is empty", path.display()),
            "whatever it was to be, it was not written whole",
        ));
    }
    let found = kinds.iter().find_map(|kind| kind(path, bytes));
    let found = found.or_else(|| plain::csv(path, bytes, label));
    found.unwrap_or_else(|| {
        let start = &bytes[..bytes.len().min(16)];
        Err(Error::input(
            format!(
                "{} is none of the files that sealnet knows: {} bytes that begin with {}",
                path.display(),
                bytes.len(),
                hex::encode(start)
            ),
            "known are sealed models, signed manifests and receipts, devices' receipts, safetensors, ONNX, IDX, CSV, \
             Fernet tokens and keys",
        ))
    })
}

/// Looks for one kind of file: `None` when it is another, an error when it is this kind but damaged.
type Kind = fn(&Path, &[u8]) -> Option<Result<Report>>;

/// What a file seems to be, and what it says.
struct Report {
    kind: &'static str,
    what: String,
    claims: Vec<(&'static str, Value)>,
    /// The members of the document, for people.
    members: Vec<(String, String)>,
    /// The whole document, for programs.
    document: Option<Value>,
}

impl Report {
    fn new(kind: &'static str, what: impl Into<String>) -> Self {
        Report {
            kind,
            what: what.into(),
            claims: Vec::new(),
            members: Vec::new(),
            document: None,
        }
    }

    fn claim(mut self, name: &'static str, value: impl Into<Value>) -> Self {
        self.claims.push((name, value.into()));
        self
    }
}

impl Serialize for Report {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("kind", self.kind)?;
        map.serialize_entry("verified", &false)?;
        for (name, value) in &self.claims {
            map.serialize_entry(&name.replace([' ', '-'], "_"), value)?;
        }
        if let Some(document) = &self.document {
            map.serialize_entry("document", document)?;
        }
        map.end()
    }
}

/// A value on one line. What comes from a file cannot steer the terminal.
fn shown(value: &Value) -> String {
    let text = match value {
        Value::Null => "none".to_owned(),
        Value::String(text) => text.clone(),
        Value::Array(items) if items.iter().any(|item| item.is_array() || item.is_object()) => {
            format!("a list of {}", items.len())
        }
        Value::Array(items) if items.is_empty() => "none".to_owned(),
        Value::Array(items) => {
            let items: Vec<_> = items.iter().take(MAX_ITEMS + 1).map(shown).collect();
            match items.get(..MAX_ITEMS) {
                Some(first) if items.len() > MAX_ITEMS => format!("{}, …", first.join(", ")),
                _ => items.join(", "),
            }
        }
        Value::Object(members) => format!("an object of {}", members.len()),
        other => other.to_string(),
    };
    let end = text.char_indices().nth(MAX_SHOWN).map(|(end, _)| end);
    match end {
        Some(end) => format!("{}…", visible(&text[..end])),
        None => visible(&text).into_owned(),
    }
}

/// Larger files are read by the commands that use them.
const MAX_BYTES: u64 = 256 << 20;

/// A list longer than this is cut off where people read.
const MAX_ITEMS: usize = 16;

/// A text longer than this is cut off where people read.
const MAX_SHOWN: usize = 160;

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_file_cannot_steer_the_terminal() {
        assert_eq!(shown(&json!("a\u{1b}[31mb")), "a\\u{1b}[31mb");
        assert_eq!(shown(&json!("a\u{202e}b\n")), "a\\u{202e}b\\n");
        assert_eq!(shown(&json!("x".repeat(1000))).chars().count(), 161);
        assert_eq!(shown(&json!([1, 2, 3])), "1, 2, 3");
        assert_eq!(shown(&json!(vec![0; 100])).matches('0').count(), 16);
        assert_eq!(shown(&json!([[1], [2]])), "a list of 2");
    }

    #[test]
    fn rubbish_is_refused_with_its_beginning() {
        let error = look(Path::new("x"), &[1, 2, 255], &LabelColumn::First)
            .err()
            .unwrap();
        assert!(error.to_string().contains("0102ff"), "{error}");
        assert!(look(Path::new("x"), b"", &LabelColumn::First).is_err());
    }

    /// Nothing that could follow a magic number makes a parser panic.
    #[test]
    fn beginnings_of_known_files_are_survived() {
        let starts: [&[u8]; 10] = [
            b"SEALNETM",
            b"SNRC",
            b"{\"predicateType\":\"urn:sealnet:device-receipt:v1\"}",
            b"{\"payload\"",
            b"-----BEGIN PRIVATE KEY-----",
            b"gAAAAA",
            &[0, 0, 8, 3],
            &[16, 0, 0, 0, 0, 0, 0, 0, b'{'],
            &[255, 255, 255, 255, 255, 255, 255, 255, b'{'],
            &[0x80],
        ];
        for start in starts {
            for fill in [0, b'A', b'=', b'"', b'\n', 255] {
                for length in [0, 1, 31, 32, 400] {
                    let bytes = [start, &vec![fill; length]].concat();
                    for name in ["x", "x.csv", "x.gz"] {
                        if let Ok(report) = look(Path::new(name), &bytes, &LabelColumn::First) {
                            let _ = serde_json::to_string(&report).unwrap();
                        }
                    }
                }
            }
        }
    }
}
