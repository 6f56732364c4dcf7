//! Somebody else's client, in somebody else's language.

use std::process::Command;

use schemas::Topic;
use serde_json::Value;

use crate::installation::{Installation, cache, succeeded};

/// A topic, as confluent-kafka reads it through the registry.
pub fn read(installation: &Installation, topic: Topic) -> Vec<Value> {
    let python = cache().join("python/bin/python");
    assert!(
        python.exists(),
        "confluent-kafka isn't there: `make setup` fetches it"
    );
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/kafka/read_decisions.py");
    let registry = installation.registry.as_ref().expect("a registry");
    let output = Command::new(python)
        .args([script, &installation.settings.brokers, registry])
        .arg(installation.settings.topic_name(topic))
        .output()
        .expect("Python runs");
    succeeded(&output)
        .lines()
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect()
}
