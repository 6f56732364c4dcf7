//! Two transactions that don't see each other, held at the point where it matters.

use std::{sync::Arc, time::Duration};

use schemas::{
    EventId, Topic,
    events::{ChannelSwitch, Command, CommandBody, ReviewClaim, Verdict},
};
use sqlx::{PgPool, Postgres, Transaction};
use stream::{InMemoryLog, Log};

use crate::{
    records::{Logged, T0, click, decision, fields, matched},
    snapshot::Snapshot,
    world::{PATIENCE, Running, World},
};

/// Holds what the statement locks, until it is dropped.
async fn hold(world: &World, statement: &'static str) -> Transaction<'static, Postgres> {
    let mut holding = world.owner.begin().await.expect("begun");
    sqlx::query(statement)
        .execute(&mut *holding)
        .await
        .expect("held");
    holding
}

/// Waits until so many sessions wait for a lock, or so many records are applied.
async fn until(world: &World, observer: &PgPool, waiting: i64, applied: i64) {
    let found = || async {
        sqlx::query_scalar::<_, i64>(
            "SELECT count(DISTINCT pid) FROM pg_locks JOIN pg_stat_activity USING (pid)
             WHERE NOT granted AND datname = current_database()",
        )
        .fetch_one(observer)
        .await
        .expect("locks")
    };
    let reached = async {
        while found().await < waiting && world.applied().await < applied {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    let reached = tokio::time::timeout(PATIENCE, reached).await;
    reached.expect("both sinks come to their locks");
}

/// A sink with a log of its own, so that it is assigned every partition; and it has been.
async fn warm(world: &mut World, partition: i32) -> (Arc<InMemoryLog>, Running) {
    world.lose_log();
    world.skip_to_applied().await;
    let switch = CommandBody::ChannelSwitch(ChannelSwitch {
        channel: "agcod".to_owned(),
        paused: false,
    });
    let record = command(1_000 + i64::from(partition), switch).to_record();
    let appended = world
        .log
        .append(Topic::Commands, vec![record.in_partition(partition)])
        .await;
    appended.expect("appended");
    let before = world.applied().await;
    let running = Running::start(&world.sink(10));
    while world.applied().await == before {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    (world.log.clone(), running)
}

/// Two sinks, each with a record of its own to apply; the first one waits for what is held
/// when the second one begins.
async fn race(world: &mut World, locks: &'static str, first: &Logged, second: &Logged) {
    let observer = world.pool("postgres").await;
    let (first_log, first_sink) = warm(world, 4).await;
    let (second_log, second_sink) = warm(world, 5).await;
    let held = hold(world, locks).await;
    let before = world.applied().await;
    for (log, logged, waiting) in [(first_log, first, 1), (second_log, second, 2)] {
        world.log = log;
        world.append(logged).await;
        until(world, &observer, waiting, before + waiting).await;
    }
    held.rollback().await.expect("let go");
    until(world, &observer, i64::MAX, before + 2).await;
    first_sink.stop().await;
    second_sink.stop().await;
}

fn command(number: i64, body: CommandBody) -> Logged {
    Logged::Command(Command {
        command_id: EventId::new(number),
        issued_at: T0,
        author: "operator".to_owned(),
        reason: "because".to_owned(),
        body,
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_command_and_the_report_that_it_names_find_each_other() {
    let mut world = World::new().await;
    let report = Logged::from(decision(1));
    let verdict = CommandBody::ReviewClaim(ReviewClaim {
        event_id: EventId::new(1),
        verdict: Verdict::Reject,
    });
    let command = command(50, verdict);
    // The report's sink has looked for commands, and can't commit yet.
    race(
        &mut world,
        "LOCK TABLE outbox IN ACCESS EXCLUSIVE MODE",
        &report,
        &command,
    )
    .await;
    let found = Snapshot::read(&world.owner).await;
    let differences = found.differences(&Snapshot::expect(&[report, command]));
    assert!(differences.is_empty(), "{differences:#?}");
    assert_eq!(found.claims[&1].status, "rejected");
}

/// A report on a click of its own, with an order number, received so many days after `T0`.
fn report(number: i64, on_click: i64, order: &str, day: i32) -> Logged {
    let mut report = decision(number);
    matched(&mut report).click = click(on_click, Some(9));
    // Nothing but the order is common to them.
    report.source.partition = i32::try_from(on_click).expect("small");
    report.received_at = T0.plus_days(day);
    report.appended_at = T0.plus_days(3).plus_millis(number);
    fields(&mut report).txn_id = Some(order.to_owned());
    // The same sale, whatever order it names.
    fields(&mut report).network_conversion_id = Some(format!("c{on_click}"));
    report.into()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fate_that_changed_while_locks_were_awaited_is_seen() {
    let mut world = World::new().await;
    let partition = |click: &str| Topic::Conversions.partition_for(click.as_bytes());
    assert_ne!(
        partition("1"),
        partition("2"),
        "no other lock is common to them"
    );
    let there = report(1, 1, "A", 1);
    world.append(&there).await;
    world.fold(1).await;
    let owner = report(2, 2, "A", 0);
    let moves_away = report(3, 1, "B", 2);
    race(
        &mut world,
        "SELECT FROM orders FOR UPDATE",
        &owner,
        &moves_away,
    )
    .await;
    let found = Snapshot::read(&world.owner).await;
    let differences = found.differences(&Snapshot::expect(&[there, owner, moves_away]));
    assert!(differences.is_empty(), "{differences:#?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn claims_of_one_user_that_come_at_once_count_each_other() {
    let mut world = World::new().await;
    let [first, second] = [1, 2].map(|number| {
        let Logged::Decision(mut report) = report(number, number, &number.to_string(), 0) else {
            unreachable!("made as a decision")
        };
        matched(&mut report).rules.velocity_claims = 2;
        Logged::Decision(report)
    });
    race(
        &mut world,
        "LOCK TABLE outbox IN ACCESS EXCLUSIVE MODE",
        &first,
        &second,
    )
    .await;
    let found = Snapshot::read(&world.owner).await;
    let differences = found.differences(&Snapshot::expect(&[first, second]));
    assert!(differences.is_empty(), "{differences:#?}");
    assert_eq!(found.claims[&2].status, "review");
}
