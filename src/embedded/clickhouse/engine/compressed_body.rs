//! Decodes a body in ClickHouse's own compression framing (`decompress=1`).
//!
//! A block is: CityHash128 (of ClickHouse's old version) of what follows, 16 bytes; method, 1 byte;
//! size of header and payload, 4 bytes; size of the decoded data, 4 bytes; payload. Integers are
//! little-endian.

use bytes::{Buf, Bytes, BytesMut};

use super::failure::EngineFailure;

const CHECKSUM_BYTES: usize = 16;
const HEADER_BYTES: usize = 9;
/// Method byte of LZ4.
const LZ4: u8 = 0x82;
/// Method byte of no compression.
const STORED: u8 = 0x02;
/// A block larger than this is a mistake or an attack; ClickHouse's own are about 1 MB.
const BLOCK_BYTES_MAX: usize = 64 << 20;

/// Takes a compressed body as it comes and gives back its blocks, decoded.
#[derive(Debug, Default)]
pub(super) struct BlockDecoder {
    pending: BytesMut,
}

impl BlockDecoder {
    /// Takes more of the body.
    pub(super) fn push(&mut self, data: &[u8]) {
        self.pending.extend_from_slice(data);
    }

    /// The next whole block, decoded, or `None` until more is pushed.
    pub(super) fn next_block(&mut self) -> Result<Option<Bytes>, EngineFailure> {
        let Some(header) = self.pending.get(..CHECKSUM_BYTES + HEADER_BYTES) else {
            return Ok(None);
        };
        let (mut checksum, mut header) = header.split_at(CHECKSUM_BYTES);
        let checksum = checksum.get_u128_le();
        let method = header.get_u8();
        let framed_bytes = block_size(header.get_u32_le())?;
        let decoded_bytes = block_size(header.get_u32_le())?;
        if framed_bytes < HEADER_BYTES {
            return Err(EngineFailure::decompression(
                "a block is shorter than its header",
            ));
        }
        if self.pending.len() < CHECKSUM_BYTES + framed_bytes {
            return Ok(None);
        }
        let block = self
            .pending
            .split_to(CHECKSUM_BYTES + framed_bytes)
            .freeze();
        let framed = block.slice(CHECKSUM_BYTES..);
        if cityhash_rs::cityhash_102_128(&framed).rotate_right(64) != checksum {
            return Err(EngineFailure::decompression("a block's checksum is wrong"));
        }
        decode(method, framed.slice(HEADER_BYTES..), decoded_bytes).map(Some)
    }

    /// Whether the body ended with a whole block.
    pub(super) fn finish(self) -> Result<(), EngineFailure> {
        if self.pending.is_empty() {
            Ok(())
        } else {
            Err(EngineFailure::decompression("the body ends within a block"))
        }
    }
}

fn block_size(size: u32) -> Result<usize, EngineFailure> {
    usize::try_from(size)
        .ok()
        .filter(|size| *size <= BLOCK_BYTES_MAX)
        .ok_or_else(|| EngineFailure::decompression("a block is too large"))
}

fn decode(method: u8, payload: Bytes, decoded_bytes: usize) -> Result<Bytes, EngineFailure> {
    let decoded = match method {
        LZ4 => lz4_flex::block::decompress(&payload, decoded_bytes)
            .map(Bytes::from)
            .map_err(|failure| EngineFailure::decompression(&failure.to_string()))?,
        STORED => payload,
        _ => {
            return Err(EngineFailure::decompression(
                "a block uses a method other than LZ4",
            ));
        }
    };
    if decoded.len() == decoded_bytes {
        Ok(decoded)
    } else {
        Err(EngineFailure::decompression(
            "a block has not the size that it tells",
        ))
    }
}

#[cfg(test)]
mod tests {
    use bytes::BufMut;
    use proptest::prelude::*;

    use super::*;

    fn frame(method: u8, payload: &[u8], decoded_bytes: usize) -> Vec<u8> {
        let mut framed = vec![method];
        framed.put_u32_le(u32::try_from(payload.len() + HEADER_BYTES).expect("small"));
        framed.put_u32_le(u32::try_from(decoded_bytes).expect("small"));
        framed.extend_from_slice(payload);
        let checksum = cityhash_rs::cityhash_102_128(&framed).rotate_right(64);
        let mut block = checksum.to_le_bytes().to_vec();
        block.extend(framed);
        block
    }

    fn decode_all(body: &[u8], piece_bytes: usize) -> Result<Vec<u8>, EngineFailure> {
        let mut decoder = BlockDecoder::default();
        let mut decoded = Vec::new();
        for piece in body.chunks(piece_bytes) {
            decoder.push(piece);
            while let Some(block) = decoder.next_block()? {
                decoded.extend_from_slice(&block);
            }
        }
        decoder.finish()?;
        Ok(decoded)
    }

    proptest! {
        #[test]
        fn what_was_compressed_comes_back_however_it_is_cut(
            data in prop::collection::vec(any::<u8>(), 0..2_000),
            piece_bytes in 1_usize..500,
        ) {
            let (first, second) = data.split_at(data.len() / 2);
            let mut body = frame(LZ4, &lz4_flex::block::compress(first), first.len());
            body.extend(frame(STORED, second, second.len()));
            prop_assert_eq!(decode_all(&body, piece_bytes), Ok(data));
        }

        #[test]
        fn a_changed_byte_is_noticed(
            data in prop::collection::vec(any::<u8>(), 1..200),
            place in any::<prop::sample::Index>(),
            change in 1_u8..,
        ) {
            let mut body = frame(LZ4, &lz4_flex::block::compress(&data), data.len());
            let place = place.index(body.len());
            body[place] ^= change;
            prop_assert!(decode_all(&body, 64).is_err());
        }
    }

    #[test]
    fn a_cut_body_is_noticed() {
        let body = frame(LZ4, &lz4_flex::block::compress(b"abc"), 3);
        assert!(decode_all(&body[..body.len() - 1], 64).is_err());
    }
}
