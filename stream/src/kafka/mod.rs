//! The log in Apache Kafka, for real deployments. The only user of rdkafka.
//!
//! ```text
//! append ─▶ admission ─▶ idempotent producer ─▶ delivery report ─▶ acknowledged
//! join   ─▶ a member in the group, a fetcher beside it ─▶ events, one at a time
//! ```
//!
//! An acknowledged record is on as many replicas as the topic asks for (`acks=all`,
//! `min.insync.replicas`); a reader sees stable records only. Append times are the brokers' own
//! ([`AppendTimes`]). A copy of the log keeps the original's in a header.
//!
//! A cluster that is down, refuses the credentials or lacks a topic is a state of
//! [`Log::health`], not an error to start with: the clients go on trying, and what is in the log
//! stays there. Meanwhile appends are refused at once.

mod asking;
mod condition;
mod consumer;
mod fault;
mod fetcher;
mod gathering;
mod holdings;
mod instances;
mod membership;
mod monitor;
mod producer;
mod queries;
mod reader;
mod received;
mod settings;
mod stranded;
pub mod topics;

use std::{
    sync::{Arc, Mutex, OnceLock, PoisonError, Weak},
    time::Duration,
};

use async_trait::async_trait;
use rdkafka::{Offset, TopicPartitionList, error::KafkaError};
use schemas::{Position, Timestamp, Topic};

use self::{
    asking::of_question,
    condition::{Condition, Observer},
    consumer::{KafkaConsumer, Seat, blocking},
    holdings::Holdings,
    instances::Instances,
    monitor::{Monitor, Watched},
    producer::{Appended, Appender},
    queries::Queries,
    reader::Readers,
    topics::Admin,
};
pub use self::{
    fault::Fault,
    instances::InstanceName,
    settings::{AppendTimes, KafkaSettings, Sasl, SaslMechanism, Security, Tls},
};
use crate::{
    error::{AppendError, LogError, Refusal},
    group::{Slice, check_within},
    log::{GroupConsumer, GroupSettings, Health, Log, Watermarks, check_partition},
    record::{NewRecord, Record},
};

/// What Kafka's framing takes of a topic's limit on sizes, for one record: a batch's header and a
/// record's lengths.
const RECORD_FRAMING_BYTES: usize = 128;

/// A log in a Kafka cluster.
pub struct KafkaLog {
    settings: KafkaSettings,
    condition: Arc<Condition>,
    appender: Arc<Appender>,
    queries: Arc<Queries>,
    readers: Arc<Readers>,
    admin: OnceLock<Admin>,
    /// The members of groups, to be ended with the log.
    members: Mutex<Vec<Weak<Holdings>>>,
    instances: Arc<Instances>,
    _monitor: Monitor,
}

impl KafkaLog {
    /// Sets up the clients, which begin to connect; waits for nothing. Fails for settings that
    /// can't be used, such as a file that isn't there. Whether the cluster can be, tell
    /// [`Log::health`] and [`KafkaLog::ready`].
    pub fn connect(settings: KafkaSettings, times: AppendTimes) -> Result<Arc<Self>, LogError> {
        const DOING: &str = "connecting";
        let fault = |error: KafkaError| Fault::of(&error).during(DOING);
        settings.check()?;
        let condition = Condition::new(&settings.brokers);
        let appender =
            Appender::new(settings.clone(), Arc::clone(&condition), times).map_err(fault)?;
        let queries = Queries::new(settings.clone(), Arc::clone(&condition)).map_err(fault)?;
        let appender = Arc::new(appender);
        let watched = Watched {
            client: queries.client(),
            appender: Arc::clone(&appender),
        };
        let monitor = Monitor::start(settings.clone(), watched, Arc::clone(&condition))
            .map_err(|error| LogError::storage("starting the monitor", error))?;
        Ok(Arc::new(Self {
            readers: Arc::new(Readers::new(settings.clone(), Arc::clone(&condition))),
            appender,
            queries: Arc::new(queries),
            admin: OnceLock::new(),
            members: Mutex::default(),
            instances: Instances::new(settings.group_instance_id.clone()),
            settings,
            condition,
            _monitor: monitor,
        }))
    }

    /// Waits until brokers and topics are there. A trouble that doesn't pass by itself is an
    /// error at once, any other one after `wait`.
    pub async fn ready(&self, wait: Duration) -> Result<(), LogError> {
        self.condition.ready(wait).await
    }

    fn admin(&self) -> Result<&Admin, KafkaError> {
        if let Some(admin) = self.admin.get() {
            return Ok(admin);
        }
        let observer = Observer::new(&self.condition);
        let admin = topics::connect(&self.settings, observer)?;
        // Two at once make two, and one of them is kept.
        Ok(self.admin.get_or_init(|| admin))
    }

    /// Which record of a batch is over the brokers' limit. The others were refused because they
    /// travelled with it, and may be appended again.
    async fn too_large(&self, topic: Topic, records: &[NewRecord]) -> AppendError {
        let limit = match self.admin() {
            Ok(admin) => topics::batch_bytes_max(admin, &self.settings.topic_name(topic)).await,
            Err(_) => None,
        };
        let bytes_max = limit
            .unwrap_or(self.settings.limits.record_bytes_max)
            .saturating_sub(RECORD_FRAMING_BYTES);
        let largest = records
            .iter()
            .map(NewRecord::bytes)
            .enumerate()
            .max_by_key(|(_, bytes)| *bytes);
        match largest {
            Some((index, bytes)) if bytes > bytes_max => Refusal::RecordTooLarge {
                index,
                bytes,
                bytes_max,
            },
            Some(_) | None => {
                let reason = "the batch was refused together with a record over the limit";
                let fault = Fault::Other {
                    reason: reason.to_owned(),
                };
                Refusal::Unavailable(fault.during("appending"))
            }
        }
        .into()
    }
}

