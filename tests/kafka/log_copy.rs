//! `hissaback log copy`: whoever outgrows one machine takes the history along.

use std::path::Path;

use serde_json::Value;

use crate::installation::{Installation, hissaback, shared_broker, shared_registry, succeeded};

/// Runs it, and gives what it says in JSON, or the sentence with which it fails.
fn log_copy(installation: &Installation, from: &Path, arguments: &[&str]) -> Result<Value, String> {
    let from = format!("embedded:{}", from.display());
    let to = format!("kafka:{}", installation.settings.brokers);
    let output = installation
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

#[test]
fn a_demos_log_moves_onto_brokers_with_its_offsets() {
    let directory = tempfile::tempdir().expect("a directory");
    let data = directory.path().join("data");
    let demo = hissaback(&["demo", "--conversions", "200", "--seed", "5", "--json"])
        .arg("--data-dir")
        .arg(&data)
        .output();
    succeeded(&demo.expect("it runs"));
    let installation = Installation::make("copy", shared_broker(), Some(shared_registry()));

    let nowhere = log_copy(&installation, directory.path(), &[]);
    assert!(nowhere.expect_err("no log").contains("no embedded log"));
    let plan = log_copy(&installation, &data, &["--dry-run"]).expect("possible");
    assert_eq!(
        (&plan["dry_run"], &plan["found"]),
        (&Value::Bool(true), &Value::from(0))
    );
    assert_eq!(plan["to_write"], plan["records"]);
    let copied = log_copy(&installation, &data, &[]).expect("copied");
    assert_eq!(copied["records"], plan["records"]);
    assert!(copied["records"].as_u64() > Some(400), "{copied:#}");
    for (copied, planned) in copied["partitions"]
        .as_array()
        .expect("a list")
        .iter()
        .zip(plan["partitions"].as_array().expect("a list"))
    {
        assert_eq!(copied["high"], planned["source_high"], "{copied:#}");
    }
    let groups = copied["positions"].as_array().expect("a list");
    assert!(
        groups
            .iter()
            .any(|group| group["partitions"].as_u64() > Some(0)),
        "{groups:?}"
    );
    // A second time is refused, and what is there is recognised.
    let refused = log_copy(&installation, &data, &[]).expect_err("not empty");
    assert!(refused.contains("the target isn't empty"), "{refused}");
    let again = log_copy(&installation, &data, &["--resume"]).expect("nothing is left");
    assert_eq!(again["partitions"], copied["partitions"]);
    // Topics are as `hissaback migrate` wants them again.
    let topics = installation.command(&["migrate", "--json"]).output();
    let report: Value = serde_json::from_str(&succeeded(&topics.expect("it runs"))).expect("JSON");
    let topics = report["services"]
        .as_array()
        .expect("a list")
        .iter()
        .find(|service| service["service"] == "topics");
    assert!(
        topics.is_some_and(|topics| !topics.to_string().contains("timestamp")),
        "{report:#}"
    );

    // A log that a process has open isn't copied under its feet.
    let lock = hissaback::embedded::DataDirectory::open(&data).expect("it is free");
    let in_use = log_copy(&installation, &data, &["--resume"]).expect_err("in use");
    assert!(in_use.contains("in use by process"), "{in_use}");
    drop(lock);
    installation.end();
}
