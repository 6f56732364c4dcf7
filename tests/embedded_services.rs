//! The embedded services against the real programs: start, stop, crash, and what is kept.

use std::io::{BufRead, BufReader};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::time::Duration;

use clickhouse::{Client, Compression, Row};
use hissaback::embedded::postgres::{DATABASE, OWNER};
use hissaback::embedded::{
    ClickHouseAvailability, ClickHouseOptions, DataDirectory, EmbeddedClickHouse, EmbeddedPostgres,
    Health, PostgresError, PostgresOptions,
};
use rustix::process::{Pid, Signal, kill_process};
use serde::{Deserialize, Serialize};
use sqlx::postgres::PgConnection;
use sqlx::{Connection, Executor, Row as _};
use tokio::sync::watch;

/// How long anything here may take before it counts as hung.
const PATIENCE: Duration = Duration::from_mins(2);

async fn start_postgres(data: &DataDirectory) -> EmbeddedPostgres {
    EmbeddedPostgres::start(data, PostgresOptions::default())
        .await
        .expect("PostgreSQL starts (`make setup` installs it)")
}

async fn owner_of(postgres: &EmbeddedPostgres) -> PgConnection {
    PgConnection::connect_with(&postgres.connect_options(OWNER, DATABASE))
        .await
        .expect("connect as the owner")
}

fn process_of(health: &watch::Receiver<Health>) -> u32 {
    match &*health.borrow() {
        Health::Ready { process_id } => *process_id,
        other => panic!("not ready: {other:?}"),
    }
}

fn kill(process_id: u32) {
    let pid = Pid::from_raw(process_id.cast_signed()).expect("a pid isn't zero");
    kill_process(pid, Signal::KILL).expect("kill");
}

/// Waits until the service is ready again, with another process than before.
async fn wait_for_successor(health: &mut watch::Receiver<Health>, predecessor: u32) {
    let successor = |state: &Health| match state {
        Health::Ready { process_id } => *process_id != predecessor,
        Health::Starting | Health::Restarting { .. } | Health::Stopped => false,
    };
    tokio::time::timeout(PATIENCE, health.wait_for(successor))
        .await
        .expect("the child comes back")
        .expect("the supervisor lives");
}

#[tokio::test]
async fn postgres_keeps_its_data_from_one_start_to_the_next() {
    let root = tempfile::tempdir().expect("temporary directory");
    let data = DataDirectory::open(root.path()).expect("open");
    let postgres = start_postgres(&data).await;
    let mut owner = owner_of(&postgres).await;
    owner
        .execute("CREATE TABLE kept (value INT); INSERT INTO kept VALUES (42)")
        .await
        .expect("write");
    let fsync = owner.fetch_one("SHOW fsync").await.expect("read");
    assert_eq!(fsync.get::<String, _>(0), "on");
    drop(owner);
    postgres.stop().await.expect("stop");

    let postgres = start_postgres(&data).await;
    let kept = owner_of(&postgres)
        .await
        .fetch_one("SELECT value FROM kept")
        .await
        .expect("read");
    assert_eq!(kept.get::<i32, _>(0), 42);
    postgres.stop().await.expect("stop");
}

#[tokio::test]
async fn postgres_comes_back_after_kill_with_what_it_acknowledged() {
    let root = tempfile::tempdir().expect("temporary directory");
    let data = DataDirectory::open(root.path()).expect("open");
    let postgres = start_postgres(&data).await;
    let mut health = postgres.health();
    let mut owner = owner_of(&postgres).await;
    owner
        .execute("CREATE TABLE acknowledged (round INT)")
        .await
        .expect("create");
    for round in 0..3 {
        let mut owner = owner_of(&postgres).await;
        sqlx::query("INSERT INTO acknowledged VALUES ($1)")
            .bind(round)
            .execute(&mut owner)
            .await
            .expect("insert");
        let process_id = process_of(&health);
        kill(process_id);
        wait_for_successor(&mut health, process_id).await;
    }
    let found = owner_of(&postgres)
        .await
        .fetch_one("SELECT count(*) FROM acknowledged")
        .await
        .expect("read");
    assert_eq!(found.get::<i64, _>(0), 3);
    postgres.stop().await.expect("stop");
}

