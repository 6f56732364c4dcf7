//! How the brokers are reached, and what librdkafka is told. Every setting that differs from its
//! default says why.

use std::{fs::File, path::PathBuf, str::FromStr, sync::Arc, time::Duration};

use rdkafka::ClientConfig;
use schemas::Topic;
use secrecy::{ExposeSecret, SecretString};

use super::{fault::Fault, instances::InstanceName};
use crate::{admission::Limits, clock::Clock, error::LogError};

/// What a record's framing in a Kafka batch may add to the bytes that [`Limits`] counts: the
/// batch's header, lengths, and the time and offset deltas. Generous.
const FRAMING_BYTES_MAX: usize = 64 * 1024;

/// How a Kafka cluster is reached and used.
#[derive(Debug, Clone)]
pub struct KafkaSettings {
    /// Where to find the cluster: `host:port`, several separated by commas.
    pub brokers: String,
    /// Encryption and credentials.
    pub security: Security,
    /// What brokers call this program in their logs and quotas.
    pub client_id: String,
    /// Stands before the names of topics and consumer groups; empty by default. It keeps several
    /// logs apart in one cluster.
    pub topic_prefix: String,
    /// Bounds on appends. The largest record has to fit into what the topics allow
    /// (`max.message.bytes`): [`super::topics::ensure`] makes them so.
    pub limits: Limits,
    /// How long the producer waits for company before it sends a batch.
    pub linger: Duration,
    /// After which an append that no broker acknowledged has an unknown outcome. Below the time
    /// that ingest gives the log (10 s), so that the log's own answer comes first.
    pub delivery_timeout: Duration,
    /// How long a question to a broker may take: watermarks, offsets, reads without a group. Below
    /// the delivery timeout, so that an append outlives a question that was lost.
    pub request_timeout: Duration,
    /// After which a member of a group that is not heard of loses its partitions. What a killed
    /// process held stands still for that long.
    pub session_timeout: Duration,
    /// Makes members of groups static: one that comes back under its name has what it held at
    /// once, and the others go on undisturbed. It has to be the same after a restart and no other
    /// process's; without one, membership is dynamic.
    pub group_instance_id: Option<InstanceName>,
}

impl KafkaSettings {
    /// A cluster without encryption and credentials, and everything else by default.
    pub fn new(brokers: impl Into<String>) -> Self {
        Self {
            brokers: brokers.into(),
            security: Security::default(),
            client_id: "hissaback".to_owned(),
            topic_prefix: String::new(),
            limits: Limits::default(),
            linger: DEFAULT_LINGER,
            delivery_timeout: Duration::from_secs(8),
            request_timeout: Duration::from_secs(5),
            session_timeout: Duration::from_secs(15),
            group_instance_id: None,
        }
    }

    /// The topic's name in this cluster.
    pub fn topic_name(&self, topic: Topic) -> String {
        format!("{}{}", self.topic_prefix, topic.name())
    }

    /// The consumer group's name in this cluster.
    pub fn group_name(&self, group: &str) -> String {
        format!("{}{group}", self.topic_prefix)
    }

    /// Which of our topics bears this name.
    pub(super) fn topic_named(&self, name: &str) -> Option<Topic> {
        name.strip_prefix(&self.topic_prefix)?.parse().ok()
    }

    /// Fails for a file that can't be read, which the client library would not name.
    pub(super) fn check(&self) -> Result<(), LogError> {
        for file in self.security.tls.iter().flat_map(Tls::files) {
            File::open(file).map_err(|error| {
                let reason = format!("{}: {error}", file.display());
                Fault::Settings { reason }.during("reading TLS files")
            })?;
        }
        Ok(())
    }

    /// The largest batch that holds any record within the limits.
    pub(super) fn batch_bytes_max(&self) -> usize {
        self.limits.record_bytes_max + FRAMING_BYTES_MAX
    }
}

/// Swept over 0, 1, 5 and 20 ms (`tests/kafka/sweep.rs`; one broker on loopback, two busy cores,
/// appends of 600 bytes, each awaited):
///
/// | linger | 1 at once: p50 | 64: p50, p99 | 1,024: p50, p99 | appends/s of 1,024 |
/// |---|---|---|---|---|
/// | 0 ms | 0.5 ms | 1.1, 81 ms | 11, 76 ms | 48,000 |
/// | 1 ms | 1.4 ms | 2.1, 32 ms | 5.3, 14 ms | 160,000 |
/// | 5 ms | 6.4 ms | 6.6, 38 ms | 13, 113 ms | 41,000 |
/// | 20 ms | 21 ms | 22, 30 ms | 23, 124 ms | 30,000 |
///
/// Requests that wait for their answers fill a batch within a millisecond, or never will.
const DEFAULT_LINGER: Duration = Duration::from_millis(1);

