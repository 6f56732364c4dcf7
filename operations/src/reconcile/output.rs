//! Breaks as a CSV file that is safe to open in a spreadsheet.

use std::{fs::File, io, path::Path};

use super::{Break, BreakSink};

/// A file of breaks.
pub struct BreakFile<W: io::Write> {
    writer: csv::Writer<W>,
}

impl BreakFile<File> {
    /// Makes or replaces a file.
    ///
    /// # Errors
    /// When it can't be written.
    pub fn create(path: &Path) -> io::Result<Self> {
        Self::new(File::create(path)?)
    }
}

impl<W: io::Write> BreakFile<W> {
    /// Writes the header.
    ///
    /// # Errors
    /// When it can't be written.
    pub fn new(output: W) -> io::Result<Self> {
        let mut writer = csv::Writer::from_writer(output);
        writer.write_record([
            "kind",
            "line",
            "claim",
            "rule",
            "conversion",
            "order",
            "here",
            "there",
            "age_days",
            "action",
        ])?;
        Ok(Self { writer })
    }

    /// Writes what is left.
    ///
    /// # Errors
    /// When it can't be written.
    pub fn finish(mut self) -> io::Result<()> {
        self.writer.flush()
    }
}

impl<W: io::Write + Send + Sync> BreakSink for BreakFile<W> {
    fn take(&mut self, found: &Break) -> io::Result<()> {
        let number = |number: Option<String>| number.unwrap_or_default();
        self.writer.write_record([
            found.kind.name().to_owned(),
            number(found.line.map(|line| line.to_string())),
            number(found.claim.map(|claim| claim.to_string())),
            found
                .rule
                .map_or_else(String::new, |rule| rule.name().to_owned()),
            cell(found.conversion.as_deref().unwrap_or_default()),
            cell(found.order.as_deref().unwrap_or_default()),
            cell(&found.here),
            cell(&found.there),
            number(found.age_days.map(|days| days.to_string())),
            found.action.name().to_owned(),
        ])?;
        Ok(())
    }
}

/// A text of the network's, which a spreadsheet might take for a formula: with an apostrophe
/// before it then.
pub(crate) fn cell(text: &str) -> String {
    let begins_formula = text.trim_start().starts_with([
        '=', '+', '-', '@', '\u{ff1d}', '\u{ff0b}', '\u{ff0d}', '\u{ff20}',
    ]);
    if begins_formula || text.starts_with(['\t', '\r', '\n']) {
        format!("'{text}")
    } else {
        text.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_a_formula() {
        for text in ["=1+1", "+1", "-1", "@SUM(A1)", " =1", "\t=1", "\r=1", "＝1"] {
            assert_eq!(cell(text), format!("'{text}"));
        }
        for text in ["ORD-1", "1999.00", "", "a=b"] {
            assert_eq!(cell(text), text);
        }
    }
}
