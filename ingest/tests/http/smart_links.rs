//! Smart links: whose, for whom, and where the counting stops.

use schemas::events::{ClickSignals, Device};

use crate::world::{Answer, CLICKS_PER_MINUTE, World, token_keys};

const DIWALI: &str = "/r/diwali";
const REDIRECTS: &str = "hissaback_ingest_redirects_total";

async fn under(world: &World, host: &str, target: &str) -> Answer {
    let request = format!("GET {target} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
    world.exchange(request.as_bytes()).await
}

#[tokio::test]
async fn a_tenants_domain_serves_its_own_links_only() {
    let world = World::start().await;
    for host in ["shop.creator.example", "SHOP.Creator.Example:443"] {
        assert_eq!(under(&world, host, "/r/own").await.status, 302, "{host}");
        let foreign = under(&world, host, DIWALI).await;
        assert_eq!(
            (foreign.status, foreign.code().as_str()),
            (404, "not_found")
        );
    }
    for host in ["hissaback.app", "127.0.0.1", "creator.example", "@"] {
        assert_eq!(under(&world, host, "/r/own").await.status, 302, "{host}");
        assert_eq!(under(&world, host, DIWALI).await.status, 302, "{host}");
    }
    // A trusted proxy says what it was asked for.
    let forwarded = "X-Forwarded-Host: shop.creator.example\r\n";
    assert_eq!(world.get_with(DIWALI, forwarded).await.status, 404);
    assert_eq!(world.get_with("/r/own", forwarded).await.status, 302);
}

#[tokio::test]
async fn a_campaign_that_is_over_takes_no_clicks_either() {
    let world = World::start().await;
    let json = format!(r#"{{"link_id": "{}"}}"#, crate::world::ENDED_LINK);
    let answer = world.post("/v1/events/click", "application/json", json.as_bytes());
    let answer = answer.await;
    assert_eq!((answer.status, answer.code().as_str()), (410, "link_ended"));
    assert!(world.clicks().await.is_empty());
}

#[tokio::test]
async fn shoppers_are_sent_on_where_the_counting_stops_and_their_sales_count() {
    let world = World::start().await;
    let headers = "X-Forwarded-For: 203.0.113.9\r\n";
    let sent = 3 * u64::from(CLICKS_PER_MINUTE);
    let mut last = None;
    for _ in 0..sent {
        let answer = world.get_with(DIWALI, headers).await;
        assert_eq!(answer.status, 302);
        last = Some(answer);
    }
    let recorded = world.counted(REDIRECTS, "recorded");
    let uncounted = world.counted(REDIRECTS, "over_limit");
    assert_eq!(recorded + uncounted, sent);
    assert!(
        recorded >= u64::from(CLICKS_PER_MINUTE) && uncounted > 0,
        "{recorded}"
    );
    let clicks = world.clicks().await;
    assert_eq!(clicks.len() as u64, recorded);
    let accepted = world.counted("hissaback_ingest_accepted_total", "redirect");
    assert_eq!(accepted, recorded);
    let location = &last.expect("some").headers["location"];
    let (_, token) = location.rsplit_once("p1=").expect("a token");
    assert!(token_keys().open(token).is_ok(), "{location}");
    let postback = format!("/v1/events/conversion?p1={token}");
    assert_eq!(world.get(&postback).await.ignored(), None);
    // Others are counted on.
    world
        .get_with(DIWALI, "X-Forwarded-For: 203.0.113.10\r\n")
        .await;
    assert_eq!(world.clicks().await.len(), clicks.len() + 1);
}

#[tokio::test]
async fn bots_and_previewers_are_sent_on_and_counted_apart() {
    let world = World::start().await;
    for agent in [
        "WhatsApp/2.23.20.0",
        "Googlebot/2.1",
        "Mozilla/5.0 (iPhone) Mobile",
    ] {
        let headers = format!("User-Agent: {agent}\r\n");
        assert_eq!(world.get_with(DIWALI, &headers).await.status, 302);
    }
    for visitor in ["previewer", "bot", "person"] {
        assert_eq!(world.counted(REDIRECTS, visitor), 1, "{visitor}");
    }
    let clicks = world.clicks().await;
    let machines: Vec<_> = clicks
        .iter()
        .filter(|(_, click)| click.signals == ClickSignals::BOT)
        .collect();
    assert_eq!(machines.len(), 2);
    assert!(
        machines
            .iter()
            .all(|(_, click)| click.device == Device::Bot)
    );
}

#[tokio::test]
async fn a_person_who_follows_a_dead_link_reads_a_sentence() {
    let world = World::start().await;
    for (target, status) in [("/r/none", 404), ("/r/ended", 410)] {
        let headers = "Accept: text/html,application/xhtml+xml;q=0.9\r\n";
        let answer = world.get_with(target, headers).await;
        assert_eq!(answer.status, status);
        assert_eq!(answer.headers["content-type"], "text/html; charset=utf-8");
        assert_eq!(answer.headers["cache-control"], "no-store");
        let sentence = "<p>This link isn't available any more.</p>";
        assert!(answer.body.contains(sentence), "{}", answer.body);
    }
}

#[tokio::test]
async fn asking_where_a_link_leads_makes_no_click() {
    let world = World::start().await;
    let answer = world.request("HEAD", DIWALI, "", None).await;
    assert_eq!(answer.status, 302);
    assert!(answer.headers["location"].starts_with("https://t.example/click?"));
    assert_eq!(
        world.request("HEAD", "/r/ended", "", None).await.status,
        410
    );
    assert_eq!(world.counted(REDIRECTS, "asked_only"), 1);
    assert!(world.clicks().await.is_empty());
}

#[tokio::test]
async fn a_method_that_is_not_there_is_a_problem_too() {
    let world = World::start().await;
    for (method, target) in [
        ("DELETE", "/v1/events/click"),
        ("HEAD", "/v1/events/conversion"),
        ("POST", "/r/diwali"),
        ("PUT", "/v1/edge/links"),
    ] {
        let answer = world.request(method, target, "", None).await;
        assert_eq!(answer.status, 405, "{method} {target}");
        assert_eq!(answer.headers["content-type"], "application/problem+json");
    }
}
