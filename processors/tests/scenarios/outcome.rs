//! What records came to, in words.

use std::{collections::BTreeMap, fmt::Write};

use processors::rules::{lifecycle::ClaimState, rating::Rating, split::Parts};
use schemas::{
    ClickId, Currency, Minor, UserId,
    events::{
        CommissionSource, Decision, Malformed, Outcome, Rate, RateOrigin, StatusReason,
        UnmatchedReason,
    },
};

use crate::{ledger::Ledger, world::shopper};

/// A line of the outcome.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// What became of a claim or a report.
    pub text: String,
    /// The reasons' codes.
    pub codes: Vec<&'static str>,
}

impl Line {
    /// As a scenario writes it: the codes in brackets.
    pub fn literal(&self) -> String {
        if self.codes.is_empty() {
            self.text.clone()
        } else {
            format!("{} [{}]", self.text, self.codes.join(", "))
        }
    }
}

/// The claims of a ledger, then the reports that have none, then what shoppers who were paid
/// stand at.
pub fn lines(ledger: &Ledger, clicks: &BTreeMap<ClickId, char>, apart: &[Decision]) -> Vec<Line> {
    let claims = ledger.claims.iter().map(|claim| Line {
        text: format!("{}: {}", label(claim, ledger, clicks), state(claim)),
        codes: claim.reasons().map(StatusReason::name).collect(),
    });
    let plain = |text| Line {
        text,
        codes: Vec::new(),
    };
    let apart = apart.iter().filter_map(aside).map(plain);
    let balances = ledger.balances_of_the_paid();
    let balances = balances.iter().map(|(user, open)| balance(*user, *open));
    claims.chain(apart).chain(balances.map(plain)).collect()
}

/// Why: each finding with its evidence, or how the commission was made where `rated` asks for it.
pub fn why(ledger: &Ledger, clicks: &BTreeMap<ClickId, char>, rated: bool) -> Vec<String> {
    let mut lines = Vec::new();
    for claim in &ledger.claims {
        let of = if ledger.claims.len() > 1 {
            format!("{}: ", label(claim, ledger, clicks))
        } else {
            String::new()
        };
        if rated {
            lines.push(format!("{of}{}", rating(&claim.rating, claim.currency)));
        }
        lines.extend(claim.findings.iter().map(|finding| {
            let code = finding.reason.name();
            match finding.evidence.as_ref() {
                "" => format!("{of}{code}"),
                evidence => format!("{of}{code}: {evidence}"),
            }
        }));
    }
    lines
}

/// A click's letter; with the number of its first record, where the click has several claims.
fn label(claim: &ClaimState, ledger: &Ledger, clicks: &BTreeMap<ClickId, char>) -> String {
    let click = claim.click.click_id;
    let of_click = |other: &&ClaimState| other.click.click_id == click;
    if ledger.claims.iter().filter(of_click).count() > 1 {
        format!("{} claim {}", clicks[&click], claim.name)
    } else {
        clicks[&click].to_string()
    }
}

fn state(claim: &ClaimState) -> String {
    let mut text = claim.status.name().to_owned();
    if claim.target != Parts::default() {
        write!(text, ", {}", sums(claim)).expect("a string takes everything");
    }
    if !claim.paid.zero() {
        let paid = units(claim.paid, claim.currency);
        write!(text, ", paid {paid}").expect("a string takes everything");
    }
    if claim.reports.len() > 1 {
        let fates: Vec<_> = claim
            .reports
            .iter()
            .map(|report| report.fate.name())
            .collect();
        write!(text, "; {}", fates.join(", ")).expect("a string takes everything");
    }
    text
}

fn sums(claim: &ClaimState) -> String {
    let Parts {
        commission,
        subsidy,
        fee,
        user,
        creator,
    } = claim.target;
    let currency = claim.currency;
    let mut text = match currency {
        Currency::INR => String::new(),
        other => format!("{other} "),
    };
    let holder = match claim.click.user_id {
        Some(_) => "shopper",
        None => "unclaimed",
    };
    text.push_str(&units(commission, currency));
    if !subsidy.zero() {
        write!(text, " + {} subsidy", units(subsidy, currency)).expect("a string takes everything");
    }
    let (user, creator) = (units(user, currency), units(creator, currency));
    write!(text, " = {user} {holder} + {creator} creator").expect("a string takes everything");
    if !fee.zero() {
        write!(text, " + {} fee", units(fee, currency)).expect("a string takes everything");
    }
    text
}

fn units(minor: Minor, currency: Currency) -> String {
    rust_decimal::Decimal::new(minor.get(), currency.exponent()).to_string()
}

fn balance(user: UserId, open: Minor) -> String {
    let number = (1..=26).find(|number| shopper(*number) == user);
    let number = number.expect("a shopper of the world");
    format!("shopper {number}: balance {}", units(open, Currency::INR))
}

/// What became of a report that no claim has.
fn aside(decision: &Decision) -> Option<String> {
    let record = decision.source.offset;
    match &decision.outcome {
        Outcome::Matched(_) => None,
        Outcome::Unmatched(unmatched) => {
            let reason = unmatched_name(unmatched.reason);
            Some(format!("{record}: parked, {reason}"))
        }
        Outcome::Ignored(ignored) => {
            let reason = malformed_name(ignored.reason);
            Some(format!("{record}: ignored, {reason}"))
        }
        Outcome::Poisoned(_) => Some(format!("{record}: dead-lettered")),
    }
}

/// The codes as JSON writes them.
fn name(value: &impl serde::Serialize) -> String {
    let json = serde_json::to_value(value).expect("a code has a name");
    json.as_str().expect("a code is a word").to_owned()
}

fn unmatched_name(reason: UnmatchedReason) -> String {
    name(&reason)
}

fn malformed_name(reason: Malformed) -> String {
    name(&reason)
}

/// "Why did I get 5 and not 10?"
fn rating(rating: &Rating, currency: Currency) -> String {
    let sum = |sum: Option<Minor>| sum.map_or_else(|| "–".to_owned(), |sum| units(sum, currency));
    let rate = match rating.rate {
        Rate::Percentage(percentage) => format!("{percentage}%"),
        Rate::Flat(amount) => format!("{amount} flat"),
    };
    let origin = match rating.rate_origin {
        RateOrigin::Offer => "the offer's rate",
        RateOrigin::Override => "the creator's own rate",
    };
    let (ours, networks) = match rating.source {
        CommissionSource::Percentage => ("", " (shown only)"),
        CommissionSource::Payout => (" (shown only)", ""),
    };
    let mut text = format!("by {origin} of {rate}: {}{ours}", sum(rating.rated));
    if rating.reported.is_some() || rating.source == CommissionSource::Payout {
        let reported = sum(rating.reported);
        write!(text, "; by the network's payout: {reported}{networks}")
            .expect("a string takes everything");
    }
    if let Some(version) = rating.rules_version {
        let rules = match rating.rules.as_slice() {
            [] => "none holds".to_owned(),
            names => names.join(", then "),
        };
        write!(text, "; rules, version {version}: {rules}").expect("a string takes everything");
    }
    text
}
