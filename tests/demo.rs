//! The whole pipeline, end to end, on the real components: the demo with its own verdict.

use std::{
    path::Path,
    process::{Command, Output, Stdio},
};

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

    let sha256 = the_log_says_the_same(directory.path());
    operators_can_look_into_it(directory.path(), &json, &sha256);
    who_stops_reading_stops_a_command(directory.path());
}

/// What the day left behind is what its log says, however that is read. Returns the ledger's hash.
fn the_log_says_the_same(directory: &Path) -> Value {
    let replayed = run(&["replay"], directory);
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
        let verified = run(&layout, directory);
        assert_eq!(verified["equal"], true, "{verified:#}");
        hashes.push(verified["refolded"]["sha256"].clone());
    }
    assert_eq!(hashes[0], hashes[1]);
    hashes.swap_remove(0)
}

/// The commands that look, on what the day left; and those that give orders, each in the log.
fn operators_can_look_into_it(directory: &Path, day: &Value, sha256: &Value) {
    let ask = |arguments: &[&str]| run(arguments, directory);
    let audit = ask(&["audit"]);
    assert_eq!(audit["ok"], true, "{audit:#}");
    let dump = output(&["ledger", "dump", "--canonical", "--hash"], directory);
    assert_eq!(sha256, String::from_utf8_lossy(&dump.stdout).trim());

    let payouts = ask(&["payout", "list", "--limit", "10000"]);
    let payouts = payouts.as_array().expect("a list");
    let funded: Vec<&Value> = payouts
        .iter()
        .filter(|one| one["state"] == "funded")
        .collect();
    assert_eq!(day["gift_cards"], funded.len());
    let payout = funded.first().expect("a payout")["payout_id"]
        .as_str()
        .expect("its id");
    let shown = ask(&["payout", "show", payout]);
    let explained = ask(&["explain", "payout", payout]);
    assert_eq!(explained["payout"]["amount"], shown["amount"]);
    assert_eq!(explained["payout"]["card_id"], shown["card_id"]);
    let payee = shown["user_id"].as_str().expect("a payee");
    assert_eq!(ask(&["explain", "user", payee])["user"]["user_id"], payee);

    let unmatched = ask(&["unmatched", "list", "--limit", "10000"]);
    assert_eq!(
        day["unmatched"],
        unmatched.as_array().expect("a list").len()
    );
    assert_eq!(ask(&["dead-letters", "list"]), Value::Array(Vec::new()));
    assert_eq!(ask(&["payout", "hold", "show"])["open"], Value::Null);
    assert!(ask(&["silence"])["campaigns"].as_u64() > Some(0));
    let rebuilt = output(&["analytics", "rebuild-aggregates", "--json"], directory);
    assert!(rebuilt.status.success(), "{rebuilt:?}");

    for order in [
        ["payout", "pause", "--reason", "a look at the account"].as_slice(),
        &["payout", "resume", "--reason", "it was nothing"],
        &["payout", "resend", payout, "--reason", "the shopper asks"],
    ] {
        assert!(ask(order)["command_id"].is_string(), "{order:?}");
    }
}

/// `hissaback payout list | head -1` is no failure.
fn who_stops_reading_stops_a_command(directory: &Path) {
    let mut listing = Command::new(env!("CARGO_BIN_EXE_hissaback"))
        .args(["payout", "list", "--data-dir"])
        .arg(directory)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program runs");
    drop(listing.stdout.take());
    let ended = listing.wait_with_output().expect("it ends");
    let stderr = String::from_utf8_lossy(&ended.stderr);
    assert!(ended.status.success(), "{stderr}");
    assert!(!stderr.contains("panicked"), "{stderr}");
}

/// What a command prints about the installation in a directory, as JSON.
fn run(arguments: &[&str], directory: &Path) -> Value {
    let output = output(&[arguments, &["--json"]].concat(), directory);
    let stderr = String::from_utf8_lossy(&output.stderr);
    let stdout = String::from_utf8_lossy(&output.stdout);
    let json: Value =
        serde_json::from_str(&stdout).unwrap_or_else(|error| panic!("{error}: {stdout}\n{stderr}"));
    assert!(output.status.success(), "{json:#}\n{stderr}");
    json
}

fn output(arguments: &[&str], directory: &Path) -> Output {
    Command::new(env!("CARGO_BIN_EXE_hissaback"))
        .args(arguments)
        .arg("--data-dir")
        .arg(directory)
        .output()
        .expect("the program runs")
}
