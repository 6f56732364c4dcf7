//! The life of a conversion: from a claim's folded reports, its neighbours and an operator's
//! decisions to its state and to what is booked (design section 5, state).

use schemas::{
    Amount, Currency, EventId, Position, Timestamp,
    events::{ClaimStatus, ClickFacts, NetworkStatus, StatusReason, Verdict},
};

use super::{
    attribution::within_window,
    claims::{self, Claim},
    fold::{Fate, Folded, conversion_time, fold},
    split::{self, Parts},
};

/// What other claims mean for this one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Neighbours {
    /// Standing among the claimants of its order.
    pub order: OrderStanding,
    /// Whether it is the user's 5th or later claim within 24 hours of clicks.
    pub velocity: bool,
    /// Whether a later record concerns it, which is closed.
    pub flagged: bool,
}

/// A claim's standing among the claimants of its order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OrderStanding {
    /// It owns the order, or names none.
    #[default]
    Owner,
    /// Another claim owns it.
    Duplicate {
        /// The owner's name.
        owner: EventId,
    },
    /// It ranks first, but a closed claim owns the order.
    OwnedByClosed {
        /// The closed owner's name.
        owner: EventId,
    },
}

/// What operators decided about a claim: the newest of each kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct OperatorDecisions {
    /// Approve or reject.
    pub verdict: Option<Verdict>,
    /// What is to stand in the books.
    pub target: Option<Parts>,
}

/// A report in its claim. Its event id is one of the claim's names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PlacedReport {
    /// Its identity.
    pub position: Position,
    /// Its name.
    pub event_id: EventId,
    /// What became of it.
    pub fate: Fate,
}

/// A claim's state: a pure function of the set of reports and commands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClaimState {
    /// The claim's name.
    pub name: EventId,
    /// All its reports, in rank order.
    pub reports: Vec<PlacedReport>,
    /// The click.
    pub click: ClickFacts,
    /// The network instance of its first report.
    pub network_id: schemas::NetworkId,
    /// When its first report was received.
    pub first_received_at: Timestamp,
    /// The conversion's time.
    pub converted_at: Timestamp,
    /// From when on it can be paid.
    pub payable_at: Timestamp,
    /// Row status.
    pub status: ClaimStatus,
    /// Why, in the order of [`StatusReason`].
    pub reasons: Vec<StatusReason>,
    /// The claim that owns its order, if another does.
    pub order_owner: Option<EventId>,
    /// Transaction id.
    pub txn_id: Option<String>,
    /// Goal.
    pub goal_id: Option<String>,
    /// The network's status.
    pub network_status: Option<NetworkStatus>,
    /// Sale amount.
    pub sale_amount: Option<Amount>,
    /// Currency of all parts.
    pub currency: Currency,
    /// The shopper's share, as pinned.
    pub user_share: schemas::Percentage,
    /// What is or would be owed, by the terms.
    pub expected: Parts,
    /// What is to stand in the books: `expected` once confirmed, or an operator's target.
    pub target: Parts,
    /// What was paid of it.
    pub paid: schemas::Minor,
}

impl ClaimState {
    /// Whether a report is among its reports: its other names.
    pub fn holds(&self, event_id: EventId) -> bool {
        self.reports
            .iter()
            .any(|report| report.event_id == event_id)
    }
}

