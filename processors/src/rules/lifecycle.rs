//! The life of a conversion: from a claim's folded reports, its neighbours and an operator's
//! decisions to its state and to what is booked (design section 5, state).

use schemas::{
    Amount, Currency, EventId, MoneyOverflow, Position, Timestamp,
    events::{
        ClaimStatus, ClickFacts, NetworkStatus, StatusReason, Terms, Verdict as ReviewVerdict,
    },
};

use super::{
    books,
    claims::Claim,
    findings::{Case, Finding},
    fold::{Fate, Folded, conversion_time, fates, fold, payable_at},
    rating::{self, Rating, Sale},
    split::{self, Parts},
};

/// What other claims mean for this one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Neighbours {
    /// Standing among the claimants of its order.
    pub order: OrderStanding,
    /// Where it is the user's 5th or later claim within 24 hours of clicks: the how manieth.
    pub velocity: Option<i32>,
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
    pub ruling: Option<Ruling>,
    /// What is to stand in the books.
    pub correction: Option<Correction>,
}

/// An operator's verdict.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ruling {
    /// Approve or reject.
    pub verdict: ReviewVerdict,
    /// The command that says so.
    pub command_id: EventId,
    /// When it was given.
    pub issued_at: Timestamp,
}

impl Ruling {
    fn finding(&self, reason: StatusReason) -> Finding {
        Finding::new(reason, format!("by command {}", self.command_id))
    }
}

/// An operator's correction of what is booked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Correction {
    /// What is to stand in the books.
    pub target: Parts,
    /// The command that says so.
    pub command_id: EventId,
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
    pub findings: Vec<Finding>,
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
    /// What the commission came to, and why.
    pub rating: Rating,
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

    /// Why it has its status.
    pub fn reasons(&self) -> impl Iterator<Item = StatusReason> {
        self.findings.iter().map(|finding| finding.reason)
    }
}

/// Evaluates a claim.
pub fn evaluate(
    claim: &Claim<'_>,
    neighbours: Neighbours,
    operator: OperatorDecisions,
    paid: schemas::Minor,
) -> ClaimState {
    let books::Divided { accepted, held } = books::divide(
        claim.reports(),
        operator.ruling.map(|ruling| ruling.issued_at),
    );
    // A claim of which nothing counts yet is shown as it would be, and waits in review.
    let only_held = accepted.is_empty().then_some(held.len());
    let counting = if accepted.is_empty() {
        &held
    } else {
        &accepted
    };
    let folded = fold(counting);
    let first = claim.first();
    let terms = &first.matched.terms;
    let (converted_at, networks_own_time) = conversion_time(counting.iter().copied());
    let rating = rated(terms, &folded, converted_at);
    let expected = expected_parts(terms, rating.as_ref());
    let case = Case {
        claim,
        reports: counting,
        folded: &folded,
        rating: rating.as_ref().map_err(|overflow| *overflow),
        split: expected.is_some(),
        corrected: operator.correction.is_some(),
        converted_at,
        networks_own_time,
        neighbours,
        only_held,
    };
    let verdict = decide_status(&case, operator);
    let parts = expected.unwrap_or_default();
    let target = operator.correction.map_or_else(
        || match verdict.status {
            ClaimStatus::Confirmed | ClaimStatus::Paid => parts,
            ClaimStatus::Pending
            | ClaimStatus::Review
            | ClaimStatus::Rejected
            | ClaimStatus::Reversed => Parts::default(),
        },
        |correction| correction.target,
    );
    let covered = !paid.zero() && paid >= target.user;
    let status = match verdict.status {
        ClaimStatus::Confirmed if covered => ClaimStatus::Paid,
        other => other,
    };
    let mut findings = verdict.findings;
    findings.extend(shown_only(&case, operator, held.len()));
    findings.sort_unstable();
    ClaimState {
        name: claim.name(),
        reports: placed(claim, neighbours.order),
        click: first.matched.click.clone(),
        network_id: first.network_id,
        first_received_at: first.received_at,
        converted_at,
        payable_at: payable_at(claim.reports().iter().copied()),
        status,
        findings,
        order_owner: match neighbours.order {
            OrderStanding::Owner => None,
            // Its own name: what owned the order was undone, and its report is here now.
            OrderStanding::Duplicate { owner } | OrderStanding::OwnedByClosed { owner } => {
                (owner != claim.name()).then_some(owner)
            }
        },
        currency: terms.currency,
        user_share: terms.user_share,
        rating: rating.unwrap_or_else(|_| Rating::none(terms, folded.goal_id.as_deref())),
        txn_id: folded.txn_id,
        goal_id: folded.goal_id,
        network_status: folded.status,
        sale_amount: folded.sale_amount,
        expected: parts,
        target,
        paid,
    }
}

