//! Turns `defmt` frames into lines.
//!
//! The image holds no text: a frame is an index into format strings, which the ELF file's symbols carry as
//! JSON, and the arguments. `defmt`'s book describes both ("Encoding", "Design and impl notes"); the frames
//! are rzCOBS, ended by zeros. The types that the device logs are decoded here, not all that there are.
//! (`defmt-decoder` itself depends on a crate under the MPL.)

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::io::{self, Read};
use std::path::Path;

use defmt_parser::{Fragment, Parameter, ParserMode, Type, parse};
use object::{Object as _, ObjectSection as _, ObjectSymbol as _};
use serde::Deserialize;

use super::QemuError;

/// An image's format strings, by index.
#[derive(Debug, Default)]
pub(super) struct Decoder {
    formats: BTreeMap<u16, Format>,
}

#[derive(Debug, PartialEq, Eq)]
struct Format {
    /// Level of a log statement; none of what it is made of.
    level: Option<&'static str>,
    text: String,
}

/// What the name of a symbol in section `.defmt` says, in JSON.
#[derive(Deserialize)]
struct Symbol {
    tag: String,
    data: String,
}

/// Why a frame is not shown as it was meant.
#[derive(Debug, PartialEq, Eq)]
struct Undecodable;

impl Decoder {
    /// Reads the format strings of an ELF file.
    pub(super) fn read(image: &Path) -> Result<Self, QemuError> {
        let bytes = fs::read(image).map_err(QemuError::io("read the firmware's image"))?;
        let file = object::File::parse(bytes.as_slice())
            .map_err(|error| QemuError::Machine(format!("{}: {error}", image.display())))?;
        let section = file
            .section_by_name(".defmt")
            .map(|section| section.index());
        let mut formats = BTreeMap::new();
        for symbol in file
            .symbols()
            .filter(|s| section.is_some() && s.section_index() == section)
        {
            let (Ok(name), Ok(index)) = (symbol.name(), u16::try_from(symbol.address())) else {
                continue;
            };
            if let Ok(Symbol { tag, data }) = serde_json::from_str(name) {
                let level = LEVELS
                    .iter()
                    .find(|(known, _)| *known == tag)
                    .map(|(_, level)| *level);
                formats.insert(index, Format { level, text: data });
            }
        }
        Ok(Self { formats })
    }

    /// Gives each frame of a stream to `log` as a line, until the stream ends.
    pub(super) fn run(&self, mut stream: impl Read, log: &mut impl FnMut(&str)) {
        let (mut frame, mut piece) = (Vec::new(), [0; 1024]);
        loop {
            let read = match stream.read(&mut piece) {
                Ok(0) => return,
                Ok(read) => read,
                Err(error)
                    if matches!(
                        error.kind(),
                        io::ErrorKind::Interrupted | io::ErrorKind::WouldBlock
                    ) =>
                {
                    continue;
                }
                Err(_) => return,
            };
            for byte in piece.iter().take(read) {
                match byte {
                    0 if frame.is_empty() => {}
                    0 => {
                        log(&self.line(&frame));
                        frame.clear();
                    }
                    byte => frame.push(*byte),
                }
            }
        }
    }

    /// A frame, as it came, as a line.
    fn line(&self, frame: &[u8]) -> String {
        let shown = unstuff(frame).and_then(|bytes| {
            let mut bytes = bytes.as_slice();
            let format = self.format(&mut bytes)?;
            let mut line = format!("{:5} ", format.level.ok_or(Undecodable)?);
            self.show(&format.text, &mut bytes, &mut line)?;
            // The encoder fills its last group up with zeros.
            bytes
                .iter()
                .all(|byte| *byte == 0)
                .then_some(line)
                .ok_or(Undecodable)
        });
        shown.unwrap_or_else(|Undecodable| format!("log   undecodable: {frame:02x?}"))
    }

    fn format(&self, bytes: &mut &[u8]) -> Result<&Format, Undecodable> {
        self.formats
            .get(&u16::from_le_bytes(take(bytes)?))
            .ok_or(Undecodable)
    }

    /// Appends a format string with its arguments, which are read off `bytes`.
    fn show(&self, format: &str, bytes: &mut &[u8], line: &mut String) -> Result<(), Undecodable> {
        let fragments = parse(format, ParserMode::ForwardsCompatible).map_err(|_| Undecodable)?;
        for fragment in fragments {
            match fragment {
                Fragment::Literal(text) => line.push_str(&text),
                Fragment::Parameter(parameter) => self.argument(&parameter, bytes, line)?,
            }
        }
        Ok(())
    }

