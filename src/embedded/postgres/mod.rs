//! A private PostgreSQL cluster as a supervised child process, from the system's binaries.
//!
//! It listens on a private Unix socket only, authenticates by who can open that socket (mode 0700),
//! keeps every promise about durability (`fsync` on, page checksums), and ends with us.

mod binaries;
mod cluster;
mod server;

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgConnection, PgSslMode};
use sqlx::{ConnectOptions, Connection, Executor, Row};
use tokio::sync::watch;

use self::binaries::Binaries;
use self::cluster::Cluster;
use self::server::Server;
use super::DataDirectory;
use super::accounts::Account;
use super::data_directory::DataDirectoryError;
use super::socket_directory::{SocketDirectory, SocketDirectoryError};
use super::supervision::{Health, SupervisionError, Supervisor};

/// The database that everything of ours lives in.
pub const DATABASE: &str = "hissaback";
/// The role that owns it, and that runs the migrations.
pub const OWNER: &str = "hissaback_owner";
/// The cluster's superuser, for what only a superuser may do.
pub const SUPERUSER: &str = "postgres";

/// The port is only part of the socket's name, as nothing listens on the network.
const PORT: u16 = 5432;

/// How long one attempt to connect may take before it is tried again.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// What can be set about the cluster.
#[derive(Debug, Clone, Default)]
pub struct PostgresOptions {
    /// Directory of the server's programs (`postgres`, `initdb`); by default it is searched for.
    pub binaries: Option<PathBuf>,
    /// Server settings besides, or instead of, ours, such as `("shared_buffers", "1GB")`.
    pub settings: Vec<(String, String)>,
}

/// Why the private cluster can't be used.
#[derive(Debug, thiserror::Error)]
pub enum PostgresError {
    /// No server programs anywhere.
    #[error(
        "no PostgreSQL {minimum} or later was found (looked in {searched}): install the package \
         postgresql, or run `make setup`, or name a directory in HISSABACK_POSTGRES_BIN"
    )]
    NoBinaries {
        /// The lowest major version that will do.
        minimum: u32,
        /// Where we looked.
        searched: String,
    },
    /// The programs are there but can't be used.
    #[error("the PostgreSQL programs in {} can't be used: {reason}", directory.display())]
    UnusableBinaries {
        /// Where they are.
        directory: PathBuf,
        /// Why not.
        reason: String,
    },
    /// The data was written by another major version.
    #[error(
        "the data in {} was written by PostgreSQL {recorded}, and the programs found are version \
         {found}: install PostgreSQL {recorded} again, or move the data with pg_dump",
        directory.display()
    )]
    OtherMajorVersion {
        /// The cluster's data directory.
        directory: PathBuf,
        /// Major version that wrote it.
        recorded: u32,
        /// Major version of the programs.
        found: u32,
    },
    /// A file or directory of the cluster can't be used.
    #[error("{} can't be used ({source})", path.display())]
    Directory {
        /// Which.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// `initdb` failed.
    #[error("initdb failed ({status}): {output}")]
    Initialization {
        /// Its exit status.
        status: std::process::ExitStatus,
        /// The end of what it said.
        output: String,
    },
    /// The server doesn't start, or didn't stop in an orderly way.
    #[error("the embedded PostgreSQL: {0}")]
    Server(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The database or its owner can't be made.
    #[error("making the database {DATABASE} failed ({source})")]
    Database {
        /// What the server said.
        #[from]
        source: sqlx::Error,
    },
    /// The data directory can't be used.
    #[error(transparent)]
    DataDirectory(#[from] DataDirectoryError),
    /// The socket's directory can't be used.
    #[error(transparent)]
    SocketDirectory(#[from] SocketDirectoryError),
}

impl From<SupervisionError> for PostgresError {
    fn from(failure: SupervisionError) -> Self {
        Self::Server(Box::new(failure))
    }
}

/// A running private cluster. Stop it with [`EmbeddedPostgres::stop`]; dropping it stops it too,
/// and blocks meanwhile.
#[derive(Debug)]
pub struct EmbeddedPostgres {
    supervisor: Supervisor,
    socket_directory: SocketDirectory,
    major_version: u32,
}

impl EmbeddedPostgres {
    /// Starts the cluster under `data`, making it on the first start, with the database
    /// [`DATABASE`] and its owner [`OWNER`]. Returns once it answers.
    pub async fn start(
        data: &DataDirectory,
        options: PostgresOptions,
    ) -> Result<Self, PostgresError> {
        let home = data.subdirectory("postgres")?;
        let logs = data.subdirectory("logs")?;
        let account = Account::to_drop_to();
        let recorded = cluster::recorded_major_version(&home)?;
        let binaries =
            Binaries::find(options.binaries.as_deref(), recorded, account.as_ref()).await?;
        let major_version = binaries.major_version;
        let cluster = Cluster::open(home, &binaries, account.clone()).await?;
        let socket_directory = SocketDirectory::create(
            data,
            "postgres",
            &format!(".s.PGSQL.{PORT}"),
            account.as_ref(),
        )?;
        let connect_options = connect_options(&socket_directory, SUPERUSER, SUPERUSER);
        let server = Server {
            binaries,
            cluster,
            account,
            socket_directory: socket_directory.path().to_path_buf(),
            settings: options.settings,
            connect_options: connect_options.clone(),
        };
        let supervisor = Supervisor::start(server, &logs).await?;
        make_database(&connect_options).await?;
        Ok(Self {
            supervisor,
            socket_directory,
            major_version,
        })
    }

    /// How to connect as `role` to `database`, from this process and its user only.
    pub fn connect_options(&self, role: &str, database: &str) -> PgConnectOptions {
        connect_options(&self.socket_directory, role, database)
    }

    /// The cluster's health now, and every change of it.
    pub fn health(&self) -> watch::Receiver<Health> {
        self.supervisor.health()
    }

    /// Major version of the server.
    pub fn major_version(&self) -> u32 {
        self.major_version
    }

    /// Ends every connection, stops the server in an orderly way and waits until it is gone.
    pub async fn stop(mut self) -> Result<(), PostgresError> {
        Ok(self.supervisor.stop().await?)
    }
}

fn connect_options(
    socket_directory: &SocketDirectory,
    role: &str,
    database: &str,
) -> PgConnectOptions {
    PgConnectOptions::new_without_pgpass()
        .socket(socket_directory.path())
        .port(PORT)
        .username(role)
        .database(database)
        .ssl_mode(PgSslMode::Disable)
        .application_name("hissaback")
        // Slow statements are the caller's to log: their text may hold values.
        .disable_statement_logging()
}

/// Makes the database and its owner, unless they are there.
async fn make_database(superuser: &PgConnectOptions) -> Result<(), PostgresError> {
    let mut connection = PgConnection::connect_with(superuser).await?;
    let found = connection
        .fetch_one(
            "SELECT EXISTS (SELECT FROM pg_roles WHERE rolname = 'hissaback_owner'), \
                    EXISTS (SELECT FROM pg_database WHERE datname = 'hissaback')",
        )
        .await?;
    let (owner_exists, database_exists): (bool, bool) = (found.try_get(0)?, found.try_get(1)?);
    if !owner_exists {
        // CREATEROLE, because the migrations make the product's other roles.
        connection
            .execute("CREATE ROLE hissaback_owner LOGIN CREATEROLE")
            .await?;
    }
    if !database_exists {
        connection
            .execute("CREATE DATABASE hissaback OWNER hissaback_owner")
            .await?;
    }
    connection.close().await?;
    Ok(())
}
