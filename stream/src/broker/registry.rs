//! A schema registry with the API of Confluent's.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{LazyLock, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rustix::process::Signal;

use super::component::REGISTRY;
use super::directory::ServerDirectory;
use super::ports::{free_port, on_free_ports};
use super::process::{ServerProcess, last_lines};
use super::settings::HOST;
use super::{BrokerError, java, readiness};

/// How long a registry may take to be ready. It takes about four seconds on two idle cores.
const START_PATIENCE: Duration = Duration::from_mins(2);
/// Where Apicurio Registry serves the API of Confluent's registry.
const API: &str = "/apis/ccompat/v7";

/// A running Apicurio Registry, which ends when this is dropped or the process ends.
///
/// It keeps its schemas in memory: they are gone when it ends. A schema's id is one number for all
/// subjects, as Confluent's is; numbers have gaps where a schema was refused. Its compatibility is
/// NONE for subjects that set no other (Confluent's: BACKWARD).
#[derive(Debug)]
pub struct RegistryServer {
    port: u16,
    /// None once it is stopped or killed. Before the directory: it must end first.
    process: Mutex<Option<ServerProcess>>,
    directory: ServerDirectory,
}

impl RegistryServer {
    /// Starts an empty registry, and waits until it answers. It takes about four seconds.
    pub fn start() -> Result<Self, BrokerError> {
        on_free_ports("in use by another process", || Self::start_on(free_port()))
    }

    /// Starts an empty registry on a port of the caller's choice.
    pub fn start_on(port: u16) -> Result<Self, BrokerError> {
        let libraries = REGISTRY.find()?;
        let java = java::find()?;
        let directory = ServerDirectory::temporary()?;
        let mut arguments = java::flags(directory.path());
        arguments.extend([
            format!("-Dquarkus.http.host={HOST}").into(),
            format!("-Dquarkus.http.port={port}").into(),
            "-Dquarkus.log.level=WARN".into(),
            "-jar".into(),
            program_in(&libraries)?.into(),
        ]);
        let mut process = ServerProcess::spawn(
            REGISTRY.what,
            &java,
            arguments,
            directory.path(),
            &log_path(&directory),
        )?;
        process.wait_until(START_PATIENCE, || {
            readiness::serves(port, &format!("{API}/subjects"))
        })?;
        Ok(Self {
            port,
            process: Mutex::new(Some(process)),
            directory,
        })
    }

    /// The registry that all tests of this process share: started by whoever asks first, ended with
    /// the process. Subjects must have names of their own.
    pub fn shared() -> Result<&'static Self, &'static BrokerError> {
        static SHARED: LazyLock<Result<RegistryServer, BrokerError>> =
            LazyLock::new(RegistryServer::start);
        SHARED.as_ref()
    }

    /// Where clients of Confluent's API connect, path included.
    pub fn url(&self) -> String {
        format!("http://{HOST}:{}{API}", self.port)
    }

    /// The registry's process id, while it runs.
    pub fn process_id(&self) -> Option<u32> {
        self.process().as_ref().map(ServerProcess::id)
    }

    /// The end of the registry's log.
    pub fn log(&self) -> String {
        last_lines(&log_path(&self.directory))
    }

    /// Ends it at once (SIGKILL), and its schemas with it.
    pub fn kill(&self) -> Result<(), BrokerError> {
        self.process().take().ok_or(NOT_RUNNING)?.kill()
    }

    /// Stops it from doing anything (SIGSTOP): connections stay open and nobody answers.
    pub fn freeze(&self) -> Result<(), BrokerError> {
        self.signal(Signal::STOP)
    }

    /// Lets a frozen registry go on.
    pub fn thaw(&self) -> Result<(), BrokerError> {
        self.signal(Signal::CONT)
    }

    fn signal(&self, signal: Signal) -> Result<(), BrokerError> {
        self.process().as_ref().ok_or(NOT_RUNNING)?.signal(signal)
    }

    fn process(&self) -> MutexGuard<'_, Option<ServerProcess>> {
        self.process.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

const NOT_RUNNING: BrokerError = BrokerError::WrongState {
    what: REGISTRY.what,
    state: "isn't running",
};

fn log_path(directory: &ServerDirectory) -> PathBuf {
    directory.path().join("registry.log")
}

/// The program's file; its name has the version in it.
fn program_in(libraries: &Path) -> Result<PathBuf, BrokerError> {
    fs::read_dir(libraries)
        .map_err(BrokerError::io(format!("list {}", libraries.display())))?
        .flatten()
        .map(|entry| entry.path())
        .find(|path| path.to_string_lossy().ends_with("-runner.jar"))
        .ok_or_else(|| BrokerError::Missing {
            what: REGISTRY.what,
            searched: libraries.display().to_string(),
        })
}
