//! How the cluster is doing, as its clients and the monitor see it.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use rdkafka::{
    ClientContext,
    client::Client,
    config::RDKafkaLogLevel,
    consumer::ConsumerContext,
    error::{KafkaError, RDKafkaErrorCode},
};
use tokio::sync::watch;
use tracing::{debug, info, warn};

use super::{fault::Fault, stranded::Stranded};
use crate::{
    error::{LogError, Refusal},
    log::Health,
};

/// What the monitor found last.
#[derive(Debug, Clone, PartialEq, Eq)]
enum State {
    /// Nothing yet.
    Connecting,
    /// Brokers and topics are there.
    Ready,
    /// They are not, or not as they should be.
    Troubled(Fault),
    /// By our owner.
    Closed,
}

/// The state of the cluster.
pub(super) struct Condition {
    brokers: String,
    state: watch::Sender<State>,
    /// What clients reported since the monitor was last content: why nothing answers.
    reported: Mutex<Option<Fault>>,
}

impl Condition {
    pub(super) fn new(brokers: &str) -> Arc<Self> {
        Arc::new(Self {
            brokers: brokers.to_owned(),
            state: watch::Sender::new(State::Connecting),
            reported: Mutex::default(),
        })
    }

    /// Fails once closed.
    pub(super) fn check_open(&self) -> Result<(), LogError> {
        if *self.state.borrow() == State::Closed {
            Err(LogError::Closed)
        } else {
            Ok(())
        }
    }

    /// Whether appends may be tried. A known trouble refuses them at once: to let each wait for
    /// the delivery timeout would only fill what may be in flight.
    pub(super) fn check_appends(&self) -> Result<(), Refusal> {
        match &*self.state.borrow() {
            State::Connecting | State::Ready => Ok(()),
            State::Troubled(fault) => Err(Refusal::Unavailable(fault.clone().during("appending"))),
            State::Closed => Err(Refusal::Unavailable(LogError::Closed)),
        }
    }

    pub(super) fn health(&self) -> Health {
        let reason = match &*self.state.borrow() {
            State::Ready => return Health::Ready,
            State::Connecting => format!("connecting to the Kafka brokers {}", self.brokers),
            State::Troubled(fault) => fault.to_string(),
            State::Closed => LogError::Closed.to_string(),
        };
        Health::Unavailable { reason }
    }

    /// Takes no more; nothing that is found later changes that.
    pub(super) fn close(&self) {
        self.state.send_replace(State::Closed);
    }

    /// Waits until brokers and topics are there. A trouble that doesn't pass by itself is an
    /// error at once, another one after `wait`.
    pub(super) async fn ready(&self, wait: Duration) -> Result<(), LogError> {
        let mut states = self.state.subscribe();
        let settled = states.wait_for(|state| match state {
            State::Ready | State::Closed => true,
            State::Connecting => false,
            State::Troubled(fault) => !fault.temporary(),
        });
        // Within the wait or not, what counts is the state by now.
        let _ = tokio::time::timeout(wait, settled).await;
        match &*self.state.borrow() {
            State::Ready => Ok(()),
            State::Closed => Err(LogError::Closed),
            State::Troubled(fault) => Err(fault.clone().during("connecting")),
            State::Connecting => Err(self.unanswered("nothing yet").during("connecting")),
        }
    }

    /// Takes in what the monitor found.
    pub(super) fn probed(&self, found: Result<(), Fault>) {
        let state = match found {
            Ok(()) => {
                self.reported().take();
                State::Ready
            }
            Err(Fault::Unreachable { reason, .. } | Fault::TimedOut { reason }) => {
                State::Troubled(self.unanswered(&reason))
            }
            Err(fault) => State::Troubled(fault),
        };
        self.state.send_if_modified(|current| {
            if *current == State::Closed || *current == state {
                return false;
            }
            match &state {
                State::Troubled(fault) => warn!(%fault, "the log is unavailable"),
                State::Ready => info!(brokers = self.brokers, "the log is ready"),
                State::Connecting | State::Closed => {}
            }
            *current = state.clone();
            true
        });
    }

    /// Takes in what a client reports on its own.
    pub(super) fn reported_by_client(&self, fault: Fault) {
        let mut reported = self.reported();
        match (&*reported, &fault) {
            // Which follows from what is known already.
            (Some(_), Fault::Unreachable { .. } | Fault::TimedOut { .. }) => {}
            _ => *reported = Some(fault),
        }
    }

