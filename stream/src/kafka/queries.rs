//! Questions about partitions: their watermarks, an offset for a time, committed offsets. The
//! client's calls block, so each is made on a thread for that.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use rdkafka::{
    Offset, TopicPartitionList,
    config::FromClientConfigAndContext,
    consumer::{BaseConsumer, Consumer},
    error::KafkaError,
};
use schemas::Timestamp;

use super::{
    asking::{of_question, patiently, watermarks},
    condition::{Condition, Observer},
    fault::Fault,
    settings::{KafkaSettings, fetching_client, query_client},
    stranded::watched,
};
use crate::{
    error::LogError,
    log::{Partition, Watermarks},
};

/// So many groups' committed offsets can be asked for without connecting anew.
const GROUPS_KEPT_MAX: usize = 16;
/// A client that only asks buffers nothing.
const BUFFERED_BYTES_MAX: usize = 1024 * 1024;

/// Asks the brokers.
pub(super) struct Queries {
    settings: KafkaSettings,
    condition: Arc<Condition>,
    client: Arc<BaseConsumer<Observer>>,
    /// A client for each group: librdkafka asks for its own group's offsets only.
    groups: Mutex<BTreeMap<String, Arc<BaseConsumer<Observer>>>>,
}

impl Queries {
    pub(super) fn new(
        settings: KafkaSettings,
        condition: Arc<Condition>,
    ) -> Result<Self, KafkaError> {
        let observer = Observer::new(&condition);
        let client =
            BaseConsumer::from_config_and_context(&watched(query_client(&settings)), observer)?;
        Ok(Self {
            settings,
            condition,
            client: Arc::new(client),
            groups: Mutex::default(),
        })
    }

    pub(super) fn client(&self) -> Arc<BaseConsumer<Observer>> {
        Arc::clone(&self.client)
    }

    /// What the partition holds; only what is stable counts (below the last stable offset). Blocks.
    pub(super) fn watermarks(&self, (topic, partition): Partition) -> Result<Watermarks, LogError> {
        let name = self.settings.topic_name(topic);
        let within = self.settings.request_timeout;
        let (low, high) = watermarks(&self.client, &name, partition, within)
            .map_err(|error| self.fault(&error, &name).during("asking for watermarks"))?;
        Ok(Watermarks { low, high })
    }

    /// Blocks.
    pub(super) fn offset_for_time(
        &self,
        (topic, partition): Partition,
        at: Timestamp,
    ) -> Result<Option<i64>, LogError> {
        const DOING: &str = "asking for an offset by time";
        let name = self.settings.topic_name(topic);
        // Kafka takes negative times for questions of another kind.
        let at = Offset::Offset(at.millis().max(0));
        let within = self.settings.request_timeout;
        patiently(within, || {
            let mut times = TopicPartitionList::new();
            times.add_partition_offset(&name, partition, at)?;
            single(&self.client.offsets_for_times(times, within)?)
        })
        .map_err(|error| self.fault(&error, &name).during(DOING))
    }

    /// Blocks.
    pub(super) fn committed(
        &self,
        group: &str,
        (topic, partition): Partition,
    ) -> Result<Option<i64>, LogError> {
        const DOING: &str = "asking for a committed offset";
        let name = self.settings.topic_name(topic);
        let client = self
            .client_of(group)
            .map_err(|error| Fault::of(&error).during(DOING))?;
        let within = self.settings.request_timeout;
        patiently(within, || {
            let mut asked = TopicPartitionList::new();
            asked.add_partition(&name, partition);
            single(&client.committed_offsets(asked, within)?)
        })
        .map_err(|error| {
            // Nobody looks after it, and it may be of no use any more.
            self.groups().remove(group);
            self.fault(&error, &name).during(DOING)
        })
    }

    fn client_of(&self, group: &str) -> Result<Arc<BaseConsumer<Observer>>, KafkaError> {
        let mut groups = self.groups();
        if let Some(client) = groups.get(group) {
            return Ok(Arc::clone(client));
        }
        let config = fetching_client(&self.settings, group, BUFFERED_BYTES_MAX);
        let observer = Observer::new(&self.condition);
        let client = Arc::new(BaseConsumer::from_config_and_context(&config, observer)?);
        if groups.len() >= GROUPS_KEPT_MAX {
            groups.pop_first();
        }
        groups.insert(group.to_owned(), Arc::clone(&client));
        Ok(client)
    }

    fn groups(&self) -> MutexGuard<'_, BTreeMap<String, Arc<BaseConsumer<Observer>>>> {
        self.groups.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn fault(&self, error: &KafkaError, name: &str) -> Fault {
        of_question(error, name, &self.condition)
    }
}

/// The offset in a list of one partition; `None` where there is none.
fn single(found: &TopicPartitionList) -> Result<Option<i64>, KafkaError> {
    let Some(element) = found.elements().into_iter().next() else {
        return Ok(None);
    };
    element.error()?;
    Ok(match element.offset() {
        Offset::Offset(offset) => Some(offset),
        Offset::Beginning
        | Offset::End
        | Offset::Stored
        | Offset::Invalid
        | Offset::OffsetTail(_) => None,
    })
}
