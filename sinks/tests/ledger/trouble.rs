//! A database that doesn't work: full, out of connections, locked by a stranger, of another
//! schema. The ledger says what it waits for, applies nothing by halves, and goes on by itself.

use std::{fs, path::Path, time::Duration};

use prometheus::Registry;
use sinks::ledger::{
    LedgerSink, Trouble,
    database::{self, SchemaError},
};
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection, migrate::Migrator};

use crate::{
    records::{Logged, decision, fields},
    world::{PATIENCE, Running, World},
};

const MIGRATIONS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../migrations/postgres");

/// A sink with the product's own time-outs.
async fn sink(world: &World, registry: &Registry) -> LedgerSink {
    let options = (*world.writer.connect_options()).clone();
    LedgerSink {
        pool: database::connect(options, 2).await.expect("connected"),
        ..world.measured_sink(100, registry)
    }
}

/// An order of its own.
fn sale(number: i64) -> Logged {
    let mut sale = decision(number);
    fields(&mut sale).txn_id = Some(format!("A-{number}"));
    sale.into()
}

/// Waits until the sink says that it waits for this, as health tells it.
async fn waits_for(sink: &LedgerSink, trouble: Trouble) {
    let told = async {
        while sink.metrics.waiting().map(|waiting| waiting.trouble) != Some(trouble) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let in_time = tokio::time::timeout(PATIENCE, told).await;
    let waiting = sink.metrics.waiting();
    assert!(in_time.is_ok(), "{trouble:?} isn't told, but {waiting:?}");
}

/// A sink at work is in trouble, and says so; then the trouble goes, and by itself it catches up
/// with what was written meanwhile.
async fn recovers(world: &World, sink: &LedgerSink, trouble: Trouble, mend: impl AsyncFnOnce()) {
    world.append(&sale(1)).await;
    let running = Running::start(sink);
    waits_for(sink, trouble).await;
    world.append(&sale(2)).await;
    assert_eq!(world.count("ledger").await, 0, "nothing by halves");
    mend().await;
    world.folded().await;
    running.stop().await;
    for (table, rows) in [("ledger", 2), ("conversions", 2), ("postings", 6)] {
        assert_eq!(world.count(table).await, rows, "{table}");
    }
    assert!(sink.metrics.waiting().is_none(), "all is well again");
}

/// PostgreSQL's own error, from a trigger: every machine can have it.
#[tokio::test]
async fn a_full_disk_is_waited_out() {
    let world = World::new().await;
    world
        .owner
        .execute(
            "CREATE FUNCTION no_room() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
                 RAISE EXCEPTION 'could not extend file' USING ERRCODE = 'disk_full';
             END $$;
             CREATE TRIGGER no_room BEFORE INSERT ON postings
                 FOR EACH STATEMENT EXECUTE FUNCTION no_room();",
        )
        .await
        .expect("a full disk");
    let sink = sink(&world, &Registry::new()).await;
    recovers(&world, &sink, Trouble::DiskFull, async || {
        let mend = world
            .owner
            .execute("DROP TRIGGER no_room ON postings")
            .await;
        mend.expect("room");
    })
    .await;
}

#[tokio::test]
async fn connections_that_strangers_hold_are_waited_for() {
    let world = World::new().await;
    let sink = sink(&world, &Registry::new()).await;
    // From now on the database takes no more than it has; and the sink's own are lost.
    let superuser = world.pool("postgres").await;
    let limit = async |connections: i32| {
        let statement = format!(
            "DO $$ BEGIN EXECUTE format('ALTER DATABASE %I CONNECTION LIMIT {connections}',
                                        current_database()); END $$"
        );
        let limited = superuser.execute(AssertSqlSafe(statement)).await;
        limited.expect("limited");
    };
    let stranger = PgConnection::connect_with(&world.owner.connect_options()).await;
    let stranger = stranger.expect("connected");
    limit(1).await;
    superuser
        .execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
             WHERE datname = current_database() AND application_name = 'hissaback'",
        )
        .await
        .expect("ended");
    world.append(&sale(1)).await;
    let running = Running::start(&sink);
    waits_for(&sink, Trouble::NoConnection).await;
    stranger.close().await.expect("the stranger leaves");
    limit(-1).await;
    world.folded().await;
    running.stop().await;
    assert_eq!(world.count("ledger").await, 1);
}

