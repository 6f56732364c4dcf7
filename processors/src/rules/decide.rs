//! One report, one decision: what the stage writes for a `conversions` record.
//!
//! The order is that of the questions: can the report be used, is its click known, on what terms
//! did it happen, what speaks against it, who would get what.

use schemas::{
    ClickId, EventId, NetworkId, Position, Timestamp,
    events::{
        ClickFacts, ConversionReported, Decision, Ignored, Malformed, Matched, Outcome, Poisoned,
        ReportSource, Reported, Split, Terms, Unmatched, UnmatchedReason,
    },
    reference::ReferenceData,
    token::TokenKeys,
};

use super::{
    attribution::{LookedUp, click_of_report},
    rating::Sale,
    signals::{conflicting_currency, score, self_purchase, signals_of_report},
    split,
    terms::terms_as_of_click,
};

/// Decides one report. Total: every report gets a decision, whatever it says.
///
/// `position` and `appended_at` are those of its `conversions` record (of the original, where the
/// record is a copy). Terms are those as of the click, rules those in force at `received_at`, so
/// the decision doesn't depend on when it is made. Books are locked as of `appended_at`.
pub fn decide(
    position: Position,
    appended_at: Timestamp,
    report: &ConversionReported,
    looked_up: LookedUp,
    reference: &ReferenceData,
    keys: &TokenKeys,
) -> Decision {
    Decision {
        source: position,
        appended_at,
        event_id: report.event_id,
        received_at: report.received_at,
        report_source: report.source,
        as_of: report.as_of,
        network_id: report.network_id,
        reported: report.reported.clone(),
        heal: report.heal.clone(),
        outcome: outcome(report, appended_at, looked_up, reference, keys),
    }
}

/// The decision for a record that can't be read: its position is accounted for, everything that
/// the record would have told is zero or absent.
pub fn poisoned(position: Position, appended_at: Timestamp, error: String) -> Decision {
    Decision {
        source: position,
        appended_at,
        event_id: EventId::new(0),
        received_at: appended_at,
        report_source: ReportSource::Postback,
        as_of: None,
        network_id: NetworkId::new(0),
        reported: None,
        heal: None,
        outcome: Outcome::Poisoned(Poisoned { error }),
    }
}

fn outcome(
    report: &ConversionReported,
    appended_at: Timestamp,
    looked_up: LookedUp,
    reference: &ReferenceData,
    keys: &TokenKeys,
) -> Outcome {
    let reported = match (report.malformed, &report.reported) {
        (Some(reason), _) => return Outcome::Ignored(Ignored { reason }),
        // Neither fields nor a reason: without fields there is no click reference.
        (None, None) => {
            return Outcome::Ignored(Ignored {
                reason: Malformed::MissingClick,
            });
        }
        (None, Some(reported)) => reported,
    };
    match click_of_report(report, reported, looked_up, reference, keys) {
        Ok(click) => of_known_click(report, reported, appended_at, click, reference),
        Err((reason, click_id)) => unmatched(reason, click_id),
    }
}

fn of_known_click(
    report: &ConversionReported,
    reported: &Reported,
    appended_at: Timestamp,
    click: ClickFacts,
    reference: &ReferenceData,
) -> Outcome {
    if report
        .tenant_id
        .is_some_and(|named| named != click.tenant_id)
    {
        return unmatched(UnmatchedReason::OtherTenant, Some(click.click_id));
    }
    let Some(terms) = terms_as_of_click(&click, reference) else {
        return unmatched(UnmatchedReason::UnknownLink, Some(click.click_id));
    };
    let network = reference
        .offers
        .get(&click.offer_id)
        .map(|offer| offer.network_id);
    if network.is_some_and(|network| network != report.network_id) {
        return unmatched(UnmatchedReason::OtherNetwork, Some(click.click_id));
    }
    let rules = reference.fraud_rules(click.tenant_id, report.received_at);
    let signals = signals_of_report(reported, report.received_at, &click, &terms, &rules);
    Outcome::Matched(Box::new(Matched {
        score: score(&signals),
        signals,
        self_purchase: self_purchase(&click, reference),
        split: split_taken_alone(report, reported, &terms),
        books_locked_before: reference.books_locked_before(click.tenant_id, appended_at),
        click,
        terms,
        rules,
    }))
}

/// The split of a report taken alone. None is computed in another currency than the offer's, which
/// goes to review and is never booked blindly (design section 4, money), nor of sums that leave the
/// range, on which the ledger's own fold comes to the same end.
fn split_taken_alone(
    report: &ConversionReported,
    reported: &Reported,
    terms: &Terms,
) -> Option<Split> {
    if conflicting_currency(reported, terms).is_some() {
        return None;
    }
    let sale = Sale {
        amount: reported.sale_amount,
        payout: reported.payout,
        goal_id: reported.goal_id.as_deref(),
        converted_at: reported.converted_at.unwrap_or(report.received_at),
    };
    split::stand_alone(terms, sale).ok().flatten()
}

fn unmatched(reason: UnmatchedReason, click_id: Option<ClickId>) -> Outcome {
    Outcome::Unmatched(Unmatched { reason, click_id })
}
