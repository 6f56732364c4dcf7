//! The isolation walk: every table × every role × every statement, tried, against what is expected
//! of it. A table, function or role that isn't listed here fails the walk until somebody has
//! decided who may do what with it.
//!
//! `UPDATE_RELIABILITY=1 cargo test -p sinks --test ledger walk` writes its count.

use std::{collections::BTreeSet, fmt::Write, fs};

use sqlx::{AssertSqlSafe, Connection, PgConnection, PgPool, Row};
use uuid::Uuid;

use crate::{
    isolation::{set, two_tenants},
    records::{tenant, user},
    world::World,
};

/// Whose rows the API sees.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Rows {
    /// Everybody's: the platform's own data.
    All,
    /// Those of the tenant that is set.
    Tenant,
    /// And those of the user that is set.
    TenantOrUser,
    /// None: the API is granted nothing.
    None,
}

/// Name; what the writer, the operator, the analyst and the API may do, by initials of SELECT,
/// INSERT, UPDATE, DELETE (the owner may all, the API reads); whose rows the API sees.
type Table = (&'static str, &'static str, &'static str, &'static str, Rows);

const TABLES: [Table; 44] = [
    ("_sqlx_migrations", "", "", "", Rows::None),
    ("analytics_positions", "SIU", "S", "", Rows::None),
    ("audit_log", "SI", "SI", "", Rows::None),
    ("campaign_versions", "S", "SI", "S", Rows::Tenant),
    ("campaigns", "S", "SI", "S", Rows::Tenant),
    ("clicks", "SIUD", "S", "S", Rows::TenantOrUser),
    ("commands", "SIUD", "S", "", Rows::None),
    ("commission_overrides", "S", "SI", "S", Rows::Tenant),
    ("commission_rule_sets", "S", "SI", "S", Rows::None),
    ("conflicts", "SI", "S", "", Rows::None),
    ("consumer_positions", "SIUD", "S", "", Rows::None),
    ("conversions", "SIUD", "S", "S", Rows::TenantOrUser),
    ("event_id_instances", "SIUD", "", "", Rows::None),
    ("fold_locks", "SIUD", "", "", Rows::None),
    ("fraud_rule_sets", "S", "SI", "S", Rows::None),
    ("healed_positions", "SIUD", "", "", Rows::None),
    ("ledger", "SIUD", "S", "S", Rows::TenantOrUser),
    ("ledger_epoch", "SIUD", "S", "", Rows::None),
    ("links", "S", "SI", "S", Rows::Tenant),
    ("networks", "S", "SI", "S", Rows::None),
    ("offer_goal_rates", "S", "SI", "S", Rows::All),
    ("offer_versions", "S", "SI", "S", Rows::All),
    ("offers", "S", "SI", "S", Rows::All),
    ("order_claims", "SIUD", "S", "", Rows::None),
    ("orders", "SIUD", "S", "", Rows::None),
    ("outbox", "SIUD", "S", "", Rows::None),
    ("payee_locks", "SIUD", "", "", Rows::None),
    ("payout_channels", "SIU", "S", "", Rows::None),
    ("payout_dispatch", "SIU", "S", "", Rows::None),
    ("payout_items", "SIUD", "S", "S", Rows::Tenant),
    ("payout_steps", "SIUD", "S", "", Rows::None),
    ("payouts", "SIUD", "S", "S", Rows::TenantOrUser),
    ("positions_applied", "SIUD", "S", "", Rows::None),
    ("positions_applied_beyond", "SIUD", "S", "", Rows::None),
    ("postings", "SI", "S", "S", Rows::TenantOrUser),
    ("reports", "S", "S", "S", Rows::None),
    ("retired_reports", "SD", "S", "S", Rows::None),
    ("tenant_locks", "S", "SI", "S", Rows::Tenant),
    ("tenant_members", "S", "SI", "", Rows::None),
    ("tenant_versions", "S", "SI", "S", Rows::Tenant),
    ("tenants", "S", "SI", "S", Rows::Tenant),
    ("unmatched_conversions", "SIUD", "S", "S", Rows::None),
    ("users", "S", "SI", "S", Rows::None),
    ("widgets", "S", "SI", "S", Rows::Tenant),
];

/// Not even the owner changes these.
const APPEND_ONLY: [&str; 2] = ["audit_log", "postings"];

