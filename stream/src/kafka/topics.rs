//! The topics of the log in a Kafka cluster: made where they are missing, compared where they are
//! there. What differs is reported and never altered: it may be somebody's intention, and some of
//! it (partitions) can't be undone.

mod times;

use std::{
    collections::BTreeMap,
    fmt,
    sync::Arc,
    time::{Duration, Instant},
};

use rdkafka::{
    admin::{
        AdminClient, AdminOptions, ConfigResource, NewTopic, ResourceSpecifier, TopicReplication,
    },
    config::FromClientConfigAndContext,
    consumer::{BaseConsumer, Consumer},
    error::{KafkaError, RDKafkaErrorCode},
};
use schemas::Topic;

pub use self::times::{TopicTimes, set_times};
use super::{
    asking::{hear, of_question},
    condition::{Condition, Observer},
    consumer::blocking,
    fault::Fault,
    settings::{KafkaSettings, query_client},
};
use crate::error::LogError;

const DAY: Duration = Duration::from_hours(24);
/// How long brokers may take to make a topic.
const MADE_WITHIN: Duration = Duration::from_secs(30);
/// How long it may take until every broker knows of it.
const KNOWN_WITHIN: Duration = Duration::from_secs(30);

pub(super) type Admin = AdminClient<Observer>;

/// How topics are made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicSettings {
    /// Copies of each partition: 3, or 1 where there is a single broker.
    pub replication_factor: i32,
    /// How many of them have to have a record before it is acknowledged: 2 of 3.
    pub min_insync_replicas: i32,
    /// Who sets append times.
    pub times: TopicTimes,
    /// How long clicks are kept: two years (design section 3).
    pub clicks_retention: Duration,
    /// How long everything else is kept: seven years.
    pub retention: Duration,
}

impl Default for TopicSettings {
    fn default() -> Self {
        Self {
            replication_factor: 3,
            min_insync_replicas: 2,
            times: TopicTimes::Broker,
            clicks_retention: DAY * 2 * 365,
            retention: DAY * 7 * 365,
        }
    }
}

/// What was found, by the topics' names in the cluster.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TopicReport {
    /// Made just now.
    pub created: Vec<String>,
    /// There, and as expected.
    pub unchanged: Vec<String>,
    /// Not there.
    pub missing: Vec<String>,
    /// There, and otherwise than expected.
    pub differences: Vec<TopicDifference>,
}

impl TopicReport {
    /// Whether nothing is missing or different.
    pub fn as_expected(&self) -> bool {
        self.missing.is_empty() && self.differences.is_empty()
    }
}

/// One property of a topic that is not what the code expects.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicDifference {
    /// The topic's name in the cluster.
    pub topic: String,
    /// Kafka's name of the property.
    pub property: String,
    /// What it should be.
    pub expected: String,
    /// What it is.
    pub found: String,
}

impl fmt::Display for TopicDifference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            topic,
            property,
            expected,
            found,
        } = self;
        write!(
            f,
            "topic {topic}: {property} is {found} instead of {expected}"
        )
    }
}

/// Makes the topics that are missing, and compares the others. Doing it again changes nothing.
pub async fn ensure(
    settings: &KafkaSettings,
    wanted: &TopicSettings,
) -> Result<TopicReport, LogError> {
    let cluster = Cluster::connect(settings)?;
    let before = cluster.compare(wanted).await?;
    if before.missing.is_empty() {
        return Ok(before);
    }
    let created = cluster.create(&before.missing, wanted).await?;
    let mut after = cluster.compare(wanted).await?;
    after.unchanged.retain(|name| !created.contains(name));
    after.created = created;
    Ok(after)
}

/// Compares the topics, changing nothing.
pub async fn inspect(
    settings: &KafkaSettings,
    wanted: &TopicSettings,
) -> Result<TopicReport, LogError> {
    Cluster::connect(settings)?.compare(wanted).await
}

/// Deletes the topics of this prefix with all that is in them: for the demo and tests, which make
/// a log of their own. Without a prefix it refuses.
pub async fn delete_all(settings: &KafkaSettings) -> Result<(), LogError> {
    const DOING: &str = "deleting topics";
    if settings.topic_prefix.is_empty() {
        let reason = "topics without a prefix are never deleted".to_owned();
        return Err(Fault::Settings { reason }.during(DOING));
    }
    let cluster = Cluster::connect(settings)?;
    let names: Vec<String> = Topic::ALL.map(|topic| settings.topic_name(topic)).into();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let results = cluster
        .admin
        .delete_topics(&names, &options())
        .await
        .map_err(|error| cluster.fault(&error, "").during(DOING))?;
    for result in results {
        match result {
            Ok(_) | Err((_, RDKafkaErrorCode::UnknownTopicOrPartition)) => {}
            Err((name, code)) => {
                let error = KafkaError::AdminOp(code);
                return Err(cluster.fault(&error, &name).during(DOING));
            }
        }
    }
    Ok(())
}

