//! What differs between what came out and what had to.

use std::collections::{BTreeMap, HashMap};

use rust_decimal::Decimal;

use crate::demo::{
    driver::Record,
    oracle::{ClaimKey, Expected, ExpectedClaim},
    world::{Script, coin::Coin},
};

use super::{Actual, ActualClaim, figures};

/// Every difference, one line each; empty when everything came out as it had to.
pub fn compare(
    script: &Script,
    record: &Record,
    expected: &Expected,
    actual: &Actual,
) -> Vec<String> {
    let mut differences = answers(script, record);
    differences.extend(fates(record, expected, actual));
    differences.extend(claims(expected, actual));
    differences.extend(balances(expected, actual));
    differences.extend(payees(expected, actual));
    differences.extend(cards(script, expected, actual));
    differences.extend(rail(actual));
    differences.extend(analytics(expected, actual));
    differences
}

fn differ(what: &str, expected: &impl ToString, actual: &impl ToString) -> Option<String> {
    let (expected, actual) = (expected.to_string(), actual.to_string());
    (expected != actual).then(|| format!("{what}: {actual}, expected {expected}"))
}

/// Each postback must have been answered, and the network told what was wrong with it.
fn answers(script: &Script, record: &Record) -> Vec<String> {
    let answers = script
        .postbacks
        .iter()
        .enumerate()
        .filter_map(|(number, postback)| {
            let reason = postback.fault.map_or("accepted", |fault| fault.reason());
            let answered = record.postback(number).map_or("no answer", |answer| {
                answer.ignored.as_deref().unwrap_or("accepted")
            });
            differ(&format!("answer to postback {number}"), &reason, &answered)
        });
    answers.collect()
}

fn fates(record: &Record, expected: &Expected, actual: &Actual) -> Vec<String> {
    let accepted = differ(
        "postbacks with a fate",
        &record.postbacks_accepted(),
        &actual.fates.accepted(),
    );
    let fates = expected.fates.named().into_iter().zip(actual.fates.named());
    fates
        .filter_map(|((name, expected), (_, actual))| differ(name, &expected, &actual))
        .chain(accepted)
        .collect()
}

fn claims(expected: &Expected, actual: &Actual) -> Vec<String> {
    let mut found: HashMap<&ClaimKey, Vec<&ActualClaim>> = HashMap::new();
    for claim in &actual.claims {
        found.entry(&claim.key).or_default().push(claim);
    }
    let mut differences = Vec::new();
    for claim in &expected.claims {
        let what = describe(&claim.key);
        match found.remove(&claim.key).as_deref() {
            None | Some([]) => differences.push(format!("{what}: missing")),
            Some([one]) => differences.extend(fields(&what, claim, one)),
            Some(several) => differences.push(format!("{what}: there {} times", several.len())),
        }
    }
    let mut unexpected: Vec<_> = found.into_keys().collect();
    unexpected.sort_unstable();
    differences.extend(
        unexpected
            .into_iter()
            .map(|key| format!("{}: unexpected", describe(key))),
    );
    differences
}

fn describe(key: &ClaimKey) -> String {
    let names = [
        ("conversion", &key.conversion_id),
        ("order", &key.txn_id),
        ("goal", &key.goal_id),
    ];
    let names = names
        .into_iter()
        .filter_map(|(kind, name)| name.as_ref().map(|name| format!(", {kind} {name}")));
    format!(
        "claim of click {}{}",
        key.click_id,
        names.collect::<String>()
    )
}

fn fields(what: &str, expected: &ExpectedClaim, actual: &ActualClaim) -> Vec<String> {
    let coin = expected.coin;
    let parts = expected.parts;
    let sums = [
        ("commission", parts.commission, actual.commission),
        ("subsidy", parts.subsidy, actual.subsidy),
        ("fee", parts.fee, actual.fee),
        ("user", parts.user, actual.user),
        ("creator", parts.creator, actual.creator),
        ("paid", expected.paid, actual.paid),
    ];
    let named = [
        differ(
            &format!("{what}, status"),
            &expected.standing.name(),
            &actual.status,
        ),
        differ(&format!("{what}, currency"), &coin.code(), &actual.currency),
    ];
    let sums = sums.into_iter().filter_map(|(name, minor, actual)| {
        differ_in_money(
            &format!("{what}, {name}"),
            figures::amount(minor, coin),
            actual,
        )
    });
    named.into_iter().flatten().chain(sums).collect()
}

fn differ_in_money(what: &str, expected: Decimal, actual: Decimal) -> Option<String> {
    (expected != actual).then(|| format!("{what}: {actual}, expected {expected}"))
}

