//! What the ledger must say of a set of records: a function of the set, worked out from the
//! beginning for each claim.

use std::collections::{BTreeMap, BTreeSet};

use schemas::{
    Amount, Currency, TenantId, UserId,
    events::{Account, ClaimStatus, CommandBody, Correct, NetworkStatus, StatusReason, Verdict},
};

use crate::{
    folding::{Folded, converted_at, fold, foreign, payable_at, repeats},
    fraction::Fraction,
    grouping::{Claim, claims},
    locked_books::accepted,
    logbook::{END, Logbook, Report},
    pricing::{Facts, Parts, Price, price},
    standing::{Findings, Standing, findings, findings_if_open},
};

/// What became of a report in its claim.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fate {
    Ledgered,
    Duplicate,
    Update,
    Repetition,
}

/// One row of the ledger.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// Event id of the lowest-ranked report.
    pub name: i64,
    /// Every report's event id, and what became of it.
    pub fates: BTreeMap<i64, Fate>,
    pub status: ClaimStatus,
    pub reasons: BTreeSet<StatusReason>,
    pub converted_at: i64,
    pub payable_at: i64,
    /// Whether a closed or a better-ranked claim owns its order, and which.
    pub order_owner: Option<i64>,
    /// What the network says, as folded.
    pub network_status: Option<NetworkStatus>,
    pub sale: Option<Amount>,
    pub txn_id: Option<String>,
    pub goal_id: Option<String>,
    /// The commission rules that applied, by name.
    pub rules: Vec<String>,
    /// By the terms, whatever the status.
    pub expected: Parts,
    /// What stands in the books.
    pub booked: Parts,
    pub tenant: TenantId,
    pub user: Option<UserId>,
    pub currency: Currency,
}

/// What the ledger must say, by name.
pub fn ledger(book: &Logbook<'_>) -> BTreeMap<i64, Row> {
    let all = claims(book, END);
    let rows = all.iter().map(|claim| row(book, claim));
    rows.map(|row| (row.name, row)).collect()
}

/// Whose books hold what: positive is what the holder is owed, or income.
pub type Balances = BTreeMap<(Account, TenantId, Option<UserId>, String), Fraction>;

/// The balances that rows stand for, without those that are nothing.
pub fn balances<'r>(rows: impl Iterator<Item = &'r Row>) -> Balances {
    let mut balances = Balances::new();
    for row in rows {
        let booked = &row.booked;
        let user_account = match row.user {
            Some(_) => Account::UserPayable,
            None => Account::Unclaimed,
        };
        for (account, user, sum) in [
            (
                Account::NetworkReceivable,
                None,
                booked.commission.negative(),
            ),
            (Account::PromotionExpense, None, booked.subsidy.negative()),
            (user_account, row.user, booked.user.clone()),
            (Account::CreatorPayable, None, booked.creator.clone()),
            (Account::PlatformRevenue, None, booked.fee.clone()),
        ] {
            let key = (account, row.tenant, user, row.currency.to_string());
            let balance = balances.entry(key).or_insert_with(Fraction::zero);
            *balance = balance.plus(&sum);
        }
    }
    balances.retain(|_, balance| *balance != Fraction::zero());
    balances
}

/// What operators said of a claim.
struct Orders {
    verdict: Option<(Verdict, i64)>,
    target: Option<Parts>,
}

fn orders(book: &Logbook<'_>, claim: &Claim<'_>) -> Orders {
    let ours = |event: i64| claim.reports.iter().any(|report| report.event() == event);
    let mut verdicts = Vec::new();
    let mut corrections: Vec<((i64, i64), &Correct)> = Vec::new();
    for command in &book.commands {
        let at = (command.issued_at.millis(), command.command_id.get());
        match &command.body {
            CommandBody::ReviewClaim(review) if ours(review.event_id.get()) => {
                verdicts.push((at, review.verdict));
            }
            CommandBody::Correct(correct) if ours(correct.event_id.get()) => {
                corrections.push((at, correct));
            }
            CommandBody::ReviewClaim(_)
            | CommandBody::Correct(_)
            | CommandBody::MatchByHand(_)
            | CommandBody::ReleasePayout(_)
            | CommandBody::CancelPayout(_)
            | CommandBody::ChannelSwitch(_)
            | CommandBody::ResendMessage(_) => {}
        }
    }
    let newest = verdicts.into_iter().max_by_key(|(at, _)| *at);
    let correction = corrections.into_iter().max_by_key(|(at, _)| *at);
    Orders {
        verdict: newest.map(|((issued_at, _), verdict)| (verdict, issued_at)),
        target: correction
            .and_then(|(_, correct)| correct.target)
            .map(|target| Parts::recorded(&target.split))
            .filter(Parts::add_up),
    }
}

