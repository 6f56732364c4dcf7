//! Runs statements on a connection, in the session's thread: everything here may block.

use bytes::Bytes;
use tokio::sync::{mpsc, oneshot};

use super::compressed_body::BlockDecoder;
use super::failure::EngineFailure;
use super::ffi::{Connection, InsertStream, Parameters, QueryResult};

/// A piece of a result.
pub(super) type Chunk = Bytes;

/// Formats of which the engine's chunks, put together, make one document; those with a header
/// after the header of later chunks is dropped.
const FORMATS_IN_CHUNKS: [&str; 7] = [
    "RowBinary",
    "RowBinaryWithNames",
    "RowBinaryWithNamesAndTypes",
    "JSONEachRow",
    "TabSeparated",
    "TSV",
    "CSV",
];

/// How many rows a statement touched.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Summary {
    pub(super) rows_read: u64,
    pub(super) rows_written: u64,
}

impl Summary {
    fn of(result: &QueryResult) -> Self {
        Self {
            rows_read: result.rows_read(),
            rows_written: result.rows_written(),
        }
    }
}

/// A piece of the data of an INSERT.
pub(super) enum InsertPart {
    /// From the statement's text, never compressed.
    Inline(Bytes),
    /// From the body.
    Body(Bytes),
    /// The data came whole.
    End,
}

/// Inserts the data that comes through `incoming`; if that ends without [`InsertPart::End`], the
/// INSERT is cancelled.
pub(super) fn insert(
    connection: &mut Connection,
    head: &[u8],
    format: &str,
    parameters: &Parameters,
    mut incoming: mpsc::Receiver<InsertPart>,
    decompress: bool,
) -> Result<Summary, EngineFailure> {
    let mut stream = connection.insert(head, format, parameters)?;
    let mut decoder = BlockDecoder::default();
    while let Some(part) = incoming.blocking_recv() {
        match part {
            InsertPart::Body(data) if decompress => {
                decoder.push(&data);
                while let Some(block) = decoder.next_block()? {
                    append(&mut stream, &block)?;
                }
            }
            InsertPart::Inline(data) | InsertPart::Body(data) => append(&mut stream, &data)?,
            InsertPart::End => {
                decoder.finish()?;
                return stream.finish().map(|result| Summary::of(&result));
            }
        }
    }
    Err(EngineFailure::bad_arguments(
        "the data of the INSERT broke off",
    ))
}

fn append(stream: &mut InsertStream<'_>, data: &[u8]) -> Result<(), EngineFailure> {
    if data.is_empty() {
        Ok(())
    } else {
        stream.append(data)
    }
}

/// Runs a statement and returns its whole result.
pub(super) fn query(
    connection: &mut Connection,
    text: &[u8],
    format: &str,
    parameters: &Parameters,
) -> Result<(Bytes, Summary), EngineFailure> {
    let result = connection.query(text, format, parameters)?;
    Ok((Bytes::copy_from_slice(result.bytes()), Summary::of(&result)))
}

/// Where the result of a SELECT goes: first whether it began well, then its chunks.
pub(super) struct Answer {
    began: Option<oneshot::Sender<Result<(), EngineFailure>>>,
    chunks: mpsc::Sender<Result<Chunk, EngineFailure>>,
}

/// The client went away before the result's end.
struct ClientGone;

impl Answer {
    pub(super) fn new(
        began: oneshot::Sender<Result<(), EngineFailure>>,
        chunks: mpsc::Sender<Result<Chunk, EngineFailure>>,
    ) -> Self {
        Self {
            began: Some(began),
            chunks,
        }
    }

    /// Runs `work`, and tells the client of its failure in the way that is still open.
    pub(super) fn give(mut self, work: impl FnOnce(&mut Self) -> Result<(), EngineFailure>) {
        let outcome = work(&mut self);
        // Whoever asked may be gone; then there is nobody to tell.
        if let Some(began) = self.began.take() {
            let _ = began.send(outcome);
        } else if let Err(failure) = outcome {
            let _ = self.chunks.blocking_send(Err(failure));
        }
    }

    fn send(&mut self, chunk: Bytes) -> Result<(), ClientGone> {
        if let Some(began) = self.began.take() {
            began.send(Ok(())).map_err(|_| ClientGone)?;
        }
        self.chunks.blocking_send(Ok(chunk)).map_err(|_| ClientGone)
    }
}

/// Runs a query and hands its result over as it comes, in formats that allow that.
pub(super) fn select(
    connection: &mut Connection,
    text: &[u8],
    format: &str,
    parameters: &Parameters,
    answer: &mut Answer,
) -> Result<(), EngineFailure> {
    if FORMATS_IN_CHUNKS.contains(&format) {
        let mut stream = connection.stream(text, format, parameters)?;
        let mut header: Option<Bytes> = None;
        while let Some(result) = stream.next()? {
            let chunk = match &header {
                None => {
                    let chunk = Bytes::copy_from_slice(result.bytes());
                    header = Some(chunk.slice(..header_length(format, &chunk)));
                    chunk
                }
                Some(header) => {
                    let bytes = result.bytes();
                    Bytes::copy_from_slice(bytes.strip_prefix(header.as_ref()).unwrap_or(bytes))
                }
            };
            if let Err(ClientGone) = answer.send(chunk) {
                return Ok(());
            }
        }
        if header.is_some() {
            return Ok(());
        }
        // A stream of no rows brings no header either; the whole result does.
    }
    let (result, _) = query(connection, text, format, parameters)?;
    // If the client is gone, there is nobody to send it to.
    let _ = answer.send(result);
    Ok(())
}

/// Length of the names (and types) at the beginning of a chunk in a format that has them.
fn header_length(format: &str, chunk: &[u8]) -> usize {
    let texts_per_column = match format {
        "RowBinaryWithNames" => 1,
        "RowBinaryWithNamesAndTypes" => 2,
        _ => return 0,
    };
    let mut position = 0;
    let mut read = || -> Option<usize> {
        let columns = variable_length_integer(chunk, &mut position)?;
        for _ in 0..columns.checked_mul(texts_per_column)? {
            let length = variable_length_integer(chunk, &mut position)?;
            position = position.checked_add(length)?;
            if position > chunk.len() {
                return None;
            }
        }
        Some(position)
    };
    read().unwrap_or(0)
}

/// An unsigned LEB128 integer.
fn variable_length_integer(bytes: &[u8], position: &mut usize) -> Option<usize> {
    let mut value = 0_usize;
    for shift in (0..usize::BITS).step_by(7) {
        let byte = *bytes.get(*position)?;
        *position += 1;
        value |= usize::from(byte & 0x7f).checked_shl(shift)?;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_header_is_measured() {
        let mut chunk = vec![2];
        for text in ["a", "b", "UInt8", "String"] {
            chunk.push(u8::try_from(text.len()).expect("short"));
            chunk.extend_from_slice(text.as_bytes());
        }
        let header = chunk.len();
        chunk.extend_from_slice(&[7, 1, b'x']);
        assert_eq!(header_length("RowBinaryWithNamesAndTypes", &chunk), header);
        assert_eq!(header_length("RowBinaryWithNames", &chunk), 5);
        assert_eq!(header_length("RowBinary", &chunk), 0);
        assert_eq!(header_length("RowBinaryWithNamesAndTypes", &chunk[..5]), 0);
        assert_eq!(header_length("RowBinaryWithNamesAndTypes", &[0xff; 20]), 0);
    }
}
