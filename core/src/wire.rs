//! Bounded little-endian reader and writer: the only way bytes become numbers here.
//!
//! Every read and write is checked against the slice; none can panic, wrap or leave the slice. All
//! integers are little-endian, floats are IEEE 754 binary32 by their bits. Formats that are big-endian by
//! their own standard (Fernet's timestamp) do not come through here.

use core::fmt;

/// Reads fields one after another from a slice.
#[derive(Clone, Debug)]
pub struct Reader<'a> {
    rest: &'a [u8],
    position: usize,
}

impl<'a> Reader<'a> {
    /// Starts at the first byte of `bytes`.
    #[must_use]
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self {
            rest: bytes,
            position: 0,
        }
    }

    /// Reads the next `n` bytes, without copying.
    ///
    /// # Errors
    /// [`WireError::Truncated`] if fewer than `n` are left; nothing is consumed then.
    pub fn bytes(&mut self, n: usize) -> Result<&'a [u8], WireError> {
        let (head, rest) = self.rest.split_at_checked(n).ok_or(WireError::Truncated)?;
        self.advance(rest);
        Ok(head)
    }

    /// Reads the next `N` bytes as an array.
    ///
    /// # Errors
    /// [`WireError::Truncated`] if fewer than `N` are left; nothing is consumed then.
    pub fn array<const N: usize>(&mut self) -> Result<[u8; N], WireError> {
        let (head, rest) = self
            .rest
            .split_first_chunk::<N>()
            .ok_or(WireError::Truncated)?;
        self.advance(rest);
        Ok(*head)
    }

    /// Reads one byte.
    ///
    /// # Errors
    /// [`WireError::Truncated`] at the end.
    pub fn u8(&mut self) -> Result<u8, WireError> {
        self.array().map(u8::from_le_bytes)
    }

    /// Reads two bytes as an unsigned integer.
    ///
    /// # Errors
    /// [`WireError::Truncated`] if fewer are left.
    pub fn u16(&mut self) -> Result<u16, WireError> {
        self.array().map(u16::from_le_bytes)
    }

    /// Reads four bytes as an unsigned integer.
    ///
    /// # Errors
    /// [`WireError::Truncated`] if fewer are left.
    pub fn u32(&mut self) -> Result<u32, WireError> {
        self.array().map(u32::from_le_bytes)
    }

    /// Reads eight bytes as an unsigned integer.
    ///
    /// # Errors
    /// [`WireError::Truncated`] if fewer are left.
    pub fn u64(&mut self) -> Result<u64, WireError> {
        self.array().map(u64::from_le_bytes)
    }

    /// Reads four bytes as a two's complement integer.
    ///
    /// # Errors
    /// [`WireError::Truncated`] if fewer are left.
    pub fn i32(&mut self) -> Result<i32, WireError> {
        self.array().map(i32::from_le_bytes)
    }

    /// Reads four bytes as an IEEE 754 binary32, any bit pattern: the caller judges NaN and infinity.
    ///
    /// # Errors
    /// [`WireError::Truncated`] if fewer are left.
    pub fn f32(&mut self) -> Result<f32, WireError> {
        self.array().map(f32::from_le_bytes)
    }

    /// How many bytes have been read.
    #[must_use]
    pub const fn position(&self) -> usize {
        self.position
    }

    /// How many bytes are left.
    #[must_use]
    pub const fn remaining(&self) -> usize {
        self.rest.len()
    }

    /// Ends the reading: a format with a known end has nothing after it.
    ///
    /// # Errors
    /// [`WireError::TrailingBytes`] if bytes are left.
    pub const fn finish(self) -> Result<(), WireError> {
        if self.rest.is_empty() {
            Ok(())
        } else {
            Err(WireError::TrailingBytes)
        }
    }

    fn advance(&mut self, rest: &'a [u8]) {
        // Cannot wrap: the sum of all pieces is the length of one slice.
        self.position = self
            .position
            .wrapping_add(self.rest.len().wrapping_sub(rest.len()));
        self.rest = rest;
    }
}

/// Writes fields one after another into a caller's buffer.
#[derive(Debug)]
pub struct Writer<'b> {
    buffer: &'b mut [u8],
    position: usize,
}

impl<'b> Writer<'b> {
    /// Starts at the first byte of `buffer`.
    #[must_use]
    pub const fn new(buffer: &'b mut [u8]) -> Self {
        Self {
            buffer,
            position: 0,
        }
    }

    /// Writes `bytes` as they are.
    ///
    /// # Errors
    /// [`WireError::NoSpace`] if they do not fit; nothing is written then.
    pub fn bytes(&mut self, bytes: &[u8]) -> Result<(), WireError> {
        copy(self.reserve(bytes.len())?, bytes);
        Ok(())
    }

    /// Writes `n` zero bytes.
    ///
    /// # Errors
    /// [`WireError::NoSpace`] if they do not fit; nothing is written then.
    pub fn zeros(&mut self, n: usize) -> Result<(), WireError> {
        self.reserve(n)?.fill(0);
        Ok(())
    }

    /// Writes one byte.
    ///
    /// # Errors
    /// [`WireError::NoSpace`] if the buffer is full.
    pub fn u8(&mut self, value: u8) -> Result<(), WireError> {
        self.bytes(&value.to_le_bytes())
    }

