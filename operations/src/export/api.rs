//! Rows that a reporting API listed: a JSON object a line, as a
//! [`Spool`](crate::trackier::spool::Spool) keeps them.

use std::{
    borrow::Cow,
    collections::BTreeMap,
    io::{self, BufRead, BufReader},
};

use ingest::{
    parameters::Parameters,
    redaction::{Redaction, Syntax},
};
use schemas::events::Malformed;
use serde_json::value::RawValue;

use super::{
    ExportError, ExportRow, ReadingSettings, RowContent, at_line,
    columns::{SALES, sale_in_another_currency},
    raw_report, report,
    tape::{ROW_BYTES_MAX, Row},
};
use crate::trackier::spool::MARK;

/// A list of such rows, open.
pub(crate) struct ApiRows<R> {
    input: BufReader<R>,
    /// Rows that were read.
    number: u64,
    rows: ApiRowReader,
}

/// What a list's rows are read by: one of the list, and one that was set aside.
pub(crate) struct ApiRowReader {
    redaction: Redaction,
    settings: ReadingSettings,
}

impl<R: io::Read> ApiRows<R> {
    pub fn open(input: R, redaction: &Redaction, settings: ReadingSettings) -> Self {
        let redaction = redaction.clone();
        Self {
            input: BufReader::new(input),
            number: 0,
            rows: ApiRowReader {
                redaction,
                settings,
            },
        }
    }

    /// The next row, with its number among the rows; `None` at the end.
    pub fn next(&mut self) -> Result<Option<ExportRow>, ExportError> {
        loop {
            let mut bytes = Vec::new();
            let read = self.input.read_until(b'\n', &mut bytes);
            if read.map_err(|error| at_line(self.number + 1, &error))? == 0 {
                return Ok(None);
            }
            bytes.pop_if(|byte| *byte == b'\n');
            if bytes.first() != Some(&MARK) {
                self.number += 1;
                return Ok(Some(self.rows.read(self.number, bytes)));
            }
        }
    }

    pub fn into_rows(self) -> ApiRowReader {
        self.rows
    }
}

impl ApiRowReader {
    /// Reads a row.
    pub fn read(&self, line: u64, bytes: Vec<u8>) -> ExportRow {
        let row = Row { line, bytes };
        let content = if row.bytes.len() > ROW_BYTES_MAX {
            Err(format!("longer than {ROW_BYTES_MAX} bytes"))
        } else {
            Ok(self.content(&row))
        };
        ExportRow {
            line,
            bytes: row.bytes,
            content,
        }
    }

    fn content(&self, row: &Row) -> RowContent {
        let (click_ref, outcome) = match self.without_foreign_sale(&row.bytes) {
            Ok(json) => {
                let mut parameters = Parameters::default();
                match parameters.insert_json(&json) {
                    Ok(()) => report(&parameters, self.settings),
                    Err(malformed) => (None, Err(malformed)),
                }
            }
            Err(malformed) => (None, Err(malformed)),
        };
        let kept = self.redaction.redact(&row.bytes, Syntax::Json);
        RowContent {
            click_ref,
            outcome,
            raw: raw_report(kept, row, "application/json"),
        }
    }

    /// The row; without its sale where that is in another currency than the payout.
    fn without_foreign_sale<'r>(&self, json: &'r [u8]) -> Result<Cow<'r, [u8]>, Malformed> {
        let invalid = |_| Malformed::JsonInvalid;
        let mut members: BTreeMap<String, Box<RawValue>> =
            serde_json::from_slice(json).map_err(invalid)?;
        let text = |name| {
            let raw: &RawValue = members.get(name)?;
            serde_json::from_str::<String>(raw.get()).ok()
        };
        let (sale, payout) = (text("orig_sale_currency"), text("currency"));
        let default = self.settings.default_currency;
        if !sale_in_another_currency(sale.as_deref(), payout.as_deref(), default) {
            return Ok(Cow::Borrowed(json));
        }
        members.retain(|name, _| !SALES.contains(&name.as_str()));
        serde_json::to_vec(&members)
            .map(Cow::Owned)
            .map_err(invalid)
    }
}

#[cfg(test)]
mod tests {
    use ingest::redaction::DEFAULT_NAMES;
    use schemas::{Currency, events::Reported};

    use super::*;

    fn rows(text: &str) -> Vec<ExportRow> {
        let redaction = Redaction::new(&DEFAULT_NAMES).expect("valid names");
        let settings = ReadingSettings {
            utc_offset_minutes: 0,
            default_currency: Some(Currency::INR),
            windows_1252: false,
        };
        let mut rows = ApiRows::open(text.as_bytes(), &redaction, settings);
        std::iter::from_fn(|| rows.next().expect("readable")).collect()
    }

    fn outcome(row: &ExportRow) -> Result<Reported, Malformed> {
        row.content.as_ref().expect("a row").outcome.clone()
    }

    #[test]
    fn rows_are_numbered_read_like_postbacks_and_kept_without_addresses() {
        let rows = rows(
            "#{\"mark\":1}\n{\"_id\":\"c1\",\"p1\":\"7\",\"payout\":1.10,\"txn_id\":null,\
             \"created\":\"2023-06-02T01:28:40.000Z\",\"status\":\"approved\",\
             \"ipaddr\":\"192.0.2.7\"}\n#{\"mark\":2}\n[1]\n",
        );
        assert_eq!(rows.iter().map(|row| row.line).collect::<Vec<_>>(), [1, 2]);
        let fields = outcome(&rows[0]).expect("usable");
        assert_eq!(
            fields.payout.map(|payout| payout.to_string()).as_deref(),
            Some("1.10")
        );
        assert_eq!((fields.click_ref.as_str(), fields.txn_id), ("7", None));
        let kept = &rows[0].content.as_ref().expect("a row").raw;
        let text = String::from_utf8_lossy(&kept.bytes);
        assert!(text.contains("c1") && !text.contains("192.0.2.7"), "{text}");
        assert_eq!(kept.content_type, "application/json");
        assert_eq!(outcome(&rows[1]), Err(Malformed::JsonInvalid));
    }

    #[test]
    fn a_sale_in_another_currency_than_the_payout_is_left_out() {
        let sale = |currency: &str, original: &str| {
            let row = format!(
                "{{\"_id\":\"c\",\"p1\":\"7\",\"status\":\"approved\",\"sale\":5,{currency}\
                 \"orig_sale_currency\":\"{original}\"}}\n"
            );
            outcome(&rows(&row)[0]).expect("usable").sale_amount
        };
        assert!(sale("\"currency\":\"INR\",", "INR").is_some() && sale("", "INR").is_some());
        assert!(sale("\"currency\":\"USD\",", "INR").is_none() && sale("", "USD").is_none());
    }
}
