//! The demo's log on brokers: topics of its own, whose times are the demo's clock.

use std::path::Path;

use anyhow::{Context, ensure};
use stream::{
    kafka::topics::{self, TopicTimes},
    registry::SchemaRegistry,
};

use crate::{
    configuration::{Configuration, Kafka},
    platform::{LogPlace, Placement, RegistryPlace},
};

/// Where the demo's services are: all embedded, but for a log on `brokers` and a ClickHouse server
/// if they are asked for. The environment says how to speak to brokers, and where their registry
/// is.
///
/// # Errors
/// When a variable can't be used.
pub(super) fn placement(brokers: Option<&str>, data_dir: &Path) -> anyhow::Result<Placement> {
    let given = Configuration::read(None)?;
    let mut configuration = Configuration {
        clickhouse: given.clickhouse,
        ..Configuration::default()
    };
    if let Some(brokers) = brokers {
        configuration.kafka = Kafka {
            brokers: Some(brokers.to_owned()),
            // Nobody else's topics are touched, and a second demo is another one.
            topic_prefix: format!("hissaback-demo-{:08x}.", rand::random::<u32>()),
            // On as many brokers as there are, which may be one.
            replication_factor: 1,
            min_insync_replicas: 1,
            ..given.kafka
        };
        configuration.schema_registry = given.schema_registry;
    }
    let mut placement = Placement::of_everything(&configuration, data_dir.to_owned())?;
    if let LogPlace::Kafka(place) = &mut placement.log {
        place.topics.times = TopicTimes::Producer;
    }
    Ok(placement)
}

/// Makes the topics, and registers their schemas.
///
/// # Errors
/// When brokers or registry can't be reached, or refuse.
pub(super) async fn prepare(placement: &Placement) -> anyhow::Result<()> {
    let LogPlace::Kafka(place) = &placement.log else {
        return Ok(());
    };
    let report = topics::ensure(&place.brokers, &place.topics)
        .await
        .context("the demo's topics can't be made")?;
    ensure!(
        report.as_expected() && report.unchanged.is_empty(),
        "the brokers don't make topics as they are asked to: {report:?}"
    );
    if let RegistryPlace::Server(settings) = &place.registry {
        let report = SchemaRegistry::connect(settings.clone())?
            .register_all()
            .await?;
        ensure!(
            report.as_expected(),
            "the registry doesn't take the demo's schemas: {report:?}"
        );
    }
    Ok(())
}

/// Deletes the topics again.
///
/// # Errors
/// When they can't be deleted; the sentence names them.
pub(super) async fn clear(placement: &Placement) -> anyhow::Result<()> {
    let LogPlace::Kafka(place) = &placement.log else {
        return Ok(());
    };
    let prefix = &place.brokers.topic_prefix;
    topics::delete_all(&place.brokers)
        .await
        .with_context(|| format!("the demo's topics {prefix}* can't be deleted"))
}
