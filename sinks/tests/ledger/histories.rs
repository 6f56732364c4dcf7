//! Random histories: reports of few clicks, users, orders, goals and conversions, so that they
//! collide; heals that compete; commands; payouts and their steps, as another ledger made them.

use std::ops::Range;

use proptest::prelude::*;
use rand::{RngExt, SeedableRng, rngs::StdRng, seq::SliceRandom};
use schemas::{
    Amount, Currency, EventId, PayoutId, Position, Timestamp, Topic,
    events::{
        Command, CommandBody, CommissionRule, CommissionRules, Correct, Decision, GoalRate, Heal,
        HealAuthor, NetworkStatus, PayoutItem, PayoutRequested, PayoutResult, PayoutStep, Rate,
        RateOrigin, ReportSource, ReviewClaim, RuleApplication, Split, Target, Terms, Verdict,
    },
};
use uuid::Uuid;

use super::records::{Logged, T0, click, decision, fields, matched, tenant, user};

prop_compose! {
    fn any_report(number: i64)(
        txn in prop::option::of(prop::sample::select(vec!["A", "B"])),
        goal in prop::option::weighted(0.3, prop::sample::select(vec!["g", "h"])),
        conversion in prop::option::weighted(0.2, prop::sample::select(vec!["c1", "c2"])),
        status in prop::option::weighted(0.9, prop::sample::select(vec![
            NetworkStatus::Pending, NetworkStatus::Approved, NetworkStatus::Approved,
            NetworkStatus::Cancelled, NetworkStatus::Rejected, NetworkStatus::Unknown,
        ])),
        sale in prop::option::weighted(0.9, prop::sample::select(vec!["100", "200.05", "0"])),
        received_day in 0_i32..70,
        late_days in prop_oneof![5 => Just(0), 1 => 1_i32..40],
        converted_day in prop::option::weighted(0.3, 0_i32..40),
        snapshot in prop::option::weighted(0.2, 0_i32..70),
        locked_day in prop::option::weighted(0.15, 0_i32..70),
    ) -> Decision {
        let mut report = decision(number);
        report.received_at = T0.plus_days(received_day).plus_millis(number);
        report.appended_at = report.received_at.plus_days(late_days).plus_millis(1);
        if let Some(day) = snapshot {
            report.report_source = ReportSource::Csv;
            report.as_of = Some(T0.plus_days(day));
        }
        matched(&mut report).books_locked_before = locked_day.map(|day| T0.plus_days(day));
        let reported = fields(&mut report);
        reported.txn_id = txn.map(str::to_owned);
        reported.goal_id = goal.map(str::to_owned);
        reported.network_conversion_id = conversion.map(str::to_owned);
        reported.status = status;
        reported.sale_amount = sale.map(|sale| sale.parse().expect("an amount"));
        reported.converted_at = converted_day.map(|day| T0.plus_days(day));
        report
    }
}

prop_compose! {
    /// A report on one of few clicks of few users (of seven to a group, which shares its orders
    /// with the next), sometimes as a heal of a parked record.
    pub fn any_decision(number: i64, groups: i64)(
        report in any_report(number),
        group in 0..groups,
        place in 1_i64..8,
        velocity_claims in 2_i32..6,
        velocity_hours in prop::sample::select(vec![4, 8, 24, 48]),
        heals in prop::option::weighted(0.25, (900_i64..903, any::<bool>())),
    ) -> Decision {
        let mut report = report;
        // Clicks 1 to 4 are one user's, hours apart; the sixth is nobody's, the seventh another
        // tenant's and a year older.
        let first_user = u128::try_from(group).expect("not negative") * 100;
        let shopper = match place {
            6 => None,
            5 => Some(first_user + 8),
            _ => Some(first_user + 9),
        };
        let reported = fields(&mut report);
        reported.txn_id = reported.txn_id.take().map(|txn| match &*txn {
            "A" => format!("A{group}"),
            _ => format!("A{}", group + 1),
        });
        let facts = matched(&mut report);
        facts.click = click(group * 7 + place, shopper);
        facts.click.clicked_at = T0.plus_millis(place * 5 * 3_600_000);
        if place == 7 {
            facts.click.clicked_at = T0.plus_days(-365);
            facts.click.tenant_id = tenant(2);
        }
        facts.rules.velocity_claims = velocity_claims;
        facts.rules.velocity_hours = velocity_hours;
        rate_by_goal_and_amount(&mut facts.terms);
        let click = facts.click.clone();
        // As in life: else all would wait for the positions of one partition.
        let key = click.click_id.to_string();
        report.source.partition = Topic::Conversions.partition_for(key.as_bytes());
        if let Some((parked, operator)) = heals {
            report.event_id = EventId::new(parked);
            report.received_at = T0.plus_days(i32::try_from(parked - 900).expect("small"));
            report.heal = Some(Heal {
                heals: Position { topic: Topic::Conversions, partition: 1, offset: parked },
                heal_id: EventId::new(10_000 + number),
                author: if operator { HealAuthor::Operator } else { HealAuthor::Machine },
                click,
            });
        }
        report
    }
}

/// A rate of one goal, and a rule on the amount.
fn rate_by_goal_and_amount(terms: &mut Terms) {
    terms.goal_rates = vec![GoalRate {
        goal_id: "g".to_owned(),
        rate: Rate::Flat(rupees(25)),
        origin: RateOrigin::Override,
    }];
    terms.commission_rules = Some(CommissionRules {
        version: 1,
        application: RuleApplication::All,
        rules: vec![CommissionRule {
            name: "large".to_owned(),
            sale_from: Some(rupees(150)),
            multiply: Some("1.5".parse().expect("a factor")),
            bonus: Some(rupees(1)),
            ..CommissionRule::default()
        }],
    });
}

