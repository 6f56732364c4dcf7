//! The header of an export: which column is which. Pure.

use csv::ByteRecord;
use ingest::redaction::{Redaction, Syntax};
use schemas::Currency;

/// Columns without which a row says nothing that can be booked: the network's conversion id, when
/// it happened, and what the network says of it. Besides, one of [`CLICK_COLUMNS`].
const REQUIRED: [&str; 3] = ["_id", "created", "status"];
/// Our click id comes back in `p1`; where a network gives it back in `click_id`, there.
const CLICK_COLUMNS: [&str; 2] = ["p1", "click_id"];

/// Columns that hold the sale's amount.
pub(super) const SALES: [&str; 2] = ["sale", "sale_amount"];

/// A header that can't be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HeaderError {
    /// The file holds nothing.
    #[error("the file is empty")]
    Empty,
    /// Not a text file.
    #[error("the header is no text: save the file as UTF-8")]
    NotUtf8,
    /// Columns are missing.
    #[error("the export lacks the columns {}", .0.join(", "))]
    Missing(Vec<String>),
    /// A column stands twice.
    #[error("the column {0} stands twice")]
    Twice(String),
}

/// The columns of an export, in the file's order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Columns {
    names: Vec<String>,
    /// Whose values don't reach the log.
    redacted: Vec<bool>,
    orig_sale_currency: Option<usize>,
    currency: Option<usize>,
}

impl Columns {
    /// Reads a header. Order is free, and so are further columns.
    pub(super) fn read(header: &ByteRecord, redaction: &Redaction) -> Result<Self, HeaderError> {
        let names: Vec<String> = header
            .iter()
            .map(|name| std::str::from_utf8(name).map(|name| name.trim().to_owned()))
            .collect::<Result<_, _>>()
            .map_err(|_| HeaderError::NotUtf8)?;
        if names.iter().all(String::is_empty) {
            return Err(HeaderError::Empty);
        }
        // A NUL in a header is no text.
        if names.iter().any(|name| name.contains('\0')) {
            return Err(HeaderError::NotUtf8);
        }
        let place = |wanted: &str| names.iter().position(|name| name == wanted);
        for (index, name) in names.iter().enumerate() {
            if !name.is_empty() && place(name).is_some_and(|first| first < index) {
                return Err(HeaderError::Twice(name.clone()));
            }
        }
        let mut missing: Vec<String> = REQUIRED
            .iter()
            .filter(|name| place(name).is_none())
            .map(|name| (*name).to_owned())
            .collect();
        if CLICK_COLUMNS.iter().all(|name| place(name).is_none()) {
            missing.push(CLICK_COLUMNS.join(" or "));
        }
        if !missing.is_empty() {
            return Err(HeaderError::Missing(missing));
        }
        Ok(Self {
            redacted: names.iter().map(|name| covers(redaction, name)).collect(),
            orig_sale_currency: place("orig_sale_currency"),
            currency: place("currency"),
            names,
        })
    }

    pub(super) fn count(&self) -> usize {
        self.names.len()
    }

    /// Names and values of a row that the report is read from. `None` where the row isn't UTF-8.
    ///
    /// A row has one currency, that of its payout. A sale in another one is left out, rather than
    /// booked in a currency that it isn't in; it stands in the row that is kept.
    pub(super) fn values<'r>(
        &'r self,
        row: &'r ByteRecord,
        default_currency: Option<Currency>,
    ) -> Option<Vec<(&'r str, &'r str)>> {
        let values: Vec<&str> = row
            .iter()
            .map(std::str::from_utf8)
            .collect::<Result<_, _>>()
            .ok()?;
        let code = |column: Option<usize>| values.get(column?).copied();
        let other = sale_in_another_currency(
            code(self.orig_sale_currency),
            code(self.currency),
            default_currency,
        );
        let pairs = self.names.iter().map(String::as_str).zip(values);
        Some(
            pairs
                .filter(|(name, _)| !(other && SALES.contains(name)))
                .collect(),
        )
    }

    /// The row as it may be kept: with redacted values replaced. `None` where nothing has to be.
    pub(super) fn redact(&self, row: &ByteRecord, delimiter: u8) -> Option<Vec<u8>> {
        let hidden = |index: usize, value: &[u8]| {
            self.redacted.get(index).copied().unwrap_or_default() && !value.is_empty()
        };
        if !row
            .iter()
            .enumerate()
            .any(|(index, value)| hidden(index, value))
        {
            return None;
        }
        let shown: ByteRecord = row
            .iter()
            .enumerate()
            .map(|(index, value)| {
                if hidden(index, value) {
                    b"[redacted]"
                } else {
                    value
                }
            })
            .collect();
        let mut writer = csv::WriterBuilder::new()
            .delimiter(delimiter)
            .from_writer(Vec::new());
        let written = writer.write_byte_record(&shown);
        let mut bytes = match (written, writer.into_inner()) {
            (Ok(()), Ok(bytes)) => bytes,
            // Writing to memory doesn't fail; if it did, nothing of the row would be kept.
            (Err(_), _) | (_, Err(_)) => Vec::new(),
        };
        bytes.pop_if(|byte| *byte == b'\n');
        Some(bytes)
    }
}

