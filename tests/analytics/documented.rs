//! docs/analytics.md against the real engine: its queries over a small world whose answers are
//! known, and its columns against what the database says of itself.
//!
//! `UPDATE_ANALYTICS=1 cargo test --test analytics documented` writes the columns.

use std::{collections::BTreeSet, fmt::Write, fs};

use clickhouse::{Client, Row};
use hissaback::embedded::{ClickHouseOptions, DataDirectory, EmbeddedClickHouse};
use serde::Deserialize;
use sinks::analytics::{aggregates, migrate};

pub const DOCUMENT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/analytics.md");
const UPDATE: &str = "UPDATE_ANALYTICS";
const SMALL_WORLD: &str = include_str!("small_world.sql");

/// An engine with the tables of the product and nothing in them.
pub struct Engine {
    clickhouse: EmbeddedClickHouse,
    _data: DataDirectory,
    _root: tempfile::TempDir,
}

impl Engine {
    pub async fn start() -> Self {
        let root = tempfile::tempdir().expect("temporary directory");
        let data = DataDirectory::open(root.path()).expect("open");
        let options = ClickHouseOptions {
            program: Some(env!("CARGO_BIN_EXE_hissaback").into()),
            ..ClickHouseOptions::default()
        };
        let clickhouse = EmbeddedClickHouse::start(&data, options)
            .await
            .expect("the engine starts (`make setup` fetches its library)");
        migrate(&clickhouse.client()).await.expect("migrated");
        Self {
            clickhouse,
            _data: data,
            _root: root,
        }
    }

    pub fn client(&self) -> Client {
        self.clickhouse.client()
    }

    pub async fn with_the_small_world() -> Self {
        let engine = Self::start().await;
        for statement in SMALL_WORLD.split(";\n") {
            let done = engine.client().query(statement).execute().await;
            done.unwrap_or_else(|error| panic!("{statement}: {error}"));
        }
        aggregates::compute_everything(&engine.client())
            .await
            .expect("aggregates");
        engine
    }

    pub async fn stop(self) {
        self.clickhouse.stop().await.expect("the engine stops");
    }
}

/// A worked query of the document.
pub struct Query {
    pub title: String,
    pub sql: String,
}

pub fn queries() -> Vec<Query> {
    let document = fs::read_to_string(DOCUMENT).expect("the document");
    let mut queries = Vec::new();
    for section in document.split("\n### ").skip(1) {
        let (title, rest) = section.split_once('\n').expect("a title");
        let Some((_, rest)) = rest.split_once("```sql\n") else {
            continue;
        };
        let (sql, _) = rest.split_once("```").expect("the block ends");
        queries.push(Query {
            title: title.to_owned(),
            sql: sql.to_owned(),
        });
    }
    queries
}

pub async fn rows_of(client: &Client, sql: &str) -> Vec<String> {
    let bytes = client
        .query(sql)
        .param("from", "2026-10-01")
        .param("to", "2026-11-01")
        .param("currency", "INR")
        .param("tenant", "00000000-0000-0000-0000-000000000001")
        .fetch_bytes("TabSeparated")
        .expect("it is sent")
        .collect()
        .await
        .unwrap_or_else(|error| panic!("{sql}: {error}"));
    let text = String::from_utf8(bytes.to_vec()).expect("UTF-8");
    // Ids of the small world differ in their ends only.
    text.replace("00000000-0000-0000-0000-0000000000", "")
        .lines()
        .map(|line| line.replace('\t', " "))
        .collect()
}

