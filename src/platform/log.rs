//! The log: embedded, or on Apache Kafka with the schema registry's ids.

use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use anyhow::Context;
use stream::{
    Clock, EmbeddedLog, EmbeddedOptions, Log,
    kafka::{AppendTimes, KafkaLog, topics::TopicTimes},
    registry::{
        EmbeddedRegistry, RegistryError, RegistrySettings, SchemaIds, SchemaRegistry, registered,
    },
};

use super::{KafkaPlace, LogPlace, Placement, RegistryPlace, Starting};
use crate::embedded::DataDirectory;

/// Where the log is in a data directory.
pub const LOG_DIRECTORY: &str = "log";

/// How long a command that somebody waits for waits for brokers.
const PATIENCE: Duration = Duration::from_secs(15);

/// The log, and what is up for its sake.
pub struct OpenLog {
    /// The log.
    pub log: Arc<dyn Log>,
    /// Serves its schemas, where no registry is configured.
    pub registry: Option<EmbeddedRegistry>,
}

/// Opens the log. One on brokers that are away is opened nonetheless by a process that serves: its
/// health tells, and what it can't do yet is done later.
///
/// # Errors
/// One sentence with the remedy.
pub(super) async fn open(
    placement: &Placement,
    data: Option<&DataDirectory>,
    clock: Arc<dyn Clock>,
    starting: &Starting,
) -> anyhow::Result<OpenLog> {
    match &placement.log {
        LogPlace::Embedded => {
            let data = data.context("an embedded log needs a data directory")?;
            open_embedded(data, clock)
        }
        LogPlace::Kafka(place) => open_on_brokers(place, clock, starting).await,
    }
}

/// Opens the log of a data directory, making it if there is none.
///
/// # Errors
/// When it can't be used.
pub fn open_embedded(data: &DataDirectory, clock: Arc<dyn Clock>) -> anyhow::Result<OpenLog> {
    let directory = data.subdirectory(LOG_DIRECTORY)?;
    let log = EmbeddedLog::open(directory, clock, EmbeddedOptions::default())?;
    Ok(OpenLog {
        log,
        registry: None,
    })
}

/// Opens a log on brokers; for a command that somebody waits for, once it is ready.
///
/// # Errors
/// One sentence with the remedy.
pub async fn open_on_brokers(
    place: &KafkaPlace,
    clock: Arc<dyn Clock>,
    starting: &Starting,
) -> anyhow::Result<OpenLog> {
    let (ids, registry) = schema_ids(place, starting).await?;
    let times = match place.topics.times {
        TopicTimes::Broker => AppendTimes::Broker,
        TopicTimes::Producer => AppendTimes::Clock(clock),
    };
    let log = KafkaLog::connect(place.brokers.clone(), times)?;
    if starting.impatient() {
        log.ready(PATIENCE).await?;
    }
    Ok(OpenLog {
        log: registered(log, ids),
        registry,
    })
}

/// The ids that the registry has for our schemas. Without a registry one of our own is asked in
/// the same way, which has the ids that the program carries.
async fn schema_ids(
    place: &KafkaPlace,
    starting: &Starting,
) -> anyhow::Result<(SchemaIds, Option<EmbeddedRegistry>)> {
    let (settings, registry) = match &place.registry {
        RegistryPlace::Server(settings) => (settings.clone(), None),
        RegistryPlace::Embedded(listen) => {
            let anywhere = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
            let prefix = &place.brokers.topic_prefix;
            let registry = EmbeddedRegistry::start(listen.unwrap_or(anywhere), prefix).await?;
            let settings = RegistrySettings {
                topic_prefix: prefix.clone(),
                ..RegistrySettings::at(registry.url())
            };
            (settings, Some(registry))
        }
    };
    let client = SchemaRegistry::connect(settings)?;
    let ids = starting
        .insist("schema_registry", RegistryError::temporary, async || {
            client.ids().await
        })
        .await?;
    Ok((ids, registry))
}
