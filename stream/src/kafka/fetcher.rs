//! Fetching the partitions that a member of a group holds: a client of its own, beside the one
//! that is in the group.
//!
//! librdkafka pauses *everything* that a client fetches from the moment a rebalance is announced
//! until the application has dealt with it. While one partition is drained, which may take a
//! batch's time, the partitions that stay would stand still. So the member fetches nothing, and
//! the fetcher is in no group. Each partition has a queue of its own: nothing is taken out of it
//! before somebody asks, which is what bounds the memory, and a long one does not hold up others.

use std::{
    sync::Arc,
    thread::sleep,
    time::{Duration, Instant},
};

use rdkafka::{
    Offset, TopicPartitionList,
    config::FromClientConfigAndContext,
    consumer::{BaseConsumer, Consumer, base_consumer::PartitionQueue},
    error::KafkaError,
    topic_partition_list::TopicPartitionListElem,
};
use tokio::sync::Notify;

use super::{
    asking::{hear, of_question, patiently, watermarks},
    condition::{Condition, Observer},
    fault::Fault,
    settings::{KafkaSettings, fetching_client},
    stranded::watched,
};
use crate::{
    error::LogError,
    group::check_within,
    log::{Partition, Watermarks},
};

/// What is fetched and not yet asked for.
pub(super) type Fetched = PartitionQueue<Observer>;

/// How long to try to move a partition that has only just been started.
const SEEK_WITHIN: Duration = Duration::from_secs(5);

/// Fetches what it is told to.
pub(super) struct Fetcher {
    settings: KafkaSettings,
    condition: Arc<Condition>,
    client: Arc<BaseConsumer<Observer>>,
    /// Told when something was fetched.
    wake: Arc<Notify>,
}

/// Where a partition that was just assigned stands.
#[derive(Debug, Clone)]
pub(super) struct Start {
    pub(super) partition: Partition,
    /// What the group committed.
    pub(super) committed: Option<i64>,
    /// Where reading starts.
    pub(super) next: i64,
    /// The end, when it was asked for.
    pub(super) end: i64,
    /// Why it can't start there.
    pub(super) refused: Option<LogError>,
}

impl Fetcher {
    pub(super) fn new(
        settings: KafkaSettings,
        condition: Arc<Condition>,
        group: &str,
        buffered_bytes_max: usize,
        wake: Arc<Notify>,
    ) -> Result<Self, KafkaError> {
        let observer = Observer::new(&condition);
        let config = watched(fetching_client(&settings, group, buffered_bytes_max));
        Ok(Self {
            client: Arc::new(BaseConsumer::from_config_and_context(&config, observer)?),
            settings,
            condition,
            wake,
        })
    }

    /// The name of a partition's topic in the cluster.
    pub(super) fn topic_name(&self, (topic, _): Partition) -> String {
        self.settings.topic_name(topic)
    }

    /// Where each partition starts: at the committed offset, else at the earliest. Blocks.
    pub(super) fn starts(&self, partitions: &[Partition]) -> Result<Vec<Start>, LogError> {
        const DOING: &str = "asking where a group stands";
        let within = self.settings.request_timeout;
        let committed = patiently(within, || {
            let mut asked = TopicPartitionList::new();
            for (topic, partition) in partitions {
                asked.add_partition(&self.settings.topic_name(*topic), *partition);
            }
            self.client.committed_offsets(asked, within)
        })
        .map_err(|error| of_question(&error, "", &self.condition).during(DOING))?;
        let mut starts = Vec::with_capacity(partitions.len());
        for partition in partitions {
            let name = self.settings.topic_name(partition.0);
            let committed = committed
                .find_partition(&name, partition.1)
                .map_or(Ok(None), |found| {
                    found.error().map(|()| match found.offset() {
                        Offset::Offset(offset) => Some(offset),
                        Offset::Beginning
                        | Offset::End
                        | Offset::Stored
                        | Offset::Invalid
                        | Offset::OffsetTail(_) => None,
                    })
                })
                .map_err(|error| of_question(&error, &name, &self.condition).during(DOING))?;
            let watermarks = self.watermarks(*partition)?;
            let next = committed.unwrap_or(watermarks.low);
            starts.push(Start {
                partition: *partition,
                committed,
                next,
                end: watermarks.high,
                refused: check_within(*partition, next, watermarks).err(),
            });
        }
        Ok(starts)
    }

