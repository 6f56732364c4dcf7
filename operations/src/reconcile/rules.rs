//! What a row of an export means for the claims of its click: pure.
//!
//! Which claim a row belongs to is asked of the fold itself: the row is put among the click's
//! reports, and the claim that then holds it is the one. So what is appended goes where it was
//! said to go. A row is appended where it would make a difference go away; so doing it twice
//! changes nothing more.

use std::{collections::BTreeSet, fmt};

use processors::rules::{
    claims::{self, Claim},
    fold,
    history::Report,
};
use schemas::{
    Amount, ClickId, EventId, Position, Timestamp, Topic,
    events::{CommissionSource, NetworkStatus, ReportSource, Reported},
};
use serde::{Deserialize, Serialize};

/// How a row was matched to a claim, strongest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Rule {
    /// The same click, and the network's own conversion id.
    ClickAndConversion,
    /// The same click, order number and goal (or one side names none).
    ClickAndOrder,
    /// The same click and goal.
    ClickAndGoal,
    /// The same click, which has one claim that nothing speaks against.
    Click,
    /// The row's click isn't known: the network's own conversion id, which the reports of one claim
    /// of the tenant carry.
    Conversion,
    /// The row's click isn't known: the order number, which one claim of the tenant names.
    Order,
}

impl Rule {
    /// Its name in reports and headers.
    pub const fn name(self) -> &'static str {
        match self {
            Self::ClickAndConversion => "click_and_conversion",
            Self::ClickAndOrder => "click_and_order",
            Self::ClickAndGoal => "click_and_goal",
            Self::Click => "click",
            Self::Conversion => "conversion",
            Self::Order => "order",
        }
    }

    /// Whether a row was matched without its click.
    pub const fn without_click(self) -> bool {
        match self {
            Self::Conversion | Self::Order => true,
            Self::ClickAndConversion | Self::ClickAndOrder | Self::ClickAndGoal | Self::Click => {
                false
            }
        }
    }
}

/// In what network and ledger differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BreakKind {
    /// The network lists a sale that the ledger has no claim for.
    MissingHere,
    /// The ledger has a claim that the network doesn't list.
    MissingThere,
    /// Another status.
    Status,
    /// Another sale amount or payout, beyond the tolerance; or one that the ledger lacks.
    Amount,
    /// Another currency.
    Currency,
    /// Another day, by the network's clock; or a claim at an end of the span that may lie in the
    /// next export.
    DayEdge,
    /// The row is in the log already, and no claim came of it: its click isn't known, or its claim
    /// is final.
    Parked,
    /// The row could belong to several claims of its click.
    Ambiguous,
}

impl BreakKind {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::MissingHere,
        Self::MissingThere,
        Self::Status,
        Self::Amount,
        Self::Currency,
        Self::DayEdge,
        Self::Parked,
        Self::Ambiguous,
    ];

    /// Its name in reports.
    pub const fn name(self) -> &'static str {
        match self {
            Self::MissingHere => "missing_here",
            Self::MissingThere => "missing_there",
            Self::Status => "status",
            Self::Amount => "amount",
            Self::Currency => "currency",
            Self::DayEdge => "day_edge",
            Self::Parked => "parked",
            Self::Ambiguous => "ambiguous",
        }
    }
}

/// What is proposed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// Append the row: `--apply` does.
    Append,
    /// A newer snapshot or postback says otherwise: take a newer export.
    Outranked,
    /// The fold doesn't believe it, such as `pending` after `approved`: ask the network.
    NotBelieved,
    /// Match the parked report to its click by hand.
    MatchByHand,
    /// Ask the network for a sale that it doesn't list (with a proof), or wait for its next export.
    AskNetwork,
}

impl Action {
    /// Its name in reports.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Append => "append",
            Self::Outranked => "outranked",
            Self::NotBelieved => "not_believed",
            Self::MatchByHand => "match_by_hand",
            Self::AskNetwork => "ask_network",
        }
    }
}

/// A row as it is compared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// What it says.
    pub fields: Reported,
    /// The time that its export is a snapshot of.
    pub as_of: Timestamp,
    /// When it would be received and appended.
    pub now: Timestamp,
}

/// How rows are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Comparison {
    /// Amounts that differ by no more agree.
    pub tolerance: Amount,
    /// How far the network's days are ahead of UTC.
    pub utc_offset_minutes: i32,
}

