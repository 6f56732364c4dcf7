//! Balances, cards and the life of a payout, case by case.

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
        whole_units: true,
        transfer_min: Minor::new(1),
        transfer_max: Minor::new(1_000_000),
    }
}

fn pay(claims: &[ClaimBalance]) -> Vec<Transfer> {
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
        [Transfer {
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
    assert_eq!(cards, [Transfer { amount, items }]);
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
        transfer_max: Minor::new(99),
        ..limits(100)
    };
    assert!(allocate(&[claim(1, 10_000, 0)], AS_OF, Currency::INR, limits).is_empty());
}

#[test]
fn a_rail_that_takes_parts_of_a_unit_pays_them_too() {
    let limits = Limits {
        whole_units: false,
        ..limits(100)
    };
    let transfers = allocate(&[claim(1, 1_000_050, 0)], AS_OF, Currency::INR, limits);
    let amounts: Vec<_> = transfers.iter().map(|one| one.amount.get()).collect();
    assert_eq!(amounts, [1_000_000, 50]);
}

#[test]
fn what_is_less_than_the_rail_transfers_stays() {
    let limits = Limits {
        transfer_min: Minor::new(5_000),
        ..limits(100)
    };
    let amounts = |balance| -> Vec<i64> {
        let transfers = allocate(&[claim(1, balance, 0)], AS_OF, Currency::INR, limits);
        transfers.iter().map(|one| one.amount.get()).collect()
    };
    assert_eq!(amounts(4_900), [0; 0]);
    assert_eq!(amounts(5_000), [5_000]);
    assert_eq!(amounts(1_004_900), [1_000_000]);
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
