//! The set of logged records, and what of it was there at a moment.

use schemas::{
    Position,
    events::{Command, Decision, HealAuthor, Matched, Outcome, ReportSource, Reported},
};

/// A report whose click is known.
#[derive(Debug, Clone, Copy)]
pub struct Report<'a> {
    /// The record.
    pub decision: &'a Decision,
    /// Its outcome.
    pub matched: &'a Matched,
    /// Its fields.
    pub fields: &'a Reported,
}

impl Report<'_> {
    /// Its event id.
    pub fn event(&self) -> i64 {
        self.decision.event_id.get()
    }

    /// As-of time of its snapshot, else its receipt; then its event id.
    pub fn rank(&self) -> (i64, i64) {
        let as_of = self.decision.as_of.unwrap_or(self.decision.received_at);
        (as_of.millis(), self.event())
    }

    /// When the log took it.
    pub fn appended_at(&self) -> i64 {
        self.decision.appended_at.millis()
    }

    /// When it was first received.
    pub fn received_at(&self) -> i64 {
        self.decision.received_at.millis()
    }

    /// Where it stands.
    pub fn position(&self) -> Position {
        self.decision.source
    }

    /// Its place in the order in which the log took the records.
    pub fn seat(&self) -> (i64, Position) {
        (self.appended_at(), self.position())
    }

    /// Its click.
    pub fn click(&self) -> i64 {
        self.matched.click.click_id.get()
    }

    /// Whether returns are believed from it.
    pub fn believed(&self) -> bool {
        match self.decision.report_source {
            ReportSource::Postback => false,
            ReportSource::Csv | ReportSource::Api => true,
        }
    }

    /// Its order number, where `txn_id` is one.
    pub fn order_number(&self) -> Option<&str> {
        let names_order = self.matched.terms.txn_id_names_order;
        self.fields.txn_id.as_deref().filter(|_| names_order)
    }
}

/// When everything is there.
pub const END: i64 = i64::MAX;

/// All that was ever logged.
#[derive(Debug)]
pub struct Logbook<'a> {
    /// Reports whose click is known, in the order in which the log took them.
    reports: Vec<Report<'a>>,
    /// Operators' commands.
    pub commands: Vec<&'a Command>,
}

impl<'a> Logbook<'a> {
    /// Of these records.
    pub fn new(decisions: &'a [Decision], commands: &'a [Command]) -> Self {
        let mut reports = Vec::new();
        for decision in decisions {
            if let (Outcome::Matched(matched), Some(fields)) =
                (&decision.outcome, &decision.reported)
            {
                reports.push(Report {
                    decision,
                    matched,
                    fields,
                });
            }
        }
        reports.sort_by_key(Report::seat);
        Self {
            reports,
            commands: commands.iter().collect(),
        }
    }

    /// The reports that were in force just before an instant: appended before it, and of several
    /// heals of one parked report one only.
    pub fn in_force(&self, before: i64) -> Vec<Report<'a>> {
        let shown: Vec<_> = self
            .reports
            .iter()
            .copied()
            .filter(|report| report.appended_at() < before)
            .collect();
        let outdone = |report: &Report<'_>| {
            shown.iter().any(
                |other| match (&report.decision.heal, &other.decision.heal) {
                    (Some(mine), Some(theirs)) => {
                        mine.heals == theirs.heals
                            && (precedence(theirs.author), theirs.heal_id)
                                < (precedence(mine.author), mine.heal_id)
                    }
                    (Some(_) | None, None) | (None, Some(_)) => false,
                },
            )
        };
        let standing = shown.iter().copied().filter(|report| !outdone(report));
        standing.collect()
    }

    /// Every instant at which the log took a report, the last one first.
    pub fn instants(&self) -> impl Iterator<Item = i64> {
        self.reports.iter().rev().map(Report::appended_at)
    }
}

/// An operator's heal comes before the machine's.
fn precedence(author: HealAuthor) -> u8 {
    match author {
        HealAuthor::Operator => 0,
        HealAuthor::Machine => 1,
    }
}
