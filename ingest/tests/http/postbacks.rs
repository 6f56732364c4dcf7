//! Postbacks: what is accepted is in the log as answered, and so is what can't be used.

use ingest::{Limits, Settings};
use schemas::{
    Amount, ClickId, LinkId, NetworkId, OfferId, Timestamp,
    events::{ClickSignals, ConversionReported, Malformed, NetworkStatus, ReportSource},
    token::{ClickToken, TokenKeys},
};
use uuid::Uuid;

use crate::world::{Config, GUARDED_NETWORK, NOW, World, sha256, token_keys};

const PATH: &str = "/v1/events/conversion";
const FORM: &str = "application/x-www-form-urlencoded";

fn seal(keys: &TokenKeys, click_id: i64) -> String {
    let token = ClickToken {
        click_id: ClickId::new(click_id),
        clicked_at: NOW,
        link_id: LinkId::new(Uuid::from_u128(9)),
        offer_id: OfferId::new(1),
        user_id: None,
        country: None,
        signals: ClickSignals::default(),
    };
    keys.seal(&token, [3; 24])
}

#[tokio::test]
async fn a_query_is_in_the_log_as_answered() {
    let world = World::start().await;
    let token = seal(&token_keys(), 77);
    let query = format!(
        "click_id=5f2b18c4d3a9e07f6b1c2d3e&p1={token}&offer_id=41&sale_amount=1999.00\
         &status=approved&txn_id=ORD-1&phone=98765"
    );
    let answer = world.get(&format!("{PATH}?{query}")).await;
    assert_eq!(answer.body, r#"{"status":"ok"}"#);
    assert_eq!(answer.headers["content-type"], "application/json");
    assert_eq!(answer.ignored(), None);

    let (record, event) = world.conversion().await;
    assert_eq!(record.key, "77");
    assert_eq!(event.click_id, Some(ClickId::new(77)));
    assert_eq!(event.received_at, NOW);
    assert_eq!(event.source, ReportSource::Postback);
    assert_eq!(event.network_id, NetworkId::new(1));
    assert_eq!(event.malformed, None);
    let reported = event.reported.expect("well-formed");
    assert_eq!(reported.click_ref, token);
    assert_eq!(
        reported.sale_amount,
        Some(Amount::from_micros(1_999_000_000))
    );
    assert_eq!(reported.status, Some(NetworkStatus::Approved));
    assert_eq!(event.raw.content_type, "query");
    assert_eq!(event.raw.sha256, sha256(query.as_bytes()));
    assert_eq!(
        event.raw.bytes,
        query.replace("98765", "[redacted]").into_bytes()
    );
    assert!(!event.raw.truncated);
    assert_eq!(
        world.counted("hissaback_ingest_accepted_total", "postback"),
        1
    );
}

#[tokio::test]
async fn query_and_body_merge_and_the_body_wins() {
    let world = World::start().await;
    let target = format!("{PATH}?click_id=7&status=pending&txn_id=A");
    assert_eq!(
        world
            .post(&target, FORM, b"status=approved&txn_id=")
            .await
            .ignored(),
        None
    );
    let json = br#"{"status": "approved", "sale_amount": 0.30, "txn_id": null}"#;
    let json_type = "application/json; charset=utf-8";
    assert_eq!(world.post(&target, json_type, json).await.ignored(), None);
    assert_eq!(
        world.post(&target, "application/json", b"").await.ignored(),
        None
    );

    let events = world.conversions().await;
    let reported: Vec<_> = events
        .iter()
        .map(|(_, event)| event.reported.clone().expect("well-formed"))
        .collect();
    assert!(
        reported
            .iter()
            .all(|report| report.txn_id.as_deref() == Some("A"))
    );
    assert_eq!(reported[0].status, Some(NetworkStatus::Approved));
    assert_eq!(reported[1].status, Some(NetworkStatus::Approved));
    assert_eq!(reported[1].sale_amount, Some(Amount::from_micros(300_000)));
    assert_eq!(reported[2].status, Some(NetworkStatus::Pending));
    let both = &events[0].1.raw;
    let whole = b"click_id=7&status=pending&txn_id=A\nstatus=approved&txn_id=";
    assert_eq!(both.bytes, whole);
    assert_eq!(both.sha256, sha256(whole));
    assert_eq!(events[2].1.raw.content_type, "query");
}

/// A postback that can't be used, and why. Without a content type it is a `GET`.
struct Bad {
    query: &'static str,
    content_type: &'static str,
    body: Vec<u8>,
    reason: Malformed,
}

fn query(query: &'static str, reason: Malformed) -> Bad {
    Bad {
        query,
        content_type: "",
        body: Vec::new(),
        reason,
    }
}

/// With `click_id=7` in the query.
fn body(content_type: &'static str, body: impl Into<Vec<u8>>, reason: Malformed) -> Bad {
    Bad {
        query: "?click_id=7",
        content_type,
        body: body.into(),
        reason,
    }
}

fn bad_queries() -> Vec<Bad> {
    vec![
        query("?sale_amount=1", Malformed::MissingClick),
        query("", Malformed::MissingClick),
        query("?click_id=&p1={p1}", Malformed::MissingClick),
        query(
            "?click_id=9223372036854775808",
            Malformed::ClickIdOutOfRange,
        ),
        query("?click_id=0", Malformed::ClickIdOutOfRange),
        query("?click_id=7&sale_amount=abc", Malformed::SaleAmountInvalid),
        query("?click_id=7&sale_amount=NaN", Malformed::SaleAmountInvalid),
        query("?click_id=7&sale_amount=-1", Malformed::SaleAmountNegative),
        query(
            "?click_id=7&sale_amount=99999999999999",
            Malformed::SaleAmountAbsurd,
        ),
        query("?click_id=7&payout=-2", Malformed::PayoutInvalid),
        query("?click_id=7&currency=BTC", Malformed::CurrencyUnknown),
        query("?click_id=7&offer_id=4294967296", Malformed::OfferIdInvalid),
        query("?click_id=7&txn_id=a%00b", Malformed::FieldInvalid),
        query("?click_id=7&network=99", Malformed::FieldInvalid),
        query("?click_id=7&network=one", Malformed::FieldInvalid),
        query("?click_id=7&created=soon", Malformed::ConvertedAtInvalid),
        query("?click_id=7&txn_id=%FF", Malformed::NotUtf8),
    ]
}

fn bad_bodies() -> Vec<Bad> {
    let json = "application/json";
    let multipart = "multipart/form-data; boundary=x";
    let long_field = format!("txn_id={}", "x".repeat(300));
    let long_reference = format!("click_id={}", "A".repeat(200));
    let deep = format!("{{\"p1\": \"7\", \"x\": {}", "[".repeat(50_000));
    vec![
        body(FORM, long_field, Malformed::FieldInvalid),
        Bad {
            query: "",
            ..body(FORM, long_reference, Malformed::ClickRefTooLong)
        },
        body(FORM, b"txn_id=\xFF", Malformed::NotUtf8),
        body(FORM, vec![b'a'; 300_000], Malformed::BodyTooLarge),
        body(
            json,
            br#"{"sale_amount": 1e999}"#,
            Malformed::SaleAmountInvalid,
        ),
        body(
            json,
            br#"{"sale_amount": 0.1234567}"#,
            Malformed::SaleAmountAbsurd,
        ),
        body(json, b"{\"sub1\": \"\xFF\"}", Malformed::NotUtf8),
        body(json, b"{\"txn_id\": 1", Malformed::JsonInvalid),
        body(json, b"{\"txn_id\": {}}", Malformed::JsonInvalid),
        body(json, b"[1]", Malformed::JsonInvalid),
        body(json, deep, Malformed::JsonInvalid),
        body("text/plain", b"txn_id=1", Malformed::ContentTypeUnknown),
        body(multipart, b"--x", Malformed::ContentTypeUnknown),
        body("\u{e9}", b"txn_id=1", Malformed::ContentTypeUnknown),
    ]
}

/// Every item of bad input: its answer, and that it is kept, with the same reason, unread.
#[tokio::test]
async fn bad_input_is_kept_with_its_reason() {
    let world = World::start().await;
    for (index, bad) in bad_queries().into_iter().chain(bad_bodies()).enumerate() {
        let target = format!("{PATH}{}", bad.query);
        let answer = if bad.content_type.is_empty() {
            world.get(&target).await
        } else {
            world.post(&target, bad.content_type, &bad.body).await
        };
        let shown = format!(
            "{target} {}",
            bad.body[..bad.body.len().min(60)].escape_ascii()
        );
        let name = ingest::reason_name(bad.reason);
        assert_eq!(answer.ignored().as_deref(), Some(name), "{shown}");
        assert!(
            world.counted("hissaback_ingest_ignored_total", name) > 0,
            "{shown}"
        );

        let conversions = world.conversions().await;
        assert_eq!(conversions.len(), index + 1, "{shown}");
        let newest = conversions.iter().max_by_key(|(_, event)| event.event_id);
        let (record, event) = newest.expect("just written");
        assert_eq!(event.malformed, Some(bad.reason), "{shown}");
        assert_eq!(event.reported, None, "{shown}");
        if bad.query.starts_with("?click_id=7") {
            assert_eq!(event.click_id, Some(ClickId::new(7)), "{shown}");
            assert_eq!(record.key, "7", "{shown}");
        }
    }
}

#[tokio::test]
async fn a_body_without_a_media_type_is_kept_unread() {
    let world = World::start().await;
    let answer = world.request("POST", PATH, "", Some(b"p1=7")).await;
    assert_eq!(answer.ignored().as_deref(), Some("content_type_unknown"));
    let (_, event) = world.conversion().await;
    assert_eq!(
        (event.raw.content_type.as_str(), event.raw.bytes.as_slice()),
        ("none", b"p1=7".as_slice())
    );
}

#[tokio::test]
async fn references_that_cannot_be_opened_are_accepted_and_keyed_by_their_text() {
    let world = World::start().await;
    let mut forged = seal(&token_keys(), 77);
    forged.replace_range(60..61, if &forged[60..61] == "A" { "B" } else { "A" });
    let other_keys = TokenKeys::new(&[(9, [9; 32])]).expect("a key ring");
    let unknown_key = seal(&other_keys, 77);
    for reference in [forged.as_str(), unknown_key.as_str(), "who-knows"] {
        assert_eq!(
            world.get(&format!("{PATH}?p1={reference}")).await.ignored(),
            None
        );
        let conversions = world.conversions().await;
        let found = conversions
            .iter()
            .find(|(record, _)| record.key == reference);
        let (_, event) = found.expect("keyed by its text");
        assert_eq!(event.click_id, None);
        assert_eq!(
            event
                .reported
                .as_ref()
                .map(|report| report.click_ref.as_str()),
            Some(reference)
        );
    }
    world.get(&format!("{PATH}?x=1")).await;
    let conversions = world.conversions().await;
    let keyed_by_id = |(record, event): &(stream::Record, ConversionReported)| {
        record.key == event.event_id.to_string()
    };
    assert_eq!(
        conversions.iter().filter(|pair| keyed_by_id(pair)).count(),
        1
    );
}

#[tokio::test]
async fn of_an_oversized_body_the_head_is_kept_and_the_whole_hashed() {
    let world = World::start().await;
    let mut body = b"p1=7&phone=98765&".to_vec();
    body.resize(10_000_000, b'x');
    let answer = world.post(PATH, FORM, &body).await;
    assert_eq!(answer.ignored().as_deref(), Some("body_too_large"));
    let (_, event) = world.conversion().await;
    assert!(event.raw.truncated);
    assert_eq!(event.raw.bytes.len(), 64 * 1024);
    assert!(event.raw.bytes.starts_with(b"p1=7&phone=[redacted]&xxx"));
    assert_eq!(event.raw.sha256, sha256(&body));
}

#[tokio::test]
async fn a_body_without_end_is_answered_before_its_end() {
    let limits = Limits {
        body_bytes_max: 1_000,
        excess_bytes_max: 1_000,
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
    // Most of what is announced never comes.
    let mut request = format!(
        "POST {PATH} HTTP/1.1\r\nHost: t\r\nContent-Type: {FORM}\r\n\
         Content-Length: 1000000000\r\n\r\n"
    )
    .into_bytes();
    request.resize(request.len() + 3_000, b'x');
    let answer = world.exchange(&request).await;
    assert_eq!(answer.ignored().as_deref(), Some("body_too_large"));
    let (_, event) = world.conversion().await;
    assert_eq!(event.malformed, Some(Malformed::BodyTooLarge));
    assert_eq!(event.raw.bytes.len(), 1_000);
}

#[tokio::test]
async fn a_chunked_body_is_a_body() {
    let world = World::start().await;
    let request = format!(
        "POST {PATH} HTTP/1.1\r\nHost: t\r\nConnection: close\r\nContent-Type: {FORM}\r\n\
         Transfer-Encoding: chunked\r\n\r\n5\r\np1=7&\r\n8\r\ntxn_id=1\r\n0\r\n\r\n"
    );
    assert_eq!(world.exchange(request.as_bytes()).await.ignored(), None);
    let (_, event) = world.conversion().await;
    assert_eq!(event.raw.bytes, b"p1=7&txn_id=1");
    assert_eq!(event.raw.sha256, sha256(b"p1=7&txn_id=1"));
}

#[tokio::test]
async fn a_compressed_body_is_neither_unpacked_nor_kept() {
    let world = World::start().await;
    let headers = "Content-Type: application/json\r\nContent-Encoding: gzip\r\n";
    let body = b"\x1f\x8b secret";
    let answer = world
        .request("POST", &format!("{PATH}?p1=7"), headers, Some(body))
        .await;
    assert_eq!(answer.ignored().as_deref(), Some("content_type_unknown"));
    let (_, event) = world.conversion().await;
    assert!(event.raw.truncated && !event.raw.bytes.ends_with(b"secret"));
    assert_eq!(event.raw.sha256, sha256(b"p1=7\n\x1f\x8b secret"));
}

#[tokio::test]
async fn secrets_and_personal_data_never_reach_the_log() {
    let world = World::start().await;
    let json = "application/json";
    for (query, content_type, body) in [
        (
            "?p1=7&security_token=SECRET&email=SECRET&Customer_Name=SECRET",
            FORM,
            "ip=SECRET",
        ),
        (
            "",
            json,
            r#"{"p1": "7", "customer": 1, "customer_x": {"a": "SECRET"}}"#,
        ),
        ("", json, r#"{"p1": "7", "phone": "SECRET"}"#),
        ("", json, r#"{"p1": "7", "phone": "SECRET"#),
        ("", json, "p1=7&phone=SECRET"),
        ("", FORM, r#"{"p1": "7", "phone": "SECRET"}"#),
        ("", "text/xml", "<p1>7</p1><phone>SECRET</phone>"),
        (
            "",
            "multipart/form-data",
            "name=\"phone\"\r\n\r\nSECRET\r\n",
        ),
    ] {
        world
            .post(&format!("{PATH}{query}"), content_type, body.as_bytes())
            .await
            .ignored();
    }
    let conversions = world.conversions().await;
    assert_eq!(conversions.len(), 8);
    for (record, event) in conversions {
        let kept = event.raw.bytes.escape_ascii().to_string();
        assert!(kept.contains("[redacted]"), "{kept}");
        assert!(
            !record.value.windows(6).any(|window| window == b"SECRET"),
            "{kept}"
        );
    }
}

#[tokio::test]
async fn the_security_token_is_asked_for_where_configured() {
    let world = World::start().await;
    let base = format!("{PATH}?p1=7&network={GUARDED_NETWORK}&created=2026-01-02%2005:30:00");
    let refused = Some("security_token_invalid".to_owned());
    assert_eq!(world.get(&base).await.ignored(), refused);
    assert_eq!(
        world
            .get(&format!("{base}&security_token=open"))
            .await
            .ignored(),
        refused
    );
    let right = format!("{base}&security_token=open%20sesame");
    assert_eq!(world.get(&right).await.ignored(), None);
    let form = b"security_token=open+sesame";
    assert_eq!(world.post(&base, FORM, form).await.ignored(), None);

    let conversions = world.conversions().await;
    assert_eq!(conversions.len(), 4);
    for (_, event) in conversions {
        assert_eq!(event.network_id, GUARDED_NETWORK);
        assert_eq!(event.reported.is_some(), event.malformed.is_none());
        if let Some(reported) = event.reported {
            // The instance's clocks are 330 minutes ahead.
            assert_eq!(
                reported.converted_at,
                Timestamp::parse("2026-01-02T00:00:00Z")
            );
        }
    }
}

#[tokio::test]
async fn other_methods_write_nothing() {
    let world = World::start().await;
    for method in ["HEAD", "PUT", "DELETE"] {
        let answer = world
            .request(method, &format!("{PATH}?p1=7"), "", None)
            .await;
        assert_eq!(answer.status, 405, "{method}");
    }
    assert!(world.conversions().await.is_empty());
}