/// The largest batch that a topic takes, in bytes, by its settings.
pub(super) async fn batch_bytes_max(admin: &Admin, name: &str) -> Option<usize> {
    let described = admin
        .describe_configs(&[ResourceSpecifier::Topic(name)], &options())
        .await
        .ok()?;
    let topic = described.into_iter().next()?.ok()?;
    topic.get("max.message.bytes")?.value.as_ref()?.parse().ok()
}

pub(super) fn options() -> AdminOptions {
    AdminOptions::new()
        .request_timeout(Some(MADE_WITHIN))
        .operation_timeout(Some(MADE_WITHIN))
}

pub(super) fn connect(settings: &KafkaSettings, observer: Observer) -> Result<Admin, KafkaError> {
    AdminClient::from_config_and_context(&query_client(settings), observer)
}

/// What a topic's settings have to be, by Kafka's names.
fn expected(
    topic: Topic,
    wanted: &TopicSettings,
    settings: &KafkaSettings,
) -> BTreeMap<&'static str, String> {
    let retention = if topic == Topic::Clicks {
        wanted.clicks_retention
    } else {
        wanted.retention
    };
    let mut expected = BTreeMap::from([
        ("cleanup.policy", "delete".to_owned()),
        ("retention.ms", retention.as_millis().to_string()),
        ("retention.bytes", "-1".to_owned()),
        (
            "min.insync.replicas",
            wanted.min_insync_replicas.to_string(),
        ),
        // A replica that lags must not become the leader: what it lacks was acknowledged.
        ("unclean.leader.election.enable", "false".to_owned()),
        ("max.message.bytes", settings.batch_bytes_max().to_string()),
    ]);
    expected.extend(wanted.times.properties());
    expected
}

struct Cluster {
    settings: KafkaSettings,
    condition: Arc<Condition>,
    admin: Admin,
}

/// A topic as the brokers describe it.
struct Found {
    partitions: usize,
    replicas: usize,
}

impl Cluster {
    fn connect(settings: &KafkaSettings) -> Result<Self, LogError> {
        settings.check()?;
        let condition = Condition::new(&settings.brokers);
        let observer = Observer::new(&condition);
        Ok(Self {
            settings: settings.clone(),
            condition,
            admin: connect(settings, observer)
                .map_err(|error| Fault::of(&error).during("connecting"))?,
        })
    }

    fn fault(&self, error: &KafkaError, name: &str) -> Fault {
        of_question(error, name, &self.condition)
    }

    /// The topics of ours that are there, once their names and partitions are known.
    async fn found(&self) -> Result<BTreeMap<String, Found>, LogError> {
        let settings = self.settings.clone();
        let condition = Arc::clone(&self.condition);
        blocking(move || found(&settings, &condition)).await
    }

    async fn compare(&self, wanted: &TopicSettings) -> Result<TopicReport, LogError> {
        let mut report = TopicReport::default();
        let found = self.found().await?;
        for topic in Topic::ALL {
            let name = self.settings.topic_name(topic);
            let Some(there) = found.get(&name) else {
                report.missing.push(name);
                continue;
            };
            let differences = self.differences(topic, &name, there, wanted).await?;
            if differences.is_empty() {
                report.unchanged.push(name);
            } else {
                report.differences.extend(differences);
            }
        }
        Ok(report)
    }

    /// The topic's settings, as the brokers describe them.
    async fn described(&self, name: &str) -> Result<ConfigResource, LogError> {
        const DOING: &str = "asking for a topic's settings";
        let described = self
            .admin
            .describe_configs(&[ResourceSpecifier::Topic(name)], &options())
            .await
            .map_err(|error| self.fault(&error, name).during(DOING))?;
        described
            .into_iter()
            .next()
            .unwrap_or(Err(RDKafkaErrorCode::UnknownTopicOrPartition))
            .map_err(|code| self.fault(&KafkaError::AdminOp(code), name).during(DOING))
    }

    async fn differences(
        &self,
        topic: Topic,
        name: &str,
        there: &Found,
        wanted: &TopicSettings,
    ) -> Result<Vec<TopicDifference>, LogError> {
        let described = self.described(name).await?;
        let mut properties = vec![
            (
                "partitions",
                topic.partitions().to_string(),
                there.partitions.to_string(),
            ),
            (
                "replication.factor",
                wanted.replication_factor.to_string(),
                there.replicas.to_string(),
            ),
        ];
        for (property, value) in expected(topic, wanted, &self.settings) {
            let found = described
                .get(property)
                .and_then(|entry| entry.value.clone())
                .unwrap_or_else(|| "unset".to_owned());
            properties.push((property, value, found));
        }
        Ok(properties
            .into_iter()
            .filter(|(property, expected, found)| !fits(property, expected, found))
            .map(|(property, expected, found)| TopicDifference {
                topic: name.to_owned(),
                property: property.to_owned(),
                expected,
                found,
            })
            .collect())
    }