    /// Why nothing answers: what clients reported, if it says more than that.
    pub(super) fn unanswered(&self, reason: &str) -> Fault {
        match &*self.reported() {
            Some(fault @ (Fault::CredentialsRefused { .. } | Fault::TlsFailed { .. })) => {
                fault.clone()
            }
            Some(Fault::Unreachable { reason, .. }) => self.unreachable(reason),
            _ => self.unreachable(reason),
        }
    }

    /// With the addresses filled in.
    fn unreachable(&self, reason: &str) -> Fault {
        Fault::Unreachable {
            brokers: self.brokers.clone(),
            reason: reason.to_owned(),
        }
    }

    fn reported(&self) -> std::sync::MutexGuard<'_, Option<Fault>> {
        self.reported.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Hears what a client reports on its own.
pub(super) struct Observer {
    condition: Arc<Condition>,
    stranded: Stranded,
}

impl Observer {
    pub(super) fn new(condition: &Arc<Condition>) -> Self {
        Self {
            condition: Arc::clone(condition),
            stranded: Stranded::default(),
        }
    }

    /// Helps its client, which is watched, if it knows no broker.
    pub(super) fn rescue<C: ClientContext>(&self, client: &Client<C>) {
        self.stranded.rescue(client, &self.condition.brokers);
    }
}

impl ClientContext for Observer {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        // What matters comes as an error too, and is logged where the state changes.
        match level {
            RDKafkaLogLevel::Emerg | RDKafkaLogLevel::Alert | RDKafkaLogLevel::Critical => {
                warn!(facility, message, "librdkafka");
            }
            RDKafkaLogLevel::Error
            | RDKafkaLogLevel::Warning
            | RDKafkaLogLevel::Notice
            | RDKafkaLogLevel::Info
            | RDKafkaLogLevel::Debug => debug!(facility, message, "librdkafka"),
        }
    }

    fn stats_raw(&self, statistics: &[u8]) {
        self.stranded.hear(statistics);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        let Some(code) = error.rdkafka_error_code() else {
            return;
        };
        // The end of a partition is reported as one.
        if code != RDKafkaErrorCode::PartitionEOF {
            debug!(%error, reason, "reported by librdkafka");
            self.condition
                .reported_by_client(Fault::of_code(code, reason.to_owned()));
        }
    }
}

impl ConsumerContext for Observer {}

#[cfg(test)]
mod tests {
    use super::*;

    fn unreachable() -> Fault {
        Fault::Unreachable {
            brokers: String::new(),
            reason: "connection refused".to_owned(),
        }
    }

    fn refused() -> Fault {
        Fault::CredentialsRefused {
            reason: "wrong password".to_owned(),
        }
    }

    #[test]
    fn the_reason_behind_the_silence_is_kept_until_it_is_over() {
        let condition = Condition::new("kafka:9092");
        assert!(condition.check_appends().is_ok(), "not known to be bad");
        condition.reported_by_client(refused());
        condition.reported_by_client(unreachable());
        condition.probed(Err(unreachable()));
        assert!(matches!(
            condition.check_appends(),
            Err(Refusal::Unavailable(error)) if error.kafka_fault() == Some(&refused())
        ));
        condition.probed(Ok(()));
        assert_eq!(condition.health(), Health::Ready);
        condition.probed(Err(unreachable()));
        let health = condition.health();
        assert!(
            matches!(&health, Health::Unavailable { reason } if reason.contains("kafka:9092")),
            "{health:?}"
        );
    }

    #[test]
    fn closed_is_closed() {
        let condition = Condition::new("kafka:9092");
        condition.close();
        condition.probed(Ok(()));
        assert!(matches!(condition.check_open(), Err(LogError::Closed)));
        assert!(matches!(condition.health(), Health::Unavailable { .. }));
    }

    #[tokio::test]
    async fn waiting_ends_with_a_trouble_that_stays() {
        let condition = Condition::new("kafka:9092");
        let wait = Duration::from_millis(1);
        assert!(
            condition
                .ready(wait)
                .await
                .is_err_and(|error| error.temporary())
        );
        condition.probed(Err(refused()));
        let error = condition.ready(Duration::MAX).await.unwrap_err();
        assert_eq!(error.kafka_fault(), Some(&refused()));
        condition.probed(Ok(()));
        assert!(condition.ready(wait).await.is_ok());
    }
}