#[tokio::test]
async fn postgres_starts_over_what_crashes_left_behind() {
    let root = tempfile::tempdir().expect("temporary directory");
    let data = DataDirectory::open(root.path()).expect("open");
    let home = data.subdirectory("postgres").expect("create");
    std::fs::create_dir(home.join("data.new")).expect("create");
    std::fs::write(home.join("data.new/half"), "made").expect("write");
    start_postgres(&data).await.stop().await.expect("stop");

    // The number of a server that was killed, given to another process of its user since; or the
    // dead server itself, for which whoever inherited it hasn't waited yet.
    let owner = std::fs::metadata(home.join("data"))
        .expect("metadata")
        .uid();
    let mut other = Command::new("sleep")
        .arg("60")
        .uid(owner)
        .spawn()
        .expect("spawn");
    let stale = format!("{}\n", other.id());
    std::fs::write(home.join("data/postmaster.pid"), &stale).expect("write");
    let socket_lock = data.path().join("run/postgres/.s.PGSQL.5432.lock");
    std::fs::write(socket_lock, stale).expect("write");
    start_postgres(&data).await.stop().await.expect("stop");
    other.kill().expect("kill");
    other.wait().expect("wait");
}

#[tokio::test]
async fn postgres_of_another_major_version_is_refused() {
    let root = tempfile::tempdir().expect("temporary directory");
    let data = DataDirectory::open(root.path()).expect("open");
    start_postgres(&data).await.stop().await.expect("stop");
    std::fs::write(root.path().join("postgres/data/PG_VERSION"), "9\n").expect("write");
    let refused = EmbeddedPostgres::start(&data, PostgresOptions::default())
        .await
        .expect_err("the data is of version 9");
    assert!(
        matches!(
            refused,
            PostgresError::OtherMajorVersion { recorded: 9, .. }
        ),
        "{refused}"
    );
}

#[tokio::test]
async fn postgres_runs_in_a_deep_directory_with_settings_of_ones_own() {
    let root = tempfile::tempdir().expect("temporary directory");
    std::fs::set_permissions(root.path(), std::fs::Permissions::from_mode(0o711)).expect("open up");
    let deep = root.path().join("deep".repeat(30));
    let data = DataDirectory::open(deep).expect("open");
    let options = PostgresOptions {
        settings: vec![("max_connections".to_owned(), "17".to_owned())],
        ..PostgresOptions::default()
    };
    let postgres = EmbeddedPostgres::start(&data, options)
        .await
        .expect("start");
    let found = owner_of(&postgres)
        .await
        .fetch_one("SHOW max_connections")
        .await
        .expect("read");
    assert_eq!(found.get::<String, _>(0), "17");
    postgres.stop().await.expect("stop");
}

async fn start_clickhouse(data: &DataDirectory) -> EmbeddedClickHouse {
    let options = ClickHouseOptions {
        program: Some(env!("CARGO_BIN_EXE_hissaback").into()),
        ..ClickHouseOptions::default()
    };
    EmbeddedClickHouse::start(data, options)
        .await
        .expect("the engine starts (`make setup` installs it)")
}

#[derive(Debug, Clone, PartialEq, Row, Serialize, Deserialize)]
struct Note {
    id: u64,
    text: String,
}

/// Rows whose text would end or change a statement that it were put into.
fn awkward_notes() -> Vec<Note> {
    let texts = [
        "plain",
        "",
        "before\n\nafter a blank line",
        "\n\n;DROP TABLE notes;\n\n",
        "quotes ' \" ` and \\ and \0 and \u{1f4b8}",
    ];
    (0..)
        .zip(texts)
        .map(|(id, text)| Note {
            id,
            text: text.to_owned(),
        })
        .collect()
}

async fn create_notes(client: &Client) {
    client
        .query(
            "CREATE TABLE notes (id UInt64, text String) ENGINE = MergeTree ORDER BY id \
             SETTINGS non_replicated_deduplication_window = 100",
        )
        .execute()
        .await
        .expect("create");
}

async fn insert(client: &Client, notes: &[Note]) -> clickhouse::error::Result<()> {
    let mut insert = client.insert::<Note>("notes").await?;
    for note in notes {
        insert.write(note).await?;
    }
    insert.end().await
}

async fn count(client: &Client) -> u64 {
    client
        .query("SELECT count() FROM notes")
        .fetch_one()
        .await
        .expect("count")
}

