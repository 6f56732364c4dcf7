//! Clicks, by API and by redirect.

use ingest::Settings;
use schemas::{
    ClickId, Timestamp,
    events::{ClickOrigin, ClickSignals, Device},
};
use web::client_address::TrustedProxies;

use crate::world::{
    Answer, BROKEN_LINK, CAMPAIGN, Config, LINK, NOW, OFFER, TENANT, World, token_keys,
};

const CLICK: &str = "/v1/events/click";
const USER: &str = "7f1c0a4e-0c67-4c55-9a3c-0d7b7a3d5c11";
const PHONE: &str = "User-Agent: Mozilla/5.0 (iPhone; CPU iPhone OS 17_5) Mobile/15E148\r\n";

async fn click(world: &World, headers: &str, json: &str) -> Answer {
    world
        .request("POST", CLICK, headers, Some(json.as_bytes()))
        .await
}

fn untrusting() -> Config {
    let trusted_proxies = TrustedProxies::new(vec!["10.0.0.0/8".parse().expect("a network")]);
    Config {
        settings: Settings {
            trusted_proxies,
            ..Settings::default()
        },
        ..Config::default()
    }
}

#[tokio::test]
async fn a_click_is_in_the_log_as_answered() {
    let world = World::start().await;
    let headers = format!(
        "X-Forwarded-For: 1.1.1.1, 203.0.113.9\r\nCF-IPCountry: IN\r\nX-Client-Signals: proxy\r\n\
         Referer: https://creator.example/post?id=1\r\n{PHONE}"
    );
    let json = format!(
        r#"{{"link_id": "{LINK}", "user_id": "{USER}", "clicked_at": "2026-09-01T00:00:00Z"}}"#
    );
    let answer = click(&world, &headers, &json).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let answered = answer.json();
    let click_id: ClickId = answered["click_id"]
        .as_str()
        .unwrap()
        .parse()
        .expect("a string");

    let clicks = world.clicks().await;
    let [(record, event)] = clicks.as_slice() else {
        panic!("one click: {clicks:?}")
    };
    assert_eq!(record.key, click_id.to_string());
    assert_eq!(event.click_id, click_id);
    assert_eq!(
        Some(event.clicked_at),
        Timestamp::parse("2026-09-01T00:00:00Z")
    );
    assert_eq!(event.received_at, NOW);
    assert_eq!((event.tenant_id, event.campaign_id), (TENANT, CAMPAIGN));
    assert_eq!((event.link_id, event.offer_id), (LINK, OFFER));
    assert_eq!(
        event.user_id.map(|user| user.to_string()).as_deref(),
        Some(USER)
    );
    assert_eq!(
        event.country.map(|country| country.to_string()).as_deref(),
        Some("IN")
    );
    assert_eq!(
        (event.device, event.signals),
        (Device::Mobile, ClickSignals::PROXY)
    );
    assert_eq!(event.address_prefix.as_deref(), Some("203.0.113.0/24"));
    assert_eq!(event.address_hash.as_ref().map(String::len), Some(32));
    assert_eq!(
        event.referrer.as_deref(),
        Some("https://creator.example/post")
    );
    assert_eq!(event.origin, ClickOrigin::Api);
    assert!(
        !record
            .value
            .windows(11)
            .any(|window| window == b"203.0.113.9")
    );

    let token = token_keys()
        .open(answered["click_token"].as_str().unwrap())
        .expect("our token");
    assert_eq!(
        (token.click_id, token.clicked_at),
        (click_id, event.clicked_at)
    );
    assert_eq!((token.link_id, token.offer_id), (LINK, OFFER));
    assert_eq!(
        (token.user_id, token.country),
        (event.user_id, event.country)
    );
    assert_eq!(token.signals, event.signals);
}