/// Whether a sale is in another currency than its row's payout.
pub(super) fn sale_in_another_currency(
    sale: Option<&str>,
    row: Option<&str>,
    default_currency: Option<Currency>,
) -> bool {
    let code = |text: Option<&str>| -> Option<Currency> { text?.trim().parse().ok() };
    let sale = code(sale);
    sale.is_some() && sale != code(row).or(default_currency)
}

/// Whether the parameters that ingest redacts include this column.
fn covers(redaction: &Redaction, name: &str) -> bool {
    let pair = format!("{name}=x");
    redaction.redact(pair.as_bytes(), Syntax::Pairs) != pair.as_bytes()
}

#[cfg(test)]
mod tests {
    use ingest::redaction::DEFAULT_NAMES;

    use super::*;

    fn columns(header: &[&str]) -> Result<Columns, HeaderError> {
        let redaction = Redaction::new(&DEFAULT_NAMES).expect("valid names");
        Columns::read(&ByteRecord::from(header.to_vec()), &redaction)
    }

    #[test]
    fn order_is_free_and_other_columns_are_welcome() {
        assert!(columns(&["status", "whatever", "p1", "created", "_id"]).is_ok());
        assert!(columns(&["status", "click_id", "created", "_id"]).is_ok());
    }

    #[test]
    fn what_is_missing_or_twice_is_named() {
        assert_eq!(columns(&[""]), Err(HeaderError::Empty));
        assert_eq!(
            columns(&["_id", "status", "payout"]),
            Err(HeaderError::Missing(vec![
                "created".to_owned(),
                "p1 or click_id".to_owned()
            ]))
        );
        assert_eq!(
            columns(&["_id", "p1", "created", "status", "p1"]),
            Err(HeaderError::Twice("p1".to_owned()))
        );
        assert_eq!(columns(&["_\0i\0d\0"]), Err(HeaderError::NotUtf8));
    }

    #[test]
    fn a_sale_in_another_currency_than_the_rows_is_left_out() {
        let header = [
            "_id",
            "p1",
            "created",
            "status",
            "sale",
            "currency",
            "orig_sale_currency",
        ];
        let columns = columns(&header).expect("complete");
        let sale = |currency, original, default: Option<Currency>| {
            let row = ByteRecord::from(vec!["1", "2", "3", "4", "100", currency, original]);
            let values = columns.values(&row, default).expect("UTF-8");
            values.iter().any(|(name, _)| *name == "sale")
        };
        assert!(sale("INR", "INR", None) && sale("INR", "", None) && sale("", "", None));
        assert!(sale("", "INR", Some(Currency::INR)));
        assert!(!sale("USD", "INR", None) && !sale("", "INR", Some(Currency::USD)));
    }

    #[test]
    fn personal_columns_are_redacted_and_the_rest_stays() {
        let columns = columns(&["_id", "p1", "created", "status", "ipaddr"]).expect("complete");
        let row = |address| ByteRecord::from(vec!["1", "a,b", "3", "4", address]);
        assert_eq!(
            columns.redact(&row("192.0.2.7"), b',').as_deref(),
            Some(&b"1,\"a,b\",3,4,[redacted]"[..])
        );
        assert_eq!(columns.redact(&row(""), b','), None);
    }
}
