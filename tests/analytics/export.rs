//! `hissaback analytics export`: Parquet files of the engine that another process runs, of an
//! engine of its own, and of what it takes for a server.

use std::{
    fs,
    path::Path,
    process::{Command, Output, Stdio},
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::{
    events::{claim, example},
    proxy::{Proxy, Weather},
    world::{World, append_claim, append_clicks},
};
use schemas::events::ClaimStatus;

/// The clicks of [`crate::events`] are of 90 days from here on.
const SPAN: [&str; 4] = ["--from", "2026-09-21", "--to", "2027-01-01"];

/// The command, over a data directory.
fn export(data: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_hissaback"));
    command
        .args(["analytics", "export", "--data-dir"])
        .arg(data)
        .args(arguments)
        .env_remove("CLICKHOUSE_URL")
        .env_remove("HISSABACK_CONFIG");
    command
}

fn succeeded(output: &Output) -> Value {
    assert!(output.status.success(), "{output:?}");
    serde_json::from_slice(&output.stdout).expect("JSON")
}

/// The sentence of an export that must fail, and leave nothing in the directory.
fn refused(output: &Output, directory: &Path) -> String {
    assert!(!output.status.success(), "{output:?}");
    let left: Vec<_> = fs::read_dir(directory).expect("readable").collect();
    assert!(left.is_empty(), "{left:?}");
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        text.contains("hissaback: ") && !text.contains("panicked"),
        "{text}"
    );
    text
}

