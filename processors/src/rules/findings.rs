//! What the machine holds against a claim, beyond the network's own status: each finding with its
//! reason code and the evidence for a reviewer (specification section 10; design sections 4, 5).

use std::borrow::Cow;

use rust_decimal::Decimal;
use schemas::{
    Amount, Currency, Minor, MoneyOverflow, Timestamp,
    events::{CommissionSource, Matched, NetworkStatus, SelfPurchase, StatusReason},
};

use super::{
    attribution::within_window,
    claims::{self, Claim},
    fold::Folded,
    history::Report,
    lifecycle::{Neighbours, OrderStanding},
    rating::Rating,
};

/// A reason for a claim's status, and what it rests on.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Finding {
    /// Which.
    pub reason: StatusReason,
    /// The values that it rests on; empty where the reason says it all. Nothing in it tells of
    /// another tenant's claims but their number.
    pub evidence: Cow<'static, str>,
}

impl Finding {
    /// A finding.
    pub fn new(reason: StatusReason, evidence: impl Into<Cow<'static, str>>) -> Self {
        Self {
            reason,
            evidence: evidence.into(),
        }
    }
}

/// A claim as it is judged.
#[derive(Debug, Clone, Copy)]
pub struct Case<'a> {
    /// The whole claim: it says who is judged, under which terms and rules.
    pub claim: &'a Claim<'a>,
    /// The reports that count.
    pub reports: &'a [&'a Report],
    /// Their fold.
    pub folded: &'a Folded,
    /// What the commission came to; an error where it left every range.
    pub rating: Result<&'a Rating, MoneyOverflow>,
    /// Whether the commission can be split; false beyond any range.
    pub split: bool,
    /// Whether an operator set what is to be booked.
    pub corrected: bool,
    /// The conversion's time.
    pub converted_at: Timestamp,
    /// Whether that is the network's own.
    pub networks_own_time: bool,
    /// What other claims mean for it.
    pub neighbours: Neighbours,
    /// How many reports wait, where none counts.
    pub only_held: Option<usize>,
}