/// One thing in which a row and its claim differ.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// In what.
    pub kind: BreakKind,
    /// What the ledger folded.
    pub here: String,
    /// What the network says.
    pub there: String,
}

/// The claim that a row was matched to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Matched {
    /// Its name of today.
    pub claim: EventId,
    /// Its click.
    pub click_id: ClickId,
    /// By which rule.
    pub rule: Rule,
    /// How its own reports name the click: what a row without a usable reference is appended with.
    pub click_ref: String,
    /// When it was converted, as the ledger has it.
    pub converted_at: Timestamp,
}

/// What a row means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Judgement {
    /// There is no claim for it.
    Missing,
    /// It could belong to several.
    Ambiguous,
    /// There is one, and these are the differences; none is agreement.
    Matched {
        /// Which.
        matched: Matched,
        /// In what they differ, and what is proposed.
        differences: Vec<Difference>,
        /// Of all differences together: a row is appended whole or not.
        action: Action,
    },
}

/// Judges a row by the reports of its click, or where that isn't known (`rule` is then one
/// [without a click](Rule::without_click)) of the click whose claim it names otherwise.
pub fn judge(row: &Row, reports: &[Report], rule: Option<Rule>, how: Comparison) -> Judgement {
    let Some(known) = reports.first() else {
        return Judgement::Missing;
    };
    let as_report = as_report(row, known);
    let now = claims::group(reports);
    let then = claims::group(reports.iter().chain([&as_report]));
    let Some(holder) = then.iter().find(|claim| holds(claim, &as_report)) else {
        return Judgement::Missing;
    };
    let shared = |claim: &&Claim<'_>| claim.reports().iter().any(|report| holds(holder, report));
    let candidates: Vec<&Claim<'_>> = now.iter().filter(shared).collect();
    let claim = match candidates.as_slice() {
        [] if holder.ambiguous => return Judgement::Ambiguous,
        [] => return Judgement::Missing,
        [only] => *only,
        // The row ties together what stood apart: which of them it means, a person knows.
        [_, _, ..] => return Judgement::Ambiguous,
    };
    let differences_of = |one: &Claim<'_>| differences(&row.fields, one, how);
    let differences = differences_of(claim);
    let action = if differences_of(holder) != differences {
        Action::Append
    } else if claim
        .reports()
        .iter()
        .any(|report| report.rank() > as_report.rank())
    {
        Action::Outranked
    } else {
        Action::NotBelieved
    };
    let (converted_at, _) = fold::conversion_time(claim.reports().iter().copied());
    Judgement::Matched {
        matched: Matched {
            claim: claim.name(),
            click_id: claim.first().click_id(),
            rule: rule.unwrap_or_else(|| rule_of(&row.fields, claim)),
            click_ref: claim.first().fields.click_ref.clone(),
            converted_at,
        },
        differences,
        action,
    }
}

/// Whether a row whose click isn't known speaks of a claim, by a rule: they share its key, and
/// contradict each other in no other.
pub fn speaks_of(row: &Reported, claim: &Claim<'_>, rule: Rule) -> bool {
    let values = |field: fn(&Report) -> Option<&str>| -> BTreeSet<&str> {
        let reports = claim.reports().iter();
        reports.filter_map(|report| field(report)).collect()
    };
    let conversions = (&row.network_conversion_id, values(conversion_id));
    let orders = (&row.txn_id, values(Report::order_number));
    let goals = (
        &row.goal_id,
        values(|report| report.fields.goal_id.as_deref()),
    );
    let shares = |(named, values): &(&Option<String>, BTreeSet<&str>)| {
        named.as_deref().is_some_and(|named| values.contains(named))
    };
    let silent =
        |(named, values): &(&Option<String>, BTreeSet<&str>)| named.is_none() || values.is_empty();
    let shared = match rule {
        Rule::Conversion => shares(&conversions),
        Rule::Order => shares(&orders),
        Rule::ClickAndConversion | Rule::ClickAndOrder | Rule::ClickAndGoal | Rule::Click => false,
    };
    let agree = |key| silent(key) || shares(key);
    shared && [&conversions, &orders, &goals].into_iter().all(agree)
}

fn conversion_id(report: &Report) -> Option<&str> {
    report.fields.network_conversion_id.as_deref()
}

