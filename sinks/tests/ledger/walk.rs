//! The isolation walk: every table × every role × every statement, tried, against what is expected
//! of it. A table, function or role that isn't listed here fails the walk until somebody has
//! decided who may do what with it.
//!
//! `UPDATE_RELIABILITY=1 cargo test -p sinks --test ledger walk` writes its count.

mod catalogue;
mod expected;

use std::{collections::BTreeSet, fmt::Write};

use sqlx::{AssertSqlSafe, Connection, PgConnection, PgPool, Row};
use uuid::Uuid;

use crate::{
    document,
    isolation::{set, two_tenants},
    records::{tenant, user},
    world::World,
};
use catalogue::functions;
use expected::{ANALYST, API, APPEND_ONLY, OPERATOR, OWNER, ROLES, Rows, TABLES, Table, WRITER};

const INSUFFICIENT_PRIVILEGE: &str = "42501";
const RESTRICT_VIOLATION: &str = "23001";
const CHECK_VIOLATION: &str = "23514";
const INVALID_TEXT: &str = "22P02";

const STATEMENTS: [char; 5] = ['S', 'I', 'U', 'D', 'T'];

/// As whom a statement is tried, and for the API what is set.
#[derive(Debug, Clone, Copy)]
struct Walker {
    role: &'static str,
    name: &'static str,
    tenant: Option<&'static str>,
    user: Option<&'static str>,
    /// What it sees of tables whose rows are a tenant's, or a tenant's and a user's.
    sees: Seen,
}

/// Which tenants' rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Seen {
    Everybody,
    Tenant(u128),
    /// The user's rows, which are one tenant's; nothing of tables without users.
    User(u128),
    Nobody,
    /// The statement fails.
    Error,
}

fn walkers() -> Vec<Walker> {
    let role = |role| Walker {
        role,
        name: role,
        tenant: None,
        user: None,
        sees: Seen::Everybody,
    };
    let api = |name, tenant, user, sees| Walker {
        role: API,
        name,
        tenant,
        user,
        sees,
    };
    // Shopper 9 is tenant A's.
    let set = |id: Uuid| -> Option<&'static str> { Some(id.to_string().leak()) };
    let shopper = set(user(9).uuid());
    let (tenant_a, tenant_b) = (set(tenant(1).uuid()), set(tenant(2).uuid()));
    let stranger = "ffffffff-ffff-ffff-ffff-ffffffffffff";
    vec![
        role(OWNER),
        role(WRITER),
        role(OPERATOR),
        role(ANALYST),
        api("tenant A", tenant_a, None, Seen::Tenant(1)),
        api("tenant B", tenant_b, None, Seen::Tenant(2)),
        api("a shopper", None, shopper, Seen::User(1)),
        api("strangers", Some(stranger), Some(stranger), Seen::Nobody),
        api("nothing set", None, None, Seen::Nobody),
        api("empty", Some(""), Some(""), Seen::Nobody),
        api("malformed", Some("1 OR true"), Some("*"), Seen::Error),
    ]
}

/// A table as the catalogue has it.
struct Relation {
    name: String,
    kind: Kind,
    /// A column that may be set to itself.
    column: String,
    columns: Vec<String>,
    forced: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Table,
    Partition,
    View,
}

async fn relations(owner: &PgPool) -> Vec<Relation> {
    let rows = sqlx::query(
        "SELECT c.relname::text AS name, c.relispartition AS partition, c.relkind = 'v' AS view,
                c.relrowsecurity AND c.relforcerowsecurity AS forced,
                array_agg(a.attname::text ORDER BY a.attnum) AS columns,
                (array_agg(a.attname::text ORDER BY a.attnum)
                 FILTER (WHERE a.attidentity = ''))[1] AS settable
         FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid
         WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p', 'v', 'm', 'f')
           AND a.attnum > 0 AND NOT a.attisdropped
         GROUP BY c.oid ORDER BY 1",
    )
    .fetch_all(owner)
    .await
    .expect("the catalogue");
    rows.iter()
        .map(|row| Relation {
            name: row.get("name"),
            kind: match (row.get("partition"), row.get("view")) {
                (true, _) => Kind::Partition,
                (false, true) => Kind::View,
                (false, false) => Kind::Table,
            },
            column: row.get("settable"),
            columns: row.get("columns"),
            forced: row.get("forced"),
        })
        .collect()
}