#[async_trait]
impl Log for KafkaLog {
    async fn append(
        &self,
        topic: Topic,
        records: Vec<NewRecord>,
    ) -> Result<Vec<Position>, AppendError> {
        self.condition.check_open().map_err(Refusal::Unavailable)?;
        if records.is_empty() {
            return Ok(Vec::new());
        }
        match self.appender.append(topic, &records).await {
            Appended::Positions(positions) => Ok(positions),
            Appended::TooLarge => Err(self.too_large(topic, &records).await),
            Appended::Failed(error) => Err(error),
        }
    }

    async fn read(
        &self,
        topic: Topic,
        partition: i32,
        offset: i64,
        records_max: usize,
    ) -> Result<Vec<Record>, LogError> {
        self.condition.check_open()?;
        let slice = Slice {
            partition: check_partition(topic, partition)?,
            offset,
            records_max,
        };
        let queries = Arc::clone(&self.queries);
        let readers = Arc::clone(&self.readers);
        blocking(move || {
            let watermarks = queries.watermarks(slice.partition)?;
            check_within(slice.partition, slice.offset, watermarks)?;
            if slice.offset == watermarks.high {
                return Ok(Vec::new());
            }
            readers.read(&slice, watermarks.high, GroupSettings::default().bytes_max)
        })
        .await
    }

    async fn watermarks(&self, topic: Topic, partition: i32) -> Result<Watermarks, LogError> {
        self.condition.check_open()?;
        let partition = check_partition(topic, partition)?;
        let queries = Arc::clone(&self.queries);
        blocking(move || queries.watermarks(partition)).await
    }

    async fn offset_for_time(
        &self,
        topic: Topic,
        partition: i32,
        at: Timestamp,
    ) -> Result<Option<i64>, LogError> {
        self.condition.check_open()?;
        let partition = check_partition(topic, partition)?;
        let queries = Arc::clone(&self.queries);
        blocking(move || queries.offset_for_time(partition, at)).await
    }

    async fn trim(
        &self,
        topic: Topic,
        partition: i32,
        before_offset: i64,
    ) -> Result<i64, LogError> {
        const DOING: &str = "trimming";
        let watermarks = self.watermarks(topic, partition).await?;
        let low = before_offset.max(watermarks.low);
        check_within((topic, partition), low, watermarks)?;
        if low == watermarks.low {
            return Ok(low);
        }
        let name = self.settings.topic_name(topic);
        let fault = |error: KafkaError| of_question(&error, &name, &self.condition).during(DOING);
        let mut before = TopicPartitionList::new();
        before
            .add_partition_offset(&name, partition, Offset::Offset(low))
            .map_err(fault)?;
        let trimmed = self
            .admin()
            .map_err(fault)?
            .delete_records(&before, &topics::options())
            .await
            .map_err(fault)?;
        let Some(trimmed) = trimmed.find_partition(&name, partition) else {
            return Ok(low);
        };
        trimmed.error().map_err(fault)?;
        Ok(match trimmed.offset() {
            Offset::Offset(low) => low,
            Offset::Beginning
            | Offset::End
            | Offset::Stored
            | Offset::Invalid
            | Offset::OffsetTail(_) => low,
        })
    }

    async fn committed(
        &self,
        group: &str,
        topic: Topic,
        partition: i32,
    ) -> Result<Option<i64>, LogError> {
        self.condition.check_open()?;
        let partition = check_partition(topic, partition)?;
        let queries = Arc::clone(&self.queries);
        let group = group.to_owned();
        blocking(move || queries.committed(&group, partition)).await
    }

    async fn join(
        &self,
        group: &str,
        topics: &[Topic],
        settings: GroupSettings,
    ) -> Result<Box<dyn GroupConsumer>, LogError> {
        self.condition.check_open()?;
        let seat = Seat {
            group,
            topics,
            instance: self.instances.take(group),
        };
        let consumer = KafkaConsumer::join(&self.settings, &self.condition, seat, settings)?;
        let mut members = self.members.lock().unwrap_or_else(PoisonError::into_inner);
        members.retain(|member| member.strong_count() > 0);
        members.push(Arc::downgrade(consumer.holdings()));
        Ok(Box::new(consumer))
    }

    fn health(&self) -> Health {
        self.condition.health()
    }

    async fn close(&self) {
        self.condition.close();
        let members =
            std::mem::take(&mut *self.members.lock().unwrap_or_else(PoisonError::into_inner));
        for member in members.iter().filter_map(Weak::upgrade) {
            member.close();
        }
        let appender = Arc::clone(&self.appender);
        let readers = Arc::clone(&self.readers);
        // A panic in there has been reported; there is nothing left to be done about it.
        let _ = blocking(move || {
            appender.finish();
            readers.close();
            Ok(())
        })
        .await;
    }
}
