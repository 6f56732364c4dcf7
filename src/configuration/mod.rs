//! Configuration: one TOML file, small structs per concern, read once; variables of the environment
//! go before it ([`OVERRIDES`]). `hissaback.example.toml` documents every key with its default. A
//! key that isn't known, or a value that can't be used, is refused at start with the key's name.

mod agcod;
mod environment;
mod intake;
mod kafka;
mod messages;
mod retention;
mod services;
mod trackier;

use std::{
    collections::BTreeMap,
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
};

use serde::Deserialize;
use toml::Table;
use url::Url;

pub use agcod::Agcod;
pub use environment::{Environment, OVERRIDES, Override, VARIABLES, knows_variable};
pub use intake::{Edge, Postbacks};
pub use kafka::{Kafka, SecurityProtocol};
pub use messages::Messages;
pub use retention::Retention;
pub use services::{ClickHouse, Postgres, SchemaRegistry, SecretsSource};
pub use trackier::{Daily, Trackier};

/// Everything that can be configured.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Configuration {
    /// HTTP.
    pub http: Http,
    /// The log: Apache Kafka where brokers are named, else embedded.
    pub kafka: Kafka,
    /// The schema registry; without one, schemas go by the ids that the program carries.
    pub schema_registry: SchemaRegistry,
    /// PostgreSQL: a server where its address is given, else embedded.
    pub postgres: Postgres,
    /// ClickHouse: a server where its address is given, else embedded.
    pub clickhouse: ClickHouse,
    /// Keys and tokens that several processes have in common.
    pub secrets: SecretsSource,
    /// How long things are kept.
    pub retention: Retention,
    /// The proof of replay, by schedule.
    pub verification: Verification,
    /// Whom postbacks are taken from, by network instance.
    pub postbacks: BTreeMap<String, Postbacks>,
    /// A redirect that runs in a content delivery network.
    pub edge: Edge,
    /// The network's own API.
    pub trackier: Trackier,
    /// Gift cards; without it, payouts are requested and stay queued.
    pub agcod: Option<Agcod>,
    /// How shoppers are told.
    pub messages: Messages,
}

/// The whole log folded anew and compared with the ledger, by schedule.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Verification {
    /// Whether that is done once a day.
    pub daily: bool,
}

/// How HTTP is served.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Http {
    /// Address and port.
    pub listen: SocketAddr,
    /// Where the outside finds the process, such as `https://hissaback.app`: smart links begin with
    /// it. The address that is listened on, where absent.
    pub public_url: Option<String>,
    /// Networks of proxies whose forwarded headers are believed.
    pub trusted_proxies: Vec<String>,
}

impl Default for Http {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 8080)),
            public_url: None,
            trusted_proxies: vec!["127.0.0.0/8".to_owned(), "::1/128".to_owned()],
        }
    }
}

/// Why a configuration can't be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigurationError {
    /// The file can't be read.
    #[error("the configuration {path} can't be read: {source}")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// The file isn't valid TOML, or has a key or type that isn't known.
    #[error("the configuration {path} is not valid: {source}")]
    Invalid {
        /// The file.
        path: PathBuf,
        /// Where and why.
        source: Box<toml::de::Error>,
    },
    /// A variable of the environment can't be used.
    #[error("the environment's {variable} can't be used: {reason}")]
    Variable {
        /// Its name.
        variable: String,
        /// Why; the value itself may be a secret.
        reason: String,
    },
    /// The file and the environment together don't make a configuration.
    #[error("the configuration, with what the environment overrides, is not valid: {0}")]
    Overridden(Box<toml::de::Error>),
    /// A value can't be used.
    #[error("the configuration's {key} can't be used: {reason}")]
    Value {
        /// The key, dotted.
        key: &'static str,
        /// Why.
        reason: String,
    },
}

fn refused<E: std::fmt::Display>(key: &'static str) -> impl FnOnce(E) -> ConfigurationError {
    move |error| ConfigurationError::Value {
        key,
        reason: error.to_string(),
    }
}

