//! The analytics sink against the real engines: from the log to what analysts read, through
//! crashes, repetitions and a ClickHouse that goes away.

mod aggregates;
mod benchmark;
mod buckets;
mod documented;
mod events;
mod export;
mod outages;
mod pictures;
mod proxy;
mod retention;
mod strangers;
mod world;

use std::collections::BTreeMap;

use hissaback::embedded::Health;
use prometheus::Registry;
use rustix::process::{Pid, Signal, kill_process};
use schemas::{
    Currency, EventId, Topic,
    events::{ClaimStatus, LedgerChanged, PayoutStep, Split},
};
use sinks::analytics::{
    AnalyticsError, MigrationError,
    completeness::{ClaimTotals, PayoutTotals, SplitTotals},
    migrate,
};
use sqlx::Executor;
use stream::Log;
use tokio_util::sync::CancellationToken;

use events::{amount, claim, click, decision, example, ignored, payout, split, step, unmatched};
use world::{PATIENCE, World, append_claim, append_clicks, append_payout, append_step};

fn micros(text: &str) -> i128 {
    i128::from(amount(text).micros())
}

fn split_totals(commission: &str, user: &str, creator: &str) -> SplitTotals {
    SplitTotals {
        commission_micros: micros(commission),
        subsidy_micros: 0,
        fee_micros: 0,
        user_micros: micros(user),
        creator_micros: micros(creator),
    }
}

#[tokio::test]
async fn analysts_read_what_the_log_says_to_the_last_digit() {
    let world = World::start().await;
    append_clicks(&world, 1..201).await;
    world
        .append("1".to_owned(), &decision(0, unmatched()))
        .await;
    world.append("2".to_owned(), &decision(1, ignored())).await;
    append_claim(&world, &claim(2, 1, ClaimStatus::Pending, Split::default())).await;
    append_claim(&world, &claim(2, 2, ClaimStatus::Confirmed, example())).await;
    append_claim(
        &world,
        &claim(4, 3, ClaimStatus::Confirmed, split("0.03", "0.02", "0.01")),
    )
    .await;
    append_payout(&world, &payout(1, "95")).await;
    append_payout(&world, &payout(2, "10000")).await;
    append_step(&world, &step(1, PayoutStep::Sending, 1)).await;
    append_step(&world, &step(1, PayoutStep::Funded, 2)).await;

    let totals = world.catch_up().await;
    assert_eq!((totals.clicks, totals.reports), (200, 2));
    let expected = split_totals("319.84", "191.90", "127.94");
    let posted = split_totals("159.95", "95.97", "63.98");
    let confirmed = ClaimTotals {
        claims: 2,
        expected,
        posted,
        paid_micros: 0,
    };
    assert_eq!(
        totals.claims,
        BTreeMap::from([((Currency::INR, ClaimStatus::Confirmed), confirmed)])
    );
    let payouts = |value| PayoutTotals {
        payouts: 1,
        amount_micros: micros(value),
    };
    assert_eq!(
        totals.payouts,
        BTreeMap::from([
            ((Currency::INR, Some(PayoutStep::Funded)), payouts("95")),
            ((Currency::INR, None), payouts("10000")),
        ])
    );

    // A clawback moves the numbers, and an older state that is told again doesn't move them back.
    append_claim(
        &world,
        &claim(2, 4, ClaimStatus::Reversed, Split::default()),
    )
    .await;
    append_claim(&world, &claim(2, 2, ClaimStatus::Confirmed, example())).await;
    // A second decision on a report is a repetition, whatever it says.
    world.append("1".to_owned(), &decision(0, ignored())).await;
    // The step before the last is told again, and a second payout comes to nothing.
    append_step(&world, &step(1, PayoutStep::Sending, 1)).await;
    append_step(&world, &step(2, PayoutStep::Cancelled, 5)).await;

    let totals = world.catch_up().await;
    assert_eq!((totals.clicks, totals.reports), (200, 2));
    let part = |claims, posted| ClaimTotals {
        claims,
        expected: split_totals("159.92", "95.95", "63.97"),
        posted,
        paid_micros: 0,
    };
    assert_eq!(
        totals.claims,
        BTreeMap::from([
            (
                (Currency::INR, ClaimStatus::Confirmed),
                part(1, split_totals("0.03", "0.02", "0.01"))
            ),
            (
                (Currency::INR, ClaimStatus::Reversed),
                part(1, SplitTotals::default())
            ),
        ])
    );
    assert_eq!(
        totals.payouts,
        BTreeMap::from([
            ((Currency::INR, Some(PayoutStep::Funded)), payouts("95")),
            (
                (Currency::INR, Some(PayoutStep::Cancelled)),
                payouts("10000")
            ),
        ])
    );
    let still_unmatched =
        "SELECT count() FROM hissaback.v_decisions WHERE event_id = 1000 AND outcome = 'unmatched'";
    assert_eq!(world.count(still_unmatched).await, 1);
    let history = "SELECT count() FROM hissaback.v_ledger_changes WHERE claim = 2";
    assert_eq!(world.count(history).await, 3);
    world.stop().await;
}

