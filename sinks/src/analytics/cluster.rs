//! The replicated variant of the schema: the same files, rewritten for a cluster.

use clickhouse::Client;

/// A cluster of ClickHouse servers, each of which is to hold everything. Needs a Keeper, and the
/// macro `replica` on each server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cluster {
    name: String,
}

/// This is no name of a cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a cluster's name has letters, digits, underscores and hyphens only")]
pub struct ClusterNameError;

const DATABASE: &str = "CREATE DATABASE IF NOT EXISTS hissaback";
const TABLE: &str = "CREATE TABLE IF NOT EXISTS hissaback.";
/// Beginnings of what is said of one table or view.
const OF_ONE: [&str; 3] = [
    TABLE,
    "CREATE OR REPLACE VIEW hissaback.",
    "ALTER TABLE hissaback.",
];

impl Cluster {
    /// The cluster of this name in the servers' configuration.
    ///
    /// # Errors
    /// When the name has other characters: it is put into statements.
    pub fn new(name: &str) -> Result<Self, ClusterNameError> {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
        if name.is_empty() || !name.bytes().all(plain) {
            return Err(ClusterNameError);
        }
        Ok(Self {
            name: name.to_owned(),
        })
    }

    /// A statement of the schema for every server of the cluster: tables of the `MergeTree` family
    /// become replicated ones. What writes rows is left as it is, since rows are replicated.
    pub(super) fn rewrite(&self, statement: &str) -> String {
        // Comments stand before a statement, never in its first line.
        let start = statement
            .split_inclusive('\n')
            .take_while(|line| line.starts_with("--") || line.trim().is_empty())
            .map(str::len)
            .sum();
        let code = &statement[start..];
        let on_cluster = format!(" ON CLUSTER '{}'", self.name);
        if let Some(rest) = code.strip_prefix(DATABASE) {
            return format!("{DATABASE}{on_cluster}{rest}");
        }
        let Some(beginning) = OF_ONE.into_iter().find(|one| code.starts_with(one)) else {
            return code.to_owned();
        };
        let rest = &code[beginning.len()..];
        let end = rest
            .find(|character: char| character.is_whitespace())
            .unwrap_or(rest.len());
        let (name, rest) = rest.split_at(end);
        let rest = if beginning == TABLE {
            replicated(name, rest)
        } else {
            rest.to_owned()
        };
        format!("{beginning}{name}{on_cluster}{rest}")
    }

    /// Requests that are right on whichever server of the cluster they arrive: an acknowledged
    /// insert is on most, and reads see it.
    pub(super) fn sequential(client: Client) -> Client {
        client
            .with_setting("insert_quorum", "auto")
            .with_setting("insert_quorum_parallel", "0")
            .with_setting("select_sequential_consistency", "1")
    }
}

/// The definition of a table with its engine replicated.
fn replicated(name: &str, definition: &str) -> String {
    let path = format!("'/clickhouse/tables/hissaback/{name}', '{{replica}}'");
    definition
        .lines()
        .map(|line| {
            let Some((indent, engine)) = line.split_once("ENGINE = ") else {
                return line.replace(
                    "non_replicated_deduplication_window",
                    "replicated_deduplication_window",
                );
            };
            let (family, rest) = engine.split_at(engine.find("Tree").map_or(0, |at| at + 4));
            let rest = match rest.strip_prefix('(') {
                Some(arguments) => format!("({path}, {arguments}"),
                None => format!("({path}){rest}"),
            };
            format!("{indent}ENGINE = Replicated{family}{rest}")
        })
        .collect::<Vec<_>>()
        .join("\n")
}

#[cfg(test)]
mod tests {
    use super::{super::migrator, *};

    fn cluster() -> Cluster {
        Cluster::new("analysts-1").expect("a name")
    }

    #[test]
    fn a_name_that_could_end_its_quotes_is_refused() {
        for name in ["", "a b", "a'b", "a\\", "ä"] {
            assert_eq!(Cluster::new(name), Err(ClusterNameError), "{name}");
        }
    }

    #[test]
    fn tables_are_replicated_and_everything_is_made_on_every_server() {
        for (statement, rewritten) in [
            (
                "CREATE DATABASE IF NOT EXISTS hissaback ENGINE = Atomic",
                "CREATE DATABASE IF NOT EXISTS hissaback ON CLUSTER 'analysts-1' ENGINE = Atomic",
            ),
            (
                "-- Why.\n\nCREATE TABLE IF NOT EXISTS hissaback.things\n(\n    thing Int64\n)\n\
                 ENGINE = ReplacingMergeTree(version)\nORDER BY thing\n\
                 SETTINGS non_replicated_deduplication_window = 1000",
                "CREATE TABLE IF NOT EXISTS hissaback.things ON CLUSTER 'analysts-1'\n(\n    \
                 thing Int64\n)\nENGINE = ReplicatedReplacingMergeTree(\
                 '/clickhouse/tables/hissaback/things', '{replica}', version)\nORDER BY thing\n\
                 SETTINGS replicated_deduplication_window = 1000",
            ),
            (
                "CREATE TABLE IF NOT EXISTS hissaback.things\n(x Int8)\nENGINE = MergeTree ORDER BY x",
                "CREATE TABLE IF NOT EXISTS hissaback.things ON CLUSTER 'analysts-1'\n(x Int8)\n\
                 ENGINE = ReplicatedMergeTree('/clickhouse/tables/hissaback/things', '{replica}') \
                 ORDER BY x",
            ),
            (
                "CREATE OR REPLACE VIEW hissaback.v_things AS\nSELECT 1",
                "CREATE OR REPLACE VIEW hissaback.v_things ON CLUSTER 'analysts-1' AS\nSELECT 1",
            ),
            (
                "ALTER TABLE hissaback.things\n    COMMENT COLUMN x 'y'",
                "ALTER TABLE hissaback.things ON CLUSTER 'analysts-1'\n    COMMENT COLUMN x 'y'",
            ),
            (
                "INSERT INTO hissaback.things\nSELECT 1",
                "INSERT INTO hissaback.things\nSELECT 1",
            ),
        ] {
            assert_eq!(cluster().rewrite(statement), rewritten);
        }
    }

    #[test]
    fn no_statement_of_the_schema_is_left_out() {
        let mut tables = 0;
        for statement in migrator::every_statement() {
            let rewritten = cluster().rewrite(statement);
            let writes_rows = rewritten.starts_with("INSERT INTO ");
            assert_eq!(
                rewritten.matches("ON CLUSTER 'analysts-1'").count(),
                usize::from(!writes_rows),
                "{rewritten}"
            );
            assert!(!rewritten.contains("non_replicated"), "{rewritten}");
            let engines = statement.matches("MergeTree").count();
            assert_eq!(rewritten.matches("ENGINE = Replicated").count(), engines);
            tables += engines;
        }
        assert!(tables > 10, "the schema has tables");
    }
}
