//! Shoppers and networks, over HTTP.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    thread,
    time::{Duration, Instant},
};

use serde_json::Value;

/// How long anything may take that has to happen in the end. A test that waits so long has failed.
pub const PATIENCE: Duration = Duration::from_mins(2);

const LINK: &str = "7a1f3c52-0c1e-4a53-9a51-3f6b2f1d0005";
const USER: &str = "7a1f3c52-0c1e-4a53-9a51-3f6b2f1d0003";
/// What the example offer makes of each sale, in paise: 8% of 1,999.00.
pub const COMMISSION_PAISE: u32 = 15_992;

/// What was answered.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    /// Status line and headers.
    pub head: String,
    pub body: String,
}

impl Answer {
    pub fn json(&self) -> Value {
        // Whatever frames a chunked body stands outside the object.
        let (from, to) = (self.body.find(['{', '[']), self.body.rfind(['}', ']']));
        let (Some(from), Some(to)) = (from, to) else {
            panic!("no JSON: {self:?}");
        };
        serde_json::from_str(&self.body[from..=to])
            .unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// Asked to come again later.
    pub fn unavailable(&self) -> bool {
        let head = self.head.to_ascii_lowercase();
        assert!(
            self.status != 503 || head.contains("\r\nretry-after: "),
            "{self:?}"
        );
        self.status == 503
    }
}

/// One request; `None` when no whole answer came.
pub fn request(address: SocketAddr, head: &str, body: &str) -> Option<Answer> {
    let mut stream = TcpStream::connect_timeout(&address, Duration::from_secs(2)).ok()?;
    stream
        .set_read_timeout(Some(Duration::from_secs(15)))
        .ok()?;
    let length = body.len();
    write!(
        stream,
        "{head} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\
         Content-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}"
    )
    .ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    let status = answer.get(9..12)?.parse().ok()?;
    let (head, body) = answer.split_once("\r\n\r\n")?;
    Some(Answer {
        status,
        head: format!("{head}\r\n"),
        body: body.to_owned(),
    })
}

/// Repeats a request until one of these answers 200, as a network does behind a balancer.
fn insist(addresses: &[SocketAddr], head: &str, body: &str) -> String {
    let deadline = Instant::now() + PATIENCE;
    for address in addresses.iter().cycle() {
        match request(*address, head, body) {
            Some(answer) if answer.status == 200 => return answer.body,
            Some(answer) => assert!(answer.unavailable(), "{head}: {answer:?}"),
            None => {}
        }
        assert!(Instant::now() < deadline, "{head} was never answered");
        thread::sleep(Duration::from_millis(50));
    }
    panic!("nobody to ask");
}

/// The name of a sale's order.
pub fn order(sale: u32) -> String {
    format!("ORDER-{sale:05}")
}

pub fn click(sale: u32) -> String {
    // Few sales have a known shopper, who would soon exceed the velocity rule.
    let user = if sale < 4 {
        format!("\"{USER}\"")
    } else {
        "null".to_owned()
    };
    format!(r#"{{"link_id":"{LINK}","user_id":{user}}}"#)
}

/// One shopper: clicks, buys, and the network reports the sale. Returns once both are accepted.
pub fn sell(addresses: &[SocketAddr], sale: u32) {
    let first = usize::try_from(sale).expect("small") % addresses.len();
    let (after, before) = addresses.split_at(first);
    let addresses = [before, after].concat();
    let clicked = insist(&addresses, "POST /v1/events/click", &click(sale));
    let clicked: Value = serde_json::from_str(&clicked).expect("JSON");
    let token = clicked["click_token"].as_str().expect("a token");
    let order = order(sale);
    let postback = format!(
        "GET /v1/events/conversion?p1={token}&offer_id=5509&txn_id={order}\
         &sale_amount=1999.00&status=approved"
    );
    assert_eq!(insist(&addresses, &postback, ""), r#"{"status":"ok"}"#);
}

/// The sum of a counter's series.
pub fn counter(address: SocketAddr, name: &str) -> f64 {
    let answer = request(address, "GET /metrics", "");
    let Some(answer) = answer.filter(|answer| answer.status == 200) else {
        return 0.0;
    };
    answer
        .body
        .lines()
        .filter(|line| {
            line.strip_prefix(name)
                .is_some_and(|rest| rest.starts_with(['{', ' ']))
        })
        .filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok())
        .sum()
}

/// Waits until it is so.
pub fn until(what: &str, mut so: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !so() {
        assert!(Instant::now() < deadline, "{what}: never");
        thread::sleep(Duration::from_millis(50));
    }
}