#[tokio::test]
async fn a_strangers_lock_is_waited_for() {
    let world = World::new().await;
    let mut stranger = world.owner.begin().await.expect("begun");
    stranger
        .execute("LOCK TABLE postings IN ACCESS EXCLUSIVE MODE")
        .await
        .expect("locked");
    let sink = sink(&world, &Registry::new()).await;
    recovers(&world, &sink, Trouble::Locked, async || {
        stranger.rollback().await.expect("the stranger leaves");
    })
    .await;
}

/// The migrations, and one more with this text.
async fn with_one_more(directory: &Path, text: &str) -> Migrator {
    for file in fs::read_dir(MIGRATIONS).expect("migrations") {
        let file = file.expect("a migration").path();
        let name = file.file_name().expect("a name");
        fs::copy(&file, directory.join(name)).expect("copied");
    }
    fs::write(directory.join("9000_one_more.sql"), text).expect("written");
    Migrator::new(directory).await.expect("migrations")
}

#[tokio::test]
async fn a_migration_that_fails_half_way_leaves_nothing() {
    let world = World::new().await;
    let owner = (*world.owner.connect_options()).clone();
    let ours = Migrator::new(Path::new(MIGRATIONS)).await;
    let ours = ours.expect("migrations");
    assert!(
        ours.iter().all(|migration| !migration.no_tx),
        "one transaction each"
    );
    let directory = tempfile::tempdir().expect("a directory");
    let broken = "CREATE TABLE half (way int); INSERT INTO half VALUES ('no number');";
    let broken = with_one_more(directory.path(), broken).await;
    let error = database::migrate_with(&broken, owner.clone()).await;
    let error = error.expect_err("it fails");
    assert!(
        matches!(error, SchemaError::Failed { number: 9_000, .. }),
        "{error}"
    );
    let half: Option<String> = sqlx::query_scalar("SELECT to_regclass('half')::text")
        .fetch_one(&world.owner)
        .await
        .expect("read");
    assert_eq!(half, None);
    // The schema is as it was: this program works on it, and so does the mended migration.
    database::migrate(owner.clone()).await.expect("up to date");
    let mended = with_one_more(directory.path(), "CREATE TABLE whole (way int)").await;
    database::migrate_with(&mended, owner)
        .await
        .expect("mended");
    assert_eq!(world.count("whole").await, 0);
}

#[tokio::test]
async fn a_newer_schema_is_refused_with_a_sentence() {
    let world = World::new().await;
    let owner = (*world.owner.connect_options()).clone();
    let directory = tempfile::tempdir().expect("a directory");
    let newer = with_one_more(directory.path(), "CREATE TABLE newer (than int)").await;
    let migrated = database::migrate_with(&newer, owner.clone()).await;
    migrated.expect("migrated");
    let error = database::migrate(owner).await.expect_err("refused");
    let sentence = error.to_string();
    assert!(
        sentence.contains("migration 9000") && sentence.contains("nothing was changed"),
        "{sentence}"
    );
}

/// From an empty database, so that they compete for every migration.
#[tokio::test]
async fn migrating_twice_and_at_once_is_migrating_once() {
    let world = World::new().await;
    let options = (*world.owner.connect_options()).clone();
    let superuser = world.pool("postgres").await;
    let name = format!("{}_empty", options.get_database().expect("a name"));
    let create = format!("CREATE DATABASE {name} OWNER hissaback_owner");
    let created = superuser.execute(AssertSqlSafe(create)).await;
    created.expect("created");
    let options = options.database(&name);
    let at_once = (0..3).map(|_| tokio::spawn(database::migrate(options.clone())));
    for migrated in futures::future::join_all(at_once).await {
        migrated.expect("joined").expect("migrated");
    }
    database::migrate(options.clone())
        .await
        .expect("nothing to do");
    let mut owner = PgConnection::connect_with(&options)
        .await
        .expect("connected");
    let applied: (i64, i64) =
        sqlx::query_as("SELECT count(*), count(DISTINCT version) FROM _sqlx_migrations")
            .fetch_one(&mut owner)
            .await
            .expect("read");
    let files = fs::read_dir(MIGRATIONS).expect("migrations").count();
    assert_eq!(applied.0, applied.1);
    assert_eq!(usize::try_from(applied.0), Ok(files));
}
