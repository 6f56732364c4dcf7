//! Appending: an idempotent producer, and a delivery report for each record.
//!
//! ```text
//! append ─▶ admission ─▶ librdkafka's queue ─▶ brokers ─▶ delivery reports ─▶ the last one answers
//! ```
//!
//! One channel for each append and one small allocation for each record: no future, timer or
//! thread hangs on a record of its own.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
};

use rdkafka::{
    ClientContext, Message,
    config::{FromClientConfigAndContext, RDKafkaLogLevel},
    error::{KafkaError, RDKafkaErrorCode},
    message::{DeliveryResult, Header, OwnedHeaders},
    producer::{BaseRecord, Producer, ProducerContext, ThreadedProducer},
};
use schemas::{Position, Timestamp, Topic};
use tokio::sync::oneshot;
use tracing::warn;

use super::{
    condition::{Condition, Observer},
    fault::Fault,
    settings::{AppendTimes, KafkaSettings, producer_client},
    stranded::watched,
};
use crate::{
    admission::{Admission, Permit},
    error::{AppendError, LogError, Refusal},
    log::Partition,
    record::NewRecord,
};

type RawProducer = ThreadedProducer<Deliveries>;

/// Appends to the cluster.
pub(super) struct Appender {
    settings: KafkaSettings,
    condition: Arc<Condition>,
    admission: Arc<Admission>,
    times: AppendTimes,
    /// The latest time given out for each partition, where we set the times.
    latest: Mutex<BTreeMap<Partition, i64>>,
    producer: Mutex<RawProducer>,
}

/// The outcome of an append that a broker or the client refused for good, record by record.
pub(super) enum Appended {
    /// Everything is durable.
    Positions(Vec<Position>),
    /// The brokers say that something is too large, and nothing of the batch was written.
    TooLarge,
    /// Anything else.
    Failed(AppendError),
}

impl Appender {
    pub(super) fn new(
        settings: KafkaSettings,
        condition: Arc<Condition>,
        times: AppendTimes,
    ) -> Result<Self, KafkaError> {
        Ok(Self {
            producer: Mutex::new(connect(&settings, &condition)?),
            admission: Admission::new(settings.limits.clone()),
            settings,
            condition,
            times,
            latest: Mutex::default(),
        })
    }

    /// Appends, without knowing yet what a broker's limit on sizes is.
    pub(super) async fn append(&self, topic: Topic, records: &[NewRecord]) -> Appended {
        let started = match self.start(topic, records) {
            Ok(started) => started,
            Err(refusal) => return Appended::Failed(refusal.into()),
        };
        // The delivery timeout ends every wait; without an answer the producer is gone.
        started.await.unwrap_or_else(|_| {
            Appended::Failed(AppendError::Indeterminate(LogError::Failed {
                reason: "the producer stopped half way".to_owned(),
            }))
        })
    }

    fn start(
        &self,
        topic: Topic,
        records: &[NewRecord],
    ) -> Result<oneshot::Receiver<Appended>, Refusal> {
        self.condition.check_appends()?;
        let permit = self.admission.admit(topic, records)?;
        let (done, outcome) = oneshot::channel();
        let pending = Arc::new(Pending {
            topic,
            partitions: records
                .iter()
                .map(|record| record.partition_in(topic))
                .collect(),
            outcomes: Mutex::new((0..records.len()).map(|_| Outcome::Unknown).collect()),
            left: AtomicUsize::new(records.len()),
            done: Mutex::new(Some((done, permit))),
            condition: Arc::clone(&self.condition),
        });
        let producer = self.producer()?;
        let name = self.settings.topic_name(topic);
        // Held while the batch is handed over, so that times rise in the order of the offsets.
        let mut clock = match &self.times {
            AppendTimes::Broker => None,
            AppendTimes::Clock(clock) => {
                let latest = self.latest.lock().unwrap_or_else(PoisonError::into_inner);
                Some((clock.now().millis(), latest))
            }
        };
        for (index, record) in records.iter().enumerate() {
            let partition = pending.partitions[index];
            let kept = record.appended_at.map(Timestamp::millis);
            let timestamp = clock.as_mut().map_or(kept, |(now, latest)| {
                let at = kept.unwrap_or(*now);
                let latest = latest.entry((topic, partition)).or_insert(at);
                *latest = (*latest).max(at);
                Some(*latest)
            });
            let delivery = Box::new(Delivery {
                pending: Arc::clone(&pending),
                index,
            });
            let message = BaseRecord {
                topic: &name,
                partition: Some(partition),
                payload: Some(&record.value[..]),
                key: Some(&record.key[..]),
                timestamp,
                headers: headers(record),
                delivery_opaque: delivery,
            };
            if let Err((error, message)) = producer.send(message) {
                message.delivery_opaque.settle(Outcome::refused(&error));
            }
        }
        Ok(outcome)
    }

