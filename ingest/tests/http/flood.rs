//! A load run: one address floods clicks and smart links while a network reports sales.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::TcpStream,
    sync::mpsc::{UnboundedSender, unbounded_channel},
    task::JoinSet,
    time::interval,
};

use crate::world::{CLICKS_PER_MINUTE, LINK, NOW, World};

/// Each sends as many postbacks, so many a second: 400 a second in all, which is 35 million a day.
const REPORTERS: u64 = 4;
const REPORTS: u64 = 1_000;
const REPORTER_PERIOD: Duration = Duration::from_millis(10);
/// 2,000 clicks and redirects a second, where 100 a minute are allowed.
const FLOODERS: usize = 4;
const FLOODER_PERIOD: Duration = Duration::from_millis(2);

/// A connection that stays open.
struct Client(BufReader<TcpStream>);

impl Client {
    async fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).await;
        Self(BufReader::new(stream.expect("the server listens")))
    }

    /// The status of the answer.
    async fn ask(&mut self, request: &str) -> u16 {
        self.0.write_all(request.as_bytes()).await.expect("sent");
        let (mut status, mut length) = (0, 0);
        loop {
            let mut line = String::new();
            self.0.read_line(&mut line).await.expect("answered");
            let line = line.trim_end().to_ascii_lowercase();
            if let Some(text) = line.strip_prefix("http/1.1 ") {
                status = text[..3].parse().expect("a status");
            } else if let Some(text) = line.strip_prefix("content-length: ") {
                length = text.parse().expect("a length");
            } else if line.is_empty() {
                break;
            }
        }
        let mut body = vec![0; length];
        self.0.read_exact(&mut body).await.expect("answered");
        status
    }
}

fn head(method: &str, target: &str, from: &str, length: usize) -> String {
    format!(
        "{method} {target} HTTP/1.1\r\nHost: t\r\nX-Forwarded-For: {from}\r\n\
         Content-Length: {length}\r\n\r\n"
    )
}

/// How long each of the postbacks took, from when it was due: shortest first. The flood's own
/// address sends them: what is limited is the endpoint, not the caller.
async fn report(address: SocketAddr) -> Vec<Duration> {
    let mut reporters = JoinSet::new();
    for reporter in 0..REPORTERS {
        reporters.spawn(async move {
            let mut client = Client::connect(address).await;
            let mut due = interval(REPORTER_PERIOD);
            let mut took = Vec::new();
            for number in 0..REPORTS {
                let due_at = due.tick().await;
                let click = 1 + reporter * REPORTS + number;
                let target = format!("/v1/events/conversion?p1={click}&status=approved");
                let status = client.ask(&head("GET", &target, "203.0.113.9", 0)).await;
                took.push(due_at.elapsed());
                assert_eq!(status, 200, "postback {click}");
            }
            took
        });
    }
    let mut took: Vec<_> = reporters.join_all().await.into_iter().flatten().collect();
    took.sort();
    took
}

/// Sends clicks and follows links, turn by turn, until it is ended; and counts answers.
async fn flood(address: SocketAddr, counts: UnboundedSender<(bool, u16)>) {
    let mut client = Client::connect(address).await;
    let body = format!(r#"{{"link_id": "{LINK}"}}"#);
    let click = head("POST", "/v1/events/click", "203.0.113.9", body.len()) + &body;
    let follow = head("GET", "/r/diwali", "203.0.113.9", 0);
    let mut due = interval(FLOODER_PERIOD);
    loop {
        for (clicked, request) in [(true, &click), (false, &follow)] {
            due.tick().await;
            let status = client.ask(request).await;
            if counts.send((clicked, status)).is_err() {
                return;
            }
        }
    }
}

fn show(name: &str, took: &[Duration]) {
    let at = |share: usize| took[took.len() * share / 100];
    let (p50, p99) = (at(50), at(99));
    println!("{name}: {} postbacks, p50 {p50:?}, p99 {p99:?}", took.len());
}

/// Prints figures, and asserts none: `cargo test -p ingest --test http -- --ignored --nocapture`.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "a load run: several seconds of all cores"]
async fn a_flood_of_clicks_is_held_back_and_postbacks_are_not() {
    let world = World::start().await;
    // Ids are drawn by the millisecond: the world's time has to pass.
    let (clock, begun) = (world.clock.clone(), Instant::now());
    let ticking = tokio::spawn(async move {
        loop {
            let millis = i64::try_from(begun.elapsed().as_millis()).expect("not that long");
            clock.set(NOW.plus_millis(millis));
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    });
    show("alone", &report(world.address).await);

    let (counts, mut counted) = unbounded_channel();
    let mut flooders = JoinSet::new();
    let started = Instant::now();
    for _ in 0..FLOODERS {
        flooders.spawn(flood(world.address, counts.clone()));
    }
    drop(counts);
    show("in the flood", &report(world.address).await);
    flooders.shutdown().await;
    ticking.abort();
    let lasted = started.elapsed();

    let (mut taken, mut refused, mut sent_on) = (0_u64, 0_u64, 0_u64);
    while let Some((clicked, status)) = counted.recv().await {
        match (clicked, status) {
            (true, 200) => taken += 1,
            (true, 429) => refused += 1,
            (false, 302) => sent_on += 1,
            other => panic!("{other:?}"),
        }
    }
    let recorded = world.clicks().await.len() as u64;
    println!(
        "the flood: {lasted:?}, {taken} clicks taken, {refused} refused, {sent_on} links followed; \
         {recorded} clicks recorded"
    );
    let allowed = u64::from(CLICKS_PER_MINUTE) * (1 + lasted.as_secs().div_ceil(60));
    assert!(refused > 0 && sent_on > 0);
    assert!(recorded <= allowed, "{recorded} clicks, {allowed} allowed");
    assert_eq!(
        world.conversions().await.len() as u64,
        2 * REPORTERS * REPORTS
    );
}
