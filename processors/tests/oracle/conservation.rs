//! Money conserves to the minor unit, over every kind of rate, rule, share, fee, subsidy and
//! currency; and each part is what exact fractions make of it.
//!
//! `CONSERVATION_CASES` sets how many cases there are; two million were run in release.

use processors::rules::{rating, split};
use rand::{RngExt, SeedableRng, rngs::StdRng};
use schemas::{
    Amount, Currency, Percentage,
    events::{
        CommissionRule, CommissionRules, CommissionSource, GoalRate, PayoutMeans, Rate, RateOrigin,
        Replacement, RuleApplication, Terms,
    },
};

use crate::{
    fraction::Fraction,
    plain::terms,
    pricing::{Facts, Parts, places, price},
    records::{BASE, at},
};

const CASES_BY_DEFAULT: usize = 100_000;

/// Draws amounts of every size: each has as many digits as any other number of digits.
fn any_amount(random: &mut StdRng, most_micros: i64) -> Amount {
    let digits: u32 = random.random_range(0..19);
    let limit = most_micros.min(10_i64.pow(digits.min(18)));
    let micros = random.random_range(0..=limit);
    // Round sums are what people sell for, and what ties are made of.
    let unit = [1, 10_000, 5_000, 1_000_000][random.random_range(0..4_usize)];
    Amount::from_micros(micros / unit * unit)
}

fn any_percentage(random: &mut StdRng) -> Percentage {
    let hundredths = match random.random_range(0..6) {
        0 => 0,
        1 => 10_000,
        2 => 5_000,
        _ => random.random_range(0..=10_000),
    };
    Percentage::from_hundredths(hundredths).expect("within 0 to 100")
}

fn any_rate(random: &mut StdRng) -> Rate {
    if random.random_bool(0.7) {
        Rate::Percentage(any_percentage(random))
    } else {
        Rate::Flat(any_amount(random, 10_i64.pow(11)))
    }
}

fn maybe<T>(random: &mut StdRng, share: f64, draw: impl FnOnce(&mut StdRng) -> T) -> Option<T> {
    random.random_bool(share).then(|| draw(random))
}

fn any_rule(random: &mut StdRng, number: usize) -> CommissionRule {
    CommissionRule {
        name: format!("rule {number}"),
        goals: maybe(random, 0.2, |_| "g1".to_owned())
            .into_iter()
            .collect(),
        sale_from: maybe(random, 0.3, |random| any_amount(random, 10_i64.pow(12))),
        sale_below: maybe(random, 0.3, |random| any_amount(random, 10_i64.pow(14))),
        replace: maybe(random, 0.4, any_rate).map(|rate| Replacement { rate }),
        multiply: maybe(random, 0.4, |random| any_amount(random, 3_000_000)),
        bonus: maybe(random, 0.4, |random| any_amount(random, 10_i64.pow(9))),
        ..CommissionRule::default()
    }
}

fn any_terms(random: &mut StdRng, currencies: &[Currency]) -> Terms {
    let payout = random.random_bool(0.3);
    let per_cent = random.random_bool(0.3);
    let goal_rates = maybe(random, 0.2, any_rate).map(|rate| GoalRate {
        goal_id: "g1".to_owned(),
        rate,
        origin: RateOrigin::Offer,
    });
    let rules = maybe(random, 0.4, |random| CommissionRules {
        version: 1,
        application: if random.random_bool(0.5) {
            RuleApplication::First
        } else {
            RuleApplication::All
        },
        rules: (0..random.random_range(1..4))
            .map(|number| any_rule(random, number))
            .collect(),
    });
    Terms {
        currency: currencies[random.random_range(0..currencies.len())],
        commission_source: if payout {
            CommissionSource::Payout
        } else {
            CommissionSource::Percentage
        },
        commission: any_rate(random),
        goal_rates: goal_rates.into_iter().collect(),
        commission_rules: rules,
        payout_means: if per_cent {
            PayoutMeans::Percentage
        } else {
            PayoutMeans::Amount
        },
        user_share: any_percentage(random),
        platform_fee: any_percentage(random),
        platform_fee_flat: any_amount(random, 10_i64.pow(8)),
        subsidy: any_amount(random, 10_i64.pow(8)),
        ..terms()
    }
}

/// What the rules make of a sale; `None` where there is no commission.
fn by_the_rules(terms: &Terms, facts: &Facts) -> Option<split::Parts> {
    let sale = rating::Sale {
        amount: facts.sale,
        payout: facts.payout,
        goal_id: facts.goal.as_deref(),
        converted_at: at(0),
    };
    let rating = rating::rate(terms, sale).expect("these sums are in range");
    let commission = rating.commission?;
    Some(split::split(terms, commission).expect("these sums are in range"))
}

/// Checks a case; tells what it was worth.
fn check(terms: &Terms, facts: &Facts, seed: &str) -> i64 {
    let expected = price(terms, facts).parts;
    let Some(parts) = by_the_rules(terms, facts) else {
        assert_eq!(expected, None, "{seed}: {facts:?} {terms:?}");
        return 0;
    };
    let split::Parts {
        commission,
        subsidy,
        fee,
        user,
        creator,
    } = parts;
    let [commission, subsidy, fee, user, creator] =
        [commission, subsidy, fee, user, creator].map(schemas::Minor::get);
    let owed = user + creator + fee;
    assert_eq!(
        owed,
        commission + subsidy,
        "{seed}: {facts:?} {terms:?} {parts:?}"
    );
    let least = [commission, subsidy, fee, user, creator].into_iter().min();
    assert!(least >= Some(0), "{seed}: {facts:?} {terms:?} {parts:?}");
    let scale = 10_i64.pow(places(terms.currency));
    let units = |minor: i64| Fraction::ratio(minor, scale);
    let found = Parts {
        commission: units(commission),
        subsidy: units(subsidy),
        fee: units(fee),
        user: units(user),
        creator: units(creator),
    };
    assert_eq!(Some(found), expected, "{seed}: {facts:?} {terms:?}");
    owed
}

#[test]
fn nothing_is_lost_or_made_in_a_split() {
    let cases = std::env::var("CONSERVATION_CASES")
        .ok()
        .map_or(CASES_BY_DEFAULT, |cases| {
            cases.parse().expect("a number of cases")
        });
    let currencies = ["INR", "USD", "JPY", "KWD"].map(|code| code.parse().expect("a currency"));
    let seed = 20_261_120;
    let mut random = StdRng::seed_from_u64(seed);
    let mut owed = 0_usize;
    for case in 0..cases {
        let terms = any_terms(&mut random, &currencies);
        let facts = Facts {
            sale: maybe(&mut random, 0.9, |random| {
                any_amount(random, 10_i64.pow(18))
            }),
            payout: maybe(&mut random, 0.5, |random| any_amount(random, 10_i64.pow(8))),
            goal: maybe(&mut random, 0.3, |_| "g1".to_owned()),
            foreign: false,
            converted_at: BASE,
        };
        owed += usize::from(check(&terms, &facts, &format!("seed {seed}, case {case}")) > 0);
    }
    assert!(
        owed > cases / 2,
        "only {owed} of {cases} cases are worth anything"
    );
}
