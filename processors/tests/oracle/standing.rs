//! What claims mean for one another: who owns an order, whose claims come too fast, and when
//! that is settled (semantics: open and closed, order ownership, velocity; ADR 0003).

use std::collections::BTreeSet;

use schemas::{Position, events::DuplicatePolicy};

use crate::{
    grouping::{Claim, Order, claims},
    logbook::{END, Logbook},
};

const HOUR_MS: i64 = 3_600_000;
const DAY_MS: i64 = 24 * HOUR_MS;

/// A claim's standing on its order. Another claim is known by the name that it had then.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// It names no order.
    NoOrder,
    /// It owns it.
    Owner,
    /// Another owns it.
    Duplicate(i64),
    /// It ranks first, but a closed claim owns the order.
    Outrun(i64),
}

/// What others mean for a claim.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Findings {
    pub standing: Standing,
    pub velocity: bool,
}

/// Who never closes: the claim that holds this record, in a world that never was.
type EverOpen = Option<Position>;

/// What others mean for a claim, as of its closing.
pub fn findings(book: &Logbook<'_>, claim: &Claim<'_>) -> Findings {
    let standing = match claim.order() {
        None => Standing::NoOrder,
        Some(order) => {
            let settled_at = settled_at(book, claim, &order, END);
            standing_at(book, claim, &order, settled_at, None)
        }
    };
    Findings {
        standing,
        velocity: too_fast(book, claim, standing, claim.closes_at(), None),
    }
}

/// What others would mean for it if it never closed.
pub fn findings_if_open(book: &Logbook<'_>, claim: &Claim<'_>) -> Findings {
    let ever_open = Some(claim.earliest().position());
    let standing = claim.order().map_or(Standing::NoOrder, |order| {
        standing_at(book, claim, &order, END, ever_open)
    });
    Findings {
        standing,
        velocity: too_fast(book, claim, standing, END, ever_open),
    }
}

/// From when on a claim's standing on an order is settled, as seen just before an instant: its
/// closing; or, where a report of its own moved it to that order later, that report's arrival.
fn settled_at(book: &Logbook<'_>, claim: &Claim<'_>, order: &Order, seen_at: i64) -> i64 {
    let known = claim.earliest().position();
    let closes_at = claim.closes_at();
    let elsewhere = |before: &i64| {
        !claims(book, *before)
            .iter()
            .any(|claim| claim.holds(known) && claim.order().as_ref() == Some(order))
    };
    let mut later = book
        .instants()
        .filter(|instant| (closes_at..seen_at).contains(instant));
    later
        .find(elsewhere)
        .map_or(closes_at, |moved_at| moved_at + 1)
}

/// Who named an order, as things were just before an instant, in the order of their rank.
fn claimants<'a>(book: &Logbook<'a>, order: &Order, before: i64) -> Vec<Claim<'a>> {
    let mut claimants = claims(book, before);
    claimants.retain(|claim| claim.order().as_ref() == Some(order));
    claimants.sort_by_key(|claim| (claim.first().received_at(), claim.first().event()));
    claimants
}

/// A claim's standing on an order, as things were just before an instant.
fn standing_at(
    book: &Logbook<'_>,
    claim: &Claim<'_>,
    order: &Order,
    before: i64,
    ever_open: EverOpen,
) -> Standing {
    let all = claimants(book, order, before);
    let with_kept = all.iter().map(|claimant| {
        // Who was settled by then keeps the standing of that time.
        let settled_at = settled_at(book, claimant, order, before);
        let open = ever_open.is_some_and(|position| claimant.holds(position));
        let kept = (settled_at < before && !open)
            .then(|| standing_at(book, claimant, order, settled_at, ever_open));
        (claimant, kept)
    });
    owners(with_kept.collect(), claim)
}