    /// The producer, or a new one if it is past help: after a fatal error librdkafka refuses
    /// everything (an idempotent producer whose sequence broke: a topic deleted under it, or a
    /// broker that lost what it had acknowledged).
    fn producer(&self) -> Result<RawProducer, Refusal> {
        let mut producer = self.producer.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((code, reason)) = producer.client().fatal_error() {
            warn!(%code, reason, "the producer has failed and is replaced");
            let fresh = connect(&self.settings, &self.condition).map_err(|error| {
                Refusal::Unavailable(Fault::of(&error).during("replacing the producer"))
            })?;
            *producer = fresh;
        }
        Ok(producer.clone())
    }

    /// Helps a producer that knows no broker.
    pub(super) fn rescue(&self) {
        let producer = self.producer.lock().unwrap_or_else(PoisonError::into_inner);
        let client = producer.client();
        let Deliveries(observer) = &**client.context();
        observer.rescue(client);
    }

    /// Waits until everything in flight has its outcome. Blocks.
    pub(super) fn finish(&self) {
        let producer = self
            .producer
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        // A little longer than the longest that anything stays in flight.
        let wait = self.settings.delivery_timeout + self.settings.request_timeout;
        if let Err(error) = producer.flush(wait) {
            warn!(%error, "closing before everything in flight was delivered");
        }
    }
}

fn connect(
    settings: &KafkaSettings,
    condition: &Arc<Condition>,
) -> Result<RawProducer, KafkaError> {
    let deliveries = Deliveries(Observer::new(condition));
    ThreadedProducer::from_config_and_context(&watched(producer_client(settings)), deliveries)
}

fn headers(record: &NewRecord) -> Option<OwnedHeaders> {
    if record.headers.is_empty() {
        return None;
    }
    let headers = OwnedHeaders::new_with_capacity(record.headers.len());
    Some(record.headers.iter().fold(headers, |headers, header| {
        headers.insert(Header {
            key: &header.name,
            value: Some(&header.value[..]),
        })
    }))
}

/// An append in flight.
struct Pending {
    topic: Topic,
    partitions: Vec<i32>,
    outcomes: Mutex<Vec<Outcome>>,
    left: AtomicUsize,
    /// Taken by the last delivery, which gives back the room in flight too: whether or not
    /// anybody still waits for the answer.
    done: Mutex<Option<(oneshot::Sender<Appended>, Permit)>>,
    condition: Arc<Condition>,
}

/// One record of an append, as librdkafka carries it along.
struct Delivery {
    pending: Arc<Pending>,
    index: usize,
}

/// What became of a record.
enum Outcome {
    /// Nothing yet.
    Unknown,
    /// It stands at this offset.
    Written(i64),
    /// It was not written and won't be: over the limit on sizes.
    TooLarge,
    /// It was not written and won't be.
    Refused(Fault),
    /// It may have been written.
    Uncertain(Fault),
}

impl Outcome {
    /// The client didn't even queue it.
    fn refused(error: &KafkaError) -> Self {
        match error.rdkafka_error_code() {
            Some(RDKafkaErrorCode::MessageSizeTooLarge) => Self::TooLarge,
            _ => Self::Refused(Fault::of(error)),
        }
    }

