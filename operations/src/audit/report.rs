//! What an audit found, for people and for programs.

use std::fmt;

use serde::Serialize;

/// An invariant as it is checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Invariant {
    /// Its number in design section 9.
    pub number: u8,
    /// Its name, stable.
    pub name: &'static str,
    /// What holds.
    pub statement: &'static str,
    /// Whether payments rest on it: while it is broken, nothing is paid.
    pub money: bool,
}

/// Whether an invariant holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// It holds.
    Ok,
    /// It doesn't.
    Broken,
    /// It can't be said at present.
    NotChecked {
        /// Why not.
        reason: String,
    },
}

/// What was found about one invariant.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Finding {
    /// The invariant.
    #[serde(flatten)]
    pub invariant: Invariant,
    /// Whether it holds.
    pub verdict: Verdict,
    /// How many rows offend against it.
    pub figure: i64,
    /// The most that may: the invariants here allow none.
    pub threshold: i64,
    /// The first of them.
    pub offending_rows: Vec<serde_json::Value>,
}

impl Finding {
    /// From the offending rows, or the first of them.
    pub(super) fn of_rows(
        invariant: Invariant,
        figure: i64,
        offending_rows: Vec<serde_json::Value>,
    ) -> Self {
        Self {
            invariant,
            verdict: if figure == 0 {
                Verdict::Ok
            } else {
                Verdict::Broken
            },
            figure,
            threshold: 0,
            offending_rows,
        }
    }

    pub(super) fn not_checked(invariant: Invariant, reason: impl Into<String>) -> Self {
        Self {
            verdict: Verdict::NotChecked {
                reason: reason.into(),
            },
            ..Self::of_rows(invariant, 0, Vec::new())
        }
    }

    /// Whether the invariant is broken. One that wasn't checked isn't.
    pub fn broken(&self) -> bool {
        self.verdict == Verdict::Broken
    }
}

/// The whole audit. JSON: `{"ok": true, "money_ok": true, "findings": […]}`; shown, a table.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct AuditReport {
    /// Whether nothing is broken.
    pub ok: bool,
    /// Whether no money invariant is broken.
    pub money_ok: bool,
    /// One for each invariant, in the order of their numbers.
    pub findings: Vec<Finding>,
}

impl AuditReport {
    pub(super) fn new(findings: Vec<Finding>) -> Self {
        let holds = |money_only: bool| {
            !findings
                .iter()
                .any(|finding| finding.broken() && (finding.invariant.money || !money_only))
        };
        Self {
            ok: holds(false),
            money_ok: holds(true),
            findings,
        }
    }

    /// Names of the broken invariants.
    pub fn broken(&self) -> Vec<&'static str> {
        self.findings
            .iter()
            .filter(|finding| finding.broken())
            .map(|finding| finding.invariant.name)
            .collect()
    }
}

impl fmt::Display for AuditReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for finding in &self.findings {
            let Invariant {
                number,
                name,
                statement,
                money: _,
            } = finding.invariant;
            let verdict = match &finding.verdict {
                Verdict::Ok => "ok",
                Verdict::Broken => "BROKEN",
                Verdict::NotChecked { .. } => "not checked",
            };
            writeln!(f, "{number}  {name:<28} {verdict:<12} {statement}")?;
            match &finding.verdict {
                Verdict::Ok => {}
                Verdict::NotChecked { reason } => writeln!(f, "     {reason}")?,
                Verdict::Broken => {
                    for row in &finding.offending_rows {
                        writeln!(f, "     {row}")?;
                    }
                    let shown = i64::try_from(finding.offending_rows.len()).unwrap_or(i64::MAX);
                    if finding.figure > shown {
                        writeln!(f, "     and {} more", finding.figure - shown)?;
                    }
                }
            }
        }
        let broken = self.broken();
        if broken.is_empty() {
            writeln!(f, "audit: ok")
        } else {
            writeln!(f, "audit: BROKEN: {}", broken.join(", "))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn invariant(name: &'static str, money: bool) -> Invariant {
        Invariant {
            number: 4,
            name,
            statement: "it adds up",
            money,
        }
    }

    #[test]
    fn a_broken_invariant_shows_its_rows_and_spoils_the_verdict() {
        let rows = vec![serde_json::json!({ "led_id": 7 })];
        let report = AuditReport::new(vec![
            Finding::of_rows(invariant("sums", true), 3, rows),
            Finding::not_checked(invariant("copies", false), "behind"),
        ]);
        assert!(!report.ok && !report.money_ok);
        assert_eq!(report.broken(), ["sums"]);
        let text = report.to_string();
        assert!(text.contains("{\"led_id\":7}") && text.contains("and 2 more"));
        assert!(text.ends_with("audit: BROKEN: sums\n"));
        let json = serde_json::to_value(&report).expect("json");
        assert_eq!(json["findings"][0]["verdict"], "broken");
        assert_eq!(
            json["findings"][1]["verdict"]["not_checked"]["reason"],
            "behind"
        );
    }

    #[test]
    fn what_is_not_checked_is_not_broken() {
        let unchecked = Finding::not_checked(invariant("copies", true), "behind");
        let other = Finding::of_rows(invariant("rows", false), 1, vec![]);
        let report = AuditReport::new(vec![unchecked, other]);
        assert!(!report.ok && report.money_ok);
        assert!(
            AuditReport::new(vec![])
                .to_string()
                .ends_with("audit: ok\n")
        );
    }
}
