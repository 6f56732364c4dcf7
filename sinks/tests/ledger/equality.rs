//! The tables say what the pure fold of the whole set says.

use proptest::{
    prelude::*,
    test_runner::{Config, TestRunner},
};
use sinks::ledger::rebuild;

use crate::{
    histories::{any_history, shuffled},
    records::Logged,
    snapshot::Snapshot,
    world::{RUNTIME, World},
};

/// `PROPTEST_CASES` asks for more, or fewer.
pub fn config(cases: u32) -> Config {
    let asked_for = std::env::var_os("PROPTEST_CASES").is_some();
    let default = Config {
        failure_persistence: None,
        ..Config::default()
    };
    Config {
        cases: if asked_for { default.cases } else { cases },
        ..default
    }
}

async fn fold_shuffled(world: &mut World, history: &[Logged], seed: u64, batch: usize) -> Snapshot {
    world.clear().await;
    // What was paid and cancelled stands in the history.
    rebuild::begin(&world.writer).await.expect("begun");
    let partitions = 1 + i32::try_from(seed % 12).expect("small");
    world.scatter(&shuffled(history, seed), partitions).await;
    world.fold(batch).await;
    Snapshot::read(&world.owner).await
}

#[test]
fn any_order_batch_and_repetition_gives_the_fold_of_the_set() {
    let world = RUNTIME.block_on(World::new());
    let world = tokio::sync::Mutex::new(world);
    let cases = (
        any_history(1..12, 1, 2),
        any::<u64>(),
        any::<u64>(),
        1_usize..8,
        1_usize..40,
    );
    TestRunner::new(config(150))
        .run(&cases, |(history, seed, other_seed, batch, other_batch)| {
            RUNTIME.block_on(async {
                let mut world = world.lock().await;
                let first = fold_shuffled(&mut world, &history, seed, batch).await;
                let differences = first.differences(&Snapshot::expect(&history));
                prop_assert!(differences.is_empty(), "{differences:#?}");
                let second = fold_shuffled(&mut world, &history, other_seed, other_batch).await;
                let differences = first.differences(&second);
                prop_assert!(differences.is_empty(), "{differences:#?}");
                Ok(())
            })
        })
        .unwrap_or_else(|failure| panic!("{failure}"));
}
