//! Postbacks by address and by signature, and how often they may come.

use std::{io::Write, process::Stdio};

use ingest::{
    Limits, Settings,
    senders::{Sender, Senders},
    signature::SigningSecrets,
};
use schemas::NetworkId;

use crate::world::{
    Answer, CLICKS_PER_MINUTE, Config, GUARDED_NETWORK, LINK, NOW, SECURITY_TOKEN, World, signature,
};

const SECRET: &str = "an example secret";
const POSTBACK: &str = "/v1/events/conversion";

/// The first network signs; the guarded one sends from two networks.
async fn guarded() -> World {
    let secrets = SigningSecrets::parse(SECRET).expect("a secret");
    let signing = Sender {
        sources: Vec::new(),
        secrets: Some(secrets),
    };
    let sources = ["203.0.113.0/24", "2001:db8::/32"];
    let by_address = Sender {
        sources: sources
            .map(|text| text.parse().expect("a network"))
            .to_vec(),
        secrets: None,
    };
    let senders = Senders::from([(NetworkId::new(1), signing), (GUARDED_NETWORK, by_address)]);
    let settings = Settings {
        senders,
        limits: Limits {
            body_bytes_max: 1_000,
            ..Limits::default()
        },
        ..Settings::default()
    };
    World::with(Config {
        settings,
        ..Config::default()
    })
    .await
}

async fn from(world: &World, forwarded_for: &str) -> Answer {
    let target = format!("{POSTBACK}?p1=7&network=2&security_token={}", {
        SECURITY_TOKEN.replace(' ', "%20")
    });
    let headers = format!("X-Forwarded-For: {forwarded_for}\r\n");
    world.get_with(&target, &headers).await
}

#[tokio::test]
async fn only_a_networks_own_addresses_report_for_it() {
    let world = guarded().await;
    for outside in [
        "203.0.114.9",
        "2001:db9::1",
        "203.0.113.9, 198.51.100.7",
        "nobody",
    ] {
        let answer = from(&world, outside).await;
        assert_eq!(
            (answer.status, answer.code().as_str()),
            (403, "source_not_allowed")
        );
    }
    assert!(world.conversions().await.is_empty());
    for inside in ["203.0.113.9", "2001:db8::1", "198.51.100.7, 203.0.113.9"] {
        assert_eq!(from(&world, inside).await.ignored(), None, "{inside}");
    }
    assert_eq!(world.conversions().await.len(), 3);
    let refused = world.counted("hissaback_ingest_rejected_total", "source_not_allowed");
    assert_eq!(refused, 4);
}

#[tokio::test]
async fn the_body_may_name_the_network_and_is_held_to_it() {
    let world = guarded().await;
    let form = "application/x-www-form-urlencoded";
    let answer = world.post(POSTBACK, form, b"p1=7&network=2").await;
    assert_eq!(answer.code(), "source_not_allowed");
    // One that can't be read is held to the default network's rules.
    let answer = world
        .post(POSTBACK, "application/json", b"{\"network\": 2")
        .await;
    assert_eq!(answer.code(), "signature_invalid");
    assert!(world.conversions().await.is_empty());
}

