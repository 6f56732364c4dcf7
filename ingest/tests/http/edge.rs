//! What an edge asks for: the link table, and taking its clicks.

use ingest::{Settings, signature::SigningSecrets};
use schemas::{
    ClickId, Timestamp,
    event_id::drawn_at_edge,
    events::{ClickOrigin, ClickSignals, Device},
};
use serde_json::{Value, json};

use crate::world::{Answer, Config, ENDED_LINK, LINK, NOW, OWN_LINK, World, signature};

const SECRET: &str = "the edge's own secret";
const CLICKS: &str = "/v1/edge/clicks";
const LINKS: &str = "/v1/edge/links";
/// 2020-01-01.
const EPOCH_MILLIS: i64 = 1_577_836_800_000;

async fn world() -> World {
    let settings = Settings {
        edge_secrets: Some(SigningSecrets::parse(SECRET).expect("a secret")),
        ..Settings::default()
    };
    World::with(Config {
        settings,
        ..Config::default()
    })
    .await
}

/// As the recipe draws it.
fn click_id(at: Timestamp) -> ClickId {
    ClickId::new(((at.millis() - EPOCH_MILLIS) << 22) | (1 << 21) | 0x3039)
}

async fn tell(world: &World, body: &Value) -> Answer {
    let body = body.to_string();
    let headers = signature(SECRET, NOW, "", &body);
    world
        .request("POST", CLICKS, &headers, Some(body.as_bytes()))
        .await
}

#[tokio::test]
async fn a_click_at_the_edge_is_in_the_log_as_it_was_there() {
    let world = world().await;
    let at = NOW.plus_millis(-2_345);
    let click_id = click_id(at);
    assert_eq!(drawn_at_edge(click_id), Some(at));
    let told = json!({
        "click_id": click_id, "link_id": LINK, "address": "203.0.113.9", "country": "in",
        "user_agent": "Mozilla/5.0 (iPhone) Mobile", "referrer": "https://creator.example/a?b",
        "proxy": true,
    });
    let answer = tell(&world, &told).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(answer.json()["click_id"], click_id.to_string());
    let clicks = world.clicks().await;
    let [(record, click)] = clicks.as_slice() else {
        panic!("one click: {clicks:?}")
    };
    assert_eq!(record.key, click_id.to_string());
    assert_eq!(click.click_id, click_id);
    assert_eq!((click.clicked_at, click.received_at), (at, NOW));
    assert_eq!((click.link_id, click.origin), (LINK, ClickOrigin::Redirect));
    assert_eq!(
        (click.device, click.signals),
        (Device::Mobile, ClickSignals::PROXY)
    );
    assert_eq!(click.address_prefix.as_deref(), Some("203.0.113.0/24"));
    assert_eq!(click.referrer.as_deref(), Some("https://creator.example/a"));
    // The sale that names it lies in the click's partition.
    let postback = format!("/v1/events/conversion?p1={click_id}");
    assert_eq!(world.get(&postback).await.ignored(), None);
    let (conversion, report) = world.conversion().await;
    assert_eq!(report.click_id, Some(click_id));
    assert_eq!(conversion.position.partition, record.position.partition);
}

#[tokio::test]
async fn what_no_edge_signed_or_drew_is_not_taken() {
    let world = world().await;
    let told = json!({"click_id": click_id(NOW), "link_id": LINK});
    let body = told.to_string();
    for headers in [
        String::new(),
        signature("another secret, as long", NOW, "", &body),
        signature(SECRET, NOW.plus_millis(-301_000), "", &body),
        signature(SECRET, NOW, "", "{}"),
    ] {
        let answer = world.request("POST", CLICKS, &headers, Some(body.as_bytes()));
        let answer = answer.await;
        assert_eq!(
            (answer.status, answer.code().as_str()),
            (403, "signature_invalid")
        );
    }
    let own_half = ClickId::new(click_id(NOW).get() & !(1 << 21));
    for (told, field) in [
        (json!({"click_id": own_half, "link_id": LINK}), "click_id"),
        (json!({"click_id": "me", "link_id": LINK}), "click_id"),
        (json!({"click_id": click_id(NOW), "link_id": 7}), "link_id"),
        (
            json!({"click_id": click_id(NOW), "link_id": LINK, "address": "home"}),
            "address",
        ),
        (
            json!({"click_id": click_id(NOW), "link_id": LINK, "clicked_at": 7}),
            "clicked_at",
        ),
    ] {
        let answer = tell(&world, &told).await;
        assert_eq!(
            (answer.status, answer.code().as_str()),
            (400, "invalid_fields"),
            "{told}"
        );
        assert_eq!(answer.json()["errors"][0]["field"], field);
    }
    let unknown = json!({
        "click_id": click_id(NOW), "link_id": "00000000-0000-0000-0000-0000000000ff",
    });
    assert_eq!(tell(&world, &unknown).await.code(), "not_found");
    assert!(world.clicks().await.is_empty());
}

#[tokio::test]
async fn the_link_table_says_where_each_link_leads_or_that_it_has_ended() {
    let world = world().await;
    let signed = signature(SECRET, NOW, "", "");
    let answer = world.get_with(LINKS, &signed).await;
    assert_eq!(answer.status, 200);
    let table = answer.json();
    let entries = table.as_array().expect("a list");
    let keys: Vec<_> = entries.iter().map(|entry| entry["key"].as_str()).collect();
    assert_eq!(keys, ["broken", "diwali", "ended", "own"].map(Some));
    let value = |key: &str| -> Value {
        let entry = entries.iter().find(|entry| entry["key"] == key);
        let value = entry.expect("there")["value"].as_str().expect("text");
        serde_json::from_str(value).expect("JSON")
    };
    let url = "https://t.example/click?campaign_id=41&pub_id=2&p1=__CLICK_ID__";
    let expected = json!({"link_id": LINK, "url": url, "domain": null});
    assert_eq!(value("diwali"), expected);
    let domain = "shop.creator.example";
    let expected = json!({"link_id": OWN_LINK, "url": url, "domain": domain});
    assert_eq!(value("own"), expected);
    let expected = json!({"link_id": ENDED_LINK, "url": null, "domain": domain});
    assert_eq!(value("ended"), expected);
    assert_eq!(value("broken")["url"], Value::Null);

    let known = format!("{signed}If-None-Match: {}\r\n", answer.headers["etag"]);
    assert_eq!(world.get_with(LINKS, &known).await.status, 304);
    assert_eq!(world.get(LINKS).await.code(), "signature_invalid");
}

#[tokio::test]
async fn without_an_edge_there_is_nothing_to_ask() {
    let world = World::start().await;
    let signed = signature(SECRET, NOW, "", "");
    assert_eq!(world.get_with(LINKS, &signed).await.code(), "not_found");
    assert_eq!(tell(&world, &json!({})).await.code(), "not_found");
}
