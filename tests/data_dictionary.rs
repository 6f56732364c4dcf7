//! The data dictionary is what the database says of itself: rendered from the migrated schema's own
//! comments, committed, and compared here, so that it can't drift.
//!
//! `UPDATE_DATA_DICTIONARY=1 cargo test --test data_dictionary` writes it.

use std::{collections::BTreeSet, fmt::Write, fs, path::Path};

use hissaback::embedded::{
    DataDirectory, EmbeddedPostgres, PostgresOptions,
    postgres::{DATABASE, OWNER},
};
use sinks::ledger::database;
use sqlx::{Connection, PgConnection, Row};

const DOCUMENT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/data-dictionary.md");
const UPDATE: &str = "UPDATE_DATA_DICTIONARY";

const PREFACE: &str = "\
# Data dictionary

Every table and column of the PostgreSQL database, with the comments that the database itself holds
(`\\d+` in `psql` shows the same). This file is generated: change a comment in a new migration under
[migrations/postgres](../migrations/postgres), then run

    UPDATE_DATA_DICTIONARY=1 cargo test --test data_dictionary

The tables that analysts read in ClickHouse carry their comments in
[migrations/clickhouse](../migrations/clickhouse).

Words that mean the same everywhere, and are not explained again below:
";

/// Columns that mean the same everywhere.
const WORDS: [(&str, &str); 10] = [
    (
        "`tenant_id`, `campaign_id`, `link_id`, `user_id`, `payout_id`",
        "UUIDs: a creator or brand, one of its campaigns, a smart link, a person, a payout",
    ),
    (
        "`offer_id`, `network_id`",
        "a merchant's offer as its network numbers it, a configured network instance",
    ),
    (
        "`click_id`",
        "a click; drawn from the same sequence as event ids: 41 bits of milliseconds since 2020, \
         10 of instance, 12 of counter",
    ),
    ("`conv_id`", "the event id of a report of a sale"),
    (
        "`led_id`",
        "the name of a claim: the `conv_id` of its lowest-ranked report; see \
         [semantics](semantics.md#claims)",
    ),
    (
        "`txn_id`, `goal_id`",
        "the network's transaction id (an order number, where the offer says so), and the goal \
         that was reached",
    ),
    (
        "`source_partition`, `source_offset`",
        "where a record stands in the log; of topic `conversions` unless the table says otherwise",
    ),
    ("`*_at`", "instants, UTC"),
    (
        "`currency`",
        "ISO 4217 code; sums beside it are in its units, not in minor units",
    ),
    (
        "`*_pct`",
        "percentages with two decimals: 60.00 is sixty per cent",
    ),
];

const ORDER: &str = "
Tables come in the order in which the migrations make them. Partitions are left out: the product
makes them, with the columns of their table.
";

struct Table {
    name: String,
    comment: Option<String>,
    columns: Vec<Column>,
}

struct Column {
    name: String,
    data_type: String,
    nullable: bool,
    comment: Option<String>,
}

impl Column {
    /// Whether [`WORDS`] explains the column.
    fn explained_by_its_name(&self) -> bool {
        WORDS.iter().any(|(names, _)| {
            names.split(", ").any(|name| {
                let name = name.trim_matches('`');
                match name.strip_prefix('*') {
                    Some(ending) => self.name.ends_with(ending),
                    None => self.name == name,
                }
            })
        })
    }
}

#[tokio::test]
async fn the_data_dictionary_is_what_the_database_says() {
    let tables = tables_of_a_migrated_database().await;
    let mute: Vec<&str> = tables
        .iter()
        .filter(|table| table.comment.is_none())
        .map(|table| table.name.as_str())
        .collect();
    assert!(mute.is_empty(), "these tables have no comment: {mute:?}");
    let mute: Vec<String> = tables
        .iter()
        .flat_map(|table| table.columns.iter().map(move |column| (table, column)))
        .filter(|(_, column)| column.comment.is_none() && !column.explained_by_its_name())
        .map(|(table, column)| format!("{}.{}", table.name, column.name))
        .collect();
    assert!(mute.is_empty(), "these columns have no comment: {mute:?}");

    let rendered = render(&tables);
    if std::env::var_os(UPDATE).is_some() {
        fs::write(DOCUMENT, rendered).expect("the document can be written");
        return;
    }
    let committed = fs::read_to_string(Path::new(DOCUMENT)).unwrap_or_default();
    assert!(
        committed == rendered,
        "docs/data-dictionary.md is not what the database says: run\n  \
         {UPDATE}=1 cargo test --test data_dictionary\nlines that differ:\n{}",
        differing_lines(&committed, &rendered)
    );
}

