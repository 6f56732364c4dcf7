//! Reading without a group. Clients are kept for the next read, which often goes on where the
//! last one ended.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use rdkafka::{
    Message, Offset, TopicPartitionList,
    config::FromClientConfigAndContext,
    consumer::{BaseConsumer, Consumer},
    error::{KafkaError, RDKafkaErrorCode},
};

use super::{
    asking::of_question,
    condition::{Condition, Observer},
    fault::Fault,
    received,
    settings::{KafkaSettings, fetching_client},
};
use crate::{error::LogError, group::Slice, log::Partition, record::Record};

/// So many readers are kept when they have nothing to do.
const IDLE_MAX: usize = 4;
/// What a reader fetches ahead.
const BUFFERED_BYTES_MAX: usize = 8 * 1024 * 1024;
/// How soon records follow an end that has moved on since.
const MORE_WITHIN: Duration = Duration::from_secs(1);
/// A group that is never joined.
const GROUP: &str = "hissaback-reading";
const DOING: &str = "reading";

/// Reads slices of partitions.
pub(super) struct Readers {
    settings: KafkaSettings,
    condition: Arc<Condition>,
    idle: Mutex<Vec<Reader>>,
}

/// A client, and where its next message stands if it was used before.
struct Reader {
    client: BaseConsumer<Observer>,
    next: Option<(Partition, i64)>,
}

impl Readers {
    pub(super) fn new(settings: KafkaSettings, condition: Arc<Condition>) -> Self {
        Self {
            settings,
            condition,
            idle: Mutex::default(),
        }
    }

    /// Reads from `slice.offset`, which the partition has to hold, up to `high`. Blocks.
    pub(super) fn read(
        &self,
        slice: &Slice,
        high: i64,
        bytes_max: usize,
    ) -> Result<Vec<Record>, LogError> {
        let mut reader = self
            .take(slice)
            .map_err(|error| Fault::of(&error).during(DOING))?;
        let records = self.read_with(&reader, slice, high, bytes_max)?;
        let next = records
            .last()
            .map_or(slice.offset, |last| last.position.offset + 1);
        reader.next = Some((slice.partition, next));
        let mut idle = self.idle();
        if idle.len() < IDLE_MAX {
            idle.push(reader);
        }
        Ok(records)
    }

    /// Drops what is kept. Blocks.
    pub(super) fn close(&self) {
        let idle = std::mem::take(&mut *self.idle());
        drop(idle);
    }

    /// A reader that stands at the slice: one that does anyway, else any, else a new one.
    fn take(&self, slice: &Slice) -> Result<Reader, KafkaError> {
        let wanted = Some((slice.partition, slice.offset));
        let kept = {
            let mut idle = self.idle();
            match idle.iter().position(|reader| reader.next == wanted) {
                Some(index) => return Ok(idle.swap_remove(index)),
                None => idle.pop(),
            }
        };
        let mut reader = kept.map_or_else(|| self.connect(), Ok)?;
        let (topic, partition) = slice.partition;
        let mut assignment = TopicPartitionList::new();
        assignment.add_partition_offset(
            &self.settings.topic_name(topic),
            partition,
            Offset::Offset(slice.offset),
        )?;
        reader.client.assign(&assignment)?;
        reader.next = None;
        Ok(reader)
    }

    fn connect(&self) -> Result<Reader, KafkaError> {
        let mut config = fetching_client(&self.settings, GROUP, BUFFERED_BYTES_MAX);
        config.set("enable.partition.eof", "true");
        let observer = Observer::new(&self.condition);
        Ok(Reader {
            client: BaseConsumer::from_config_and_context(&config, observer)?,
            next: None,
        })
    }

    fn read_with(
        &self,
        reader: &Reader,
        slice: &Slice,
        high: i64,
        bytes_max: usize,
    ) -> Result<Vec<Record>, LogError> {
        let (topic, partition) = slice.partition;
        let name = self.settings.topic_name(topic);
        let mut deadline = Instant::now() + self.settings.request_timeout;
        let mut records: Vec<Record> = Vec::new();
        let (mut next, mut bytes) = (slice.offset, 0);
        // A reader that goes on may have met the end as it was then.
        let (mut end_may_be_old, mut ended) = (reader.next.is_some(), false);
        while next < high && records.len() < slice.records_max && bytes < bytes_max {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                if records.is_empty() && !ended {
                    let fault = self.condition.unanswered("nothing was read in time");
                    return Err(fault.during(DOING));
                }
                break;
            }
            match reader.client.poll(left.min(Duration::from_millis(100))) {
                // Nothing else is assigned; what a former assignment left behind is filtered by
                // the library, and here once more.
                Some(Ok(message))
                    if message.partition() == partition
                        && message.topic() == name
                        && message.offset() >= next =>
                {
                    let record = received::record(slice.partition, &message);
                    next = record.position.offset + 1;
                    bytes += record.bytes();
                    records.push(record);
                }
                None | Some(Ok(_)) => {}
                Some(Err(KafkaError::PartitionEOF(at))) if at == partition => {
                    if !end_may_be_old || !records.is_empty() {
                        // Nothing but a transaction's marker can follow.
                        break;
                    }
                    end_may_be_old = false;
                    ended = true;
                    deadline = deadline.min(Instant::now() + MORE_WITHIN);
                }
                Some(Err(error)) => match error.rdkafka_error_code() {
                    // Passing troubles: the client tries again by itself, within the deadline.
                    Some(
                        RDKafkaErrorCode::PartitionEOF
                        | RDKafkaErrorCode::AllBrokersDown
                        | RDKafkaErrorCode::BrokerTransportFailure,
                    ) => {}
                    _ => return Err(of_question(&error, &name, &self.condition).during(DOING)),
                },
            }
        }
        Ok(records)
    }

    fn idle(&self) -> std::sync::MutexGuard<'_, Vec<Reader>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