/// Evaluates a claim.
pub fn evaluate(
    claim: &Claim<'_>,
    neighbours: Neighbours,
    operator: OperatorDecisions,
    paid: schemas::Minor,
) -> ClaimState {
    let folded = fold(claim);
    let first = claim.first();
    let terms = &first.matched.terms;
    let (converted_at, networks_own_time) = conversion_time(claim.reports().iter().copied());
    let expected = expected_parts(claim, &folded);
    let findings = Findings {
        rejected: rejections(claim, converted_at, networks_own_time, neighbours),
        review: review_reasons(claim, &folded, neighbours, expected.is_none()),
    };
    let parts = expected.unwrap_or_default();
    let (mut status, mut reasons) = decide_status(&folded, findings, operator, expected.is_some());
    let target = match (operator.target, status) {
        (Some(target), _) => {
            reasons.push(StatusReason::Corrected);
            target
        }
        (None, ClaimStatus::Confirmed | ClaimStatus::Paid) => parts,
        (
            None,
            ClaimStatus::Pending
            | ClaimStatus::Review
            | ClaimStatus::Rejected
            | ClaimStatus::Reversed,
        ) => Parts::default(),
    };
    if status == ClaimStatus::Confirmed && !paid.zero() && paid >= target.user {
        status = ClaimStatus::Paid;
    }
    let flags = [
        (neighbours.flagged, StatusReason::ClosedFlagged),
        (folded.unknown_status, StatusReason::UnknownStatus),
        (!networks_own_time, StatusReason::TimeOfReceipt),
    ];
    reasons.extend(
        flags
            .iter()
            .filter(|(set, _)| *set)
            .map(|(_, reason)| *reason),
    );
    reasons.sort_unstable();
    ClaimState {
        name: claim.name(),
        reports: placed(claim, &folded, neighbours.order),
        click: first.matched.click.clone(),
        network_id: first.network_id,
        first_received_at: first.received_at,
        converted_at,
        payable_at: converted_at.plus_days(terms.cool_off_days),
        status,
        reasons,
        order_owner: match neighbours.order {
            OrderStanding::Owner => None,
            OrderStanding::Duplicate { owner } | OrderStanding::OwnedByClosed { owner } => {
                Some(owner)
            }
        },
        txn_id: folded.txn_id,
        goal_id: folded.goal_id,
        network_status: folded.status,
        sale_amount: folded.sale_amount,
        currency: terms.currency,
        user_share: terms.user_share,
        expected: parts,
        target,
        paid,
    }
}

fn placed(claim: &Claim<'_>, folded: &Folded, order: OrderStanding) -> Vec<PlacedReport> {
    let mut placed: Vec<_> = claim
        .reports()
        .iter()
        .zip(&folded.fates)
        .map(|(report, fate)| PlacedReport {
            position: report.position,
            event_id: report.event_id,
            fate: *fate,
        })
        .collect();
    if let (OrderStanding::Duplicate { .. }, Some(first)) = (order, placed.first_mut()) {
        first.fate = Fate::Duplicate;
    }
    placed
}

/// The split of the folded amounts; `None` where there is no commission to split: no amount, or
/// one in another currency, or beyond any range.
fn expected_parts(claim: &Claim<'_>, folded: &Folded) -> Option<Parts> {
    let terms = &claim.first().matched.terms;
    if folded.other_currency {
        return None;
    }
    let commission = split::commission(terms, folded.sale_amount, folded.payout)
        .ok()
        .flatten()?;
    split::split(terms, commission).ok()
}

/// What speaks against a claim, beyond the network's own status.
struct Findings {
    rejected: Vec<StatusReason>,
    review: Vec<StatusReason>,
}

fn rejections(
    claim: &Claim<'_>,
    converted_at: Timestamp,
    networks_own_time: bool,
    neighbours: Neighbours,
) -> Vec<StatusReason> {
    let matched = &claim.first().matched;
    let terms = &matched.terms;
    let window_testable = networks_own_time || terms.fires_at_sale;
    let outside = window_testable
        && !within_window(
            matched.click.clicked_at,
            converted_at,
            terms.attribution_window_days,
        );
    let own = matched.self_purchase.is_some() && matched.rules.reject_self_purchase;
    let duplicate = matches!(neighbours.order, OrderStanding::Duplicate { .. });
    let found = [
        (duplicate, StatusReason::DuplicateOrder),
        (own, StatusReason::SelfPurchase),
        (outside, StatusReason::OutsideWindow),
    ];
    found
        .into_iter()
        .filter(|(set, _)| *set)
        .map(|(_, reason)| reason)
        .collect()
}

