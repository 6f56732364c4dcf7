//! Rows as columns, each of which travels as one array (docs/adr/0008).

use sqlx::{
    Arguments, AssertSqlSafe, Encode, PgConnection, Postgres, Type,
    error::BoxDynError,
    postgres::{PgArguments, PgBindIterExt, PgHasArrayType},
};

use super::LedgerError;

/// A column of a table, and what is put there.
#[derive(Debug, Clone)]
pub struct Column {
    /// Its name, in the table as among the arrays.
    pub name: String,
    /// What the table gets, in SQL: the name, unless the value travels as something else.
    pub selected: String,
}

/// The statement that inserts rows whose columns come as one array each, `$1` the first one's.
///
/// An identity column that is named keeps what it is given.
pub fn insert_statement(table: &str, columns: &[Column]) -> String {
    let names: Vec<_> = columns.iter().map(|column| &*column.name).collect();
    let selected: Vec<_> = columns.iter().map(|column| &*column.selected).collect();
    let arrays: Vec<String> = (1..=columns.len())
        .map(|number| format!("${number}"))
        .collect();
    let (names, selected, arrays) = (names.join(", "), selected.join(", "), arrays.join(", "));
    format!(
        "INSERT INTO {table} ({names}) OVERRIDING SYSTEM VALUE
         SELECT {selected} FROM unnest({arrays}) AS n ({names})"
    )
}

/// Rows on their way into a table, column by column.
pub(super) struct Columns<'a, R> {
    rows: &'a [R],
    named: Vec<Column>,
    arrays: Result<PgArguments, BoxDynError>,
}

impl<'a, R> Columns<'a, R> {
    /// No column yet of these rows.
    pub fn of(rows: &'a [R]) -> Self {
        Self {
            rows,
            named: Vec::new(),
            arrays: Ok(PgArguments::default()),
        }
    }

    /// With a column of the table, and what each row has there.
    pub fn column<T>(self, name: &'static str, value: impl Fn(&'a R) -> T) -> Self
    where
        T: Encode<'a, Postgres> + Type<Postgres> + PgHasArrayType,
    {
        self.converted(name, name, value)
    }

    /// With a column whose values travel as something else: arrays, since the elements of an array
    /// of arrays can't be told apart again. `selected` makes them what they are in the table.
    pub fn converted<T>(
        mut self,
        name: &'static str,
        selected: &'static str,
        value: impl Fn(&'a R) -> T,
    ) -> Self
    where
        T: Encode<'a, Postgres> + Type<Postgres> + PgHasArrayType,
    {
        self.named.push(Column {
            name: name.to_owned(),
            selected: selected.to_owned(),
        });
        let values = self.rows.iter().map(value).bind_iter();
        self.arrays = self.arrays.and_then(|mut arrays| {
            arrays.add(values)?;
            Ok(arrays)
        });
        self
    }

    /// Inserts the rows, and gives their number.
    pub async fn insert_into(
        self,
        connection: &mut PgConnection,
        table: &'static str,
    ) -> Result<u64, LedgerError> {
        self.insert_where(connection, table, "").await
    }

    /// Inserts those of the rows, as `n`, that joins and conditions leave: what stands after FROM.
    /// Columns that the joins bring along must have names of their own.
    pub async fn insert_where(
        self,
        connection: &mut PgConnection,
        table: &'static str,
        conditions: &'static str,
    ) -> Result<u64, LedgerError> {
        if self.rows.is_empty() {
            return Ok(0);
        }
        let arrays = self.arrays.map_err(sqlx::Error::Encode)?;
        // Names and expressions are literals of this program.
        let statement = insert_statement(table, &self.named) + conditions;
        let statement = AssertSqlSafe(statement);
        let inserted = sqlx::query_with(statement, arrays)
            .execute(connection)
            .await?;
        Ok(inserted.rows_affected())
    }
}
