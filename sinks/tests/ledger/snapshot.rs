//! What the tables say, and what the pure fold of the same records says: in the same words, so
//! that they can be compared.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Debug,
};

use chrono::{DateTime, Utc};
use processors::rules::{
    history::{self, HealClaim, Report},
    lifecycle::ClaimState,
    payouts::PayoutState,
    postings::{self, BookKey, Booking},
    settlement::{Neighbourhood, Scope, settle},
};
use rust_decimal::Decimal;
use schemas::{
    Amount, Currency, EventId, Minor, PayoutId, Position, TenantId, UserId,
    events::{Account, Command, PayoutRequested},
};
use sqlx::{PgPool, Row};
use uuid::Uuid;

use crate::records::Logged;

/// Final states and balances, without the path.
#[derive(Debug, PartialEq)]
pub struct Snapshot {
    pub claims: BTreeMap<i64, ClaimRow>,
    /// Where each report is placed: click, claim, fate.
    pub reports: BTreeMap<(i32, i64), (i64, Option<i64>, String)>,
    /// What is booked of each claim, by its name of today.
    pub booked: BTreeMap<i64, Booking>,
    /// What is booked of each payout.
    pub paid: BTreeMap<Uuid, Booking>,
    pub payouts: BTreeMap<Uuid, String>,
}

#[derive(Debug, PartialEq, sqlx::FromRow)]
pub struct ClaimRow {
    led_id: i64,
    tenant_id: Uuid,
    campaign_id: Uuid,
    link_id: Uuid,
    offer_id: i32,
    network_id: i32,
    click_id: i64,
    clicked_at: DateTime<Utc>,
    user_id: Option<Uuid>,
    country: Option<String>,
    txn_id: Option<String>,
    goal_id: Option<String>,
    first_received_at: DateTime<Utc>,
    converted_at: DateTime<Utc>,
    payable_at: DateTime<Utc>,
    pub status: String,
    reasons: Vec<String>,
    order_owner: Option<i64>,
    network_status: Option<String>,
    order_value: Option<Decimal>,
    currency: String,
    user_pct: Decimal,
    /// Commission, subsidy, fee, user, creator.
    expected: Vec<Decimal>,
    pub posted: Vec<Decimal>,
    pub paid_amount: Decimal,
}

impl ClaimRow {
    fn expect(state: &ClaimState) -> Self {
        let click = &state.click;
        let name = |value: serde_json::Value| value.as_str().map(str::to_owned);
        let parts = |parts: processors::rules::split::Parts| {
            let all = [
                parts.commission,
                parts.subsidy,
                parts.fee,
                parts.user,
                parts.creator,
            ];
            all.map(|part| decimal(part, state.currency)).to_vec()
        };
        Self {
            led_id: state.name.get(),
            tenant_id: click.tenant_id.uuid(),
            campaign_id: click.campaign_id.uuid(),
            link_id: click.link_id.uuid(),
            offer_id: click.offer_id.get(),
            network_id: state.network_id.get(),
            click_id: click.click_id.get(),
            clicked_at: click.clicked_at.to_datetime(),
            user_id: click.user_id.map(UserId::uuid),
            country: click.country.map(|country| country.to_string()),
            txn_id: state.txn_id.clone(),
            goal_id: state.goal_id.clone(),
            first_received_at: state.first_received_at.to_datetime(),
            converted_at: state.converted_at.to_datetime(),
            payable_at: state.payable_at.to_datetime(),
            status: state.status.name().to_owned(),
            reasons: state
                .reasons()
                .map(|reason| reason.name().to_owned())
                .collect(),
            order_owner: state.order_owner.map(EventId::get),
            network_status: state
                .network_status
                .and_then(|status| name(serde_json::to_value(status).expect("a name"))),
            order_value: state.sale_amount.map(Amount::to_decimal),
            currency: state.currency.to_string(),
            user_pct: Decimal::new(i64::from(state.user_share.hundredths()), 2),
            expected: parts(state.expected),
            posted: parts(state.target),
            paid_amount: decimal(state.paid, state.currency),
        }
    }
}

fn decimal(minor: Minor, currency: Currency) -> Decimal {
    Decimal::new(minor.get(), currency.exponent())
}

impl Snapshot {
    /// What differs, entry by entry: short enough to read.
    pub fn differences(&self, other: &Self) -> Vec<String> {
        let mut found = Vec::new();
        compare("claim", &self.claims, &other.claims, &mut found);
        compare("report", &self.reports, &other.reports, &mut found);
        compare("booked", &self.booked, &other.booked, &mut found);
        compare("paid", &self.paid, &other.paid, &mut found);
        compare("payout", &self.payouts, &other.payouts, &mut found);
        found
    }

