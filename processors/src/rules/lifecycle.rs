//! The life of a conversion: from the set of a claim's reports and commands to its state and to
//! what is booked (design section 5, state).

use schemas::{
    Amount, Currency, EventId, Position, Timestamp,
    events::{ClaimStatus, ClickFacts, NetworkStatus, StatusReason, Verdict},
};

use super::{
    attribution::within_window,
    claims::{self, Claim},
    history::Report,
    split::{self, Parts},
};

/// What became of one report of a claim (design section 9, invariant 1). Reports without a claim
/// are unmatched, ignored or dead-lettered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Fate {
    /// The first of its claim.
    Ledgered,
    /// The first of a claim whose order another claim owns.
    Duplicate,
    /// Says something that the reports before it didn't.
    Update,
    /// Nothing but its arrival differs from the state folded before it.
    Repetition,
}

impl Fate {
    /// Its name in tables and JSON.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ledgered => "ledgered",
            Self::Duplicate => "duplicate",
            Self::Update => "update",
            Self::Repetition => "repetition",
        }
    }
}

/// The fields of a claim, each that of the highest-ranked report that carries it and is believed.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Folded {
    /// The network's status; absent until a report carries one.
    pub status: Option<NetworkStatus>,
    /// Whether any believed status before the last was *approved*, or the last is.
    pub approved_once: bool,
    /// Whether any report carried a status that we don't know.
    pub unknown_status: bool,
    /// Sale amount.
    pub sale_amount: Option<Amount>,
    /// The network's payout.
    pub payout: Option<Amount>,
    /// Currency of the amounts.
    pub currency: Option<Currency>,
    /// The network's own time of the conversion.
    pub converted_at: Option<Timestamp>,
    /// Order number or other transaction id.
    pub txn_id: Option<String>,
    /// Goal.
    pub goal_id: Option<String>,
    /// Whether any report names another offer than the click's.
    pub other_offer: bool,
    /// Whether any report carries a currency other than the terms'.
    pub other_currency: bool,
    /// Fate of each report, in rank order; *duplicate* is decided elsewhere.
    pub fates: Vec<Fate>,
}

/// State of the fold that isn't part of its result.
#[derive(Default)]
struct Seen {
    sale_amounts: Vec<Amount>,
    payouts: Vec<Amount>,
    conversion_id: Option<String>,
    country: Option<schemas::Country>,
    as_of: Option<Timestamp>,
}

/// Folds a claim's reports field by field, in rank order.
pub fn fold(claim: &Claim<'_>) -> Folded {
    let mut folded = Folded::default();
    let mut seen = Seen::default();
    for (index, report) in claim.reports().iter().enumerate() {
        let fate = if index == 0 {
            Fate::Ledgered
        } else if repeats(report, &folded, &seen) {
            Fate::Repetition
        } else {
            Fate::Update
        };
        folded.fates.push(fate);
        take(report, &mut folded, &mut seen);
    }
    folded
}

/// Whether every field that the report carries is what the fold has already.
fn repeats(report: &Report, folded: &Folded, seen: &Seen) -> bool {
    fn same<T: PartialEq>(carried: Option<&T>, known: Option<&T>) -> bool {
        carried.is_none() || carried == known
    }
    let fields = &report.fields;
    same(fields.status.as_ref(), folded.status.as_ref())
        && same(fields.sale_amount.as_ref(), folded.sale_amount.as_ref())
        && same(fields.payout.as_ref(), folded.payout.as_ref())
        && same(fields.currency.as_ref(), folded.currency.as_ref())
        && same(fields.converted_at.as_ref(), folded.converted_at.as_ref())
        && same(fields.txn_id.as_ref(), folded.txn_id.as_ref())
        && same(fields.goal_id.as_ref(), folded.goal_id.as_ref())
        && same(
            fields.network_conversion_id.as_ref(),
            seen.conversion_id.as_ref(),
        )
        && same(fields.country.as_ref(), seen.country.as_ref())
        && same(report.as_of.as_ref(), seen.as_of.as_ref())
        && (names_other_offer(report) <= folded.other_offer)
}

fn take(report: &Report, folded: &mut Folded, seen: &mut Seen) {
    fn keep<T: Clone>(carried: Option<&T>, known: &mut Option<T>) {
        if let Some(value) = carried {
            *known = Some(value.clone());
        }
    }
    let fields = &report.fields;
    let authoritative = report.source.authoritative();
    take_status(fields.status, authoritative, folded);
    take_amount(
        fields.sale_amount,
        authoritative,
        &mut folded.sale_amount,
        &mut seen.sale_amounts,
    );
    take_amount(
        fields.payout,
        authoritative,
        &mut folded.payout,
        &mut seen.payouts,
    );
    keep(fields.currency.as_ref(), &mut folded.currency);
    keep(fields.converted_at.as_ref(), &mut folded.converted_at);
    keep(fields.txn_id.as_ref(), &mut folded.txn_id);
    keep(fields.goal_id.as_ref(), &mut folded.goal_id);
    keep(
        fields.network_conversion_id.as_ref(),
        &mut seen.conversion_id,
    );
    keep(fields.country.as_ref(), &mut seen.country);
    keep(report.as_of.as_ref(), &mut seen.as_of);
    folded.other_offer |= names_other_offer(report);
    folded.other_currency |= carries_other_currency(report);
}

