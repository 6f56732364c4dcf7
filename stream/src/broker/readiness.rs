//! Whether a server is ready: it answers a question of the kind that clients will ask. (A port that
//! accepts connections says less: a broker's does so before it may serve.)

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::time::Duration;

/// How long a single question may take.
const PATIENCE: Duration = Duration::from_secs(2);
/// The most that an answer about one broker and no topics can reasonably need, in bytes.
const ANSWER_BYTES_MAX: usize = 64 * 1024;

/// Metadata request, version 4, of no topics: key, version, correlation id, client id (none), an
/// empty array of topics, and that none is to be made.
const QUESTION: [u8; 15] = [0, 3, 0, 4, 0, 0, 0, 1, 0xFF, 0xFF, 0, 0, 0, 0, 0];

/// Succeeds if the broker that listens without security on `port` of loopback lists the node
/// `node_id` as one that clients can use.
pub(super) fn broker_lists(port: u16, node_id: i32) -> bool {
    ask(port).is_ok_and(|answer| first_broker(&answer) == Some(node_id))
}

/// Succeeds if the HTTP server on `port` of loopback answers a GET of `path` with status 200.
pub(super) fn serves(port: u16, path: &str) -> bool {
    get(port, path).is_ok_and(|status| status.ends_with(b" 200"))
}

fn connect(port: u16) -> io::Result<TcpStream> {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let stream = TcpStream::connect_timeout(&address, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    Ok(stream)
}

/// The begin of the status line, up to the status.
fn get(port: u16, path: &str) -> io::Result<[u8; 12]> {
    let mut stream = connect(port)?;
    write!(stream, "GET {path} HTTP/1.0\r\nHost: localhost\r\n\r\n")?;
    let mut status = [0; "HTTP/1.1 200".len()];
    stream.read_exact(&mut status)?;
    Ok(status)
}

fn ask(port: u16) -> io::Result<Vec<u8>> {
    let mut stream = connect(port)?;
    let length = u32::try_from(QUESTION.len()).expect("fifteen is a u32");
    stream.write_all(&[&length.to_be_bytes(), &QUESTION[..]].concat())?;
    let mut length = [0; 4];
    stream.read_exact(&mut length)?;
    let length = usize::try_from(u32::from_be_bytes(length)).map_err(io::Error::other)?;
    if length > ANSWER_BYTES_MAX {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let mut answer = vec![0; length];
    stream.read_exact(&mut answer)?;
    Ok(answer)
}

/// The number of the first broker in an answer: after the correlation id and the throttle time
/// comes the count of brokers, then each with its number first.
fn first_broker(answer: &[u8]) -> Option<i32> {
    let number = |at: usize| -> Option<i32> {
        Some(i32::from_be_bytes(answer.get(at..at + 4)?.try_into().ok()?))
    };
    (number(8)? > 0).then(|| number(12))?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_broker_is_ready_when_it_is_listed() {
        let unlisted = [0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0xFF, 0xFF];
        assert_eq!(first_broker(&unlisted), None);
        let listed = [0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 7, 0, 9];
        assert_eq!(first_broker(&listed), Some(7));
        assert_eq!(first_broker(&listed[..13]), None);
    }
}
