//! The embedded services against the real programs: start, stop, crash, and what is kept.

use std::time::Duration;

use hissaback::embedded::postgres::{DATABASE, OWNER, SUPERUSER};
use hissaback::embedded::{DataDirectory, EmbeddedPostgres, Health, PostgresOptions};
use rustix::process::{Pid, Signal, kill_process};
use sqlx::postgres::PgConnection;
use sqlx::{Connection, Executor, Row};
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
    let successor =
        |state: &Health| matches!(state, Health::Ready { process_id } if *process_id != predecessor);
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
