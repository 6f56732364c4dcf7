//! Which reports speak of one sale, and what they say together.

use std::collections::BTreeMap;

use schemas::Timestamp;

use crate::demo::world::{
    ClickNumber, PostbackNumber, Report, Script, Status,
    coin::{Coin, Exact},
};

use super::money::Deal;

/// A report that arrived and whose click is known.
#[derive(Debug, Clone, Copy)]
pub struct Heard<'a> {
    /// Which.
    pub number: PostbackNumber,
    /// When.
    pub at: Timestamp,
    /// What it says.
    pub report: &'a Report,
}

/// All reports of one sale, in the order of arrival. Never empty.
#[derive(Debug, Clone)]
pub struct History<'a> {
    /// Its click.
    pub click: ClickNumber,
    /// Its reports.
    pub reports: Vec<Heard<'a>>,
    /// Whether its reports could belong to several other sales.
    pub ambiguous: bool,
}

/// What a report's sale is called, on one click.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Name<'a> {
    Conversion(&'a str),
    Order(&'a str, Option<&'a str>),
    Goal(&'a str),
    Nothing,
}

fn name(report: &Report, orders: bool) -> Name<'_> {
    let goal = report.goal_id.as_deref();
    match (&report.conversion_id, &report.txn_id, goal) {
        (Some(id), _, _) => Name::Conversion(id),
        (None, Some(txn_id), goal) if orders => Name::Order(txn_id, goal),
        (None, _, Some(goal)) => Name::Goal(goal),
        (None, _, None) => Name::Nothing,
    }
}

/// The sales of one click. Reports without a name belong to the one sale there is; if there are
/// several, to none of them.
pub fn sales_of_click<'a>(
    click: ClickNumber,
    mut heard: Vec<Heard<'a>>,
    script: &Script,
) -> Vec<History<'a>> {
    heard.sort_by_key(|report| (report.at, report.number));
    let orders = Deal::of(&script.clicks[click], &script.seeds)
        .offer
        .txn_id_names_order;
    let mut sales: BTreeMap<Name<'a>, Vec<Heard<'a>>> = BTreeMap::new();
    for one in heard {
        sales.entry(name(one.report, orders)).or_default().push(one);
    }
    let unnamed = sales.remove(&Name::Nothing).unwrap_or_default();
    let mut sales: Vec<History<'a>> = sales
        .into_values()
        .map(|reports| History {
            click,
            reports,
            ambiguous: false,
        })
        .collect();
    match sales.as_mut_slice() {
        [only] => {
            only.reports.extend(unnamed);
            only.reports
                .sort_by_key(|report| (report.at, report.number));
        }
        _ if unnamed.is_empty() => {}
        several => {
            let ambiguous = !several.is_empty();
            sales.push(History {
                click,
                reports: unnamed,
                ambiguous,
            });
        }
    }
    sales
}

/// What became of a report of a sale.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReportFate {
    /// It was the first.
    First,
    /// It said something that wasn't known.
    Update,
    /// Everything that it said was what was held to be so already.
    Repetition,
}

/// What the reports of a sale say together: each field as the last that carried it and is
/// believed.
#[derive(Debug, Clone, Default)]
pub struct Folded<'a> {
    /// The network's status.
    pub status: Option<Status>,
    /// Whether it was approved at any time.
    pub approved_once: bool,
    /// The sale.
    pub sale_amount: Option<Exact>,
    /// The network's payout.
    pub payout: Option<Exact>,
    /// The network's own time.
    pub converted_at: Option<Timestamp>,
    /// Transaction id.
    pub txn_id: Option<&'a str>,
    /// Goal.
    pub goal_id: Option<&'a str>,
    /// Fate of each report, in order.
    pub fates: Vec<ReportFate>,
    conversion_id: Option<&'a str>,
    country: Option<&'a str>,
    coin: Option<Coin>,
    other_offer: bool,
    former_sale_amounts: Vec<Exact>,
    former_payouts: Vec<Exact>,
}

/// Folds a sale's reports. `offer_id` is the click's.
pub fn fold<'a>(reports: &[Heard<'a>], offer_id: schemas::OfferId) -> Folded<'a> {
    let mut folded = Folded::default();
    for one in reports {
        let report = one.report;
        let other_offer = report.offer_id.is_some_and(|named| named != offer_id);
        let fate = if folded.fates.is_empty() {
            ReportFate::First
        } else if folded.says_already(report) && (!other_offer || folded.other_offer) {
            ReportFate::Repetition
        } else {
            ReportFate::Update
        };
        folded.fates.push(fate);
        folded.other_offer |= other_offer;
        folded.take(report);
    }
    folded
}

impl<'a> Folded<'a> {
    fn says_already(&self, report: &Report) -> bool {
        fn same<T: PartialEq + Copy>(said: Option<T>, held: Option<T>) -> bool {
            said.is_none() || said == held
        }
        self.status == Some(report.status)
            && same(report.sale_amount, self.sale_amount)
            && same(report.payout, self.payout)
            && same(report.coin, self.coin)
            && same(report.converted_at, self.converted_at)
            && same(report.txn_id.as_deref(), self.txn_id)
            && same(report.goal_id.as_deref(), self.goal_id)
            && same(report.conversion_id.as_deref(), self.conversion_id)
            && same(report.country, self.country)
    }

    fn take(&mut self, report: &'a Report) {
        let settled = matches!(
            self.status,
            Some(Status::Approved | Status::Cancelled | Status::Rejected)
        );
        let refused = matches!(self.status, Some(Status::Cancelled | Status::Rejected));
        let believed = match report.status {
            Status::Pending | Status::Extended | Status::OnHold => !settled,
            // A postback can't bring back what was refused.
            Status::Approved => !refused,
            Status::Cancelled | Status::Rejected => true,
        };
        if believed {
            self.status = Some(report.status);
            self.approved_once |= report.status == Status::Approved;
        }
        amount(
            report.sale_amount,
            &mut self.sale_amount,
            &mut self.former_sale_amounts,
        );
        amount(report.payout, &mut self.payout, &mut self.former_payouts);
        self.coin = report.coin.or(self.coin);
        self.converted_at = report.converted_at.or(self.converted_at);
        self.txn_id = report.txn_id.as_deref().or(self.txn_id);
        self.goal_id = report.goal_id.as_deref().or(self.goal_id);
        self.conversion_id = report.conversion_id.as_deref().or(self.conversion_id);
        self.country = report.country.or(self.country);
    }

    /// Whether any report names another offer than the click's.
    pub fn names_other_offer(&self) -> bool {
        self.other_offer
    }
}

/// A postback with an amount of former times is a straggler.
fn amount(said: Option<Exact>, held: &mut Option<Exact>, former: &mut Vec<Exact>) {
    if let Some(said) = said
        && *held != Some(said)
        && !former.contains(&said)
    {
        former.extend(*held);
        *held = Some(said);
    }
}