    fn argument(
        &self,
        parameter: &Parameter,
        bytes: &mut &[u8],
        line: &mut String,
    ) -> Result<(), Undecodable> {
        let shown = match &parameter.ty {
            Type::U8 => u8::from_le_bytes(take(bytes)?).to_string(),
            Type::U16 => u16::from_le_bytes(take(bytes)?).to_string(),
            Type::U32 | Type::Usize => u32::from_le_bytes(take(bytes)?).to_string(),
            Type::U64 => u64::from_le_bytes(take(bytes)?).to_string(),
            Type::I32 | Type::Isize => i32::from_le_bytes(take(bytes)?).to_string(),
            Type::Bool => (u8::from_le_bytes(take(bytes)?) != 0).to_string(),
            Type::IStr => self.format(bytes)?.text.clone(),
            Type::Str => {
                let len = u32::from_le_bytes(take(bytes)?) as usize;
                text(bytes, len)?
            }
            Type::Debug | Type::Display => {
                let len = bytes
                    .iter()
                    .position(|byte| *byte == 0xFF)
                    .ok_or(Undecodable)?;
                let shown = text(bytes, len)?;
                take::<1>(bytes)?;
                shown
            }
            Type::U8Array(len) => hex(bytes, *len)?,
            Type::U8Slice => {
                let len = u32::from_le_bytes(take(bytes)?) as usize;
                hex(bytes, len)?
            }
            Type::Format => return self.nested(bytes, line),
            // What `defmt::write!` wrote, once or more often; no format string has index 0.
            Type::FormatSequence => loop {
                match u16::from_le_bytes(take(bytes)?) {
                    0 => return Ok(()),
                    index => {
                        let format = self.formats.get(&index).ok_or(Undecodable)?;
                        self.show(&format.text, bytes, line)?;
                    }
                }
            },
            _ => return Err(Undecodable),
        };
        line.push_str(&shown);
        Ok(())
    }

    /// Another format string with its arguments; of an enum's, `A|B|C`, the variant that a number picks.
    fn nested(&self, bytes: &mut &[u8], line: &mut String) -> Result<(), Undecodable> {
        let text = &self.format(bytes)?.text;
        let variants = text.split('|').count();
        let variant = match variants {
            1 => 0,
            2..=256 => usize::from(u8::from_le_bytes(take(bytes)?)),
            _ => usize::from(u16::from_le_bytes(take(bytes)?)),
        };
        self.show(
            text.split('|').nth(variant).ok_or(Undecodable)?,
            bytes,
            line,
        )
    }
}

fn take<const N: usize>(bytes: &mut &[u8]) -> Result<[u8; N], Undecodable> {
    let (taken, rest) = bytes.split_first_chunk().ok_or(Undecodable)?;
    *bytes = rest;
    Ok(*taken)
}

fn run_of<'b>(bytes: &mut &'b [u8], len: usize) -> Result<&'b [u8], Undecodable> {
    let (taken, rest) = bytes.split_at_checked(len).ok_or(Undecodable)?;
    *bytes = rest;
    Ok(taken)
}

/// Text of the device, which must not reach a terminal as it is.
fn text(bytes: &mut &[u8], len: usize) -> Result<String, Undecodable> {
    let text = std::str::from_utf8(run_of(bytes, len)?).map_err(|_| Undecodable)?;
    Ok(text.chars().flat_map(char::escape_debug).collect())
}

fn hex(bytes: &mut &[u8], len: usize) -> Result<String, Undecodable> {
    let mut shown = String::new();
    for byte in run_of(bytes, len)? {
        // Writing to a string cannot fail.
        let _ = write!(shown, "{byte:02x}");
    }
    Ok(shown)
}

/// Undoes rzCOBS: a frame without its closing zero, read from its end.
fn unstuff(frame: &[u8]) -> Result<Vec<u8>, Undecodable> {
    let mut bytes = Vec::new();
    let mut rest = frame.iter().rev().copied();
    while let Some(code) = rest.next() {
        let (zero, literals) = match code {
            0 => return Err(Undecodable),
            // Seven bytes, a bit each: set for a zero.
            0x01..=0x7F => {
                for bit in (0..7).rev() {
                    bytes.push(if code >> bit & 1 == 1 {
                        0
                    } else {
                        rest.next().ok_or(Undecodable)?
                    });
                }
                continue;
            }
            0x80..=0xFE => (true, usize::from(code & 0x7F) + 7),
            0xFF => (false, 134),
        };
        if zero {
            bytes.push(0);
        }
        for _ in 0..literals {
            bytes.push(rest.next().ok_or(Undecodable)?);
        }
    }
    bytes.reverse();
    Ok(bytes)
}

const LEVELS: [(&str, &str); 6] = [
    ("defmt_trace", "trace"),
    ("defmt_debug", "debug"),
    ("defmt_info", "info"),
    ("defmt_warn", "warn"),
    ("defmt_error", "error"),
    ("defmt_println", "print"),
];
