//! One connection to the engine, given to one request at a time, with that request's database and
//! settings.

use std::path::PathBuf;

use super::failure::EngineFailure;
use super::ffi::{Connection, Engine, Parameters};

const DEFAULT_DATABASE: &str = "default";

/// What a request wants of the session that it runs in.
#[derive(Debug, Clone, Default)]
pub(super) struct SessionRequest {
    /// The current database, `default` unless named.
    pub(super) database: Option<String>,
    /// Settings by name, in the order given.
    pub(super) settings: Vec<(String, String)>,
    /// Values of `{name:Type}` in the statement.
    pub(super) parameters: Parameters,
}

/// A connection and what is set on it.
pub(super) struct Session {
    engine: &'static Engine,
    data: PathBuf,
    /// `None` after a failure that leaves the connection in a state that we don't know.
    connection: Option<Connection>,
    database: String,
}

impl Session {
    pub(super) fn open(engine: &'static Engine, data: PathBuf) -> Result<Self, EngineFailure> {
        let connection = Connection::open(engine, &data)?;
        Ok(Self {
            engine,
            data,
            connection: Some(connection),
            database: DEFAULT_DATABASE.to_owned(),
        })
    }

    /// Runs `work` with the database and the settings that the request wants, and puts the
    /// settings back.
    pub(super) fn run<T>(
        &mut self,
        request: &SessionRequest,
        work: impl FnOnce(&mut Connection) -> Result<T, EngineFailure>,
    ) -> Result<T, EngineFailure> {
        let mut connection = if let Some(connection) = self.connection.take() {
            connection
        } else {
            DEFAULT_DATABASE.clone_into(&mut self.database);
            Connection::open(self.engine, &self.data)?
        };
        let database = request.database.as_deref().unwrap_or(DEFAULT_DATABASE);
        let outcome = self
            .use_database(&mut connection, database)
            .and_then(|()| set(&mut connection, &request.settings))
            .and_then(|()| work(&mut connection));
        // A connection whose settings can't be put back would run the next request with them.
        if reset(&mut connection, &request.settings).is_ok() {
            self.connection = Some(connection);
        }
        outcome
    }

    fn use_database(
        &mut self,
        connection: &mut Connection,
        database: &str,
    ) -> Result<(), EngineFailure> {
        if self.database != database {
            execute(connection, &format!("USE {}", quoted(database, '`')))?;
            database.clone_into(&mut self.database);
        }
        Ok(())
    }
}

fn set(connection: &mut Connection, settings: &[(String, String)]) -> Result<(), EngineFailure> {
    if settings.is_empty() {
        return Ok(());
    }
    let assignments: Vec<String> = settings
        .iter()
        .map(|(name, value)| format!("{name} = {}", quoted(value, '\'')))
        .collect();
    execute(connection, &format!("SET {}", assignments.join(", ")))
}

fn reset(connection: &mut Connection, settings: &[(String, String)]) -> Result<(), EngineFailure> {
    if settings.is_empty() {
        return Ok(());
    }
    let assignments: Vec<String> = settings
        .iter()
        .map(|(name, _)| format!("{name} = DEFAULT"))
        .collect();
    execute(connection, &format!("SET {}", assignments.join(", ")))
}

fn execute(connection: &mut Connection, statement: &str) -> Result<(), EngineFailure> {
    connection
        .query(statement.as_bytes(), "Null", &Parameters::default())
        .map(drop)
}

/// `text` as a literal in `quote`s, with the escapes that ClickHouse reads.
fn quoted(text: &str, quote: char) -> String {
    let mut literal = String::with_capacity(text.len() + 2);
    literal.push(quote);
    for character in text.chars() {
        if character == quote || character == '\\' {
            literal.push('\\');
        }
        literal.push(character);
    }
    literal.push(quote);
    literal
}

/// Whether `name` can be a setting's: it goes into a statement as it is.
pub(super) fn setting_name(name: &str) -> bool {
    let mut bytes = name.bytes();
    bytes
        .next()
        .is_some_and(|first| first.is_ascii_alphabetic() || first == b'_')
        && bytes.all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn literals_are_escaped() {
        assert_eq!(quoted(r"it's a \ `name`", '\''), r"'it\'s a \\ `name`'");
        assert_eq!(quoted("a`b", '`'), r"`a\`b`");
    }

    #[test]
    fn only_plain_names_are_settings() {
        assert!(setting_name("max_threads"));
        for name in ["", "1x", "a b", "a=1,b", "a;", "é"] {
            assert!(!setting_name(name), "{name}");
        }
    }
}