    /// Blocks.
    pub(super) fn watermarks(&self, (topic, partition): Partition) -> Result<Watermarks, LogError> {
        let name = self.settings.topic_name(topic);
        let within = self.settings.request_timeout;
        let (low, high) = watermarks(&self.client, &name, partition, within).map_err(|error| {
            of_question(&error, &name, &self.condition).during("asking for watermarks")
        })?;
        Ok(Watermarks { low, high })
    }

    /// Starts fetching these, each from an offset: all in one go, so that they share their first
    /// request and none is behind the others.
    pub(super) fn start(&self, starts: &[(Partition, i64)]) -> Result<Vec<Fetched>, LogError> {
        const DOING: &str = "starting to fetch";
        let mut queues = Vec::with_capacity(starts.len());
        let mut assigned = TopicPartitionList::with_capacity(starts.len());
        for (partition, next) in starts {
            let name = self.topic_name(*partition);
            // Before it is started: librdkafka then leaves the queue alone, and every message is
            // in this one.
            let mut fetched = self
                .client
                .split_partition_queue(&name, partition.1)
                .ok_or_else(|| Fault::TopicMissing { name: name.clone() }.during(DOING))?;
            let wake = Arc::clone(&self.wake);
            fetched.set_nonempty_callback(move || wake.notify_one());
            queues.push(fetched);
            assigned
                .add_partition_offset(&name, partition.1, Offset::Offset(*next))
                .map_err(|error| Fault::of(&error).during(DOING))?;
        }
        self.client
            .incremental_assign(&assigned)
            .map_err(|error| Fault::of(&error).during(DOING))?;
        Ok(queues)
    }

    /// Stops fetching a partition. What was fetched and not asked for is gone.
    pub(super) fn stop(&self, partition: Partition, fetched: Fetched) -> Result<(), LogError> {
        drop(fetched);
        let mut unassigned = TopicPartitionList::new();
        unassigned.add_partition(&self.settings.topic_name(partition.0), partition.1);
        self.client
            .incremental_unassign(&unassigned)
            // A question that is answered after the partition has been stopped, which happens
            // later, on the client's own thread. Stopping resets where the queue leads, which must
            // not come after the next start has set it.
            .and_then(|()| self.client.assignment().map(drop))
            .map_err(|error| Fault::of(&error).during("stopping to fetch"))
    }

    /// Goes on at `next`; what was fetched before is dropped by the library. Blocks while a
    /// partition that has just been assigned comes up.
    pub(super) fn seek(&self, partition: Partition, next: i64) -> Result<(), LogError> {
        let name = self.settings.topic_name(partition.0);
        let deadline = Instant::now() + SEEK_WITHIN;
        loop {
            let mut wanted = TopicPartitionList::new();
            let sought = wanted
                .add_partition_offset(&name, partition.1, Offset::Offset(next))
                .and_then(|()| {
                    self.client
                        .seek_partitions(wanted, self.settings.request_timeout)
                })
                .and_then(|sought| {
                    sought
                        .elements()
                        .iter()
                        .try_for_each(TopicPartitionListElem::error)
                });
            match sought {
                Ok(()) => return Ok(()),
                Err(_) if Instant::now() < deadline => sleep(Duration::from_millis(10)),
                Err(error) => {
                    return Err(of_question(&error, &name, &self.condition).during("seeking"));
                }
            }
        }
    }

    /// Helps a client that knows no broker.
    pub(super) fn rescue(&self) {
        let client = self.client.client();
        client.context().rescue(client);
    }

    /// Hears what the client reports on its own. Returns how many messages came that way: each
    /// partition has its own queue, so there are none unless something is broken.
    pub(super) fn serve(&self) -> usize {
        hear(&self.client)
    }
}
