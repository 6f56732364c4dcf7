//! The engine's child process: its command line, and how the supervisor knows that it answers.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use rustix::process::Signal;
use tokio::process::Command;

use super::library;
use crate::embedded::child_process::bind_to_parent;
use crate::embedded::supervision::Supervised;

/// How long one look whether the engine answers may take.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);

/// The engine as a supervised child.
pub(super) struct EngineChild {
    /// This program, or whichever has the subcommand.
    pub(super) program: PathBuf,
    /// The library to load.
    pub(super) library: PathBuf,
    pub(super) data: PathBuf,
    pub(super) socket: PathBuf,
    /// A client of `socket`.
    pub(super) client: clickhouse::Client,
}

impl Supervised for EngineChild {
    const NAME: &'static str = "clickhouse-engine";
    /// SIGTERM lets the requests under way finish, for 20 seconds at most.
    const STOP_SIGNALS: &'static [(Signal, Duration)] = &[(Signal::TERM, Duration::from_secs(30))];
    const START_TIMEOUT: Duration = Duration::from_mins(3);

    async fn prepare(&self) -> io::Result<()> {
        // An engine that an earlier, killed process left behind may still listen for a moment: it
        // must not be taken for the new one.
        match std::fs::remove_file(&self.socket) {
            Err(failure) if failure.kind() != io::ErrorKind::NotFound => Err(failure),
            Ok(()) | Err(_) => Ok(()),
        }
    }

    fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        command
            .arg("clickhouse-engine")
            .arg("--data")
            .arg(&self.data)
            .arg("--socket")
            .arg(&self.socket)
            .env_clear()
            .env(library::VARIABLE, &self.library)
            .env("PATH", "/usr/bin:/bin")
            // The engine's time zone, which a DateTime without one is shown in.
            .env("TZ", "UTC")
            .current_dir(&self.data);
        bind_to_parent(&mut command, None, Signal::TERM);
        command
    }

    async fn answers(&self) -> bool {
        let answer = self.client.query("SELECT 1").fetch_one::<u8>();
        matches!(
            tokio::time::timeout(ANSWER_TIMEOUT, answer).await,
            Ok(Ok(1))
        )
    }
}