async fn tables_of_a_migrated_database() -> Vec<Table> {
    let root = tempfile::tempdir().expect("a temporary directory");
    let data = DataDirectory::open(root.path()).expect("a data directory");
    let postgres = EmbeddedPostgres::start(&data, PostgresOptions::default())
        .await
        .expect("PostgreSQL starts (`make setup` installs it)");
    let owner = postgres.connect_options(OWNER, DATABASE);
    database::migrate(owner.clone()).await.expect("migrated");
    let mut connection = PgConnection::connect_with(&owner).await.expect("connected");
    let tables = read_tables(&mut connection)
        .await
        .expect("the catalogue can be read");
    connection.close().await.expect("closed");
    postgres.stop().await.expect("stopped");
    tables
}

async fn read_tables(connection: &mut PgConnection) -> sqlx::Result<Vec<Table>> {
    let rows = sqlx::query(
        "SELECT t.relname, obj_description(t.oid, 'pg_class') AS table_comment, a.attname,
                format_type(a.atttypid, a.atttypmod) AS data_type, NOT a.attnotnull AS nullable,
                col_description(t.oid, a.attnum) AS column_comment
         FROM pg_class t JOIN pg_attribute a ON a.attrelid = t.oid
         WHERE t.relnamespace = 'public'::regnamespace AND t.relkind IN ('r', 'p')
           AND NOT t.relispartition AND t.relname NOT LIKE '\\_sqlx%'
           AND a.attnum > 0 AND NOT a.attisdropped
         ORDER BY t.oid, a.attnum",
    )
    .fetch_all(connection)
    .await?;
    let mut tables: Vec<Table> = Vec::new();
    for row in &rows {
        let name: String = row.try_get("relname")?;
        if tables.last().is_none_or(|last| last.name != name) {
            let comment = row.try_get("table_comment")?;
            tables.push(Table {
                name,
                comment,
                columns: Vec::new(),
            });
        }
        let table = tables.last_mut().expect("one was pushed if there was none");
        table.columns.push(Column {
            name: row.try_get("attname")?,
            data_type: row.try_get("data_type")?,
            nullable: row.try_get("nullable")?,
            comment: row.try_get("column_comment")?,
        });
    }
    Ok(tables)
}

fn render(tables: &[Table]) -> String {
    let mut text = format!("{PREFACE}\n| column | meaning |\n|---|---|\n");
    for (column, meaning) in WORDS {
        writeln!(text, "| {column} | {meaning} |").expect("a string takes everything");
    }
    text.push_str(ORDER);
    for table in tables {
        let comment = table.comment.as_deref().unwrap_or_default();
        write!(
            text,
            "\n## {}\n\n{comment}\n\n| column | type | null | meaning |\n|---|---|---|---|\n",
            table.name
        )
        .expect("a string takes everything");
        for column in &table.columns {
            let null = if column.nullable { "yes" } else { "" };
            // A bar would begin another cell.
            let comment = column
                .comment
                .as_deref()
                .unwrap_or_default()
                .replace('|', "\\|");
            writeln!(
                text,
                "| `{}` | {} | {null} | {comment} |",
                column.name, column.data_type
            )
            .expect("a string takes everything");
        }
    }
    text
}

fn differing_lines(committed: &str, rendered: &str) -> String {
    let before: BTreeSet<&str> = committed.lines().collect();
    let after: BTreeSet<&str> = rendered.lines().collect();
    let gone = before.difference(&after).map(|line| format!("- {line}\n"));
    let new = after.difference(&before).map(|line| format!("+ {line}\n"));
    gone.chain(new).collect()
}