/// Compares two ledgers of sums in which what is absent is zero.
fn sums<K: Ord + std::fmt::Debug>(
    what: &str,
    expected: impl Iterator<Item = (K, Decimal)>,
    actual: impl Iterator<Item = (K, Decimal)>,
) -> Vec<String> {
    let mut both: BTreeMap<K, (Decimal, Decimal)> = BTreeMap::new();
    for (key, amount) in expected {
        both.entry(key).or_default().0 += amount;
    }
    for (key, amount) in actual {
        both.entry(key).or_default().1 += amount;
    }
    let differing = both.into_iter().filter_map(|(key, (expected, actual))| {
        differ_in_money(&format!("{what} {key:?}"), expected, actual)
    });
    differing.collect()
}

fn balances(expected: &Expected, actual: &Actual) -> Vec<String> {
    let must = expected
        .balances
        .iter()
        .map(|((tenant_id, account, coin), minor)| {
            let key = (
                *tenant_id,
                account.name().to_owned(),
                coin.code().to_owned(),
            );
            (key, figures::amount(*minor, *coin))
        });
    let is = actual.balances.iter().map(|balance| {
        let key = (
            balance.tenant_id,
            balance.account.clone(),
            balance.currency.clone(),
        );
        (key, balance.amount)
    });
    let mut differences = sums("balance of", must, is);
    differences.extend(Coin::ALL.iter().filter_map(|coin| {
        let sum = figures::postings_sum(actual, *coin);
        differ_in_money(
            &format!("sum of postings in {}", coin.code()),
            Decimal::ZERO,
            sum,
        )
    }));
    differences
}

fn payees(expected: &Expected, actual: &Actual) -> Vec<String> {
    let must = expected
        .payees
        .iter()
        .map(|((tenant_id, user_id, coin), minor)| {
            (
                (*tenant_id, *user_id, coin.code().to_owned()),
                figures::amount(*minor, *coin),
            )
        });
    let is = actual.payees.iter().map(|payee| {
        (
            (payee.tenant_id, payee.user_id, payee.currency.clone()),
            payee.amount,
        )
    });
    sums("payee", must, is)
}

/// Cards are compared one by one: how many of each value each payee got in each run.
fn cards(script: &Script, expected: &Expected, actual: &Actual) -> Vec<String> {
    let must = expected.cards.iter().map(|card| {
        let amount = figures::amount(card.minor, card.coin).normalize();
        let as_of = script.runs[card.run].as_of;
        let key = (
            as_of,
            card.tenant_id,
            card.user_id,
            card.coin.code().to_owned(),
            amount.to_string(),
        );
        (key, Decimal::ONE)
    });
    let is = actual.payouts.iter().map(|payout| {
        let amount = payout.amount.normalize().to_string();
        let currency = payout.currency.clone();
        (
            (
                payout.as_of,
                payout.tenant_id,
                payout.user_id,
                currency,
                amount,
            ),
            Decimal::ONE,
        )
    });
    let unfunded = actual
        .payouts
        .iter()
        .filter(|payout| payout.state != "funded");
    let unfunded = unfunded.map(|payout| {
        format!(
            "payout of {} as of {} is {}",
            payout.user_id, payout.as_of, payout.state
        )
    });
    sums("cards", must, is)
        .into_iter()
        .chain(unfunded)
        .collect()
}

/// The rail must have issued the cards of the ledger, each once.
fn rail(actual: &Actual) -> Vec<String> {
    let Some(issued) = &actual.rail_cards else {
        return Vec::new();
    };
    let must = actual.payouts.iter().map(|payout| {
        (
            (
                payout.currency.clone(),
                payout.amount.normalize().to_string(),
            ),
            Decimal::ONE,
        )
    });
    let is = issued.iter().map(|card| {
        (
            (card.currency.clone(), card.amount.normalize().to_string()),
            Decimal::ONE,
        )
    });
    sums("cards of the rail", must, is)
}

fn analytics(expected: &Expected, actual: &Actual) -> Vec<String> {
    let Some(found) = &actual.analytics else {
        return Vec::new();
    };
    let key = |currency: &str, name: &'static str| (currency.to_owned(), name);
    let must = expected.claims.iter().flat_map(|claim| {
        let code = claim.coin.code();
        let amount = |minor| figures::amount(minor, claim.coin);
        [
            (key(code, "claims"), Decimal::ONE),
            (key(code, "commission"), amount(claim.parts.commission)),
            (key(code, "user"), amount(claim.parts.user)),
            (key(code, "creator"), amount(claim.parts.creator)),
            (key(code, "fee"), amount(claim.parts.fee)),
        ]
    });
    let is = found.iter().flat_map(|sum| {
        let code = sum.currency.as_str();
        [
            (key(code, "claims"), Decimal::from(sum.claims)),
            (key(code, "commission"), sum.commission),
            (key(code, "user"), sum.user),
            (key(code, "creator"), sum.creator),
            (key(code, "fee"), sum.fee),
        ]
    });
    sums("analytics", must, is)
}
