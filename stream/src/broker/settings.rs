//! The broker's `server.properties`.

use std::collections::BTreeMap;
use std::path::Path;

use super::certificates::Authority;
use super::{BrokerOptions, ListenerSecurity};

/// The node's number in its cluster of one.
pub(super) const NODE_ID: i32 = 1;

/// What clients must name: the certificate stands for it, and for nothing else.
pub(super) const HOST: &str = "127.0.0.1";

/// Where the broker listens.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ports {
    /// For clients, as the options ask.
    pub(super) clients: u16,
    /// For clients without security; the same as `clients` where the options ask for none.
    pub(super) plain: u16,
    /// For the broker's own controller.
    pub(super) controller: u16,
}

/// Settings of a broker for tests: one node that is broker and controller, quick to start, small,
/// and strict where Kafka is lenient.
pub(super) fn server_properties(
    options: &BrokerOptions,
    ports: Ports,
    data: &Path,
    authority: Option<&Authority>,
) -> String {
    let mut settings: BTreeMap<&str, String> = BTreeMap::from([
        ("process.roles", "broker,controller".to_owned()),
        ("node.id", NODE_ID.to_string()),
        ("log.dirs", data.display().to_string()),
        ("controller.listener.names", "CONTROLLER".to_owned()),
        (
            "controller.quorum.voters",
            format!("{NODE_ID}@{HOST}:{}", ports.controller),
        ),
        // One node: what Kafka keeps for itself can have one copy only, and needs few partitions.
        ("offsets.topic.replication.factor", "1".to_owned()),
        ("offsets.topic.num.partitions", "4".to_owned()),
        ("transaction.state.log.replication.factor", "1".to_owned()),
        ("transaction.state.log.min.isr", "1".to_owned()),
        ("transaction.state.log.num.partitions", "4".to_owned()),
        (
            "share.coordinator.state.topic.replication.factor",
            "1".to_owned(),
        ),
        ("share.coordinator.state.topic.min.isr", "1".to_owned()),
        (
            "share.coordinator.state.topic.num.partitions",
            "1".to_owned(),
        ),
        // A topic that nobody made is a mistake, as in production.
        ("auto.create.topics.enable", "false".to_owned()),
        // Members of a group come one by one in tests; nobody waits for the others.
        ("group.initial.rebalance.delay.ms", "0".to_owned()),
        // Sessions as short as tests want them: a killed consumer's partitions move on soon.
        ("group.min.session.timeout.ms", "500".to_owned()),
        ("group.consumer.min.session.timeout.ms", "500".to_owned()),
        ("group.consumer.min.heartbeat.interval.ms", "100".to_owned()),
        // After a kill, the controller waits for the old registration to run out; on a machine that
        // is short of time a broker that is well must not miss it.
        ("broker.session.timeout.ms", "6000".to_owned()),
        ("broker.heartbeat.interval.ms", "500".to_owned()),
        // Little memory: by default the cleaner alone takes 128 MB of the heap.
        ("log.cleaner.dedupe.buffer.size", "2097152".to_owned()),
        ("log.cleaner.io.buffer.size", "131072".to_owned()),
        ("num.network.threads", "2".to_owned()),
        ("num.io.threads", "4".to_owned()),
        ("background.threads", "2".to_owned()),
    ]);
    listeners(&mut settings, options, ports);
    if options.security.has_password() {
        passwords(&mut settings, options);
    }
    if let Some(authority) = authority {
        settings.extend([
            ("ssl.keystore.type", "PEM".to_owned()),
            (
                "ssl.keystore.location",
                authority.server_path().display().to_string(),
            ),
            ("ssl.truststore.type", "PEM".to_owned()),
            (
                "ssl.truststore.location",
                authority.certificate_path().display().to_string(),
            ),
        ]);
    }
    for (name, value) in &options.settings {
        settings.insert(name, value.clone());
    }
    let lines: Vec<String> = settings
        .iter()
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    lines.join("\n")
}

fn listeners(settings: &mut BTreeMap<&str, String>, options: &BrokerOptions, ports: Ports) {
    let plain = format!("PLAIN://{HOST}:{}", ports.plain);
    let clients = if options.security == ListenerSecurity::Plaintext {
        plain
    } else {
        format!("{plain},CLIENTS://{HOST}:{}", ports.clients)
    };
    settings.extend([
        (
            "listeners",
            format!("{clients},CONTROLLER://{HOST}:{}", ports.controller),
        ),
        ("advertised.listeners", clients),
        (
            "listener.security.protocol.map",
            format!(
                "PLAIN:PLAINTEXT,CONTROLLER:PLAINTEXT,CLIENTS:{}",
                options.security.protocol()
            ),
        ),
        ("inter.broker.listener.name", "PLAIN".to_owned()),
    ]);
}

fn passwords(settings: &mut BTreeMap<&str, String>, options: &BrokerOptions) {
    let scram = "org.apache.kafka.common.security.scram.ScramLoginModule required;";
    let users: Vec<String> = options
        .users
        .iter()
        .map(|user| format!("user_{}=\"{}\"", user.name, user.password))
        .collect();
    let plain = "org.apache.kafka.common.security.plain.PlainLoginModule required";
    settings.extend([
        (
            "listener.name.clients.sasl.enabled.mechanisms",
            "PLAIN,SCRAM-SHA-256,SCRAM-SHA-512".to_owned(),
        ),
        (
            "listener.name.clients.plain.sasl.jaas.config",
            format!("{plain} {};", users.join(" ")),
        ),
        (
            "listener.name.clients.scram-sha-256.sasl.jaas.config",
            scram.to_owned(),
        ),
        (
            "listener.name.clients.scram-sha-512.sasl.jaas.config",
            scram.to_owned(),
        ),
    ]);
}
