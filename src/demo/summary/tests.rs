//! The comparison finds what a broken pipeline would do.

use proptest::prelude::*;
use schemas::ClickId;

use super::*;
use crate::demo::oracle::{expect, judgement::Standing, tests::perfect};

struct Run {
    script: Script,
    record: Record,
    expected: Expected,
    actual: Actual,
}

impl Run {
    /// A run in which the product did everything right.
    fn flawless(seed: u64, conversions: usize) -> Self {
        let script = Script::write(seed, conversions, Timestamp::from_millis(1_790_000_000_000));
        let record = perfect(&script);
        let expected = expect(&script, &record);
        let actual = mirrored(&script, &expected);
        Self {
            script,
            record,
            expected,
            actual,
        }
    }

    fn differences(&self) -> Vec<String> {
        compare(&self.script, &self.record, &self.expected, &self.actual)
    }

    /// Index of a claim of which something is posted to everyone.
    fn posted(&self) -> usize {
        let posted = |claim: &ActualClaim| {
            claim.status == Standing::Confirmed.name()
                && claim.user > Decimal::ONE
                && claim.creator > Decimal::ONE
        };
        self.actual
            .claims
            .iter()
            .position(posted)
            .expect("some claim is confirmed")
    }
}

fn mirrored(script: &Script, expected: &Expected) -> Actual {
    let claims = expected.claims.iter().map(|claim| {
        let amount = |minor| figures::amount(minor, claim.coin);
        ActualClaim {
            key: claim.key.clone(),
            status: claim.standing.name().to_owned(),
            currency: claim.coin.code().to_owned(),
            commission: amount(claim.parts.commission),
            subsidy: amount(claim.parts.subsidy),
            fee: amount(claim.parts.fee),
            user: amount(claim.parts.user),
            creator: amount(claim.parts.creator),
            paid: amount(claim.paid),
            written_at: Some(SystemTime::UNIX_EPOCH + Duration::from_millis(40)),
        }
    });
    let balances = expected
        .balances
        .iter()
        .map(|((tenant_id, account, coin), minor)| ActualBalance {
            tenant_id: *tenant_id,
            account: account.name().to_owned(),
            currency: coin.code().to_owned(),
            amount: figures::amount(*minor, *coin),
        });
    let payees = expected
        .payees
        .iter()
        .map(|((tenant_id, user_id, coin), minor)| ActualPayee {
            tenant_id: *tenant_id,
            user_id: *user_id,
            currency: coin.code().to_owned(),
            amount: figures::amount(*minor, *coin),
        });
    let payouts = expected.cards.iter().map(|card| ActualPayout {
        as_of: script.runs[card.run].as_of,
        tenant_id: card.tenant_id,
        user_id: card.user_id,
        currency: card.coin.code().to_owned(),
        amount: figures::amount(card.minor, card.coin),
        state: "funded".to_owned(),
    });
    let rail_cards = expected.cards.iter().map(|card| RailCard {
        currency: card.coin.code().to_owned(),
        amount: figures::amount(card.minor, card.coin),
    });
    let analytics = Coin::ALL.iter().map(|coin| {
        let of_coin = || expected.claims.iter().filter(|claim| claim.coin == *coin);
        let sum = |part: fn(&crate::demo::oracle::money::Parts) -> i128| {
            figures::amount(of_coin().map(|claim| part(&claim.parts)).sum(), *coin)
        };
        AnalyticsSum {
            currency: coin.code().to_owned(),
            claims: of_coin().count() as u64,
            commission: sum(|parts| parts.commission),
            user: sum(|parts| parts.user),
            creator: sum(|parts| parts.creator),
            fee: sum(|parts| parts.fee),
        }
    });
    Actual {
        fates: expected.fates,
        claims: claims.collect(),
        balances: balances.collect(),
        payees: payees.collect(),
        payouts: payouts.collect(),
        rail_cards: Some(rail_cards.collect()),
        analytics: Some(analytics.collect()),
    }
}

#[test]
fn a_flawless_run_has_no_differences() {
    assert_eq!(Run::flawless(11, 1_000).differences(), Vec::<String>::new());
}

#[test]
fn a_lost_claim_is_found() {
    let mut run = Run::flawless(11, 1_000);
    let claim = run.actual.claims.remove(run.posted());
    let differences = run.differences();
    assert_eq!(differences.len(), 1, "{differences:?}");
    assert!(differences[0].contains(&claim.key.click_id.to_string()));
    assert!(differences[0].ends_with("missing"));
}

#[test]
fn a_doubled_claim_and_an_invented_one_are_found() {
    let mut run = Run::flawless(11, 1_000);
    let claim = run.actual.claims[run.posted()].clone();
    run.actual.claims.push(claim.clone());
    assert!(run.differences()[0].ends_with("there 2 times"));
    run.actual.claims.pop();
    let key = ClaimKey {
        click_id: ClickId::new(7),
        ..claim.key.clone()
    };
    run.actual.claims.push(ActualClaim { key, ..claim });
    assert!(run.differences()[0].ends_with("unexpected"));
}

