//! What is wrong with the cluster, as far as its clients can tell.

use rdkafka::error::{KafkaError, RDKafkaErrorCode};

use crate::error::LogError;

/// A trouble with the cluster, told apart by what an operator has to do about it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// No broker answers: it is down, or the address is wrong.
    #[error("the Kafka brokers {brokers} can't be reached: {reason}")]
    Unreachable {
        /// The addresses that were tried.
        brokers: String,
        /// What the client says.
        reason: String,
    },
    /// The brokers don't accept who we say we are.
    #[error("the Kafka brokers refuse the credentials: {reason}")]
    CredentialsRefused {
        /// What the broker says.
        reason: String,
    },
    /// The broker's certificate is not trusted, or it refuses ours.
    #[error("no trusted TLS connection to the Kafka brokers: {reason}")]
    TlsFailed {
        /// What the client says.
        reason: String,
    },
    /// We are known, and may not do this.
    #[error("the Kafka brokers don't allow it: {reason}")]
    Forbidden {
        /// What the broker says.
        reason: String,
    },
    /// A topic isn't there: never made, or deleted under our feet.
    #[error("the Kafka topic {name} is missing: `hissaback migrate` makes it")]
    TopicMissing {
        /// Its name in the cluster.
        name: String,
    },
    /// A topic has another partition count, so that keys would land elsewhere.
    #[error("the Kafka topic {name} has {found} partitions instead of {expected}")]
    PartitionCount {
        /// Its name in the cluster.
        name: String,
        /// How many it has.
        found: usize,
        /// How many it has to have.
        expected: i32,
    },
    /// A broker was asked and did not answer in time.
    #[error("the Kafka brokers did not answer in time: {reason}")]
    TimedOut {
        /// What was not answered.
        reason: String,
    },
    /// The client refuses its settings: a file that is missing, a value out of range.
    #[error("the Kafka settings can't be used: {reason}")]
    Settings {
        /// What the client says.
        reason: String,
    },
    /// Anything else that a client reports.
    #[error("Kafka: {reason}")]
    Other {
        /// What it says.
        reason: String,
    },
}

impl Fault {
    /// Whether it may pass without anybody changing settings, rights or topics.
    pub fn temporary(&self) -> bool {
        match self {
            Self::Unreachable { .. } | Self::TimedOut { .. } | Self::Other { .. } => true,
            Self::CredentialsRefused { .. }
            | Self::TlsFailed { .. }
            | Self::Forbidden { .. }
            | Self::TopicMissing { .. }
            | Self::PartitionCount { .. }
            | Self::Settings { .. } => false,
        }
    }

    /// What a client's error means.
    pub(super) fn of(error: &KafkaError) -> Self {
        let reason = error.to_string();
        match error {
            KafkaError::ClientConfig(..) | KafkaError::ClientCreation(_) => {
                Self::Settings { reason }
            }
            _ => match error.rdkafka_error_code() {
                Some(code) => Self::of_code(code, reason),
                None => Self::Other { reason },
            },
        }
    }

    /// What an error code means; `reason` says more.
    pub(super) fn of_code(code: RDKafkaErrorCode, reason: String) -> Self {
        match code {
            RDKafkaErrorCode::Authentication | RDKafkaErrorCode::SaslAuthenticationFailed => {
                Self::CredentialsRefused { reason }
            }
            RDKafkaErrorCode::SSL => Self::TlsFailed { reason },
            RDKafkaErrorCode::TopicAuthorizationFailed
            | RDKafkaErrorCode::GroupAuthorizationFailed
            | RDKafkaErrorCode::ClusterAuthorizationFailed => Self::Forbidden { reason },
            RDKafkaErrorCode::UnknownTopic
            | RDKafkaErrorCode::UnknownPartition
            | RDKafkaErrorCode::UnknownTopicOrPartition => Self::TopicMissing { name: reason },
            RDKafkaErrorCode::AllBrokersDown
            | RDKafkaErrorCode::BrokerTransportFailure
            | RDKafkaErrorCode::Resolve => Self::Unreachable {
                brokers: String::new(),
                reason,
            },
            RDKafkaErrorCode::OperationTimedOut
            | RDKafkaErrorCode::MessageTimedOut
            | RDKafkaErrorCode::RequestTimedOut
            | RDKafkaErrorCode::TimedOutQueue
            | RDKafkaErrorCode::WaitingForCoordinator => Self::TimedOut { reason },
            _ => Self::Other { reason },
        }
    }

    /// As the port's error.
    pub(super) fn during(self, doing: &'static str) -> LogError {
        LogError::storage(doing, self)
    }
}

impl LogError {
    /// The trouble with the Kafka cluster that it comes from, if it does.
    pub fn kafka_fault(&self) -> Option<&Fault> {
        match self {
            Self::Storage { cause, .. } => cause.downcast_ref(),
            Self::Closed
            | Self::Failed { .. }
            | Self::Damaged { .. }
            | Self::NoSuchPartition { .. }
            | Self::PositionBeyondEnd { .. }
            | Self::PositionBeforeStart { .. }
            | Self::NotAssigned { .. }
            | Self::InUse { .. }
            | Self::Fenced { .. }
            | Self::Unusable { .. } => None,
        }
    }

    /// Whether trying again may succeed without anybody changing anything. Another process that
    /// has the directory open may end.
    pub fn temporary(&self) -> bool {
        match self {
            Self::Storage { .. } => self.kafka_fault().is_none_or(Fault::temporary),
            Self::InUse { .. } => true,
            Self::Closed
            | Self::Failed { .. }
            | Self::Damaged { .. }
            | Self::NoSuchPartition { .. }
            | Self::PositionBeyondEnd { .. }
            | Self::PositionBeforeStart { .. }
            | Self::NotAssigned { .. }
            | Self::Fenced { .. }
            | Self::Unusable { .. } => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_are_told_apart_by_who_can_mend_them() {
        let of = |code| Fault::of(&KafkaError::Global(code));
        for (code, temporary) in [
            (RDKafkaErrorCode::AllBrokersDown, true),
            (RDKafkaErrorCode::OperationTimedOut, true),
            (RDKafkaErrorCode::NotEnoughReplicas, true),
            (RDKafkaErrorCode::Authentication, false),
            (RDKafkaErrorCode::SSL, false),
            (RDKafkaErrorCode::TopicAuthorizationFailed, false),
            (RDKafkaErrorCode::UnknownTopicOrPartition, false),
        ] {
            assert_eq!(of(code).temporary(), temporary, "{code:?}");
            let error = of(code).during("asking");
            assert_eq!(error.temporary(), temporary, "{code:?}");
            assert_eq!(error.kafka_fault(), Some(&of(code)));
        }
        assert_eq!(LogError::Closed.kafka_fault(), None);
    }
}
