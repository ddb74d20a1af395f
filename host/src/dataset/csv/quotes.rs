//! Watches the quotes of a CSV file go by: the reader takes one that is never closed for the rest of the file.

use std::io::{self, Read};

/// Passes bytes on and remembers where the quotation that is still open began.
pub(super) struct Quotes<R> {
    inner: R,
    state: State,
    line: u64,
    ended: bool,
}

/// Where in a row the last byte was, by RFC 4180, section 2, rules 5 to 7.
#[derive(Clone, Copy)]
enum State {
    /// At the start of a cell.
    Start,
    /// In a cell without quotes; a quote in it is a character.
    Bare,
    /// In a cell whose quotation began at this line.
    Quoted(u64),
    /// After a quote in a quotation: its end, or the first of two that stand for one.
    Closing(u64),
}

impl<R: Read> Quotes<R> {
    pub(super) fn new(inner: R) -> Self {
        Quotes {
            inner,
            state: State::Start,
            line: 1,
            ended: false,
        }
    }

    /// At the file's end: the line where a quotation began that was never closed.
    pub(super) fn unclosed(&self) -> Option<u64> {
        match self.state {
            State::Quoted(line) if self.ended => Some(line),
            _ => None,
        }
    }

    fn pass(&mut self, byte: u8) {
        self.state = match (self.state, byte) {
            (State::Start, b'"') => State::Quoted(self.line),
            // The bytes of a byte-order mark, which may come before the first cell.
            (State::Start, 0xEF | 0xBB | 0xBF) => State::Start,
            (State::Quoted(line), b'"') => State::Closing(line),
            (State::Quoted(line), _) => State::Quoted(line),
            (State::Closing(line), b'"') => State::Quoted(line),
            (_, b',' | b'\n' | b'\r') => State::Start,
            _ => State::Bare,
        };
        self.line += u64::from(byte == b'\n');
    }
}

impl<R: Read> Read for Quotes<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.ended = count == 0 && !buffer.is_empty();
        for &byte in buffer.iter().take(count) {
            self.pass(byte);
        }
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unclosed(text: &str) -> Option<u64> {
        let mut quotes = Quotes::new(text.as_bytes());
        io::copy(&mut quotes, &mut io::sink()).unwrap();
        quotes.unclosed()
    }

    #[test]
    fn only_an_open_quotation_is_unclosed() {
        for closed in [
            "",
            "a,b\n",
            "\"a\",\"b\"\n",
            "\"a\nb\",1\n",
            "\"a\"\"b\",1",
            "a\",1\n",
            "1,5\"\n",
            "\"\",1\n",
        ] {
            assert_eq!(unclosed(closed), None, "{closed}");
        }
        for (open, line) in [
            ("\"", 1),
            ("1,2\n\"a,3\n4,5\n", 2),
            ("\"a\nb\"\n1,\"", 3),
            ("\"a\"\"", 1),
        ] {
            assert_eq!(unclosed(open), Some(line), "{open}");
        }
    }
}
