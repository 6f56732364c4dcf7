//! Looks after the cluster from a thread of its own, so that its health is known without trying.

use std::{
    sync::{
        Arc,
        mpsc::{self, RecvTimeoutError},
    },
    time::Duration,
};

use rdkafka::{
    consumer::{BaseConsumer, Consumer},
    error::RDKafkaErrorCode,
    types::RDKafkaRespErr,
};
use schemas::Topic;

use super::{
    asking::hear,
    condition::{Condition, Observer},
    fault::Fault,
    producer::Appender,
    settings::KafkaSettings,
};

/// How long a good state is believed.
const CONTENT_FOR: Duration = Duration::from_secs(3);
/// How soon a bad one is looked at again.
const TROUBLED_FOR: Duration = Duration::from_millis(500);
/// How long brokers may take to say what they have.
const ANSWER_WITHIN: Duration = Duration::from_secs(3);

/// The clients that nobody else looks after.
pub(super) struct Watched {
    /// The one to look with.
    pub(super) client: Arc<BaseConsumer<Observer>>,
    pub(super) appender: Arc<Appender>,
}

impl Watched {
    fn rescue(&self) {
        let client = self.client.client();
        client.context().rescue(client);
        self.appender.rescue();
    }
}

/// Stops the monitor when dropped.
pub(super) struct Monitor {
    _running: mpsc::Sender<()>,
}

impl Monitor {
    pub(super) fn start(
        settings: KafkaSettings,
        watched: Watched,
        condition: Arc<Condition>,
    ) -> std::io::Result<Self> {
        let (running, stopped) = mpsc::channel();
        std::thread::Builder::new()
            .name("kafka-monitor".to_owned())
            .spawn(move || {
                loop {
                    let found = look(&settings, &watched.client);
                    watched.rescue();
                    let wait = if found.is_ok() {
                        CONTENT_FOR
                    } else {
                        TROUBLED_FOR
                    };
                    condition.probed(found);
                    match stopped.recv_timeout(wait) {
                        Err(RecvTimeoutError::Timeout) => {}
                        Ok(()) | Err(RecvTimeoutError::Disconnected) => return,
                    }
                }
            })?;
        Ok(Self { _running: running })
    }
}

/// Whether every topic is there, as it has to be, and led by a broker.
fn look(settings: &KafkaSettings, client: &BaseConsumer<Observer>) -> Result<(), Fault> {
    for topic in Topic::ALL {
        let name = settings.topic_name(topic);
        let metadata = client.fetch_metadata(Some(&name), ANSWER_WITHIN);
        // What the client reports on its own comes through its queue: the reason why it can't
        // connect, for one.
        hear(client);
        let metadata = metadata.map_err(|error| Fault::of(&error))?;
        let found = metadata
            .topics()
            .iter()
            .find(|found| found.name() == name)
            .ok_or_else(|| Fault::TopicMissing { name: name.clone() })?;
        if let Some(error) = found.error() {
            return Err(of_topic(error, name));
        }
        let partitions = found.partitions();
        if i32::try_from(partitions.len()) != Ok(topic.partitions()) {
            return Err(Fault::PartitionCount {
                name,
                found: partitions.len(),
                expected: topic.partitions(),
            });
        }
        if let Some(partition) = partitions.iter().find(|found| found.leader() < 0) {
            return Err(Fault::Other {
                reason: format!("{name}/{} has no leader at present", partition.id()),
            });
        }
    }
    Ok(())
}

fn of_topic(error: RDKafkaRespErr, name: String) -> Fault {
    let code = RDKafkaErrorCode::from(error);
    match Fault::of_code(code, format!("{name}: {code}")) {
        Fault::TopicMissing { .. } => Fault::TopicMissing { name },
        fault => fault,
    }
}
