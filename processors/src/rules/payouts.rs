//! What is paid, of which claims, and what becomes of a payout (design section 6).

use std::collections::{BTreeMap, BTreeSet};

use schemas::{Currency, EventId, Minor, PayoutId, Timestamp, events::PayoutStep};

use super::rails::RailTerms;

/// What a claim contributes to its user's balance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClaimBalance {
    /// The claim's name.
    pub claim: EventId,
    /// From when on it can be paid.
    pub payable_at: Timestamp,
    /// The user's part, as booked.
    pub owed: Minor,
    /// What payouts that weren't cancelled took of it.
    pub allocated: Minor,
}

impl ClaimBalance {
    fn open(&self) -> Minor {
        self.owed - self.allocated
    }
}

/// A claim as a user's balance sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OwedClaim {
    /// The claim's name.
    pub claim: EventId,
    /// All its names: the event ids of its reports.
    pub names: Vec<EventId>,
    /// From when on it can be paid.
    pub payable_at: Timestamp,
    /// The user's part, as booked.
    pub owed: Minor,
}

/// A user's balance by claim: what is owed to them, less what payouts to them took. Items name
/// claims as they were called then. What was taken of a claim that is theirs no more is a debt.
pub fn balances(claims: &[OwedClaim], items: &[(EventId, Minor)]) -> Vec<ClaimBalance> {
    let mut taken: BTreeMap<EventId, Minor> = BTreeMap::new();
    for (name, amount) in items {
        *taken.entry(*name).or_default() += *amount;
    }
    let mut balances: Vec<_> = claims
        .iter()
        .map(|claim| ClaimBalance {
            claim: claim.claim,
            payable_at: claim.payable_at,
            owed: claim.owed,
            allocated: claim
                .names
                .iter()
                .filter_map(|name| taken.remove(name))
                .sum(),
        })
        .collect();
    balances.extend(taken.into_iter().map(|(claim, allocated)| ClaimBalance {
        claim,
        payable_at: Timestamp::MAX,
        owed: Minor::ZERO,
        allocated,
    }));
    balances
}

/// The matured balance at `as_of`: what is open of claims payable before it, less every debt.
/// Debts (a claim taken back after it was paid) count at once.
pub fn matured(claims: &[ClaimBalance], as_of: Timestamp) -> Minor {
    claims
        .iter()
        .filter(|claim| claim.payable_at < as_of || claim.open() < Minor::ZERO)
        .map(ClaimBalance::open)
        .sum()
}

/// The limits of a tenant and of a rail, in minor units of the currency.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Below this nothing is paid.
    pub payout_min: Minor,
    /// Whether the rail refuses parts of a unit.
    pub whole_units: bool,
    /// The least that the rail transfers at once.
    pub transfer_min: Minor,
    /// The most that it transfers at once (of a card: specification section 8.2, ₹10,000).
    pub transfer_max: Minor,
}

impl Limits {
    /// Of a tenant that pays from `payout_min` on, by this rail.
    pub const fn of(payout_min: Minor, rail: &RailTerms) -> Self {
        Self {
            payout_min,
            whole_units: rail.whole_units,
            transfer_min: rail.transfer_min,
            transfer_max: rail.transfer_max,
        }
    }
}

/// One transfer to be made, such as a card: items sum to its amount.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transfer {
    /// In minor units, as the rail takes them.
    pub amount: Minor,
    /// Claims and how much of each, oldest first.
    pub items: Vec<(EventId, Minor)>,
}

/// The transfers that pay a user's matured balance: whole units where the rail asks for them, and
/// each within its limits; the rest stays. Taken from the claims oldest first.
pub fn allocate(
    claims: &[ClaimBalance],
    as_of: Timestamp,
    currency: Currency,
    limits: Limits,
) -> Vec<Transfer> {
    let unit = if limits.whole_units {
        currency.minor_per_unit()
    } else {
        1
    };
    let floor = |minor: Minor| Minor::new(minor.get() - minor.get().rem_euclid(unit));
    let balance = matured(claims, as_of);
    let mut left = floor(balance);
    if balance < limits.payout_min || left <= Minor::ZERO {
        return Vec::new();
    }
    let transfer_max = floor(limits.transfer_max);
    let mut sources: Vec<_> = claims
        .iter()
        .filter(|claim| claim.payable_at < as_of && claim.open() > Minor::ZERO)
        .map(|claim| (claim.payable_at, claim.claim, claim.open()))
        .collect();
    sources.sort_unstable();
    let mut sources = sources.into_iter().map(|(_, claim, open)| (claim, open));
    let mut source = sources.next();
    let mut transfers = Vec::new();
    while left > Minor::ZERO && transfer_max > Minor::ZERO {
        let amount = left.min(transfer_max);
        if amount < limits.transfer_min {
            break;
        }
        left = left - amount;
        let mut items = Vec::new();
        let mut missing = amount;
        // The balance is at most the sum of what is open, so the sources never run dry here.
        while let Some((claim, open)) = source.filter(|_| missing > Minor::ZERO) {
            let part = open.min(missing);
            items.push((claim, part));
            missing = missing - part;
            source = if part == open {
                sources.next()
            } else {
                Some((claim, open - part))
            };
        }
        transfers.push(Transfer { amount, items });
    }
    transfers
}