impl Configuration {
    /// Reads a file, the defaults where there is none, with what the process's environment
    /// overrides.
    ///
    /// # Errors
    /// When the file can't be read, or holds a key or value that can't be used; when a variable
    /// can't be used.
    pub fn read(path: Option<&Path>) -> Result<Self, ConfigurationError> {
        Self::read_with(path, &Environment::of_process())
    }

    /// Reads a file, the defaults where there is none, with what `environment` overrides.
    ///
    /// # Errors
    /// As [`Configuration::read`].
    pub fn read_with(
        path: Option<&Path>,
        environment: &Environment,
    ) -> Result<Self, ConfigurationError> {
        let text = match path {
            Some(path) => {
                fs::read_to_string(path).map_err(|source| ConfigurationError::Unreadable {
                    path: path.to_owned(),
                    source,
                })?
            }
            None => String::new(),
        };
        let invalid = |source| ConfigurationError::Invalid {
            path: path.unwrap_or(Path::new("")).to_owned(),
            source: Box::new(source),
        };
        let overrides = environment.overrides()?;
        if overrides.is_empty() {
            // Straight from the text, so that an error shows its line.
            return toml::from_str(&text).map_err(invalid);
        }
        let mut table: Table = toml::from_str(&text).map_err(invalid)?;
        for (key, value) in overrides {
            environment::set(&mut table, key, value);
        }
        table
            .try_into()
            .map_err(|error| ConfigurationError::Overridden(Box::new(error)))
    }
}

impl Http {
    /// What links begin with, without a slash at its end.
    ///
    /// # Errors
    /// When it isn't an address of a web site.
    pub fn public_url(&self) -> Result<String, ConfigurationError> {
        let Some(text) = &self.public_url else {
            return Ok(format!("http://{}", self.listen));
        };
        let url = Url::parse(text).map_err(refused("http.public_url"))?;
        if !["http", "https"].contains(&url.scheme()) || url.query().is_some() {
            return Err(refused("http.public_url")("such as https://hissaback.app"));
        }
        Ok(url.as_str().trim_end_matches('/').to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn documented() -> String {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("hissaback.example.toml");
        fs::read_to_string(path).expect("the documented file")
    }

    #[test]
    fn the_documented_file_is_valid_and_says_what_the_defaults_are() {
        let documented: Configuration = toml::from_str(&documented()).expect("valid");
        let default = Configuration::default();
        assert_eq!(format!("{documented:?}"), format!("{default:?}"));
    }

    /// What is commented out is documentation too: it has to be of the form that is read.
    #[test]
    fn the_documented_file_is_valid_with_every_key_switched_on() {
        let documented = documented();
        let keys: Vec<&str> = documented
            .lines()
            .map(|line| line.strip_prefix("# ").unwrap_or(line))
            .filter(|line| line.starts_with('[') || line.contains(" = "))
            .collect();
        let all: Configuration = toml::from_str(&keys.join("\n")).expect("valid");
        assert!(all.agcod.is_some() && all.kafka.brokers.is_some());
    }

    #[test]
    fn the_environment_goes_before_the_file() {
        let file = tempfile::NamedTempFile::new().expect("a file");
        fs::write(file.path(), "[kafka]\nbrokers = \"old:9092\"\n").expect("written");
        let environment = Environment::new([
            ("KAFKA_BROKERS", "new:9092"),
            ("HISSABACK_LISTEN", "0.0.0.0:81"),
        ]);
        let read = Configuration::read_with(Some(file.path()), &environment).expect("valid");
        assert_eq!(read.kafka.brokers.as_deref(), Some("new:9092"));
        assert_eq!(read.http.listen, SocketAddr::from(([0, 0, 0, 0], 81)));
    }

    #[test]
    fn what_the_environment_gives_is_checked_like_a_file() {
        let environment = Environment::new([("HISSABACK_LISTEN", "everywhere")]);
        let error = Configuration::read_with(None, &environment).expect_err("refused");
        assert!(error.to_string().contains("socket address"), "{error}");
    }

    #[test]
    fn a_key_that_is_not_known_is_refused_by_name() {
        let error =
            toml::from_str::<Configuration>("[http]\nlisten_on = \"x\"").expect_err("refused");
        assert!(error.to_string().contains("listen_on"), "{error}");
    }
}
