//! What holds of every script.

use proptest::prelude::*;
use schemas::Timestamp;

use super::{START, perfect};
use crate::demo::{
    oracle::{expect, judgement::Standing},
    world::{Script, coin::Coin},
};

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    #[test]
    fn the_books_balance_and_every_postback_has_one_fate(
        seed: u64, conversions in 1_usize..2_500
    ) {
        let script = Script::write(seed, conversions, Timestamp::from_millis(START));
        let expected = expect(&script, &perfect(&script));
        prop_assert_eq!(expected.fates.accepted(), conversions as u64);
        let opened = expected.fates.ledgered + expected.fates.duplicates;
        prop_assert_eq!(opened, expected.claims.len() as u64);
        for claim in &expected.claims {
            let parts = claim.parts;
            prop_assert_eq!(
                parts.user + parts.creator + parts.fee,
                parts.commission + parts.subsidy
            );
            prop_assert!(parts.user >= 0 && parts.creator >= 0 && parts.fee >= 0);
        }
        for coin in Coin::ALL {
            let of_coin = expected.balances.iter().filter(|((_, _, other), _)| *other == coin);
            prop_assert_eq!(of_coin.map(|(_, minor)| minor).sum::<i128>(), 0);
            let paid: i128 = expected.claims.iter().filter(|claim| claim.coin == coin)
                .map(|claim| claim.paid).sum();
            let cards = expected.cards.iter().filter(|card| card.coin == coin);
            prop_assert_eq!(paid, cards.map(|card| card.minor).sum::<i128>());
        }
    }

    /// Ordinary shoppers never meet the velocity rule, whose outcome then rests on the stories.
    #[test]
    fn every_standing_comes_about(seed: u64) {
        let script = Script::write(seed, 2_500, Timestamp::from_millis(START));
        let expected = expect(&script, &perfect(&script));
        for standing in Standing::ALL {
            let found = expected.claims.iter().any(|claim| claim.standing == standing);
            prop_assert!(found, "{:?}", standing);
        }
        let debts = expected.payees.values().filter(|minor| **minor < 0).count();
        prop_assert!(debts > 0);
        prop_assert!(expected.cards.iter().any(|card| card.run == 0));
        prop_assert!(expected.cards.iter().any(|card| card.run == 1));
    }

    #[test]
    fn claims_can_be_told_apart(seed: u64) {
        let script = Script::write(seed, 2_500, Timestamp::from_millis(START));
        let expected = expect(&script, &perfect(&script));
        let mut keys: Vec<_> = expected.claims.iter().map(|claim| &claim.key).collect();
        keys.sort_unstable();
        let count = keys.len();
        keys.dedup();
        prop_assert_eq!(keys.len(), count);
    }
}