fn review_reasons(
    claim: &Claim<'_>,
    folded: &Folded,
    neighbours: Neighbours,
    no_commission: bool,
) -> Vec<StatusReason> {
    let matched = &claim.first().matched;
    let approved = folded.status == Some(NetworkStatus::Approved);
    let owned = matches!(neighbours.order, OrderStanding::OwnedByClosed { .. });
    let found = [
        (
            matched.score >= matched.rules.review_score,
            StatusReason::Score,
        ),
        (neighbours.velocity, StatusReason::Velocity),
        (amounts_ambiguous(claim), StatusReason::AmbiguousAmount),
        (claim.ambiguous, StatusReason::AmbiguousReport),
        (folded.other_offer, StatusReason::OfferMismatch),
        (folded.other_currency, StatusReason::CurrencyMismatch),
        (above_max(claim, folded), StatusReason::CommissionAboveMax),
        (
            approved && no_commission && !folded.other_currency,
            StatusReason::AmountMissing,
        ),
        (owned, StatusReason::OrderOwnedByClosed),
    ];
    found
        .into_iter()
        .filter(|(set, _)| *set)
        .map(|(_, reason)| reason)
        .collect()
}

/// "Two different amounts with nothing to tell them apart are never an amendment, but a review":
/// a report that names no sale carries another amount than some other report of the claim.
fn amounts_ambiguous(claim: &Claim<'_>) -> bool {
    let differs =
        |a: Option<Amount>, b: Option<Amount>| matches!((a, b), (Some(a), Some(b)) if a != b);
    claim
        .reports()
        .iter()
        .filter(|report| !claims::named(report))
        .any(|unnamed| {
            claim.reports().iter().any(|other| {
                differs(unnamed.fields.sale_amount, other.fields.sale_amount)
                    || differs(unnamed.fields.payout, other.fields.payout)
            })
        })
}

/// Above the offer's cap, or a payout that claims more than the whole sale.
fn above_max(claim: &Claim<'_>, folded: &Folded) -> bool {
    let terms = &claim.first().matched.terms;
    if folded.other_currency {
        return false;
    }
    match split::commission(terms, folded.sale_amount, folded.payout) {
        Ok(Some(commission)) => {
            let max = terms.commission_max.map(|max| max.to_minor(terms.currency));
            let sale = folded.sale_amount.map(|sale| sale.to_minor(terms.currency));
            max.is_some_and(|max| commission > max) || sale.is_some_and(|sale| commission > sale)
        }
        Ok(None) => false,
        Err(_out_of_range) => true,
    }
}

/// Operator's rejection, then the network's refusal, then the machine's findings (which an
/// operator's approval lifts), then the network's status.
fn decide_status(
    folded: &Folded,
    findings: Findings,
    operator: OperatorDecisions,
    bookable: bool,
) -> (ClaimStatus, Vec<StatusReason>) {
    let Findings { rejected, review } = findings;
    let approved_by_operator = operator.verdict == Some(Verdict::Approve);
    if operator.verdict == Some(Verdict::Reject) {
        return (ClaimStatus::Rejected, vec![StatusReason::OperatorRejected]);
    }
    let unflagged = approved_by_operator || (rejected.is_empty() && review.is_empty());
    if matches!(
        folded.status,
        Some(NetworkStatus::Cancelled | NetworkStatus::Rejected)
    ) {
        let was_owed = folded.approved_once && unflagged && bookable;
        let status = if was_owed {
            ClaimStatus::Reversed
        } else {
            ClaimStatus::Rejected
        };
        let machine = if approved_by_operator {
            Vec::new()
        } else {
            [rejected, review].concat()
        };
        return (
            status,
            [vec![StatusReason::NetworkCancelled], machine].concat(),
        );
    }
    if !approved_by_operator && !rejected.is_empty() {
        return (ClaimStatus::Rejected, [rejected, review].concat());
    }
    if !approved_by_operator && !review.is_empty() {
        return (ClaimStatus::Review, review);
    }
    let reasons = if approved_by_operator {
        vec![StatusReason::OperatorApproved]
    } else {
        Vec::new()
    };
    match folded.status {
        Some(NetworkStatus::Approved) if bookable => (ClaimStatus::Confirmed, reasons),
        // An approval can't book what has no commission: it still needs an amount.
        Some(NetworkStatus::Approved) => (
            ClaimStatus::Review,
            [reasons, vec![StatusReason::AmountMissing]].concat(),
        ),
        None
        | Some(
            NetworkStatus::Pending
            | NetworkStatus::Extended
            | NetworkStatus::Unknown
            | NetworkStatus::Cancelled
            | NetworkStatus::Rejected,
        ) => (ClaimStatus::Pending, reasons),
    }
}

#[cfg(test)]
#[path = "lifecycle_tests.rs"]
mod tests;
