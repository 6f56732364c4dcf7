//! What can be exported: a table or view, as the database itself describes it.

use std::fmt::Write;

use anyhow::{Context, bail, ensure};
use clickhouse::{Client, Row};
use serde::Deserialize;

use super::ExportArguments;
use crate::embedded::clickhouse::DATABASE;

/// A table or view of the database.
pub(super) struct Relation {
    pub(super) name: String,
    /// Whether rows of one identity may lie side by side until they are merged.
    merges: bool,
    columns: Vec<Column>,
}

#[derive(Debug, Row, Deserialize)]
struct Column {
    name: String,
    data_type: String,
}

impl Column {
    /// Whether it holds a day or an instant, always.
    fn tells_time(&self) -> bool {
        self.data_type.starts_with("Date")
    }
}

impl Relation {
    /// The relation of this name.
    pub(super) async fn find(client: &Client, name: &str) -> anyhow::Result<Self> {
        let engine = client
            .query("SELECT engine FROM system.tables WHERE database = ? AND name = ?")
            .bind(DATABASE)
            .bind(name)
            .fetch_optional::<String>()
            .await
            .context("ClickHouse doesn't answer")?;
        let Some(engine) = engine else {
            let names: Vec<String> = client
                .query("SELECT name FROM system.tables WHERE database = ? ORDER BY name")
                .bind(DATABASE)
                .fetch_all()
                .await?;
            bail!(
                "there is no table or view {name:?}: there are {}",
                names.join(", ")
            );
        };
        let columns = client
            .query(
                "SELECT name, type AS data_type FROM system.columns
                 WHERE database = ? AND table = ? ORDER BY position",
            )
            .bind(DATABASE)
            .bind(name)
            .fetch_all()
            .await?;
        Ok(Self {
            name: name.to_owned(),
            merges: engine.contains("Replacing") || engine.contains("Aggregating"),
            columns,
        })
    }

    /// `FROM … WHERE …` of the span that is asked for: each identity once.
    pub(super) fn span(&self, arguments: &ExportArguments) -> anyhow::Result<String> {
        let time = self.time(arguments.by.as_deref())?;
        let time = identifier(&time.name);
        let (from, to) = (arguments.from.millis(), arguments.to.millis());
        let mut span = format!(
            "FROM {DATABASE}.{}{} WHERE {time} >= fromUnixTimestamp64Milli({from}, 'UTC') \
             AND {time} < fromUnixTimestamp64Milli({to}, 'UTC')",
            identifier(&self.name),
            if self.merges { " FINAL" } else { "" }
        );
        if let Some(tenant) = arguments.tenant {
            ensure!(
                self.columns.iter().any(|column| column.name == "tenant_id"),
                "the rows of {} don't say whose they are: leave --tenant out",
                self.name
            );
            write!(span, " AND tenant_id = '{tenant}'")?;
        }
        Ok(span)
    }

    /// The column of time that is asked for, or the first one.
    fn time(&self, wanted: Option<&str>) -> anyhow::Result<&Column> {
        let times = || self.columns.iter().filter(|column| column.tells_time());
        let found = match wanted {
            Some(wanted) => times().find(|column| column.name == wanted),
            None => times().next(),
        };
        found.with_context(|| {
            let names: Vec<&str> = times().map(|column| column.name.as_str()).collect();
            match (wanted, names.as_slice()) {
                (_, []) => format!("{} has no column of time to take a span of", self.name),
                (Some(wanted), names) => format!(
                    "{wanted:?} is no column of time of {}: there are {}",
                    self.name,
                    names.join(", ")
                ),
                (None, names) => unreachable!("one of {names:?} would have been found"),
            }
        })
    }
}

fn identifier(name: &str) -> String {
    format!("`{}`", escaped(name, '`'))
}

/// Text as ClickHouse reads it in a statement.
pub(super) fn literal(text: &str) -> String {
    format!("'{}'", escaped(text, '\''))
}

fn escaped(text: &str, quote: char) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        if character == quote || character == '\\' {
            escaped.push('\\');
        }
        escaped.push(character);
    }
    escaped
}