/// What the small world comes to, added up by hand.
const ANSWERS: [(&str, &[&str]); 20] = [
    (
        "1. Approval rate by campaign",
        &["01 c1 4 1 1 0.5", "02 c2 2 1 1 0.5"],
    ),
    (
        "2. Earnings per click by link",
        &["0a 2 159.92 79.96", "0c 4 100 25", "0b 2 0 0"],
    ),
    (
        "3. Reversal curve by cohort",
        &["2026-10-01 3 0 0.3333 0.3333 0.3333"],
    ),
    (
        "4. Time to confirmation by offer",
        &["7 2 120 216", "8 1 47 47"],
    ),
    (
        "5. Fraud by reason",
        &["duplicate_order 1 0 1 100 INR", "score 1 1 0 799.92 INR"],
    ),
    ("6. Top creators", &["01 63.97 95.95 1", "02 40 60 1"]),
    (
        "7. Hour of the day",
        &[
            "4 1 0 0",
            "15 3 2 0.6667",
            "16 2 0 0",
            "17 1 1 1",
            "18 1 1 1",
        ],
    ),
    ("8. Funnel by campaign", &["c1 4 3 4 1 1", "c2 4 4 2 1 0"]),
    (
        "9. First click against last click",
        &[
            "0b 0 159.92 79.96 80.29 0",
            "0c 100 100 100 100 100",
            "0a 159.92 0 79.96 79.63 159.92",
        ],
    ),
    ("10. Money owed, and paid", &["INR 155.95 95.95 60 60"]),
    (
        "11. Average order by offer and country",
        &["7 IN 2 1499.5 INR", "7 US 1 9999 INR", "8 IN 1 1000 INR"],
    ),
    (
        "12. Sales per click by device",
        &["mobile 6 4 0.6667", "desktop 1 0 0", "tablet 1 0 0"],
    ),
    (
        "13. Time from click to sale",
        &["c1 4 50 116", "c2 2 35 55"],
    ),
    (
        "14. Day by day: gross and net commission",
        &[
            "2026-10-01 4 1079.84 159.92 95.95 63.97 0",
            "2026-10-02 1 100 100 60 40 0",
            "2026-10-09 1 100 0 0 0 0",
        ],
    ),
    (
        "15. Reports that found no click",
        &[
            "1 unknown_click 1 2026-10-01 20:00:00.000",
            "2 unknown_click 1 2026-10-01 21:00:00.000",
        ],
    ),
    (
        "16. What becomes payable, week by week",
        &["2026-10-26 1 60 1 48"],
    ),
    (
        "17. Payouts by state",
        &["funded INR 1 95 4", "queued INR 1 60 \\N"],
    ),
    (
        "18. Suspicious clicks by link",
        &["0b 2 1 0 0 0.5", "0c 4 0 0 1 0.25", "0a 2 0 0 0 0"],
    ),
    ("19. Shoppers who come back", &["1 1 60", "2 1 95.95"]),
    (
        "20. How one creator is doing",
        &["0a 2 1 63.97", "0b 2 2 0"],
    ),
];

#[tokio::test]
async fn every_documented_query_gives_what_the_small_world_says() {
    let queries = queries();
    let titles: Vec<&str> = queries.iter().map(|query| query.title.as_str()).collect();
    let known: Vec<&str> = ANSWERS.iter().map(|(title, _)| *title).collect();
    assert_eq!(titles, known);

    let engine = Engine::with_the_small_world().await;
    let client = engine.client();
    for (query, (_, expected)) in queries.iter().zip(ANSWERS) {
        assert_eq!(
            rows_of(&client, &query.sql).await,
            expected,
            "{}",
            query.title
        );
    }
    engine.stop().await;
}

#[tokio::test]
async fn how_complete_an_answer_is_says_the_partition_that_is_behind() {
    let document = fs::read_to_string(DOCUMENT).expect("the document");
    let (_, section) = document
        .split_once("## Complete up to")
        .expect("the section");
    let (_, sql) = section.split_once("```sql\n").expect("its query");
    let (sql, _) = sql.split_once("```").expect("the block ends");
    let engine = Engine::with_the_small_world().await;
    assert_eq!(
        rows_of(&engine.client(), sql).await,
        [
            "clicks 2026-11-05 10:00:00.000",
            "ledger 2026-11-05 09:59:00.000"
        ]
    );
    engine.stop().await;
}

const BEGIN: &str = "<!-- columns: begin -->\n";
const END: &str = "<!-- columns: end -->";

