//! The dispatcher when nothing, or one thing, goes wrong.

use std::{sync::atomic::Ordering, time::Duration};

use schemas::{
    Topic, UserId,
    events::{ChannelSwitch, CommandBody, ReleasePayout, ResendMessage},
};
use sinks::payouts::{
    claim_codes::ClaimCodeStorage,
    fake_agcod::{Fault, Script},
};
use sqlx::Row;
use stream::{Log, NewRecord};
use uuid::Uuid;

use crate::world::{World, rupees};

const PHONE: Option<&str> = Some("+9198765");

#[tokio::test]
async fn a_request_becomes_a_card_and_a_message() {
    let world = World::new().await;
    let id = world.request(1, rupees(500), PHONE).await;
    let running = world.run();
    world.until_sms(id, "sent").await;

    assert_eq!(world.state(id).await, "funded");
    world
        .until("funded in the log", async || {
            world.step_names(id).await.len() == 2
        })
        .await;
    let steps = world.steps(id).await;
    assert_eq!(world.step_names(id).await, ["sending", "funded"]);
    let cards = world.fake.cards();
    let card = cards.values().next().expect("a card");
    assert_eq!(steps[1].card_id.as_deref(), Some(card.card_id.as_str()));
    assert_eq!((steps[1].attempt, steps[1].detail.as_deref()), (1, None));

    let messages = world.phones.messages();
    assert_eq!(messages.len(), 1);
    assert_eq!(messages[0].1, "+91987650001");
    assert!(messages[0].2.contains("₹500") && messages[0].2.contains(&card.claim_code));

    let metrics = prometheus::TextEncoder::new()
        .encode_to_string(&running.registry.gather())
        .expect("text");
    for line in [
        "hissaback_payout_attempts_total{outcome=\"funded\"} 1",
        "hissaback_payout_attempts_total{outcome=\"unknown\"} 0",
        "hissaback_payout_attempt_seconds_count 1",
    ] {
        assert!(metrics.contains(line), "{line}: {metrics}");
    }
    running.stop().await;
    assert!(
        claim_codes_anywhere(&world, &card.claim_code)
            .await
            .is_empty()
    );
}

/// Every table and topic that holds a text, as text.
async fn claim_codes_anywhere(world: &World, claim_code: &str) -> Vec<String> {
    let mut found = Vec::new();
    for table in [
        "payouts",
        "payout_dispatch",
        "payout_channels",
        "outbox",
        "users",
    ] {
        let query = format!("SELECT t::text AS line FROM {table} t");
        let rows = sqlx::query(sqlx::AssertSqlSafe(query))
            .fetch_all(&world.owner)
            .await
            .expect("rows");
        for row in rows {
            let line: String = row.get("line");
            let hexadecimal = hex::encode(claim_code);
            if line.contains(claim_code) || line.contains(&hexadecimal) {
                found.push(table.to_owned());
            }
        }
    }
    for topic in [Topic::Payouts, Topic::PayoutResults, Topic::DeadLetters] {
        for partition in 0..topic.partitions() {
            let records = world
                .log
                .read(topic, partition, 0, 10_000)
                .await
                .expect("records");
            let holds = |bytes: &[u8]| {
                bytes
                    .windows(claim_code.len())
                    .any(|window| window == claim_code.as_bytes())
            };
            if records.iter().any(|record| holds(&record.value)) {
                found.push(topic.to_string());
            }
        }
    }
    found
}

#[tokio::test]
async fn no_byte_goes_out_before_its_step_is_durable() {
    let mut world = World::new().await;
    let id = world.request(1, rupees(500), PHONE).await;
    // The record reaches the dispatcher; then the relay stands still.
    world
        .until("relayed", async || {
            let left: i64 = sqlx::query_scalar("SELECT count(*) FROM outbox")
                .fetch_one(&world.owner)
                .await
                .expect("a count");
            left == 0
        })
        .await;
    world.stop_relay().await;
    let running = world.run();
    world.until_state(id, "sending").await;
    // Many rounds of the loop, and hours on its clock.
    for _ in 0..30 {
        tokio::time::sleep(Duration::from_millis(10)).await;
        world.clock.advance(Duration::from_mins(10));
    }
    assert!(world.fake.cards().is_empty());
    assert_eq!(world.step_names(id).await, [""; 0]);

    world.start_relay();
    world.until_state(id, "funded").await;
    running.stop().await;
}

