//! Who owns an order (design section 5, duplicate order; specification section 10, rule 3).
//!
//! A pure fold over the claimants of an order, ranked by their first report's (`received_at`,
//! `event_id`): the first owns; those within the rule's days of the owner are duplicates; the
//! first beyond begins a new ownership. A claim that is closed keeps the standing that it had
//! when it closed; who ranks before a closed owner goes to a person.

use std::collections::BTreeMap;

use schemas::{Days, EventId, Timestamp, events::DuplicatePolicy};

use super::lifecycle::OrderStanding;

/// A claim on an order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Claimant {
    /// The claim's name.
    pub name: EventId,
    /// When its first report was received.
    pub received_at: Timestamp,
    /// What the offer says of a second claim.
    pub policy: DuplicatePolicy,
    /// How long an order stays owned.
    pub duplicate_days: Days,
    /// The standing that it had when it closed; absent while it is open.
    pub frozen: Option<OrderStanding>,
}

impl Claimant {
    /// Whether it came within its own days after another.
    fn follows_within_its_days(&self, earlier: &Self) -> bool {
        self.received_at < earlier.received_at.plus_days(self.duplicate_days)
    }
}

/// The standing of each claimant, by name.
pub fn standings(claimants: &[Claimant]) -> BTreeMap<EventId, OrderStanding> {
    let mut ranked = claimants.to_vec();
    ranked.sort_by_key(|claimant| (claimant.received_at, claimant.name));
    let mut owner: Option<Claimant> = None;
    let mut standings = BTreeMap::new();
    for (index, claimant) in ranked.iter().enumerate() {
        let standing = match claimant.frozen {
            Some(frozen) => frozen,
            None => standing(claimant, owner.as_ref(), &ranked[index + 1..]),
        };
        match standing {
            OrderStanding::Owner => owner = Some(*claimant),
            OrderStanding::Duplicate { .. } | OrderStanding::OwnedByClosed { .. } => {}
        }
        standings.insert(claimant.name, standing);
    }
    standings
}

fn standing(claimant: &Claimant, owner: Option<&Claimant>, after: &[Claimant]) -> OrderStanding {
    match claimant.policy {
        DuplicatePolicy::Accept => return OrderStanding::Owner,
        DuplicatePolicy::Reject => {}
    }
    if let Some(owner) = owner.filter(|owner| claimant.follows_within_its_days(owner)) {
        return OrderStanding::Duplicate { owner: owner.name };
    }
    // One that closed as the owner is in the way if it would be this one's duplicate by its own
    // terms: then, and only then, this one couldn't have been an owner beside it.
    let closed_owner = after.iter().find(|later| {
        later.frozen == Some(OrderStanding::Owner)
            && later.policy == DuplicatePolicy::Reject
            && later.follows_within_its_days(claimant)
    });
    match closed_owner {
        Some(closed) => OrderStanding::OwnedByClosed { owner: closed.name },
        None => OrderStanding::Owner,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn claimant(name: i64, day: i32) -> Claimant {
        Claimant {
            name: EventId::new(name),
            received_at: Timestamp::from_millis(1_790_000_000_000).plus_days(day),
            policy: DuplicatePolicy::Reject,
            duplicate_days: 30,
            frozen: None,
        }
    }

    fn of(claimants: &[Claimant]) -> Vec<OrderStanding> {
        standings(claimants).into_values().collect()
    }

    const OWNER: OrderStanding = OrderStanding::Owner;
    const fn duplicate_of(owner: i64) -> OrderStanding {
        OrderStanding::Duplicate {
            owner: EventId::new(owner),
        }
    }

    #[test]
    fn three_claimants_over_40_days() {
        let all = [claimant(1, 0), claimant(2, 20), claimant(3, 40)];
        assert_eq!(of(&all), [OWNER, duplicate_of(1), OWNER]);
        let reversed: Vec<_> = all.iter().rev().copied().collect();
        assert_eq!(of(&reversed), [OWNER, duplicate_of(1), OWNER]);
    }

    #[test]
    fn the_thirtieth_day_is_beyond() {
        let mut edge = claimant(2, 30);
        assert_eq!(of(&[claimant(1, 0), edge]), [OWNER, OWNER]);
        edge.received_at = edge.received_at.plus_millis(-1);
        assert_eq!(of(&[claimant(1, 0), edge]), [OWNER, duplicate_of(1)]);
    }

    #[test]
    fn who_ranks_before_a_closed_owner_goes_to_a_person() {
        let closed = Claimant {
            frozen: Some(OWNER),
            ..claimant(2, 5)
        };
        let owned = OrderStanding::OwnedByClosed {
            owner: EventId::new(2),
        };
        assert_eq!(of(&[claimant(1, 0), closed]), [owned, OWNER]);
        assert_eq!(of(&[closed, claimant(3, 6)]), [OWNER, duplicate_of(2)]);
    }

    #[test]
    fn a_closed_owner_that_would_be_no_duplicate_is_in_nobodys_way() {
        let closed = |duplicate_days, policy| Claimant {
            frozen: Some(OWNER),
            duplicate_days,
            policy,
            ..claimant(2, 5)
        };
        let earlier = claimant(1, 0);
        let by_other_days = [earlier, closed(5, DuplicatePolicy::Reject)];
        assert_eq!(of(&by_other_days), [OWNER, OWNER]);
        let by_policy = [earlier, closed(30, DuplicatePolicy::Accept)];
        assert_eq!(of(&by_policy), [OWNER, OWNER]);
    }

    #[test]
    fn an_offer_may_accept_a_second_claim() {
        let second = Claimant {
            policy: DuplicatePolicy::Accept,
            ..claimant(2, 1)
        };
        assert_eq!(of(&[claimant(1, 0), second]), [OWNER, OWNER]);
    }
}
