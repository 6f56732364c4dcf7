//! Questions to brokers: asked again while leadership moves, and what it means when they fail.

use std::{
    thread::sleep,
    time::{Duration, Instant},
};

use rdkafka::{
    consumer::{BaseConsumer, Consumer},
    error::{KafkaError, KafkaResult, RDKafkaErrorCode},
    metadata::MetadataTopic,
};

use super::{
    condition::{Condition, Observer},
    fault::Fault,
};

const ASKS_EVERY: Duration = Duration::from_millis(50);
/// Enough of them to learn why nothing answers; the others come next time.
const REPORTS_MAX: usize = 50;

/// Asks until there is an answer, or a failure that doesn't pass, or `within` is over. Blocks.
pub(super) fn patiently<T>(
    within: Duration,
    mut ask: impl FnMut() -> KafkaResult<T>,
) -> KafkaResult<T> {
    let deadline = Instant::now() + within;
    loop {
        match ask() {
            Err(error) if passing(&error) && Instant::now() < deadline => sleep(ASKS_EVERY),
            answer => return answer,
        }
    }
}

/// What a partition holds. Blocks.
pub(super) fn watermarks(
    client: &BaseConsumer<Observer>,
    name: &str,
    partition: i32,
    within: Duration,
) -> KafkaResult<(i64, i64)> {
    patiently(within, || {
        let error = match client.fetch_watermarks(name, partition, within) {
            Err(error) if missing(&error) => error,
            answer => return answer,
        };
        // A client takes a topic for missing too while it waits, perhaps in vain, to hear of its
        // partitions (ADR 0019). A question of ours is asked in any case, and its answer kept.
        let metadata = client.fetch_metadata(Some(name), within)?;
        let there = metadata
            .topics()
            .iter()
            .flat_map(MetadataTopic::partitions)
            .any(|found| found.id() == partition);
        Err(if there {
            KafkaError::MetadataFetch(RDKafkaErrorCode::LeaderNotAvailable)
        } else {
            error
        })
    })
}

fn missing(error: &KafkaError) -> bool {
    matches!(Fault::of(error), Fault::TopicMissing { .. })
}

/// Hears what a client that isn't read from reports on its own, such as why it can't connect.
/// Returns how many messages came that way, which should be none.
pub(super) fn hear(client: &BaseConsumer<Observer>) -> usize {
    let mut messages = 0;
    // Each look serves one report and doesn't say whether it did.
    for _ in 0..REPORTS_MAX {
        match client.poll(Duration::ZERO) {
            None => {}
            Some(Ok(_)) => messages += 1,
            Some(Err(error)) => tracing::debug!(%error, "reported by a client"),
        }
    }
    messages
}

/// Whether a partition or a group is just changing hands.
fn passing(error: &KafkaError) -> bool {
    matches!(
        error.rdkafka_error_code(),
        Some(
            RDKafkaErrorCode::NotLeaderForPartition
                | RDKafkaErrorCode::LeaderNotAvailable
                | RDKafkaErrorCode::ReplicaNotAvailable
                | RDKafkaErrorCode::FencedLeaderEpoch
                | RDKafkaErrorCode::UnknownLeaderEpoch
                | RDKafkaErrorCode::OffsetNotAvailable
                | RDKafkaErrorCode::CoordinatorLoadInProgress
                | RDKafkaErrorCode::CoordinatorNotAvailable
                | RDKafkaErrorCode::NotCoordinator
                | RDKafkaErrorCode::WaitingForCoordinator
        )
    )
}

/// What a question about a topic that failed says about the cluster.
pub(super) fn of_question(error: &KafkaError, name: &str, condition: &Condition) -> Fault {
    match Fault::of(error) {
        Fault::TopicMissing { .. } => Fault::TopicMissing {
            name: name.to_owned(),
        },
        Fault::Unreachable { reason, .. } | Fault::TimedOut { reason } => {
            condition.unanswered(&reason)
        }
        fault => fault,
    }
}