impl Case<'_> {
    /// Whether there is something to book once the network approves.
    pub fn bookable(&self) -> bool {
        self.split || self.corrected
    }

    fn matched(&self) -> &Matched {
        &self.claim.first().matched
    }

    /// What rejects it.
    pub fn rejections(&self) -> Vec<Finding> {
        [
            self.duplicate(),
            self.self_purchase(),
            self.outside_window(),
        ]
        .into_iter()
        .flatten()
        .collect()
    }

    /// What sends it to a person.
    pub fn review_reasons(&self) -> Vec<Finding> {
        [
            self.score(),
            self.velocity(),
            self.ambiguous_amount(),
            self.claim.ambiguous.then(|| {
                let evidence = "a report could belong to several claims of its click";
                Finding::new(StatusReason::AmbiguousReport, evidence)
            }),
            self.other_offer(),
            self.other_currency(),
            self.above_max(),
            self.amount_missing(),
            self.owned_by_closed(),
            self.books_locked(),
        ]
        .into_iter()
        .flatten()
        .collect()
    }

    fn duplicate(&self) -> Option<Finding> {
        let days = self.matched().rules.duplicate_days;
        matches!(self.neighbours.order, OrderStanding::Duplicate { .. }).then(|| {
            let evidence = format!(
                "another claim named order {} first, within {days} days",
                self.folded.txn_id.as_deref().unwrap_or_default()
            );
            Finding::new(StatusReason::DuplicateOrder, evidence)
        })
    }

    fn self_purchase(&self) -> Option<Finding> {
        let contact = self.matched().self_purchase?;
        let evidence = match contact {
            SelfPurchase::Phone => "the shopper has the phone number of a member of the tenant",
            SelfPurchase::Email => "the shopper has the e-mail address of a member of the tenant",
        };
        let rejected = self.matched().rules.reject_self_purchase;
        rejected.then(|| Finding::new(StatusReason::SelfPurchase, evidence))
    }

    fn outside_window(&self) -> Option<Finding> {
        let Matched { click, terms, .. } = self.matched();
        let testable = self.networks_own_time || terms.fires_at_sale;
        let days = terms.attribution_window_days;
        let outside = testable && !within_window(click.clicked_at, self.converted_at, days);
        outside.then(|| {
            let evidence = format!(
                "clicked at {}, converted at {}, window of {days} days",
                click.clicked_at, self.converted_at
            );
            Finding::new(StatusReason::OutsideWindow, evidence)
        })
    }

    fn score(&self) -> Option<Finding> {
        let Matched {
            score,
            rules,
            signals,
            ..
        } = self.matched();
        (*score >= rules.review_score).then(|| {
            let signals: Vec<_> = signals
                .iter()
                .map(|signal| format!("{} (+{})", signal.evidence, signal.weight))
                .collect();
            let evidence = format!(
                "score {score}, review from {}: {}",
                rules.review_score,
                signals.join("; ")
            );
            Finding::new(StatusReason::Score, evidence)
        })
    }

    fn velocity(&self) -> Option<Finding> {
        let hours = self.matched().rules.velocity_hours;
        self.neighbours.velocity.map(|claims| {
            let evidence = format!("{claims} claims of the shopper by clicks within {hours} hours");
            Finding::new(StatusReason::Velocity, evidence)
        })
    }

    /// "Two different amounts with nothing to tell them apart are never an amendment, but a
    /// review": a report that names no sale carries another amount than some other report of the
    /// claim.
    fn ambiguous_amount(&self) -> Option<Finding> {
        let unnamed = self.reports.iter().filter(|report| !claims::named(report));
        let mut pairs = unnamed.flat_map(|report| {
            self.reports
                .iter()
                .map(|other| (&report.fields, &other.fields))
        });
        let (one, other) = pairs.find_map(|(one, other)| {
            differing(one.sale_amount, other.sale_amount)
                .or_else(|| differing(one.payout, other.payout))
        })?;
        let evidence = format!("nothing tells apart the reports of {one} and {other}");
        Some(Finding::new(StatusReason::AmbiguousAmount, evidence))
    }

    fn other_offer(&self) -> Option<Finding> {
        self.folded.other_offer.map(|reported| {
            let clicked = self.matched().click.offer_id;
            let evidence = format!("clicked offer {clicked}, reported offer {reported}");
            Finding::new(StatusReason::OfferMismatch, evidence)
        })
    }

    fn other_currency(&self) -> Option<Finding> {
        let reported = self.folded.other_currency.filter(|_| !self.corrected);
        reported.map(|reported| {
            let currency = self.matched().terms.currency;
            let evidence = format!("reported in {reported}, the offer pays in {currency}");
            Finding::new(StatusReason::CurrencyMismatch, evidence)
        })
    }

    /// Above the offer's cap, or a network's payout that claims more than the whole sale.
    fn above_max(&self) -> Option<Finding> {
        if self.folded.other_currency.is_some() {
            return None;
        }
        let terms = &self.matched().terms;
        let currency = terms.currency;
        let found = |evidence: String| Finding::new(StatusReason::CommissionAboveMax, evidence);
        let rating = match self.rating {
            Ok(rating) if rating.commission.is_none() || self.split => rating,
            Ok(_) | Err(MoneyOverflow) => {
                return Some(found("the commission is beyond any range".to_owned()));
            }
        };
        let commission = rating.commission.map(|sum| units(sum, currency));
        let above_cap = commission
            .zip(terms.commission_max)
            .filter(|(commission, max)| *commission > max.to_decimal())
            .map(|(commission, max)| {
                format!("commission of {commission} {currency}, {max} at most")
            });
        let sale = self.folded.sale_amount.map(|sale| sale.to_minor(currency));
        let above_sale = match terms.commission_source {
            CommissionSource::Percentage => None,
            CommissionSource::Payout => rating.reported.zip(sale).and_then(|(payout, sale)| {
                (payout > sale).then(|| {
                    format!(
                        "payout of {} {currency} for a sale of {}",
                        units(payout, currency),
                        units(sale, currency)
                    )
                })
            }),
        };
        above_cap.or(above_sale).map(found)
    }

    fn amount_missing(&self) -> Option<Finding> {
        let approved = self.folded.status == Some(NetworkStatus::Approved);
        let absent = self.rating.is_ok_and(|rating| rating.commission.is_none());
        let missing = absent && !self.corrected && self.folded.other_currency.is_none();
        (approved && missing).then(Finding::amount_missing)
    }

    fn owned_by_closed(&self) -> Option<Finding> {
        matches!(self.neighbours.order, OrderStanding::OwnedByClosed { .. }).then(|| {
            let evidence = "a claim that is closed owns the order, though this one named it first";
            Finding::new(StatusReason::OrderOwnedByClosed, evidence)
        })
    }

    /// Nothing of the claim counts yet: not even an approval that came before its reports lifts
    /// that.
    pub fn books_locked(&self) -> Option<Finding> {
        self.only_held.map(Finding::reports_held)
    }
}

impl Finding {
    /// Approved, without what a commission is made of.
    pub(super) fn amount_missing() -> Self {
        let evidence = "approved, without the amount that the commission is made of";
        Self::new(StatusReason::AmountMissing, evidence)
    }

    /// Reports wait for an operator.
    pub(super) fn reports_held(reports: usize) -> Self {
        let evidence = format!("{reports} report(s) came after the books were locked");
        Self::new(StatusReason::BooksLocked, evidence)
    }
}

/// A sum in units, for people.
fn units(sum: Minor, currency: Currency) -> Decimal {
    Decimal::new(sum.get(), currency.exponent())
}

fn differing(one: Option<Amount>, other: Option<Amount>) -> Option<(Amount, Amount)> {
    one.zip(other).filter(|(one, other)| one != other)
}
