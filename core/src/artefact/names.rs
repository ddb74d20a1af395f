//! Section 7: what people call the columns and the classes. The table is in the
//! [module docs](super).

use core::str;

use super::ArtefactError;
use super::plaintext::{Cursor, Span};
use super::seal::SealError;
use super::text::is_text;
use crate::mlp::Shape;
use crate::wire::Writer;

/// The longest name of a column or a class in bytes: its length is one byte.
pub const NAME_BYTES_MAX: usize = 255;

/// Names of columns and classes, as a verified body holds them. The device does not use them.
#[derive(Debug, Clone, Copy)]
pub struct Names<'b> {
    columns: NameList<'b>,
    classes: NameList<'b>,
}

impl<'b> Names<'b> {
    /// A name for each feature in order, or none at all.
    #[must_use]
    pub const fn columns(&self) -> NameList<'b> {
        self.columns
    }

    /// A name for each class in order, or none at all.
    #[must_use]
    pub const fn classes(&self) -> NameList<'b> {
        self.classes
    }
}

/// Where a body's names lie, each proved to be one.
#[derive(Clone, Copy)]
pub(super) struct NamesAt {
    columns: Span,
    classes: Span,
}

impl NamesAt {
    /// Reads the section's payload.
    pub(super) fn parse(mut r: Cursor<'_>, shape: Shape) -> Result<Self, ArtefactError> {
        let columns = r.u16()?;
        let classes = r.u16()?;
        let counted = |count, width| count == 0 || count == width;
        if !counted(columns, shape.input())
            || !counted(classes, shape.output())
            || columns.max(classes) == 0
        {
            return Err(ArtefactError::NameCount);
        }
        r.zeros(12)?;
        let names = Self {
            columns: list(&mut r, columns)?,
            classes: list(&mut r, classes)?,
        };
        r.finish()?;
        Ok(names)
    }

    /// The names in the body they were read from, which lies in memory.
    pub(super) fn of(self, body: &[u8]) -> Option<Names<'_>> {
        Some(Names {
            columns: NameList(self.columns.of(body)?),
            classes: NameList(self.classes.of(body)?),
        })
    }
}

/// Proves the next `count` names and says where they lie.
fn list(r: &mut Cursor<'_>, count: u16) -> Result<Span, ArtefactError> {
    let mut names = r.skip(0)?;
    let mut buffer = [0; NAME_BYTES_MAX];
    for _ in 0..count {
        let len = usize::from(r.u8()?);
        let text = buffer.get_mut(..len).unwrap_or_default();
        r.fill(text)?;
        if text.is_empty() || !is_text(text) {
            return Err(ArtefactError::NameText);
        }
        names = names.up_to(r.position());
    }
    Ok(names)
}

/// Names in order: an iterator over them. Each is 1 to 255 bytes long and has no control characters.
#[derive(Debug, Clone, Copy, Default)]
pub struct NameList<'b>(&'b [u8]);

impl<'b> NameList<'b> {
    /// Whether there are no names.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl<'b> Iterator for NameList<'b> {
    type Item = &'b str;

    fn next(&mut self) -> Option<&'b str> {
        let (text, rest) = split(self.0)?;
        self.0 = rest;
        // Proved when it was taken.
        str::from_utf8(text).ok()
    }
}

/// Names to be written: each list is empty or has one for each feature, or each class.
#[derive(Debug, Clone, Copy)]
pub struct NamesSpec<'s> {
    /// `[input]`, or none.
    pub columns: &'s [&'s str],
    /// `[output]`, or none.
    pub classes: &'s [&'s str],
}

impl NamesSpec<'_> {
    /// Length in bytes of the payload.
    pub(super) fn payload_len(&self) -> usize {
        let names = self.columns.iter().chain(self.classes);
        names.fold(16, |len, name| len + 1 + name.len())
    }

    pub(super) fn write(&self, w: &mut Writer<'_>, shape: Shape) -> Result<(), SealError> {
        let count = |names: &[&str], width: u16| match names.len() {
            0 => Ok(0),
            len if len == usize::from(width) => Ok(width),
            _ => Err(SealError::Names),
        };
        let columns = count(self.columns, shape.input())?;
        let classes = count(self.classes, shape.output())?;
        if columns.max(classes) == 0 {
            return Err(SealError::Names);
        }
        w.u16(columns)?;
        w.u16(classes)?;
        w.zeros(12)?;
        for name in self.columns.iter().chain(self.classes) {
            let len = u8::try_from(name.len()).map_err(|_| SealError::Names)?;
            if name.is_empty() || !is_text(name.as_bytes()) {
                return Err(SealError::Names);
            }
            w.u8(len)?;
            w.bytes(name.as_bytes())?;
        }
        Ok(())
    }
}

/// The bytes of the name that `bytes` begins with, and what follows.
fn split(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (&len, rest) = bytes.split_first()?;
    rest.split_at_checked(usize::from(len))
}
