//! The page that a person reads at the end of a run.

use std::{collections::HashSet, fmt::Write};

use rust_decimal::Decimal;

use crate::demo::{
    oracle::{Account, judgement::Standing},
    world::{Click, ClickRoute, calendar::TRAFFIC_DAYS, coin::Coin},
};

use super::{Actual, Audit, Summary, figures};

/// Width of the longest bar.
const BAR: u64 = 28;
/// Differences that are shown; the rest is counted.
const DIFFERENCES_SHOWN: usize = 20;
/// Width of a column of money.
const MONEY: usize = 17;

/// Writes the page.
pub fn write(summary: &Summary<'_>) -> String {
    let mut page = String::new();
    let sections: [fn(&mut String, &Summary<'_>) -> std::fmt::Result; 8] = [
        head, came_in, became, money, statuses, cards, verdict, look_next,
    ];
    for section in sections {
        section(&mut page, summary).expect("writing to a string doesn't fail");
    }
    page
}

fn head(page: &mut String, summary: &Summary<'_>) -> std::fmt::Result {
    let seconds = figures::rounded_seconds(summary.elapsed);
    let seed = summary.script.seed;
    writeln!(
        page,
        "\n  Hissaback demo, seed {seed}: ten weeks of a platform in {seconds} s\n"
    )
}

fn came_in(page: &mut String, summary: &Summary<'_>) -> std::fmt::Result {
    let script = summary.script;
    let clicks = figures::count(summary.record.clicks_answered());
    let by_link = |click: &&Click| click.route == ClickRoute::SmartLink;
    let smart = figures::count(script.clicks.iter().filter(by_link).count());
    let people: HashSet<_> = script
        .clicks
        .iter()
        .filter_map(|click| click.user_id)
        .collect();
    let shoppers = figures::count(people.len());
    let creators = script.seeds.tenants.len();
    let retries = summary.record.retries();
    writeln!(page, "  WHAT CAME IN, OVER HTTP")?;
    writeln!(
        page,
        "    {clicks} clicks ({smart} by smart link) of {shoppers} known shoppers, for {creators} \
         creators"
    )?;
    write!(
        page,
        "    {} postbacks of {} networks over {TRAFFIC_DAYS} days and a month of afterthoughts",
        figures::count(summary.record.postbacks_accepted()),
        script.seeds.networks.len(),
    )?;
    if retries > 0 {
        write!(
            page,
            "; {} were asked to come back later",
            figures::count(retries)
        )?;
    }
    writeln!(page, "\n")
}

fn became(page: &mut String, summary: &Summary<'_>) -> std::fmt::Result {
    let fates = summary.actual.fates;
    let largest = fates
        .named()
        .iter()
        .map(|(_, count)| *count)
        .max()
        .unwrap_or(0)
        .max(1);
    writeln!(page, "  WHAT BECAME OF THE POSTBACKS")?;
    let meanings = [
        "opened a claim",
        "changed a claim",
        "said again what was known",
        "claimed somebody else's order",
        "named no click of ours: parked",
        "malformed: kept, the network told why",
        "couldn't be read",
    ];
    for ((name, count), meaning) in fates.named().into_iter().zip(meanings) {
        let name = name.replace('_', "-");
        let length = if count == 0 {
            0
        } else {
            (count * BAR / largest).max(1)
        };
        let bar = "█".repeat(usize::try_from(length).unwrap_or(0));
        let width = usize::try_from(BAR).unwrap_or(0);
        writeln!(
            page,
            "    {name:<14}{:>9}  {bar:<width$}  {meaning}",
            figures::count(count)
        )?;
    }
    let accepted = figures::count(fates.accepted());
    writeln!(
        page,
        "    {:<14}{accepted:>9}  = the sum of its fates\n",
        "accepted"
    )
}

/// Currencies in which anything was posted.
fn coins(actual: &Actual) -> Vec<Coin> {
    let used = |coin: &Coin| {
        actual
            .balances
            .iter()
            .any(|sum| sum.currency == coin.code())
    };
    Coin::ALL.into_iter().filter(used).collect()
}

fn money(page: &mut String, summary: &Summary<'_>) -> std::fmt::Result {
    let actual = summary.actual;
    let coins = coins(actual);
    write!(page, "  WHOSE MONEY IT IS       ")?;
    for coin in &coins {
        write!(page, "{:>MONEY$}", coin.code())?;
    }
    writeln!(page)?;
    for account in Account::ALL {
        let (label, sign) = match account {
            Account::NetworkReceivable => ("the networks owe", -1),
            Account::PromotionExpense => ("the platform adds", -1),
            Account::UserPayable => ("owed to shoppers", 1),
            Account::PayoutClearing => ("paid to shoppers", 1),
            Account::CreatorPayable => ("owed to creators", 1),
            Account::Unclaimed => ("unclaimed", 1),
            Account::PlatformRevenue => ("kept as fee", 1),
        };
        write!(page, "    {label:<22}")?;
        for coin in &coins {
            let amount = figures::balance(actual, account, *coin) * Decimal::from(sign);
            write!(page, "{:>MONEY$}", figures::money(amount, *coin))?;
        }
        writeln!(page)?;
    }
    write!(page, "    {:<22}", "sum of postings")?;
    for coin in &coins {
        let sum = figures::postings_sum(actual, *coin);
        write!(page, "{:>MONEY$}", figures::money(sum, *coin))?;
    }
    writeln!(page, "\n")
}

fn statuses(page: &mut String, summary: &Summary<'_>) -> std::fmt::Result {
    let claims = &summary.actual.claims;
    write!(page, "  {} CLAIMS ARE", figures::count(claims.len()))?;
    let mut separator = " ";
    for standing in Standing::ALL {
        let count = claims
            .iter()
            .filter(|claim| claim.status == standing.name())
            .count();
        write!(
            page,
            "{separator}{} {}",
            figures::count(count),
            standing.name()
        )?;
        separator = " · ";
    }
    writeln!(page, "\n")
}

fn cards(page: &mut String, summary: &Summary<'_>) -> std::fmt::Result {
    let actual = summary.actual;
    let totals: Vec<String> = coins(actual)
        .into_iter()
        .map(|coin| (coin, figures::cards_total(actual, coin)))
        .filter(|(_, total)| !total.is_zero())
        .map(|(coin, total)| format!("{} {}", coin.code(), figures::money(total, coin)))
        .collect();
    let owing = actual
        .payees
        .iter()
        .filter(|payee| payee.amount.is_sign_negative());
    let owing = owing.filter(|payee| !payee.amount.is_zero()).count();
    writeln!(
        page,
        "  {} GIFT CARDS",
        figures::count(actual.payouts.len())
    )?;
    if !totals.is_empty() {
        writeln!(page, "    worth {}", totals.join(" · "))?;
    }
    if owing > 0 {
        let owing = figures::count(owing);
        writeln!(
            page,
            "    {owing} balances are below zero: refunded after they were paid"
        )?;
    }
    if let Some(latency) = summary.latency {
        writeln!(page, "\n  FROM POSTBACK TO LEDGER, on the real clock")?;
        writeln!(
            page,
            "    p50 {} ms · p95 {} ms · p99 {} ms",
            latency.p50_ms, latency.p95_ms, latency.p99_ms
        )?;
    }
    writeln!(page)
}

fn verdict(page: &mut String, summary: &Summary<'_>) -> std::fmt::Result {
    writeln!(page, "  IS IT RIGHT?")?;
    match &summary.audit {
        Audit::Ok { checks } => {
            writeln!(page, "    audit: ok ({checks} invariants)")?;
        }
        Audit::Broken(findings) => {
            writeln!(page, "    audit: BROKEN")?;
            for finding in findings {
                writeln!(page, "      {finding}")?;
            }
        }
    }
    let expected = summary.expected;
    let differences = &summary.differences;
    if differences.is_empty() {
        return writeln!(
            page,
            "    generator's own record: no difference in {} claims, {} balances, {} cards\n",
            figures::count(expected.claims.len()),
            figures::count(expected.balances.len() + expected.payees.len()),
            figures::count(expected.cards.len()),
        );
    }
    let number = figures::count(differences.len());
    writeln!(page, "    generator's own record: {number} DIFFERENCES")?;
    for difference in differences.iter().take(DIFFERENCES_SHOWN) {
        writeln!(page, "      {difference}")?;
    }
    if differences.len() > DIFFERENCES_SHOWN {
        writeln!(
            page,
            "      and {} more",
            differences.len() - DIFFERENCES_SHOWN
        )?;
    }
    writeln!(page)
}

fn look_next(page: &mut String, summary: &Summary<'_>) -> std::fmt::Result {
    if summary.look_next.is_empty() {
        return Ok(());
    }
    writeln!(page, "  WHERE TO LOOK NEXT")?;
    let width = summary
        .look_next
        .iter()
        .map(|(place, _)| place.chars().count())
        .max()
        .unwrap_or(0);
    for (place, what) in &summary.look_next {
        writeln!(page, "    {place:<width$}  {what}")?;
    }
    writeln!(page)
}