    /// What the fold of the whole set says, whatever stands in the tables.
    pub fn expect(log: &[Logged]) -> Self {
        let payouts = payouts(log);
        let neighbourhood = Neighbourhood {
            reports: reports(log),
            commands: commands(log),
            paid: paid(&payouts),
        };
        let scope = Scope {
            clicks: neighbourhood.reports.keys().copied().collect(),
            ..Scope::default()
        };
        let states = settle(&neighbourhood, &scope);
        let placed: BTreeMap<Position, (i64, &str)> = states
            .iter()
            .flat_map(|state| {
                let name = state.name.get();
                let reports = state.reports.iter();
                reports.map(move |report| (report.position, (name, report.fate.name())))
            })
            .collect();
        Self {
            claims: states
                .iter()
                .map(|state| (state.name.get(), ClaimRow::expect(state)))
                .collect(),
            reports: neighbourhood
                .reports
                .values()
                .flatten()
                .map(|report| {
                    let place = placed.get(&report.position);
                    let fate = place.map_or("undone", |(_, fate)| *fate);
                    let position = (report.position.partition, report.position.offset);
                    let claim = place.map(|(claim, _)| *claim);
                    (position, (report.click_id().get(), claim, fate.to_owned()))
                })
                .collect(),
            booked: states
                .iter()
                .map(|state| (state.name.get(), postings::target(state)))
                .filter(|(_, booking)| !booking.is_empty())
                .collect(),
            paid: payouts
                .values()
                .filter(|(_, state)| state.allocates())
                .map(|(payout, _)| (payout.payout_id.uuid(), payout_lines(payout)))
                .collect(),
            payouts: payouts
                .iter()
                .map(|(payout, (_, state))| (payout.uuid(), state.name().to_owned()))
                .collect(),
        }
    }

    /// What the tables say. Also holds them to the invariants that concern tables alone.
    pub async fn read(owner: &PgPool) -> Self {
        let claims = sqlx::query_as::<_, ClaimRow>(
            "SELECT *, ARRAY[expected_commission, expected_subsidy, expected_fee, user_amount,
                             creator_amount] AS expected,
                    ARRAY[posted_commission, posted_subsidy, posted_fee, posted_user,
                          posted_creator] AS posted
             FROM ledger",
        )
        .fetch_all(owner)
        .await
        .expect("claims");
        let count = claims.len();
        let claims: BTreeMap<_, _> = claims.into_iter().map(|row| (row.led_id, row)).collect();
        assert_eq!(claims.len(), count, "a claim has one row");
        let reports = sqlx::query_as::<_, (i32, i64, i64, Option<i64>, String)>(
            "SELECT source_partition, source_offset, click_id, led_id, fate FROM conversions",
        )
        .fetch_all(owner)
        .await
        .expect("reports");
        let payouts = sqlx::query_as("SELECT payout_id, state FROM payouts")
            .fetch_all(owner)
            .await
            .expect("payouts");
        assert_balanced(owner).await;
        Self {
            claims,
            reports: reports
                .into_iter()
                .map(|(partition, offset, click, claim, fate)| {
                    ((partition, offset), (click, claim, fate))
                })
                .collect(),
            booked: books(
                owner,
                "SELECT (SELECT c.led_id FROM conversions c
                         WHERE c.conv_id = p.led_id AND c.fate <> 'undone') AS subject, p.*
                 FROM postings p WHERE p.led_id IS NOT NULL",
            )
            .await,
            paid: books(
                owner,
                "SELECT p.payout_id AS subject, p.* FROM postings p
                 WHERE p.payout_id IS NOT NULL",
            )
            .await,
            payouts: payouts.into_iter().collect(),
        }
    }
}

fn compare<K: Ord + Debug, V: PartialEq + Debug>(
    what: &str,
    ours: &BTreeMap<K, V>,
    theirs: &BTreeMap<K, V>,
    found: &mut Vec<String>,
) {
    let keys: BTreeSet<_> = ours.keys().chain(theirs.keys()).collect();
    for key in keys {
        let (ours, theirs) = (ours.get(key), theirs.get(key));
        if ours != theirs {
            found.push(format!("{what} {key:?}: {ours:?}\n  against {theirs:?}"));
        }
    }
}

