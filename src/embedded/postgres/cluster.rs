//! The cluster on disk: made once, of one major version, used by one server at a time.

use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use tokio::process::Command;

use super::binaries::Binaries;
use super::{PostgresError, SUPERUSER};
use crate::embedded::accounts::Account;

/// PostgreSQL's own record of the major version that the data belongs to.
const VERSION_FILE: &str = "PG_VERSION";
const PID_FILE: &str = "postmaster.pid";

/// How an earlier server that outlived us is ended: from when on it gets which signal.
const LEFTOVER_SIGNALS: [(Duration, Signal); 3] = [
    (Duration::from_secs(5), Signal::INT),
    (Duration::from_secs(20), Signal::QUIT),
    (Duration::from_secs(30), Signal::KILL),
];
/// How long an earlier server may take to go before we give up.
const LEFTOVER_PATIENCE: Duration = Duration::from_secs(40);
const LEFTOVER_PAUSE: Duration = Duration::from_millis(20);

/// A cluster's data directory.
#[derive(Debug, Clone)]
pub(super) struct Cluster {
    directory: PathBuf,
}

/// Major version of the server that made the cluster under `home`, or `None` before the first
/// start.
pub(super) fn recorded_major_version(home: &Path) -> Result<Option<u32>, PostgresError> {
    let path = home.join("data").join(VERSION_FILE);
    let failed = |source| PostgresError::Directory {
        path: path.clone(),
        source,
    };
    match fs::read_to_string(&path) {
        Ok(text) => match text.trim().parse() {
            Ok(major_version) => Ok(Some(major_version)),
            Err(_) => Err(failed(io::Error::other("it holds no version number"))),
        },
        Err(missing) if missing.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(failure) => Err(failed(failure)),
    }
}

impl Cluster {
    /// Opens the cluster under `home`, making it if there is none. One of another major version is
    /// refused.
    pub(super) async fn open(
        home: PathBuf,
        binaries: &Binaries,
        account: Option<Account>,
    ) -> Result<Self, PostgresError> {
        let directory = home.join("data");
        match recorded_major_version(&home)? {
            Some(recorded) if recorded == binaries.major_version => {}
            Some(recorded) => {
                return Err(PostgresError::OtherMajorVersion {
                    directory,
                    recorded,
                    found: binaries.major_version,
                });
            }
            None => make(&home, &directory, binaries, account.as_ref()).await?,
        }
        Ok(Self { directory })
    }

    pub(super) fn directory(&self) -> &Path {
        &self.directory
    }

    /// Waits until no process works in the data directory, helping a server along that an earlier,
    /// killed process of ours left behind; then removes its stale pid file, and the lock of its
    /// socket. We hold the data directory's lock, so no server that is still wanted can be here.
    pub(super) async fn clear_leftovers(&self, socket_lock: &Path) -> io::Result<()> {
        let began = Instant::now();
        let mut signals = LEFTOVER_SIGNALS.iter().peekable();
        loop {
            let leftovers = processes_working_in(&self.directory);
            if leftovers.is_empty() {
                break;
            }
            let waited = began.elapsed();
            if waited > LEFTOVER_PATIENCE {
                return Err(io::Error::other(format!(
                    "an earlier server still works in {} (pids {leftovers:?})",
                    self.directory.display()
                )));
            }
            if let Some((_, signal)) = signals.next_if(|(after, _)| waited >= *after) {
                tracing::warn!(?leftovers, ?signal, "an earlier PostgreSQL server won't go");
                for pid in leftovers {
                    // It may have gone meanwhile; the next look will tell.
                    let _ = kill_process(pid, *signal);
                }
            }
            tokio::time::sleep(LEFTOVER_PAUSE).await;
        }
        // The server would check the files' pid itself, and refuse to start if that number has
        // been given to another process of its user since, or if the dead server is still waited
        // for by whoever inherited it.
        for stale in [&self.directory.join(PID_FILE), socket_lock] {
            match fs::remove_file(stale) {
                Err(failure) if failure.kind() != io::ErrorKind::NotFound => return Err(failure),
                Ok(()) | Err(_) => {}
            }
        }
        Ok(())
    }
}

/// Runs `initdb` beside the final place and renames, so that an interrupted first start leaves no
/// half-made cluster.
async fn make(
    home: &Path,
    directory: &Path,
    binaries: &Binaries,
    account: Option<&Account>,
) -> Result<(), PostgresError> {
    let new = home.join("data.new");
    prepare_empty_directory(&new, account).map_err(|source| PostgresError::Directory {
        path: new.clone(),
        source,
    })?;
    let mut command = Command::new(binaries.program("initdb"));
    command
        .arg("--pgdata")
        .arg(&new)
        .args(["--username", SUPERUSER, "--auth", "trust"])
        .args(["--encoding", "UTF8", "--locale", "C.UTF-8"])
        .args(["--data-checksums", "--no-instructions"])
        .env_clear()
        .env("PATH", "/usr/bin:/bin")
        .env("TZ", "UTC")
        .current_dir(&new)
        .kill_on_drop(true);
    if let Some(account) = account {
        command.uid(account.user_id).gid(account.group_id);
    }
    tracing::info!(directory = %directory.display(), "making the PostgreSQL cluster");
    let output = command
        .output()
        .await
        .map_err(|source| PostgresError::Directory {
            path: binaries.program("initdb"),
            source,
        })?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        return Err(PostgresError::Initialization {
            status: output.status,
            output: said.trim().replace('\n', " | "),
        });
    }
    let finish = || -> io::Result<()> {
        fs::rename(&new, directory)?;
        File::open(home)?.sync_all()
    };
    finish().map_err(|source| PostgresError::Directory {
        path: directory.to_path_buf(),
        source,
    })
}

fn prepare_empty_directory(path: &Path, account: Option<&Account>) -> io::Result<()> {
    match fs::remove_dir_all(path) {
        Err(failure) if failure.kind() != io::ErrorKind::NotFound => return Err(failure),
        Ok(()) | Err(_) => {}
    }
    DirBuilder::new().mode(0o700).create(path)?;
    if let Some(account) = account {
        std::os::unix::fs::chown(path, Some(account.user_id), Some(account.group_id))?;
    }
    Ok(())
}

/// Processes whose working directory is `directory`: PostgreSQL's processes keep theirs in the
/// data directory. (Of other users' processes we see this only as root; but then a server of this
/// directory runs as our own user.)
fn processes_working_in(directory: &Path) -> Vec<Pid> {
    let Ok(directory) = fs::canonicalize(directory) else {
        return Vec::new();
    };
    fs::read_dir("/proc")
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter(|pid: &i32| {
            fs::read_link(format!("/proc/{pid}/cwd")).is_ok_and(|found| found == directory)
        })
        .filter_map(Pid::from_raw)
        .collect()
}
