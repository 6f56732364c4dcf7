//! How many claims a user makes in a day (design section 5, velocity; specification section 10,
//! rule 2).
//!
//! A function of the set: a user's 5th and later claim whose *clicks* fall within 24 hours goes to
//! review. The click's time is the one time on which every source agrees. One claim per order,
//! duplicates not counted, whatever the network's status.

use std::collections::BTreeSet;

use schemas::{ClickId, EventId, Timestamp, events::FraudRules};

/// A claim of the user, as velocity sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UserClaim {
    /// The click's time.
    pub clicked_at: Timestamp,
    /// The click.
    pub click_id: ClickId,
    /// The claim's name.
    pub name: EventId,
    /// Its order, where it names one: claims on one order count once.
    pub order: Option<(super::history::OrderKey, Option<String>)>,
}

const MILLIS_PER_HOUR: i64 = 3_600_000;

/// The longest window that rules may have: a claim has none to look for beyond it.
pub const HOURS_MAX: i32 = 720;

/// How many claims of the user there are within the rule's hours up to `claim`, where that is the
/// rule's 5th or a later one. `others` are the user's other claims that are no duplicates.
pub fn exceeded(claim: &UserClaim, others: &[UserClaim], rules: &FraudRules) -> Option<i32> {
    let place = |claim: &UserClaim| (claim.clicked_at, claim.click_id, claim.name);
    let since = claim
        .clicked_at
        .plus_millis(-i64::from(rules.velocity_hours) * MILLIS_PER_HOUR);
    let mut orders = BTreeSet::new();
    let mut count: i32 = 1;
    for other in others {
        let counts = other.clicked_at > since
            && place(other) < place(claim)
            && (other.order.is_none() || other.order != claim.order);
        if counts
            && other
                .order
                .as_ref()
                .is_none_or(|order| orders.insert(order))
        {
            count += 1;
        }
    }
    (count >= rules.velocity_claims).then_some(count)
}

/// Whether any of a user's claims may be one too many where all rules look at one from `claims`
/// claims on, or later, by the number of the reports alone. A claim has at least one, however the
/// reports were grouped at any time, so of fewer [`exceeded`] says nothing, whatever they say.
pub const fn possible(reports: i64, claims: i32) -> bool {
    reports >= claims as i64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn claim(number: i64, hours: i64) -> UserClaim {
        UserClaim {
            clicked_at: Timestamp::from_millis(1_790_000_000_000 + hours * MILLIS_PER_HOUR),
            click_id: ClickId::new(number),
            name: EventId::new(number),
            order: None,
        }
    }

    fn flagged(claims: &[UserClaim]) -> Vec<bool> {
        let rules = FraudRules::default();
        claims
            .iter()
            .map(|one| {
                let others: Vec<_> = claims
                    .iter()
                    .filter(|other| *other != one)
                    .cloned()
                    .collect();
                exceeded(one, &others, &rules).is_some()
            })
            .collect()
    }

    #[test]
    fn the_fifth_and_later_within_24_hours_are_flagged() {
        let claims: Vec<_> = (0..6).map(|number| claim(number + 1, number)).collect();
        assert_eq!(flagged(&claims), [false, false, false, false, true, true]);
    }

    #[test]
    fn what_is_flagged_was_possible_by_the_number_of_reports() {
        let threshold = FraudRules::default().velocity_claims;
        for number in 0..8 {
            let claims: Vec<_> = (0..number).map(|number| claim(number + 1, 0)).collect();
            let any = flagged(&claims).contains(&true);
            assert_eq!(any, possible(number, threshold));
        }
    }

    #[test]
    fn exactly_24_hours_is_outside() {
        let mut claims: Vec<_> = (0..4).map(|number| claim(number + 1, number)).collect();
        claims.push(claim(5, 24));
        assert!(!flagged(&claims)[4]);
        claims[4].clicked_at = claims[4].clicked_at.plus_millis(-1);
        assert!(flagged(&claims)[4]);
    }

    #[test]
    fn claims_on_one_order_count_once() {
        let key = super::super::history::OrderKey {
            network_id: schemas::NetworkId::new(1),
            offer_id: schemas::OfferId::new(1),
            txn_id: "A".to_owned(),
        };
        let mut claims: Vec<_> = (0..5).map(|number| claim(number + 1, number)).collect();
        for claim in &mut claims[..2] {
            claim.order = Some((key.clone(), None));
        }
        assert!(!flagged(&claims)[4]);
    }
}