/// Encryption and credentials. The default is neither, for a broker on loopback or in a network
/// of its own.
#[derive(Debug, Clone, Default)]
pub struct Security {
    /// TLS, if any. Certificates and host names are always verified.
    pub tls: Option<Tls>,
    /// Credentials, if any. Without TLS they are open to whoever listens.
    pub sasl: Option<Sasl>,
}

/// How TLS is set up.
#[derive(Debug, Clone, Default)]
pub struct Tls {
    /// The authorities that may vouch for brokers (PEM); the system's when absent.
    pub ca_file: Option<PathBuf>,
    /// Our certificate (PEM), where brokers ask for one.
    pub certificate_file: Option<PathBuf>,
    /// Its private key (PEM).
    pub key_file: Option<PathBuf>,
}

impl Tls {
    fn files(&self) -> impl Iterator<Item = &PathBuf> {
        [&self.ca_file, &self.certificate_file, &self.key_file]
            .into_iter()
            .flatten()
    }
}

/// Credentials for SASL.
#[derive(Debug, Clone)]
pub struct Sasl {
    /// How they are proven.
    pub mechanism: SaslMechanism,
    /// Who we are.
    pub username: String,
    /// The proof.
    pub password: SecretString,
}

/// A mechanism of SASL.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SaslMechanism {
    /// The password itself: over TLS only.
    Plain,
    /// Challenge and response over SHA-256.
    ScramSha256,
    /// Challenge and response over SHA-512.
    ScramSha512,
}

impl SaslMechanism {
    /// As brokers name it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Plain => "PLAIN",
            Self::ScramSha256 => "SCRAM-SHA-256",
            Self::ScramSha512 => "SCRAM-SHA-512",
        }
    }
}

impl FromStr for SaslMechanism {
    type Err = String;

    /// In capitals or not.
    fn from_str(text: &str) -> Result<Self, String> {
        [Self::Plain, Self::ScramSha256, Self::ScramSha512]
            .into_iter()
            .find(|mechanism| mechanism.name().eq_ignore_ascii_case(text))
            .ok_or_else(|| format!("{text:?} is none of plain, scram-sha-256 and scram-sha-512"))
    }
}

/// Who sets the append times of records. It has to agree with the topics
/// ([`super::topics::TopicTimes`]).
#[derive(Clone)]
pub enum AppendTimes {
    /// The partition's leader, when it appends: the log's own clock. For production.
    Broker,
    /// This clock, when the record is handed to the producer; never decreasing within a partition
    /// as far as this process writes it alone. For the demo and for tests, which set the time.
    Clock(Arc<dyn Clock>),
}

/// What every client is told.
fn client(settings: &KafkaSettings) -> ClientConfig {
    let request_timeout_ms = settings.request_timeout.as_millis();
    let mut config = ClientConfig::new();
    config
        .set("bootstrap.servers", &settings.brokers)
        .set("client.id", &settings.client_id)
        // A topic that is missing is a fault to report. Made on the fly, it would have the
        // broker's partition count, and keys would land elsewhere.
        .set("allow.auto.create.topics", "false")
        // A broker that comes back is found within a second instead of ten.
        .set("reconnect.backoff.ms", "50")
        .set("reconnect.backoff.max.ms", "1000")
        .set("socket.connection.setup.timeout.ms", "5000")
        // For so long librdkafka also takes a question about a topic for under way whose broker is
        // gone. With the default nothing was appended for a minute then (ADR 0019).
        .set("socket.timeout.ms", request_timeout_ms.to_string())
        .set("socket.keepalive.enable", "true")
        // Brokers close idle connections all the time.
        .set("log.connection.close", "false");
    let Security { tls, sasl } = &settings.security;
    config.set(
        "security.protocol",
        match (tls, sasl) {
            (None, None) => "plaintext",
            (Some(_), None) => "ssl",
            (None, Some(_)) => "sasl_plaintext",
            (Some(_), Some(_)) => "sasl_ssl",
        },
    );
    if let Some(tls) = tls {
        config
            .set("enable.ssl.certificate.verification", "true")
            .set("ssl.endpoint.identification.algorithm", "https");
        for (key, file) in [
            ("ssl.ca.location", &tls.ca_file),
            ("ssl.certificate.location", &tls.certificate_file),
            ("ssl.key.location", &tls.key_file),
        ] {
            if let Some(file) = file {
                config.set(key, file.to_string_lossy());
            }
        }
    }
    if let Some(sasl) = sasl {
        config
            .set("sasl.mechanism", sasl.mechanism.name())
            .set("sasl.username", &sasl.username)
            .set("sasl.password", sasl.password.expose_secret());
    }
    config
}

