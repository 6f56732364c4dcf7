//! The claims of a click: a pure grouping of its whole set of reports (design section 5, claim).
//!
//! By the network's own conversion id where known, else by order number and goal, else by goal; a
//! report with none of them joins the one claim there is. A report that could belong to several
//! claims belongs to none of them: it makes a claim of its own, for a person to look at. A claim
//! that is already closed when a second candidate turns up keeps what it had.

use std::{cell::RefCell, collections::BTreeMap, rc::Rc};

use schemas::{EventId, Timestamp};

use super::{
    fold,
    history::{Rank, Report},
};

/// One sale of one click: its reports, lowest rank first. Never empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim<'a> {
    reports: Vec<&'a Report>,
    /// Whether it holds a report that could belong to several claims.
    pub ambiguous: bool,
}

impl<'a> Claim<'a> {
    fn new(reports: Vec<&'a Report>, ambiguous: bool) -> Self {
        Self { reports, ambiguous }
    }

    /// Its reports, lowest rank first.
    pub fn reports(&self) -> &[&'a Report] {
        &self.reports
    }

    /// The lowest-ranked report: it names the claim, is the one that is scored, and its click,
    /// terms and rules are the claim's.
    pub fn first(&self) -> &'a Report {
        self.reports[0]
    }

    /// The claim's name: the event id of its lowest-ranked report.
    pub fn name(&self) -> EventId {
        self.first().event_id
    }

    /// Whether a report is among its reports: its other names.
    pub fn holds(&self, event_id: EventId) -> bool {
        self.reports
            .iter()
            .any(|report| report.event_id == event_id)
    }

    /// When its earliest record was appended.
    pub fn first_appended_at(&self) -> Timestamp {
        self.reports
            .iter()
            .map(|report| report.appended_at)
            .min()
            .unwrap_or(Timestamp::MAX)
    }

    fn has(&self, same: impl Fn(&Report) -> bool) -> bool {
        self.reports.iter().any(|report| same(report))
    }
}

/// How a report says which sale it speaks of, strongest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Name<'a> {
    Conversion(&'a str),
    OrderAndGoal(&'a str, &'a str),
    Order(&'a str),
    Goal(&'a str),
    Nothing,
}

impl<'a> Name<'a> {
    fn of(report: &'a Report) -> Self {
        let goal = report.fields.goal_id.as_deref();
        match (
            report.fields.network_conversion_id.as_deref(),
            report.order_number(),
            goal,
        ) {
            (Some(conversion), _, _) => Self::Conversion(conversion),
            (None, Some(order), Some(goal)) => Self::OrderAndGoal(order, goal),
            (None, Some(order), None) => Self::Order(order),
            (None, None, Some(goal)) => Self::Goal(goal),
            (None, None, None) => Self::Nothing,
        }
    }

    /// Whether a report of this name may belong to `claim`, which other names made.
    fn fits(self, claim: &Claim<'_>) -> bool {
        let has_order = |order: &str| claim.has(|report| report.order_number() == Some(order));
        let has_goal =
            |goal: &str| claim.has(|report| report.fields.goal_id.as_deref() == Some(goal));
        let goalless = || !claim.has(|report| report.fields.goal_id.is_some());
        match self {
            Self::Conversion(_) => false,
            Self::OrderAndGoal(order, goal) => has_order(order) && (has_goal(goal) || goalless()),
            Self::Order(order) => has_order(order),
            Self::Goal(goal) => has_goal(goal),
            Self::Nothing => true,
        }
    }
}

/// Whether a report names its sale: by conversion id or order number. Amounts of reports that
/// don't can't be told apart.
pub fn named(report: &Report) -> bool {
    match Name::of(report) {
        Name::Conversion(_) | Name::OrderAndGoal(..) | Name::Order(_) => true,
        Name::Goal(_) | Name::Nothing => false,
    }
}

/// Groups the reports of one click into claims, in the order of their names.
pub fn group<'a>(reports: impl IntoIterator<Item = &'a Report>) -> Vec<Claim<'a>> {
    let click = Click {
        reports: reports.into_iter().collect(),
        views: RefCell::default(),
    };
    click.group_before(Timestamp::MAX)
}