/// The standing of `claim` among all claimants of an order in the order of their rank, some of
/// which keep an older standing.
fn owners(claimants: Vec<(&Claim<'_>, Option<Standing>)>, claim: &Claim<'_>) -> Standing {
    let known = claim.earliest().position();
    let closed_owners: Vec<_> = claimants
        .iter()
        .filter(|(_, kept)| *kept == Some(Standing::Owner))
        .map(|(claim, _)| *claim)
        .collect();
    let mut owners: Vec<&Claim<'_>> = Vec::new();
    for (claimant, kept) in claimants {
        let standing = kept.unwrap_or_else(|| fresh_standing(claimant, &owners, &closed_owners));
        if standing == Standing::Owner {
            owners.push(claimant);
        }
        if claimant.holds(known) {
            return standing;
        }
    }
    Standing::NoOrder
}

/// The standing of an open claim, after those that rank before it.
fn fresh_standing(
    claim: &Claim<'_>,
    owners_before: &[&Claim<'_>],
    closed_owners: &[&Claim<'_>],
) -> Standing {
    if accepts(claim) {
        return Standing::Owner;
    }
    let rank = |claim: &Claim<'_>| (claim.first().received_at(), claim.first().event());
    let mut before = owners_before.iter().rev();
    if let Some(owner) = before.find(|owner| would_repeat(owner, claim)) {
        return Standing::Duplicate(owner.first().event());
    }
    let mut after = closed_owners.iter();
    match after.find(|owner| rank(owner) > rank(claim) && would_repeat(claim, owner)) {
        Some(owner) => Standing::Outrun(owner.first().event()),
        None => Standing::Owner,
    }
}

/// Whether the later claim on an order is a duplicate of the earlier one, if that one owns the
/// order: by the later one's own terms and rules.
fn would_repeat(earlier: &Claim<'_>, later: &Claim<'_>) -> bool {
    let days = i64::from(later.first().matched.rules.duplicate_days);
    let until = earlier.first().received_at() + days * DAY_MS;
    !accepts(later) && later.first().received_at() < until
}

/// Whether every claim owns its order, by the terms of its offer as of its click.
fn accepts(claim: &Claim<'_>) -> bool {
    match claim.first().matched.terms.duplicate_orders {
        DuplicatePolicy::Accept => true,
        DuplicatePolicy::Reject => false,
    }
}

/// Whether a claim of this standing is its user's 5th or later within the hours, as things were
/// just before an instant. Claims of one click come in the order of their names.
fn too_fast(
    book: &Logbook<'_>,
    claim: &Claim<'_>,
    standing: Standing,
    before: i64,
    ever_open: EverOpen,
) -> bool {
    let click = &claim.first().matched.click;
    let rules = &claim.first().matched.rules;
    let Some(user) = click.user_id else {
        return false;
    };
    if matches!(standing, Standing::Duplicate(_)) {
        return false;
    }
    let place = |claim: &Claim<'_>| {
        let click = &claim.first().matched.click;
        (
            click.clicked_at.millis(),
            claim.first().click(),
            claim.first().event(),
        )
    };
    let since = click.clicked_at.millis() - i64::from(rules.velocity_hours) * HOUR_MS;
    let mut sales = BTreeSet::from([Sale::of(claim)]);
    for other in &claims(book, before) {
        let theirs = &other.first().matched.click;
        let same = claim
            .reports
            .iter()
            .any(|report| other.named(report.event()));
        let counts = !same
            && theirs.user_id == Some(user)
            && theirs.clicked_at.millis() > since
            && place(other) < place(claim)
            && !duplicate_at(book, other, before, ever_open);
        if counts {
            sales.insert(Sale::of(other));
        }
    }
    i64::try_from(sales.len()).expect("a count of claims") >= i64::from(rules.velocity_claims)
}

/// What counts once: an order, or a claim that names none.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Sale {
    Order(Order),
    Claim(i64),
}

impl Sale {
    fn of(claim: &Claim<'_>) -> Self {
        match claim.order() {
            Some(order) => Self::Order(order),
            None => Self::Claim(claim.first().event()),
        }
    }
}

/// Whether a claim was a duplicate just before an instant.
fn duplicate_at(book: &Logbook<'_>, claim: &Claim<'_>, before: i64, ever_open: EverOpen) -> bool {
    claim.order().is_some_and(|order| {
        let standing = standing_at(book, claim, &order, before, ever_open);
        matches!(standing, Standing::Duplicate(_))
    })
}
