//! A connection that is kept open, with as little work for the generator's side as HTTP/1.1 allows:
//! what the generator spends is taken from the product on the same machine.

use std::{io, net::SocketAddr};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

const READ_BYTES: usize = 4 * 1024;

/// Status and body of an answer.
pub struct Answer {
    pub status: u16,
    pub body: Vec<u8>,
}

/// One connection to the product, opened when it is first used and again when it breaks.
pub struct Caller {
    address: SocketAddr,
    stream: Option<TcpStream>,
    buffer: Vec<u8>,
}

impl Caller {
    pub const fn new(address: SocketAddr) -> Self {
        Self {
            address,
            stream: None,
            buffer: Vec::new(),
        }
    }

    /// Sends a whole request and reads its answer.
    pub async fn call(&mut self, request: &[u8]) -> io::Result<Answer> {
        let mut stream = match self.stream.take() {
            Some(stream) => stream,
            None => open(self.address).await?,
        };
        let answer = exchange(&mut stream, request, &mut self.buffer).await?;
        self.stream = Some(stream);
        Ok(answer)
    }
}

/// A connection without delay.
pub async fn open(address: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

async fn exchange(
    stream: &mut TcpStream,
    request: &[u8],
    buffer: &mut Vec<u8>,
) -> io::Result<Answer> {
    stream.write_all(request).await?;
    buffer.clear();
    let (head, length) = loop {
        if let Some(read) = head(buffer) {
            break read;
        }
        more(stream, buffer).await?;
    };
    while buffer.len() < head + length {
        more(stream, buffer).await?;
    }
    let status = std::str::from_utf8(&buffer[9..12]).ok();
    let status = status.and_then(|digits| digits.parse().ok());
    Ok(Answer {
        status: status.ok_or_else(|| io::Error::other("an answer without a status"))?,
        body: buffer[head..head + length].to_vec(),
    })
}

async fn more(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> io::Result<()> {
    buffer.reserve(READ_BYTES);
    match stream.read_buf(buffer).await? {
        0 => Err(io::ErrorKind::UnexpectedEof.into()),
        _ => Ok(()),
    }
}

/// Bytes of the head, and those of the body that it announces; `None` before the head is whole.
fn head(buffer: &[u8]) -> Option<(usize, usize)> {
    let end = buffer.windows(4).position(|bytes| bytes == b"\r\n\r\n")?;
    let text = std::str::from_utf8(&buffer[..end]).ok()?;
    let length = text.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        let named = name.eq_ignore_ascii_case("content-length");
        named.then(|| value.trim().parse().ok())?
    });
    Some((end + 4, length.unwrap_or(0)))
}