fn any_command(number: i64, reports: i64) -> impl Strategy<Value = Command> {
    let body = (1..=reports, 0..4_u8).prop_map(|(event, kind)| {
        let event_id = EventId::new(event);
        let review = |verdict| CommandBody::ReviewClaim(ReviewClaim { event_id, verdict });
        match kind {
            0 => review(Verdict::Approve),
            1 => review(Verdict::Reject),
            2 => CommandBody::Correct(Correct {
                event_id,
                target: None,
            }),
            _ => {
                let split = Split {
                    commission: rupees(10),
                    user: rupees(7),
                    creator: rupees(3),
                    ..Split::default()
                };
                CommandBody::Correct(Correct {
                    event_id,
                    target: Some(Target { split }),
                })
            }
        }
    });
    body.prop_map(move |body| Command {
        command_id: EventId::new(50_000 + number),
        issued_at: T0.plus_days(i32::try_from(number).expect("small")),
        author: "operator".to_owned(),
        reason: "because".to_owned(),
        body,
    })
}

/// A payout of one or two claims to user 9, with the steps that another ledger saw.
fn any_payout(number: u128, reports: i64) -> impl Strategy<Value = Vec<Logged>> {
    let steps = prop::sample::select(vec![
        vec![],
        vec![PayoutStep::Cancelled],
        vec![PayoutStep::Sending],
        vec![PayoutStep::Sending, PayoutStep::Funded],
        vec![
            PayoutStep::Sending,
            PayoutStep::ErrorSoft,
            PayoutStep::Sending,
            PayoutStep::Funded,
        ],
    ]);
    let claims = prop::collection::btree_set(1..=reports, 1..3);
    (claims, 1_i64..9, steps).prop_map(move |(claims, units, steps)| {
        let items: Vec<_> = claims
            .into_iter()
            .map(|claim| PayoutItem {
                claim: EventId::new(claim),
                amount: rupees(units),
            })
            .collect();
        let total = i64::try_from(items.len()).expect("small") * units;
        let payout_id = payout_id(number);
        let payout = PayoutRequested {
            payout_id,
            tenant_id: tenant(1),
            user_id: user(9),
            currency: Currency::INR,
            amount: rupees(total),
            as_of: T0.plus_days(90),
            method: "agcod".to_owned(),
            creation_request_id: format!("Awssb{number}"),
            request: b"{}".to_vec(),
            items,
        };
        let steps = steps.into_iter().map(|step| {
            Logged::Step(PayoutResult {
                payout_id,
                step,
                at: T0.plus_days(91),
                attempt: 1,
                detail: None,
                card_id: None,
            })
        });
        [Logged::Payout(payout)].into_iter().chain(steps).collect()
    })
}

pub fn payout_id(number: u128) -> PayoutId {
    PayoutId::new(Uuid::from_u128(number))
}

pub fn rupees(count: i64) -> Amount {
    Amount::from_micros(count * 1_000_000)
}

/// A history of so many reports on so many groups of clicks, with commands and payouts.
pub fn any_history(
    reports: Range<i64>,
    groups: i64,
    payouts_max: u128,
) -> impl Strategy<Value = Vec<Logged>> {
    let sizes = (reports, 0_i64..3, 0..=payouts_max);
    sizes.prop_flat_map(move |(reports, commands, payouts)| {
        let reported: Vec<_> = (1..=reports)
            .map(|number| any_decision(number, groups))
            .collect();
        let commanded: Vec<_> = (1..=commands)
            .map(|number| any_command(number, reports))
            .collect();
        let paid: Vec<_> = (1..=payouts)
            .map(|number| any_payout(number, reports))
            .collect();
        (reported, commanded, paid).prop_map(|(reported, commanded, paid)| {
            reported
                .into_iter()
                .map(Logged::from)
                .chain(commanded.into_iter().map(Logged::Command))
                .chain(paid.into_iter().flatten())
                .collect()
        })
    })
}

/// The history in another order, with some records repeated. The steps of a payout keep theirs,
/// as they do in the partition that they share.
pub fn shuffled(history: &[Logged], seed: u64) -> Vec<Logged> {
    let mut dice = StdRng::seed_from_u64(seed);
    let mut order = history.to_vec();
    let steps = |logged: &Logged| matches!(logged, Logged::Step(_));
    let again = history.iter().filter(|logged| !steps(logged));
    order.extend(again.filter(|_| dice.random_bool(0.3)).cloned());
    order.shuffle(&mut dice);
    let mut in_order = history.iter().filter(|logged| steps(logged));
    for slot in order.iter_mut().filter(|logged| steps(logged)) {
        *slot = in_order
            .next()
            .expect("as many steps as there were")
            .clone();
    }
    order
}

/// When a record came to stand in the log of the ledger that lived through it.
pub fn appended_at(logged: &Logged) -> Timestamp {
    match logged {
        Logged::Click(click) => click.received_at,
        Logged::Decision(decision) => decision.appended_at,
        Logged::Command(command) => command.issued_at,
        Logged::Payout(payout) => payout.as_of,
        Logged::Step(step) => step.at,
    }
}
