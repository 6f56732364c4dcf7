//! Clients that we didn't write: chDB's own in Python over the same directory, and pyarrow over an
//! exported file.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use schemas::events::ClaimStatus;
use serde_json::{Value, json};

use crate::{
    events::{claim, example, split},
    world::{World, append_claim, append_clicks},
};

/// The Python that `make setup` makes.
fn python() -> PathBuf {
    let cache = std::env::var_os("HISSABACK_CACHE_DIR").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join(".cache"),
        PathBuf::from,
    );
    let python = cache.join("python-analytics/bin/python");
    assert!(
        python.exists(),
        "chDB for Python isn't there: `make setup` fetches it"
    );
    python
}

fn output(command: &mut Command) -> String {
    let output = command.output().expect("it runs");
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).expect("UTF-8")
}

#[tokio::test(flavor = "multi_thread")]
async fn other_clients_read_the_same_numbers() {
    let world = World::start().await;
    append_clicks(&world, 1..301).await;
    append_claim(&world, &claim(2, 1, ClaimStatus::Confirmed, example())).await;
    append_claim(
        &world,
        &claim(4, 2, ClaimStatus::Confirmed, split("0.03", "0.02", "0.01")),
    )
    .await;
    let nothing = split("0", "0", "0");
    append_claim(&world, &claim(6, 3, ClaimStatus::Reversed, nothing)).await;
    let totals = world.catch_up().await;
    assert_eq!(totals.clicks, 300);
    let data = world.data.path().to_path_buf();
    let root = world.stop_and_keep().await;

    let exported = root.path().join("clicks.parquet");
    output(
        Command::new(env!("CARGO_BIN_EXE_hissaback"))
            .args(["analytics", "export", "--table", "v_clicks"])
            .args(["--from", "2026-09-21", "--to", "2027-01-01", "--data-dir"])
            .arg(&data)
            .arg("--out")
            .arg(&exported)
            .env_remove("CLICKHOUSE_URL"),
    );
    let sums = "import sys, pyarrow.parquet as p, pyarrow.compute as c; t = p.read_table(sys.argv[1]); \
        print(t.num_rows, c.sum(t['click_id']), t.schema.field('clicked_at').type)";
    let read = output(Command::new(python()).args(["-c", sums]).arg(&exported));
    assert_eq!(read.trim(), "300 45150 timestamp[ms, tz=UTC]");

    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/analytics/strangers.py");
    let read = output(
        Command::new(python())
            .arg(script)
            .arg(data.join("clickhouse")),
    );
    let read: Value = serde_json::from_str(&read).expect("JSON");
    let of = |status, claims, [commission, user_part, creator_part]: [&str; 3]| {
        json!({
            "currency": "INR", "status": status, "claims": claims, "commission": commission,
            "user_part": user_part, "creator_part": creator_part,
        })
    };
    assert_eq!(
        read,
        json!({
            "clicks": 300,
            "claims": [
                of("confirmed", 2, ["159.95", "95.97", "63.98"]),
                of("reversed", 1, ["0", "0", "0"]),
            ],
        })
    );
}