#[tokio::test]
async fn clickhouse_returns_what_was_inserted() {
    let root = tempfile::tempdir().expect("temporary directory");
    let data = DataDirectory::open(root.path()).expect("open");
    let clickhouse = start_clickhouse(&data).await;
    let plain = clickhouse.client();
    create_notes(&plain).await;
    let notes = awkward_notes();
    let clients = [
        plain.clone(),
        plain.clone().with_compression(Compression::Lz4),
        plain.clone().with_validation(false),
        plain
            .clone()
            .with_validation(false)
            .with_compression(Compression::Lz4),
    ];
    for client in clients {
        insert(&client, &notes).await.expect("insert");
        let found = client
            .query("SELECT ?fields FROM notes ORDER BY id")
            .fetch_all::<Note>()
            .await
            .expect("select");
        assert_eq!(found, notes);
        client
            .query("TRUNCATE TABLE notes")
            .execute()
            .await
            .expect("truncate");
    }
    let none = plain
        .query("SELECT ?fields FROM notes")
        .fetch_all::<Note>()
        .await
        .expect("an empty result is a result");
    assert_eq!(none, []);
    clickhouse.stop().await.expect("stop");
}

#[tokio::test]
async fn clickhouse_streams_many_rows_in_and_out() {
    let root = tempfile::tempdir().expect("temporary directory");
    let data = DataDirectory::open(root.path()).expect("open");
    let clickhouse = start_clickhouse(&data).await;
    let client = clickhouse.client();
    create_notes(&client).await;
    let notes: Vec<Note> = (0..200_000)
        .map(|id| Note {
            id,
            text: format!("note {id}\n\n"),
        })
        .collect();
    insert(&client, &notes).await.expect("insert");
    let mut cursor = client
        .query("SELECT ?fields FROM notes ORDER BY id")
        .fetch::<Note>()
        .expect("select");
    let mut expected = notes.iter();
    while let Some(found) = cursor.next().await.expect("the next row") {
        assert_eq!(Some(&found), expected.next());
    }
    assert_eq!(expected.next(), None);
    clickhouse.stop().await.expect("stop");
}

#[tokio::test]
async fn clickhouse_takes_parameters_and_settings() {
    let root = tempfile::tempdir().expect("temporary directory");
    let data = DataDirectory::open(root.path()).expect("open");
    let clickhouse = start_clickhouse(&data).await;
    let client = clickhouse.client();
    let tricky = "it's {a} \\ \n\n;";
    let bound = client
        .query("SELECT ?")
        .bind(tricky)
        .fetch_one::<String>()
        .await
        .expect("bound by the client");
    assert_eq!(bound, tricky);
    let sent = client
        .query("SELECT {text:String} || toString({number:UInt32})")
        .param("text", "it's ")
        .param("number", 7)
        .fetch_one::<String>()
        .await
        .expect("bound by the engine");
    assert_eq!(sent, "it's 7");

    let threads = "SELECT toUInt64(getSetting('max_threads'))";
    let before = client
        .query(threads)
        .fetch_one::<u64>()
        .await
        .expect("read");
    let set = client
        .query(threads)
        .with_setting("max_threads", "3")
        .fetch_one::<u64>()
        .await
        .expect("read");
    assert_eq!(set, 3);
    // More requests than sessions: none may have kept the setting.
    for _ in 0..8 {
        let after = client
            .query(threads)
            .fetch_one::<u64>()
            .await
            .expect("read");
        assert_eq!(after, before);
    }
    clickhouse.stop().await.expect("stop");
}

#[tokio::test]
async fn clickhouse_tells_its_errors_with_their_codes() {
    let root = tempfile::tempdir().expect("temporary directory");
    let data = DataDirectory::open(root.path()).expect("open");
    let clickhouse = start_clickhouse(&data).await;
    let client = clickhouse.client();
    let error_of = async |query: &str| {
        client
            .query(query)
            .fetch_all::<u64>()
            .await
            .expect_err(query)
            .to_string()
    };
    let unknown_table = error_of("SELECT id FROM nowhere").await;
    assert!(unknown_table.contains("Code: 60"), "{unknown_table}");
    let syntax = error_of("SELEKT 1").await;
    assert!(syntax.contains("Code: 62"), "{syntax}");
    let several = error_of("SELECT 1; SELECT 2").await;
    assert!(several.contains("Code: 62"), "{several}");
    // A failure in the middle comes after the rows before it.
    let mut cursor = client
        .query("SELECT number + throwIf(number = 3000000) FROM system.numbers")
        .with_setting("max_threads", "1")
        .fetch::<u64>()
        .expect("it begins well");
    let mut rows = 0;
    let late = loop {
        match cursor.next().await {
            Ok(Some(_)) => rows += 1,
            Ok(None) => panic!("the failure was lost"),
            Err(late) => break late.to_string(),
        }
    };
    assert!(
        rows > 0 && late.contains("Code: 395"),
        "after {rows} rows: {late}"
    );

    create_notes(&client).await;
    let lost = insert(&client.clone().with_database("nowhere"), &awkward_notes())
        .await
        .expect_err("there is no such database")
        .to_string();
    assert!(lost.contains("Code: 81"), "{lost}");
    // A broken insert leaves nothing, and the session serves on.
    let mut broken_off = client.insert::<Note>("notes").await.expect("begin");
    for note in &awkward_notes() {
        broken_off.write(note).await.expect("write");
    }
    drop(broken_off);
    assert_eq!(count(&client).await, 0);
    clickhouse.stop().await.expect("stop");
}