/// State of a payout.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PayoutState {
    /// Requested; no card can exist.
    Queued,
    /// A card may exist.
    Sending,
    /// Given up before it was sent.
    Cancelled,
    /// The card exists.
    Funded,
    /// No answer within the attempts; the nightly run tries again.
    ErrorSoft,
    /// Refused; an operator has to act.
    ErrorHard,
}

impl PayoutState {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::Queued,
        Self::Sending,
        Self::Cancelled,
        Self::Funded,
        Self::ErrorSoft,
        Self::ErrorHard,
    ];

    /// Its name in tables and JSON.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Sending => "sending",
            Self::Cancelled => "cancelled",
            Self::Funded => "funded",
            Self::ErrorSoft => "error_soft",
            Self::ErrorHard => "error_hard",
        }
    }

    /// Whether it is still on its way.
    pub const fn unpaid(self) -> bool {
        match self {
            Self::Funded | Self::Cancelled => false,
            Self::Queued | Self::Sending | Self::ErrorSoft | Self::ErrorHard => true,
        }
    }

    /// Whether its items are taken from their claims.
    pub const fn allocates(self) -> bool {
        match self {
            Self::Cancelled => false,
            Self::Queued | Self::Sending | Self::Funded | Self::ErrorSoft | Self::ErrorHard => true,
        }
    }

    /// The state after a result was read from `payout-results`: as [`PayoutState::after`] its
    /// step, but for a payout that is cancelled with attempts made. Whoever wrote that has found
    /// that no card can be spent, so it is final over everything.
    #[must_use]
    pub const fn after_result(self, step: PayoutStep, attempt: i32) -> Self {
        match step {
            PayoutStep::Cancelled if attempt > 0 => Self::Cancelled,
            PayoutStep::Cancelled
            | PayoutStep::Sending
            | PayoutStep::Funded
            | PayoutStep::ErrorSoft
            | PayoutStep::ErrorHard => self.after(step),
        }
    }

    /// The state after a step. *Funded* and *cancelled* are final: a card that exists, exists.
    #[must_use]
    pub const fn after(self, step: PayoutStep) -> Self {
        match (self, step) {
            (Self::Funded, _) | (_, PayoutStep::Funded) => Self::Funded,
            (Self::Cancelled, _) | (Self::Queued, PayoutStep::Cancelled) => Self::Cancelled,
            (_, PayoutStep::Sending) => Self::Sending,
            (_, PayoutStep::ErrorSoft) => Self::ErrorSoft,
            (_, PayoutStep::ErrorHard) => Self::ErrorHard,
            // A card may exist: too late to cancel.
            (unchanged, PayoutStep::Cancelled) => unchanged,
        }
    }
}

/// A payout that no byte went out for yet, with its items.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueuedPayout {
    /// The payout.
    pub payout_id: PayoutId,
    /// The run that made it.
    pub as_of: Timestamp,
    /// Claims and how much of each.
    pub items: Vec<(EventId, Minor)>,
}

/// Which queued payouts lost what their items stand on: for each claim that is owed less than is
/// allocated of it, its queued payouts, the newest first, until the rest is covered (design
/// section 6). Items name claims as the balances do.
pub fn to_cancel(claims: &[ClaimBalance], queued: &[QueuedPayout]) -> BTreeSet<PayoutId> {
    let mut missing: BTreeMap<EventId, Minor> = claims
        .iter()
        .filter(|claim| claim.open() < Minor::ZERO)
        .map(|claim| (claim.claim, -claim.open()))
        .collect();
    let mut newest_first: Vec<_> = queued.iter().collect();
    newest_first.sort_by_key(|payout| (payout.as_of, payout.payout_id));
    let mut cancelled = BTreeSet::new();
    for payout in newest_first.into_iter().rev() {
        let uncovered = |claim: &EventId| {
            missing
                .get(claim)
                .is_some_and(|missing| *missing > Minor::ZERO)
        };
        if payout.items.iter().any(|(claim, _)| uncovered(claim)) {
            for (claim, amount) in &payout.items {
                if let Some(missing) = missing.get_mut(claim) {
                    *missing = *missing - *amount;
                }
            }
            cancelled.insert(payout.payout_id);
        }
    }
    cancelled
}

#[cfg(test)]
#[path = "payouts_tests.rs"]
mod tests;
