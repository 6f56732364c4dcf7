//! Clients that misbehave on the wire.

use std::time::Duration;

use ingest::{Limits, Settings};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};
use web::ServerLimits;

use crate::world::{Config, World, read_to_end};

/// Only reached by a server that never lets go; the tests assert no time of their own.
const FOR_EVER: Duration = Duration::from_secs(30);

async fn with_server(server: ServerLimits) -> World {
    World::with(Config {
        server,
        ..Config::default()
    })
    .await
}

/// Sends a beginning and waits for the server to let go.
async fn trickle(world: &World, beginning: &[u8]) -> String {
    let mut stream = TcpStream::connect(world.address)
        .await
        .expect("the server listens");
    stream.write_all(beginning).await.expect("sent");
    let answer = timeout(FOR_EVER, read_to_end(&mut stream))
        .await
        .expect("the server lets go");
    String::from_utf8_lossy(&answer).into_owned()
}

#[tokio::test]
async fn slow_headers_lose_their_connection() {
    let header_timeout = Duration::from_millis(50);
    let world = with_server(ServerLimits {
        header_timeout,
        ..ServerLimits::default()
    })
    .await;
    for beginning in [
        "",
        "GET /v1/events",
        "GET /r/diwali HTTP/1.1\r\nHost: t\r\nX-A: ",
    ] {
        let answer = trickle(&world, beginning.as_bytes()).await;
        assert!(!answer.contains("200 OK"), "{answer}");
    }
    assert!(world.clicks().await.is_empty());
}

#[tokio::test]
async fn a_slow_body_is_told_so_and_not_taken() {
    let limits = Limits {
        body_timeout: Duration::from_millis(50),
        ..Limits::default()
    };
    let settings = Settings {
        limits,
        ..Settings::default()
    };
    let world = World::with(Config {
        settings,
        ..Config::default()
    })
    .await;
    for path in ["/v1/events/conversion?p1=7", "/v1/events/click"] {
        let beginning = format!("POST {path} HTTP/1.1\r\nHost: t\r\nContent-Length: 10\r\n\r\np1=");
        let answer = trickle(&world, beginning.as_bytes()).await;
        assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
    }
    assert!(world.conversions().await.is_empty());
}

#[tokio::test]
async fn a_body_that_breaks_off_is_not_taken() {
    let world = World::start().await;
    let mut stream = TcpStream::connect(world.address)
        .await
        .expect("the server listens");
    let beginning = b"POST /v1/events/conversion?p1=7 HTTP/1.1\r\nHost: t\r\n\
                      Content-Length: 10\r\n\r\np1=";
    stream.write_all(beginning).await.expect("sent");
    stream.shutdown().await.expect("half closed");
    timeout(FOR_EVER, read_to_end(&mut stream))
        .await
        .expect("the server lets go");
    assert!(world.conversions().await.is_empty());
    // It serves on.
    assert_eq!(
        world.get("/v1/events/conversion?p1=7").await.ignored(),
        None
    );
}

#[tokio::test]
async fn what_is_not_http_is_a_400_or_a_closed_door() {
    let world = World::start().await;
    for garbage in [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03 a TLS hello".as_slice(),
        b"hello\r\n\r\n",
        b"GET  /  HTTP/9.9\r\n\r\n",
        b"GET /v1/events/conversion?p1=\xFF\xFE HTTP/1.1\r\nHost: t\r\n\r\n",
        b"GET /v1/events/conversion?p1=7 HTTP/1.1\r\nHost t\r\n\r\n",
        b"POST /v1/events/conversion HTTP/1.1\r\nHost: t\r\nContent-Length: -1\r\n\r\n",
        b"POST /v1/events/conversion HTTP/1.1\r\nHost: t\r\nContent-Length: 1\r\n\
          Content-Length: 2\r\n\r\nab",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    ] {
        let answer = trickle(&world, garbage).await;
        let refused = answer.is_empty() || answer.starts_with("HTTP/1.1 400 ");
        assert!(refused, "{}: {answer}", garbage.escape_ascii());
    }
    assert!(world.conversions().await.is_empty());
}

#[tokio::test]
async fn heads_that_are_too_large_are_told_so() {
    let limits = ServerLimits {
        header_count_max: 20,
        ..ServerLimits::default()
    };
    let world = with_server(limits).await;
    let many = "X-A: 1\r\n".repeat(30);
    let answer = world.get_with("/r/diwali", &many).await;
    assert_eq!(answer.status, 431);
    let long = format!("X-A: {}\r\n", "a".repeat(40_000));
    assert_eq!(world.get_with("/r/diwali", &long).await.status, 431);
    let endless = format!("/v1/events/conversion?p1=7&x={}", "a".repeat(70_000));
    let status = world.get(&endless).await.status;
    assert!([414, 431].contains(&status), "{status}");
    assert!(world.clicks().await.is_empty());
    assert!(world.conversions().await.is_empty());
}

#[tokio::test]
async fn connections_beyond_the_limit_wait_for_room() {
    let world = with_server(ServerLimits {
        connections_max: 1,
        ..ServerLimits::default()
    })
    .await;
    let mut first = TcpStream::connect(world.address)
        .await
        .expect("the server listens");
    first
        .write_all(b"GET /r/none HTTP/1.1\r\nHost: t\r\n\r\n")
        .await
        .expect("sent");
    first.readable().await.expect("answered");
    let address = world.address;
    let request = b"GET /r/none HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\r\n";
    let second = tokio::spawn(crate::world::exchange(address, request));
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert!(!second.is_finished());
    drop(first);
    let answer = timeout(FOR_EVER, second)
        .await
        .expect("its turn came")
        .expect("answered");
    assert_eq!(answer.status, 404);
}

#[tokio::test]
async fn connections_that_say_nothing_make_room_for_those_that_do() {
    let world = with_server(ServerLimits {
        connections_max: 16,
        header_timeout: Duration::from_millis(200),
        ..ServerLimits::default()
    })
    .await;
    let mut silent = Vec::new();
    for _ in 0..64 {
        let connection = TcpStream::connect(world.address).await;
        silent.push(connection.expect("the server listens"));
    }
    let answer = timeout(FOR_EVER, world.get("/v1/events/conversion?p1=7"));
    assert_eq!(answer.await.expect("its turn came").ignored(), None);
}

#[tokio::test]
async fn a_stop_cuts_off_those_who_never_finish() {
    let limits = Limits {
        body_timeout: 100 * FOR_EVER,
        ..Limits::default()
    };
    let world = World::with(Config {
        settings: Settings {
            limits,
            ..Settings::default()
        },
        server: ServerLimits {
            drain_timeout: Duration::from_millis(50),
            ..ServerLimits::default()
        },
        ..Config::default()
    })
    .await;
    let mut stuck = TcpStream::connect(world.address)
        .await
        .expect("the server listens");
    let beginning = b"POST /v1/events/click HTTP/1.1\r\nHost: t\r\nContent-Length: 10\r\n\
                      Expect: 100-continue\r\n\r\n";
    stuck.write_all(beginning).await.expect("sent");
    // The server asks for the body once it reads it: the request is under way.
    let mut asked = [0; 12];
    stuck.read_exact(&mut asked).await.expect("asked for");
    assert_eq!(&asked, b"HTTP/1.1 100");
    let (_, server) = world.stop();
    timeout(FOR_EVER, server)
        .await
        .expect("the server ends")
        .expect("without a panic");
}
