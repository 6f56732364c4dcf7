//! Two transactions that don't see each other, held at the point where it matters.

use schemas::{
    EventId, Timestamp,
    events::{Command, CommandBody, NetworkStatus, ReviewClaim, Verdict},
};
use sqlx::{PgPool, Postgres, Transaction};

use crate::{
    records::{Logged, T0, click, decision, fields, matched},
    snapshot::Snapshot,
    world::World,
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
    loop {
        let found: i64 = sqlx::query_scalar(
            "SELECT count(DISTINCT pid) FROM pg_locks JOIN pg_stat_activity USING (pid)
             WHERE NOT granted AND datname = current_database()",
        )
        .fetch_one(observer)
        .await
        .expect("locks");
        if found >= waiting || world.applied().await >= applied {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(2)).await;
    }
}

/// Two sinks, each with a record of its own to apply; the first one waits for `held` when the
/// second one begins.
async fn race(world: &mut World, held: Transaction<'_, Postgres>, first: Logged, second: Logged) {
    let observer = world.pool("postgres").await;
    let before = world.applied().await;
    let mut running = Vec::new();
    for (logged, waiting) in [(first, 1), (second, 2)] {
        // A log of its own, so that each is assigned every partition.
        world.lose_log();
        world.skip_to_applied().await;
        world.append(&logged).await;
        running.push(world.start(&world.sink(10)));
        until(world, &observer, waiting, before + waiting).await;
    }
    held.rollback().await.expect("let go");
    until(world, &observer, i64::MAX, before + 2).await;
    for sink in running {
        sink.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_command_and_the_report_that_it_names_find_each_other() {
    let mut world = World::new().await;
    let report = Logged::from(decision(1));
    let command = Logged::Command(Command {
        command_id: EventId::new(50),
        issued_at: T0,
        author: "operator".to_owned(),
        reason: "because".to_owned(),
        body: CommandBody::ReviewClaim(ReviewClaim {
            event_id: EventId::new(1),
            verdict: Verdict::Reject,
        }),
    });
    // The report's sink has looked for commands, and can't commit yet.
    let held = hold(&world, "LOCK TABLE outbox IN ACCESS EXCLUSIVE MODE").await;
    race(&mut world, held, report.clone(), command.clone()).await;
    let found = Snapshot::read(&world.owner).await;
    let differences = found.differences(&Snapshot::expect(&[report, command]));
    assert!(differences.is_empty(), "{differences:#?}");
    assert_eq!(found.claims[&1].status, "rejected");
}

/// A report on a click of its own, with an order number, received so many days after `T0`.
fn report(number: i64, on_click: i64, order: &str, day: i32) -> Logged {
    let mut report = decision(number);
    matched(&mut report).click = click(on_click, Some(9));
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
    let there = report(1, 1, "A", 1);
    world.append(&there).await;
    world.fold(1).await;
    let owner = report(2, 2, "A", 0);
    let moves_away = report(3, 1, "B", 2);
    let held = hold(&world, "SELECT FROM orders FOR UPDATE").await;
    race(&mut world, held, owner.clone(), moves_away.clone()).await;
    let found = Snapshot::read(&world.owner).await;
    let differences = found.differences(&Snapshot::expect(&[there, owner, moves_away]));
    assert!(differences.is_empty(), "{differences:#?}");
}

#[tokio::test]
async fn a_closed_claim_counts_what_was_undone_after_it_closed() {
    use schemas::{
        Position, Topic,
        events::{Heal, HealAuthor},
    };

    let world = World::new().await;
    let sale = |number: i64, on_click: i64, appended_at: Timestamp| {
        let mut sale = decision(number);
        let shopper = (on_click < 6).then_some(9);
        matched(&mut sale).click = click(on_click, shopper);
        matched(&mut sale).click.clicked_at = T0.plus_millis(on_click);
        matched(&mut sale).rules.velocity_claims = 3;
        sale.appended_at = appended_at;
        sale
    };
    let heal = |number: i64, on_click: i64, author, appended_at: Timestamp| {
        let mut heal = sale(number, on_click, appended_at);
        heal.event_id = EventId::new(900);
        heal.heal = Some(Heal {
            heals: Position {
                topic: Topic::Conversions,
                partition: 1,
                offset: 900,
            },
            heal_id: EventId::new(number),
            author,
            click: matched(&mut heal).click.clone(),
        });
        heal
    };
    let mut late = sale(5, 3, T0.plus_days(50));
    late.received_at = T0.plus_days(50);
    fields(&mut late).status = Some(NetworkStatus::Approved);
    let history: Vec<Logged> = [
        sale(1, 1, T0),
        heal(2, 2, HealAuthor::Machine, T0.plus_millis(1)),
        sale(3, 3, T0.plus_millis(2)),
        heal(4, 6, HealAuthor::Operator, T0.plus_days(40)),
        late,
    ]
    .map(Logged::from)
    .into();
    world.scatter(&history, 1).await;
    world.fold(1).await;
    let found = Snapshot::read(&world.owner).await;
    let differences = found.differences(&Snapshot::expect(&history));
    assert!(differences.is_empty(), "{differences:#?}");
    assert_eq!(
        found.claims[&3].status, "review",
        "it was the third within a day"
    );
}