fn row(book: &Logbook<'_>, claim: &Claim<'_>) -> Row {
    let orders = orders(book, claim);
    let others = findings(book, claim);
    let counting = accepted(&claim.reports, orders.verdict.map(|(_, at)| at));
    let any_counts = !counting.is_empty();
    let all_count = counting.len() == claim.reports.len();
    let counting = if any_counts {
        counting
    } else {
        claim.reports.clone()
    };
    let (shown_at, own_time) = converted_at(&counting);

    let folded = fold(&counting);
    let price = price_of(claim, &counting, &folded);
    let bookable = price.parts.is_some() || orders.target.is_some();
    let foreign = orders.target.is_none() && counting.iter().any(foreign);
    let approved = folded.status == Some(NetworkStatus::Approved);
    let case = Case {
        verdict: orders.verdict.map(|(verdict, _)| verdict),
        reject: against(claim, &counting, others),
        review: chosen([
            (foreign, StatusReason::CurrencyMismatch),
            (price.too_high, StatusReason::CommissionAboveMax),
            (
                approved && price.missing && orders.target.is_none(),
                StatusReason::AmountMissing,
            ),
        ])
        .into_iter()
        .chain(doubts(claim, &counting, others))
        .collect(),
        only_held: !any_counts,
        folded: &folded,
        bookable,
    };
    let (status, mut reasons) = status(case);
    reasons.extend(chosen([
        (orders.target.is_some(), StatusReason::Corrected),
        (flagged(book, claim, others), StatusReason::ClosedFlagged),
        (any_counts && !all_count, StatusReason::BooksLocked),
        (unknown_status(&counting), StatusReason::UnknownStatus),
        (!own_time, StatusReason::TimeOfReceipt),
    ]));
    let expected = price.parts.unwrap_or_else(Parts::nothing);
    let booked = match (orders.target, status) {
        (Some(target), _) => target,
        (None, ClaimStatus::Confirmed | ClaimStatus::Paid) => expected.clone(),
        (
            None,
            ClaimStatus::Pending
            | ClaimStatus::Review
            | ClaimStatus::Rejected
            | ClaimStatus::Reversed,
        ) => Parts::nothing(),
    };
    let first = claim.first();
    Row {
        name: first.event(),
        fates: fates(claim, others.standing),
        status,
        reasons,
        converted_at: shown_at,
        payable_at: payable_at(&claim.reports),
        network_status: folded.status,
        sale: folded.sale,
        txn_id: folded.fields.txn_id,
        goal_id: folded.fields.goal_id,
        rules: price.rules,
        order_owner: owner(book, claim, others.standing),
        expected,
        booked,
        tenant: first.matched.click.tenant_id,
        user: first.matched.click.user_id,
        currency: first.matched.terms.currency,
    }
}

/// The other claim that owns a claim's order, by the name that it has at the end.
fn owner(book: &Logbook<'_>, claim: &Claim<'_>, standing: Standing) -> Option<i64> {
    let name = match standing {
        Standing::NoOrder | Standing::Owner => return None,
        Standing::Duplicate(name) | Standing::Outrun(name) => name,
    };
    let all = claims(book, END);
    let named = all.iter().find(|other| other.named(name));
    let others = named.map(|other| other.first().event());
    others.filter(|name| *name != claim.first().event())
}

fn price_of(claim: &Claim<'_>, counting: &[Report<'_>], folded: &Folded) -> Price {
    let facts = Facts {
        sale: folded.sale,
        payout: folded.payout,
        foreign: counting.iter().any(foreign),
        goal: folded.fields.goal_id.clone(),
        converted_at: converted_at(counting).0,
    };
    price(&claim.first().matched.terms, &facts)
}

/// The reasons that hold.
fn chosen<const N: usize>(reasons: [(bool, StatusReason); N]) -> BTreeSet<StatusReason> {
    let holding = reasons.into_iter().filter(|(holds, _)| *holds);
    holding.map(|(_, reason)| reason).collect()
}

/// Whether a record that came after a claim closed would have changed it.
fn flagged(book: &Logbook<'_>, claim: &Claim<'_>, others: Findings) -> bool {
    let if_open = findings_if_open(book, claim);
    let same_standing = match (others.standing, if_open.standing) {
        (Standing::Duplicate(_), Standing::Duplicate(_))
        | (Standing::Outrun(_), Standing::Outrun(_)) => {
            owner(book, claim, others.standing) == owner(book, claim, if_open.standing)
        }
        (one, other) => one == other,
    };
    !same_standing || others.velocity != if_open.velocity
}