#[tokio::test]
async fn a_renamed_claim_is_counted_once() {
    let world = World::start().await;
    append_claim(&world, &claim(2, 1, ClaimStatus::Confirmed, example())).await;
    let before = world.catch_up().await;

    let retired = LedgerChanged {
        retired: true,
        ..claim(2, 2, ClaimStatus::Confirmed, Split::default())
    };
    let renamed = LedgerChanged {
        claim: EventId::new(1),
        ..claim(2, 3, ClaimStatus::Confirmed, example())
    };
    append_claim(&world, &retired).await;
    append_claim(&world, &renamed).await;
    assert_eq!(world.catch_up().await, before);
    assert_eq!(
        world
            .count("SELECT count() FROM hissaback.v_claims WHERE claim = 1")
            .await,
        1
    );

    // A heal moved it to another click, of another month, without another name.
    let elsewhere = click(60);
    let moved = LedgerChanged {
        sequence: 4,
        click_id: elsewhere.click_id,
        clicked_at: elsewhere.clicked_at,
        ..renamed.clone()
    };
    append_claim(&world, &moved).await;
    assert_eq!(world.catch_up().await, before);

    // A restored ledger begins a new epoch, whose sequence starts again.
    let restored = LedgerChanged {
        epoch: 2,
        ..renamed
    };
    let retired = LedgerChanged {
        retired: true,
        sequence: 1,
        ..restored.clone()
    };
    let again = LedgerChanged {
        retired: false,
        claim: EventId::new(2),
        sequence: 2,
        ..restored
    };
    append_claim(&world, &retired).await;
    append_claim(&world, &again).await;
    assert_eq!(world.catch_up().await, before);
    assert_eq!(
        world
            .count("SELECT count() FROM hissaback.v_claims WHERE claim = 2")
            .await,
        1
    );
    world.stop().await;
}

#[tokio::test]
async fn an_unreadable_record_goes_to_dead_letters_and_holds_nothing_up() {
    let world = World::start().await;
    append_clicks(&world, 1..3).await;
    let poison = world
        .append_bytes(Topic::Clicks, "1".to_owned(), b"not avro".to_vec())
        .await;
    append_clicks(&world, 3..5).await;
    assert_eq!(world.catch_up().await.clicks, 4);

    let mut found = Vec::new();
    for partition in 0..Topic::DeadLetters.partitions() {
        found.extend(
            world
                .log
                .read(Topic::DeadLetters, partition, 0, 10)
                .await
                .expect("read"),
        );
    }
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!(&found[0].value[..], b"not avro");
    let header = |name| {
        found[0]
            .header(name)
            .map(|value| String::from_utf8_lossy(value))
    };
    assert_eq!(
        header("hissaback-origin").as_deref(),
        Some(poison.to_string().as_str())
    );
    assert_eq!(header("hissaback-reason").as_deref(), Some("undecodable"));
    assert_eq!(header("hissaback-stage").as_deref(), Some("analytics"));
    world.stop().await;
}

#[tokio::test]
async fn a_crash_around_the_insert_changes_no_number() {
    let world = World::start().await;
    migrate(&world.client()).await.expect("migrated");
    world.stop_merges_of_clicks().await;
    append_clicks(&world, 1..501).await;
    append_claim(&world, &claim(2, 1, ClaimStatus::Confirmed, example())).await;
    let before = world.catch_up().await;
    let rows = "SELECT count() FROM hissaback.clicks";
    assert_eq!(world.count(rows).await, 500);

    // The crash came after the insert and before its acknowledgement was kept: each partition's
    // bounds are still open. The same block comes again, and the table drops it by its token.
    world
        .pool
        .execute(
            "UPDATE analytics_positions
             SET pending_last_offset = next_offset - 1, next_offset = 0 WHERE topic = 'clicks'",
        )
        .await
        .expect("as after a crash");
    assert_eq!(world.catch_up().await, before);
    assert_eq!(
        world.count(rows).await,
        500,
        "an identical block is dropped"
    );

    // PostgreSQL was restored from a backup: other bounds, other blocks, the same numbers.
    world
        .pool
        .execute("UPDATE analytics_positions SET next_offset = next_offset / 2")
        .await
        .expect("as after a restore");
    assert_eq!(world.catch_up().await, before);
    assert!(
        world.count(rows).await > 500,
        "this time the identity has to hold"
    );
    world.stop().await;
}