#[tokio::test]
async fn a_payout_cancelled_in_time_is_never_sent() {
    let world = World::new().await;
    let kept = world.request(1, rupees(500), PHONE).await;
    let cancelled = world.request(2, rupees(500), PHONE).await;
    // The ledger, before any dispatcher has seen it.
    sqlx::query("UPDATE payouts SET state = 'cancelled' WHERE payout_id = $1")
        .bind(cancelled.uuid())
        .execute(&world.owner)
        .await
        .expect("cancelled");
    let running = world.run();
    world.until_state(kept, "funded").await;
    running.stop().await;
    assert_eq!(world.state(cancelled).await, "cancelled");
    assert_eq!(world.fake.cards().len(), 1);
}

#[tokio::test]
async fn a_shopper_without_a_phone_is_not_lost() {
    let world = World::new().await;
    let id = world.request(1, rupees(500), None).await;
    let running = world.run();
    world.until_sms(id, "no_phone").await;
    assert_eq!(world.state(id).await, "funded");
    world
        .until("counted", async || {
            let metrics = prometheus::TextEncoder::new()
                .encode_to_string(&running.registry.gather())
                .expect("text");
            metrics.contains("hissaback_payout_messages_open{state=\"no_phone\"} 1")
        })
        .await;
    let shopper = UserId::new(Uuid::from_u128(1 + (1 << 64)));
    sqlx::query("UPDATE users SET phone_sealed = $1")
        .bind(world.sealed(shopper, "+911"))
        .execute(&world.owner)
        .await
        .expect("a phone");
    world.clock.advance(Duration::from_hours(24));
    world.until_sms(id, "sent").await;
    running.stop().await;
    let messages = world.phones.messages();
    assert_eq!((messages.len(), messages[0].1.as_str()), (1, "+911"));
}

#[tokio::test]
async fn a_code_that_is_not_stored_is_fetched_again() {
    let mut world = World::new().await;
    world.config.claim_codes = ClaimCodeStorage::NotStored;
    world.phones.unreachable.store(true, Ordering::SeqCst);
    let id = world.request(1, rupees(500), PHONE).await;
    let running = world.run();
    world
        .until("a failed message", async || {
            sqlx::query_scalar("SELECT count(*) = 1 FROM messages WHERE error IS NOT NULL")
                .fetch_one(&world.owner)
                .await
                .expect("a row")
        })
        .await;
    let stored: i64 =
        sqlx::query_scalar("SELECT count(claim_code_ciphertext) FROM payout_dispatch")
            .fetch_one(&world.owner)
            .await
            .expect("a count");
    assert_eq!(stored, 0);
    world.phones.unreachable.store(false, Ordering::SeqCst);
    world.clock.advance(Duration::from_mins(3));
    world.until_sms(id, "sent").await;
    // And once more on request, with the same code.
    let resend = CommandBody::ResendMessage(ResendMessage { payout_id: id });
    world.command(1, resend).await;
    world
        .until("resent", async || world.phones.messages().len() == 2)
        .await;
    running.stop().await;
    let messages = world.phones.messages();
    assert_eq!(messages[0].2, messages[1].2);
    assert_eq!(world.fake.funded(), (1, rupees(500)));
}

#[tokio::test]
async fn a_stored_code_outlives_a_gateway_that_is_down() {
    let world = World::new().await;
    world.phones.unreachable.store(true, Ordering::SeqCst);
    let id = world.request(1, rupees(500), PHONE).await;
    let running = world.run();
    world
        .until("a sealed code", async || {
            sqlx::query_scalar(
                "SELECT count(*) = 1 FROM payout_dispatch JOIN messages ON message_id = payout_id
                 WHERE claim_code_ciphertext IS NOT NULL AND messages.attempts > 0",
            )
            .fetch_one(&world.owner)
            .await
            .expect("a row")
        })
        .await;
    let cards = world.fake.cards();
    let card = cards.values().next().expect("a card");
    assert!(
        claim_codes_anywhere(&world, &card.claim_code)
            .await
            .is_empty()
    );
    world.phones.unreachable.store(false, Ordering::SeqCst);
    world.clock.advance(Duration::from_mins(3));
    world.until_sms(id, "sent").await;
    running.stop().await;
    // Nothing was fetched again: one call made the card, and the stored code made the message.
    assert_eq!(world.fake.calls(cards.keys().next().expect("an id")), 1);
    let shredded: bool = sqlx::query_scalar(
        "SELECT num_nulls(claim_code_key_id, claim_code_nonce, claim_code_ciphertext) = 3
         FROM payout_dispatch",
    )
    .fetch_one(&world.owner)
    .await
    .expect("a row");
    assert!(shredded);
}

