//! The whole pipeline, end to end, on the real components: the demo with its own verdict.

use std::{path::Path, process::Command};

use serde_json::Value;

#[test]
fn the_demo_comes_out_as_the_generator_says_it_must() {
    let directory = tempfile::tempdir().expect("a directory");
    let traffic = ["demo", "--conversions", "1500", "--seed", "11"];
    let json = run(&traffic, directory.path());

    let count = |name: &str| {
        json[name]
            .as_u64()
            .unwrap_or_else(|| panic!("no {name} in {json:#}"))
    };
    let fates = [
        "ledgered",
        "updates",
        "repetitions",
        "duplicates",
        "unmatched",
        "ignored",
        "dead_lettered",
    ];
    assert_eq!(count("accepted"), 1_500);
    assert_eq!(
        count("accepted"),
        fates.iter().map(|fate| count(fate)).sum::<u64>()
    );
    for fate in &fates[..6] {
        assert!(count(fate) > 0, "the traffic has no {fate}");
    }
    assert_eq!(json["postings_sum"], 0);
    assert!(count("gift_cards") > 0);
    assert_eq!(json["audit"], "ok");
    assert_eq!(json["differences"], Value::Array(Vec::new()));
    for percentile in ["p50", "p95", "p99"] {
        assert!(
            json["latency_ms"][percentile].is_number(),
            "no {percentile}"
        );
    }
    assert!(json["elapsed_s"].is_number());

    // What the day left behind is what its log says, however that is read.
    let replayed = run(&["replay"], directory.path());
    assert_eq!(replayed["replay"]["equal"], true, "{replayed:#}");
    assert_eq!(replayed["replay"]["not_yet_applied"], 0);
    let mut hashes = Vec::new();
    for layout in [["3", "40", "5"], ["17", "900", "6"]] {
        let [partitions, batch, seed] = layout;
        let layout = [
            "verify",
            "--partitions",
            partitions,
            "--batch",
            batch,
            "--seed",
            seed,
        ];
        let verified = run(&layout, directory.path());
        assert_eq!(verified["equal"], true, "{verified:#}");
        hashes.push(verified["refolded"]["sha256"].clone());
    }
    assert_eq!(hashes[0], hashes[1]);
}

/// What a command prints about the installation in a directory, as JSON.
fn run(arguments: &[&str], directory: &Path) -> Value {
    let output = Command::new(env!("CARGO_BIN_EXE_hissaback"))
        .args(arguments)
        .arg("--json")
        .arg("--data-dir")
        .arg(directory)
        .output()
        .expect("the program runs");
    let stderr = String::from_utf8_lossy(&output.stderr);
    let stdout = String::from_utf8_lossy(&output.stdout);
    let json: Value =
        serde_json::from_str(&stdout).unwrap_or_else(|error| panic!("{error}: {stdout}\n{stderr}"));
    assert!(output.status.success(), "{json:#}\n{stderr}");
    json
}