/// What a role may do with a table, by initials.
fn granted(relation: &Relation, role: &str) -> String {
    if relation.kind == Kind::Partition {
        // Inserting is stopped by row-level security: a partition has no policy.
        return if role == OWNER { "SUDT" } else { "" }.to_owned();
    }
    let (_, writer, operator, analyst, rows) = listed(&relation.name);
    let granted = match role {
        OWNER if relation.kind == Kind::View => "S",
        OWNER if APPEND_ONLY.contains(&relation.name.as_str()) => "SI",
        OWNER => "SIUDT",
        WRITER => writer,
        OPERATOR => operator,
        ANALYST => analyst,
        API if *rows != Rows::None => "S",
        _ => "",
    };
    granted.to_owned()
}

fn listed(table: &str) -> &'static Table {
    TABLES
        .iter()
        .find(|(name, ..)| *name == table)
        .unwrap_or_else(|| panic!("{table} is new: say in TABLES who may do what with it"))
}

fn statement(relation: &Relation, initial: char) -> String {
    let Relation { name, column, .. } = relation;
    match initial {
        'S' => format!("SELECT count(*) FROM {name}"),
        'I' => format!("INSERT INTO {name} DEFAULT VALUES"),
        'U' => format!("UPDATE {name} SET {column} = {column} WHERE false"),
        'D' => format!("DELETE FROM {name} WHERE false"),
        _ => format!("TRUNCATE {name}"),
    }
}

/// The SQLSTATE that a statement fails with, if it does; it is rolled back in any case.
async fn attempt(connection: &mut PgConnection, statement: &str) -> Option<String> {
    let mut transaction = connection.begin().await.expect("begun");
    let outcome = sqlx::query(AssertSqlSafe(statement.to_owned()))
        .execute(&mut *transaction)
        .await;
    transaction.rollback().await.expect("rolled back");
    let error = outcome.err()?;
    let error = error.as_database_error().expect("the database's own");
    Some(error.code().expect("a code").into_owned())
}

/// Tries every statement as one walker. Gives how many, and what isn't as expected.
async fn walk(world: &World, relations: &[Relation], walker: Walker) -> (usize, Vec<String>) {
    let pool = world.pool(walker.role).await;
    let mut connection = pool.acquire().await.expect("connected");
    for (name, value) in [("app.tenant", walker.tenant), ("app.user", walker.user)] {
        if let Some(value) = value {
            set(&mut connection, name, value).await;
        }
    }
    let (mut tried, mut wrong) = (0, Vec::new());
    for relation in relations {
        let granted = granted(relation, walker.role);
        for initial in STATEMENTS {
            // What a view lets through is decided before who asks.
            if relation.kind == Kind::View && initial != 'S' {
                continue;
            }
            tried += 1;
            let statement = statement(relation, initial);
            let failure = attempt(&mut connection, &statement).await;
            let refused = match failure.as_deref() {
                Some(INSUFFICIENT_PRIVILEGE | RESTRICT_VIOLATION) => true,
                // A row of defaults belongs to no partition of a partition.
                Some(CHECK_VIOLATION) => relation.kind == Kind::Partition,
                Some(INVALID_TEXT) => walker.sees == Seen::Error,
                Some(_) | None => false,
            };
            let allowed =
                granted.contains(initial) && !(walker.sees == Seen::Error && of_tenants(relation));
            if refused == allowed {
                wrong.push(format!("{}: {statement}: {failure:?}", walker.name));
            }
        }
        if granted.contains('S') && relation.kind == Kind::Table {
            wrong.extend(wrong_rows(&mut connection, relation, walker).await);
        }
    }
    drop(connection);
    pool.close().await;
    (tried, wrong)
}

fn of_tenants(relation: &Relation) -> bool {
    relation.columns.iter().any(|column| column == "tenant_id")
}