#[tokio::test]
async fn a_channel_fault_stops_everything_until_an_operator_resumes_it() {
    let world = World::new().await;
    world.fake.fund(rupees(500));
    let first = world.request(1, rupees(500), PHONE).await;
    let running = world.run();
    world.until_state(first, "funded").await;
    let second = world.request(2, rupees(300), PHONE).await;
    let store = world.store();
    world
        .until("paused", async || {
            store.paused().await.expect("a row").is_some()
        })
        .await;
    assert_eq!(
        store.paused().await.expect("a row").as_deref(),
        Some("F300 InsufficientFunds: the prepaid funds are used up: top them up, then resume")
    );
    assert_eq!(world.state(second).await, "sending");
    // A third waits in `queued`, where it may still be cancelled.
    let third = world.request(3, rupees(100), PHONE).await;
    for _ in 0..20 {
        tokio::time::sleep(Duration::from_millis(10)).await;
        world.clock.advance(Duration::from_hours(1));
    }
    assert_eq!(world.state(third).await, "queued");
    assert_eq!(world.fake.cards().len(), 1);

    world.fake.fund(rupees(10_000));
    let resume = ChannelSwitch {
        channel: "agcod".into(),
        paused: false,
    };
    world.command(1, CommandBody::ChannelSwitch(resume)).await;
    world.until_state(second, "funded").await;
    world.until_state(third, "funded").await;
    running.stop().await;
    assert_eq!(world.fake.funded(), (3, rupees(900)));
}

#[tokio::test]
async fn enough_tries_end_softly_and_the_nightly_run_finishes_it() {
    let world = World::new().await;
    world
        .fake
        .follow(Script::FirstCalls(vec![Fault::Internal; 10]));
    let id = world.request(1, rupees(500), PHONE).await;
    let running = world.run();
    world
        .as_time_passes("error_soft", async || world.state(id).await == "error_soft")
        .await;
    assert_eq!(
        world
            .store()
            .release_soft_errors(stream::Clock::now(&world.clock))
            .await
            .ok(),
        Some(1)
    );
    world.until_state(id, "funded").await;
    world
        .until("in the log", async || world.step_names(id).await.len() == 3)
        .await;
    running.stop().await;
    assert_eq!(
        world.step_names(id).await,
        ["sending", "error_soft", "funded"]
    );
    let steps = world.steps(id).await;
    assert_eq!((steps[1].attempt, steps[2].attempt), (10, 11));
    assert_eq!(
        steps[1].detail.as_deref(),
        Some("F100 SystemError; a card may exist")
    );
    assert_eq!(world.fake.funded(), (1, rupees(500)));
}

#[tokio::test]
async fn a_refunded_card_waits_for_an_operator_and_keeps_its_money() {
    let world = World::new().await;
    world.fake.follow(Script::FirstCalls(vec![Fault::Refunded]));
    let id = world.request(1, rupees(500), PHONE).await;
    let running = world.run();
    world.until_state(id, "error_hard").await;
    let dispatch = world
        .store()
        .dispatch(id)
        .await
        .expect("a row")
        .expect("taken up");
    assert!(dispatch.ambiguous && !dispatch.money_may_be_freed());
    // Releasing it repeats the identical request, and finds the same.
    let release = CommandBody::ReleasePayout(ReleasePayout { payout_id: id });
    world.command(1, release.clone()).await;
    world
        .until("a second call", async || {
            let ids = world.fake.cards();
            world.fake.calls(ids.keys().next().expect("an id")) == 2
        })
        .await;
    world
        .until("settled", async || {
            let dispatch = world
                .store()
                .dispatch(id)
                .await
                .expect("a row")
                .expect("taken up");
            !dispatch.in_flight && dispatch.attempts == 2
        })
        .await;
    assert_eq!(world.state(id).await, "error_hard");
    running.stop().await;
    assert_eq!(world.fake.funded().0, 0);
}

#[tokio::test]
async fn what_is_no_payout_goes_to_the_dead_letters() {
    let world = World::new().await;
    let record = NewRecord::new("key", "not a payout");
    let positions = world
        .log
        .append(Topic::Payouts, vec![record])
        .await
        .expect("appended");
    let id = world.request(1, rupees(500), PHONE).await;
    let running = world.run();
    world.until_state(id, "funded").await;
    let mut letters = Vec::new();
    for partition in 0..Topic::DeadLetters.partitions() {
        letters.extend(
            world
                .log
                .read(Topic::DeadLetters, partition, 0, 10)
                .await
                .expect("records"),
        );
    }
    running.stop().await;
    assert_eq!(letters.len(), 1);
    assert_eq!(letters[0].value, "not a payout");
    let origin = letters[0].header("hissaback-origin").expect("its origin");
    assert_eq!(origin, positions[0].to_string().as_bytes());
}
