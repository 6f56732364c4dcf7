//! `[schema_registry]`, `[postgres]`, `[clickhouse]`, `[secrets]`: services elsewhere, and what a
//! process needs to speak to them.

use std::{net::SocketAddr, path::PathBuf};

use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use sinks::analytics::Cluster;
use sqlx::{ConnectOptions, postgres::PgConnectOptions};
use stream::registry::RegistrySettings;
use url::Url;

use super::{ConfigurationError, refused};

/// A schema registry with Confluent's API.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SchemaRegistry {
    /// Its address, `http[s]://[user:password@]host[:port][/path]`.
    pub url: Option<SecretString>,
    /// A bearer token, instead of user and password.
    pub token: Option<SecretString>,
    /// PEM file of the authorities that its certificate is checked against; Mozilla's where there
    /// is none.
    pub ca_file: Option<PathBuf>,
    /// Where the process serves an embedded registry, if none is configured, on a loopback
    /// address; any free port where this is absent.
    pub listen: Option<SocketAddr>,
}

impl SchemaRegistry {
    /// How the registry is reached, where one is configured. Its subjects are those of topics with
    /// this prefix.
    ///
    /// # Errors
    /// When its address isn't an http or https one.
    pub fn settings(
        &self,
        topic_prefix: &str,
    ) -> Result<Option<RegistrySettings>, ConfigurationError> {
        let Some(url) = &self.url else {
            return Ok(None);
        };
        let url = address(url, "schema_registry.url", &["http", "https"])?;
        Ok(Some(RegistrySettings {
            token: self.token.clone(),
            ca_file: self.ca_file.clone(),
            topic_prefix: topic_prefix.to_owned(),
            ..RegistrySettings::at(url)
        }))
    }
}

/// PostgreSQL: an address per role of the database, since each has rights of its own.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Postgres {
    /// As `hissaback_writer`, or a member of it: `postgres://user:password@host/database`.
    pub url: Option<SecretString>,
    /// As `hissaback_operator`: for the API and the operators' commands.
    pub operator_url: Option<SecretString>,
    /// As `hissaback_api`: for shoppers and creators; without it there is no sign-in.
    pub api_url: Option<SecretString>,
    /// As the owner of the database: for `hissaback migrate`.
    pub owner_url: Option<SecretString>,
    /// How many connections a process may have open as the writer.
    pub connections: u32,
}

impl Default for Postgres {
    fn default() -> Self {
        Self {
            url: None,
            operator_url: None,
            api_url: None,
            owner_url: None,
            connections: 24,
        }
    }
}

impl Postgres {
    /// How to connect as the writer, where a server is configured.
    ///
    /// # Errors
    /// When the address can't be read.
    pub fn writer(&self) -> Result<Option<PgConnectOptions>, ConfigurationError> {
        if self.connections < 2 {
            return Err(refused("postgres.connections")("two are the least"));
        }
        connect_options(self.url.as_ref(), "postgres.url")
    }

    /// How to connect as an operator, where that is configured.
    ///
    /// # Errors
    /// When the address can't be read.
    pub fn operator(&self) -> Result<Option<PgConnectOptions>, ConfigurationError> {
        connect_options(self.operator_url.as_ref(), "postgres.operator_url")
    }

    /// How to connect as the API, where that is configured.
    ///
    /// # Errors
    /// When the address can't be read.
    pub fn api(&self) -> Result<Option<PgConnectOptions>, ConfigurationError> {
        connect_options(self.api_url.as_ref(), "postgres.api_url")
    }

    /// How to connect as the owner, where that is configured.
    ///
    /// # Errors
    /// When the address can't be read.
    pub fn owner(&self) -> Result<Option<PgConnectOptions>, ConfigurationError> {
        connect_options(self.owner_url.as_ref(), "postgres.owner_url")
    }
}

fn connect_options(
    url: Option<&SecretString>,
    key: &'static str,
) -> Result<Option<PgConnectOptions>, ConfigurationError> {
    let Some(url) = url else { return Ok(None) };
    let url = address(url, key, &["postgres", "postgresql"])?;
    let options = PgConnectOptions::from_url(&url).map_err(refused(key))?;
    Ok(Some(
        options
            .application_name("hissaback")
            // Slow statements are the caller's to log: their text may hold values.
            .disable_statement_logging(),
    ))
}

/// ClickHouse. Without an address the engine is embedded.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ClickHouse {
    /// `http[s]://[user[:password]@]host[:port][/?database=name]`.
    pub url: Option<SecretString>,
    /// The servers' name for the cluster that they are, if they are one.
    pub cluster: Option<String>,
}

impl ClickHouse {
    /// The cluster whose servers hold replicated tables, where one is configured.
    ///
    /// # Errors
    /// When its name can't be one, or no server is configured.
    pub fn cluster(&self) -> Result<Option<Cluster>, ConfigurationError> {
        let Some(name) = &self.cluster else {
            return Ok(None);
        };
        let key = "clickhouse.cluster";
        if self.url.is_none() {
            return Err(refused(key)(
                "the embedded engine is no cluster: set clickhouse.url",
            ));
        }
        Cluster::new(name).map(Some).map_err(refused(key))
    }
}

/// Where keys and tokens come from that several processes have in common. Without either, they
/// are in the data directory.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SecretsSource {
    /// A file that `hissaback secrets` made.
    pub file: Option<PathBuf>,
    /// What stands in such a file: meant for the variable `HISSABACK_SECRETS`.
    pub json: Option<SecretString>,
}

/// An address with one of these schemes. What is wrong with it is told without it, since it may
/// hold a password.
fn address(
    url: &SecretString,
    key: &'static str,
    schemes: &[&str],
) -> Result<Url, ConfigurationError> {
    let url = Url::parse(url.expose_secret()).map_err(refused(key))?;
    if schemes.contains(&url.scheme()) {
        Ok(url)
    } else {
        Err(refused(key)(format!(
            "it has to begin with {}://",
            schemes[0]
        )))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secret(text: &str) -> SecretString {
        text.to_owned().into()
    }

    fn complaint<T>(result: Result<T, ConfigurationError>) -> String {
        match result {
            Ok(_) => panic!("it should have been refused"),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn an_address_is_refused_without_its_password() {
        let postgres = |url| Postgres {
            url: Some(secret(url)),
            ..Postgres::default()
        };
        for url in ["mysql://u:sesame@h/d", "postgres://u:sesame@h:port/d"] {
            let complaint = complaint(postgres(url).writer());
            assert!(
                complaint.contains("postgres.url") && !complaint.contains("sesame"),
                "{complaint}"
            );
        }
        let found = postgres("postgres://hissaback_writer:sesame@db:5433/hissaback").writer();
        let found = found.expect("usable").expect("an address");
        assert_eq!((found.get_host(), found.get_port()), ("db", 5433));
        let replicated = |url: Option<&str>, cluster: &str| ClickHouse {
            url: url.map(secret),
            cluster: Some(cluster.to_owned()),
        };
        let server = Some("http://ch:8123");
        assert!(
            replicated(server, "all")
                .cluster()
                .is_ok_and(|cluster| cluster.is_some())
        );
        for (url, cluster) in [(None, "all"), (server, "all'")] {
            assert!(complaint(replicated(url, cluster).cluster()).contains("clickhouse.cluster"));
        }
        let registry = SchemaRegistry {
            url: Some(secret("ftp://u:sesame@h")),
            ..SchemaRegistry::default()
        };
        assert!(complaint(registry.settings("")).contains("schema_registry.url"));
    }
}
