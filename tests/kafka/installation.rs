//! Services and processes of one installation: topics of its own on a broker, a PostgreSQL of its
//! own, and a process for each instance of a role.

use std::{
    io::{BufRead, BufReader},
    net::{SocketAddr, TcpListener},
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    sync::{Arc, Mutex, PoisonError},
    thread,
    time::Duration,
};

use hissaback::embedded::{
    DataDirectory, EmbeddedPostgres, PostgresOptions,
    postgres::{DATABASE, OWNER},
};
use schemas::Topic;
use sinks::ledger::database::{OPERATOR, WRITER};
use sqlx::PgPool;
use stream::{
    Log, Record, Watermarks,
    broker::{KafkaBroker, RegistryServer},
    kafka::{AppendTimes, KafkaLog, KafkaSettings},
};
use tempfile::TempDir;
use tokio::runtime::Runtime;
use url::Url;

use crate::http::{request, until};

pub fn shared_broker() -> String {
    let broker = KafkaBroker::shared().unwrap_or_else(|error| panic!("{error}"));
    broker.bootstrap()
}

pub fn shared_registry() -> String {
    let registry = RegistryServer::shared().unwrap_or_else(|error| panic!("{error}"));
    registry.url()
}

pub fn hissaback(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_hissaback"));
    command.args(arguments);
    command
}

pub fn succeeded(output: &Output) -> String {
    let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        output.status.success(),
        "{stdout}\n{}",
        String::from_utf8_lossy(&output.stderr)
    );
    stdout
}

/// One installation.
pub struct Installation {
    pub runtime: Runtime,
    pub settings: KafkaSettings,
    pub registry: Option<String>,
    /// As the owner of the database.
    pub pool: PgPool,
    socket_directory: PathBuf,
    postgres: EmbeddedPostgres,
    pub directory: TempDir,
}

impl Installation {
    /// Topics, schemas, tables and the example's reference data; no process yet.
    pub fn make(name: &str, brokers: String, registry: Option<String>) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let runtime = Runtime::new().expect("a runtime");
        let data = DataDirectory::open(directory.path().join("postgres")).expect("a directory");
        let (postgres, pool) = runtime.block_on(async {
            let postgres = EmbeddedPostgres::start(&data, PostgresOptions::default()).await;
            let postgres = postgres.expect("PostgreSQL");
            let options = postgres.connect_options(OWNER, DATABASE);
            let pool = PgPool::connect_with(options).await.expect("connected");
            (postgres, pool)
        });
        let options = postgres.connect_options(OWNER, DATABASE);
        let mut settings = KafkaSettings::new(brokers);
        settings.topic_prefix = format!("{name}-{}.", std::process::id());
        let installation = Self {
            runtime,
            settings,
            registry,
            pool,
            socket_directory: options.get_socket().expect("a socket").clone(),
            postgres,
            directory,
        };
        let secrets = installation.secrets();
        let made = hissaback(&["secrets"]).arg(&secrets).output();
        succeeded(&made.expect("it runs"));
        let mut migrate = installation.command(&["migrate"]);
        migrate.env("DATABASE_OWNER_URL", installation.database(OWNER));
        succeeded(&migrate.output().expect("it runs"));
        let example = concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/schemas/examples/reference.json"
        );
        let mut import = installation.command(&["reference", "import", example]);
        let import = installation.with_data_dir(&mut import, "operator").output();
        succeeded(&import.expect("it runs"));
        installation
    }

    fn secrets(&self) -> PathBuf {
        self.directory.path().join("secrets.json")
    }

    fn database(&self, role: &str) -> String {
        let socket_directory = self.socket_directory.to_str().expect("UTF-8");
        let url = format!("postgres://{role}@localhost/{DATABASE}");
        Url::parse_with_params(&url, [("host", socket_directory)])
            .expect("an address")
            .into()
    }

    /// A command of this installation.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = hissaback(arguments);
        command
            .env("KAFKA_BROKERS", &self.settings.brokers)
            .env("KAFKA_TOPIC_PREFIX", &self.settings.topic_prefix)
            .env("KAFKA_REPLICATION_FACTOR", "1")
            .env("KAFKA_MIN_INSYNC_REPLICAS", "1")
            .env("DATABASE_URL", self.database(WRITER))
            .env("DATABASE_OPERATOR_URL", self.database(OPERATOR))
            .env("DATABASE_CONNECTIONS", "4")
            .env("HISSABACK_SECRETS_FILE", self.secrets());
        if let Some(registry) = &self.registry {
            command.env("SCHEMA_REGISTRY_URL", registry);
        }
        command
    }

    pub fn with_data_dir<'a>(&self, command: &'a mut Command, name: &str) -> &'a mut Command {
        command
            .arg("--data-dir")
            .arg(self.directory.path().join(name))
    }

    /// Starts an instance of a role, and waits for nothing.
    pub fn launch(&self, role: &str, number: usize) -> Instance {
        let mut instance = Self::instance(role, number);
        instance.start(self);
        instance
    }

    /// Starts one that is called that in its consumer groups.
    pub fn launch_as(
        &self,
        group_instance_id: &'static str,
        role: &str,
        number: usize,
    ) -> Instance {
        let mut instance = Self::instance(role, number);
        instance.group_instance_id = Some(group_instance_id);
        instance.start(self);
        instance
    }

    fn instance(role: &str, number: usize) -> Instance {
        // The port is free again at once, and another start takes the same one.
        let address = TcpListener::bind("127.0.0.1:0")
            .and_then(|listener| listener.local_addr())
            .expect("a port");
        Instance {
            name: format!("{role}-{number}"),
            role: role.to_owned(),
            address,
            group_instance_id: None,
            child: None,
            said: Arc::default(),
        }
    }

    /// Starts instances of these roles, and returns when all of them are up.
    pub fn start(&self, roles: &[(&str, usize)]) -> Vec<Instance> {
        let instances: Vec<Instance> = roles
            .iter()
            .flat_map(|(role, count)| (0..*count).map(|number| self.launch(role, number)))
            .collect();
        for instance in &instances {
            instance.wait_until_up();
        }
        instances
    }

    /// A log with the registry's own ids, beside the installation's processes.
    pub fn raw_log(&self) -> Arc<KafkaLog> {
        let _within = self.runtime.enter();
        let log = KafkaLog::connect(self.settings.clone(), AppendTimes::Broker).expect("settings");
        self.runtime
            .block_on(log.ready(Duration::from_mins(1)))
            .unwrap_or_else(|error| panic!("{error}"));
        log
    }

    pub fn read_all(&self, log: &KafkaLog, topic: Topic) -> Vec<Record> {
        self.runtime.block_on(async {
            let mut records = Vec::new();
            for partition in 0..topic.partitions() {
                let Watermarks { low, high } =
                    log.watermarks(topic, partition).await.expect("it is there");
                let mut next = low;
                while next < high {
                    let batch = log.read(topic, partition, next, 1_000).await.expect("read");
                    next = batch.last().expect("there is more").position.offset + 1;
                    records.extend(batch);
                }
            }
            records
        })
    }

    /// One number out of the database.
    pub fn number(&self, query: &'static str) -> i64 {
        self.runtime
            .block_on(sqlx::query_scalar(query).fetch_one(&self.pool))
            .unwrap_or_else(|error| panic!("{query}: {error}"))
    }

    pub fn text(&self, query: &'static str) -> Option<String> {
        self.runtime
            .block_on(sqlx::query_scalar(query).fetch_one(&self.pool))
            .unwrap_or_else(|error| panic!("{query}: {error}"))
    }

    /// Takes it down, once its processes have ended.
    pub fn end(self) {
        self.runtime.block_on(async {
            self.pool.close().await;
            self.postgres.stop().await.expect("stopped");
        });
    }
}

