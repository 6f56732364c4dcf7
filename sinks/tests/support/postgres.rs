//! A private PostgreSQL cluster for tests: one per test binary, a database of its own per test.
//!
//! Missing binaries are a failure and never a skip. The server's shell holds the other end of a
//! pipe from this process: however this process ends, the pipe closes, the server stops, and its
//! directory goes.

use std::{
    fs,
    io::Write,
    os::unix::{
        fs::{PermissionsExt, chown},
        process::CommandExt,
    },
    path::{Path, PathBuf},
    process::{Child, ChildStdin, Command, Stdio},
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use sqlx::{
    AssertSqlSafe, Connection, PgConnection, PgPool,
    migrate::Migrator,
    postgres::{PgConnectOptions, PgPoolOptions},
};
use tokio::sync::OnceCell;

const SUPERUSER: &str = "postgres";
const OWNER: &str = "hissaback_owner";
const TEMPLATE: &str = "migrated";
const PORT: u16 = 5432;
const MIGRATIONS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../migrations/postgres");

static CLUSTER: OnceCell<Cluster> = OnceCell::const_new();
static DATABASES: AtomicU32 = AtomicU32::new(0);

struct Cluster {
    directory: PathBuf,
    // Closing it stops the server.
    _pipe: ChildStdin,
    _server: Child,
}

/// A migrated database that nobody else uses.
pub struct Database {
    name: String,
    directory: PathBuf,
}

impl Database {
    pub async fn new() -> Self {
        let cluster = CLUSTER.get_or_init(Cluster::start).await;
        let name = format!("test_{}", DATABASES.fetch_add(1, Ordering::SeqCst));
        let mut connection = cluster
            .connect(SUPERUSER, "postgres")
            .await
            .expect("connected");
        let create = format!("CREATE DATABASE {name} TEMPLATE {TEMPLATE} OWNER {OWNER}");
        // Two tests can't copy the template at the same instant: the later one tries again.
        for _ in 0..200 {
            match sqlx::query(AssertSqlSafe(create.clone()))
                .execute(&mut connection)
                .await
            {
                Ok(_) => {
                    return Self {
                        name,
                        directory: cluster.directory.clone(),
                    };
                }
                Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
            }
        }
        panic!("the template database stays busy");
    }

    /// A pool that connects as `role`.
    pub async fn pool(&self, role: &str) -> PgPool {
        PgPoolOptions::new()
            .max_connections(6)
            .connect_with(options(&self.directory, role, &self.name))
            .await
            .expect("connected")
    }

    /// A pool that connects as the owner of the tables.
    pub async fn owner(&self) -> PgPool {
        self.pool(OWNER).await
    }
}

impl Cluster {
    async fn start() -> Self {
        let binaries = binaries();
        let directory = tempfile::tempdir().expect("a directory").keep();
        fs::set_permissions(&directory, fs::Permissions::from_mode(0o755)).expect("permissions");
        let account = account_for_server();
        if let Some((user_id, group_id)) = account {
            chown(&directory, Some(user_id), Some(group_id)).expect("the directory's owner");
        }
        let data = directory.join("data");
        let mut initdb = Command::new(binaries.join("initdb"));
        initdb
            .args([
                "--auth",
                "trust",
                "--username",
                SUPERUSER,
                "--encoding",
                "UTF8",
            ])
            .args([
                "--locale",
                "C.UTF-8",
                "--no-sync",
                "--no-instructions",
                "--pgdata",
            ])
            .arg(&data)
            .stdout(Stdio::null());
        assert!(
            as_account(&mut initdb, account)
                .status()
                .expect("initdb")
                .success(),
            "initdb"
        );

        let script = "\"$0\" -D \"$1/data\" -c listen_addresses= -c fsync=off -c jit=off \
                      -c max_connections=200 -c unix_socket_directories=\"$1\" \
                      >\"$1/log\" 2>&1 & server=$!; \
                      cat >/dev/null; kill -QUIT $server; wait $server; rm -rf \"$1\"";
        let mut shell = Command::new("sh");
        shell
            .args(["-c", script])
            .arg(binaries.join("postgres"))
            .arg(&directory)
            .current_dir("/")
            // Out of the terminal's group: an interrupt reaches it through the pipe.
            .process_group(0)
            .stdin(Stdio::piped());
        let mut server = as_account(&mut shell, account).spawn().expect("the server");
        let mut pipe = server.stdin.take().expect("a pipe");
        pipe.flush().expect("an open pipe");
        let cluster = Self {
            directory,
            _pipe: pipe,
            _server: server,
        };
        cluster.prepare().await;
        cluster
    }

    /// Waits for the server, and migrates the database that the others are copied from.
    async fn prepare(&self) {
        let mut connection = loop {
            match self.connect(SUPERUSER, "postgres").await {
                Ok(connection) => break connection,
                Err(error) => {
                    let log = fs::read_to_string(self.directory.join("log")).unwrap_or_default();
                    assert!(!log.contains("FATAL:  could not"), "{error}: {log}");
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
            }
        };
        for statement in [
            format!("CREATE ROLE {OWNER} LOGIN CREATEROLE"),
            format!("CREATE DATABASE {TEMPLATE} OWNER {OWNER}"),
        ] {
            sqlx::query(AssertSqlSafe(statement))
                .execute(&mut connection)
                .await
                .expect("set up");
        }
        let mut connection = self.connect(OWNER, TEMPLATE).await.expect("connected");
        let migrator = Migrator::new(Path::new(MIGRATIONS))
            .await
            .expect("migrations");
        migrator.run(&mut connection).await.expect("migrated");
        connection.close().await.expect("closed");
    }

    async fn connect(&self, role: &str, database: &str) -> Result<PgConnection, sqlx::Error> {
        PgConnection::connect_with(&options(&self.directory, role, database)).await
    }
}

fn options(directory: &Path, role: &str, database: &str) -> PgConnectOptions {
    PgConnectOptions::new_without_pgpass()
        .socket(directory)
        .port(PORT)
        .username(role)
        .database(database)
}

/// The newest installed server.
fn binaries() -> PathBuf {
    if let Some(given) = std::env::var_os("HISSABACK_POSTGRES_BIN") {
        return PathBuf::from(given);
    }
    let installed = fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .flatten();
    installed
        .filter_map(|entry| {
            let version: u32 = entry.file_name().to_str()?.parse().ok()?;
            let binaries = entry.path().join("bin");
            binaries
                .join("initdb")
                .is_file()
                .then_some((version, binaries))
        })
        .max()
        .expect(
            "PostgreSQL is missing: `apt-get install postgresql`, or set HISSABACK_POSTGRES_BIN",
        )
        .1
}

/// PostgreSQL refuses to run as root: then it runs as the account `postgres`.
fn account_for_server() -> Option<(u32, u32)> {
    let root =
        fs::metadata("/proc/self").is_ok_and(|us| std::os::unix::fs::MetadataExt::uid(&us) == 0);
    if !root {
        return None;
    }
    let accounts = fs::read_to_string("/etc/passwd").expect("accounts");
    let fields = accounts
        .lines()
        .map(|line| line.split(':').collect::<Vec<_>>())
        .find(|fields| fields[0] == "postgres")
        .expect("root needs an account postgres to run the server as");
    Some((
        fields[2].parse().expect("a user id"),
        fields[3].parse().expect("a group id"),
    ))
}

fn as_account(command: &mut Command, account: Option<(u32, u32)>) -> &mut Command {
    match account {
        Some((user_id, group_id)) => command.uid(user_id).gid(group_id),
        None => command,
    }
}
