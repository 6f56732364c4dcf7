//! Questions to brokers: asked again while leadership moves, and what it means when they fail.

use std::{
    thread::sleep,
    time::{Duration, Instant},
};

use rdkafka::{
    consumer::BaseConsumer,
    error::{KafkaError, KafkaResult, RDKafkaErrorCode},
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