/// A process of a role; killed when dropped.
pub struct Instance {
    name: String,
    pub role: String,
    pub address: SocketAddr,
    group_instance_id: Option<&'static str>,
    child: Option<Child>,
    said: Arc<Mutex<String>>,
}

impl Instance {
    /// Starts it, at the address that it always has.
    pub fn start(&mut self, installation: &Installation) {
        let address = self.address.to_string();
        let mut command = installation.command(&[&self.role, "--listen", &address]);
        if let Some(name) = self.group_instance_id {
            command.env("KAFKA_GROUP_INSTANCE_ID", name);
        }
        let command = installation.with_data_dir(&mut command, &self.name);
        let mut child = command.stderr(Stdio::piped()).spawn().expect("it starts");
        let lines = BufReader::new(child.stderr.take().expect("piped")).lines();
        let said = Arc::clone(&self.said);
        thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                let mut said = said.lock().unwrap_or_else(PoisonError::into_inner);
                said.push_str(&line);
                said.push('\n');
            }
        });
        self.child = Some(child);
    }

    /// Status and body of `/health`, if it answers.
    pub fn health(&self) -> Option<(u16, String)> {
        let answer = request(self.address, "GET /health", "")?;
        Some((answer.status, answer.body))
    }

    pub fn wait_until_up(&self) {
        until(&self.name, || {
            let said = self.said();
            assert!(!said.contains("hissaback: "), "{}: {said}", self.name);
            said.contains("is up on") && self.health().is_some_and(|(status, _)| status == 200)
        });
    }

    /// What it wrote to its standard error.
    pub fn said(&self) -> String {
        let said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        said.clone()
    }

    /// `kill -9`.
    pub fn kill(&mut self) {
        let mut child = self.child.take().expect("it runs");
        child.kill().expect("it runs");
        child.wait().expect("it ended");
        let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        said.clear();
    }

    /// Waits until it has ended by itself, with an error; returns what it said.
    pub fn failed(mut self) -> String {
        let mut child = self.child.take().expect("it runs");
        until(&format!("{} fails", self.name), || {
            let ended = child.try_wait().expect("it was started");
            ended.is_some_and(|status| !status.success())
        });
        until("its last words are here", || {
            self.said().contains("hissaback: ")
        });
        self.said()
    }

    /// As an operator does: it ends well.
    pub fn stop(mut self) {
        let mut child = self.child.take().expect("it runs");
        let terminated = Command::new("kill").arg(child.id().to_string()).status();
        assert!(terminated.expect("kill runs").success());
        let ended = child.wait().expect("it ended");
        assert!(ended.success(), "{}: {ended}\n{}", self.name, self.said());
    }
}

impl Drop for Instance {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            // It may have ended by itself.
            let _ = child.kill();
            let _ = child.wait();
            if thread::panicking() {
                eprintln!("--- {} said:\n{}", self.name, self.said());
            }
        }
    }
}

/// The directory of what the tests fetch.
pub fn cache() -> PathBuf {
    std::env::var_os("HISSABACK_CACHE_DIR").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join(".cache"),
        PathBuf::from,
    )
}
