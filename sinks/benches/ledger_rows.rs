//! Three ways to insert the rows of a batch of a thousand sales into the ledger's real tables with
//! their indexes, triggers and row security; and what the whole batch takes (ADR 0008).
//!
//! `cargo bench -p sinks --bench ledger_rows`. It brings its own PostgreSQL. The rows are those
//! that the sink itself writes for approved sales, and are encoded beforehand: what is measured is
//! the way to the server and its work there.

use std::{
    fmt::Write,
    time::{Duration, Instant},
};

use schemas::{Position, Topic, events::Decision};
use sinks::ledger::columns::{self, insert_statement};
use sqlx::{
    AssertSqlSafe, Encode, PgConnection, PgPool, Postgres, Row, Type, ValueRef,
    encode::IsNull,
    error::BoxDynError,
    postgres::{PgArgumentBuffer, PgArguments, PgTypeInfo, types::Oid},
    query::Query,
};
use stream::Log;

#[expect(dead_code, reason = "the ledger's tests use the rest")]
#[path = "../tests/ledger"]
mod ledger {
    pub mod records;
    pub mod world;
}
#[path = "../tests/support/postgres.rs"]
mod postgres;

use ledger::{
    records::{Logged, click, decision, fields, matched},
    world::World,
};

const BATCH: usize = 1_000;
const BATCHES: usize = 5;
/// An odd number, of which the median is taken.
const ROUNDS: usize = 9;
/// What the sink writes of a batch: tables, and their rows for each sale.
const TABLES: [(&str, usize); 4] = [
    ("conversions", 1),
    ("ledger", 1),
    ("postings", 3),
    ("outbox", 1),
];

/// A column as the catalogue has it.
struct Column {
    name: String,
    /// Its type, as SQL writes it.
    kind: String,
    /// The type that its values travel as, and that of arrays of it: its own, or text, which arrays
    /// and codes of a fixed length travel as.
    element_oid: u32,
    array_oid: u32,
}

impl Column {
    /// As the sink inserts it.
    fn inserted(&self) -> columns::Column {
        let name = self.name.clone();
        let selected = match self.kind.strip_suffix("[]") {
            Some(_) => format!("string_to_array({name}, ',')"),
            None => name.clone(),
        };
        columns::Column { name, selected }
    }
}

/// A batch's rows of a table, ready to be sent in each way.
struct Rows {
    count: u64,
    json: String,
    columns: Vec<RawArray>,
    copied: Vec<u8>,
}

/// An array whose elements are encoded already.
struct RawArray {
    oid: u32,
    bytes: Vec<u8>,
}

impl Type<Postgres> for RawArray {
    fn type_info() -> PgTypeInfo {
        PgTypeInfo::with_name("text[]")
    }
}

impl Encode<'_, Postgres> for RawArray {
    fn encode_by_ref(&self, buffer: &mut PgArgumentBuffer) -> Result<IsNull, BoxDynError> {
        buffer.extend_from_slice(&self.bytes);
        Ok(IsNull::No)
    }

    fn produces(&self) -> Option<PgTypeInfo> {
        Some(PgTypeInfo::with_oid(Oid(self.oid)))
    }
}

/// A way to insert.
#[derive(Clone, Copy)]
enum Way {
    Json,
    /// By the sink's own statement.
    Unnest,
    /// Into a temporary table and from there: row security allows no `COPY` into the ledger's.
    Copy,
}

const WAYS: [(&str, Way); 3] = [
    ("one JSON document", Way::Json),
    ("UNNEST", Way::Unnest),
    ("COPY BINARY", Way::Copy),
];

/// A table, and rows of it.
struct Table {
    name: &'static str,
    columns: Vec<Column>,
    batches: Vec<Rows>,
}

#[tokio::main]
async fn main() {
    // `cargo test --benches` runs this too.
    if !std::env::args().any(|argument| argument == "--bench") {
        return;
    }
    let mut world = World::new().await;
    let mut folds = Vec::new();
    for _ in 0..ROUNDS {
        world.clear().await;
        folds.push(fold(&world).await);
    }
    let batch = median(&mut folds);
    let superuser = world.pool("postgres").await;
    let mut tables = Vec::new();
    for (name, each) in TABLES {
        tables.push(read(&superuser, name, each).await);
    }
    println!(
        "a whole batch of {BATCH} approved sales: {} ms\n",
        millis(batch)
    );
    println!(
        "| ms for a batch's rows in | {} | {} | {} |",
        WAYS[0].0, WAYS[1].0, WAYS[2].0
    );
    println!("|---|---:|---:|---:|");
    let mut sums = [Duration::ZERO; WAYS.len()];
    for table in &tables {
        let mut line = format!("| `{}` |", table.name);
        let times = measure(&world.writer, &superuser, table).await;
        for (time, sum) in times.into_iter().zip(&mut sums) {
            *sum += time;
            write!(line, " {} |", millis(time)).expect("a string takes everything");
        }
        println!("{line}");
    }
    print!("| all |");
    for sum in sums {
        print!(" {} |", millis(sum));
    }
    println!();
}

