//! The log folded anew, in other partitions, order and batches, is the ledger; a ledger that was
//! changed isn't.

use std::{sync::Arc, time::Duration};

use operations::verification::{Verification, VerifyError, VerifyReport, VerifySettings};
use proptest::{
    prelude::*,
    test_runner::{Config, TestRunner},
};
use schemas::events::PayoutStep;
use sinks::{
    ledger::payout_run::{self, Scope},
    payouts::Rail,
};
use sqlx::PgPool;
use stream::{Clock, Log};
use tokio::sync::Mutex;

use crate::{
    ledger::{
        histories::{any_history, shuffled},
        records::Logged,
        world::{self as ledger_world, RUNTIME},
    },
    world::{NOW, World, sale, token},
};

async fn verify(
    log: Arc<dyn Log>,
    clock: Arc<dyn Clock>,
    ledger: &PgPool,
    scratch: &PgPool,
    settings: &VerifySettings,
) -> Result<VerifyReport, VerifyError> {
    let verification = Verification {
        log,
        ledger: ledger.clone(),
        scratch: scratch.clone(),
        clock,
    };
    verification.verify(settings, &|_, _| {}).await
}

/// The ledger of a history: in the order of the log, and with what it says of payouts applied.
async fn live(world: &mut ledger_world::World, history: &[Logged], seed: u64, batch: usize) {
    world.clear().await;
    let partitions = 1 + i32::try_from(seed % 12).expect("small");
    world.scatter(&shuffled(history, seed), partitions).await;
    sinks::ledger::rebuild::begin(&world.writer)
        .await
        .expect("begun");
    world.fold(batch).await;
    sqlx::query("UPDATE ledger_epoch SET rebuilding = false")
        .execute(&world.writer)
        .await
        .expect("at rest");
}

#[test]
fn any_history_folded_anew_is_the_same_ledger() {
    let worlds = RUNTIME.block_on(async {
        (
            ledger_world::World::new().await,
            ledger_world::World::new().await,
        )
    });
    let worlds = Mutex::new(worlds);
    let cases = (
        any_history(1..20, 2, 2),
        any::<u64>(),
        1_usize..20,
        1..20_i32,
        1_usize..40,
    );
    let config = Config {
        cases: 40,
        failure_persistence: None,
        ..Config::default()
    };
    TestRunner::new(config)
        .run(&cases, |(history, seed, batch, partitions, other_batch)| {
            RUNTIME.block_on(async {
                let mut worlds = worlds.lock().await;
                let (world, scratch) = &mut *worlds;
                live(world, &history, seed, batch).await;
                scratch.clear().await;
                let settings = VerifySettings {
                    partitions,
                    batch_records_max: other_batch,
                    seed,
                    ..VerifySettings::default()
                };
                let (log, clock) = (world.log.clone(), world.clock.clone());
                let report = verify(log, clock, &world.writer, &scratch.writer, &settings).await;
                let report = report.expect("verified");
                prop_assert!(report.equal, "{report}");
                let records = u64::try_from(scratch.applied().await).expect("a count");
                prop_assert_eq!(report.records, records);
                Ok(())
            })
        })
        .unwrap_or_else(|failure| panic!("{failure}"));
}

async fn paid(world: &World) {
    for number in 1..=9 {
        world.click(number).await;
        world
            .report(sale(&token(number), &format!("ORD-{number}")))
            .await;
    }
    world.settle().await;
    let later = NOW.plus_days(40);
    world.clock.set(later);
    let rails = [Rail::Agcod(world.payout_runs().account)];
    let run = payout_run::run(&world.writer, &rails, Scope::all(later, false)).await;
    run.expect("a payout run");
    world.settle().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn payouts_are_folded_too_and_nothing_is_sent() {
    let (world, scratch) = (World::new().await, World::new().await);
    paid(&world).await;
    let settings = VerifySettings::default();
    let (log, clock) = (world.log.clone(), world.clock.clone());
    let run = || {
        verify(
            log.clone(),
            clock.clone(),
            &world.operator,
            &scratch.writer,
            &settings,
        )
    };
    let report = run().await.expect("verified");
    assert!(report.equal, "{report}");
    assert_eq!(report.ledger.payouts, 9);
    assert_eq!(scratch.number("SELECT count(*) FROM outbox").await, 0);
    let dispatched = scratch.number("SELECT count(*) FROM payout_dispatch").await;
    assert_eq!(dispatched, 0);
    assert!(matches!(run().await, Err(VerifyError::NotEmpty)));
    let same = verify(log, clock, &world.operator, &world.writer, &settings).await;
    assert!(matches!(same, Err(VerifyError::SameDatabase)));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_changed_is_shown_line_by_line() {
    let (world, scratch) = (World::new().await, World::new().await);
    paid(&world).await;
    world
        .tamper(
            "UPDATE postings SET amount = amount + 1
             WHERE account = 'user_payable' AND led_id =
                   (SELECT led_id FROM ledger WHERE click_id = 4)",
        )
        .await;
    let settings = VerifySettings::default();
    let (log, clock) = (world.log.clone(), world.clock.clone());
    let report = verify(log, clock, &world.operator, &scratch.writer, &settings).await;
    let report = report.expect("verified");
    assert!(!report.equal);
    assert_eq!(
        (report.only_in_ledger, report.only_in_refolded),
        (1, 1),
        "{report}"
    );
    assert!(report.ledger_lines[0].contains("\"balance\""), "{report}");
}

#[tokio::test(flavor = "multi_thread")]
async fn payouts_under_way_are_waited_for() {
    let (world, scratch) = (World::new().await, World::new().await);
    paid(&world).await;
    let payout: uuid::Uuid = sqlx::query_scalar("SELECT payout_id FROM payouts LIMIT 1")
        .fetch_one(&world.writer)
        .await
        .expect("a payout");
    let step = schemas::events::PayoutResult {
        payout_id: schemas::PayoutId::new(payout),
        step: PayoutStep::Sending,
        at: NOW,
        attempt: 1,
        detail: None,
        card_id: None,
    };
    world.append(payout.to_string(), &step).await;
    let settings = VerifySettings {
        patience: Duration::ZERO,
        ..VerifySettings::default()
    };
    let (log, clock) = (world.log.clone(), world.clock.clone());
    let report = verify(log, clock, &world.operator, &scratch.writer, &settings).await;
    assert!(matches!(report, Err(VerifyError::NotAtRest(_))));
}
