//! `hissaback log copy`: whoever outgrows one machine takes the history along.

use std::{path::Path, process::Command, sync::Arc, time::Duration};

use hissaback::{embedded::DataDirectory, platform::LOG_DIRECTORY};
use schemas::Topic;
use serde_json::Value;
use stream::{
    EmbeddedLog, EmbeddedOptions, GroupEvent, GroupSettings, Log, NewRecord, SystemClock,
    kafka::{
        KafkaSettings,
        topics::{self, TopicSettings},
    },
};

use crate::installation::{hissaback, shared_broker, shared_registry, succeeded};

const RECORDS: u64 = 60;
const TRIMMED: i64 = 2;

/// A data directory with something in each topic, a trimmed head and committed positions.
async fn write_history(directory: &Path) {
    let data = DataDirectory::open(directory).expect("a directory");
    let log = data.subdirectory(LOG_DIRECTORY).expect("a directory");
    let log = EmbeddedLog::open(log, Arc::new(SystemClock), EmbeddedOptions::default());
    let log = log.expect("a log");
    for topic in Topic::ALL {
        let records = (0..RECORDS)
            .map(|number| NewRecord::new(format!("key-{number}"), format!("{topic} {number}")))
            .collect();
        log.append(topic, records).await.expect("appended");
    }
    let low = log.trim(Topic::Decisions, 0, TRIMMED).await;
    assert_eq!(low.expect("trimmed"), TRIMMED);
    let group = processors::stage::GROUP;
    let mut member = log
        .join(group, &[Topic::Conversions], GroupSettings::default())
        .await
        .expect("joined");
    let event = member.next(1, Duration::from_mins(1)).await;
    let Ok(GroupEvent::Assigned(partitions)) = event else {
        panic!("{event:?}");
    };
    let next_offsets: Vec<_> = partitions.into_iter().map(|one| (one, 1)).collect();
    member.commit_all(&next_offsets).await.expect("committed");
    member.leave().await.expect("left");
    log.close().await;
}

/// Topics of the test's own.
struct Target {
    settings: KafkaSettings,
    registry: String,
}

impl Target {
    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = hissaback(arguments);
        command
            .env("KAFKA_TOPIC_PREFIX", &self.settings.topic_prefix)
            .env("KAFKA_REPLICATION_FACTOR", "1")
            .env("KAFKA_MIN_INSYNC_REPLICAS", "1")
            .env("SCHEMA_REGISTRY_URL", &self.registry);
        command
    }

    fn migrate(&self, arguments: &[&str]) {
        let mut migrate = self.command(&["migrate"]);
        migrate.env("KAFKA_BROKERS", &self.settings.brokers);
        succeeded(&migrate.args(arguments).output().expect("it runs"));
    }

    /// Runs it, and gives what it says in JSON, or the sentence with which it fails.
    fn copy(&self, from: &Path, arguments: &[&str]) -> Result<Value, String> {
        let from = format!("embedded:{}", from.display());
        let to = format!("kafka:{}", self.settings.brokers);
        let output = self
            .command(&["log", "copy", "--json", "--from", &from, "--to", &to])
            .args(arguments)
            .output()
            .expect("it runs");
        if output.status.success() {
            Ok(serde_json::from_slice(&output.stdout).expect("JSON"))
        } else {
            Err(String::from_utf8_lossy(&output.stderr).into_owned())
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_embedded_log_moves_onto_brokers_with_its_offsets() {
    let directory = tempfile::tempdir().expect("a directory");
    let data = directory.path().join("data");
    write_history(&data).await;
    let mut target = Target {
        settings: KafkaSettings::new(shared_broker()),
        registry: shared_registry(),
    };
    target.settings.topic_prefix = format!("copy-{}.", std::process::id());

    let nowhere = target.copy(directory.path(), &[]);
    assert!(nowhere.expect_err("no log").contains("no embedded log"));
    let early = target.copy(&data, &[]).expect_err("nothing is registered");
    assert!(early.contains("hissaback migrate"), "{early}");
    target.migrate(&[]);
    let plan = target.copy(&data, &["--dry-run"]).expect("possible");
    let records = RECORDS * 8 - TRIMMED.unsigned_abs();
    assert_eq!(plan["records"], records, "{plan:#}");
    assert_eq!(plan["to_write"], RECORDS * 8, "{plan:#}");
    let copied = target.copy(&data, &[]).expect("copied");
    assert_eq!(copied["records"], records, "{copied:#}");
    assert_eq!(copied["trimmed"], TRIMMED, "{copied:#}");
    let (copies, plans) = (&copied["partitions"], &plan["partitions"]);
    let pairs = copies.as_array().expect("a list").iter();
    for (copied, planned) in pairs.zip(plans.as_array().expect("a list")) {
        assert_eq!(copied["low"], planned["source_low"], "{copied:#}");
        assert_eq!(copied["high"], planned["source_high"], "{copied:#}");
    }
    let groups = copied["positions"].as_array().expect("a list");
    let processors = groups.iter().find(|group| group["group"] == "processors");
    assert_eq!(processors.expect("it is known")["partitions"], 12);

    // A second time is refused, and what is there is recognised.
    let refused = target.copy(&data, &[]).expect_err("not empty");
    assert!(refused.contains("the target isn't empty"), "{refused}");
    let again = target.copy(&data, &["--resume"]).expect("nothing is left");
    assert_eq!(again["partitions"], copied["partitions"]);
    // Topics are as `hissaback migrate` wants them.
    target.migrate(&["--check"]);
    let wanted = TopicSettings {
        replication_factor: 1,
        min_insync_replicas: 1,
        ..TopicSettings::default()
    };
    let report = topics::inspect(&target.settings, &wanted).await;
    assert!(report.expect("asked").as_expected());

    // A log that a process has open isn't copied under its feet.
    let lock = DataDirectory::open(&data).expect("it is free");
    let in_use = target.copy(&data, &["--resume"]).expect_err("in use");
    assert!(in_use.contains("in use by process"), "{in_use}");
    drop(lock);
    topics::delete_all(&target.settings).await.expect("deleted");
}