#[tokio::test]
async fn a_network_that_signs_is_taken_by_its_signature_only() {
    let world = guarded().await;
    let query = "p1=7&status=approved";
    let target = format!("{POSTBACK}?{query}");
    let answer = world.get(&target).await;
    assert_eq!(
        (answer.status, answer.code().as_str()),
        (403, "signature_invalid")
    );
    let signed = signature(SECRET, NOW, query, "");
    let answer = world.get_with(&target, &signed).await;
    assert_eq!(answer.ignored(), None);
    for (secret, at, query) in [
        ("another secret, as long", NOW, query),
        (SECRET, NOW, "p1=7&status=pending"),
        (SECRET, NOW.plus_millis(-301_000), query),
        (SECRET, NOW.plus_millis(301_000), query),
    ] {
        let forged = signature(secret, at, query, "");
        assert_eq!(
            world.get_with(&target, &forged).await.status,
            403,
            "{at} {query}"
        );
    }
    let body = r#"{"p1": "8"}"#;
    let headers = format!(
        "Content-Type: application/json\r\n{}",
        signature(SECRET, NOW, "", body)
    );
    let answer = world.request("POST", POSTBACK, &headers, Some(body.as_bytes()));
    assert_eq!(answer.await.ignored(), None);
    let other = world.request("POST", POSTBACK, &headers, Some(br#"{"p1": "9"}"#));
    assert_eq!(other.await.code(), "signature_invalid");
    assert_eq!(world.conversions().await.len(), 2);
}

/// Within the tolerance a captured request can be sent again: it is the same report, which the
/// ledger takes for a repetition, as it does a network's own retry.
#[tokio::test]
async fn a_replay_within_the_tolerance_is_the_same_report_again() {
    let world = guarded().await;
    let target = format!("{POSTBACK}?p1=7");
    let signed = signature(SECRET, NOW, "p1=7", "");
    for _ in 0..2 {
        assert_eq!(world.get_with(&target, &signed).await.ignored(), None);
    }
    let conversions = world.conversions().await;
    let [(first, one), (second, other)] = conversions.as_slice() else {
        panic!("two records: {conversions:?}")
    };
    assert_eq!((&first.key, &one.reported), (&second.key, &other.reported));
    assert_eq!(one.raw.sha256, other.raw.sha256);
    world.clock.set(NOW.plus_millis(301_000));
    assert_eq!(
        world.get_with(&target, &signed).await.code(),
        "signature_invalid"
    );
}

#[tokio::test]
async fn what_is_too_long_to_be_checked_is_not_taken_from_a_network_that_signs() {
    let world = guarded().await;
    let body = format!("p1=7&x={}", "x".repeat(2_000));
    let headers = format!(
        "Content-Type: application/x-www-form-urlencoded\r\n{}",
        signature(SECRET, NOW, "", &body)
    );
    let answer = world.request("POST", POSTBACK, &headers, Some(body.as_bytes()));
    let answer = answer.await;
    assert_eq!(
        (answer.status, answer.code().as_str()),
        (413, "body_too_large")
    );
    assert!(world.conversions().await.is_empty());
}

#[tokio::test]
async fn an_address_has_so_many_clicks_and_as_many_postbacks_as_it_likes() {
    let world = World::start().await;
    let headers = "X-Forwarded-For: 203.0.113.9\r\n";
    let json = format!(r#"{{"link_id": "{LINK}"}}"#);
    let click = async |headers: &str| {
        let answer = world.request("POST", "/v1/events/click", headers, Some(json.as_bytes()));
        answer.await
    };
    for sent in 1..=CLICKS_PER_MINUTE {
        let answer = click(headers).await;
        assert_eq!(answer.status, 200);
        // One may have come back in the meantime.
        let remaining: u32 = answer.headers["ratelimit-remaining"]
            .parse()
            .expect("a number");
        assert!(remaining >= CLICKS_PER_MINUTE - sent);
        assert_eq!(
            answer.headers["ratelimit-limit"],
            CLICKS_PER_MINUTE.to_string()
        );
    }
    let mut refused = click(headers).await;
    // The clock of the limits is the machine's: a slow one lets a few more in.
    for _ in 0..CLICKS_PER_MINUTE {
        if refused.status == 429 {
            break;
        }
        refused = click(headers).await;
    }
    assert_eq!(
        (refused.status, refused.code().as_str()),
        (429, "too_many_requests")
    );
    assert!(refused.headers["retry-after"].parse::<u32>().is_ok());
    // Another shopper behind the same proxy, and the proxy itself.
    assert_eq!(click("X-Forwarded-For: 203.0.113.10\r\n").await.status, 200);
    assert_eq!(click("").await.status, 200);
    for number in 0..2 * CLICKS_PER_MINUTE {
        let target = format!("{POSTBACK}?p1={}", number + 1);
        assert_eq!(world.get_with(&target, headers).await.ignored(), None);
    }
}

/// A file of 20 MiB of zeros, packed into 20 KiB by gzip.
fn bomb() -> Vec<u8> {
    let mut gzip = std::process::Command::new("gzip")
        .arg("-9")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("gzip is there");
    let mut input = gzip.stdin.take().expect("piped");
    let writer = std::thread::spawn(move || {
        input
            .write_all(&vec![0; 20 * 1024 * 1024])
            .expect("written");
    });
    let packed = gzip.wait_with_output().expect("packed").stdout;
    writer.join().expect("written");
    packed
}

#[tokio::test]
async fn a_decompression_bomb_does_not_go_off() {
    let world = World::start().await;
    let bomb = bomb();
    assert!((1_000..60_000).contains(&bomb.len()), "{}", bomb.len());
    let headers = "Content-Type: application/json\r\nContent-Encoding: gzip\r\n";
    let target = format!("{POSTBACK}?p1=7");
    let answer = world.request("POST", &target, headers, Some(&bomb)).await;
    assert_eq!(answer.ignored().as_deref(), Some("content_type_unknown"));
    let (_, report) = world.conversion().await;
    assert!(
        report.raw.bytes.len() < 100,
        "it is neither kept nor unpacked"
    );
    let answer = world.request("POST", "/v1/events/click", headers, Some(&bomb));
    let answer = answer.await;
    assert!([400, 413].contains(&answer.status), "{answer:?}");
}
