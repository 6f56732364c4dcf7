//! The rules' whole fold against the oracle, over random sets of records.

use std::collections::{BTreeMap, BTreeSet};

use processors::rules::{
    fold,
    history::{HealClaim, Report, superseded_at},
    lifecycle::ClaimState,
    postings, settlement, split,
};
use proptest::{
    prelude::*,
    strategy::ValueTree,
    test_runner::{Config, RngAlgorithm, TestRng, TestRunner},
};
use schemas::{
    Minor,
    events::{Command, Decision},
};

use crate::{
    choices::drawn,
    fraction::Fraction,
    ledger::{Balances, Fate, Row, balances, ledger},
    logbook::Logbook,
    pricing::{Parts, places},
};

/// What the rules make of a set of records, by their public interface.
pub fn settled(decisions: &[Decision], commands: &[Command]) -> Vec<ClaimState> {
    let mut neighbourhood = settlement::Neighbourhood {
        commands: commands.to_vec(),
        ..settlement::Neighbourhood::default()
    };
    let heals = |of: &Decision| -> Vec<HealClaim> {
        let heal_of = |decision: &Decision| {
            let heal = decision.heal.as_ref()?;
            (Some(heal.heals) == of.heal.as_ref().map(|heal| heal.heals)).then_some(HealClaim {
                position: decision.source,
                author: heal.author,
                heal_id: heal.heal_id,
                appended_at: decision.appended_at,
            })
        };
        decisions.iter().filter_map(heal_of).collect()
    };
    for decision in decisions {
        let mut report = Report::from_decision(decision).expect("matched");
        let all = heals(decision);
        let own = all.iter().find(|heal| heal.position == decision.source);
        report.superseded_at = own.and_then(|own| superseded_at(own, &all));
        let click = report.click_id();
        neighbourhood.reports.entry(click).or_default().push(report);
    }
    let scope = settlement::Scope {
        clicks: neighbourhood.reports.keys().copied().collect(),
        ..settlement::Scope::default()
    };
    settlement::settle(&neighbourhood, &scope)
}

/// A claim's state as a row of the oracle.
pub fn as_row(state: &ClaimState) -> Row {
    let scale = 10_i64.pow(places(state.currency));
    let units = |minor: Minor| Fraction::ratio(minor.get(), scale);
    let parts = |parts: split::Parts| Parts {
        commission: units(parts.commission),
        subsidy: units(parts.subsidy),
        fee: units(parts.fee),
        user: units(parts.user),
        creator: units(parts.creator),
    };
    let fate = |fate: fold::Fate| match fate {
        fold::Fate::Ledgered => Fate::Ledgered,
        fold::Fate::Duplicate => Fate::Duplicate,
        fold::Fate::Update => Fate::Update,
        fold::Fate::Repetition => Fate::Repetition,
    };
    Row {
        name: state.name.get(),
        fates: state
            .reports
            .iter()
            .map(|report| (report.event_id.get(), fate(report.fate)))
            .collect(),
        status: state.status,
        reasons: state.reasons().collect::<BTreeSet<_>>(),
        converted_at: state.converted_at.millis(),
        payable_at: state.payable_at.millis(),
        order_owner: state.order_owner.map(schemas::EventId::get),
        network_status: state.network_status,
        sale: state.sale_amount,
        txn_id: state.txn_id.clone(),
        goal_id: state.goal_id.clone(),
        rules: state.rating.rules.clone(),
        expected: parts(state.expected),
        booked: parts(state.target),
        tenant: state.click.tenant_id,
        user: state.click.user_id,
        currency: state.currency,
    }
}

/// The rules' balances, from the postings that they would make.
fn rules_balances(states: &[ClaimState]) -> Balances {
    let mut booking = postings::Booking::new();
    for state in states {
        postings::add(&mut booking, &postings::target(state));
    }
    let lines = booking.into_iter().filter(|(_, minor)| !minor.zero());
    let balance = |(key, minor): (postings::BookKey, Minor)| {
        let scale = 10_i64.pow(places(key.currency));
        let holder = (
            key.account,
            key.tenant_id,
            key.user_id,
            key.currency.to_string(),
        );
        (holder, Fraction::ratio(minor.get(), scale))
    };
    lines.map(balance).collect()
}

/// What the property below would pass for if nothing of it were ever drawn.
#[test]
fn the_drawn_records_reach_every_status_reason_and_fate() {
    let seed = TestRng::from_seed(RngAlgorithm::ChaCha, &[1; 32]);
    let mut runner = TestRunner::new_with_rng(Config::default(), seed);
    let mut reached: BTreeMap<String, usize> = BTreeMap::new();
    for _ in 0..1_500 {
        let tree = drawn()
            .new_tree(&mut runner)
            .expect("nothing is filtered out");
        let (decisions, commands) = tree.current().records();
        for row in ledger(&Logbook::new(&decisions, &commands)).values() {
            let reasons = row.reasons.iter().map(|reason| reason.name().to_owned());
            let fates = row.fates.values().map(|fate| format!("{fate:?}"));
            let status = row.status.name().to_owned();
            for name in reasons.chain(fates).chain([status]) {
                *reached.entry(name).or_default() += 1;
            }
        }
    }
    // `paid` needs payouts, which are not drawn here.
    let missing: Vec<_> = ALL_REACHED
        .into_iter()
        .filter(|name| reached.get(*name).is_none_or(|times| *times < 5))
        .collect();
    assert!(missing.is_empty(), "too seldom: {missing:?} of {reached:?}");
}

const ALL_REACHED: [&str; 29] = [
    "Ledgered",
    "Duplicate",
    "Update",
    "Repetition",
    "pending",
    "review",
    "confirmed",
    "rejected",
    "reversed",
    "duplicate_order",
    "self_purchase",
    "outside_window",
    "network_cancelled",
    "operator_rejected",
    "operator_approved",
    "corrected",
    "score",
    "velocity",
    "ambiguous_amount",
    "ambiguous_report",
    "offer_mismatch",
    "currency_mismatch",
    "commission_above_max",
    "amount_missing",
    "order_owned_by_closed",
    "closed_flagged",
    "books_locked",
    "unknown_status",
    "time_of_receipt",
];

/// What is compared: where no split is expected, how it would have been rated isn't.
fn comparable(mut row: Row) -> Row {
    if row.expected == Parts::nothing() {
        row.rules.clear();
    }
    row
}

proptest! {
    #[test]
    fn the_rules_say_what_the_oracle_says(drawn in drawn()) {
        let (decisions, commands) = drawn.records();
        let states = settled(&decisions, &commands);
        let rules: BTreeMap<_, _> = states
            .iter()
            .map(|state| (state.name.get(), as_row(state)))
            .collect();
        let oracle = ledger(&Logbook::new(&decisions, &commands));
        let names = |rows: &BTreeMap<i64, Row>| rows.keys().copied().collect::<Vec<_>>();
        prop_assert_eq!(names(&rules), names(&oracle), "the claims' names (rules, oracle)");
        for (name, expected) in &oracle {
            let found = comparable(rules[name].clone());
            let expected = comparable(expected.clone());
            prop_assert_eq!(found, expected, "claim {} (rules, oracle)", name);
        }
        prop_assert_eq!(rules_balances(&states), balances(oracle.values()));
    }
}
