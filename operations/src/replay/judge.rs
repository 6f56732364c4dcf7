//! One record decided again: from the report as it stands in `conversions`, the facts that were
//! looked up for it then, and the rules and terms of the time (or others).

use std::sync::Arc;

use processors::rules::{attribution::LookedUp, decide::decide, history::Report};
use schemas::{
    Position, Timestamp,
    events::{ConversionReported, Decision, Outcome, RawReport},
    reference::ReferenceData,
    token::TokenKeys,
};

/// What decisions two folds rest on, which are to be compared.
#[derive(Debug, Clone)]
pub(super) enum Decisions {
    /// Those that stand in the log, both folds.
    Recorded,
    /// The first on those that stand in the log, the second on those of today's code, from recorded
    /// facts and this reference data.
    RecordedAndAnew(Arc<ReferenceData>),
    /// Those of today's code, from recorded facts; each on reference data of its own.
    Anew(Arc<ReferenceData>, Arc<ReferenceData>),
}

/// Decides every record for both folds.
pub(super) struct Judge {
    decisions: Decisions,
    keys: TokenKeys,
}

/// What became of a record in both folds.
#[derive(Debug)]
pub(super) struct Judged {
    /// Where the report stands in the log.
    pub position: Position,
    /// Since when.
    pub appended_at: Timestamp,
    /// The report in the first fold, if it has a place there.
    pub first: Option<Report>,
    /// And in the second.
    pub second: Option<Report>,
}

impl Judge {
    pub fn new(decisions: Decisions) -> Self {
        // Opens nothing: whatever a token or a look-up told stands in the recorded decision.
        let keys = TokenKeys::new(&[(0, [0; 32])]).expect("one key makes a ring");
        Self { decisions, keys }
    }

    /// Decides a record. `report` is absent where the log doesn't hold it any more; then what the
    /// decision repeats of it has to do.
    pub fn judge(&self, decision: Decision, report: Option<&ConversionReported>) -> Judged {
        let repeated = report.is_none().then(|| report_of(&decision));
        let report = report.or(repeated.as_ref());
        let anew = |reference| self.anew(&decision, report?, reference);
        let (position, appended_at) = (decision.source, decision.appended_at);
        let (first, second) = match &self.decisions {
            Decisions::Recorded => {
                let recorded = Report::taken_from(decision);
                (recorded.clone(), recorded)
            }
            Decisions::RecordedAndAnew(reference) => {
                let second = anew(reference);
                (Report::taken_from(decision), second)
            }
            Decisions::Anew(reference, other) => (anew(reference), anew(other)),
        };
        Judged {
            position,
            appended_at,
            first,
            second,
        }
    }

    /// A record that found no click then stays without one: its heal is a record of its own. Who
    /// shares a contact with a member was looked up too, and people are erased.
    fn anew(
        &self,
        decision: &Decision,
        report: &ConversionReported,
        reference: &ReferenceData,
    ) -> Option<Report> {
        let looked_up = LookedUp::recorded(decision)?;
        let recorded = match &decision.outcome {
            Outcome::Matched(matched) => matched,
            Outcome::Unmatched(_) | Outcome::Ignored(_) | Outcome::Poisoned(_) => return None,
        };
        let (position, appended_at) = (decision.source, decision.appended_at);
        let mut anew = decide(
            position,
            appended_at,
            report,
            looked_up,
            reference,
            &self.keys,
        );
        if let Outcome::Matched(matched) = &mut anew.outcome {
            matched.self_purchase = recorded.self_purchase;
        }
        Report::taken_from(anew)
    }
}

/// The report that a decision was made on, as far as the decision repeats it.
fn report_of(decision: &Decision) -> ConversionReported {
    ConversionReported {
        event_id: decision.event_id,
        received_at: decision.received_at,
        source: decision.report_source,
        as_of: decision.as_of,
        network_id: decision.network_id,
        tenant_id: None,
        click_id: None,
        raw: RawReport {
            bytes: Vec::new(),
            content_type: String::new(),
            sha256: String::new(),
            truncated: false,
        },
        reported: decision.reported.clone(),
        malformed: None,
        heal: decision.heal.clone(),
    }
}

/// Whether today's code can make something of a record that was given up as unusable or unreadable.
pub(super) fn usable_now(decision: &Decision, report: Option<&ConversionReported>) -> bool {
    match &decision.outcome {
        Outcome::Matched(_) | Outcome::Unmatched(_) => false,
        Outcome::Ignored(_) => {
            report.is_some_and(|report| report.malformed.is_none() && report.reported.is_some())
        }
        Outcome::Poisoned(_) => report.is_some(),
    }
}