/// `pending` never outranks a decided status; a return from cancelled or rejected is believed
/// from authoritative sources only.
fn take_status(status: Option<NetworkStatus>, authoritative: bool, folded: &mut Folded) {
    use NetworkStatus::{Approved, Cancelled, Extended, Pending, Rejected, Unknown};
    let Some(status) = status else { return };
    folded.unknown_status |= status == Unknown;
    let believed = match (folded.status, status) {
        (None | Some(Pending | Extended | Unknown), _)
        | (Some(Approved), Approved | Cancelled | Rejected)
        | (Some(Cancelled | Rejected), Cancelled | Rejected) => true,
        (Some(Approved | Cancelled | Rejected), Pending | Extended | Unknown) => false,
        (Some(Cancelled | Rejected), Approved) => authoritative,
    };
    if believed {
        folded.status = Some(status);
        folded.approved_once |= status == Approved;
    }
}

/// A return to an earlier amount is believed from authoritative sources only.
fn take_amount(
    amount: Option<Amount>,
    authoritative: bool,
    current: &mut Option<Amount>,
    earlier: &mut Vec<Amount>,
) {
    let Some(amount) = amount else { return };
    if *current == Some(amount) || (earlier.contains(&amount) && !authoritative) {
        return;
    }
    earlier.extend(*current);
    *current = Some(amount);
}

fn names_other_offer(report: &Report) -> bool {
    report
        .fields
        .offer_id
        .is_some_and(|offer| offer != report.matched.click.offer_id)
}

fn carries_other_currency(report: &Report) -> bool {
    let terms = &report.matched.terms;
    let carries_amount = report.fields.sale_amount.is_some() || report.fields.payout.is_some();
    carries_amount && report.fields.currency.unwrap_or(terms.default_currency) != terms.currency
}

/// When the conversion happened: the network's own time where a report has one (the
/// highest-ranked's), else the first receipt. The flag says which.
fn conversion_time<'a>(reports: impl Iterator<Item = &'a Report> + Clone) -> (Timestamp, bool) {
    let networks_own = reports
        .clone()
        .filter_map(|report| report.fields.converted_at.map(|at| (report.rank(), at)))
        .max();
    match networks_own {
        Some((_, at)) => (at, true),
        None => {
            let first = reports.map(|report| report.received_at).min();
            (first.unwrap_or(Timestamp::MAX), false)
        }
    }
}