/// Compares the rows that are seen, where they are tenants'.
async fn wrong_rows(
    connection: &mut PgConnection,
    relation: &Relation,
    walker: Walker,
) -> Option<String> {
    let (table, .., rows) = listed(&relation.name);
    if !of_tenants(relation) {
        return None;
    }
    let sees = match (rows, walker.sees) {
        (Rows::Tenant, Seen::User(_)) => Seen::Nobody,
        (_, sees) => sees,
    };
    let query =
        format!("SELECT DISTINCT tenant_id FROM {table} WHERE tenant_id IS NOT NULL ORDER BY 1");
    let found: sqlx::Result<Vec<Uuid>> = sqlx::query_scalar(AssertSqlSafe(query))
        .fetch_all(connection)
        .await;
    let of = |number: u128| tenant(number).uuid();
    let right = match (sees, &found) {
        (Seen::Error, Err(error)) => error
            .as_database_error()
            .is_some_and(|error| error.code().as_deref() == Some(INVALID_TEXT)),
        (Seen::Error, Ok(_)) | (_, Err(_)) => false,
        (Seen::Everybody, Ok(found)) => *found == [of(1), of(2)],
        (Seen::Tenant(number) | Seen::User(number), Ok(found)) => *found == [of(number)],
        (Seen::Nobody, Ok(found)) => found.is_empty(),
    };
    (!right).then(|| format!("{} sees of {table}: {found:?}", walker.name))
}

#[tokio::test]
async fn every_table_role_and_statement_is_as_expected() {
    let world = two_tenants().await;
    let relations = relations(&world.owner).await;
    let known: BTreeSet<&str> = relations.iter().map(|relation| &*relation.name).collect();
    for (table, ..) in TABLES {
        assert!(known.contains(table), "{table} is gone");
    }
    let walkers = walkers();
    let (mut tried, mut wrong) = (0, Vec::new());
    for walker in &walkers {
        let (more, found) = walk(&world, &relations, *walker).await;
        tried += more;
        wrong.extend(found);
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));

    let functions = functions(&world.owner).await;
    let count = |kind| {
        let of_kind = relations.iter().filter(|relation| relation.kind == kind);
        of_kind.count()
    };
    let (tables, partitions) = (
        count(Kind::Table) + count(Kind::View),
        count(Kind::Partition),
    );
    assert!(partitions >= 6, "months, quarters and hash partitions");
    let mut text = "| | |\n|---:|---|\n".to_owned();
    for (figure, what) in [
        (
            tried,
            "statements tried, all of them allowed or refused as expected",
        ),
        (functions * ROLES.len(), "calls of functions, likewise"),
        (tables, "tables and views"),
        (partitions, "partitions"),
        (functions, "functions"),
        (ROLES.len(), "roles"),
        (
            walkers.len() - (ROLES.len() - 1),
            "settings of the API's role",
        ),
        (
            STATEMENTS.len(),
            "statements: SELECT, INSERT, UPDATE, DELETE, TRUNCATE",
        ),
    ] {
        writeln!(text, "| {figure} | {what} |").expect("a string takes everything");
    }
    document::holds("isolation walk", &text);
}

#[tokio::test]
async fn the_walk_finds_what_is_wrong() {
    let world = two_tenants().await;
    let relations = relations(&world.owner).await;
    let partition = relations
        .iter()
        .find(|found| found.name.starts_with("clicks_"));
    let partition = &partition.expect("a month of clicks").name;
    for (role, mistake) in [
        (
            "nothing set",
            "GRANT SELECT ON users TO hissaback_api".to_owned(),
        ),
        (
            "tenant A",
            "CREATE POLICY leak ON ledger FOR SELECT TO hissaback_api USING (true)".to_owned(),
        ),
        (
            "hissaback_operator",
            "GRANT DELETE ON commands TO hissaback_operator".to_owned(),
        ),
        (
            "hissaback_analyst",
            format!("GRANT SELECT ON {partition} TO hissaback_analyst"),
        ),
        (
            "hissaback_writer",
            "REVOKE INSERT ON ledger FROM hissaback_writer".to_owned(),
        ),
        (
            "hissaback_owner",
            "DROP TRIGGER append_only ON postings".to_owned(),
        ),
    ] {
        let walker = walkers().into_iter().find(|walker| walker.name == role);
        let walker = walker.expect(role);
        let (_, before) = walk(&world, &relations, walker).await;
        let query = sqlx::query(AssertSqlSafe(mistake.clone()));
        query.execute(&world.owner).await.expect(&mistake);
        let (_, after) = walk(&world, &relations, walker).await;
        assert!(after.len() > before.len(), "{mistake}: not noticed");
    }
}