/// What a Parquet file holds, as the engine reads it back.
async fn reads(world: &World, file: &Path, expression: &str) -> u64 {
    let file = file.to_str().expect("ASCII");
    world
        .count(&format!(
            "SELECT toUInt64({expression}) FROM file('{file}', Parquet)"
        ))
        .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_span_of_a_table_is_a_parquet_file() {
    let world = World::start().await;
    append_clicks(&world, 1..301).await;
    append_claim(&world, &claim(2, 1, ClaimStatus::Confirmed, example())).await;
    append_claim(&world, &claim(4, 2, ClaimStatus::Confirmed, example())).await;
    world.catch_up().await;
    let directory = tempfile::tempdir().expect("a directory");
    let data = world.data.path().to_path_buf();

    // This process holds the data directory and its engine, as `up` does.
    let clicks = directory.path().join("clicks.parquet");
    let mut of_clicks = export(&data, &["--table", "clicks", "--json"]);
    let output = of_clicks.args(SPAN).arg("--out").arg(&clicks).output();
    let report = succeeded(&output.expect("it runs"));
    assert_eq!(report["rows"], 300, "{report}");
    assert_eq!(
        report["bytes"],
        fs::metadata(&clicks).expect("written").len()
    );
    assert_eq!(reads(&world, &clicks, "count()").await, 300);
    assert_eq!(reads(&world, &clicks, "sum(click_id)").await, 300 * 301 / 2);

    // One day of them, by another column, of another tenant, and of a view.
    let claims = directory.path().join("claims.parquet");
    let mut of_claims = export(
        &data,
        &["--table", "v_claims", "--by", "payable_at", "--json"],
    );
    of_claims.args(["--tenant", "00000000-0000-0000-0000-000000000001"]);
    let output = of_claims.args(SPAN).arg("--out").arg(&claims).output();
    assert_eq!(succeeded(&output.expect("it runs"))["rows"], 2);
    assert_eq!(
        reads(&world, &claims, "sum(posted_commission) * 100").await,
        2 * 15_992
    );

    // What it takes for a server sends the rows itself.
    let server = Proxy::start(world.socket()).await;
    let sent = directory.path().join("sent.parquet");
    let mut from_server = export(&data, &["--table", "v_clicks", "--json"]);
    from_server.env("CLICKHOUSE_URL", server.url());
    let output = from_server.args(SPAN).arg("--out").arg(&sent).output();
    assert_eq!(succeeded(&output.expect("it runs"))["rows"], 300);
    assert_eq!(reads(&world, &sent, "sum(click_id)").await, 300 * 301 / 2);

    // Nobody runs the engine any more: the command does.
    let root = world.stop_and_keep().await;
    let alone = directory.path().join("alone.parquet");
    let mut alone_command = export(&data, &["--table", "v_clicks", "--json"]);
    let output = alone_command.args(SPAN).arg("--out").arg(&alone).output();
    assert_eq!(succeeded(&output.expect("it runs"))["rows"], 300);
    assert_eq!(fs::read_dir(directory.path()).expect("readable").count(), 4);
    drop(root);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_exported_is_said_and_leaves_nothing() {
    let world = World::start().await;
    append_clicks(&world, 1..11).await;
    world.catch_up().await;
    let directory = tempfile::tempdir().expect("a directory");
    let out = directory.path().join("out.parquet");
    let out = out.to_str().expect("ASCII");
    let data = world.data.path();
    for (arguments, sentence) in [
        (
            [
                "--table",
                "nowhere",
                "--from",
                "2026-09-21",
                "--to",
                "2027-01-01",
            ],
            "there is no table or view \"nowhere\": there are aggregate",
        ),
        (
            [
                "--table",
                "clicks; DROP",
                "--from",
                "2026-09-21",
                "--to",
                "2027-01-01",
            ],
            "there is no table or view",
        ),
        (
            [
                "--table",
                "v_clicks",
                "--from",
                "2026-09-21",
                "--to",
                "2026-09-21",
            ],
            "is empty",
        ),
        (
            [
                "--table",
                "v_clicks",
                "--from",
                "2020-01-01",
                "--to",
                "2020-02-01",
            ],
            "holds nothing",
        ),
        (
            [
                "--table",
                "v_clicks",
                "--from",
                "yesterday",
                "--to",
                "2026-09-21",
            ],
            "neither a day",
        ),
    ] {
        let mut command = export(data, &arguments);
        let output = command.args(["--out", out]).output().expect("it runs");
        // clap's own sentence says "error".
        if sentence == "neither a day" {
            let text = String::from_utf8_lossy(&output.stderr).into_owned();
            assert!(
                !output.status.success() && text.contains(sentence),
                "{text}"
            );
        } else {
            let text = refused(&output, directory.path());
            assert!(text.contains(sentence), "{text}");
        }
    }
    let with = |extra: [&str; 2], table: &str| {
        let mut command = export(data, &["--table", table, "--out", out]);
        command.args(SPAN).args(extra).output().expect("it runs")
    };
    let text = refused(&with(["--by", "link_id"], "v_clicks"), directory.path());
    assert!(
        text.contains("no column of time") && text.contains("clicked_at"),
        "{text}"
    );
    let tenant = ["--tenant", "00000000-0000-0000-0000-000000000001"];
    let text = refused(&with(tenant, "v_conversions"), directory.path());
    assert!(text.contains("leave --tenant out"), "{text}");
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_is_there_is_kept_and_a_broken_answer_makes_none() {
    let world = World::start().await;
    append_clicks(&world, 1..11).await;
    world.catch_up().await;
    let directory = tempfile::tempdir().expect("a directory");
    let out = directory.path().join("out.parquet");
    let out = out.to_str().expect("ASCII");

    // A server that breaks off.
    let server = Proxy::start(world.socket()).await;
    server.set(Weather::AnswerLost);
    let mut from_server = export(world.data.path(), &["--table", "v_clicks", "--out", out]);
    from_server.env("CLICKHOUSE_URL", server.url()).args(SPAN);
    refused(&from_server.output().expect("it runs"), directory.path());

    fs::write(out, "somebody else's").expect("written");
    let mut onto_it = export(world.data.path(), &["--table", "v_clicks", "--out", out]);
    let output = onto_it.args(SPAN).output().expect("it runs");
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        !output.status.success() && text.contains("is there already"),
        "{text}"
    );
    assert_eq!(fs::read(out).expect("kept"), b"somebody else's");

    let nothing = tempfile::tempdir().expect("a directory");
    let mut elsewhere = export(
        nothing.path(),
        &["--table", "v_clicks", "--out", "x.parquet"],
    );
    let output = elsewhere.args(SPAN).current_dir(nothing.path()).output();
    let text = refused(&output.expect("it runs"), nothing.path());
    assert!(text.contains("there are no analytics in"), "{text}");
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_export_that_is_interrupted_leaves_nothing() {
    let world = World::start().await;
    append_clicks(&world, 1..11).await;
    world.catch_up().await;
    let slow = "CREATE VIEW hissaback.v_slow AS SELECT click_id, clicked_at, sleepEachRow(1) AS slept \
        FROM hissaback.v_clicks CROSS JOIN numbers(100) AS number";
    let client = world.client();
    client.query(slow).execute().await.expect("created");
    let directory = tempfile::tempdir().expect("a directory");
    let out = directory.path().join("out.parquet");
    let mut command = export(world.data.path(), &["--table", "v_slow"]);
    command.args(SPAN).arg("--out").arg(&out);
    let child = command.stderr(Stdio::piped()).spawn().expect("it runs");
    while fs::read_dir(directory.path()).expect("readable").count() == 0 {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let pid = Pid::from_raw(child.id().cast_signed()).expect("a pid isn't zero");
    kill_process(pid, Signal::INT).expect("interrupted");
    let waited = tokio::task::spawn_blocking(move || child.wait_with_output());
    let output = waited.await.expect("no panic").expect("it ends");
    let text = refused(&output, directory.path());
    assert!(text.contains("interrupted"), "{text}");
    world.stop().await;
}
