//! How many claims a user makes in a day (design section 5, velocity; specification section 10,
//! rule 2).
//!
//! A function of the set: a user's 5th and later claim whose *clicks* fall within 24 hours goes to
//! review. The click's time is the one time on which every source agrees. One claim per order,
//! duplicates not counted, whatever the network's status.

use std::collections::{BTreeMap, BTreeSet};

use schemas::{ClickId, EventId, Timestamp, UserId, events::FraudRules};

use super::history::{OrderKey, Report};

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
    pub order: Option<(OrderKey, Option<String>)>,
}

const MILLIS_PER_HOUR: i64 = 3_600_000;

/// The longest that rules may look back.
pub const HOURS_MAX: i32 = 720;

/// Milliseconds of so many hours.
pub const fn window_millis(hours: i32) -> i64 {
    hours as i64 * MILLIS_PER_HOUR
}

/// How many claims of the user there are within the rule's hours up to `claim`, where that is the
/// rule's 5th or a later one. `others` are the user's other claims that are no duplicates.
pub fn exceeded(claim: &UserClaim, others: &[UserClaim], rules: &FraudRules) -> Option<i32> {
    let place = |claim: &UserClaim| (claim.clicked_at, claim.click_id, claim.name);
    let since = claim
        .clicked_at
        .plus_millis(-window_millis(rules.velocity_hours));
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

/// Those claims of a user that a change on some clicks may mean something for, and how many there
/// may be. They are the claims in a stretch of clicks, since the click's time is what counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    /// The earliest of the clicks that change.
    pub from: Timestamp,
    /// The latest.
    pub to: Timestamp,
    /// How far the rules look back, at most: of the claims on these clicks, and of later ones up to
    /// [`HOURS_MAX`] after them.
    pub hours: i32,
    /// From how many claims on the rules look at one, at least.
    pub claims: i32,
    /// How many reports lie between [`Self::since`] and [`Self::until`], whatever became of them.
    pub reports: i64,
}

impl Window {
    /// When a claim's click was, at the earliest, that counts for one of those on the clicks.
    pub fn since(&self) -> Timestamp {
        self.from.plus_millis(-window_millis(self.hours))
    }

    /// When a claim's click was, at the latest, that one of those on the clicks counts for.
    pub fn until(&self) -> Timestamp {
        self.to.plus_millis(window_millis(self.hours))
    }

    /// The window among all reports of the user. A ledger with tables lets them count it; this is
    /// what it has to come to.
    #[cfg(test)]
    #[must_use]
    pub(super) fn among(mut self, reports: &[&Report]) -> Self {
        let between = |from: Timestamp, to: Timestamp| {
            reports
                .iter()
                .filter(move |report| (from..=to).contains(&report.matched.click.clicked_at))
        };
        let seen_until = self.to.plus_millis(window_millis(HOURS_MAX));
        for report in between(self.from, seen_until) {
            self.hours = self.hours.max(report.matched.rules.velocity_hours);
        }
        for report in between(self.since(), self.until()) {
            self.claims = self.claims.min(report.matched.rules.velocity_claims);
            self.reports += 1;
        }
        self
    }

    /// Whether a claim here may be one too many. It has at least one report, however they were
    /// grouped at any time: of fewer than any rule's claims [`exceeded`] says nothing.
    pub fn matters(&self) -> bool {
        self.reports >= i64::from(self.claims)
    }
}

/// The windows of the users whose clicks change, as far as the reports on these clicks tell: none
/// is counted yet, and rules of later claims may look further back.
pub fn windows<'a>(changing: impl IntoIterator<Item = &'a Report>) -> BTreeMap<UserId, Window> {
    let mut windows: BTreeMap<UserId, Window> = BTreeMap::new();
    for report in changing {
        let Some(user) = report.user_id() else {
            continue;
        };
        let at = report.matched.click.clicked_at;
        let rules = &report.matched.rules;
        let window = windows.entry(user).or_insert(Window {
            from: at,
            to: at,
            hours: rules.velocity_hours,
            claims: rules.velocity_claims,
            reports: 0,
        });
        window.from = window.from.min(at);
        window.to = window.to.max(at);
        window.hours = window.hours.max(rules.velocity_hours);
        window.claims = window.claims.min(rules.velocity_claims);
    }
    windows
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::rules::fixtures;

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
    fn exactly_24_hours_is_outside() {
        let mut claims: Vec<_> = (0..4).map(|number| claim(number + 1, number)).collect();
        claims.push(claim(5, 24));
        assert!(!flagged(&claims)[4]);
        claims[4].clicked_at = claims[4].clicked_at.plus_millis(-1);
        assert!(flagged(&claims)[4]);
    }

    #[test]
    fn claims_on_one_order_count_once() {
        let key = OrderKey {
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

    prop_compose! {
        /// A report that is a claim of its own, of the one shopper.
        fn any_report(number: i64)(
            hours in 0_i64..40,
            order in prop::option::weighted(0.3, 0_u8..3),
            velocity_claims in 1_i32..5,
            velocity_hours in 1_i32..15,
        ) -> Report {
            let mut report = fixtures::report(number).build();
            report.fields.txn_id = order.map(|order| order.to_string());
            report.matched.click.click_id = ClickId::new(number);
            report.matched.click.clicked_at = fixtures::T0.plus_millis(window_millis(1) * hours);
            report.matched.rules.velocity_claims = velocity_claims;
            report.matched.rules.velocity_hours = velocity_hours;
            report
        }
    }

    prop_compose! {
        fn any_reports()(others in 0_i64..12)(
            reports in (0..=others).map(any_report).collect::<Vec<_>>(),
        ) -> Vec<Report> {
            reports
        }
    }

    /// What velocity says of each click's claim.
    fn found<'a>(reports: impl Iterator<Item = &'a Report>) -> BTreeMap<ClickId, Option<i32>> {
        let claims: Vec<_> = reports
            .map(|report| {
                let claim = UserClaim {
                    clicked_at: report.matched.click.clicked_at,
                    click_id: report.click_id(),
                    name: report.event_id,
                    order: report.order_key().map(|key| (key, None)),
                };
                (claim, &report.matched.rules)
            })
            .collect();
        let find = |(claim, rules): &(UserClaim, &FraudRules)| {
            let others = claims.iter().map(|(other, _)| other);
            let others: Vec<_> = others.filter(|other| *other != claim).cloned().collect();
            (claim.click_id, exceeded(claim, &others, rules))
        };
        claims.iter().map(find).collect()
    }

    proptest! {
        #[test]
        fn a_window_holds_what_a_new_claim_changes_and_all_that_tells(reports in any_reports()) {
            let (new, others) = reports.split_last().expect("at least one");
            let user = new.user_id().expect("a shopper's");
            let window = windows([new])[&user].among(&reports.iter().collect::<Vec<_>>());
            let loaded = window.since()..=window.until();
            let loaded = reports
                .iter()
                .filter(|report| loaded.contains(&report.matched.click.clicked_at));

            let (before, after) = (found(others.iter()), found(reports.iter()));
            let told = found(loaded);
            for report in &reports {
                let click = &report.matched.click;
                let (before, after) = (before.get(&click.click_id), after[&click.click_id]);
                if (window.from..=window.until()).contains(&click.clicked_at) {
                    prop_assert_eq!(told[&click.click_id], after);
                    prop_assert!(after.is_none() || window.matters());
                } else {
                    prop_assert_eq!(before, Some(&after));
                }
            }
        }
    }
}