#[tokio::test]
async fn clickhouse_recognises_an_insert_that_is_repeated() {
    let root = tempfile::tempdir().expect("temporary directory");
    let data = DataDirectory::open(root.path()).expect("open");
    let clickhouse = start_clickhouse(&data).await;
    let client = clickhouse.client();
    create_notes(&client).await;
    let notes = awkward_notes();
    let with_token = |token: &str| {
        client
            .clone()
            .with_setting("insert_deduplication_token", token)
    };
    let once = u64::try_from(notes.len()).expect("few");
    for _ in 0..2 {
        insert(&with_token("topic:0:0-9"), &notes)
            .await
            .expect("insert");
        assert_eq!(count(&client).await, once);
    }
    insert(&with_token("topic:0:10-19"), &notes)
        .await
        .expect("insert");
    assert_eq!(count(&client).await, 2 * once);
    clickhouse.stop().await.expect("stop");
}

#[tokio::test]
async fn clickhouse_comes_back_after_kill_with_what_it_acknowledged() {
    let root = tempfile::tempdir().expect("temporary directory");
    let data = DataDirectory::open(root.path()).expect("open");
    let clickhouse = start_clickhouse(&data).await;
    let mut health = clickhouse.health();
    let client = clickhouse.client();
    create_notes(&client).await;
    let notes = awkward_notes();
    for round in 1..=2_u64 {
        // Identical inserts would count as one: each round has ids of its own.
        let of_this_round: Vec<Note> = notes
            .iter()
            .map(|note| Note {
                id: 1_000 * round + note.id,
                text: note.text.clone(),
            })
            .collect();
        insert(&client, &of_this_round).await.expect("insert");
        let process_id = process_of(&health);
        kill(process_id);
        wait_for_successor(&mut health, process_id).await;
        let expected = round * u64::try_from(notes.len()).expect("few");
        assert_eq!(count(&client).await, expected);
    }
    clickhouse.stop().await.expect("stop");

    let clickhouse = start_clickhouse(&data).await;
    let kept = count(&clickhouse.client()).await;
    assert_eq!(kept, 2 * u64::try_from(notes.len()).expect("few"));
    clickhouse.stop().await.expect("stop");
}

#[tokio::test]
async fn open_inserts_leave_clickhouse_free_for_queries() {
    let root = tempfile::tempdir().expect("temporary directory");
    let data = DataDirectory::open(root.path()).expect("open");
    let clickhouse = start_clickhouse(&data).await;
    let client = clickhouse.client();
    create_notes(&client).await;
    // More than there are sessions.
    let mut inserts = Vec::new();
    for id in 0..10 {
        let mut insert = client.insert::<Note>("notes").await.expect("begin");
        for _ in 0..5_000 {
            let text = "x".repeat(100);
            insert.write(&Note { id, text }).await.expect("write");
        }
        inserts.push(insert);
    }
    let while_open = tokio::time::timeout(PATIENCE, count(&client));
    assert_eq!(while_open.await.expect("a query gets its turn"), 0);
    for insert in inserts {
        insert.end().await.expect("end");
    }
    assert_eq!(count(&client).await, 50_000);
    clickhouse.stop().await.expect("stop");
}

