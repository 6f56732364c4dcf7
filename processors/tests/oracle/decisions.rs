//! What the stage writes for one report against what the oracle makes of the reference data.

use processors::rules::{attribution::LookedUp, decide::decide};
use proptest::{option::weighted, prelude::*, sample::select};
use schemas::{
    EventId, NetworkId, Position, Timestamp, Topic,
    events::{
        ClickFacts, CommissionRules, ConversionReported, GoalRate, Matched, Outcome, Rate,
        RateOrigin, RawReport, ReportSource, Reported, Terms,
    },
    reference::ReferenceData,
    token::TokenKeys,
};

use crate::{
    choices::fields,
    drawn_reference::{CLICKED, drawn_click, drawn_reference, reported_currency},
    folding::{self, foreign},
    logbook::Logbook,
    plain::{DAY, report},
    pricing::{Facts, Parts, price},
    records::at,
    terms,
};

/// A report about the click of these tests.
fn reported() -> impl Strategy<Value = Reported> {
    let beside = vec![-1, 0, 1, 4_999, 5_000, 5_001, DAY, 30 * DAY];
    let converted = select(beside).prop_map(|after| at(CLICKED + after));
    let goal = weighted(0.6, select(vec!["g1", "g2", "g3", "g4"]));
    let country = weighted(0.5, Just("IN".parse().expect("a country")));
    (
        fields(),
        weighted(0.6, converted),
        goal,
        reported_currency(),
        country,
    )
        .prop_map(|(fields, converted_at, goal, currency, country)| Reported {
            converted_at,
            goal_id: goal.map(str::to_owned),
            currency,
            country,
            ..fields
        })
}

fn received() -> impl Strategy<Value = Timestamp> {
    select(vec![0, 1, -1, 4_999, 5_000, DAY, -DAY]).prop_map(|after| at(CLICKED + after))
}

/// What the stage decides on a report of a click that was looked up.
pub fn decided(
    click: &ClickFacts,
    said: &Reported,
    received_at: Timestamp,
    appended_at: Timestamp,
    data: &ReferenceData,
) -> Matched {
    let record = ConversionReported {
        event_id: EventId::new(1),
        received_at,
        source: ReportSource::Postback,
        as_of: None,
        network_id: NetworkId::new(1),
        tenant_id: None,
        click_id: None,
        raw: RawReport {
            bytes: Vec::new(),
            content_type: "query".to_owned(),
            sha256: String::new(),
            truncated: false,
        },
        reported: Some(said.clone()),
        malformed: None,
        heal: None,
    };
    let position = Position {
        topic: Topic::Conversions,
        partition: 0,
        offset: 0,
    };
    let keys = TokenKeys::new(&[(1, [7; 32])]).expect("one key");
    let looked_up = LookedUp::Click(click.clone());
    let decision = decide(position, appended_at, &record, looked_up, data, &keys);
    match decision.outcome {
        Outcome::Matched(matched) => *matched,
        other @ (Outcome::Unmatched(_) | Outcome::Ignored(_) | Outcome::Poisoned(_)) => {
            panic!("the click is known, and yet: {other:?}")
        }
    }
}

/// The rate that terms name for a goal.
fn rate_for(terms: &Terms, goal: Option<&str>) -> (Rate, RateOrigin) {
    let own = terms
        .goal_rates
        .iter()
        .find(|rate| Some(rate.goal_id.as_str()) == goal);
    own.map_or((terms.commission, terms.rate_origin), |rate| {
        (rate.rate, rate.origin)
    })
}

/// The oracle's terms, whole.
pub fn expected_terms(data: &ReferenceData, click: &ClickFacts) -> Terms {
    let rates = terms::rates(data, click.tenant_id, click.offer_id, click.clicked_at);
    let rules = terms::rules(data, click.tenant_id, click.offer_id, click.clicked_at);
    let of_goal = |(goal, (rate, origin)): (Option<String>, (Rate, RateOrigin))| {
        Some(GoalRate {
            goal_id: goal?,
            rate,
            origin,
        })
    };
    Terms {
        goal_rates: rates.into_iter().filter_map(of_goal).collect(),
        commission_rules: rules.map(|(version, application, rules)| CommissionRules {
            version,
            application,
            rules,
        }),
        ..terms::plain_terms(data, click)
    }
}

/// The oracle's split of a report that stands alone.
fn expected_split(
    terms: &Terms,
    click: &ClickFacts,
    said: &Reported,
    at: Timestamp,
) -> Option<Parts> {
    let mut alone = report(1, click.clone(), 0, said.clone());
    crate::plain::found(&mut alone, |matched| matched.terms = terms.clone());
    alone.received_at = at;
    let decisions = [alone];
    let book = Logbook::new(&decisions, &[]);
    let reports = book.in_force(crate::logbook::END);
    let facts = Facts {
        sale: said.sale_amount,
        payout: said.payout,
        foreign: reports.iter().any(foreign),
        goal: said.goal_id.clone(),
        converted_at: folding::converted_at(&reports).0,
    };
    price(terms, &facts).parts
}

proptest! {
    #[test]
    fn the_stage_writes_what_the_oracle_says(
        data in drawn_reference(),
        click in drawn_click(),
        said in reported(),
        received_at in received(),
        appended_at in received(),
    ) {
        let found = decided(&click, &said, received_at, appended_at, &data);
        let expected = expected_terms(&data, &click);
        for goal in [None, Some("g1"), Some("g2"), Some("g3"), Some("g4")] {
            prop_assert_eq!(rate_for(&found.terms, goal), rate_for(&expected, goal), "{:?}", goal);
        }
        let rates_aside = |terms: &Terms| Terms { goal_rates: Vec::new(), ..terms.clone() };
        prop_assert_eq!(rates_aside(&found.terms), rates_aside(&expected));
        let split = expected_split(&expected, &click, &said, received_at);
        prop_assert_eq!(found.split.as_ref().map(Parts::recorded), split);
        let rules = terms::fraud_rules(&data, click.tenant_id, received_at);
        prop_assert_eq!(found.rules, rules);
        prop_assert_eq!(found.score, terms::score(&data, &click, &said, received_at));
        prop_assert_eq!(found.self_purchase, terms::self_purchase(&data, &click));
        let lock = data.locks.get(&click.tenant_id).and_then(|lock| lock.in_force(appended_at));
        prop_assert_eq!(found.books_locked_before, lock.map(|lock| lock.value));
    }
}
