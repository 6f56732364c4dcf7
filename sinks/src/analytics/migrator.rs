//! Brings ClickHouse's schema up to date: the numbered files of `migrations/clickhouse/`, which
//! the binary carries.

use std::collections::BTreeMap;

use clickhouse::{Client, Row};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::cluster::Cluster;

/// One numbered file.
#[derive(Debug, Clone, Copy)]
struct Migration {
    version: u32,
    name: &'static str,
    sql: &'static str,
}

impl Migration {
    /// Number and name, as the file is called.
    fn title(self) -> String {
        format!("{:04}_{}", self.version, self.name)
    }
}

/// Every file, in order. Files are only ever added.
const MIGRATIONS: [Migration; 8] = [
    Migration {
        version: 1,
        name: "events",
        sql: include_str!("../../../migrations/clickhouse/0001_events.sql"),
    },
    Migration {
        version: 2,
        name: "views",
        sql: include_str!("../../../migrations/clickhouse/0002_views.sql"),
    },
    Migration {
        version: 3,
        name: "aggregates",
        sql: include_str!("../../../migrations/clickhouse/0003_aggregates.sql"),
    },
    Migration {
        version: 4,
        name: "comments",
        sql: include_str!("../../../migrations/clickhouse/0004_comments.sql"),
    },
    Migration {
        version: 5,
        name: "aggregate_views",
        sql: include_str!("../../../migrations/clickhouse/0005_aggregate_views.sql"),
    },
    Migration {
        version: 6,
        name: "attribution",
        sql: include_str!("../../../migrations/clickhouse/0006_attribution.sql"),
    },
    Migration {
        version: 7,
        name: "aggregate_comments",
        sql: include_str!("../../../migrations/clickhouse/0007_aggregate_comments.sql"),
    },
    Migration {
        version: 8,
        name: "recalled_payouts",
        sql: include_str!("../../../migrations/clickhouse/0008_recalled_payouts.sql"),
    },
];

/// Where the applied files are noted, made before any of them runs.
const BOOTSTRAP: [&str; 2] = [
    "CREATE DATABASE IF NOT EXISTS hissaback ENGINE = Atomic",
    "CREATE TABLE IF NOT EXISTS hissaback.schema_migrations
     (
         version    UInt32,
         name       String,
         sha256     String COMMENT 'of the file, hex',
         applied_at DateTime64(3, 'UTC') DEFAULT now64(3)
     )
     ENGINE = MergeTree ORDER BY version",
];

/// Why the schema could not be brought up to date.
#[derive(Debug, thiserror::Error)]
pub enum MigrationError {
    /// ClickHouse refused or can't be reached.
    #[error("the schema of ClickHouse can't be brought up to date: {0}")]
    ClickHouse(#[from] clickhouse::error::Error),
    /// A newer version of the product was here.
    #[error(
        "ClickHouse has schema version {found}, and this program knows up to {known}: run the \
         newer version of hissaback"
    )]
    Newer {
        /// The version found.
        found: u32,
        /// The newest that this program has.
        known: u32,
    },
    /// A file was changed after it was applied.
    #[error("migration {version} of ClickHouse was changed after it had been applied")]
    Changed {
        /// Which.
        version: u32,
    },
}

#[derive(Debug, Row, Serialize, Deserialize)]
struct Applied {
    version: u32,
    name: String,
    sha256: String,
}

/// Applies what isn't applied yet, and returns the versions that it applied. ClickHouse has no
/// transaction around several statements: each can be run again, and a file that a crash cut off
/// is run again from its beginning.
///
/// # Errors
/// When ClickHouse can't be reached or refuses a statement, when its schema is newer than this
/// program, or when an applied file was changed.
pub async fn migrate(client: &Client) -> Result<Vec<u32>, MigrationError> {
    migrate_on(client, None).await
}

/// As [`migrate`]: on every server of a cluster, with replicated tables, where there is one.
///
/// # Errors
/// As [`migrate`].
pub async fn migrate_on(
    client: &Client,
    cluster: Option<&Cluster>,
) -> Result<Vec<u32>, MigrationError> {
    // The client's own database may not exist yet.
    let client = client.clone().with_database("default");
    let execute = async |statement: &str| match cluster {
        None => client.query(statement).execute().await,
        Some(cluster) => client.query(&cluster.rewrite(statement)).execute().await,
    };
    for statement in BOOTSTRAP {
        execute(statement).await?;
    }
    let outstanding = outstanding(&applied(&client).await?)?;
    for migration in &outstanding {
        for statement in statements(migration.sql) {
            execute(statement).await?;
        }
        note(&client, *migration).await?;
        tracing::info!(
            version = migration.version,
            name = migration.name,
            "migrated ClickHouse"
        );
    }
    Ok(outstanding
        .iter()
        .map(|migration| migration.version)
        .collect())
}

/// Names the files that [`migrate`] would apply, changing nothing.
///
/// # Errors
/// As [`migrate`].
pub async fn outstanding_migrations(client: &Client) -> Result<Vec<String>, MigrationError> {
    let client = client.clone().with_database("default");
    let noted: u8 = client
        .query("EXISTS TABLE hissaback.schema_migrations")
        .fetch_one()
        .await?;
    let applied = if noted == 1 {
        applied(&client).await?
    } else {
        BTreeMap::new()
    };
    Ok(outstanding(&applied)?
        .into_iter()
        .map(Migration::title)
        .collect())
}