/// For questions and for administration.
pub(super) fn query_client(settings: &KafkaSettings) -> ClientConfig {
    client(settings)
}

pub(super) fn producer_client(settings: &KafkaSettings) -> ClientConfig {
    let Limits {
        in_flight_records_max,
        in_flight_bytes_max,
        ..
    } = settings.limits;
    // What may be in flight is bounded before a record comes here, and each record takes room for
    // itself and its bookkeeping: the producer's own queue is never what is full. It counts a
    // record until all are read that were reported with it; as many may be in flight anew by then.
    let queued_records_max = in_flight_records_max * 2 + 1;
    let queue_kilobytes = (in_flight_bytes_max * 2 + queued_records_max * 512) / 1024 + 1024;
    let delivery_timeout_ms = settings.delivery_timeout.as_millis();
    let mut config = client(settings);
    config
        // Off by default in librdkafka. With it a batch that is sent again is not doubled, and
        // the order within a partition holds across retries.
        .set("enable.idempotence", "true")
        .set("acks", "all")
        .set("compression.type", "lz4")
        .set("linger.ms", settings.linger.as_millis().to_string())
        .set("message.timeout.ms", delivery_timeout_ms.to_string())
        .set("message.max.bytes", settings.batch_bytes_max().to_string())
        .set(
            "queue.buffering.max.messages",
            queued_records_max.to_string(),
        )
        .set("queue.buffering.max.kbytes", queue_kilobytes.to_string());
    config
}

/// For reading partitions that are named, not shared out. The group is never joined; its name is
/// needed for its committed offsets.
pub(super) fn fetching_client(
    settings: &KafkaSettings,
    group: &str,
    buffered_bytes_max: usize,
) -> ClientConfig {
    let mut config = client(settings);
    config
        .set("group.id", settings.group_name(group))
        .set("enable.auto.commit", "false")
        .set("enable.auto.offset.store", "false")
        // The first read of a group starts at the earliest record by an explicit offset. Where an
        // offset is out of range later, starting anywhere else would skip records in silence (and
        // the default, latest, everything unread): it is an error.
        .set("auto.offset.reset", "error")
        // The default, a second, is how long a partition rests when the buffer below is full.
        .set("fetch.queue.backoff.ms", "10")
        .set("fetch.error.backoff.ms", "100")
        .set("fetch.wait.max.ms", "250")
        .set(
            "queued.max.messages.kbytes",
            (buffered_bytes_max / 1024).max(1024).to_string(),
        )
        // Records about money: a damaged batch is an error, and not a wrong amount.
        .set("check.crcs", "true");
    config
}

/// For being a member of a group, under a name or not; it fetches nothing.
pub(super) fn member_client(
    settings: &KafkaSettings,
    group: &str,
    instance_id: Option<&str>,
) -> ClientConfig {
    let session_ms = settings.session_timeout.as_millis();
    let mut config = client(settings);
    config
        .set("group.id", settings.group_name(group))
        .set("partition.assignment.strategy", "cooperative-sticky")
        .set("session.timeout.ms", session_ms.to_string())
        // A member learns of a rebalance from the answer to a heartbeat.
        .set(
            "heartbeat.interval.ms",
            (session_ms / 20).clamp(100, 1000).to_string(),
        )
        // While one member drains a revoked partition, another rebalance waits for it; for so
        // long at most, and then it loses everything.
        .set("max.poll.interval.ms", (session_ms.max(60_000)).to_string())
        .set("enable.auto.commit", "false")
        .set("enable.auto.offset.store", "false");
    if let Some(instance_id) = instance_id {
        config.set("group.instance.id", instance_id);
    }
    config
}
