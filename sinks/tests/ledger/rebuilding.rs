//! A ledger that is folded anew from the log knows what was paid, and keeps quiet meanwhile.

use proptest::{prelude::*, test_runner::TestRunner};
use schemas::{PayoutId, events::PayoutStep};
use sinks::ledger::{
    LedgerError,
    payout_run::{self, Scope},
    rebuild,
};
use tokio::sync::Mutex;

use crate::{
    equality::config,
    histories::{any_history, appended_at, shuffled},
    payouts::{fold, rails, read_all, settle, step, world},
    records::{Logged, T0, matched},
    snapshot::Snapshot,
    world::{READ, RUNTIME, World},
};

/// With a cool-off so short that claims are paid, and taken back afterwards, within the history.
fn soon_payable(
    histories: impl Strategy<Value = Vec<Logged>>,
) -> impl Strategy<Value = Vec<Logged>> {
    histories.prop_map(|mut history| {
        for logged in &mut history {
            if let Logged::Decision(decision) = logged {
                matched(decision).terms.cool_off_days = 2;
            }
        }
        history
    })
}

/// Lives through a history in the order of appending, with payout runs and a dispatcher.
async fn live(world: &World, history: &[Logged], batch: usize, dispatch: &[u8]) {
    let mut history = history.to_vec();
    history.sort_by_key(appended_at);
    let mut dice = dispatch.iter().copied().cycle();
    for records in history.chunks(batch) {
        fold(world, records).await;
        let now = records.last().map_or(T0, appended_at);
        world.clock.set(now);
        if dice.next() != Some(0) {
            let run = payout_run::run(&world.writer, &rails(), Scope::all(now, false)).await;
            run.expect("a payout run");
        }
        settle(world).await;
        let open: Vec<(uuid::Uuid, String)> =
            sqlx::query_as("SELECT payout_id, state FROM payouts ORDER BY as_of, payout_id")
                .fetch_all(&world.owner)
                .await
                .expect("payouts");
        for (payout_id, state) in open {
            let next = match (&*state, dice.next()) {
                ("queued", Some(0 | 1)) => PayoutStep::Sending,
                ("sending", Some(0 | 1)) => PayoutStep::Funded,
                _ => continue,
            };
            fold(world, &[step(PayoutId::new(payout_id), next)]).await;
        }
        settle(world).await;
    }
}

/// Everything that the log holds of what the ledger reads.
async fn written(world: &World) -> Vec<Logged> {
    let mut written = Vec::new();
    for topic in READ {
        for record in read_all(world, topic).await {
            written.push(Logged::read(topic, &record.value));
        }
    }
    written
}

#[test]
fn a_rebuilt_ledger_equals_the_one_that_lived_through_payouts() {
    let world = Mutex::new(RUNTIME.block_on(world()));
    let cases = (
        soon_payable(any_history(4..20, 1, 0)),
        any::<u64>(),
        1_usize..5,
        1_usize..20,
        prop::collection::vec(0_u8..4, 1..20),
    );
    TestRunner::new(config(50))
        .run(&cases, |(history, seed, batch, other_batch, dispatch)| {
            RUNTIME.block_on(async {
                let mut world = world.lock().await;
                world.clear().await;
                live(&world, &history, batch, &dispatch).await;
                let lived = Snapshot::read(&world.owner).await;
                let written = written(&world).await;
                let differences = lived.differences(&Snapshot::expect(&written));
                prop_assert!(differences.is_empty(), "lived: {differences:#?}");

                world.clear().await;
                rebuild::begin(&world.writer).await.expect("begun");
                world.scatter(&shuffled(&written, seed), 12).await;
                world.fold(other_batch).await;
                prop_assert_eq!(
                    world.count("outbox").await,
                    0,
                    "a rebuild publishes nothing"
                );
                let refused = payout_run::run(&world.writer, &rails(), Scope::all(T0, false)).await;
                prop_assert!(matches!(refused, Err(LedgerError::Rebuilding)));
                let cancelled = rebuild::finish(&world.writer, T0).await.expect("finished");
                prop_assert_eq!(cancelled, 0, "what was cancelled stands in the log");
                let rebuilt = Snapshot::read(&world.owner).await;
                let differences = lived.differences(&rebuilt);
                prop_assert!(differences.is_empty(), "rebuilt: {differences:#?}");
                Ok(())
            })
        })
        .unwrap_or_else(|failure| panic!("{failure}"));
}
