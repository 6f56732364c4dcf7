//! What the reports of a claim say together (semantics: the fold of a claim).

use schemas::{
    Amount, Timestamp,
    events::{NetworkStatus, Reported},
};

use crate::logbook::Report;

/// The folded fields.
#[derive(Debug, Clone, Default)]
pub struct Folded {
    pub status: Option<NetworkStatus>,
    /// Whether `approved` was ever the folded status.
    pub ever_approved: bool,
    pub sale: Option<Amount>,
    pub payout: Option<Amount>,
    /// The newest of the plain fields.
    pub fields: Reported,
    pub as_of: Option<Timestamp>,
    earlier_sales: Vec<Amount>,
    earlier_payouts: Vec<Amount>,
}

/// Folds reports, lowest rank first.
pub fn fold(reports: &[Report<'_>]) -> Folded {
    let mut ranked = reports.to_vec();
    ranked.sort_by_key(Report::rank);
    let mut folded = Folded::default();
    for report in &ranked {
        take(&mut folded, report);
    }
    folded
}

fn take(folded: &mut Folded, report: &Report<'_>) {
    let said = report.fields;
    if let Some(status) = said.status
        && follows(folded.status, status, report.believed())
    {
        folded.status = Some(status);
        folded.ever_approved |= status == NetworkStatus::Approved;
    }
    let believed = report.believed();
    if let Some(sale) = said.sale_amount {
        replace(&mut folded.sale, &mut folded.earlier_sales, sale, believed);
    }
    if let Some(payout) = said.payout {
        let earlier = &mut folded.earlier_payouts;
        replace(&mut folded.payout, earlier, payout, believed);
    }
    let fields = &mut folded.fields;
    fields.offer_id = said.offer_id.or(fields.offer_id);
    fields.currency = said.currency.or(fields.currency);
    fields.converted_at = said.converted_at.or(fields.converted_at);
    fields.country = said.country.or(fields.country);
    for (mine, theirs) in [
        (
            &mut fields.network_conversion_id,
            &said.network_conversion_id,
        ),
        (&mut fields.txn_id, &said.txn_id),
        (&mut fields.goal_id, &said.goal_id),
    ] {
        if theirs.is_some() {
            mine.clone_from(theirs);
        }
    }
    folded.as_of = report.decision.as_of.or(folded.as_of);
}

/// Whether a status may follow another.
fn follows(before: Option<NetworkStatus>, next: NetworkStatus, believed: bool) -> bool {
    use NetworkStatus::{Approved, Cancelled, Extended, Pending, Rejected, Unknown};
    match (before, next) {
        (Some(Approved | Cancelled | Rejected), Pending | Extended | Unknown) => false,
        (Some(Cancelled | Rejected), Approved) => believed,
        (None | Some(Pending | Extended | Unknown), _)
        | (Some(Approved | Cancelled | Rejected), Cancelled | Rejected)
        | (Some(Approved), Approved) => true,
    }
}

/// A return to an earlier sum is believed from some only.
fn replace(current: &mut Option<Amount>, earlier: &mut Vec<Amount>, sum: Amount, believed: bool) {
    if *current == Some(sum) || (earlier.contains(&sum) && !believed) {
        return;
    }
    earlier.extend(current.replace(sum));
}

/// Whether a report says nothing but what was folded before it, its as-of time included.
pub fn repeats(before: &Folded, report: &Report<'_>) -> bool {
    fn same<T: PartialEq>(said: Option<&T>, known: Option<&T>) -> bool {
        said.is_none() || said == known
    }
    let said = report.fields;
    let known = &before.fields;
    // The offer is known from the click.
    let offer = known.offer_id.unwrap_or(report.matched.click.offer_id);
    same(said.status.as_ref(), before.status.as_ref())
        && same(said.sale_amount.as_ref(), before.sale.as_ref())
        && same(said.payout.as_ref(), before.payout.as_ref())
        && same(said.currency.as_ref(), known.currency.as_ref())
        && same(said.offer_id.as_ref(), Some(&offer))
        && same(
            said.network_conversion_id.as_ref(),
            known.network_conversion_id.as_ref(),
        )
        && same(said.txn_id.as_ref(), known.txn_id.as_ref())
        && same(said.goal_id.as_ref(), known.goal_id.as_ref())
        && same(said.converted_at.as_ref(), known.converted_at.as_ref())
        && same(said.country.as_ref(), known.country.as_ref())
        && same(report.decision.as_of.as_ref(), before.as_of.as_ref())
}

/// The conversion's time, and whether it is the network's own.
pub fn converted_at(reports: &[Report<'_>]) -> (i64, bool) {
    match fold(reports).fields.converted_at {
        Some(own) => (own.millis(), true),
        None => (
            reports
                .iter()
                .map(Report::received_at)
                .min()
                .expect("a claim has a report"),
            false,
        ),
    }
}

/// From when on a claim of these reports can be paid.
pub fn payable_at(reports: &[Report<'_>]) -> i64 {
    let first = reports
        .iter()
        .min_by_key(|report| report.rank())
        .expect("a claim has a report");
    converted_at(reports).0 + i64::from(first.matched.terms.cool_off_days) * 86_400_000
}

/// Whether a report carries an amount in another currency than its offer's.
pub fn foreign(report: &Report<'_>) -> bool {
    let terms = &report.matched.terms;
    let said = report.fields;
    let carries = said.sale_amount.is_some() || said.payout.is_some();
    carries && said.currency.unwrap_or(terms.default_currency) != terms.currency
}
