//! One Apache Kafka broker.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{LazyLock, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rustix::process::Signal;

use super::certificates::Authority;
use super::component::KAFKA;
use super::directory::ServerDirectory;
use super::ports::{free_port, on_free_ports};
use super::process::{ServerProcess, last_lines};
use super::settings::{HOST, NODE_ID, Ports, server_properties};
use super::{BrokerError, BrokerOptions, ListenerSecurity, java, readiness};

/// How long a broker may take to be ready. It takes about two seconds on two idle cores.
const START_PATIENCE: Duration = Duration::from_mins(2);
/// Every cluster has an id; nobody asks for this one's. 16 bytes in base64.
const CLUSTER_ID: &str = "aGlzc2FiYWNrLXRlc3RzMQ";

/// What the broker prints: warnings and errors, on its standard output.
const LOGGING: &str = r"
status = error
appender.console.type = Console
appender.console.name = console
appender.console.layout.type = PatternLayout
appender.console.layout.pattern = %d %p %m (%c)%n
rootLogger.level = warn
rootLogger.appenderRef.console.ref = console
";

/// A running Apache Kafka (one node, broker and controller), which ends when this is dropped or the
/// process ends.
#[derive(Debug)]
pub struct KafkaBroker {
    options: BrokerOptions,
    ports: Ports,
    java: PathBuf,
    libraries: PathBuf,
    authority: Option<Authority>,
    /// None while it is stopped or killed. Before the directory: it must end first.
    process: Mutex<Option<ServerProcess>>,
    directory: ServerDirectory,
}

impl KafkaBroker {
    /// Starts a broker, and waits until it is ready for clients. It takes about two seconds.
    pub fn start(options: BrokerOptions) -> Result<Self, BrokerError> {
        let libraries = KAFKA.find()?;
        let java = java::find()?;
        let directory = match &options.directory {
            Some(given) => ServerDirectory::given(given)?,
            None => ServerDirectory::temporary()?,
        };
        let authority = options
            .security
            .has_tls()
            .then(|| Authority::create(directory.path()))
            .transpose()?;
        let mut broker = Self {
            ports: choose_ports(&options),
            options,
            java,
            libraries,
            authority,
            process: Mutex::new(None),
            directory,
        };
        broker.write_settings()?;
        broker.format()?;
        let process = on_free_ports("Address already in use", || {
            broker.ports = choose_ports(&broker.options);
            broker.write_settings()?;
            broker.launch()
        })?;
        *broker.process() = Some(process);
        Ok(broker)
    }

    /// The broker that all tests of this process share: without security, started by whoever asks
    /// first, ended with the process. Topics and groups must have names of their own.
    pub fn shared() -> Result<&'static Self, &'static BrokerError> {
        static SHARED: LazyLock<Result<KafkaBroker, BrokerError>> =
            LazyLock::new(|| KafkaBroker::start(BrokerOptions::default()));
        SHARED.as_ref()
    }

    /// Where clients connect: `host:port`. It asks of them what the options say, and stays the
    /// same over restarts.
    pub fn bootstrap(&self) -> String {
        format!("{HOST}:{}", self.ports.clients)
    }

    /// Where a test's own set-up connects, without TLS and password, whatever the options ask of
    /// clients: `host:port`.
    pub fn bootstrap_without_security(&self) -> String {
        format!("{HOST}:{}", self.ports.plain)
    }

    /// The authority of the broker's certificate, where clients need TLS.
    pub fn authority(&self) -> Option<&Authority> {
        self.authority.as_ref()
    }

    /// The broker's process id, while it runs.
    pub fn process_id(&self) -> Option<u32> {
        self.process().as_ref().map(ServerProcess::id)
    }

    /// The broker's directory, with `broker.log` and `data`.
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// The end of the broker's log: its warnings and errors.
    pub fn log(&self) -> String {
        last_lines(&self.log_path())
    }

    /// Ends it at once (SIGKILL); what it has acknowledged is kept.
    pub fn kill(&self) -> Result<(), BrokerError> {
        self.take()?.kill()
    }

    /// Ends it in order (SIGTERM), and waits for that.
    pub fn stop(&self) -> Result<(), BrokerError> {
        self.take()?.stop()
    }

