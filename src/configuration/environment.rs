//! Variables of the environment: which there are, and which key each goes before.
//!
//! A name with `_FILE` at its end gives the path of a file that holds the value, as orchestrators
//! hand out secrets. A variable that is set to nothing counts as not set.

use std::{collections::BTreeMap, env, fs};

use toml::{Table, Value};

use super::ConfigurationError;

/// A variable that goes before a key of the configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Override {
    /// The variable.
    pub variable: &'static str,
    /// The key, dotted.
    pub key: &'static str,
    /// What the variable's text stands for.
    pub form: Form,
}

/// What the text of a variable stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// Itself.
    Text,
    /// A whole number.
    Number,
    /// Several texts with commas between them.
    List,
}

const fn text(variable: &'static str, key: &'static str) -> Override {
    Override {
        variable,
        key,
        form: Form::Text,
    }
}

const fn number(variable: &'static str, key: &'static str) -> Override {
    Override {
        variable,
        key,
        form: Form::Number,
    }
}

/// Every variable that goes before a key.
pub const OVERRIDES: &[Override] = &[
    text("HISSABACK_LISTEN", "http.listen"),
    Override {
        variable: "HISSABACK_TRUSTED_PROXIES",
        key: "http.trusted_proxies",
        form: Form::List,
    },
    text("HISSABACK_SECRETS", "secrets.json"),
    text("KAFKA_BROKERS", "kafka.brokers"),
    text("KAFKA_SECURITY_PROTOCOL", "kafka.security_protocol"),
    text("KAFKA_SASL_MECHANISM", "kafka.sasl_mechanism"),
    text("KAFKA_SASL_USERNAME", "kafka.sasl_username"),
    text("KAFKA_SASL_PASSWORD", "kafka.sasl_password"),
    text("KAFKA_SSL_CA_FILE", "kafka.ssl_ca_file"),
    text("KAFKA_SSL_CERTIFICATE_FILE", "kafka.ssl_certificate_file"),
    text("KAFKA_SSL_KEY_FILE", "kafka.ssl_key_file"),
    text("KAFKA_TOPIC_PREFIX", "kafka.topic_prefix"),
    text("KAFKA_CLIENT_ID", "kafka.client_id"),
    text("KAFKA_GROUP_INSTANCE_ID", "kafka.group_instance_id"),
    number("KAFKA_REPLICATION_FACTOR", "kafka.replication_factor"),
    number("KAFKA_MIN_INSYNC_REPLICAS", "kafka.min_insync_replicas"),
    text("SCHEMA_REGISTRY_URL", "schema_registry.url"),
    text("SCHEMA_REGISTRY_TOKEN", "schema_registry.token"),
    text("SCHEMA_REGISTRY_CA_FILE", "schema_registry.ca_file"),
    text("DATABASE_URL", "postgres.url"),
    text("DATABASE_OPERATOR_URL", "postgres.operator_url"),
    text("DATABASE_API_URL", "postgres.api_url"),
    text("HISSABACK_PUBLIC_URL", "http.public_url"),
    text("DATABASE_OWNER_URL", "postgres.owner_url"),
    number("DATABASE_CONNECTIONS", "postgres.connections"),
    text("CLICKHOUSE_URL", "clickhouse.url"),
    text("CLICKHOUSE_CLUSTER", "clickhouse.cluster"),
    text("TRACKIER_API_KEY", "trackier.api_key"),
    text("AGCOD_ACCESS_KEY_ID", "agcod.access_key_id"),
    text("AGCOD_SECRET_ACCESS_KEY", "agcod.secret_access_key"),
    text("MESSAGES_TOKEN", "messages.token"),
    text("MESSAGES_REPORT_SECRET", "messages.report_secret"),
];

/// The variables that go before no key, since they are read before there is a configuration.
pub const VARIABLES: [&str; 5] = [
    "HISSABACK_CONFIG",
    "HISSABACK_LOG",
    "HISSABACK_POSTGRES_BIN",
    "HISSABACK_CHDB_LIB",
    "HISSABACK_CACHE_DIR",
];

/// What a name gets at its end when it gives a file that holds the value.
const FILE_ENDING: &str = "_FILE";

/// Whether the program reads a variable of this name.
pub fn knows_variable(name: &str) -> bool {
    let overrides = |name: &str| OVERRIDES.iter().any(|one| one.variable == name);
    VARIABLES.contains(&name)
        || overrides(name)
        || name.strip_suffix(FILE_ENDING).is_some_and(overrides)
}

/// Variables, of the process or of a test.
#[derive(Clone, Default)]
pub struct Environment(BTreeMap<String, String>);

impl FromIterator<(String, String)> for Environment {
    fn from_iter<I: IntoIterator<Item = (String, String)>>(variables: I) -> Self {
        Self(variables.into_iter().collect())
    }
}

impl Environment {
    /// These variables and no others.
    pub fn new<const N: usize>(variables: [(&str, &str); N]) -> Self {
        let owned = |(name, value): (&str, &str)| (name.to_owned(), value.to_owned());
        Self(variables.into_iter().map(owned).collect())
    }

    /// The process's own, as far as the program knows them.
    pub fn of_process() -> Self {
        let utf8 = |(name, value): (std::ffi::OsString, std::ffi::OsString)| {
            Some((name.into_string().ok()?, value.into_string().ok()?))
        };
        Self(
            env::vars_os()
                .filter_map(utf8)
                .filter(|(name, _)| knows_variable(name))
                .collect(),
        )
    }