/// Columns that mean the same everywhere.
const WORDS: [(&str, &str); 10] = [
    (
        "`tenant_id`, `campaign_id`, `link_id`, `user_id`, `payout_id`",
        "UUIDs: a creator or brand, one of its campaigns, a smart link, a shopper, a payout",
    ),
    (
        "`offer_id`, `network_id`",
        "a merchant's offer as its network numbers it, a configured network instance",
    ),
    (
        "`click_id`",
        "a click; 41 bits of milliseconds since 2020, 10 of instance, 12 of counter",
    ),
    (
        "`claim`",
        "a sale of a click: the event id of its lowest-ranked report; see [semantics](semantics.md#claims)",
    ),
    (
        "`txn_id`, `goal_id`",
        "the network's transaction id (an order number, where the offer says so), and the goal that was reached",
    ),
    (
        "`source_partition`, `source_offset`",
        "where the record stands in the log",
    ),
    ("`*_at`", "instants"),
    ("`hour`, `day`", "of the click, UTC"),
    ("`country`, `device`", "of the click; empty: unknown"),
    (
        "`currency`",
        "ISO 4217 code; amounts beside it are in its units",
    ),
];

#[derive(Debug, Row, Deserialize)]
struct Relation {
    name: String,
    comment: String,
}

#[derive(Debug, Row, Deserialize)]
struct Column {
    relation: String,
    name: String,
    data_type: String,
    comment: String,
}

fn explained_by_its_name(column: &str) -> bool {
    WORDS.iter().any(|(names, _)| {
        names.split(", ").any(|name| {
            let name = name.trim_matches('`');
            match name.strip_prefix('*') {
                Some(ending) => column.ends_with(ending),
                None => column == name,
            }
        })
    })
}

async fn schema(client: &Client) -> (Vec<Relation>, Vec<Column>) {
    let relations = client
        .query(
            "SELECT name, comment FROM system.tables WHERE database = 'hissaback'
             ORDER BY NOT startsWith(name, 'v_'), name",
        )
        .fetch_all()
        .await
        .expect("relations");
    let columns = client
        .query(
            "SELECT table AS relation, name, type AS data_type, comment FROM system.columns
             WHERE database = 'hissaback' ORDER BY table, position",
        )
        .fetch_all()
        .await
        .expect("columns");
    (relations, columns)
}

#[tokio::test]
async fn the_columns_documented_are_what_the_database_says() {
    let engine = Engine::start().await;
    let (relations, columns) = schema(&engine.client()).await;
    engine.stop().await;
    let mute: Vec<&str> = relations
        .iter()
        .filter(|relation| relation.comment.is_empty())
        .map(|relation| relation.name.as_str())
        .collect();
    assert!(mute.is_empty(), "these have no comment: {mute:?}");
    let mute: Vec<String> = columns
        .iter()
        .filter(|column| column.comment.is_empty() && !explained_by_its_name(&column.name))
        .map(|column| format!("{}.{}", column.relation, column.name))
        .collect();
    assert!(mute.is_empty(), "these columns have no comment: {mute:?}");

    let document = fs::read_to_string(DOCUMENT).expect("the document");
    let (before, rest) = document.split_once(BEGIN).expect("the mark");
    let (committed, after) = rest.split_once(END).expect("the other mark");
    let rendered = render(&relations, &columns);
    if std::env::var_os(UPDATE).is_some() {
        let whole = format!("{before}{BEGIN}{rendered}{END}{after}");
        fs::write(DOCUMENT, whole).expect("the document can be written");
        return;
    }
    assert!(
        committed == rendered,
        "docs/analytics.md is not what the database says: run\n  \
         {UPDATE}=1 cargo test --test analytics documented\nlines that differ:\n{}",
        differing_lines(committed, &rendered)
    );
}

fn render(relations: &[Relation], columns: &[Column]) -> String {
    let mut text = "This part is generated from the database's own comments (`DESCRIBE \
        hissaback.v_claims` shows the\nsame): change one in a new migration under \
        [migrations/clickhouse](../migrations/clickhouse), then run\n\n    \
        UPDATE_ANALYTICS=1 cargo test --test analytics documented\n\n\
        | column | meaning everywhere |\n|---|---|\n"
        .to_owned();
    for (column, meaning) in WORDS {
        writeln!(text, "| {column} | {meaning} |").expect("a string takes everything");
    }
    for relation in relations {
        write!(
            text,
            "\n### {}\n\n{}.\n\n| column | type | meaning |\n|---|---|---|\n",
            relation.name, relation.comment
        )
        .expect("a string takes everything");
        for column in columns
            .iter()
            .filter(|column| column.relation == relation.name)
        {
            // A bar would begin another cell.
            let comment = column.comment.replace('|', "\\|");
            writeln!(
                text,
                "| `{}` | {} | {comment} |",
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
