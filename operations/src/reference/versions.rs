//! Versions as rows: compared with those that are there, and added.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};
use sqlx::{AssertSqlSafe, Row};

use super::{
    Import, Problem, Problems, ReferenceError,
    editions::{Content, Edition, Subject},
    validation::DIFFERS,
};

/// Editions of one table, each with its row.
type Rows<'e, 'a> = Vec<(&'e Edition<'a>, Map<String, Value>)>;

fn by_table<'e, 'a: 'e>(
    editions: impl Iterator<Item = (Option<i32>, &'e Edition<'a>)>,
) -> Result<BTreeMap<&'static str, Rows<'e, 'a>>, Problem> {
    let mut tables: BTreeMap<_, Rows<'e, 'a>> = BTreeMap::new();
    for (number, edition) in editions {
        let mut row = edition.row()?;
        if let Some(number) = number {
            row.insert("version".to_owned(), number.into());
        }
        let rows = tables.entry(edition.content.table()).or_default();
        rows.push((edition, row));
    }
    Ok(tables)
}

fn json_of(rows: &Rows<'_, '_>) -> Value {
    rows.iter()
        .map(|(_, row)| Value::Object(row.clone()))
        .collect()
}

impl Import<'_> {
    /// Versions that are there already have to say the same.
    pub(super) async fn compare(&mut self, saved: &[Edition<'_>]) -> Result<(), ReferenceError> {
        let editions = saved.iter().map(|edition| (None, edition));
        let mut problems = Vec::new();
        for (table, rows) in by_table(editions).map_err(Problems::from)? {
            // Both sides as the database writes them: numbers by value, texts as stored.
            let statement = format!(
                "SELECT given.number - 1 AS index
                 FROM jsonb_array_elements($1::jsonb) WITH ORDINALITY AS given (value, number)
                 WHERE to_jsonb(jsonb_populate_record(NULL::{table}, given.value))
                       - 'version' - 'saved_at'
                       NOT IN (SELECT to_jsonb(t) - 'version' - 'saved_at' FROM {table} t)
                 ORDER BY 1"
            );
            // The table's name is one of ours.
            let differing = sqlx::query(AssertSqlSafe(statement))
                .bind(json_of(&rows))
                .fetch_all(&mut *self.connection)
                .await?;
            for row in &differing {
                let index: i64 = row.try_get("index")?;
                let edition = usize::try_from(index)
                    .ok()
                    .and_then(|index| rows.get(index));
                problems.extend(edition.map(|(edition, _)| Problem::new(&edition.path, DIFFERS)));
            }
        }
        match Problems::new(problems) {
            Some(problems) => Err(problems.into()),
            None => Ok(()),
        }
    }

    /// Adds versions with their numbers.
    pub(super) async fn versions(
        &mut self,
        further: &[(i32, Edition<'_>)],
    ) -> Result<(), ReferenceError> {
        let editions = further.iter().map(|(number, edition)| {
            let ours = !edition.content.numbered_by_the_database();
            (ours.then_some(*number), edition)
        });
        for (table, mut rows) in by_table(editions).map_err(Problems::from)? {
            for (_, row) in &mut rows {
                row.insert("saved_at".to_owned(), json!(self.now));
            }
            let rows = json_of(&rows);
            self.insert_rows(table, rows).await?;
        }
        self.goal_rates(further).await
    }

    async fn goal_rates(&mut self, further: &[(i32, Edition<'_>)]) -> Result<(), ReferenceError> {
        let mut rows = Vec::new();
        for (number, edition) in further {
            let (Subject::Offer(offer_id), Content::Offer(version)) =
                (&edition.subject, edition.content)
            else {
                continue;
            };
            rows.extend(version.goal_rates.iter().map(|(goal_id, rate)| {
                json!({
                    "offer_id": offer_id,
                    "version": number,
                    "goal_id": goal_id,
                    "commission_pct": rate.pct,
                    "commission_flat": rate.flat,
                })
            }));
        }
        let rows = Value::Array(rows);
        self.insert_rows("offer_goal_rates", rows).await
    }

    /// Inserts rows of the same columns.
    async fn insert_rows(
        &mut self,
        table: &'static str,
        rows: Value,
    ) -> Result<(), ReferenceError> {
        let Some(first) = rows.get(0).and_then(Value::as_object) else {
            return Ok(());
        };
        let columns = first
            .keys()
            .map(String::as_str)
            .collect::<Vec<_>>()
            .join(", ");
        // Names of columns are ours too; values are bound.
        let statement = format!(
            "INSERT INTO {table} ({columns})
             SELECT {columns} FROM jsonb_populate_recordset(NULL::{table}, $1::jsonb)"
        );
        let insert = sqlx::query(AssertSqlSafe(statement)).bind(rows);
        Ok(self.insert(table, insert).await?)
    }
}