/// The reports of one click, and their claims as they stood at earlier instants.
struct Click<'a> {
    reports: Vec<&'a Report>,
    views: RefCell<BTreeMap<Timestamp, Rc<Vec<Claim<'a>>>>>,
}

impl<'a> Click<'a> {
    /// The claims of the reports that were appended before an instant.
    fn group_before(&self, at: Timestamp) -> Vec<Claim<'a>> {
        let mut reports: Vec<(Name<'a>, Rank, &'a Report)> = self
            .reports
            .iter()
            .filter(|report| report.appended_at < at)
            .map(|report| (Name::of(report), report.rank(), *report))
            .collect();
        reports
            .sort_by_key(|(name, rank, report)| (strength(*name), *name, *rank, report.position));

        let mut claims: Vec<Claim<'a>> = Vec::new();
        for same_strength in reports.chunk_by(|a, b| strength(a.0) == strength(b.0)) {
            // Candidates are the claims of stronger names only: reports of one strength don't
            // compete for each other.
            let stronger = claims.clone();
            let mut joined = claims;
            for same_name in same_strength.chunk_by(|a, b| a.0 == b.0) {
                let mut alone = Vec::new();
                let mut ambiguous = Vec::new();
                for (name, _, report) in same_name {
                    match self.place(*name, report, &stronger) {
                        Placement::Joins(index) => joined[index].reports.push(report),
                        Placement::Alone => alone.push(*report),
                        Placement::Ambiguous => ambiguous.push(*report),
                    }
                }
                if !alone.is_empty() {
                    joined.push(Claim::new(alone, false));
                }
                if !ambiguous.is_empty() {
                    joined.push(Claim::new(ambiguous, true));
                }
            }
            claims = joined;
        }
        for claim in &mut claims {
            claim
                .reports
                .sort_by_key(|report| (report.rank(), report.position));
        }
        claims.sort_by_key(|claim| (claim.first().rank(), claim.first().position));
        claims
    }

    fn view_before(&self, at: Timestamp) -> Rc<Vec<Claim<'a>>> {
        if let Some(known) = self.views.borrow().get(&at) {
            return Rc::clone(known);
        }
        let view = Rc::new(self.group_before(at));
        self.views.borrow_mut().insert(at, Rc::clone(&view));
        view
    }

    fn place(&self, name: Name<'_>, report: &Report, stronger: &[Claim<'_>]) -> Placement {
        // When each candidate could first be joined: both it and the report had to be there.
        let mut candidates: Vec<(Timestamp, usize)> = stronger
            .iter()
            .enumerate()
            .filter(|(_, claim)| name.fits(claim))
            .map(|(index, claim)| (claim.first_appended_at().max(report.appended_at), index))
            .collect();
        candidates.sort_unstable();
        match candidates.as_slice() {
            [] => Placement::Alone,
            [(_, only)] => Placement::Joins(*only),
            [(first_at, _), (second_at, _), ..] if first_at < second_at => {
                let had_joined = self.joined_before(report, *second_at);
                let kept = candidates.iter().map(|(_, index)| *index).find(|index| {
                    let shared = |one: &Report| holds(&had_joined, one);
                    stronger[*index].has(shared)
                });
                kept.map_or(Placement::Ambiguous, Placement::Joins)
            }
            [..] => Placement::Ambiguous,
        }
    }

    /// The reports of the claim that a report was in just before an instant, if that claim was
    /// closed by then; none otherwise.
    fn joined_before(&self, report: &Report, at: Timestamp) -> Vec<&'a Report> {
        let view = self.view_before(at);
        let then = view.iter().find(|then| holds(&then.reports, report));
        let closed = then.filter(|then| fold::payable_at(then.reports.iter().copied()) <= at);
        closed.map_or_else(Vec::new, |then| then.reports.clone())
    }
}

fn holds(reports: &[&Report], one: &Report) -> bool {
    reports.iter().any(|report| report.position == one.position)
}