/// Columns that a role can't read of a table that it reads.
const HIDDEN: [(&str, &str, &[&str]); 13] = [
    (API, "clicks", &["address_hash", "address_prefix"]),
    (API, "conversions", &["decision"]),
    (API, "ledger", &["order_owner"]),
    (
        API,
        "payouts",
        &["creation_request_id", "request", "voucher_code"],
    ),
    (
        ANALYST,
        "clicks",
        &["address_hash", "address_prefix", "referrer"],
    ),
    (ANALYST, "conversions", &["decision"]),
    (ANALYST, "networks", &["security_token_sha256"]),
    (
        ANALYST,
        "payouts",
        &["card_id", "creation_request_id", "request", "voucher_code"],
    ),
    (ANALYST, "unmatched_conversions", &["decision"]),
    (
        ANALYST,
        "users",
        &[
            "email_hash",
            "email_sealed",
            "kyc_hash",
            "phone_hash",
            "phone_sealed",
        ],
    ),
    (
        OPERATOR,
        "payout_dispatch",
        &["claim_code_ciphertext", "claim_code_nonce"],
    ),
    (OPERATOR, "users", &["email_sealed", "phone_sealed"]),
    (WRITER, "users", &["email_sealed"]),
];

/// Functions, and the roles besides the owner that may call them.
const FUNCTIONS: [(&str, &[&str]); 13] = [
    ("add_partition", &[]),
    ("current_app_user", &[API]),
    ("current_tenant", &[API]),
    ("detach_month", &[OPERATOR]),
    ("drop_detached_months", &[OPERATOR]),
    ("ensure_partitions", &[OPERATOR, WRITER]),
    ("erase_addresses", &[OPERATOR]),
    ("erase_user", &[OPERATOR]),
    ("isolate", &[]),
    ("postings_sum_to_zero", &[]),
    ("refuse_change", &[]),
    ("retire_reports_before", &[OPERATOR]),
    ("unsettled_claims_before", &[OPERATOR]),
];

/// The sequences that a role draws from by itself; the others belong to identity columns.
const SEQUENCES: [(&str, &str); 2] = [
    (WRITER, "outbox_sequence_seq"),
    (WRITER, "posting_transactions"),
];

const OWNER: &str = "hissaback_owner";
const WRITER: &str = "hissaback_writer";
const OPERATOR: &str = "hissaback_operator";
const ANALYST: &str = "hissaback_analyst";
const API: &str = "hissaback_api";
const ROLES: [&str; 5] = [ANALYST, API, OPERATOR, OWNER, WRITER];

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
    let (_, writer, operator, analyst, rows) = expected(&relation.name);
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

fn expected(table: &str) -> &'static Table {
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
    let (table, .., rows) = expected(&relation.name);
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
    document(&text);
}

/// Checks who may call what; gives the number of functions.
async fn functions(owner: &PgPool) -> usize {
    let functions: Vec<(String, bool, String, Vec<String>)> = sqlx::query_as(
        "SELECT p.proname::text, p.prosecdef, coalesce(array_to_string(p.proconfig, ' '), ''),
                array(SELECT r.rolname::text FROM pg_roles r
                      WHERE r.rolname LIKE 'hissaback%' AND r.rolname <> 'hissaback_owner'
                        AND has_function_privilege(r.rolname, p.oid, 'EXECUTE') ORDER BY 1)
         FROM pg_proc p WHERE p.pronamespace = 'public'::regnamespace ORDER BY 1",
    )
    .fetch_all(owner)
    .await
    .expect("the catalogue");
    for (name, definer, settings, callers) in &functions {
        let (_, expected) = FUNCTIONS
            .iter()
            .find(|(known, _)| known == name)
            .unwrap_or_else(|| panic!("{name} is new: say in FUNCTIONS who may call it"));
        assert_eq!(callers, expected, "{name}");
        // A definer's function looks for names where its caller can't put any.
        if *definer {
            assert!(
                settings.contains("search_path=public, pg_temp"),
                "{name}: {settings}"
            );
        }
    }
    assert_eq!(functions.len(), FUNCTIONS.len());
    functions.len()
}

#[tokio::test]
async fn what_a_role_may_read_is_known_to_the_column() {
    let world = World::new().await;
    for relation in relations(&world.owner).await {
        for role in ROLES {
            if relation.kind != Kind::Table || !granted(&relation, role).contains('S') {
                continue;
            }
            let expected: &[&str] = HIDDEN
                .iter()
                .find(|(hidden_from, table, _)| *hidden_from == role && *table == relation.name)
                .map_or(&[], |(.., columns)| columns);
            let hidden: Vec<String> = sqlx::query_scalar(
                "SELECT column_name FROM unnest($3::text[]) AS column_name
                 WHERE NOT has_column_privilege($1, $2::regclass, column_name, 'SELECT')
                 ORDER BY 1",
            )
            .bind(role)
            .bind(&relation.name)
            .bind(&relation.columns)
            .fetch_all(&world.owner)
            .await
            .expect("the catalogue");
            assert_eq!(hidden, expected, "{role}, {}", relation.name);
        }
    }
    for role in [ANALYST, API] {
        let pool = world.pool(role).await;
        let mut connection = pool.acquire().await.expect("connected");
        for (hidden_from, table, columns) in HIDDEN {
            for column in columns.iter().filter(|_| hidden_from == role) {
                let statement = format!("SELECT {column} FROM {table}");
                let failure = attempt(&mut connection, &statement).await;
                assert_eq!(
                    failure.as_deref(),
                    Some(INSUFFICIENT_PRIVILEGE),
                    "{statement}"
                );
            }
        }
    }
}

