//! One request over one connection, as blunt as a network's.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// Longer than ingest itself waits for the log.
const READ_TIMEOUT: Duration = Duration::from_secs(12);

/// Status and body; `None` when no whole answer came. `head` is the method and the target, and
/// whatever headers follow on lines of their own.
pub fn request(address: SocketAddr, head: &str, body: &str) -> Option<(u16, String)> {
    let (line, headers) = head.split_once('\n').unwrap_or((head, ""));
    let headers = headers
        .lines()
        .fold(String::new(), |all, header| all + header + "\r\n");
    let mut stream = TcpStream::connect_timeout(&address, CONNECT_TIMEOUT).ok()?;
    stream.set_read_timeout(Some(READ_TIMEOUT)).ok()?;
    let length = body.len();
    write!(
        stream,
        "{line} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{headers}\
         Content-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}"
    )
    .ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    let status = answer.get(9..12)?.parse().ok()?;
    let body = answer.split_once("\r\n\r\n")?.1;
    Some((status, body.to_owned()))
}