/// The row as the report that it would become: the last of its rank.
fn as_report(row: &Row, known: &Report) -> Report {
    Report {
        position: Position {
            topic: Topic::Conversions,
            partition: i32::MAX,
            offset: i64::MAX,
        },
        appended_at: row.now,
        superseded_at: None,
        event_id: EventId::new(i64::MAX),
        received_at: row.now,
        source: ReportSource::Csv,
        as_of: Some(row.as_of),
        network_id: known.network_id,
        fields: row.fields.clone(),
        heal: None,
        matched: known.matched.clone(),
    }
}

fn holds(claim: &Claim<'_>, one: &Report) -> bool {
    claim
        .reports()
        .iter()
        .any(|report| report.position == one.position)
}

/// The strongest key by which row and claim are one.
fn rule_of(row: &Reported, claim: &Claim<'_>) -> Rule {
    let has = |named: &Option<String>, field: fn(&Report) -> Option<&str>| {
        let reports = claim.reports().iter();
        named.is_some()
            && reports
                .clone()
                .any(|report| field(report) == named.as_deref())
    };
    if has(&row.network_conversion_id, conversion_id) {
        Rule::ClickAndConversion
    } else if has(&row.txn_id, Report::order_number) {
        Rule::ClickAndOrder
    } else if has(&row.goal_id, |report| report.fields.goal_id.as_deref()) {
        Rule::ClickAndGoal
    } else {
        Rule::Click
    }
}

/// In what a row differs from the fold of a claim.
fn differences(row: &Reported, claim: &Claim<'_>, how: Comparison) -> Vec<Difference> {
    let folded = fold::fold(claim.reports());
    let (converted_at, _) = fold::conversion_time(claim.reports().iter().copied());
    let terms = &claim.first().matched.terms;
    let mut found = Vec::new();
    let mut tell = |kind, here: String, there: String| found.push(Difference { kind, here, there });
    if let Some(there) = row.status
        && folded.status.map(decided) != Some(decided(there))
    {
        tell(
            BreakKind::Status,
            named(folded.status.map(status)),
            status(there).to_owned(),
        );
    }
    // Where commissions are made of the sale, a payout that we never heard of is no difference.
    let payout_counts =
        folded.payout.is_some() || terms.commission_source == CommissionSource::Payout;
    let amounts = [
        ("sale", folded.sale_amount, row.sale_amount),
        (
            "payout",
            folded.payout,
            row.payout.filter(|_| payout_counts),
        ),
    ];
    for (name, here, there) in amounts {
        if let Some(there) = there
            && !here.is_some_and(|here| agree(here, there, how.tolerance))
        {
            tell(
                BreakKind::Amount,
                format!("{name} {}", named(here)),
                format!("{name} {there}"),
            );
        }
    }
    let currency_here = folded.currency.unwrap_or(terms.default_currency);
    if let Some(there) = row.currency.filter(|there| *there != currency_here) {
        tell(
            BreakKind::Currency,
            currency_here.to_string(),
            there.to_string(),
        );
    }
    let day = |at: Timestamp| {
        let local = at.plus_millis(60_000 * i64::from(how.utc_offset_minutes));
        local.to_datetime().date_naive()
    };
    if let Some(there) = row.converted_at
        && day(there) != day(converted_at)
    {
        tell(
            BreakKind::DayEdge,
            converted_at.to_string(),
            there.to_string(),
        );
    }
    found
}

fn agree(here: Amount, there: Amount, tolerance: Amount) -> bool {
    here.micros().abs_diff(there.micros()) <= tolerance.micros().unsigned_abs()
}

/// Statuses that mean the same as long as nothing is decided are one.
fn decided(status: NetworkStatus) -> NetworkStatus {
    match status {
        NetworkStatus::Pending | NetworkStatus::Extended | NetworkStatus::Unknown => {
            NetworkStatus::Pending
        }
        NetworkStatus::Approved | NetworkStatus::Cancelled | NetworkStatus::Rejected => status,
    }
}

fn status(status: NetworkStatus) -> &'static str {
    match status {
        NetworkStatus::Pending => "pending",
        NetworkStatus::Approved => "approved",
        NetworkStatus::Cancelled => "cancelled",
        NetworkStatus::Rejected => "rejected",
        NetworkStatus::Extended => "extended",
        NetworkStatus::Unknown => "unknown",
    }
}

fn named<T: fmt::Display>(value: Option<T>) -> String {
    value.map_or_else(|| "nothing".to_owned(), |value| value.to_string())
}
