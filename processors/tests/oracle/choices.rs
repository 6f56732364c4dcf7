//! The choices that random sets of records are drawn as. They aim at the edges: times that lie on
//! a window's end or a millisecond beside it, equal times, few names for many reports.

use proptest::{
    collection::vec,
    option::{of, weighted},
    prelude::*,
    sample::select,
};
use schemas::{
    Amount, Currency, OfferId,
    events::{FraudRules, HealAuthor, NetworkStatus, Reported, Terms},
};

use crate::{
    drawn_terms::drawn_terms,
    plain::{DAY, HOUR, amount},
};

/// The drawn choices.
#[derive(Clone)]
pub struct Drawn {
    /// Of the two offers; then their later versions.
    pub terms: Vec<Terms>,
    pub rules: Vec<FraudRules>,
    pub clicks: Vec<DrawnClick>,
    pub reports: Vec<DrawnReport>,
    pub commands: Vec<DrawnCommand>,
}

/// A click.
#[derive(Debug, Clone)]
pub struct DrawnClick {
    pub at: i64,
    pub offer: usize,
    /// Whether it came after the offer's terms were changed.
    pub later_terms: bool,
    pub tenant: usize,
    pub user: Option<u128>,
}

/// A report.
#[derive(Debug, Clone)]
pub struct DrawnReport {
    pub click: usize,
    /// Orders event ids against the order of the list.
    pub id: i64,
    pub received_at: i64,
    /// How long the log took to get it.
    pub delay: i64,
    /// How old the snapshot was at its receipt, for a CSV.
    pub snapshot_age: Option<i64>,
    /// Which parked report it heals.
    pub heal: Option<(usize, HealAuthor)>,
    /// After the click's time.
    pub converted: Option<i64>,
    pub locked_before: Option<i64>,
    pub fields: Reported,
    pub score: i32,
    pub self_purchase: bool,
}

/// A command.
#[derive(Debug, Clone)]
pub struct DrawnCommand {
    pub report: usize,
    pub issued_at: i64,
    /// Orders command ids against the order of the list.
    pub id: i64,
    pub what: What,
}

/// What an operator says.
#[derive(Debug, Clone, Copy)]
pub enum What {
    Approve,
    Reject,
    Correct,
    CorrectWrongly,
    Withdraw,
}

/// An instant: some days after the beginning, or a millisecond beside that.
fn instant() -> impl Strategy<Value = i64> {
    let days = select(vec![0, 0, 0, 1, 7, 20, 29, 30, 31, 40, 60, 61]);
    (days, jitter()).prop_map(|(days, jitter)| days * DAY + jitter)
}

fn jitter() -> impl Strategy<Value = i64> {
    select(vec![0, 0, 0, -1, 1, 2])
}

/// Sale amounts, up to the largest that is accepted.
fn sales() -> impl Strategy<Value = Amount> {
    prop_oneof![12 => sums(), 1 => Just(amount("1000000000000"))]
}

fn sums() -> impl Strategy<Value = Amount> {
    let texts = ["100", "120", "0", "0.005", "1999.005", "33.333333"];
    select(texts.map(amount).to_vec())
}

fn text(texts: &'static [&'static str], share: f64) -> impl Strategy<Value = Option<String>> {
    weighted(share, select(texts).prop_map(str::to_owned))
}

/// What a report says.
pub fn fields() -> impl Strategy<Value = Reported> {
    use NetworkStatus::{Approved, Cancelled, Extended, Pending, Rejected, Unknown};
    let statuses = vec![
        Approved, Approved, Approved, Pending, Cancelled, Rejected, Extended, Unknown,
    ];
    let currencies = ["INR", "JPY", "KWD", "USD"].map(|code| code.parse().expect("a currency"));
    let names = (
        text(&["x1", "x2"], 0.25),
        text(&["o1", "o1", "o2"], 0.6),
        text(&["g1", "g2"], 0.3),
    );
    let sums = (
        weighted(0.7, sales()),
        weighted(0.3, sums()),
        weighted(0.08, select(currencies.to_vec())),
    );
    let rest = (weighted(0.8, select(statuses)), weighted(0.05, 2_i32..4));
    (names, sums, rest).prop_map(|(names, sums, (status, offer))| Reported {
        click_ref: "1".to_owned(),
        network_conversion_id: names.0,
        txn_id: names.1,
        goal_id: names.2,
        sale_amount: sums.0,
        payout: sums.1,
        currency: sums.2,
        status,
        offer_id: offer.map(OfferId::new),
        ..Reported::default()
    })
}