/// From when on the sale that these reports speak of can be paid: conversion time + the offer's
/// cool-off (of the lowest-ranked report).
pub fn payable_at<'a>(reports: impl Iterator<Item = &'a Report> + Clone) -> Timestamp {
    let (converted_at, _) = conversion_time(reports.clone());
    let cool_off_days = reports
        .min_by_key(|report| report.rank())
        .map_or(0, |report| report.matched.terms.cool_off_days);
    converted_at.plus_days(cool_off_days)
}

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
    let flagged = !approved_by_operator && !(rejected.is_empty() && review.is_empty());
    if matches!(
        folded.status,
        Some(NetworkStatus::Cancelled | NetworkStatus::Rejected)
    ) {
        let was_owed = folded.approved_once && !flagged && bookable;
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
mod tests {
    use schemas::Minor;

    use super::*;
    use crate::rules::{
        fixtures::{ReportBuilder, T0, report},
        settlement::{Neighbourhood, Scope, settle},
    };

    /// The only claim of click 1, from reports one minute apart.
    fn state(reports: Vec<ReportBuilder>) -> ClaimState {
        let reports: Vec<_> = reports
            .into_iter()
            .zip(1..)
            .map(|(report, minute)| report.received_at(T0.plus_millis(minute * 60_000)).build())
            .collect();
        let click = reports[0].click_id();
        let scope = Scope {
            clicks: [click].into(),
            ..Scope::default()
        };
        let neighbourhood = Neighbourhood {
            reports: [(click, reports)].into(),
            ..Neighbourhood::default()
        };
        let mut claims = settle(&neighbourhood, &scope);
        assert_eq!(claims.len(), 1, "one claim was expected");
        claims.remove(0)
    }

    fn sold(event_id: i64, status: NetworkStatus, sale: &str) -> ReportBuilder {
        report(event_id).txn("A").status(status).sale(sale)
    }

    use NetworkStatus::{Approved, Cancelled, Extended, Pending, Rejected, Unknown};

    #[test]
    fn pending_never_outranks_a_decided_status() {
        for stale in [Pending, Extended, Unknown] {
            let state = state(vec![sold(1, Approved, "100"), sold(2, stale, "100")]);
            assert_eq!(state.status, ClaimStatus::Confirmed, "{stale:?}");
        }
    }

    #[test]
    fn an_amendment_moves_the_target_and_a_return_is_believed_from_the_export_only() {
        let there = vec![sold(1, Approved, "100"), sold(2, Approved, "250")];
        assert_eq!(state(there.clone()).target.commission, Minor::new(2_000));
        let back = [there.clone(), vec![sold(3, Approved, "100")]].concat();
        assert_eq!(state(back).target.commission, Minor::new(2_000));
        let export = sold(3, Approved, "100").csv(T0.plus_days(1));
        assert_eq!(
            state([there, vec![export]].concat()).target.commission,
            Minor::new(800)
        );
    }

    #[test]
    fn what_was_owed_and_is_taken_back_is_reversed_and_what_never_was_is_rejected() {
        for refusal in [Cancelled, Rejected] {
            let reversed = state(vec![sold(1, Approved, "100"), sold(2, refusal, "100")]);
            assert_eq!(reversed.status, ClaimStatus::Reversed);
            assert_eq!(reversed.target, Parts::default());
            let rejected = state(vec![sold(1, Pending, "100"), sold(2, refusal, "100")]);
            assert_eq!(rejected.status, ClaimStatus::Rejected);
        }
    }

    #[test]
    fn a_return_from_cancelled_is_believed_from_the_export_only() {
        let cancelled = vec![sold(1, Approved, "100"), sold(2, Cancelled, "100")];
        let postback = [cancelled.clone(), vec![sold(3, Approved, "100")]].concat();
        assert_eq!(state(postback).status, ClaimStatus::Reversed);
        let export = sold(3, Approved, "100").csv(T0.plus_days(1));
        assert_eq!(
            state([cancelled, vec![export]].concat()).status,
            ClaimStatus::Confirmed
        );
    }

    #[test]
    fn absent_is_never_zero() {
        let mut bare = report(2).txn("A").build();
        bare.fields.sale_amount = None;
        bare.received_at = T0.plus_millis(120_000);
        let first = sold(1, Approved, "100").build();
        let reports = vec![first, bare];
        let scope = Scope {
            clicks: [reports[0].click_id()].into(),
            ..Scope::default()
        };
        let neighbourhood = Neighbourhood {
            reports: [(reports[0].click_id(), reports)].into(),
            ..Neighbourhood::default()
        };
        let claims = settle(&neighbourhood, &scope);
        assert_eq!(claims[0].target.commission, Minor::new(800));
        assert_eq!(claims[0].reports[1].fate, Fate::Repetition);
    }

    #[test]
    fn fates_tell_repetitions_from_updates() {
        let fates = |reports| -> Vec<Fate> {
            state(reports)
                .reports
                .into_iter()
                .map(|report| report.fate)
                .collect()
        };
        assert_eq!(
            fates(vec![
                sold(1, Pending, "100"),
                sold(2, Pending, "100"),
                sold(3, Approved, "100")
            ]),
            [Fate::Ledgered, Fate::Repetition, Fate::Update]
        );
    }

    #[test]
    fn two_amounts_with_nothing_to_tell_them_apart_go_to_a_person() {
        let state = state(vec![report(1).sale("100"), report(2).sale("200")]);
        assert_eq!(state.status, ClaimStatus::Review);
        assert!(state.reasons.contains(&StatusReason::AmbiguousAmount));
        assert_eq!(state.target, Parts::default());
    }

    #[test]
    fn the_window_is_half_open_and_tested_on_the_networks_own_time_only() {
        let at = |millis| {
            let mut report = sold(1, Approved, "100").build();
            report.fields.converted_at = millis;
            report.received_at = T0.plus_days(40);
            let scope = Scope {
                clicks: [report.click_id()].into(),
                ..Scope::default()
            };
            let neighbourhood = Neighbourhood {
                reports: [(report.click_id(), vec![report])].into(),
                ..Neighbourhood::default()
            };
            settle(&neighbourhood, &scope)[0].status
        };
        let end = T0.plus_days(30);
        assert_eq!(at(Some(end.plus_millis(-1))), ClaimStatus::Confirmed);
        assert_eq!(at(Some(end)), ClaimStatus::Rejected);
        assert_eq!(at(None), ClaimStatus::Confirmed);
    }

    #[test]
    fn another_currency_is_never_booked_blindly() {
        let mut dollars = sold(1, Approved, "100").build();
        dollars.fields.currency = Some(Currency::USD);
        let scope = Scope {
            clicks: [dollars.click_id()].into(),
            ..Scope::default()
        };
        let neighbourhood = Neighbourhood {
            reports: [(dollars.click_id(), vec![dollars])].into(),
            ..Neighbourhood::default()
        };
        let claims = settle(&neighbourhood, &scope);
        assert_eq!(claims[0].status, ClaimStatus::Review);
        assert_eq!(claims[0].target, Parts::default());
    }
}
