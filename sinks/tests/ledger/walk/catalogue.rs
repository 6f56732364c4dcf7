//! What the catalogue alone tells: functions, columns, row security, roles.

use sqlx::PgPool;

use super::{
    INSUFFICIENT_PRIVILEGE, Kind, attempt,
    expected::{ANALYST, API, FUNCTIONS, HIDDEN, ROLES, SEQUENCES},
    granted, relations,
};
use crate::{isolation::two_tenants, world::World};

/// Checks who may call what; gives the number of functions.
pub(super) async fn functions(owner: &PgPool) -> usize {
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