#[tokio::test]
async fn stopping_clickhouse_lets_requests_under_way_finish() {
    let root = tempfile::tempdir().expect("temporary directory");
    let data = DataDirectory::open(root.path()).expect("open");
    let clickhouse = start_clickhouse(&data).await;
    let client = clickhouse.client();
    create_notes(&client).await;
    // So much that the engine has begun the insert; its rest, and its end, come while it is
    // stopping.
    let mut insert = client.insert::<Note>("notes").await.expect("begin");
    for id in 0..50_000 {
        let text = "x".repeat(1_000);
        insert.write(&Note { id, text }).await.expect("write");
    }
    let stopped = tokio::spawn(clickhouse.stop());
    insert.end().await.expect("it is finished, not cut off");
    stopped.await.expect("no panic").expect("stop");

    let clickhouse = start_clickhouse(&data).await;
    assert_eq!(count(&clickhouse.client()).await, 50_000);
    clickhouse.stop().await.expect("stop");
}

/// Names the data directory for [`hold_services_until_killed`].
const HELD_DIRECTORY: &str = "HISSABACK_TEST_HELD_DIRECTORY";

/// Not a test of its own: what the next one runs in another process, to kill it.
#[tokio::test]
#[ignore = "run by another test, in a process that is killed"]
async fn hold_services_until_killed() {
    let path = std::env::var_os(HELD_DIRECTORY).expect("the test that runs this sets it");
    let data = DataDirectory::open(path).expect("open");
    let postgres = start_postgres(&data).await;
    let clickhouse = start_clickhouse(&data).await;
    owner_of(&postgres)
        .await
        .execute("CREATE TABLE kept (value INT); INSERT INTO kept VALUES (42)")
        .await
        .expect("write");
    create_notes(&clickhouse.client()).await;
    insert(&clickhouse.client(), &awkward_notes())
        .await
        .expect("insert");
    println!(
        "children: {} {}",
        process_of(&postgres.health()),
        process_of(&clickhouse.health())
    );
    std::future::pending::<()>().await;
}

/// Whether a process runs, which one that only waits to be waited for doesn't.
fn runs(process_id: &str) -> bool {
    std::fs::read_to_string(format!("/proc/{process_id}/status"))
        .is_ok_and(|status| !status.contains("State:\tZ"))
}

#[tokio::test]
async fn a_killed_process_takes_its_children_along_and_leaves_its_data_usable() {
    let root = tempfile::tempdir().expect("temporary directory");
    let mut holder = Command::new(std::env::current_exe().expect("this program"))
        .args([
            "--exact",
            "hold_services_until_killed",
            "--ignored",
            "--nocapture",
        ])
        .env(HELD_DIRECTORY, root.path())
        .stdout(Stdio::piped())
        .spawn()
        .expect("spawn");
    let output = BufReader::new(holder.stdout.take().expect("it is piped"));
    let line = output
        .lines()
        .map(|line| line.expect("readable"))
        .find(|line| line.contains("children: "))
        .expect("the other process holds the services");
    let (_, children) = line.split_once("children: ").expect("as found");
    let refused = DataDirectory::open(root.path())
        .expect_err("it is held")
        .to_string();
    assert!(
        refused.contains(&format!("process {}", holder.id())),
        "{refused}"
    );
    kill(holder.id());
    holder.wait().expect("wait");

    let data = DataDirectory::open(root.path()).expect("nobody holds it any more");
    let postgres = start_postgres(&data).await;
    let clickhouse = start_clickhouse(&data).await;
    for child in children.split_whitespace() {
        assert!(!runs(child), "{child} lives on");
    }
    let kept = owner_of(&postgres)
        .await
        .fetch_one("SELECT value FROM kept")
        .await
        .expect("read");
    assert_eq!(kept.get::<i32, _>(0), 42);
    let expected = u64::try_from(awkward_notes().len()).expect("few");
    assert_eq!(count(&clickhouse.client()).await, expected);
    clickhouse.stop().await.expect("stop");
    postgres.stop().await.expect("stop");
}

#[tokio::test]
async fn a_missing_engine_turns_analytics_off_and_says_why() {
    let root = tempfile::tempdir().expect("temporary directory");
    let data = DataDirectory::open(root.path()).expect("open");
    let options = ClickHouseOptions {
        library: Some(root.path().join("libchdb.so")),
        ..ClickHouseOptions::default()
    };
    let choice = ClickHouseAvailability::choose(None, Some(&data), options)
        .await
        .expect("a state, not a failure");
    let ClickHouseAvailability::Off(reason) = &choice else {
        panic!("analytics are on: {choice:?}");
    };
    assert!(reason.to_string().contains("CLICKHOUSE_URL"), "{reason}");
    assert!(choice.client().is_none());
}