    /// It was queued, and this is how that ended. Certain is only what depends on the record or
    /// the topic alone, so that an earlier try, whose answer was lost, must have ended likewise;
    /// or what never left the queue.
    fn failed(error: &KafkaError) -> Self {
        match error.rdkafka_error_code() {
            Some(RDKafkaErrorCode::MessageSizeTooLarge) => Self::TooLarge,
            Some(
                RDKafkaErrorCode::PurgeQueue
                | RDKafkaErrorCode::InvalidRecord
                | RDKafkaErrorCode::InvalidTimestamp
                | RDKafkaErrorCode::UnknownTopic
                | RDKafkaErrorCode::UnknownPartition
                | RDKafkaErrorCode::UnknownTopicOrPartition,
            ) => Self::Refused(Fault::of(error)),
            _ => Self::Uncertain(Fault::of(error)),
        }
    }
}

impl Delivery {
    fn settle(&self, outcome: Outcome) {
        let pending = &self.pending;
        pending
            .outcomes
            .lock()
            .unwrap_or_else(PoisonError::into_inner)[self.index] = outcome;
        if pending.left.fetch_sub(1, Ordering::AcqRel) > 1 {
            return;
        }
        let done = pending
            .done
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        if let Some((done, permit)) = done {
            // Room first: whoever hears the answer may append again at once.
            drop(permit);
            // Nobody may be waiting any more.
            let _ = done.send(pending.conclude());
        }
    }
}

impl Pending {
    /// All outcomes as one: certain refusals only if nothing at all was written.
    fn conclude(&self) -> Appended {
        let outcomes =
            std::mem::take(&mut *self.outcomes.lock().unwrap_or_else(PoisonError::into_inner));
        let mut positions = Vec::with_capacity(outcomes.len());
        let (mut too_large, mut refused, mut uncertain) = (false, None, None);
        for (outcome, partition) in outcomes.into_iter().zip(&self.partitions) {
            match outcome {
                Outcome::Written(offset) => positions.push(Position {
                    topic: self.topic,
                    partition: *partition,
                    offset,
                }),
                Outcome::TooLarge => too_large = true,
                Outcome::Refused(fault) => refused = refused.or(Some(fault)),
                Outcome::Uncertain(fault) => uncertain = uncertain.or(Some(fault)),
                Outcome::Unknown => {}
            }
        }
        if positions.len() == self.partitions.len() {
            return Appended::Positions(positions);
        }
        if positions.is_empty() && uncertain.is_none() {
            return match refused {
                None => Appended::TooLarge,
                Some(fault) => Appended::Failed(
                    Refusal::Unavailable(self.named(fault).during("appending")).into(),
                ),
            };
        }
        let fault = uncertain.or(refused).unwrap_or_else(|| Fault::Other {
            reason: if too_large {
                "a part of the batch is over the broker's limit".to_owned()
            } else {
                "a part of the batch has no outcome".to_owned()
            },
        });
        Appended::Failed(AppendError::Indeterminate(
            self.named(fault).during("appending"),
        ))
    }

    /// With what else is known: why nothing answers, and which topic it was.
    fn named(&self, fault: Fault) -> Fault {
        match fault {
            Fault::TimedOut { reason } | Fault::Unreachable { reason, .. } => {
                self.condition.unanswered(&reason)
            }
            Fault::TopicMissing { .. } => Fault::TopicMissing {
                name: self.topic.to_string(),
            },
            fault => fault,
        }
    }
}

/// Hears delivery reports, on the producer's own thread.
struct Deliveries(Observer);

impl ClientContext for Deliveries {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        self.0.log(level, facility, message);
    }

    fn stats_raw(&self, statistics: &[u8]) {
        self.0.stats_raw(statistics);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.0.error(error, reason);
    }
}

impl ProducerContext for Deliveries {
    type DeliveryOpaque = Box<Delivery>;

    fn delivery(&self, result: &DeliveryResult<'_>, delivery: Box<Delivery>) {
        let outcome = match result {
            Ok(message) if message.offset() >= 0 => Outcome::Written(message.offset()),
            // A broker that has the batch twice over may not remember where the first one stands.
            Ok(_) => Outcome::Uncertain(Fault::Other {
                reason: "written, but the broker doesn't say where".to_owned(),
            }),
            Err((error, _)) => Outcome::failed(error),
        };
        delivery.settle(outcome);
    }
}
