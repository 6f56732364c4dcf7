//! The fold of a claim's reports, field by field (design section 5, state): each field is that of
//! the highest-ranked report that carries it and is believed; absent is never zero.

use schemas::{Amount, Country, Currency, OfferId, Timestamp, events::NetworkStatus};

use super::{history::Report, signals::conflicting_currency};

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
    /// The offer that the first report names which names another than the click's.
    pub other_offer: Option<OfferId>,
    /// The currency of the first report whose amounts are in another than the terms'.
    pub other_currency: Option<Currency>,
}

/// State of the fold that isn't part of its result.
#[derive(Default)]
struct Seen {
    sale_amounts: Vec<Amount>,
    payouts: Vec<Amount>,
    conversion_id: Option<String>,
    /// The offer named last; the click's own says nothing new at first.
    offer_id: Option<OfferId>,
    country: Option<Country>,
    as_of: Option<Timestamp>,
}

/// Folds reports of one claim field by field, in rank order.
pub fn fold(reports: &[&Report]) -> Folded {
    let mut folded = Folded::default();
    let mut seen = Seen::default();
    for report in reports {
        take(report, &mut folded, &mut seen);
    }
    folded
}

/// The fate of each report of a claim, in rank order; *duplicate* is decided elsewhere.
pub fn fates(reports: &[&Report]) -> Vec<Fate> {
    let mut folded = Folded::default();
    let mut seen = Seen::default();
    let mut fates = Vec::with_capacity(reports.len());
    for (index, report) in reports.iter().enumerate() {
        fates.push(if index == 0 {
            Fate::Ledgered
        } else if repeats(report, &folded, &seen) {
            Fate::Repetition
        } else {
            Fate::Update
        });
        take(report, &mut folded, &mut seen);
    }
    fates
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
        && same(
            fields.offer_id.as_ref(),
            Some(&seen.offer_id.unwrap_or(report.matched.click.offer_id)),
        )
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
    keep(fields.offer_id.as_ref(), &mut seen.offer_id);
    keep(fields.country.as_ref(), &mut seen.country);
    keep(report.as_of.as_ref(), &mut seen.as_of);
    folded.other_offer = folded.other_offer.or_else(|| other_offer(report));
    let other_currency = || conflicting_currency(&report.fields, &report.matched.terms);
    folded.other_currency = folded.other_currency.or_else(other_currency);
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

fn other_offer(report: &Report) -> Option<OfferId> {
    let clicked = report.matched.click.offer_id;
    report.fields.offer_id.filter(|offer| *offer != clicked)
}

/// When the conversion happened: the network's own time where a report has one (the
/// highest-ranked's), else the first receipt. The flag says which.
pub fn conversion_time<'a>(reports: impl Iterator<Item = &'a Report> + Clone) -> (Timestamp, bool) {
    let networks_own = reports
        .clone()
        .filter_map(|report| report.fields.converted_at.map(|at| (report.rank(), at)))
        .max();
    if let Some((_, at)) = networks_own {
        return (at, true);
    }
    let first = reports.map(|report| report.received_at).min();
    (first.unwrap_or(Timestamp::MAX), false)
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