fn placed(claim: &Claim<'_>, order: OrderStanding) -> Vec<PlacedReport> {
    let mut placed: Vec<_> = claim
        .reports()
        .iter()
        .zip(fates(claim.reports()))
        .map(|(report, fate)| PlacedReport {
            position: report.position,
            event_id: report.event_id,
            fate,
        })
        .collect();
    if let (OrderStanding::Duplicate { .. }, Some(first)) = (order, placed.first_mut()) {
        first.fate = Fate::Duplicate;
    }
    placed
}

/// What the commission of the folded fields comes to; none in another currency than the offer's.
fn rated(terms: &Terms, folded: &Folded, converted_at: Timestamp) -> Result<Rating, MoneyOverflow> {
    let goal_id = folded.goal_id.as_deref();
    if folded.other_currency.is_some() {
        return Ok(Rating::none(terms, goal_id));
    }
    let sale = Sale {
        amount: folded.sale_amount,
        payout: folded.payout,
        goal_id,
        converted_at,
    };
    rating::rate(terms, sale)
}

/// The split of the commission; `None` where there is none, or it is beyond any range.
fn expected_parts(terms: &Terms, rating: Result<&Rating, &MoneyOverflow>) -> Option<Parts> {
    let commission = rating.ok()?.commission?;
    split::split(terms, commission).ok()
}

/// A claim's status by its reports, and why.
struct Verdict {
    status: ClaimStatus,
    findings: Vec<Finding>,
}

/// Operator's rejection, then the network's refusal, then the machine's findings (which an
/// operator's approval lifts), then the network's status.
fn decide_status(case: &Case<'_>, operator: OperatorDecisions) -> Verdict {
    let approved = match operator.ruling {
        Some(ruling) => match ruling.verdict {
            ReviewVerdict::Reject => {
                let findings = vec![ruling.finding(StatusReason::OperatorRejected)];
                return Verdict {
                    status: ClaimStatus::Rejected,
                    findings,
                };
            }
            ReviewVerdict::Approve => Some(ruling),
        },
        None => None,
    };
    // An approval lifts what the machine found; but it lets in only what was there by then.
    let (rejected, review) = match approved {
        Some(_) => (Vec::new(), case.books_locked().into_iter().collect()),
        None => (case.rejections(), case.review_reasons()),
    };
    let status = case.folded.status;
    if let Some(refused @ (NetworkStatus::Cancelled | NetworkStatus::Rejected)) = status {
        let unflagged = rejected.is_empty() && review.is_empty();
        let was_owed = case.folded.approved_once && unflagged && case.bookable();
        let evidence = if refused == NetworkStatus::Rejected {
            "the network rejected it"
        } else {
            "the network cancelled it"
        };
        let network = Finding::new(StatusReason::NetworkCancelled, evidence);
        return Verdict {
            status: if was_owed {
                ClaimStatus::Reversed
            } else {
                ClaimStatus::Rejected
            },
            findings: [vec![network], rejected, review].concat(),
        };
    }
    if !rejected.is_empty() {
        return Verdict {
            status: ClaimStatus::Rejected,
            findings: [rejected, review].concat(),
        };
    }
    if !review.is_empty() {
        return Verdict {
            status: ClaimStatus::Review,
            findings: review,
        };
    }
    let mut findings: Vec<_> = approved
        .iter()
        .map(|ruling| ruling.finding(StatusReason::OperatorApproved))
        .collect();
    let status = match status {
        Some(NetworkStatus::Approved) if case.bookable() => ClaimStatus::Confirmed,
        // An approval can't book what has no commission: it still needs an amount.
        Some(NetworkStatus::Approved) => {
            findings.push(Finding::amount_missing());
            ClaimStatus::Review
        }
        None
        | Some(
            NetworkStatus::Pending
            | NetworkStatus::Extended
            | NetworkStatus::Unknown
            | NetworkStatus::Cancelled
            | NetworkStatus::Rejected,
        ) => ClaimStatus::Pending,
    };
    Verdict { status, findings }
}

/// What is shown beside the reasons for the status.
fn shown_only(
    case: &Case<'_>,
    operator: OperatorDecisions,
    held: usize,
) -> impl Iterator<Item = Finding> {
    let flags = [
        operator.correction.map(|correction| {
            let evidence = format!("by command {}", correction.command_id);
            Finding::new(StatusReason::Corrected, evidence)
        }),
        case.neighbours.flagged.then(|| {
            let evidence = "a record that came after it closed would change it";
            Finding::new(StatusReason::ClosedFlagged, evidence)
        }),
        (held > 0 && case.only_held.is_none()).then(|| Finding::reports_held(held)),
        case.folded.unknown_status.then(|| {
            let evidence = "the network sent a status that we don't know";
            Finding::new(StatusReason::UnknownStatus, evidence)
        }),
        (!case.networks_own_time).then(|| Finding::new(StatusReason::TimeOfReceipt, "")),
    ];
    flags.into_iter().flatten()
}

#[cfg(test)]
#[path = "lifecycle_tests.rs"]
mod tests;
