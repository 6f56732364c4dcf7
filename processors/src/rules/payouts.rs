//! What is paid, of which claims, and what becomes of a payout (design section 6).

use std::collections::{BTreeMap, BTreeSet};

use schemas::{Currency, EventId, Minor, PayoutId, Timestamp, events::PayoutStep};

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

/// The limits of a channel and of a tenant, in minor units of the currency.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Below this nothing is paid.
    pub payout_min: Minor,
    /// The most that one card can hold (specification section 8.2: ₹10,000).
    pub card_max: Minor,
}

/// One card to be made: items sum to its amount.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Card {
    /// Whole units of the currency.
    pub amount: Minor,
    /// Claims and how much of each, oldest first.
    pub items: Vec<(EventId, Minor)>,
}

/// The cards that pay a user's matured balance: whole units, the rest stays; at most `card_max`
/// each; taken from the claims oldest first.
pub fn allocate(
    claims: &[ClaimBalance],
    as_of: Timestamp,
    currency: Currency,
    limits: Limits,
) -> Vec<Card> {
    let unit = currency.minor_per_unit();
    let floor = |minor: Minor| Minor::new(minor.get() - minor.get().rem_euclid(unit));
    let balance = matured(claims, as_of);
    let mut left = floor(balance);
    if balance < limits.payout_min || left <= Minor::ZERO {
        return Vec::new();
    }
    let card_max = floor(limits.card_max);
    let mut sources: Vec<_> = claims
        .iter()
        .filter(|claim| claim.payable_at < as_of && claim.open() > Minor::ZERO)
        .map(|claim| (claim.payable_at, claim.claim, claim.open()))
        .collect();
    sources.sort_unstable();
    let mut sources = sources.into_iter().map(|(_, claim, open)| (claim, open));
    let mut source = sources.next();
    let mut cards = Vec::new();
    while left > Minor::ZERO && card_max > Minor::ZERO {
        let amount = left.min(card_max);
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
        cards.push(Card { amount, items });
    }
    cards
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

    /// Whether its items are taken from their claims.
    pub const fn allocates(self) -> bool {
        match self {
            Self::Cancelled => false,
            Self::Queued | Self::Sending | Self::Funded | Self::ErrorSoft | Self::ErrorHard => true,
        }
    }

    /// The state after a step was read from `payout-results`. *Funded* and *cancelled* are final:
    /// a card that exists, exists.
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
mod tests {
    use proptest::prelude::*;

    use super::*;

    const AS_OF: Timestamp = Timestamp::from_millis(1_800_000_000_000);

    fn claim(number: i64, owed: i64, allocated: i64) -> ClaimBalance {
        ClaimBalance {
            claim: EventId::new(number),
            payable_at: AS_OF.plus_days(-1).plus_millis(number),
            owed: Minor::new(owed),
            allocated: Minor::new(allocated),
        }
    }

    fn limits(payout_min: i64) -> Limits {
        Limits {
            payout_min: Minor::new(payout_min),
            card_max: Minor::new(1_000_000),
        }
    }

    fn pay(claims: &[ClaimBalance]) -> Vec<Card> {
        allocate(claims, AS_OF, Currency::INR, limits(100))
    }

    #[test]
    fn whole_rupees_oldest_first_and_the_rest_stays() {
        let cards = pay(&[claim(2, 5_050, 0), claim(1, 9_595, 0)]);
        let items = vec![
            (EventId::new(1), Minor::new(9_595)),
            (EventId::new(2), Minor::new(5_005)),
        ];
        assert_eq!(
            cards,
            [Card {
                amount: Minor::new(14_600),
                items
            }]
        );
    }

    #[test]
    fn a_claim_is_paid_only_once_its_time_lies_before_the_runs() {
        let at = |payable_at, number| ClaimBalance {
            payable_at,
            ..claim(number, 10_000, 0)
        };
        let claims = [at(AS_OF.plus_millis(-1), 1), at(AS_OF, 2)];
        assert_eq!(matured(&claims, AS_OF), Minor::new(10_000));
        // A balance may be spent elsewhere before it is paid: what is younger never fills it.
        let debt = claim(3, 0, 4_000);
        let cards = pay(&[claims[0], claims[1], debt]);
        let items = vec![(EventId::new(1), Minor::new(6_000))];
        let amount = Minor::new(6_000);
        assert_eq!(cards, [Card { amount, items }]);
    }

    #[test]
    fn the_least_that_is_paid_is_paid() {
        let of = |balance| {
            allocate(
                &[claim(1, balance, 0)],
                AS_OF,
                Currency::INR,
                limits(10_000),
            )
        };
        assert!(of(9_999).is_empty());
        assert_eq!(of(10_000).len(), 1);
    }

    #[test]
    fn a_claim_of_which_nothing_is_left_is_no_item() {
        let cards = pay(&[claim(1, 10_000, 10_000), claim(2, 10_000, 0)]);
        assert_eq!(cards.len(), 1);
        assert_eq!(cards[0].items, [(EventId::new(2), Minor::new(10_000))]);
    }

    #[test]
    fn a_card_that_holds_less_than_a_unit_holds_nothing() {
        let limits = Limits {
            card_max: Minor::new(99),
            ..limits(100)
        };
        assert!(allocate(&[claim(1, 10_000, 0)], AS_OF, Currency::INR, limits).is_empty());
    }

    #[test]
    fn large_balances_make_several_cards() {
        let amounts: Vec<_> = pay(&[claim(1, 2_500_099, 0)])
            .iter()
            .map(|card| card.amount.get())
            .collect();
        assert_eq!(amounts, [1_000_000, 1_000_000, 500_000]);
    }

    #[test]
    fn what_is_not_matured_is_not_paid_and_debts_count_at_once() {
        let young = ClaimBalance {
            payable_at: AS_OF,
            ..claim(1, 9_900, 0)
        };
        assert!(pay(&[young]).is_empty());
        let debt = ClaimBalance {
            payable_at: AS_OF.plus_days(9),
            ..claim(2, 0, 4_000)
        };
        let cards = pay(&[claim(1, 10_000, 0), debt]);
        assert_eq!(cards[0].amount, Minor::new(6_000));
        assert!(pay(&[claim(1, 4_000, 0), debt]).is_empty());
    }

    #[test]
    fn what_was_paid_of_a_claim_that_went_elsewhere_is_a_debt() {
        let owed = OwedClaim {
            claim: EventId::new(1),
            names: vec![EventId::new(1), EventId::new(2)],
            payable_at: AS_OF.plus_days(-1),
            owed: Minor::new(10_000),
        };
        let items = [
            (EventId::new(2), Minor::new(1_000)),
            (EventId::new(9), Minor::new(2_500)),
        ];
        assert_eq!(
            matured(&balances(&[owed], &items), AS_OF),
            Minor::new(6_500)
        );
    }

    #[test]
    fn below_the_minimum_nothing_is_paid() {
        assert!(allocate(&[claim(1, 4_999, 0)], AS_OF, Currency::INR, limits(5_000)).is_empty());
    }

    #[test]
    fn a_clawback_cancels_the_newest_queued_payout_that_stands_on_it() {
        let queued = |number: u128, days, claim, amount| QueuedPayout {
            payout_id: PayoutId::new(uuid::Uuid::from_u128(number)),
            as_of: AS_OF.plus_days(days),
            items: vec![(EventId::new(claim), Minor::new(amount))],
        };
        let all = [
            queued(1, 0, 1, 5_000),
            queued(2, 1, 1, 3_000),
            queued(3, 1, 2, 1_000),
        ];
        let cancelled = to_cancel(&[claim(1, 6_000, 8_000), claim(2, 1_000, 1_000)], &all);
        assert_eq!(cancelled, BTreeSet::from([all[1].payout_id]));
        // What the newest gives back is just what is missing: the older one stays.
        let exactly = to_cancel(&[claim(1, 5_000, 8_000)], &all);
        assert_eq!(exactly, BTreeSet::from([all[1].payout_id]));
        let both = to_cancel(&[claim(1, 0, 8_000)], &all);
        assert_eq!(both, BTreeSet::from([all[0].payout_id, all[1].payout_id]));
    }

    #[test]
    fn only_what_was_given_up_gives_its_items_back() {
        for state in PayoutState::ALL {
            assert_eq!(state.allocates(), state != PayoutState::Cancelled);
            let named = serde_json::from_value::<PayoutStep>(state.name().into());
            assert_eq!(named.is_err(), state == PayoutState::Queued, "{state:?}");
        }
    }

    #[test]
    fn a_card_that_exists_exists_and_what_was_sent_is_not_cancelled() {
        use PayoutStep as Step;
        let steps = |steps: &[Step]| {
            steps
                .iter()
                .fold(PayoutState::Queued, |state, step| state.after(*step))
        };
        assert_eq!(
            steps(&[Step::Sending, Step::Cancelled]),
            PayoutState::Sending
        );
        assert_eq!(
            steps(&[Step::Cancelled, Step::Sending]),
            PayoutState::Cancelled
        );
        assert_eq!(
            steps(&[Step::Sending, Step::ErrorSoft, Step::Sending]),
            PayoutState::Sending
        );
        assert_eq!(
            steps(&[Step::Sending, Step::Funded, Step::ErrorHard]),
            PayoutState::Funded
        );
    }

    proptest! {
        #[test]
        fn cards_pay_at_most_the_balance_and_items_sum_to_them(
            owed in prop::collection::vec((0_i64..3_000_000, 0_i64..200_000), 0..12)
        ) {
            let claims: Vec<_> = owed
                .iter()
                .zip(1..)
                .map(|((owed, allocated), number)| claim(number, *owed, *allocated))
                .collect();
            let cards = pay(&claims);
            let total: Minor = cards.iter().map(|card| card.amount).sum();
            let balance = matured(&claims, AS_OF);
            prop_assert!(total <= balance.max(Minor::ZERO));
            prop_assert!(balance.get() < 100 || balance.get() - total.get() < 100);
            let mut taken: BTreeMap<EventId, Minor> = BTreeMap::new();
            for card in &cards {
                let items: Minor = card.items.iter().map(|(_, amount)| *amount).sum();
                prop_assert_eq!(items, card.amount);
                prop_assert!(card.amount.get() % 100 == 0 && card.amount.get() <= 1_000_000);
                for (claim, amount) in &card.items {
                    *taken.entry(*claim).or_default() += *amount;
                }
            }
            for claim in &claims {
                prop_assert!(taken.get(&claim.claim).is_none_or(|taken| *taken <= claim.open()));
            }
        }
    }
}