/// Sales of as many shoppers, through the sink; what a batch takes.
async fn fold(world: &World) -> Duration {
    let sales = i64::try_from(BATCH * BATCHES).expect("small");
    let mut ends = [0; 12];
    for number in 0..sales {
        let mut sale = sale(number);
        let key = matched(&mut sale).click.click_id.to_string();
        let partition = Topic::Conversions.partition_for(key.as_bytes());
        let end: &mut i64 = &mut ends[usize::try_from(partition).expect("a partition")];
        sale.source = Position {
            topic: Topic::Conversions,
            partition,
            offset: *end,
        };
        *end += 1;
        let record = Logged::from(sale).to_record().in_partition(partition);
        let appended = world.log.append(Topic::Decisions, vec![record]).await;
        appended.expect("appended");
    }
    let began = Instant::now();
    world.fold(BATCH).await;
    began.elapsed() / u32::try_from(BATCHES).expect("small")
}

fn sale(number: i64) -> Decision {
    let mut sale = decision(number);
    let shopper = u128::from(number.unsigned_abs());
    matched(&mut sale).click = click(number, Some(1_000 + shopper));
    fields(&mut sale).txn_id = Some(format!("order-{number}"));
    sale
}

/// The table's rows as the sink wrote them, encoded for each way.
async fn read(superuser: &PgPool, name: &'static str, each: usize) -> Table {
    let columns = sqlx::query(
        "SELECT a.attname::text AS name, format_type(a.atttypid, a.atttypmod) AS kind,
                s.oid AS element_oid, s.typarray AS array_oid
         FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid
         JOIN pg_type s ON s.oid = CASE WHEN t.typcategory = 'A' OR t.typname = 'bpchar'
                                        THEN 'text'::regtype ELSE t.oid END
         WHERE a.attrelid = $1::regclass AND a.attnum > 0 AND NOT a.attisdropped
           AND (a.attidentity = '' OR $1 = 'outbox') ORDER BY a.attnum",
    )
    .bind(name)
    .fetch_all(superuser)
    .await
    .expect("columns");
    let columns: Vec<Column> = columns
        .iter()
        .map(|row| Column {
            name: row.get("name"),
            kind: row.get("kind"),
            element_oid: row.get::<Oid, _>("element_oid").0,
            array_oid: row.get::<Oid, _>("array_oid").0,
        })
        .filter(|column| column.kind != "xid8")
        .collect();
    let batches = (0..BATCHES).map(async |batch| {
        let order = match name {
            "postings" => "posting_id",
            "outbox" => "sequence",
            _ => "click_id",
        };
        let rows = BATCH * each;
        let page = format!(
            "FROM {name} ORDER BY {order} OFFSET {} LIMIT {rows}",
            batch * rows
        );
        encoded(superuser, &columns, &page).await
    });
    let batches = futures::future::join_all(batches).await;
    Table {
        name,
        columns,
        batches,
    }
}

async fn encoded(superuser: &PgPool, columns: &[Column], page: &str) -> Rows {
    let fetch = async |list: String| {
        let query = AssertSqlSafe(format!("SELECT {list} {page}"));
        let rows = sqlx::query(query).fetch_all(superuser).await;
        rows.expect("rows")
    };
    let names = names(columns);
    let documents = fetch(format!(
        "(SELECT row_to_json(r) FROM (SELECT {names}) r)::text"
    ))
    .await;
    let documents: Vec<String> = documents.iter().map(|row| row.get(0)).collect();
    let binary = fetch(names).await;
    // Arrays travel in arrays as text.
    let as_text: Vec<String> = columns
        .iter()
        .map(|column| match column.kind.strip_suffix("[]") {
            Some(_) => format!("array_to_string({}, ',')", column.name),
            None => column.name.clone(),
        })
        .collect();
    let elements = fetch(as_text.join(", ")).await;
    let value = |row: &sqlx::postgres::PgRow, index: usize| -> Option<Vec<u8>> {
        let value = row.try_get_raw(index).expect("a value");
        (!value.is_null()).then(|| value.as_bytes().expect("bytes").to_vec())
    };
    let mut copied = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0".to_vec();
    for row in &binary {
        copied.extend(i16::try_from(columns.len()).expect("few").to_be_bytes());
        for index in 0..columns.len() {
            put(&mut copied, value(row, index).as_deref());
        }
    }
    copied.extend((-1_i16).to_be_bytes());
    let columns = columns.iter().enumerate().map(|(index, column)| {
        let mut bytes = Vec::new();
        for part in [
            1,
            1,
            column.element_oid.cast_signed(),
            i32::try_from(elements.len()).expect("few"),
            1,
        ] {
            bytes.extend(part.to_be_bytes());
        }
        for row in &elements {
            put(&mut bytes, value(row, index).as_deref());
        }
        RawArray {
            oid: column.array_oid,
            bytes,
        }
    });
    Rows {
        count: documents.len() as u64,
        json: format!("[{}]", documents.join(",")),
        columns: columns.collect(),
        copied,
    }
}