#[test]
fn a_wrong_split_is_found_though_its_sum_is_right() {
    let mut run = Run::flawless(11, 1_000);
    let posted = run.posted();
    let paisa = Decimal::new(1, 2);
    run.actual.claims[posted].user += paisa;
    run.actual.claims[posted].creator -= paisa;
    let differences = run.differences();
    assert_eq!(differences.len(), 2, "{differences:?}");
    assert!(differences[0].contains("user") && differences[1].contains("creator"));
}

#[test]
fn a_report_counted_twice_is_found() {
    let mut run = Run::flawless(11, 1_000);
    run.actual.fates.repetitions += 1;
    assert_eq!(run.differences().len(), 2, "the fate, and the sum of all");
    run.actual.fates.updates -= 1;
    assert_eq!(
        run.differences().len(),
        2,
        "both fates, though the sum is right"
    );
}

#[test]
fn books_out_of_balance_are_found() {
    let mut run = Run::flawless(11, 1_000);
    run.actual.balances[0].amount += Decimal::ONE;
    assert_eq!(
        run.differences().len(),
        2,
        "the balance, and the sum of postings"
    );
    assert!(figures::imbalance_minor(&run.actual) > 0);
}

#[test]
fn a_card_paid_twice_unfunded_or_unknown_to_the_ledger_is_found() {
    let mut run = Run::flawless(11, 1_000);
    let payout = run.actual.payouts[0].clone();
    run.actual.payouts.push(payout);
    assert_eq!(
        run.differences().len(),
        2,
        "the ledger's card, and the rail that lacks it"
    );
    run.actual.payouts.pop();
    run.actual.payouts[0].state = "error_soft".to_owned();
    assert_eq!(run.differences().len(), 1);
    run.actual.payouts[0].state = "funded".to_owned();
    let card = RailCard {
        currency: "INR".to_owned(),
        amount: Decimal::from(12_345),
    };
    run.actual.rail_cards.get_or_insert_default().push(card);
    assert_eq!(run.differences().len(), 1);
}

#[test]
fn an_answer_that_hides_the_defect_is_found() {
    let mut run = Run::flawless(11, 1_000);
    let faulty = run
        .script
        .postbacks
        .iter()
        .position(|postback| postback.fault.is_some());
    let faulty = faulty.expect("some postback is malformed");
    let mut answer = run.record.postback(faulty).expect("answered").clone();
    answer.ignored = None;
    run.record.note_postback(faulty, answer);
    assert_eq!(run.differences().len(), 1);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(8))]

    #[test]
    fn whichever_claim_is_lost_doubled_or_wrong_is_found(seed: u64, pick: prop::sample::Index) {
        let mut run = Run::flawless(seed, 600);
        let index = pick.index(run.actual.claims.len());
        let claim = run.actual.claims[index].clone();
        run.actual.claims[index].user += Decimal::new(1, 3);
        prop_assert_eq!(run.differences().len(), 1);
        run.actual.claims.remove(index);
        prop_assert_eq!(run.differences().len(), 1);
        run.actual.claims.extend([claim.clone(), claim]);
        prop_assert_eq!(run.differences().len(), 1);
    }
}

#[test]
fn page_and_object_say_the_same() {
    let run = Run::flawless(11, 1_000);
    let next = vec![(
        "hissaback explain".to_owned(),
        "from a card to its click".to_owned(),
    )];
    let summary = Summary::new(
        &run.script,
        &run.record,
        &run.expected,
        &run.actual,
        Audit::Ok { checks: 8 },
        Duration::from_millis(12_340),
        next,
    );
    assert!(summary.succeeded());
    let object = summary.json();
    assert_eq!(object["accepted"], json!(1_000));
    let fates = [
        "ledgered",
        "updates",
        "repetitions",
        "duplicates",
        "unmatched",
        "ignored",
    ];
    let sum: u64 = fates.iter().filter_map(|fate| object[fate].as_u64()).sum();
    assert_eq!(
        sum + object["dead_lettered"].as_u64().expect("a number"),
        1_000
    );
    assert_eq!(object["postings_sum"], json!(0));
    assert_eq!(object["audit"], json!("ok"));
    assert_eq!(object["elapsed_s"], json!(12.3));
    assert_eq!(
        object["latency_ms"],
        json!({ "p50": 40.0, "p95": 40.0, "p99": 40.0 })
    );
    let page = summary.page();
    for text in [
        "1,000  = the sum of its fates",
        "audit: ok",
        "no difference",
        "hissaback explain",
    ] {
        assert!(page.contains(text), "{text} in {page}");
    }
    // The widest line fits a terminal of today.
    assert!(
        page.lines().all(|line| line.chars().count() <= 100),
        "{page}"
    );
}

#[test]
fn a_broken_audit_is_loud() {
    let run = Run::flawless(11, 200);
    let audit = Audit::Broken(vec![
        "postings of a transaction don't sum to zero".to_owned(),
    ]);
    let summary = Summary::new(
        &run.script,
        &run.record,
        &run.expected,
        &run.actual,
        audit,
        Duration::ZERO,
        Vec::new(),
    );
    assert!(!summary.succeeded());
    assert!(summary.page().contains("BROKEN"));
    assert_eq!(summary.json()["audit"], json!("broken"));
}