fn unknown_status(counting: &[Report<'_>]) -> bool {
    let mut statuses = counting.iter().map(|report| report.fields.status);
    statuses.any(|status| status == Some(NetworkStatus::Unknown))
}

/// What the machine rejects a claim for.
fn against(claim: &Claim<'_>, counting: &[Report<'_>], others: Findings) -> BTreeSet<StatusReason> {
    let first = claim.first();
    let click = &first.matched.click;
    let terms = &first.matched.terms;
    let (at, own) = converted_at(counting);
    let opens = click.clicked_at.millis();
    let closes = opens + i64::from(terms.attribution_window_days) * 86_400_000;
    let outside = (own || terms.fires_at_sale) && !(opens..closes).contains(&at);
    let self_purchase =
        first.matched.self_purchase.is_some() && first.matched.rules.reject_self_purchase;
    let duplicate = matches!(others.standing, Standing::Duplicate(_));
    chosen([
        (duplicate, StatusReason::DuplicateOrder),
        (self_purchase, StatusReason::SelfPurchase),
        (outside, StatusReason::OutsideWindow),
    ])
}

/// What a person has to look at.
fn doubts(claim: &Claim<'_>, counting: &[Report<'_>], others: Findings) -> BTreeSet<StatusReason> {
    let first = claim.first();
    let elsewhere = counting.iter().any(|report| {
        let named = report.fields.offer_id;
        named.is_some_and(|offer| offer != report.matched.click.offer_id)
    });
    let outrun = matches!(others.standing, Standing::Outrun(_));
    chosen([
        (
            first.matched.score >= first.matched.rules.review_score,
            StatusReason::Score,
        ),
        (others.velocity, StatusReason::Velocity),
        (amounts_differ(counting), StatusReason::AmbiguousAmount),
        (claim.ambiguous, StatusReason::AmbiguousReport),
        (elsewhere, StatusReason::OfferMismatch),
        (outrun, StatusReason::OrderOwnedByClosed),
    ])
}

/// Whether a report that names neither order nor conversion carries another amount than another.
fn amounts_differ(reports: &[Report<'_>]) -> bool {
    let differ =
        |one: Option<Amount>, other: Option<Amount>| one.zip(other).is_some_and(|(a, b)| a != b);
    reports.iter().any(|report| {
        let mine = report.fields;
        let nameless = report.order_number().is_none() && mine.network_conversion_id.is_none();
        nameless
            && reports.iter().any(|other| {
                differ(mine.sale_amount, other.fields.sale_amount)
                    || differ(mine.payout, other.fields.payout)
            })
    })
}

/// All that the status depends on.
struct Case<'c> {
    verdict: Option<Verdict>,
    reject: BTreeSet<StatusReason>,
    review: BTreeSet<StatusReason>,
    /// No report counts: all are held by locked books.
    only_held: bool,
    folded: &'c Folded,
    bookable: bool,
}

/// The first line of the table that holds, and the reasons for it.
fn status(case: Case<'_>) -> (ClaimStatus, BTreeSet<StatusReason>) {
    let approval = case.verdict == Some(Verdict::Approve);
    if case.verdict == Some(Verdict::Reject) {
        return (
            ClaimStatus::Rejected,
            BTreeSet::from([StatusReason::OperatorRejected]),
        );
    }
    let (mut reject, mut review) = (case.reject, case.review);
    if approval {
        reject.clear();
        review.clear();
    }
    if case.only_held {
        review.insert(StatusReason::BooksLocked);
    }
    let against: BTreeSet<_> = reject.union(&review).copied().collect();
    match case.folded.status {
        Some(NetworkStatus::Cancelled | NetworkStatus::Rejected) => {
            let owed = case.folded.ever_approved && case.bookable && against.is_empty();
            let status = if owed {
                ClaimStatus::Reversed
            } else {
                ClaimStatus::Rejected
            };
            let refused = BTreeSet::from([StatusReason::NetworkCancelled]);
            return (status, refused.union(&against).copied().collect());
        }
        None
        | Some(
            NetworkStatus::Pending
            | NetworkStatus::Approved
            | NetworkStatus::Extended
            | NetworkStatus::Unknown,
        ) => {}
    }
    if !reject.is_empty() {
        return (ClaimStatus::Rejected, against);
    }
    if !review.is_empty() {
        return (ClaimStatus::Review, against);
    }
    let mut reasons = chosen([(approval, StatusReason::OperatorApproved)]);
    let status = match (case.folded.status, case.bookable) {
        (Some(NetworkStatus::Approved), true) => ClaimStatus::Confirmed,
        (Some(NetworkStatus::Approved), false) => {
            reasons.insert(StatusReason::AmountMissing);
            ClaimStatus::Review
        }
        (None | Some(_), _) => ClaimStatus::Pending,
    };
    (status, reasons)
}

fn fates(claim: &Claim<'_>, standing: Standing) -> BTreeMap<i64, Fate> {
    let mut fates = BTreeMap::new();
    for (index, report) in claim.reports.iter().enumerate() {
        let before = &claim.reports[..index];
        let fate = if before.is_empty() {
            match standing {
                Standing::Duplicate(_) => Fate::Duplicate,
                Standing::NoOrder | Standing::Owner | Standing::Outrun(_) => Fate::Ledgered,
            }
        } else if repeats(&fold(before), report) {
            Fate::Repetition
        } else {
            Fate::Update
        };
        fates.insert(report.event(), fate);
    }
    fates
}