#[tokio::test]
async fn only_a_trusted_peer_names_times_addresses_countries_and_signals() {
    let world = World::with(untrusting()).await;
    let headers = "X-Forwarded-For: 203.0.113.9\r\nCF-IPCountry: IN\r\nX-Client-Signals: proxy\r\n\
                   User-Agent: Googlebot/2.1\r\n";
    let json = format!(r#"{{"link_id": "{LINK}", "clicked_at": "2026-09-01T00:00:00Z"}}"#);
    assert_eq!(click(&world, headers, &json).await.status, 200);
    let clicks = world.clicks().await;
    let event = &clicks[0].1;
    assert_eq!(event.clicked_at, NOW);
    assert_eq!(event.country, None);
    assert_eq!(
        (event.device, event.signals),
        (Device::Bot, ClickSignals::BOT)
    );
    assert_eq!(event.address_prefix.as_deref(), Some("127.0.0.0/24"));
}

#[tokio::test]
async fn clicks_that_make_no_sense_are_refused() {
    let world = World::start().await;
    let large = format!(r#"{{"link_id": "{LINK}", "x": "{}"}}"#, "x".repeat(20_000));
    for (json, status) in [
        ("", 400),
        ("{}", 400),
        (r#"{"link_id": 7}"#, 400),
        (
            r#"{"link_id": "00000000-0000-0000-0000-0000000000ff"}"#,
            404,
        ),
        (&format!(r#"{{"link_id": "{LINK}", "user_id": "me"}}"#), 400),
        (
            &format!(r#"{{"link_id": "{LINK}", "clicked_at": "soon"}}"#),
            400,
        ),
        (
            &format!(r#"{{"link_id": "{LINK}", "clicked_at": "1970-01-01T00:00:00Z"}}"#),
            400,
        ),
        (&large, 413),
    ] {
        let answer = click(&world, "", json).await;
        assert_eq!(answer.status, status, "{json}");
        assert_eq!(answer.headers["content-type"], "application/problem+json");
        assert_eq!(answer.json()["status"], status);
    }
    assert!(world.clicks().await.is_empty());
}

#[tokio::test]
async fn a_redirect_carries_the_token_to_the_merchant_and_back() {
    let world = World::start().await;
    let target = format!("/r/diwali?u={USER}&p1=evil&pub_id=evil&utm_source=insta");
    let answer = world.get_with(&target, PHONE).await;
    assert_eq!(answer.status, 302);
    assert_eq!(answer.headers["cache-control"], "no-store");
    let location = &answer.headers["location"];
    let token = location.strip_prefix("https://t.example/click?campaign_id=41&pub_id=2&p1=");
    let token = token.and_then(|token| token.strip_suffix("&utm_source=insta"));
    let token = token.expect("the tracking link with the token, and the shopper's query");

    let clicks = world.clicks().await;
    let [(record, event)] = clicks.as_slice() else {
        panic!("one click: {clicks:?}")
    };
    assert_eq!(event.origin, ClickOrigin::Redirect);
    assert_eq!(
        event.user_id.map(|user| user.to_string()).as_deref(),
        Some(USER)
    );
    assert_eq!(
        token_keys().open(token).map(|token| token.click_id),
        Ok(event.click_id)
    );

    assert_eq!(
        world
            .get(&format!("/v1/events/conversion?p1={token}"))
            .await
            .ignored(),
        None
    );
    let (conversion, _) = world.conversion().await;
    assert_eq!(conversion.key, record.key);
    assert_eq!(conversion.position.partition, record.position.partition);
}

#[tokio::test]
async fn links_that_lead_nowhere_make_no_click() {
    let world = World::start().await;
    for target in ["/r/none", "/r/%FF", "/r/", "/r/a/b"] {
        assert_eq!(world.get(target).await.status, 404, "{target}");
    }
    for target in ["/r/broken", "/r/ended"] {
        let answer = world.get(target).await;
        assert_eq!((answer.status, answer.code().as_str()), (410, "link_ended"));
    }
    assert!(world.clicks().await.is_empty());
    // By API it needs no destination: the page that reports it has its own.
    let json = format!(r#"{{"link_id": "{BROKEN_LINK}"}}"#);
    assert_eq!(click(&world, "", &json).await.status, 200);
    // Whoever `u` names badly is sent on all the same.
    assert_eq!(world.get("/r/diwali?u=me").await.status, 302);
    assert_eq!(world.clicks().await.len(), 2);
}