    /// Makes these, and returns those that nobody else made meanwhile.
    async fn create(
        &self,
        missing: &[String],
        wanted: &TopicSettings,
    ) -> Result<Vec<String>, LogError> {
        const DOING: &str = "making topics";
        let plans: Vec<_> = Topic::ALL
            .into_iter()
            .map(|topic| (topic, self.settings.topic_name(topic)))
            .filter(|(_, name)| missing.contains(name))
            .map(|(topic, name)| (topic, name, expected(topic, wanted, &self.settings)))
            .collect();
        let topics: Vec<NewTopic<'_>> = plans
            .iter()
            .map(|(topic, name, expected)| {
                let replication = TopicReplication::Fixed(wanted.replication_factor);
                let new = NewTopic::new(name, topic.partitions(), replication);
                expected
                    .iter()
                    .fold(new, |new, (property, value)| new.set(property, value))
            })
            .collect();
        let results = self
            .admin
            .create_topics(&topics, &options())
            .await
            .map_err(|error| self.fault(&error, "").during(DOING))?;
        let mut created = Vec::new();
        for result in results {
            match result {
                Ok(name) => created.push(name),
                Err((_, RDKafkaErrorCode::TopicAlreadyExists)) => {}
                Err((name, code)) => {
                    return Err(self.fault(&KafkaError::AdminOp(code), &name).during(DOING));
                }
            }
        }
        let deadline = Instant::now() + KNOWN_WITHIN;
        while Instant::now() < deadline {
            let found = self.found().await?;
            if created.iter().all(|name| found.contains_key(name)) {
                break;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        Ok(created)
    }
}

/// More room for a batch than we need is fine.
fn fits(property: &str, expected: &str, found: &str) -> bool {
    if property == "max.message.bytes"
        && let (Ok(expected), Ok(found)) = (expected.parse::<u64>(), found.parse::<u64>())
    {
        return found >= expected;
    }
    expected == found
}

fn found(
    settings: &KafkaSettings,
    condition: &Arc<Condition>,
) -> Result<BTreeMap<String, Found>, LogError> {
    const DOING: &str = "asking for topics";
    let observer = Observer::new(condition);
    // A consumer, since only that may ask for a topic without having it made.
    let client: BaseConsumer<Observer> =
        BaseConsumer::from_config_and_context(&query_client(settings), observer)
            .map_err(|error| Fault::of(&error).during(DOING))?;
    let mut found = BTreeMap::new();
    for topic in Topic::ALL {
        let name = settings.topic_name(topic);
        let metadata = client.fetch_metadata(Some(&name), settings.request_timeout);
        hear(&client);
        let metadata =
            metadata.map_err(|error| of_question(&error, &name, condition).during(DOING))?;
        for topic in metadata.topics() {
            match topic.error().map(RDKafkaErrorCode::from) {
                None => {
                    let partitions = topic.partitions();
                    let there = Found {
                        partitions: partitions.len(),
                        replicas: partitions.first().map_or(0, |first| first.replicas().len()),
                    };
                    found.insert(topic.name().to_owned(), there);
                }
                Some(
                    RDKafkaErrorCode::UnknownTopicOrPartition | RDKafkaErrorCode::UnknownTopic,
                ) => {}
                Some(code) => {
                    let error = KafkaError::MetadataFetch(code);
                    return Err(of_question(&error, &name, condition).during(DOING));
                }
            }
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_room_is_no_difference_and_less_is() {
        assert!(fits("max.message.bytes", "100", "100"));
        assert!(fits("max.message.bytes", "100", "200"));
        assert!(!fits("max.message.bytes", "100", "99"));
        assert!(!fits("retention.ms", "100", "200"));
        assert!(!fits("max.message.bytes", "100", "unset"));
    }

    #[test]
    fn clicks_are_kept_shorter_and_times_are_the_brokers() {
        let settings = KafkaSettings::new("localhost:9092");
        let wanted = TopicSettings::default();
        let of = |topic| expected(topic, &wanted, &settings);
        assert_eq!(of(Topic::Clicks)["retention.ms"], "63072000000");
        assert_eq!(of(Topic::Conversions)["retention.ms"], "220752000000");
        assert_eq!(of(Topic::Ledger)["message.timestamp.type"], "LogAppendTime");
    }

    #[tokio::test]
    async fn topics_without_a_prefix_are_never_deleted() {
        let settings = KafkaSettings::new("localhost:9092");
        let refused = delete_all(&settings).await.unwrap_err();
        assert!(matches!(
            refused.kafka_fault(),
            Some(Fault::Settings { .. })
        ));
    }
}