fn report() -> impl Strategy<Value = DrawnReport> {
    let delay = (select(vec![0, 0, 0, 1, 20, 30, 31, 40]), jitter())
        .prop_map(|(days, jitter): (i64, i64)| (days * DAY + jitter).max(0));
    let age = (select(vec![0, 1, 10, 30]), jitter())
        .prop_map(|(days, jitter): (i64, i64)| days * DAY + jitter);
    let author = prop_oneof![Just(HealAuthor::Machine), Just(HealAuthor::Operator)];
    let converted = (select(vec![0, 0, 1, 10, 30]), jitter())
        .prop_map(|(days, jitter): (i64, i64)| days * DAY + jitter);
    let who = (0..6_usize, 0..10_i64, instant(), delay);
    let how = (
        weighted(0.25, age),
        weighted(0.12, (0..2_usize, author)),
        weighted(0.35, converted),
        weighted(0.12, instant()),
    );
    let odd = (
        prop_oneof![12 => Just(0), 1 => Just(2), 1 => Just(3)],
        prop::bool::weighted(0.03),
    );
    (who, how, fields(), odd).prop_map(|(who, how, fields, odd)| DrawnReport {
        click: who.0,
        id: who.1,
        received_at: who.2,
        delay: who.3,
        snapshot_age: how.0,
        heal: how.1,
        converted: how.2,
        locked_before: how.3,
        fields,
        score: odd.0,
        self_purchase: odd.1,
    })
}

fn click() -> impl Strategy<Value = DrawnClick> {
    let hours = select(vec![0, 0, 1, 23, 24, 25, 48]);
    let at = (hours, jitter()).prop_map(|(hours, jitter): (i64, i64)| hours * HOUR + jitter);
    let user = prop_oneof![4 => Just(Some(1)), 1 => Just(Some(2)), 1 => Just(None)];
    let later_terms = prop::bool::weighted(0.2);
    (at, 0..2_usize, later_terms, 0..2_usize, user).prop_map(
        |(at, offer, later_terms, tenant, user)| DrawnClick {
            at,
            offer,
            later_terms,
            tenant,
            user,
        },
    )
}

fn command() -> impl Strategy<Value = DrawnCommand> {
    let what = select(vec![
        What::Approve,
        What::Approve,
        What::Reject,
        What::Correct,
        What::CorrectWrongly,
        What::Withdraw,
    ]);
    (0..10_usize, instant(), 0..10_i64, what).prop_map(|(report, issued_at, id, what)| {
        DrawnCommand {
            report,
            issued_at,
            id,
            what,
        }
    })
}

fn rules() -> impl Strategy<Value = FraudRules> {
    (
        select(vec![2, 3, 5]),
        select(vec![24, 1]),
        select(vec![30, 1, 0]),
        prop::bool::ANY,
    )
        .prop_map(
            |(velocity_claims, velocity_hours, duplicate_days, reject_self_purchase)| FraudRules {
                velocity_claims,
                velocity_hours,
                duplicate_days,
                reject_self_purchase,
                ..FraudRules::default()
            },
        )
}

/// A random set of records.
pub fn drawn() -> impl Strategy<Value = Drawn> {
    (
        vec(drawn_terms(), 4),
        vec(rules(), 2),
        vec(click(), 1..=6),
        vec(report(), 1..=9),
        vec(command(), 0..=3),
    )
        .prop_map(|(terms, rules, clicks, reports, commands)| Drawn {
            terms,
            rules,
            clicks,
            reports,
            commands,
        })
}

/// Any currency that the tests use, the offer's most often.
pub fn currency() -> impl Strategy<Value = Currency> {
    let codes = ["INR", "INR", "INR", "JPY", "KWD"];
    select(codes.map(|code| code.parse().expect("a currency")).to_vec())
}

/// One of these amounts, or none.
pub fn some_amount(texts: &[&str]) -> impl Strategy<Value = Option<Amount>> + use<> {
    of(select(
        texts.iter().copied().map(amount).collect::<Vec<_>>(),
    ))
}
