//! What must become of each sale: window, fraud rules, and the network's word.

use std::collections::{BTreeMap, HashMap, HashSet};

use schemas::{OfferId, Timestamp, UserId};

use crate::demo::{
    driver::Record,
    world::{
        Phase, Script, Status,
        calendar::DAY_MS,
        seeds::{Seeds, User},
    },
};

use super::{
    claims::{self, Folded, Heard, History},
    money::{Deal, Parts},
};

/// How long an order stays owned.
const ORDER_OWNED_MS: i64 = 30 * DAY_MS;
/// Sales whose clicks lie within this time count together.
const VELOCITY_MS: i64 = DAY_MS;
/// Of so many others, the next goes to review.
const VELOCITY_OTHERS: usize = 4;
/// From this score on a person looks.
const REVIEW_SCORE: usize = 3;
/// A sale this soon after the click isn't plausible.
const HASTY_MS: i64 = 5_000;

/// How a claim ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(
    missing_docs,
    reason = "the names are those of the ledger's row statuses"
)]
pub enum Standing {
    Pending,
    Review,
    Confirmed,
    Rejected,
    Paid,
    Reversed,
}

impl Standing {
    /// All of them, in the order in which the summary shows them.
    pub const ALL: [Self; 6] = [
        Self::Confirmed,
        Self::Paid,
        Self::Pending,
        Self::Review,
        Self::Rejected,
        Self::Reversed,
    ];

    /// The ledger's name for it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Review => "review",
            Self::Confirmed => "confirmed",
            Self::Rejected => "rejected",
            Self::Paid => "paid",
            Self::Reversed => "reversed",
        }
    }
}

/// A sale, judged.
#[derive(Debug, Clone)]
pub struct Judged<'a> {
    /// Its reports.
    pub history: History<'a>,
    /// The deal of its click.
    pub deal: Deal<'a>,
    /// What its reports say together.
    pub folded: Folded<'a>,
    /// When its first report arrived.
    pub first_at: Timestamp,
    /// From when on it can be paid.
    pub payable_at: Timestamp,
    /// Whether somebody else owns its order.
    pub duplicate: bool,
    /// How it stands; payouts come later.
    pub standing: Standing,
    /// What must stand in the books.
    pub parts: Parts,
    velocity: bool,
}

impl<'a> Judged<'a> {
    fn of(history: History<'a>, script: &'a Script) -> Self {
        let click = &script.clicks[history.click];
        let deal = Deal::of(click, &script.seeds);
        let offer_id = script.seeds.offer_of(click.link).offer_id;
        let folded = claims::fold(&history.reports, offer_id);
        let first_at = history.reports[0].at;
        let sold_at = folded.converted_at.unwrap_or(first_at);
        Self {
            payable_at: sold_at.plus_days(deal.offer.cool_off_days),
            history,
            deal,
            folded,
            first_at,
            duplicate: false,
            standing: Standing::Pending,
            parts: Parts::default(),
            velocity: false,
        }
    }

    /// Places it in the order of first reports.
    pub fn rank(&self) -> (Timestamp, usize) {
        (self.first_at, self.history.reports[0].number)
    }
}

/// Everything that arrived up to and including a phase, judged.
pub fn judge<'a>(script: &'a Script, record: &Record, until: Phase) -> Vec<Judged<'a>> {
    let mut by_click: BTreeMap<usize, Vec<Heard<'a>>> = BTreeMap::new();
    for (number, postback) in script.postbacks.iter().enumerate() {
        let usable = postback.fault.is_none() && postback.phase <= until;
        if let (Some(click), true) = (postback.reference.found(), usable)
            && record.accepted(number)
        {
            let heard = Heard {
                number,
                at: postback.at,
                report: &postback.report,
            };
            by_click.entry(click).or_default().push(heard);
        }
    }
    let mut all: Vec<Judged<'a>> = by_click
        .into_iter()
        .flat_map(|(click, heard)| claims::sales_of_click(click, heard, script))
        .map(|history| Judged::of(history, script))
        .collect();
    mark_duplicates(&mut all, script);
    mark_velocity(&mut all, script);
    let users = users_by_id(&script.seeds);
    for judged in &mut all {
        let own = self_purchase(judged, script, &users);
        (judged.standing, judged.parts) = verdict(judged, own, script);
    }
    all
}

