//! The server's command line, and how the supervisor knows that it answers.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use rustix::process::Signal;
use sqlx::Connection;
use sqlx::postgres::{PgConnectOptions, PgConnection};
use tokio::process::Command;

use super::binaries::Binaries;
use super::cluster::Cluster;
use super::{CONNECT_TIMEOUT, PORT};
use crate::embedded::accounts::Account;
use crate::embedded::child_process::bind_to_parent;
use crate::embedded::supervision::Supervised;

/// Our settings, for a small machine that also runs the rest of the product.
const SETTINGS: [(&str, &str); 18] = [
    // Private: nothing listens on the network.
    ("listen_addresses", ""),
    ("unix_socket_permissions", "0700"),
    // Acknowledged means on disk.
    ("fsync", "on"),
    ("synchronous_commit", "on"),
    ("full_page_writes", "on"),
    ("shared_buffers", "128MB"),
    ("work_mem", "16MB"),
    ("maintenance_work_mem", "64MB"),
    ("max_connections", "60"),
    // Bulk load makes 16 MB of log in a blink; without room it checkpoints all the time.
    ("max_wal_size", "2GB"),
    ("random_page_cost", "1.1"),
    // Planning over many partitions looks dear enough to compile, and compiling costs far more
    // than such a query.
    ("jit", "off"),
    // One query may touch every partition of several tables.
    ("max_locks_per_transaction", "256"),
    ("timezone", "UTC"),
    ("log_timezone", "UTC"),
    // Personal data stays out of logs: no statements, no values of violated keys.
    ("log_min_error_statement", "panic"),
    ("log_error_verbosity", "terse"),
    ("cluster_name", "hissaback"),
];

/// The PostgreSQL server as a supervised child.
#[derive(Debug)]
pub(super) struct Server {
    pub(super) binaries: Binaries,
    pub(super) cluster: Cluster,
    pub(super) account: Option<Account>,
    pub(super) socket_directory: PathBuf,
    pub(super) settings: Vec<(String, String)>,
    pub(super) connect_options: PgConnectOptions,
}

impl Supervised for Server {
    const NAME: &'static str = "postgres";
    /// SIGINT ends every session and writes a checkpoint; SIGQUIT leaves recovery to the next
    /// start.
    const STOP_SIGNALS: &'static [(Signal, Duration)] = &[
        (Signal::INT, Duration::from_secs(30)),
        (Signal::QUIT, Duration::from_secs(5)),
    ];
    /// Recovery after a crash replays at most `max_wal_size` and a bit.
    const START_TIMEOUT: Duration = Duration::from_mins(3);

    async fn prepare(&self) -> io::Result<()> {
        let socket_lock = format!(".s.PGSQL.{PORT}.lock");
        let socket_lock = self.socket_directory.join(socket_lock);
        self.cluster.clear_leftovers(&socket_lock).await
    }

    fn command(&self) -> Command {
        let mut command = Command::new(self.binaries.program("postgres"));
        command
            .arg("-D")
            .arg(self.cluster.directory())
            .arg("-c")
            .arg(format!(
                "unix_socket_directories={}",
                self.socket_directory.display()
            ))
            .arg("-c")
            .arg(format!("port={PORT}"));
        let ours = SETTINGS.iter().map(|(name, value)| (*name, *value));
        let given = self
            .settings
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()));
        // The last word on a setting wins, so what was given overrides ours.
        for (name, value) in ours.chain(given) {
            command.arg("-c").arg(format!("{name}={value}"));
        }
        command
            .env_clear()
            .env("PATH", "/usr/bin:/bin")
            .env("TZ", "UTC")
            .current_dir(self.cluster.directory());
        bind_to_parent(&mut command, self.account.as_ref(), Signal::INT);
        command
    }

    async fn answers(&self) -> bool {
        let attempt = async {
            let connection = PgConnection::connect_with(&self.connect_options).await?;
            connection.close().await
        };
        matches!(
            tokio::time::timeout(CONNECT_TIMEOUT, attempt).await,
            Ok(Ok(()))
        )
    }
}
