//! ClickHouse for analytics: a server elsewhere, or the engine (chDB) in a supervised child of
//! this same program, reached by the same client through a private Unix socket.

mod child;
mod connector;
mod engine;
mod library;

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clickhouse::Client;
use hyper_util::client::legacy::Client as HttpClient;
use hyper_util::rt::TokioExecutor;
use tokio::sync::watch;
use url::Url;

use self::child::EngineChild;
use self::connector::UnixConnector;
pub use self::engine::{EngineArguments, EngineRunError, run as run_engine};
pub use self::library::LibraryMissing;
use super::DataDirectory;
use super::data_directory::DataDirectoryError;
use super::socket_directory::{self, SocketDirectory, SocketDirectoryError};
use super::supervision::{Health, SupervisionError, Supervisor};

/// The database of our tables, in the engine and, unless its URL names another, on a server.
pub const DATABASE: &str = "hissaback";

/// Where the engine's tables are in a data directory.
pub const DIRECTORY: &str = "clickhouse";

/// The engine's own part of the directory of sockets.
const SOCKET_SERVICE: &str = "clickhouse";
const SOCKET_NAME: &str = "engine.sock";
/// Shorter than a server keeps an idle connection.
const POOL_IDLE_TIMEOUT: Duration = Duration::from_secs(2);

/// What can be set about the engine.
#[derive(Debug, Clone, Default)]
pub struct ClickHouseOptions {
    /// The program that has the hidden subcommand `clickhouse-engine`; by default, this one.
    pub program: Option<PathBuf>,
    /// chDB's library; by default it is searched for.
    pub library: Option<PathBuf>,
}