type Order<'a> = (OfferId, &'a str, Option<&'a str>);

fn order<'a>(judged: &Judged<'a>, script: &Script) -> Option<Order<'a>> {
    let offer_id = script
        .seeds
        .offer_of(script.clicks[judged.history.click].link)
        .offer_id;
    let named = judged.deal.offer.txn_id_names_order;
    judged
        .folded
        .txn_id
        .filter(|_| named)
        .map(|txn_id| (offer_id, txn_id, judged.folded.goal_id))
}

/// The first claimant of an order owns it for thirty days; the first after that owns it anew.
fn mark_duplicates(all: &mut [Judged<'_>], script: &Script) {
    let mut claimants: HashMap<Order<'_>, Vec<usize>> = HashMap::new();
    for (index, judged) in all.iter().enumerate() {
        if let Some(order) = order(judged, script)
            && !judged.deal.offer.accepts_duplicates
        {
            claimants.entry(order).or_default().push(index);
        }
    }
    let mut duplicates = Vec::new();
    for mut indexes in claimants.into_values() {
        indexes.sort_by_key(|index| all[*index].rank());
        let mut owned_since = None;
        for index in indexes {
            let at = all[index].first_at;
            match owned_since {
                Some(since) if at.millis_since(since) < ORDER_OWNED_MS => duplicates.push(index),
                Some(_) | None => owned_since = Some(at),
            }
        }
    }
    for index in duplicates {
        all[index].duplicate = true;
    }
}

/// The fifth sale and later ones whose clicks lie within a day.
fn mark_velocity(all: &mut [Judged<'_>], script: &Script) {
    let mut by_user: HashMap<UserId, Vec<usize>> = HashMap::new();
    for (index, judged) in all.iter().enumerate() {
        if let Some(user_id) = script.clicks[judged.history.click].user_id
            && !judged.duplicate
        {
            by_user.entry(user_id).or_default().push(index);
        }
    }
    let clicked_at = |judged: &Judged<'_>| script.clicks[judged.history.click].clicked_at();
    let mut fast = Vec::new();
    for indexes in by_user.into_values() {
        for &index in &indexes {
            let this = &all[index];
            let mut orders: HashSet<_> = order(this, script).into_iter().collect();
            let others = indexes.iter().map(|other| &all[*other]).filter(|other| {
                let before_ms = clicked_at(this).millis_since(clicked_at(other));
                (1..VELOCITY_MS).contains(&before_ms)
                    && other.first_at < this.payable_at
                    && order(other, script).is_none_or(|order| orders.insert(order))
            });
            if others.count() >= VELOCITY_OTHERS {
                fast.push(index);
            }
        }
    }
    for index in fast {
        all[index].velocity = true;
    }
}

/// The network's refusal, then what speaks against it, then the network's word.
fn verdict(judged: &Judged<'_>, self_purchase: bool, script: &Script) -> (Standing, Parts) {
    let coin = judged.deal.offer.coin;
    let other_currency = judged.history.reports.iter().any(|heard| {
        let amounts = heard.report.sale_amount.is_some() || heard.report.payout.is_some();
        amounts && judged.deal.coin_of(heard.report) != coin
    });
    let commission = judged
        .deal
        .commission(judged.folded.sale_amount, judged.folded.payout)
        .filter(|_| !other_currency);
    let cap = judged
        .deal
        .offer
        .commission_max
        .map(|cap| i128::from(cap.micros()) / i128::from(coin.micros_per_minor()));
    let rejected = judged.duplicate || self_purchase || outside_window(judged, script);
    let review = judged.velocity
        || judged.history.ambiguous
        || other_currency
        || judged.folded.names_other_offer()
        || score(judged, script) >= REVIEW_SCORE
        || amounts_differ_without_a_name(judged)
        || commission
            .zip(cap)
            .is_some_and(|(commission, cap)| commission > cap);
    let nothing = Parts::default();
    match (judged.folded.status, commission) {
        (Some(Status::Cancelled | Status::Rejected), Some(_))
            if judged.folded.approved_once && !rejected && !review =>
        {
            (Standing::Reversed, nothing)
        }
        (Some(Status::Cancelled | Status::Rejected), _) => (Standing::Rejected, nothing),
        (_, _) if rejected => (Standing::Rejected, nothing),
        (_, _) if review => (Standing::Review, nothing),
        (Some(Status::Approved), Some(commission)) => {
            (Standing::Confirmed, judged.deal.split(commission))
        }
        (Some(Status::Approved), None) => (Standing::Review, nothing),
        (Some(Status::Pending | Status::Extended | Status::OnHold) | None, _) => {
            (Standing::Pending, nothing)
        }
    }
}

fn outside_window(judged: &Judged<'_>, script: &Script) -> bool {
    let clicked_at = script.clicks[judged.history.click].clicked_at();
    let sold_at = judged
        .folded
        .converted_at
        .or(judged.deal.fires_at_sale.then_some(judged.first_at));
    let window_ms = i64::from(judged.deal.attribution_window_days) * DAY_MS;
    sold_at.is_some_and(|at| !(0..window_ms).contains(&at.millis_since(clicked_at)))
}

fn self_purchase(judged: &Judged<'_>, script: &Script, users: &HashMap<UserId, &User>) -> bool {
    let click = &script.clicks[judged.history.click];
    let tenant_id = script.seeds.tenant_of(click.link).tenant_id;
    let Some(shopper) = click.user_id.and_then(|user_id| users.get(&user_id)) else {
        return false;
    };
    let members = script
        .seeds
        .members
        .iter()
        .filter(|member| member.tenant_id == tenant_id);
    members
        .filter(|member| member.joined_at <= click.clicked_at())
        .filter_map(|member| users.get(&member.user_id))
        .any(|member| {
            digits(&member.phone) == digits(&shopper.phone)
                || member
                    .email
                    .trim()
                    .eq_ignore_ascii_case(shopper.email.trim())
        })
}

/// The seeds' users by their ids.
pub fn users_by_id(seeds: &Seeds) -> HashMap<UserId, &User> {
    seeds
        .users
        .iter()
        .map(|user| (user.user_id, user))
        .collect()
}

fn digits(phone: &str) -> String {
    phone.chars().filter(char::is_ascii_digit).collect()
}

/// One point for each thing that speaks against the first report.
fn score(judged: &Judged<'_>, script: &Script) -> usize {
    let click = &script.clicks[judged.history.click];
    let first = judged.history.reports[0];
    let own_currency = judged.deal.coin_of(first.report) == judged.deal.offer.coin;
    let unusual = first
        .report
        .sale_amount
        .zip(judged.deal.offer.usual_sale_max)
        .is_some_and(|(sale, usual)| sale > usual && own_currency);
    let sold_at = first
        .report
        .converted_at
        .or(judged.deal.fires_at_sale.then_some(first.at));
    let signs = [
        first
            .report
            .country
            .is_some_and(|country| country != click.country),
        click.odd.bot,
        click.odd.data_centre,
        click.odd.proxy,
        unusual,
        sold_at.is_some_and(|at| at.millis_since(click.clicked_at()) < HASTY_MS),
    ];
    signs.into_iter().filter(|sign| *sign).count()
}

/// A report that names neither conversion nor order, beside another amount.
fn amounts_differ_without_a_name(judged: &Judged<'_>) -> bool {
    let orders = judged.deal.offer.txn_id_names_order;
    let reports = || judged.history.reports.iter().map(|heard| heard.report);
    let unnamed = reports()
        .filter(|report| report.conversion_id.is_none() && (report.txn_id.is_none() || !orders));
    unnamed.into_iter().any(|one| {
        reports().any(|other| {
            one.sale_amount
                .zip(other.sale_amount)
                .is_some_and(|(a, b)| a != b)
                || one.payout.zip(other.payout).is_some_and(|(a, b)| a != b)
        })
    })
}