/// The digests of the files that were applied, by version.
async fn applied(client: &Client) -> Result<BTreeMap<u32, String>, MigrationError> {
    let applied = client
        .query("SELECT ?fields FROM hissaback.schema_migrations")
        .fetch_all::<Applied>()
        .await?;
    Ok(applied
        .into_iter()
        .map(|applied| (applied.version, applied.sha256))
        .collect())
}

/// Notes that a file was applied.
async fn note(client: &Client, migration: Migration) -> Result<(), MigrationError> {
    let mut insert = client
        .insert_unescaped::<Applied>("hissaback.schema_migrations")
        .await?
        .with_setting("async_insert", "0");
    insert
        .write(&Applied {
            version: migration.version,
            name: migration.name.to_owned(),
            sha256: sha256(migration.sql),
        })
        .await?;
    Ok(insert.end().await?)
}

/// The files that aren't applied yet, unless what is applied doesn't agree with the files.
fn outstanding(applied: &BTreeMap<u32, String>) -> Result<Vec<Migration>, MigrationError> {
    let known = MIGRATIONS
        .iter()
        .map(|migration| migration.version)
        .max()
        .unwrap_or(0);
    if let Some(found) = applied.keys().copied().max().filter(|found| *found > known) {
        return Err(MigrationError::Newer { found, known });
    }
    let mut outstanding = Vec::new();
    for migration in MIGRATIONS {
        match applied.get(&migration.version) {
            None => outstanding.push(migration),
            Some(found) if *found == sha256(migration.sql) => {}
            Some(_) => {
                return Err(MigrationError::Changed {
                    version: migration.version,
                });
            }
        }
    }
    Ok(outstanding)
}

/// The statements of a file: each ends with a semicolon at the end of a line.
fn statements(sql: &str) -> impl Iterator<Item = &str> {
    sql.split(";\n").map(str::trim).filter(|statement| {
        statement
            .lines()
            .any(|line| !line.trim().is_empty() && !line.trim_start().starts_with("--"))
    })
}

#[cfg(test)]
pub(super) fn every_statement() -> impl Iterator<Item = &'static str> {
    let files = MIGRATIONS.into_iter().map(|migration| migration.sql);
    BOOTSTRAP.into_iter().chain(files.flat_map(statements))
}

fn sha256(text: &str) -> String {
    hex::encode(Sha256::digest(text.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn applied(versions: impl IntoIterator<Item = Migration>) -> BTreeMap<u32, String> {
        versions
            .into_iter()
            .map(|migration| (migration.version, sha256(migration.sql)))
            .collect()
    }

    #[test]
    fn versions_are_numbered_from_one_without_a_gap() {
        for (index, migration) in MIGRATIONS.iter().enumerate() {
            assert_eq!(migration.version as usize, index + 1, "{}", migration.name);
        }
    }

    #[test]
    fn every_statement_can_be_run_again() {
        for migration in MIGRATIONS {
            let mut count = 0;
            for statement in statements(migration.sql) {
                let code: Vec<&str> = statement
                    .lines()
                    .filter(|line| !line.starts_with("--"))
                    .collect();
                let code = code.join("\n").trim().to_owned();
                assert!(
                    code.starts_with("CREATE OR REPLACE VIEW hissaback.")
                        || code.starts_with("CREATE TABLE IF NOT EXISTS hissaback.")
                        || code.starts_with("CREATE DATABASE IF NOT EXISTS hissaback ")
                        || code.starts_with("INSERT INTO hissaback.claim_hours\nSELECT DISTINCT ")
                        || (code.starts_with("ALTER TABLE hissaback.") && only_comments(&code)),
                    "{code}"
                );
                count += 1;
            }
            assert!(count > 0, "{}", migration.name);
        }
    }

    fn only_comments(code: &str) -> bool {
        code.lines().skip(1).all(|change| {
            change.starts_with("    COMMENT COLUMN ") || change.starts_with("    MODIFY COMMENT ")
        })
    }

    #[test]
    fn only_what_is_missing_is_applied() {
        let all = |map: &BTreeMap<u32, String>| -> Vec<u32> {
            let outstanding = outstanding(map).expect("they agree");
            outstanding
                .iter()
                .map(|migration| migration.version)
                .collect()
        };
        assert_eq!(all(&BTreeMap::new()), [1, 2, 3, 4, 5, 6, 7, 8]);
        assert_eq!(all(&applied(MIGRATIONS[..4].iter().copied())), [5, 6, 7, 8]);
        assert!(all(&applied(MIGRATIONS)).is_empty());
    }

    #[test]
    fn a_newer_or_a_changed_schema_is_refused() {
        let mut newer = applied(MIGRATIONS);
        newer.insert(99, String::new());
        assert!(matches!(
            outstanding(&newer),
            Err(MigrationError::Newer {
                found: 99,
                known: 8
            })
        ));

        let mut changed = applied(MIGRATIONS);
        changed.insert(1, "another file".to_owned());
        assert!(matches!(
            outstanding(&changed),
            Err(MigrationError::Changed { version: 1 })
        ));
    }
}
