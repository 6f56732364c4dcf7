//! Where each service is, embedded or elsewhere, and whether a process can do with that.
//!
//! An embedded service belongs to the process that has its data directory. So `up` and the
//! operators' commands may embed whatever isn't configured; a role that is a process of its own,
//! beside others, needs services that it can share with them.

use std::{net::SocketAddr, path::PathBuf};

use secrecy::SecretString;
use sinks::analytics::Cluster;
use sqlx::postgres::PgConnectOptions;
use stream::{
    kafka::{
        KafkaSettings,
        topics::{TopicSettings, TopicTimes},
    },
    registry::RegistrySettings,
};

use crate::{
    configuration::{Configuration, ConfigurationError, SecretsSource},
    roles::Role,
    secrets::SecretsError,
};

/// Where the services of one process are.
#[derive(Debug, Clone)]
pub struct Placement {
    /// The role that the process has, where it has one only.
    pub role: Option<Role>,
    /// The log.
    pub log: LogPlace,
    /// The ledger's database.
    pub postgres: PostgresPlace,
    /// The analysts' database.
    pub clickhouse: ClickHousePlace,
    /// Keys and tokens; nothing where the process has no use for them.
    pub secrets: Option<SecretsSource>,
    /// The directory of what is embedded; nothing where nothing is.
    pub data_dir: Option<PathBuf>,
}

/// Where the log is.
#[derive(Debug, Clone)]
pub enum LogPlace {
    /// In this process.
    Embedded,
    /// On brokers.
    Kafka(Box<KafkaPlace>),
}

/// A log on brokers.
#[derive(Debug, Clone)]
pub struct KafkaPlace {
    /// How the brokers are reached.
    pub brokers: KafkaSettings,
    /// How topics are made, and who sets append times.
    pub topics: TopicSettings,
    /// Where schemas are.
    pub registry: RegistryPlace,
}

/// Where the schemas of a log on brokers are.
#[derive(Debug, Clone)]
pub enum RegistryPlace {
    /// In this process, at this address of the loopback, or wherever there is a free port.
    Embedded(Option<SocketAddr>),
    /// A server.
    Server(RegistrySettings),
}

/// Where PostgreSQL is.
#[derive(Debug, Clone)]
pub enum PostgresPlace {
    /// A child of this process.
    Embedded,
    /// A server.
    Server {
        /// How to connect as the writer.
        writer: Box<PgConnectOptions>,
        /// How to connect as an operator, where the process does.
        operator: Option<Box<PgConnectOptions>>,
        /// How to connect as the API, where that is configured.
        api: Option<Box<PgConnectOptions>>,
        /// Connections as the writer, at most.
        connections: u32,
    },
}

/// Where ClickHouse is.
#[derive(Debug, Clone)]
pub enum ClickHousePlace {
    /// A child of this process.
    Embedded,
    /// A server at this address, or a cluster of them.
    Server(SecretString, Option<Cluster>),
    /// Nowhere that this process would ask.
    Unused,
}

