//! The device's port on streams of this process, dead while power is off.

use std::io::{self, Read, Write};

use super::flash::Power;

/// Makes a port of a stream. Once a fault has cut the power, nothing goes in or out.
#[derive(Debug)]
pub struct Port<P> {
    stream: P,
    power: Power,
}

impl<P> Port<P> {
    pub(super) fn new(stream: P, power: Power) -> Self {
        Self { stream, power }
    }

    /// The stream.
    pub fn get_mut(&mut self) -> &mut P {
        &mut self.stream
    }

    fn powered(&mut self) -> io::Result<&mut P> {
        if self.power.lost() {
            return Err(io::Error::other("power was cut"));
        }
        Ok(&mut self.stream)
    }
}

impl<P> embedded_io::ErrorType for Port<P> {
    type Error = io::Error;
}

impl<P: Read> embedded_io::Read for Port<P> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.powered()?.read(buf)
    }
}

impl<P: Write> embedded_io::Write for Port<P> {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        let written = self.powered()?.write(buf)?;
        // `embedded_io` allows no write of nothing.
        if written == 0 && !buf.is_empty() {
            return Err(io::ErrorKind::WriteZero.into());
        }
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.powered()?.flush()
    }
}
