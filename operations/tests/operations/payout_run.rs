use std::time::Duration;

use operations::{
    caught_up::{self, CaughtUpError},
    payout_run::PayoutRunError,
};

use crate::world::{NOW, World, sale, token};

#[tokio::test(flavor = "multi_thread")]
async fn what_has_matured_is_paid_once() {
    let world = World::new().await;
    world.click(1).await;
    world.report(sale(&token(1), "A")).await;
    world.settle().await;
    let runs = world.payout_runs();
    let early = runs.run(None, false).await.expect("a run");
    assert_eq!(early.paid_count, 0);

    world.clock.set(NOW.plus_days(40));
    let dry = runs.run(None, true).await.expect("a run");
    assert_eq!(
        (dry.paid_count, dry.paid_amount.to_string().as_str()),
        (1, "95.00")
    );
    assert_eq!(world.number("SELECT count(*) FROM payouts").await, 0);
    let first = runs.run(None, false).await.expect("a run");
    assert_eq!(first, dry);
    world.settle().await;
    let second = runs.run(None, false).await.expect("a run");
    assert_eq!(second.paid_count, 0);
    let report = world.audit().await;
    assert!(report.ok, "{report}");
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_paid_while_the_ledger_is_behind() {
    let world = World::new().await;
    world.click(1).await;
    world.report(sale(&token(1), "A")).await;
    world.settle().await;
    world.clock.set(NOW.plus_days(40));
    world.report(sale(&token(1), "A")).await;
    let runs = world.payout_runs();
    match runs.run(None, false).await {
        Err(PayoutRunError::CaughtUp(CaughtUpError::Behind(lags))) => assert_eq!(lags.len(), 1),
        other => panic!("it was behind: {other:?}"),
    }
    let waited =
        caught_up::wait_until_caught_up(&world.log, &world.writer, Duration::from_millis(60)).await;
    assert!(matches!(waited, Err(CaughtUpError::Behind(_))));
    world.settle().await;
    assert_eq!(runs.run(None, false).await.expect("a run").paid_count, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_lost_its_end_stops_payouts() {
    let world = World::new().await;
    world
        .tamper("INSERT INTO consumer_positions VALUES ('ledger', 'payouts', 0, 5)")
        .await;
    match world.payout_runs().run(None, false).await {
        Err(PayoutRunError::CaughtUp(CaughtUpError::LogLost(lags))) => {
            assert_eq!((lags[0].folded, lags[0].end), (5, 0));
        }
        other => panic!("the log was lost: {other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broken_money_invariant_and_the_future_stop_payouts() {
    let world = World::new().await;
    world.click(1).await;
    world.report(sale(&token(1), "A")).await;
    world.settle().await;
    world.clock.set(NOW.plus_days(40));
    let runs = world.payout_runs();
    let ahead = runs.run(Some(NOW.plus_days(41)), false).await;
    assert!(matches!(ahead, Err(PayoutRunError::AsOfInFuture { .. })));
    world
        .tamper(
            "UPDATE ledger SET posted_user = posted_user + 1, posted_creator = posted_creator - 1",
        )
        .await;
    match runs.run(None, false).await {
        Err(PayoutRunError::Held(hold)) => {
            assert_eq!(hold.invariant, "posted_equals_postings");
        }
        other => panic!("the books are wrong: {other:?}"),
    }
    assert_eq!(world.number("SELECT count(*) FROM payouts").await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_run_at_a_time() {
    let world = World::new().await;
    let mut other = world.superuser.acquire().await.expect("a connection");
    sqlx::query("SELECT pg_advisory_lock(hashtext('hissaback.payout_run'))")
        .execute(&mut *other)
        .await
        .expect("locked");
    let outcome = world.payout_runs().run(None, false).await;
    assert!(
        matches!(outcome, Err(PayoutRunError::Running)),
        "{outcome:?}"
    );
}
