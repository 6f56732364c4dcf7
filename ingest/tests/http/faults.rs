//! When the log doesn't take records: never a 200 that isn't durable, never anything but 503.

use std::time::Duration;

use ingest::{Limits, Settings};
use stream::Log;
use tokio::{net::TcpStream, task::JoinHandle};

use crate::world::{Answer, Config, World, conversions, exchange};

const POSTBACK: &str = "/v1/events/conversion?p1=7";
const RAW_POSTBACK: &[u8] =
    b"GET /v1/events/conversion?p1=7 HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\r\n";

fn assert_try_again(answer: &Answer) {
    assert_eq!(answer.status, 503, "{answer:?}");
    assert_eq!(answer.headers["content-type"], "application/problem+json");
    assert!(answer.headers["retry-after"].parse::<u32>().is_ok());
    assert_eq!(answer.json()["status"], 503);
}

fn limited(limits: Limits) -> Config {
    Config {
        settings: Settings {
            limits,
            ..Settings::default()
        },
        ..Config::default()
    }
}

#[tokio::test]
async fn a_lost_acknowledgement_is_no_success_and_a_retry_is_harmless() {
    let world = World::start().await;
    world.faults.lose_acknowledgements(1);
    assert_try_again(&world.get(POSTBACK).await);
    assert_eq!(world.conversions().await.len(), 1);
    assert_eq!(world.get(POSTBACK).await.ignored(), None);
    assert_eq!(world.conversions().await.len(), 2);
    assert_eq!(
        world.counted("hissaback_ingest_accepted_total", "postback"),
        1
    );
    assert_eq!(
        world.counted("hissaback_ingest_rejected_total", "undecided"),
        1
    );
}

#[tokio::test]
async fn a_log_that_refuses_or_is_gone_is_a_503_on_every_endpoint() {
    let world = World::start().await;
    world.faults.refuse_appends(1);
    assert_try_again(&world.get(POSTBACK).await);
    world.faults.set_unreachable(true);
    assert_try_again(&world.get(POSTBACK).await);
    assert_try_again(&world.get("/r/diwali").await);
    let click = format!(r#"{{"link_id": "{}"}}"#, crate::world::LINK);
    assert_try_again(
        &world
            .post("/v1/events/click", "application/json", click.as_bytes())
            .await,
    );
    world.faults.set_unreachable(false);
    assert!(world.conversions().await.is_empty());
    assert!(world.clicks().await.is_empty());
    world.log.close().await;
    assert_try_again(&world.get(POSTBACK).await);
}

/// A world whose log has room for one record and holds it back, the request that waits for it,
/// and the answer to one that found no room: the first is under way for certain.
async fn one_under_way() -> (World, JoinHandle<Answer>, Answer) {
    let log = stream::Limits {
        in_flight_records_max: 1,
        ..stream::Limits::default()
    };
    let world = World::with(Config {
        log,
        ..Config::default()
    })
    .await;
    world.log.hold_writes(true);
    let mut one = tokio::spawn(exchange(world.address, RAW_POSTBACK));
    let mut other = tokio::spawn(exchange(world.address, RAW_POSTBACK));
    let (refused, held) = tokio::select! {
        refused = &mut one => (refused, other),
        refused = &mut other => (refused, one),
    };
    (world, held, refused.expect("answered"))
}

#[tokio::test]
async fn a_full_log_refuses_at_once_and_what_is_under_way_goes_through() {
    let (world, held, refused) = one_under_way().await;
    assert_try_again(&refused);
    assert_eq!(refused.headers["retry-after"], "1");
    assert_eq!(
        world.counted("hissaback_ingest_rejected_total", "overloaded"),
        1
    );
    assert!(world.conversions().await.is_empty());
    assert!(!held.is_finished());
    world.log.hold_writes(false);
    assert_eq!(held.await.expect("answered").ignored(), None);
    assert_eq!(world.conversions().await.len(), 1);
}

#[tokio::test]
async fn a_log_that_stalls_is_not_waited_for_without_end() {
    let append_timeout = Duration::from_millis(20);
    let world = World::with(limited(Limits {
        append_timeout,
        ..Limits::default()
    }))
    .await;
    world.log.hold_writes(true);
    assert_try_again(&world.get(POSTBACK).await);
    assert_eq!(
        world.counted("hissaback_ingest_rejected_total", "too_slow"),
        1
    );
}

#[tokio::test]
async fn ids_that_are_used_up_come_back_with_the_clock() {
    let event_id_timeout = Duration::from_millis(20);
    let world = World::with(limited(Limits {
        event_id_timeout,
        ..Limits::default()
    }))
    .await;
    let now = stream::Clock::now(&*world.clock);
    while world
        .event_ids
        .lock()
        .expect("unpoisoned")
        .draw(now)
        .is_ok()
    {}
    assert_try_again(&world.get(POSTBACK).await);
    assert!(world.conversions().await.is_empty());
    world.clock.advance(Duration::from_millis(1));
    assert_eq!(world.get(POSTBACK).await.ignored(), None);
}

#[tokio::test]
async fn a_stop_lets_requests_under_way_finish() {
    let (world, held, _) = one_under_way().await;
    let address = world.address;
    let (log, server) = world.stop();
    while TcpStream::connect(address).await.is_ok() {
        tokio::task::yield_now().await;
    }
    assert!(!server.is_finished() && !held.is_finished());
    log.hold_writes(false);
    assert_eq!(held.await.expect("answered").ignored(), None);
    server.await.expect("the server ends");
    assert_eq!(conversions(&log).await.len(), 1);
}