    /// Writes two bytes.
    ///
    /// # Errors
    /// [`WireError::NoSpace`] if they do not fit.
    pub fn u16(&mut self, value: u16) -> Result<(), WireError> {
        self.bytes(&value.to_le_bytes())
    }

    /// Writes four bytes.
    ///
    /// # Errors
    /// [`WireError::NoSpace`] if they do not fit.
    pub fn u32(&mut self, value: u32) -> Result<(), WireError> {
        self.bytes(&value.to_le_bytes())
    }

    /// Writes eight bytes.
    ///
    /// # Errors
    /// [`WireError::NoSpace`] if they do not fit.
    pub fn u64(&mut self, value: u64) -> Result<(), WireError> {
        self.bytes(&value.to_le_bytes())
    }

    /// Writes four bytes in two's complement.
    ///
    /// # Errors
    /// [`WireError::NoSpace`] if they do not fit.
    pub fn i32(&mut self, value: i32) -> Result<(), WireError> {
        self.bytes(&value.to_le_bytes())
    }

    /// Writes the four bytes of an IEEE 754 binary32.
    ///
    /// # Errors
    /// [`WireError::NoSpace`] if they do not fit.
    pub fn f32(&mut self, value: f32) -> Result<(), WireError> {
        self.bytes(&value.to_le_bytes())
    }

    /// How many bytes have been written.
    #[must_use]
    pub const fn position(&self) -> usize {
        self.position
    }

    /// Ends the writing and gives back the written part.
    #[must_use]
    pub fn finish(self) -> &'b mut [u8] {
        // `position` never exceeds the length, so `min` only tells the compiler so.
        let written = self.position.min(self.buffer.len());
        self.buffer.split_at_mut(written).0
    }

    fn reserve(&mut self, n: usize) -> Result<&mut [u8], WireError> {
        let end = self.position.checked_add(n).ok_or(WireError::NoSpace)?;
        let room = self
            .buffer
            .get_mut(self.position..end)
            .ok_or(WireError::NoSpace)?;
        self.position = end;
        Ok(room)
    }
}

/// Why bytes could not be read or written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum WireError {
    /// The bytes end inside a field.
    Truncated,
    /// Bytes are left after the last field.
    TrailingBytes,
    /// The buffer is too small for what is to be written.
    NoSpace,
}

impl fmt::Display for WireError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Truncated => "the bytes end inside a field",
            Self::TrailingBytes => "bytes are left after the last field",
            Self::NoSpace => "the buffer is too small",
        })
    }
}

impl core::error::Error for WireError {}

/// Copies as much as both hold. Callers pass equal lengths; unlike `copy_from_slice` it holds no panic.
pub(crate) fn copy(to: &mut [u8], from: &[u8]) {
    for (to, from) in to.iter_mut().zip(from) {
        *to = *from;
    }
}

#[cfg(test)]
mod tests {
    use super::{Reader, WireError, Writer};

    #[test]
    fn what_is_written_is_read_back() {
        let mut buffer = [0xaa; 40];
        let mut writer = Writer::new(&mut buffer);
        writer.u8(1).unwrap();
        writer.u16(0x0203).unwrap();
        writer.u32(0x0405_0607).unwrap();
        writer.u64(0x0809_0a0b_0c0d_0e0f).unwrap();
        writer.i32(-2).unwrap();
        writer.f32(-0.5).unwrap();
        writer.zeros(3).unwrap();
        writer.bytes(b"xyz").unwrap();
        let written = writer.finish();
        assert_eq!(written.len(), 29);
        assert_eq!(written[..7], [1, 3, 2, 7, 6, 5, 4], "little-endian");

        let mut reader = Reader::new(written);
        assert_eq!(reader.u8(), Ok(1));
        assert_eq!(reader.u16(), Ok(0x0203));
        assert_eq!(reader.u32(), Ok(0x0405_0607));
        assert_eq!(reader.u64(), Ok(0x0809_0a0b_0c0d_0e0f));
        assert_eq!(reader.i32(), Ok(-2));
        assert_eq!(reader.f32(), Ok(-0.5));
        assert_eq!(reader.bytes(3), Ok(&[0, 0, 0][..]));
        assert_eq!(reader.position(), 26);
        assert_eq!(reader.remaining(), 3);
        assert_eq!(reader.clone().finish(), Err(WireError::TrailingBytes));
        assert_eq!(reader.array(), Ok(*b"xyz"));
        assert_eq!(reader.finish(), Ok(()));
    }

    #[test]
    fn a_short_read_or_write_changes_nothing() {
        let mut reader = Reader::new(&[1, 2, 3]);
        assert_eq!(reader.u32(), Err(WireError::Truncated));
        assert_eq!(reader.bytes(usize::MAX), Err(WireError::Truncated));
        assert_eq!(reader.position(), 0);
        assert_eq!(reader.u16(), Ok(0x0201));

        let mut buffer = [7; 3];
        let mut writer = Writer::new(&mut buffer);
        assert_eq!(writer.u32(0), Err(WireError::NoSpace));
        writer.u8(1).unwrap();
        assert_eq!(writer.zeros(usize::MAX), Err(WireError::NoSpace));
        assert_eq!(writer.finish(), [1]);
        assert_eq!(buffer, [1, 7, 7]);
    }
}
