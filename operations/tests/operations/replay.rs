//! A replay of what the ledger has applied is empty; what was changed behind the log's back is
//! shown, with its cause.

use std::sync::Arc;

use operations::replay::{Bound, Cause, Kind, Replay, ReplayReport, ReplaySettings, Span};
use processors::rules::split::Parts;
use proptest::{
    prelude::*,
    test_runner::{Config, TestRunner},
};
use schemas::{Minor, events::NetworkStatus, reference::ReferenceData};
use serde_json::json;
use sinks::ledger::rebuild;
use tokio::sync::Mutex;

use crate::{
    ledger::{
        histories::{any_history, shuffled},
        records::{Logged, T0},
        world::{self as ledger_world, RUNTIME},
    },
    world::{NOW, World, sale, token},
};

pub async fn replayed(world: &World, settings: &ReplaySettings) -> ReplayReport {
    let replay = Replay {
        log: world.log.clone(),
        pool: world.operator.clone(),
        reference: world.reference.load_full(),
    };
    replay.compare(settings, &|_| {}).await.expect("replayed")
}

/// Folds a history as another ledger lived through it, and lets it rest.
async fn fold(world: &mut ledger_world::World, history: &[Logged], seed: u64, batch: usize) {
    world.clear().await;
    rebuild::begin(&world.writer).await.expect("begun");
    let partitions = 1 + i32::try_from(seed % 12).expect("small");
    world.scatter(&shuffled(history, seed), partitions).await;
    world.fold(batch).await;
    sqlx::query("UPDATE ledger_epoch SET rebuilding = false")
        .execute(&world.writer)
        .await
        .expect("at rest");
}

fn config(cases: u32) -> Config {
    Config {
        cases,
        failure_persistence: None,
        ..Config::default()
    }
}

#[test]
fn a_replay_of_any_history_is_empty_whatever_the_span_and_the_memory() {
    let world = Mutex::new(RUNTIME.block_on(ledger_world::World::new()));
    let cases = (
        any_history(1..20, 2, 2),
        any::<u64>(),
        1_usize..20,
        0_i32..100,
        prop::option::of(0_i32..100),
        prop_oneof![Just(4 << 30), Just(1_000_u64)],
    );
    TestRunner::new(config(60))
        .run(&cases, |(history, seed, batch, from, to, memory_bytes)| {
            RUNTIME.block_on(async {
                let mut world = world.lock().await;
                fold(&mut world, &history, seed, batch).await;
                let replay = Replay {
                    log: world.log.clone(),
                    pool: world.writer.clone(),
                    reference: Arc::new(ReferenceData::default()),
                };
                let settings = |span| ReplaySettings {
                    span,
                    recorded_decisions: true,
                    memory_bytes,
                    ..ReplaySettings::default()
                };
                let whole = replay.compare(&settings(Span::default()), &|_| {}).await;
                let whole = whole.expect("replayed");
                prop_assert!(whole.equal, "{whole}");
                let rows = u64::try_from(world.count("ledger").await).expect("a count");
                prop_assert_eq!(whole.claims, rows, "every claim was compared");

                let time = |day| Bound::Time(T0.plus_days(day));
                let span = Span {
                    from: Some(time(from)),
                    to: to.map(|days| time(from + days)),
                };
                let part = replay.compare(&settings(span), &|_| {}).await;
                let part = part.expect("replayed");
                prop_assert!(part.equal, "{part}");
                prop_assert!(part.claims <= whole.claims);
                prop_assert!(part.claims > 0 || part.reports_in_span == 0 || whole.claims == 0);
                Ok(())
            })
        })
        .unwrap_or_else(|failure| panic!("{failure}"));
}

