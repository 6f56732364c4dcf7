//! UTF-16, which spreadsheets save as "Unicode text", becomes UTF-8; anything else passes as it is.

use std::io::{self, BufRead, BufReader, Read};

use encoding_rs::{CoderResult, Decoder, Encoding, UTF_16BE, UTF_16LE};

const OUTPUT_BYTES: usize = 16 * 1024;

/// A reader of UTF-8, whatever stands in the file.
pub(super) struct Utf8<R> {
    inner: BufReader<R>,
    /// Where it isn't UTF-8 already.
    decoder: Option<Decoder>,
    decoded: Vec<u8>,
    taken: usize,
    ended: bool,
}

impl<R: Read> Utf8<R> {
    /// Looks at the first bytes: a byte order mark, or every other byte a NUL.
    pub(super) fn new(inner: R) -> io::Result<Self> {
        let mut inner = BufReader::new(inner);
        let encoding = utf_16(inner.fill_buf()?);
        Ok(Self {
            inner,
            decoder: encoding.map(Encoding::new_decoder_with_bom_removal),
            decoded: Vec::new(),
            taken: 0,
            ended: false,
        })
    }
}

fn utf_16(head: &[u8]) -> Option<&'static Encoding> {
    match head {
        [0xff, 0xfe, ..] => Some(UTF_16LE),
        [0xfe, 0xff, ..] => Some(UTF_16BE),
        [first, 0, second, 0, ..] if *first != 0 && *second != 0 => Some(UTF_16LE),
        [0, first, 0, second, ..] if *first != 0 && *second != 0 => Some(UTF_16BE),
        _ => None,
    }
}

impl<R: Read> Read for Utf8<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let Some(decoder) = &mut self.decoder else {
            return self.inner.read(buffer);
        };
        while self.taken == self.decoded.len() && !self.ended {
            let input = self.inner.fill_buf()?;
            let last = input.is_empty();
            self.decoded.resize(OUTPUT_BYTES, 0);
            let (result, read, written, _) = decoder.decode_to_utf8(input, &mut self.decoded, last);
            self.inner.consume(read);
            self.decoded.truncate(written);
            self.taken = 0;
            self.ended = last && result == CoderResult::InputEmpty;
        }
        let ready = &self.decoded[self.taken..];
        let length = ready.len().min(buffer.len());
        buffer[..length].copy_from_slice(&ready[..length]);
        self.taken += length;
        Ok(length)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(bytes: &[u8]) -> String {
        let mut text = String::new();
        let mut reader = Utf8::new(bytes).expect("readable");
        reader.read_to_string(&mut text).expect("UTF-8");
        text
    }

    #[test]
    fn utf_16_is_read_with_and_without_a_mark() {
        let text = "_id;p1\r\nc1;\u{20b9}\u{1f600}\r\n".repeat(5_000);
        let little: Vec<u8> = text.encode_utf16().flat_map(u16::to_le_bytes).collect();
        let big: Vec<u8> = text.encode_utf16().flat_map(u16::to_be_bytes).collect();
        assert_eq!(read(&little), text);
        assert_eq!(read(&big), text);
        assert_eq!(read(&[&b"\xff\xfe"[..], &little].concat()), text);
        assert_eq!(read(&[&b"\xfe\xff"[..], &big].concat()), text);
    }

    #[test]
    fn utf_8_passes_as_it_is() {
        assert_eq!(read(b"\xef\xbb\xbfa"), "\u{feff}a");
        assert_eq!(read(b"a"), "a");
        assert_eq!(read(b""), "");
    }
}
