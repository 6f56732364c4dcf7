//! Remembers the bytes that a CSV reader takes, so that each row can be kept as it stood.

use std::io::{self, Read};

/// The longest row read, in bytes. A longer one is an open quote that swallows the file.
pub(super) const ROW_BYTES_MAX: usize = 256 * 1024;
/// More than any reader takes in one go.
const READ_AHEAD_BYTES: usize = 64 * 1024;

/// A reader that keeps what was read until it is cut off.
pub(super) struct Tape<R> {
    inner: R,
    kept: Vec<u8>,
    /// Line of the first byte kept, from 1.
    line: u64,
}

/// A row as it stood.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Row {
    /// Where it begins, from 1.
    pub(super) line: u64,
    /// Without the line break at its end.
    pub(super) bytes: Vec<u8>,
}

impl<R> Tape<R> {
    pub(super) fn new(inner: R) -> Self {
        Self {
            inner,
            kept: Vec::new(),
            line: 1,
        }
    }

    /// Where the next row begins.
    pub(super) fn line(&self) -> u64 {
        self.line + newlines(&self.kept[..breaks(&self.kept)])
    }

    /// Cuts off the next `length` bytes: a row, line breaks before and after it left out.
    pub(super) fn cut(&mut self, length: usize) -> Row {
        let cut: Vec<u8> = self.kept.drain(..length.min(self.kept.len())).collect();
        let start = breaks(&cut);
        let line = self.line + newlines(&cut[..start]);
        self.line += newlines(&cut);
        let mut bytes = cut[start..].to_vec();
        while let Some(b'\r' | b'\n') = bytes.last() {
            bytes.pop();
        }
        Row { line, bytes }
    }
}

/// How many line breaks there are before anything else.
fn breaks(bytes: &[u8]) -> usize {
    bytes
        .iter()
        .take_while(|byte| matches!(byte, b'\r' | b'\n'))
        .count()
}

#[expect(
    clippy::naive_bytecount,
    reason = "rows are short; a crate for it would be more than the time saved"
)]
fn newlines(bytes: &[u8]) -> u64 {
    bytes.iter().filter(|byte| **byte == b'\n').count() as u64
}

impl<R: Read> Read for Tape<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.kept.len() > ROW_BYTES_MAX + READ_AHEAD_BYTES {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                format!(
                    "a row of more than {ROW_BYTES_MAX} bytes: a quote was opened and not closed"
                ),
            ));
        }
        let length = self.inner.read(buffer)?;
        self.kept.extend_from_slice(&buffer[..length]);
        Ok(length)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_cut_as_they_stood_and_lines_counted() {
        let mut tape = Tape::new(&b"a,b\r\n\r\n1,\"x\ny\"\r\n2,z"[..]);
        let mut all = Vec::new();
        tape.read_to_end(&mut all).expect("readable");
        let row = |line, bytes: &[u8]| Row {
            line,
            bytes: bytes.to_vec(),
        };
        // As a CSV reader takes them: up to the `\r`, whose `\n` comes with the next row.
        assert_eq!(tape.cut(4), row(1, b"a,b"));
        assert_eq!(tape.cut(11), row(3, b"1,\"x\ny\""));
        assert_eq!(tape.line(), 5);
        assert_eq!(tape.cut(100), row(5, b"2,z"));
    }

    #[test]
    fn a_row_without_end_is_refused() {
        let mut tape = Tape::new(io::repeat(b'x'));
        let mut sink = Vec::new();
        let error = tape.read_to_end(&mut sink).expect_err("endless");
        assert_eq!(error.kind(), io::ErrorKind::InvalidData);
        assert!(sink.len() < 2 * (ROW_BYTES_MAX + READ_AHEAD_BYTES));
    }
}