/// Why a process can't do with where its services are.
#[derive(Debug, thiserror::Error)]
pub enum PlacementError {
    /// A role of its own over an embedded service.
    #[error(
        "`hissaback {role}` is a process of its own, and an embedded {service} belongs to one \
         process: set {key} ({variable}), or run every role together with `hissaback up`"
    )]
    NotShared {
        /// The role.
        role: Role,
        /// What would be embedded.
        service: &'static str,
        /// The key that names one elsewhere.
        key: &'static str,
        /// The variable that goes before the key.
        variable: &'static str,
    },
    /// The operator's address is missing.
    #[error(
        "{command} reads the database as an operator: set postgres.operator_url \
         (DATABASE_OPERATOR_URL)"
    )]
    NoOperator {
        /// The command.
        command: String,
    },
    /// The shared secrets are missing.
    #[error(transparent)]
    Secrets(#[from] SecretsError),
    /// A value can't be used.
    #[error(transparent)]
    Configuration(#[from] ConfigurationError),
}

impl Placement {
    /// For a process that may embed whatever isn't configured.
    ///
    /// # Errors
    /// When a value can't be used, or a server's database is to be read without an operator's
    /// rights.
    pub fn of_everything(
        configuration: &Configuration,
        data_dir: PathBuf,
    ) -> Result<Self, PlacementError> {
        let cluster = configuration.clickhouse.cluster()?;
        let clickhouse = match &configuration.clickhouse.url {
            Some(url) => ClickHousePlace::Server(url.clone(), cluster),
            None => ClickHousePlace::Embedded,
        };
        Self {
            role: None,
            log: log_place(configuration)?,
            postgres: postgres_place(configuration, Some("this command"))?,
            clickhouse,
            secrets: Some(configuration.secrets.clone()),
            data_dir: None,
        }
        .over(data_dir)
    }

    /// For an operator's command. Beside a server that others use it embeds no ClickHouse: there
    /// would be nothing in it.
    ///
    /// # Errors
    /// As [`Placement::of_everything`].
    pub fn of_command(
        configuration: &Configuration,
        data_dir: PathBuf,
    ) -> Result<Self, PlacementError> {
        let mut placement = Self::of_everything(configuration, data_dir.clone())?;
        let beside_others = matches!(placement.postgres, PostgresPlace::Server { .. });
        if beside_others && matches!(placement.clickhouse, ClickHousePlace::Embedded) {
            placement.clickhouse = ClickHousePlace::Unused;
        }
        placement.over(data_dir)
    }

    /// For a command that only reads the log and the ledger: it has no key, and no analytics.
    ///
    /// # Errors
    /// As [`Placement::of_everything`].
    pub fn of_clean_room(
        configuration: &Configuration,
        data_dir: PathBuf,
    ) -> Result<Self, PlacementError> {
        Self {
            role: None,
            log: log_place(configuration)?,
            postgres: postgres_place(configuration, Some("this command"))?,
            clickhouse: ClickHousePlace::Unused,
            secrets: None,
            data_dir: None,
        }
        .over(data_dir)
    }

    /// For a role that is a process of its own.
    ///
    /// # Errors
    /// When a service would be embedded that other processes need too; when a value can't be used.
    pub fn of_role(
        role: Role,
        configuration: &Configuration,
        data_dir: PathBuf,
    ) -> Result<Self, PlacementError> {
        let not_shared = |service, key, variable| PlacementError::NotShared {
            role,
            service,
            key,
            variable,
        };
        let log = log_place(configuration)?;
        if matches!(log, LogPlace::Embedded) {
            return Err(not_shared("log", "kafka.brokers", "KAFKA_BROKERS"));
        }
        let command = format!("`hissaback {role}`");
        let operator = role.reads_as_operator().then_some(command.as_str());
        let postgres = postgres_place(configuration, operator)?;
        if matches!(postgres, PostgresPlace::Embedded) {
            return Err(not_shared("PostgreSQL", "postgres.url", "DATABASE_URL"));
        }
        // Analytics alone may have an engine of its own: nobody else writes to it.
        let cluster = configuration.clickhouse.cluster()?;
        let clickhouse = match (&configuration.clickhouse.url, role) {
            (Some(url), role) if role.asks_clickhouse() => {
                ClickHousePlace::Server(url.clone(), cluster)
            }
            (None, Role::Analytics) => ClickHousePlace::Embedded,
            _ => ClickHousePlace::Unused,
        };
        Self {
            role: Some(role),
            log,
            postgres,
            clickhouse,
            secrets: role.uses_secrets().then(|| configuration.secrets.clone()),
            data_dir: None,
        }
        .over(data_dir)
    }

    /// With a data directory, if anything is embedded; else the secrets have to be configured.
    fn over(mut self, data_dir: PathBuf) -> Result<Self, PlacementError> {
        let embeds = matches!(self.log, LogPlace::Embedded)
            || matches!(self.postgres, PostgresPlace::Embedded)
            || matches!(self.clickhouse, ClickHousePlace::Embedded);
        self.data_dir = embeds.then_some(data_dir);
        // Shared services go with shared secrets: those of a data directory are one process's.
        let shares = self.role.is_some() || !embeds;
        let nowhere = |source: &SecretsSource| source.file.is_none() && source.json.is_none();
        if shares && self.secrets.as_ref().is_some_and(nowhere) {
            return Err(SecretsError::Nowhere.into());
        }
        Ok(self)
    }
}

fn log_place(configuration: &Configuration) -> Result<LogPlace, ConfigurationError> {
    let place = kafka_place(configuration)?.map(Box::new);
    Ok(place.map_or(LogPlace::Embedded, LogPlace::Kafka))
}

/// Where the log on brokers is, if any are configured.
///
/// # Errors
/// When a value can't be used.
pub fn kafka_place(
    configuration: &Configuration,
) -> Result<Option<KafkaPlace>, ConfigurationError> {
    let Some(brokers) = configuration.kafka.settings()? else {
        return Ok(None);
    };
    let registry = &configuration.schema_registry;
    let registry = match registry.settings(&brokers.topic_prefix)? {
        Some(settings) => RegistryPlace::Server(settings),
        None => RegistryPlace::Embedded(registry.listen),
    };
    Ok(Some(KafkaPlace {
        brokers,
        topics: configuration.kafka.topics(TopicTimes::Broker),
        registry,
    }))
}

/// `operator` is the command that reads as one, if any.
fn postgres_place(
    configuration: &Configuration,
    operator: Option<&str>,
) -> Result<PostgresPlace, PlacementError> {
    let postgres = &configuration.postgres;
    let Some(writer) = postgres.writer()? else {
        return Ok(PostgresPlace::Embedded);
    };
    let operator = match operator {
        Some(command) => {
            let options = postgres.operator()?;
            let missing = || PlacementError::NoOperator {
                command: command.to_owned(),
            };
            Some(Box::new(options.ok_or_else(missing)?))
        }
        None => None,
    };
    Ok(PostgresPlace::Server {
        writer: Box::new(writer),
        operator,
        api: postgres.api()?.map(Box::new),
        connections: postgres.connections,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const DIRECTORY: &str = "/data";

    fn external() -> Configuration {
        toml::from_str(
            "[kafka]\nbrokers = \"k:9092\"\n\
             [postgres]\nurl = \"postgres://w@p/h\"\noperator_url = \"postgres://o@p/h\"\n\
             [clickhouse]\nurl = \"http://c:8123\"\n\
             [secrets]\nfile = \"/run/secrets.json\"\n",
        )
        .expect("valid")
    }

    fn refusal(role: Role, configuration: &Configuration) -> String {
        match Placement::of_role(role, configuration, DIRECTORY.into()) {
            Ok(_) => panic!("{role} should have been refused"),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn without_configuration_everything_is_embedded() {
        let placement = Placement::of_everything(&Configuration::default(), DIRECTORY.into());
        let placement = placement.expect("possible");
        assert!(matches!(placement.log, LogPlace::Embedded));
        assert!(matches!(placement.postgres, PostgresPlace::Embedded));
        assert!(matches!(placement.clickhouse, ClickHousePlace::Embedded));
        assert_eq!(placement.data_dir, Some(DIRECTORY.into()));
    }

    #[test]
    fn a_process_that_embeds_nothing_has_no_data_directory() {
        let everything = Placement::of_everything(&external(), DIRECTORY.into());
        assert_eq!(everything.expect("possible").data_dir, None);
        for role in Role::ALL {
            let placement = Placement::of_role(role, &external(), DIRECTORY.into());
            let placement = placement.unwrap_or_else(|error| panic!("{role}: {error}"));
            assert_eq!(placement.data_dir, None, "{role}");
            assert_eq!(placement.secrets.is_some(), role.uses_secrets(), "{role}");
        }
    }

    #[test]
    fn a_role_of_its_own_needs_services_that_it_can_share() {
        for role in Role::ALL {
            let mut configuration = external();
            configuration.kafka.brokers = None;
            assert!(
                refusal(role, &configuration).contains("kafka.brokers"),
                "{role}"
            );
            let mut configuration = external();
            configuration.postgres.url = None;
            assert!(
                refusal(role, &configuration).contains("postgres.url"),
                "{role}"
            );
        }
    }

    #[test]
    fn who_works_with_secrets_or_as_an_operator_has_to_be_given_them() {
        let mut configuration = external();
        configuration.secrets = SecretsSource::default();
        configuration.postgres.operator_url = None;
        assert!(refusal(Role::Api, &configuration).contains("postgres.operator_url"));
        assert!(refusal(Role::Ingest, &configuration).contains("secrets.file"));
        let ledger = Placement::of_role(Role::Ledger, &configuration, DIRECTORY.into());
        assert!(ledger.is_ok());
        let everything = Placement::of_everything(&configuration, DIRECTORY.into());
        assert!(everything.is_err());
    }

    #[test]
    fn a_command_beside_other_processes_embeds_no_clickhouse() {
        let mut configuration = external();
        configuration.clickhouse.url = None;
        let command = Placement::of_command(&configuration, DIRECTORY.into());
        let command = command.expect("possible");
        assert!(matches!(command.clickhouse, ClickHousePlace::Unused));
        assert_eq!(command.data_dir, None);
        let alone = Placement::of_command(&Configuration::default(), DIRECTORY.into());
        let alone = alone.expect("possible");
        assert!(matches!(alone.clickhouse, ClickHousePlace::Embedded));
    }

    #[test]
    fn a_clean_room_has_neither_keys_nor_analytics() {
        let mut configuration = external();
        configuration.secrets = SecretsSource::default();
        for configuration in [configuration, Configuration::default()] {
            let room = Placement::of_clean_room(&configuration, DIRECTORY.into());
            let room = room.expect("possible");
            assert!(room.secrets.is_none());
            assert!(matches!(room.clickhouse, ClickHousePlace::Unused));
        }
    }

    #[test]
    fn analytics_alone_may_have_an_engine_of_its_own() {
        let mut configuration = external();
        configuration.clickhouse.url = None;
        let place = |role| {
            let placement = Placement::of_role(role, &configuration, DIRECTORY.into());
            placement.expect("possible")
        };
        let analytics = place(Role::Analytics);
        assert!(matches!(analytics.clickhouse, ClickHousePlace::Embedded));
        assert_eq!(analytics.data_dir, Some(DIRECTORY.into()));
        assert!(matches!(
            place(Role::Api).clickhouse,
            ClickHousePlace::Unused
        ));
    }
}