fn names(columns: &[Column]) -> String {
    let names: Vec<&str> = columns.iter().map(|column| column.name.as_str()).collect();
    names.join(", ")
}

/// A value as it stands in an array and in `COPY BINARY`: its length, and its bytes.
fn put(bytes: &mut Vec<u8>, value: Option<&[u8]>) {
    match value {
        Some(value) => {
            bytes.extend(i32::try_from(value.len()).expect("small").to_be_bytes());
            bytes.extend(value);
        }
        None => bytes.extend((-1_i32).to_be_bytes()),
    }
}

/// Medians of the ways, for a batch's rows. They take turns, so that none has the better moment.
async fn measure(writer: &PgPool, superuser: &PgPool, table: &Table) -> Vec<Duration> {
    let mut connection = writer.acquire().await.expect("connected");
    let temporary = format!(
        "CREATE TEMPORARY TABLE staged AS SELECT {} FROM {} WHERE false",
        names(&table.columns),
        table.name
    );
    run(&mut connection, &temporary).await;
    let mut times = WAYS.map(|_| Vec::new());
    for _ in 0..ROUNDS {
        for ((_, way), times) in WAYS.into_iter().zip(&mut times) {
            let empty = format!(
                "BEGIN; SET LOCAL session_replication_role = replica; TRUNCATE {}; COMMIT",
                table.name
            );
            let emptied = sqlx::raw_sql(AssertSqlSafe(empty)).execute(superuser).await;
            emptied.expect("emptied");
            let began = Instant::now();
            for rows in &table.batches {
                insert(&mut connection, table, rows, way).await;
            }
            times.push(began.elapsed() / u32::try_from(BATCHES).expect("small"));
        }
    }
    run(&mut connection, "DROP TABLE staged").await;
    times.iter_mut().map(|times| median(times)).collect()
}

async fn insert(connection: &mut PgConnection, table: &Table, rows: &Rows, way: Way) {
    let Table { name, columns, .. } = table;
    let names = names(columns);
    let into = format!("INSERT INTO {name} ({names}) OVERRIDING SYSTEM VALUE SELECT");
    match way {
        Way::Json => {
            let statement =
                format!("{into} {names} FROM json_populate_recordset(NULL::{name}, $1::json)");
            let query = sqlx::query(AssertSqlSafe(statement)).bind(&rows.json);
            done(query, connection, rows).await;
        }
        Way::Unnest => {
            let columns: Vec<_> = columns.iter().map(Column::inserted).collect();
            let statement = insert_statement(name, &columns);
            let mut query = sqlx::query(AssertSqlSafe(statement));
            for column in &rows.columns {
                query = query.bind(column);
            }
            done(query, connection, rows).await;
        }
        Way::Copy => {
            let mut transaction = sqlx::Connection::begin(connection).await.expect("begun");
            let statement = format!("COPY staged ({names}) FROM STDIN (FORMAT binary)");
            let mut copy = transaction.copy_in_raw(&statement).await.expect("copying");
            copy.send(&rows.copied[..]).await.expect("sent");
            copy.finish().await.expect("copied");
            let statement = format!("{into} {names} FROM staged");
            done(
                sqlx::query(AssertSqlSafe(statement)),
                &mut transaction,
                rows,
            )
            .await;
            run(&mut transaction, "TRUNCATE staged").await;
            transaction.commit().await.expect("committed");
        }
    }
}

async fn done(query: Query<'_, Postgres, PgArguments>, connection: &mut PgConnection, rows: &Rows) {
    let written = query.execute(connection).await.expect("inserted");
    assert_eq!(written.rows_affected(), rows.count);
}

async fn run(connection: &mut PgConnection, statement: &str) {
    let statement = AssertSqlSafe(statement.to_owned());
    sqlx::query(statement)
        .execute(connection)
        .await
        .expect("done");
}

fn median(times: &mut [Duration]) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}

fn millis(time: Duration) -> String {
    format!("{:.1}", time.as_secs_f64() * 1_000.0)
}