/// Sales of several shoppers, some on one order, some repeated, amended and cancelled.
async fn a_week_of_sales(world: &World) {
    for number in 1..=12 {
        world.click(number).await;
        world
            .report(sale(&token(number), &format!("ORD-{}", number % 7)))
            .await;
        world
            .report(sale(&number.to_string(), &format!("ORD-{}", number % 7)))
            .await;
    }
    world.settle().await;
    let mut amended = sale(&token(3), "ORD-3");
    amended.sale_amount = "1500.00".parse().ok();
    world.report(amended).await;
    let mut cancelled = sale(&token(4), "ORD-4");
    cancelled.status = Some(NetworkStatus::Cancelled);
    world.report(cancelled).await;
    world.report(sale("77", "ORD-77")).await;
    world.report(sale("", "ORD-78")).await;
    world.settle().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn decided_anew_by_the_recorded_rules_nothing_differs() {
    let world = World::new().await;
    a_week_of_sales(&world).await;
    let report = replayed(&world, &ReplaySettings::default()).await;
    assert!(report.equal, "{report}");
    assert_eq!(report.not_yet_applied, 0);
    assert_eq!(report.claims, 12);
    assert_eq!(report.reports, 28);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_that_was_changed_behind_the_logs_back_is_shown_with_its_cause() {
    let world = World::new().await;
    a_week_of_sales(&world).await;
    let changed = "UPDATE ledger SET posted_user = posted_user + 100,
                          posted_creator = posted_creator - 63.97
                   WHERE click_id = 5";
    // Even the database's own check is gone round.
    world
        .tamper(&format!(
            "ALTER TABLE ledger DROP CONSTRAINT posted_adds_up; {changed}"
        ))
        .await;
    world.tamper("DELETE FROM ledger WHERE click_id = 6").await;
    let report = replayed(&world, &ReplaySettings::default()).await;
    assert_eq!((report.equal, report.different), (false, 2), "{report}");
    assert!(
        report
            .differences
            .iter()
            .all(|one| one.cause == Cause::Altered)
    );
    let of_click = |number: i64| {
        let found = report
            .differences
            .iter()
            .find(|one| one.click_id.get() == number);
        found.unwrap_or_else(|| panic!("click {number}: {report}"))
    };
    let columns: Vec<_> = of_click(5)
        .columns
        .iter()
        .map(|one| (one.column.as_str(), one.ledger.clone(), one.replay.clone()))
        .collect();
    assert_eq!(
        columns,
        [
            ("posted_creator", json!("0"), json!("63.97")),
            ("posted_user", json!("195.95"), json!("95.95")),
        ]
    );
    assert_eq!(of_click(6).kind, Kind::Missing);
    let lost = report
        .corrections
        .iter()
        .find(|one| one.booked == Parts::default());
    assert_eq!(
        lost.expect("the row that is gone").target.user,
        Minor::new(9_595)
    );

    // Only what the span touches is compared.
    let later = Span {
        from: Some(Bound::Time(NOW.plus_days(1))),
        to: None,
    };
    let settings = ReplaySettings {
        span: later,
        ..ReplaySettings::default()
    };
    let report = replayed(&world, &settings).await;
    assert!(report.equal && report.claims == 0, "{report}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_without_a_record_is_shown_and_what_is_not_applied_yet_is_not() {
    let world = World::new().await;
    a_week_of_sales(&world).await;
    world
        .tamper(
            "CREATE TEMP TABLE invented ON COMMIT DROP AS
                 SELECT * FROM ledger WHERE click_id = 7;
             UPDATE invented SET led_id = 1, click_id = 9999;
             INSERT INTO ledger SELECT * FROM invented",
        )
        .await;
    world.report(sale(&token(8), "ORD-NEW")).await;
    let report = replayed(&world, &ReplaySettings::default()).await;
    let [extra] = &report.differences[..] else {
        panic!("{report}");
    };
    assert_eq!((extra.kind, extra.cause), (Kind::Extra, Cause::NotInTheLog));
    assert_eq!(report.not_yet_applied, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn decisions_by_terms_that_were_others_are_told_from_altered_rows() {
    let world = World::new().await;
    a_week_of_sales(&world).await;
    // As if the stage had read the offer's rate wrongly, and does no longer.
    world
        .tamper("UPDATE offer_versions SET base_commission_pct = 10")
        .await;
    let data = sinks::ledger::reference::load(&world.writer)
        .await
        .expect("loaded");
    world.reference.store(Arc::new(data));
    let report = replayed(&world, &ReplaySettings::default()).await;
    assert_eq!(report.different, 12, "{report}");
    for difference in &report.differences {
        assert_eq!(difference.cause, Cause::DecidedOtherwise, "{report}");
        assert_eq!(difference.decided_otherwise, ["terms"]);
    }
    let recorded = ReplaySettings {
        recorded_decisions: true,
        ..ReplaySettings::default()
    };
    let report = replayed(&world, &recorded).await;
    assert!(report.equal, "{report}");
}