    /// The keys that are overridden, with their values.
    pub(super) fn overrides(&self) -> Result<Vec<(&'static str, Value)>, ConfigurationError> {
        let mut overrides = Vec::new();
        for one in OVERRIDES {
            if let Some(value) = self.value(one)? {
                overrides.push((one.key, value));
            }
        }
        Ok(overrides)
    }

    fn value(&self, one: &Override) -> Result<Option<Value>, ConfigurationError> {
        let file_variable = format!("{}{FILE_ENDING}", one.variable);
        let refused = |variable: &str, reason: String| ConfigurationError::Variable {
            variable: variable.to_owned(),
            reason,
        };
        let text = match (self.set(one.variable), self.set(&file_variable)) {
            (None, None) => return Ok(None),
            (Some(text), None) => text.to_owned(),
            (None, Some(path)) => fs::read_to_string(path)
                .map(|text| text.trim_end().to_owned())
                .map_err(|error| refused(&file_variable, format!("{path}: {error}")))?,
            (Some(_), Some(_)) => {
                let reason = format!("{} is set too, and only one may be", one.variable);
                return Err(refused(&file_variable, reason));
            }
        };
        let value =
            match one.form {
                Form::Text => Value::String(text),
                Form::Number => Value::Integer(text.parse().map_err(|_| {
                    refused(one.variable, format!("{text:?} is not a whole number"))
                })?),
                Form::List => {
                    let parts = text.split(',').map(str::trim);
                    Value::Array(parts.map(|part| Value::String(part.to_owned())).collect())
                }
            };
        Ok(Some(value))
    }

    fn set(&self, variable: &str) -> Option<&str> {
        let value = self.0.get(variable).map(String::as_str);
        value.filter(|value| !value.is_empty())
    }
}

/// Sets a dotted key, making its section where there is none.
pub(super) fn set(table: &mut Table, key: &str, value: Value) {
    let Some((section, name)) = key.split_once('.') else {
        table.insert(key.to_owned(), value);
        return;
    };
    let section = table
        .entry(section)
        .or_insert_with(|| Value::Table(Table::new()));
    // A section that is something else is refused when the whole is read.
    if let Value::Table(section) = section {
        section.insert(name.to_owned(), value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_may_hold_the_value() {
        let file = tempfile::NamedTempFile::new().expect("a file");
        fs::write(file.path(), "sesame\n").expect("written");
        let path = file.path().to_str().expect("UTF-8");
        let environment = Environment::new([("KAFKA_SASL_PASSWORD_FILE", path)]);
        let overrides = environment.overrides().expect("readable");
        assert_eq!(
            overrides,
            [("kafka.sasl_password", Value::String("sesame".to_owned()))]
        );
        let both = Environment::new([
            ("KAFKA_SASL_PASSWORD_FILE", path),
            ("KAFKA_SASL_PASSWORD", "x"),
        ]);
        let error = both.overrides().expect_err("one of them").to_string();
        assert!(error.contains("KAFKA_SASL_PASSWORD_FILE"), "{error}");
    }

    #[test]
    fn a_file_that_is_missing_is_refused_by_the_variables_name() {
        let environment = Environment::new([("DATABASE_URL_FILE", "/nowhere/at/all")]);
        let error = environment.overrides().expect_err("no file").to_string();
        assert!(
            error.contains("DATABASE_URL_FILE") && error.contains("/nowhere/at/all"),
            "{error}"
        );
    }

    #[test]
    fn numbers_and_lists_are_what_they_stand_for() {
        let environment = Environment::new([
            ("KAFKA_REPLICATION_FACTOR", "1"),
            ("HISSABACK_TRUSTED_PROXIES", "10.0.0.0/8, ::1/128"),
            ("CLICKHOUSE_URL", ""),
        ]);
        let overrides = environment.overrides().expect("usable");
        let proxies = ["10.0.0.0/8", "::1/128"].map(|text| Value::String(text.to_owned()));
        assert_eq!(
            overrides,
            [
                ("http.trusted_proxies", Value::Array(proxies.to_vec())),
                ("kafka.replication_factor", Value::Integer(1)),
            ]
        );
        let error = Environment::new([("KAFKA_REPLICATION_FACTOR", "two")]).overrides();
        let error = error.expect_err("not a number").to_string();
        assert!(error.contains("KAFKA_REPLICATION_FACTOR"), "{error}");
    }

    #[test]
    fn names_are_known_with_and_without_their_ending() {
        assert!(knows_variable("DATABASE_URL") && knows_variable("DATABASE_URL_FILE"));
        assert!(knows_variable("HISSABACK_LOG") && !knows_variable("HISSABACK_LOG_FILE"));
        assert!(!knows_variable("KAFKA_BROKER"));
    }

    /// Every key that a variable goes before is a key that there is: a wrong type is complained of,
    /// not a wrong name.
    #[test]
    fn every_variable_goes_before_a_key_that_there_is() {
        for one in OVERRIDES {
            let mut table = Table::new();
            let nonsense = Value::Array(vec![Value::Array(Vec::new())]);
            set(&mut table, one.key, nonsense);
            let error = table.try_into::<super::super::Configuration>();
            let error = error.expect_err("nonsense").to_string();
            assert!(!error.contains("unknown field"), "{}: {error}", one.key);
        }
    }
}