    /// Starts it again on the same data and ports, after it was stopped, killed or, if it still
    /// runs, by stopping it; waits until it is ready. After a kill that takes two seconds more,
    /// until the controller takes the old process for dead.
    pub fn restart(&self) -> Result<(), BrokerError> {
        let mut process = self.process();
        if let Some(running) = process.take() {
            running.stop()?;
        }
        *process = Some(self.launch()?);
        Ok(())
    }

    /// Stops it from doing anything (SIGSTOP): connections stay open and nobody answers, as when
    /// the network is cut.
    pub fn freeze(&self) -> Result<(), BrokerError> {
        self.signal(Signal::STOP)
    }

    /// Lets a frozen broker go on.
    pub fn thaw(&self) -> Result<(), BrokerError> {
        self.signal(Signal::CONT)
    }

    fn signal(&self, signal: Signal) -> Result<(), BrokerError> {
        self.process().as_ref().ok_or(NOT_RUNNING)?.signal(signal)
    }

    fn process(&self) -> MutexGuard<'_, Option<ServerProcess>> {
        self.process.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take(&self) -> Result<ServerProcess, BrokerError> {
        self.process().take().ok_or(NOT_RUNNING)
    }

    fn data_path(&self) -> PathBuf {
        self.directory.path().join("data")
    }

    fn settings_path(&self) -> PathBuf {
        self.directory.path().join("server.properties")
    }

    fn log_path(&self) -> PathBuf {
        self.directory.path().join("broker.log")
    }

    fn write_settings(&self) -> Result<(), BrokerError> {
        let settings = server_properties(
            &self.options,
            self.ports,
            &self.data_path(),
            self.authority.as_ref(),
        );
        for (path, content) in [
            (self.settings_path(), settings.as_str()),
            (self.directory.path().join("log4j2.properties"), LOGGING),
        ] {
            fs::write(&path, content)
                .map_err(BrokerError::io(format!("write {}", path.display())))?;
        }
        Ok(())
    }

    /// Prepares the data directory, unless an earlier broker did. Users of SCRAM are part of it.
    fn format(&self) -> Result<(), BrokerError> {
        if self.data_path().join("meta.properties").exists() {
            return Ok(());
        }
        let mut arguments = vec![
            "format".into(),
            "--cluster-id".into(),
            CLUSTER_ID.into(),
            "--config".into(),
            self.settings_path().into(),
        ];
        for user in &self.options.users {
            for mechanism in ["SCRAM-SHA-256", "SCRAM-SHA-512"] {
                let (name, password) = (&user.name, &user.password);
                arguments.push("--add-scram".into());
                arguments.push(format!("{mechanism}=[name={name},password={password}]").into());
            }
        }
        self.run("kafka.tools.StorageTool", arguments)?
            .wait_for_success(START_PATIENCE)
    }

    fn launch(&self) -> Result<ServerProcess, BrokerError> {
        let mut process = self.run("kafka.Kafka", vec![self.settings_path().into()])?;
        process.wait_until(START_PATIENCE, || {
            readiness::broker_lists(self.ports.plain, NODE_ID)
        })?;
        Ok(process)
    }

    fn run(&self, class: &str, arguments: Vec<OsString>) -> Result<ServerProcess, BrokerError> {
        let mut java_arguments = java::flags(self.directory.path());
        java_arguments.extend([
            "-cp".into(),
            self.libraries.join("*").into(),
            "-Dlog4j2.configurationFile=log4j2.properties".into(),
            class.into(),
        ]);
        java_arguments.extend(arguments);
        ServerProcess::spawn(
            KAFKA.what,
            &self.java,
            java_arguments,
            self.directory.path(),
            &self.log_path(),
        )
    }
}

const NOT_RUNNING: BrokerError = BrokerError::WrongState {
    what: KAFKA.what,
    state: "isn't running",
};

fn choose_ports(options: &BrokerOptions) -> Ports {
    let clients = options.port.unwrap_or_else(free_port);
    Ports {
        clients,
        plain: if options.security == ListenerSecurity::Plaintext {
            clients
        } else {
            free_port()
        },
        controller: free_port(),
    }
}