#[tokio::test]
async fn a_crash_before_the_insert_makes_the_same_batch() {
    let world = World::start().await;
    append_clicks(&world, 1..101).await;
    let end = world.ends().await[&(Topic::Clicks, 0)];
    assert!(end > 3, "the test needs a few clicks in partition 0");
    sqlx::query("INSERT INTO analytics_positions VALUES ('clicks', 0, 0, 2)")
        .execute(&world.pool)
        .await
        .expect("bounds of a batch that was never inserted");
    migrate(&world.client()).await.expect("migrated");
    world.stop_merges_of_clicks().await;
    assert_eq!(world.catch_up().await.clicks, 100);
    // The pending batch was inserted as it was bounded: no part holds more than its rows.
    let mixed = "SELECT count() FROM hissaback.clicks
        WHERE source_partition = 0 AND source_offset <= 2 AND _part IN
            (SELECT _part FROM hissaback.clicks WHERE source_partition != 0 OR source_offset > 2)";
    assert_eq!(world.count(mixed).await, 0);
    world.stop().await;
}

#[tokio::test]
async fn an_engine_that_is_killed_loses_and_doubles_nothing() {
    let world = World::start().await;
    let registry = Registry::new();
    let shutdown = CancellationToken::new();
    let sink = tokio::spawn(world.sink(&registry).run(shutdown.clone()));
    let mut health = world.clickhouse.health();
    for round in 0..3 {
        append_clicks(&world, round * 300 + 1..round * 300 + 201).await;
        if round == 0 {
            world.wait_until_complete().await;
        }
        let Health::Ready { process_id } = *health.borrow_and_update() else {
            panic!("the engine isn't ready");
        };
        let pid = Pid::from_raw(process_id.cast_signed()).expect("a pid isn't zero");
        kill_process(pid, Signal::KILL).expect("kill");
        append_clicks(&world, round * 300 + 201..round * 300 + 301).await;
        let successor = |state: &Health| match state {
            Health::Ready { process_id: found } => *found != process_id,
            Health::Starting | Health::Restarting { .. } | Health::Stopped => false,
        };
        tokio::time::timeout(PATIENCE, health.wait_for(successor))
            .await
            .expect("the engine comes back")
            .expect("the supervisor lives");
    }
    world.wait_until_complete().await;
    shutdown.cancel();
    sink.await
        .expect("no panic")
        .expect("it stops in an orderly way");
    assert_eq!(world.totals().await.clicks, 900);
    world.stop().await;
}

#[tokio::test]
async fn a_clickhouse_that_was_thrown_away_is_filled_again() {
    let world = World::start().await;
    append_clicks(&world, 1..101).await;
    append_claim(&world, &claim(2, 1, ClaimStatus::Confirmed, example())).await;
    let before = world.catch_up().await;
    world
        .client()
        .with_database("default")
        .query("DROP DATABASE hissaback SYNC")
        .execute()
        .await
        .expect("drop");
    assert_eq!(world.catch_up().await, before);
    world.stop().await;
}

#[tokio::test]
async fn a_newer_schema_ends_the_sink() {
    let world = World::start().await;
    assert_eq!(
        migrate(&world.client()).await.expect("migrated"),
        [1, 2, 3, 4, 5, 6, 7, 8]
    );
    assert!(migrate(&world.client()).await.expect("migrated").is_empty());
    world
        .client()
        .query("INSERT INTO hissaback.schema_migrations (version, name) SELECT 99, 'later'")
        .execute()
        .await
        .expect("a newer version was here");
    let ended = world
        .sink(&Registry::new())
        .run(CancellationToken::new())
        .await;
    assert!(
        matches!(
            ended,
            Err(AnalyticsError::Migration(MigrationError::Newer {
                found: 99,
                known: 8
            }))
        ),
        "{ended:?}"
    );
    world.stop().await;
}