fn strength(name: Name<'_>) -> u8 {
    match name {
        Name::Conversion(_) => 0,
        Name::OrderAndGoal(..) => 1,
        Name::Order(_) => 2,
        Name::Goal(_) => 3,
        Name::Nothing => 4,
    }
}

enum Placement {
    /// The claim at this index.
    Joins(usize),
    /// No claim fits: it makes one, with others of its name.
    Alone,
    /// Several fit, and nothing tells which.
    Ambiguous,
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::rules::fixtures::{self, ReportBuilder, report};

    fn names(reports: &[Report]) -> Vec<(Vec<i64>, bool)> {
        group(reports)
            .iter()
            .map(|claim| {
                let ids = claim
                    .reports()
                    .iter()
                    .map(|report| report.event_id.get())
                    .collect();
                (ids, claim.ambiguous)
            })
            .collect()
    }

    fn build(reports: Vec<ReportBuilder>) -> Vec<Report> {
        reports.into_iter().map(ReportBuilder::build).collect()
    }

    #[test]
    fn orders_and_goals_of_one_click_are_claims_of_their_own() {
        let reports = build(vec![
            report(1).txn("A"),
            report(2).txn("B"),
            report(3).txn("A"),
            report(4).txn("C").goal("signup"),
            report(5).txn("C").goal("purchase"),
        ]);
        assert_eq!(
            names(&reports),
            [
                (vec![1, 3], false),
                (vec![2], false),
                (vec![4], false),
                (vec![5], false),
            ]
        );
    }

    #[test]
    fn a_conversion_id_that_comes_later_joins_the_order_that_it_names() {
        let reports = build(vec![
            report(1).txn("A"),
            report(2).txn("A").conversion("c1"),
        ]);
        assert_eq!(names(&reports), [(vec![1, 2], false)]);
    }

    #[test]
    fn first_without_and_then_with_an_order_number_is_one_claim() {
        let reports = build(vec![report(1), report(2).txn("A")]);
        assert_eq!(names(&reports), [(vec![1, 2], false)]);
    }

    #[test]
    fn a_report_that_could_belong_to_two_orders_goes_to_a_person() {
        let reports = build(vec![report(1).txn("A"), report(2).txn("B"), report(3)]);
        assert_eq!(
            names(&reports),
            [(vec![1], false), (vec![2], false), (vec![3], true)]
        );
    }

    #[test]
    fn a_closed_claim_keeps_the_report_that_a_later_order_would_make_ambiguous() {
        let late = fixtures::T0.plus_days(31);
        let reports = build(vec![
            report(1).txn("A"),
            report(2),
            report(3).txn("B").received_at(late).appended_at(late),
        ]);
        assert_eq!(names(&reports), [(vec![1, 2], false), (vec![3], false)]);
        let soon = fixtures::T0.plus_days(29);
        let reports = build(vec![
            report(1).txn("A"),
            report(2),
            report(3).txn("B").received_at(soon).appended_at(soon),
        ]);
        assert_eq!(
            names(&reports),
            [(vec![1], false), (vec![2], true), (vec![3], false)]
        );
    }

    #[test]
    fn a_transaction_id_that_is_no_order_number_names_nothing() {
        let reports = build(vec![
            report(1).txn("1700000001").no_orders(),
            report(2).txn("17").no_orders(),
        ]);
        assert_eq!(names(&reports), [(vec![1, 2], false)]);
    }

    proptest! {
        #[test]
        fn the_order_of_arrival_changes_nothing(
            reports in fixtures::reports_of_one_click(8), seed: u64
        ) {
            let mut shuffled = reports.clone();
            fixtures::shuffle(&mut shuffled, seed);
            prop_assert_eq!(names(&reports), names(&shuffled));
        }

        #[test]
        fn every_report_is_in_exactly_one_claim(reports in fixtures::reports_of_one_click(8)) {
            let claims = group(&reports);
            let mut ids: Vec<_> =
                claims.iter().flat_map(Claim::reports).map(|report| report.event_id).collect();
            ids.sort_unstable();
            let mut expected: Vec<_> = reports.iter().map(|report| report.event_id).collect();
            expected.sort_unstable();
            prop_assert_eq!(ids, expected);
        }
    }
}
