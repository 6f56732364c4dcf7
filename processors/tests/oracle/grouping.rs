//! Which reports make one claim (semantics: claims).

use std::collections::BTreeSet;

use schemas::Position;

use crate::{
    folding::{fold, payable_at},
    logbook::{Logbook, Report},
};

/// One sale of one click, as it was at some moment.
#[derive(Debug, Clone)]
pub struct Claim<'a> {
    /// Lowest rank first.
    pub reports: Vec<Report<'a>>,
    /// It could belong to several others.
    pub ambiguous: bool,
}

/// An order: network instance, offer, number, goal.
pub type Order = (i32, i32, String, Option<String>);

impl<'a> Claim<'a> {
    fn of(mut reports: Vec<Report<'a>>, ambiguous: bool) -> Self {
        reports.sort_by_key(Report::rank);
        Self { reports, ambiguous }
    }

    fn take(&mut self, report: Report<'a>) {
        self.reports.push(report);
        self.reports.sort_by_key(Report::rank);
    }

    /// The lowest-ranked report.
    pub fn first(&self) -> &Report<'a> {
        &self.reports[0]
    }

    /// The report that the log took first: the one by which it is known at any instant.
    pub fn earliest(&self) -> &Report<'a> {
        let earliest = self
            .reports
            .iter()
            .min_by_key(|report| (report.appended_at(), report.rank()));
        earliest.expect("a claim has a report")
    }

    /// Whether it holds the record at a position.
    pub fn holds(&self, position: Position) -> bool {
        self.reports
            .iter()
            .any(|report| report.position() == position)
    }

    /// Whether an event id is one of its names.
    pub fn named(&self, event: i64) -> bool {
        self.reports.iter().any(|report| report.event() == event)
    }

    /// From when on others' records don't matter any more: when it can be paid, but not before it
    /// is there, which it is from the millisecond after its arrival on.
    pub fn closes_at(&self) -> i64 {
        payable_at(&self.reports).max(self.earliest().appended_at() + 1)
    }

    /// The order that it names.
    pub fn order(&self) -> Option<Order> {
        let first = self.first();
        let folded = fold(&self.reports).fields;
        let number = folded
            .txn_id
            .filter(|_| first.matched.terms.txn_id_names_order)?;
        let network = first.decision.network_id.get();
        let offer = first.matched.click.offer_id.get();
        Some((network, offer, number, folded.goal_id))
    }
}

/// How a report names its sale, strongest first.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Name {
    Conversion(String),
    OrderAndGoal(String, String),
    Order(String),
    Goal(String),
    Nothing,
}

impl Name {
    fn of(report: &Report<'_>) -> Self {
        let order = report.order_number().map(str::to_owned);
        let goal = report.fields.goal_id.clone();
        match (&report.fields.network_conversion_id, order, goal) {
            (Some(id), _, _) => Self::Conversion(id.clone()),
            (None, Some(order), Some(goal)) => Self::OrderAndGoal(order, goal),
            (None, Some(order), None) => Self::Order(order),
            (None, None, Some(goal)) => Self::Goal(goal),
            (None, None, None) => Self::Nothing,
        }
    }

    fn strength(&self) -> usize {
        match self {
            Self::Conversion(_) => 0,
            Self::OrderAndGoal(..) => 1,
            Self::Order(_) => 2,
            Self::Goal(_) => 3,
            Self::Nothing => 4,
        }
    }

    /// Whether a claim of stronger names may be meant.
    fn fits(&self, claim: &Claim<'_>) -> bool {
        let has_order = |order: &str| {
            let mut orders = claim.reports.iter().map(Report::order_number);
            orders.any(|other| other == Some(order))
        };
        let goals: BTreeSet<_> = claim
            .reports
            .iter()
            .filter_map(|report| report.fields.goal_id.as_deref())
            .collect();
        match self {
            Self::Conversion(_) => false,
            Self::OrderAndGoal(order, goal) => {
                has_order(order) && (goals.is_empty() || goals.contains(goal.as_str()))
            }
            Self::Order(order) => has_order(order),
            Self::Goal(goal) => goals.contains(goal.as_str()),
            Self::Nothing => true,
        }
    }
}

/// All claims as they were just before an instant.
pub fn claims<'a>(book: &Logbook<'a>, before: i64) -> Vec<Claim<'a>> {
    let reports = book.in_force(before);
    let clicks: BTreeSet<_> = reports.iter().map(Report::click).collect();
    let of_click = |click: &i64| {
        let own = reports.iter().filter(|report| report.click() == *click);
        claims_of_click(&own.copied().collect::<Vec<_>>())
    };
    clicks.iter().flat_map(of_click).collect()
}

/// Where a report belongs.
enum Place {
    /// To the claim at this index.
    With(usize),
    /// To a claim of its own name.
    Apart,
    /// To one of several: a claim of its own name, for a person to look at.
    Unclear,
}

/// The claims that the reports of one click make.
fn claims_of_click<'a>(own: &[Report<'a>]) -> Vec<Claim<'a>> {
    let mut claims: Vec<Claim<'a>> = Vec::new();
    for strength in 0..5 {
        let names = own.iter().map(Name::of);
        let names: BTreeSet<_> = names.filter(|name| name.strength() == strength).collect();
        let stronger = claims.clone();
        for name in names {
            let (mut apart, mut unclear) = (Vec::new(), Vec::new());
            for report in own.iter().filter(|report| Name::of(report) == name) {
                match place(own, &name, report, &stronger) {
                    Place::With(index) => claims[index].take(*report),
                    Place::Apart => apart.push(*report),
                    Place::Unclear => unclear.push(*report),
                }
            }
            for (reports, ambiguous) in [(apart, false), (unclear, true)] {
                if !reports.is_empty() {
                    claims.push(Claim::of(reports, ambiguous));
                }
            }
        }
    }
    claims
}

/// Where a report belongs, given the claims of stronger names. What fits several stays where it
/// had been, if that claim was closed already when the second one that it fits turned up. (A heal
/// that was undone since counts as if it had never been.)
fn place(own: &[Report<'_>], name: &Name, report: &Report<'_>, stronger: &[Claim<'_>]) -> Place {
    // From when on each could be joined: both had to be there.
    let mut fitting: Vec<(i64, usize)> = Vec::new();
    for (index, claim) in stronger.iter().enumerate() {
        if name.fits(claim) {
            let met_at = claim.earliest().appended_at().max(report.appended_at());
            fitting.push((met_at, index));
        }
    }
    fitting.sort_unstable();
    match fitting[..] {
        [] => Place::Apart,
        [(_, only)] => Place::With(only),
        [_, (second_at, _), ..] => {
            let earlier = own.iter().filter(|report| report.appended_at() < second_at);
            let then = claims_of_click(&earlier.copied().collect::<Vec<_>>());
            let joined = then
                .iter()
                .find(|claim| claim.holds(report.position()))
                .filter(|claim| claim.closes_at() <= second_at);
            let what_it_became = |joined: &Claim<'_>| {
                let mut indices = fitting.iter().map(|(_, index)| *index);
                indices.find(|index| {
                    let mut reports = stronger[*index].reports.iter();
                    reports.any(|report| joined.holds(report.position()))
                })
            };
            joined
                .and_then(what_it_became)
                .map_or(Place::Unclear, Place::With)
        }
    }
}