/// Why ClickHouse can't be used.
#[derive(Debug, thiserror::Error)]
pub enum ClickHouseError {
    /// There is no engine to load.
    #[error(transparent)]
    Library(#[from] LibraryMissing),
    /// The server's address can't be read.
    #[error("clickhouse.url (CLICKHOUSE_URL) is not an http or https address ({reason})")]
    Url {
        /// What is wrong with it; the address itself may hold a password.
        reason: String,
    },
    /// This program's own file can't be found.
    #[error("the program to run the engine with can't be found ({source})")]
    Program {
        /// What the operating system said.
        source: io::Error,
    },
    /// The engine doesn't start, or didn't stop in an orderly way.
    #[error("the embedded ClickHouse engine: {0}")]
    Engine(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The database can't be made.
    #[error("making the database {DATABASE} in ClickHouse failed ({source})")]
    Database {
        /// What the engine said.
        source: clickhouse::error::Error,
    },
    /// The data directory can't be used.
    #[error(transparent)]
    DataDirectory(#[from] DataDirectoryError),
    /// The socket's directory can't be used.
    #[error(transparent)]
    SocketDirectory(#[from] SocketDirectoryError),
}

impl From<SupervisionError> for ClickHouseError {
    fn from(failure: SupervisionError) -> Self {
        Self::Engine(Box::new(failure))
    }
}

/// Where analytics go.
#[derive(Debug)]
pub enum ClickHouseAvailability {
    /// To a server, whose address was given.
    Server(Box<Client>),
    /// To the engine in a child of ours.
    Embedded(Box<EmbeddedClickHouse>),
    /// Nowhere: the product runs without analytics, and says so.
    Off(LibraryMissing),
    /// Nowhere that this process would ask: analytics is other processes' affair.
    Unused,
}

impl ClickHouseAvailability {
    /// The one place that chooses between a server (`url`, from `clickhouse.url`), the engine under
    /// `data`, and neither. A library that is missing is a state; one that is there and doesn't
    /// work is an error.
    pub async fn choose(
        url: Option<&str>,
        data: Option<&DataDirectory>,
        options: ClickHouseOptions,
    ) -> Result<Self, ClickHouseError> {
        let data = match (url, data) {
            (Some(url), _) => return Ok(Self::Server(Box::new(server_client(url)?))),
            (None, None) => return Ok(Self::Unused),
            (None, Some(data)) => data,
        };
        match EmbeddedClickHouse::start(data, options).await {
            Ok(embedded) => Ok(Self::Embedded(Box::new(embedded))),
            Err(ClickHouseError::Library(missing)) => {
                tracing::warn!(reason = %missing, "analytics are off");
                Ok(Self::Off(missing))
            }
            Err(failure) => Err(failure),
        }
    }

    /// The client, unless analytics are off.
    pub fn client(&self) -> Option<Client> {
        match self {
            Self::Server(client) => Some((**client).clone()),
            Self::Embedded(embedded) => Some(embedded.client()),
            Self::Off(_) | Self::Unused => None,
        }
    }

    /// Stops what was started.
    pub async fn stop(self) -> Result<(), ClickHouseError> {
        match self {
            Self::Server(_) | Self::Off(_) | Self::Unused => Ok(()),
            Self::Embedded(embedded) => embedded.stop().await,
        }
    }
}

/// A client of the server at `url`: `http[s]://[user[:password]@]host[:port][/][?database=name]`,
/// with [`DATABASE`] as the database unless the address names one.
pub fn server_client(url: &str) -> Result<Client, ClickHouseError> {
    let refuse = |reason: &str| ClickHouseError::Url {
        reason: reason.to_owned(),
    };
    let mut url = Url::parse(url).map_err(|failure| refuse(&failure.to_string()))?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(refuse("it has another scheme"));
    }
    let decode = |text: &str| {
        percent_encoding::percent_decode_str(text)
            .decode_utf8_lossy()
            .into_owned()
    };
    let user = decode(url.username());
    let password = url.password().map(decode);
    // The client sends them as headers; left in the address they would end up in messages.
    url.set_username("")
        .map_err(|()| refuse("it names no host"))?;
    url.set_password(None)
        .map_err(|()| refuse("it names no host"))?;
    let mut client = configured(Client::default()).with_url(url);
    if !user.is_empty() {
        client = client.with_user(user);
    }
    if let Some(password) = password {
        client = client.with_password(password);
    }
    Ok(client)
}

/// What every client of ours sets, whatever it talks to.
fn configured(client: Client) -> Client {
    client
        .with_database(DATABASE)
        // An INSERT that is acknowledged before it is written would be lost with the server; newer
        // versions do that by default.
        .with_setting("async_insert", "0")
}

/// The running engine. Stop it with [`EmbeddedClickHouse::stop`]; dropping it stops it too, and
/// blocks meanwhile.
#[derive(Debug)]
pub struct EmbeddedClickHouse {
    supervisor: Supervisor,
    client: Client,
    /// Removed, if temporary, after the engine.
    _socket_directory: SocketDirectory,
}

impl EmbeddedClickHouse {
    /// Starts the engine over the tables under `data`, with the database [`DATABASE`]. Returns once
    /// it answers.
    pub async fn start(
        data: &DataDirectory,
        options: ClickHouseOptions,
    ) -> Result<Self, ClickHouseError> {
        let library = library::find(options.library.as_deref())?;
        let program = match options.program {
            Some(program) => program,
            None => {
                std::env::current_exe().map_err(|source| ClickHouseError::Program { source })?
            }
        };
        let socket_directory = SocketDirectory::create(data, SOCKET_SERVICE, SOCKET_NAME, None)?;
        let socket = socket_directory.path().join(SOCKET_NAME);
        let bare_client = client_of_socket(socket.clone());
        let child = EngineChild {
            program,
            library,
            data: data.subdirectory(DIRECTORY)?,
            socket,
            client: bare_client.clone(),
        };
        let supervisor = Supervisor::start(child, &data.subdirectory("logs")?).await?;
        bare_client
            .query("CREATE DATABASE IF NOT EXISTS hissaback ENGINE = Atomic")
            .execute()
            .await
            .map_err(|source| ClickHouseError::Database { source })?;
        Ok(Self {
            supervisor,
            client: configured(bare_client),
            _socket_directory: socket_directory,
        })
    }

    /// A client of the engine that another process of the same user runs over the data directory
    /// at `path`. Whether one does, its first answer tells.
    pub fn client_of_running(path: &Path) -> Result<Client, ClickHouseError> {
        let socket = socket_directory::locate(path, SOCKET_SERVICE, SOCKET_NAME)?;
        Ok(configured(client_of_socket(socket)))
    }

    /// A client of the engine, from this process and its user only. While the engine is being
    /// started again its requests fail as those to a server that is down.
    pub fn client(&self) -> Client {
        self.client.clone()
    }

    /// The engine's health now, and every change of it.
    pub fn health(&self) -> watch::Receiver<Health> {
        self.supervisor.health()
    }

    /// Lets the requests under way finish, stops the engine and waits until it is gone.
    pub async fn stop(mut self) -> Result<(), ClickHouseError> {
        Ok(self.supervisor.stop().await?)
    }
}

fn client_of_socket(socket: PathBuf) -> Client {
    let http_client = HttpClient::builder(TokioExecutor::new())
        .pool_idle_timeout(POOL_IDLE_TIMEOUT)
        .pool_timer(hyper_util::rt::TokioTimer::new())
        .build(UnixConnector::new(socket));
    Client::with_http_client(http_client)
        // The host is for the request's head only: the connector has one place to go.
        .with_url("http://clickhouse-engine")
        // Compressing for a socket on the same machine costs more than it saves.
        .with_compression(clickhouse::Compression::None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_that_is_none_is_refused_without_its_password() {
        for address in [
            "",
            "localhost:8123",
            "tcp://user:secret@host:9000",
            "http://",
        ] {
            let refused = match server_client(address) {
                Ok(_) => panic!("{address} was taken"),
                Err(refused) => refused.to_string(),
            };
            assert!(
                refused.contains("CLICKHOUSE_URL") && !refused.contains("secret"),
                "{refused}"
            );
        }
        server_client("https://user:secret@host:8443").expect("it is an address");
    }
}
