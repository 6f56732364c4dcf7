//! One record decided again: from the report as it stands in `conversions`, the facts that were
//! looked up for it then, and the rules and terms of the time (or others).

use std::sync::Arc;

use processors::rules::{attribution::LookedUp, decide::decide, history::Report};
use schemas::{
    events::{ConversionReported, Decision, Outcome, RawReport},
    reference::ReferenceData,
    token::TokenKeys,
};

/// What decisions a fold rests on.
#[derive(Debug, Clone)]
pub(super) enum Decisions {
    /// Those that stand in the log.
    Recorded,
    /// Those of today's code, from recorded facts and this reference data.
    Anew(Arc<ReferenceData>),
}

/// Decides every record twice, for two folds that are to be compared.
pub(super) struct Judge {
    first: Decisions,
    second: Decisions,
    keys: TokenKeys,
}

/// What became of a record in both folds.
#[derive(Debug, Clone)]
pub(super) struct Judged {
    /// The recorded decision: what it says of the report stands whatever is decided.
    pub decision: Decision,
    /// The report in the first fold, if it has a place there.
    pub first: Option<Report>,
    /// And in the second.
    pub second: Option<Report>,
}

impl Judge {
    pub fn new(first: Decisions, second: Decisions) -> Self {
        // Opens nothing: whatever a token or a look-up told stands in the recorded decision.
        let keys = TokenKeys::new(&[(0, [0; 32])]).expect("one key makes a ring");
        Self {
            first,
            second,
            keys,
        }
    }

    /// Decides a record. `report` is absent where the log doesn't hold it any more; then what the
    /// decision repeats of it has to do.
    pub fn judge(&self, decision: Decision, report: Option<&ConversionReported>) -> Judged {
        let repeated = report.is_none().then(|| report_of(&decision));
        let report = report.or(repeated.as_ref());
        let of = |decisions: &Decisions| match decisions {
            Decisions::Recorded => Report::from_decision(&decision),
            Decisions::Anew(reference) => self.anew(&decision, report?, reference),
        };
        let first = of(&self.first);
        let second = of(&self.second);
        Judged {
            decision,
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
        Report::from_decision(&anew)
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
