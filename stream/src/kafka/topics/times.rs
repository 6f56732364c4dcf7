//! Who sets the append times of a topic's records.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use rdkafka::{
    admin::{AlterConfig, ConfigResource, ConfigSource, ResourceSpecifier},
    error::KafkaError,
};
use schemas::Topic;

use tokio::time::sleep;

use super::{Cluster, KNOWN_WITHIN, KafkaSettings, options};
use crate::error::LogError;

/// How often a broker is asked whether it knows.
const ASKED_EVERY: Duration = Duration::from_millis(100);
/// How long brokers may take to go by a setting that they know.
const SETTLED_AFTER: Duration = Duration::from_secs(1);

/// The properties of a topic that say who sets append times.
const TIMES_PROPERTIES: [&str; 3] = [
    "message.timestamp.type",
    "message.timestamp.before.max.ms",
    "message.timestamp.after.max.ms",
];

/// Who sets the append times of a topic's records: agrees with [`crate::kafka::AppendTimes`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TopicTimes {
    /// The partition's leader (`LogAppendTime`). The port's append time is the log's own: rules
    /// compare it, so it must not be a time that a producer drew seconds earlier, or made up.
    /// It never decreases as far as the brokers' clocks don't.
    Broker,
    /// The producer (`CreateTime`), by a clock that a test or the demo sets; any time is taken.
    Producer,
}

impl TopicTimes {
    /// What is set for a topic, by Kafka's names.
    pub(super) fn properties(self) -> Vec<(&'static str, String)> {
        let [kind, before, after] = TIMES_PROPERTIES;
        let any = || i64::MAX.to_string();
        match self {
            Self::Broker => vec![(kind, "LogAppendTime".to_owned())],
            Self::Producer => vec![
                (kind, "CreateTime".to_owned()),
                (before, any()),
                (after, any()),
            ],
        }
    }
}

/// Sets who sets append times from now on, for every topic: for a copy of another log, which keeps
/// the times that the records had there ([`TopicTimes::Producer`]) and hands over to the brokers
/// when it is done. Records keep the times that they have. All other settings stay.
pub async fn set_times(settings: &KafkaSettings, times: TopicTimes) -> Result<(), LogError> {
    const DOING: &str = "setting who sets append times";
    let cluster = Cluster::connect(settings)?;
    let wanted = times.properties();
    for topic in Topic::ALL {
        let name = settings.topic_name(topic);
        let described = cluster.described(&name).await?;
        // What isn't named is reset, so everything that was set for the topic is named.
        let mut kept: BTreeMap<&str, &str> = described
            .entries
            .iter()
            .filter(|entry| entry.source == ConfigSource::DynamicTopic)
            .filter(|entry| !TIMES_PROPERTIES.contains(&entry.name.as_str()))
            .filter_map(|entry| Some((entry.name.as_str(), entry.value.as_deref()?)))
            .collect();
        kept.extend(wanted.iter().map(|(name, value)| (*name, value.as_str())));
        let change = AlterConfig::new(ResourceSpecifier::Topic(&name));
        let change = kept
            .into_iter()
            .fold(change, |change, (name, value)| change.set(name, value));
        let altered = cluster
            .admin
            .alter_configs(&[change], &options())
            .await
            .map_err(|error| cluster.fault(&error, &name).during(DOING))?;
        for result in altered {
            result.map_err(|(_, code)| {
                let error = KafkaError::AdminOp(code);
                cluster.fault(&error, &name).during(DOING)
            })?;
        }
    }
    let deadline = Instant::now() + KNOWN_WITHIN;
    for topic in Topic::ALL {
        let name = settings.topic_name(topic);
        while Instant::now() < deadline
            && !cluster
                .described(&name)
                .await
                .is_ok_and(|found| has(&found, &wanted))
        {
            sleep(ASKED_EVERY).await;
        }
    }
    // Telling it comes just before going by it. (A copy that came too early would be found out.)
    sleep(SETTLED_AFTER).await;
    Ok(())
}

fn has(found: &ConfigResource, wanted: &[(&str, String)]) -> bool {
    wanted.iter().all(|(name, value)| {
        let entry = found.get(name);
        entry.and_then(|entry| entry.value.as_ref()) == Some(value)
    })
}