/// Sums of postings by subject and account.
async fn books<S>(owner: &PgPool, lines: &'static str) -> BTreeMap<S, Booking>
where
    S: Ord + for<'a> sqlx::Decode<'a, sqlx::Postgres> + sqlx::Type<sqlx::Postgres>,
{
    let lines = sqlx::query(lines).fetch_all(owner).await.expect("postings");
    let mut books: BTreeMap<S, Booking> = BTreeMap::new();
    for line in lines {
        let user_id: Option<Uuid> = line.get("user_id");
        let currency: Currency = line
            .get::<String, _>("currency")
            .parse()
            .expect("a currency");
        let account: Account =
            serde_json::from_value(line.get::<String, _>("account").into()).expect("an account");
        let key = BookKey {
            account,
            tenant_id: TenantId::new(line.get("tenant_id")),
            user_id: user_id.map(UserId::new),
            currency,
        };
        let amount = Amount::from_decimal(line.get("amount")).expect("an amount");
        let booking = books.entry(line.get("subject")).or_default();
        postings::add(booking, &[(key, amount.to_minor(currency))].into());
    }
    books.retain(|_, booking| !booking.is_empty());
    books
}

async fn assert_balanced(owner: &PgPool) {
    let unbalanced: i64 = sqlx::query_scalar(
        "SELECT count(*) FROM (SELECT FROM postings GROUP BY transaction_id, currency
                               HAVING sum(amount) <> 0) unbalanced",
    )
    .fetch_one(owner)
    .await
    .expect("counted");
    assert_eq!(unbalanced, 0, "each transaction sums to zero");
}

/// Reports by click; the first record for a position counts.
fn reports(log: &[Logged]) -> BTreeMap<schemas::ClickId, Vec<Report>> {
    let mut by_position: BTreeMap<Position, Report> = BTreeMap::new();
    for logged in log {
        if let Logged::Decision(decision) = logged
            && let Some(report) = Report::from_decision(decision)
        {
            by_position.entry(report.position).or_insert(report);
        }
    }
    let heals: Vec<_> = by_position
        .values()
        .filter_map(|report| Some((report.heal.as_ref()?.heals, heal_claim(report)?)))
        .collect();
    let mut reports: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for mut report in by_position.into_values() {
        if let (Some(heal), Some(claim)) = (&report.heal, heal_claim(&report)) {
            let competing = heals.iter().filter(|(heals, _)| *heals == heal.heals);
            let competing: Vec<_> = competing.map(|(_, claim)| *claim).collect();
            report.superseded_at = history::superseded_at(&claim, &competing);
        }
        reports.entry(report.click_id()).or_default().push(report);
    }
    reports
}

fn heal_claim(report: &Report) -> Option<HealClaim> {
    report.heal.as_ref().map(|heal| HealClaim {
        position: report.position,
        author: heal.author,
        heal_id: heal.heal_id,
        appended_at: report.appended_at,
    })
}

fn commands(log: &[Logged]) -> Vec<Command> {
    let mut seen = BTreeSet::new();
    log.iter()
        .filter_map(|logged| match logged {
            Logged::Command(command) => Some(command),
            Logged::Click(_) | Logged::Decision(_) | Logged::Payout(_) | Logged::Step(_) => None,
        })
        .filter(|command| seen.insert(command.command_id))
        .cloned()
        .collect()
}

/// Payouts, and the state that their steps lead to, in the order of the log.
fn payouts(log: &[Logged]) -> BTreeMap<PayoutId, (PayoutRequested, PayoutState)> {
    let mut payouts: BTreeMap<_, _> = log
        .iter()
        .filter_map(|logged| match logged {
            Logged::Payout(payout) => {
                Some((payout.payout_id, (payout.clone(), PayoutState::Queued)))
            }
            Logged::Click(_) | Logged::Decision(_) | Logged::Command(_) | Logged::Step(_) => None,
        })
        .collect();
    for logged in log {
        if let Logged::Step(result) = logged
            && let Some((_, state)) = payouts.get_mut(&result.payout_id)
        {
            *state = state.after(result.step);
        }
    }
    payouts
}

fn paid(
    payouts: &BTreeMap<PayoutId, (PayoutRequested, PayoutState)>,
) -> BTreeMap<(EventId, UserId), Minor> {
    let mut paid = BTreeMap::new();
    let funded = payouts
        .values()
        .filter(|(_, state)| *state == PayoutState::Funded);
    for (payout, _) in funded {
        for item in &payout.items {
            let amount = item.amount.to_minor(payout.currency);
            *paid
                .entry((item.claim, payout.user_id))
                .or_insert(Minor::ZERO) += amount;
        }
    }
    paid
}

/// A payout takes what the user is owed, and holds it in clearing.
fn payout_lines(payout: &PayoutRequested) -> Booking {
    let key = |account| BookKey {
        account,
        tenant_id: payout.tenant_id,
        user_id: Some(payout.user_id),
        currency: payout.currency,
    };
    let amount = payout.amount.to_minor(payout.currency);
    [
        (key(Account::UserPayable), -amount),
        (key(Account::PayoutClearing), amount),
    ]
    .into()
}
