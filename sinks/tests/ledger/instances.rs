//! Many instances, stale ones, and crashes: the end is the same.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use prometheus::Registry;
use proptest::{
    strategy::{Strategy, ValueTree},
    test_runner::{Config, RngSeed, TestRunner},
};
use rand::{RngExt, SeedableRng, rngs::StdRng};
use schemas::{Topic, codec, events::LedgerChanged};
use sinks::ledger::{LedgerSink, OutboxRelay, instances::InstanceLease, rebuild};
use stream::Log;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::{
    histories::{any_history, shuffled},
    records::{Logged, decision},
    snapshot::Snapshot,
    world::{Running, World},
};

/// A history that is the same for the same seed.
fn history(seed: u64, reports: i64, groups: i64, payouts_max: u128) -> Vec<Logged> {
    let mut runner = TestRunner::new(Config {
        rng_seed: RngSeed::Fixed(seed),
        ..Config::default()
    });
    let any = any_history(reports..reports + 1, groups, payouts_max);
    let history = any.new_tree(&mut runner).expect("a history").current();
    shuffled(&history, seed)
}

fn assert_same(ours: &Snapshot, theirs: &Snapshot, seed: u64) {
    let differences = ours.differences(theirs);
    assert!(differences.is_empty(), "seed {seed}: {differences:#?}");
}

/// Whether a counter stands at this value.
fn counts(registry: &Registry, name: &str, value: u64) -> bool {
    let metrics = prometheus::TextEncoder::new()
        .encode_to_string(&registry.gather())
        .expect("text");
    metrics.contains(&format!("\n{name} {value}\n"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn instances_that_share_orders_and_users_neither_deadlock_nor_differ() {
    let mut world = World::new().await;
    for seed in 0..4 {
        world.clear().await;
        let history = history(seed, 300, 6, 3);
        rebuild::begin(&world.writer).await.expect("begun");
        world.scatter(&history, 12).await;
        let registries: Vec<_> = (0..3).map(|_| Registry::new()).collect();
        let running: Vec<_> = registries
            .iter()
            .map(|registry| Running::start(&world.measured_sink(7, registry)))
            .collect();
        world.folded().await;
        for sink in running {
            sink.stop().await;
        }
        for registry in &registries {
            let untroubled = counts(registry, "hissaback_ledger_retries_total", 0);
            assert!(untroubled, "seed {seed}: a deadlock, or another failure");
        }
        let found = Snapshot::read(&world.owner).await;
        assert_same(&found, &Snapshot::expect(&history), seed);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn processes_that_start_together_get_numbers_of_their_own() {
    let world = World::new().await;
    let mut starting = JoinSet::new();
    for _ in 0..16 {
        starting.spawn(InstanceLease::take(world.writer.clone()));
    }
    let mut numbers = BTreeSet::new();
    while let Some(lease) = starting.join_next().await {
        let lease = lease.expect("it ended").expect("there are enough");
        assert!(numbers.insert(lease.instance()), "a number was given twice");
    }
    assert_eq!(numbers.len(), 16);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_ledger_that_crashes_again_and_again_ends_as_one_that_never_did() {
    let mut world = World::new().await;
    for seed in 0..3 {
        world.clear().await;
        let history = history(100 + seed, 120, 3, 0);
        let mut dice = StdRng::seed_from_u64(seed);
        let stop = CancellationToken::new();
        let relay = OutboxRelay::new(world.writer.clone(), world.log.clone(), Arc::default());
        let relaying = tokio::spawn({
            let stop = stop.clone();
            async move { relay.run(stop).await }
        });
        let mut crashes = 0;
        for records in history.chunks(10) {
            world.scatter(records, 12).await;
            for _ in 0..3 {
                // A process that dies takes its connections along; a future that is dropped
                // while it begins a transaction would leave one open in a shared pool.
                let connections = world.pool("hissaback_writer").await;
                let mut sink = LedgerSink {
                    pool: connections.clone(),
                    ..world.sink(3)
                };
                sink.settings.members = 2;
                let running = Running::start(&sink);
                tokio::time::sleep(Duration::from_millis(dice.random_range(1..60))).await;
                running.kill().await;
                connections.close().await;
                crashes += 1;
            }
        }
        world.fold(3).await;
        assert!(crashes > 30);
        while world.count("outbox").await > 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        stop.cancel();
        relaying.await.expect("the relay ended");
        let found = Snapshot::read(&world.owner).await;
        assert_same(&found, &Snapshot::expect(&history), seed);
        assert_told(&world, &found).await;
    }
}

/// The last that the `ledger` topic heard of each claim is what its row says.
async fn assert_told(world: &World, found: &Snapshot) {
    let mut told = std::collections::BTreeMap::new();
    for partition in 0..Topic::Ledger.partitions() {
        let high = world
            .log
            .watermarks(Topic::Ledger, partition)
            .await
            .expect("read")
            .high;
        let mut offset = 0;
        while offset < high {
            let records = world
                .log
                .read(Topic::Ledger, partition, offset, 1_000)
                .await;
            for record in records.expect("read") {
                offset = record.position.offset + 1;
                let event: LedgerChanged = codec::decode(&record.value).expect("decoded");
                let newest = told
                    .entry(event.claim.get())
                    .or_insert_with(|| event.clone());
                if newest.sequence < event.sequence {
                    *newest = event;
                }
            }
        }
    }
    told.retain(|_, event| !event.retired);
    let told: Vec<_> = told
        .iter()
        .map(|(claim, event)| {
            (
                *claim,
                event.status.name(),
                event.posted.user.to_decimal(),
                event.paid_amount.to_decimal(),
            )
        })
        .collect();
    let rows: Vec<_> = found
        .claims
        .iter()
        .map(|(claim, row)| (*claim, &*row.status, row.posted[3], row.paid_amount))
        .collect();
    assert_eq!(told, rows);
}

#[tokio::test]
async fn a_stale_consumer_is_fenced_and_reads_on_from_where_the_other_came_to() {
    let world = World::new().await;
    let registry = Registry::new();
    let running = Running::start(&world.measured_sink(1, &registry));
    let record = |event_id| Logged::from(decision(event_id));
    world.scatter(&[record(1)], 1).await;
    world.folded().await;
    // Another consumer, of which this one knows nothing, has applied three records more.
    sqlx::query(
        "UPDATE consumer_positions SET next_offset = 4 WHERE topic = 'decisions' AND partition = 0",
    )
    .execute(&world.writer)
    .await
    .expect("moved");
    world
        .scatter(&[record(2), record(3), record(4), record(5)], 1)
        .await;
    world.folded().await;
    running.stop().await;
    assert!(counts(&registry, "hissaback_ledger_fenced_total", 1));
    let applied: Vec<i64> = sqlx::query_scalar("SELECT conv_id FROM conversions ORDER BY 1")
        .fetch_all(&world.owner)
        .await
        .expect("reports");
    assert_eq!(applied, [1, 5]);
}

#[tokio::test]
async fn a_log_that_holds_less_than_was_read_is_refused() {
    let mut world = World::new().await;
    world.append(&decision(1).into()).await;
    world.fold(10).await;
    world.lose_log();
    let refused = world.sink(10).run(CancellationToken::new()).await;
    assert!(
        refused.is_err_and(|error| error.to_string().contains("beyond")),
        "going on would skip records"
    );
}