#[tokio::test]
async fn whatever_names_a_tenant_or_a_person_is_under_forced_row_security() {
    let world = two_tenants().await;
    for relation in relations(&world.owner).await {
        let names = |column: &String| column == "tenant_id" || column == "user_id";
        // A lock is a name and nothing else, and no API's.
        let exempt = relation.name == "payee_locks" || relation.kind == Kind::View;
        let needed = relation.kind == Kind::Partition || relation.columns.iter().any(names);
        assert!(
            relation.forced || exempt || !needed,
            "{} has no forced row security",
            relation.name
        );
    }
    let invoked_by_others: Vec<String> = sqlx::query_scalar(
        "SELECT relname::text FROM pg_class
         WHERE relnamespace = 'public'::regnamespace AND relkind IN ('v', 'm')
           AND NOT coalesce('security_invoker=true' = ANY (reloptions), false)",
    )
    .fetch_all(&world.owner)
    .await
    .expect("the catalogue");
    assert_eq!(
        invoked_by_others, [""; 0],
        "a view shows what its reader may see"
    );
}

#[tokio::test]
async fn roles_are_what_they_are_called_and_no_more() {
    let world = World::new().await;
    let roles: Vec<(String, bool)> = sqlx::query_as(
        "SELECT rolname::text, rolsuper OR rolbypassrls OR rolcreatedb OR rolreplication
         FROM pg_roles WHERE rolname LIKE 'hissaback%' ORDER BY 1",
    )
    .fetch_all(&world.owner)
    .await
    .expect("roles");
    let expected: Vec<_> = ROLES.map(|role| (role.to_owned(), false)).into();
    assert_eq!(roles, expected, "and none above the rules");
    for (what, query) in [
        (
            "another role's rights",
            "SELECT r.rolname::text FROM pg_auth_members m JOIN pg_roles r ON r.oid = m.member
             WHERE r.rolname LIKE 'hissaback%' AND r.rolname <> 'hissaback_owner'",
        ),
        (
            "makes tables",
            "SELECT r.rolname::text FROM pg_roles r
             WHERE r.rolname LIKE 'hissaback%' AND r.rolname <> 'hissaback_owner'
               AND has_schema_privilege(r.rolname, 'public', 'CREATE')",
        ),
        (
            "sees detached months",
            "SELECT r.rolname::text FROM pg_roles r
             WHERE r.rolname LIKE 'hissaback%' AND r.rolname <> 'hissaback_owner'
               AND has_schema_privilege(r.rolname, 'retired', 'USAGE, CREATE')",
        ),
        (
            "isn't the owner's",
            "SELECT relname::text FROM pg_class
             WHERE relnamespace = 'public'::regnamespace
               AND relowner <> 'hissaback_owner'::regrole",
        ),
    ] {
        let found: Vec<String> = sqlx::query_scalar(query)
            .fetch_all(&world.owner)
            .await
            .expect("the catalogue");
        assert_eq!(found, [""; 0], "{what}");
    }
    let sequences: Vec<(String, String)> = sqlx::query_as(
        "SELECT r.rolname::text, c.relname::text FROM pg_class c, pg_roles r
         WHERE c.relkind = 'S' AND c.relnamespace = 'public'::regnamespace
           AND r.rolname LIKE 'hissaback%' AND r.rolname <> 'hissaback_owner'
           AND has_sequence_privilege(r.rolname, c.oid, 'USAGE, SELECT, UPDATE') ORDER BY 2",
    )
    .fetch_all(&world.owner)
    .await
    .expect("the catalogue");
    let expected = SEQUENCES.map(|(role, name)| (role.to_owned(), name.to_owned()));
    assert_eq!(sequences, expected);
}

const DOCUMENT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/reliability.md");
const UPDATE: &str = "UPDATE_RELIABILITY";
const BEGIN: &str = "<!-- isolation walk: begin (generated) -->\n";
const END: &str = "<!-- isolation walk: end -->\n";

/// The count stands in docs/reliability.md, between its marks.
fn document(text: &str) {
    let document = fs::read_to_string(DOCUMENT).expect("docs/reliability.md");
    let (before, rest) = document.split_once(BEGIN).expect("the mark of the begin");
    let (committed, after) = rest.split_once(END).expect("the mark of the end");
    if std::env::var_os(UPDATE).is_some() {
        let updated = [before, BEGIN, text, END, after].concat();
        fs::write(DOCUMENT, updated).expect("written");
        return;
    }
    assert_eq!(
        committed, text,
        "docs/reliability.md isn't what was walked: run\n  \
         {UPDATE}=1 cargo test -p sinks --test ledger walk"
    );
}
