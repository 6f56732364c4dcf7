//! The whole fold: from everything that is known about a neighbourhood of clicks to the state of
//! its claims.
//!
//! The ledger's promise is that a claim's state is a function of the *set* of logged records,
//! whatever order, batch, partition or instance they were processed in. So this takes sets and
//! knows no "before": what other claims mean for a claim is taken from the records that were
//! appended before the claim closed (design section 5: "a record may change another claim by
//! machine only if its own append time is before that claim's `payable_at`"). Both are values in
//! records.

use std::{
    cell::RefCell,
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet},
    rc::Rc,
};

use schemas::{
    ClickId, EventId, Minor, Timestamp, UserId,
    events::{Command, CommandBody},
};

use super::{
    claims::{self, Claim},
    fold,
    history::{OrderKey, Report},
    lifecycle::{
        self, ClaimState, Correction, Neighbours, OperatorDecisions, OrderStanding, Ruling,
    },
    orders::{self, Claimant},
    split::Parts,
    velocity::{self, UserClaim},
};

/// Everything that the state of some claims depends on.
///
/// For the claims of [`Scope`] it must hold: all reports of their clicks; all reports of every
/// click that ever named one of their orders; for their users, all reports of clicks in the
/// velocity window before them, and of the clicks that name those claims' orders, unless there
/// are too few for velocity [to matter](velocity::Window::matters); the commands on, and payments
/// of, any of their reports.
#[derive(Debug, Clone, Default)]
pub struct Neighbourhood {
    /// Reports by click.
    pub reports: BTreeMap<ClickId, Vec<Report>>,
    /// Commands on claims.
    pub commands: Vec<Command>,
    /// What was paid to whom, by the claim's name at the time.
    pub paid: BTreeMap<(EventId, UserId), Minor>,
}

/// Which claims to evaluate.
#[derive(Debug, Clone, Default)]
pub struct Scope {
    /// All claims of these clicks,
    pub clicks: BTreeSet<ClickId>,
    /// and all claims on these orders,
    pub orders: BTreeSet<OrderKey>,
    /// and all claims of these users whose clicks lie in a span of time, ends included.
    pub users: BTreeMap<UserId, (Timestamp, Timestamp)>,
}

impl Scope {
    fn covers(&self, claim: &Claim<'_>) -> bool {
        let click = &claim.first().matched.click;
        let in_span = |user: &UserId| {
            self.users
                .get(user)
                .is_some_and(|(from, to)| (*from..=*to).contains(&click.clicked_at))
        };
        self.clicks.contains(&click.click_id)
            || claim.reports().iter().any(|report| {
                report
                    .order_key()
                    .is_some_and(|order| self.orders.contains(&order))
            })
            || click.user_id.as_ref().is_some_and(in_span)
    }
}

/// Evaluates the claims of `scope`, in the order of (click, name).
pub fn settle(neighbourhood: &Neighbourhood, scope: &Scope) -> Vec<ClaimState> {
    let fold = Fold::new(neighbourhood);
    neighbourhood
        .reports
        .keys()
        .flat_map(|click| fold.claims_at(*click, Timestamp::MAX))
        .filter(|claim| scope.covers(claim))
        .map(|claim| {
            let operator = operator_decisions(&claim, &neighbourhood.commands);
            let paid = claim
                .reports()
                .iter()
                .filter_map(|report| {
                    neighbourhood
                        .paid
                        .get(&(report.event_id, report.user_id()?))
                })
                .copied()
                .sum();
            lifecycle::evaluate(&claim, fold.neighbours(&claim), operator, paid)
        })
        .collect()
}

/// The newest decision of each kind on any of the claim's reports.
fn operator_decisions(claim: &Claim<'_>, commands: &[Command]) -> OperatorDecisions {
    let mut newest_first: Vec<_> = commands.iter().collect();
    newest_first.sort_by_key(|command| Reverse((command.issued_at, command.command_id)));
    let ruling = newest_first.iter().find_map(|command| match &command.body {
        CommandBody::ReviewClaim(review) if claim.holds(review.event_id) => Some(Ruling {
            verdict: review.verdict,
            command_id: command.command_id,
            issued_at: command.issued_at,
        }),
        CommandBody::ReviewClaim(_)
        | CommandBody::Correct(_)
        | CommandBody::MatchByHand(_)
        | CommandBody::ReleasePayout(_)
        | CommandBody::CancelPayout(_)
        | CommandBody::ChannelSwitch(_)
        | CommandBody::ResendMessage(_) => None,
    });
    let newest_target = newest_first.iter().find_map(|command| match &command.body {
        CommandBody::Correct(correct) if claim.holds(correct.event_id) => {
            Some((command.command_id, correct.target))
        }
        CommandBody::Correct(_)
        | CommandBody::ReviewClaim(_)
        | CommandBody::MatchByHand(_)
        | CommandBody::ReleasePayout(_)
        | CommandBody::CancelPayout(_)
        | CommandBody::ChannelSwitch(_)
        | CommandBody::ResendMessage(_) => None,
    });
    let currency = claim.first().matched.terms.currency;
    let correction = newest_target
        .and_then(|(command_id, target)| {
            Some(Correction {
                target: Parts::from_split(&target?.split, currency),
                command_id,
            })
        })
        // A target that doesn't add up is nobody's to book: it counts as no target.
        .filter(|correction| correction.target.bookable());
    OperatorDecisions { ruling, correction }
}

/// An order with its goal: what is owned.
type Order = (OrderKey, Option<String>);

/// The standing of each claimant of an order, by name.
type Standings = BTreeMap<EventId, OrderStanding>;

/// Which claims close.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum World {
    /// All of them, in their time.
    AsItWas,
    /// All but the one that holds a report: what would have become of it.
    NeverCloses(EventId),
}

impl World {
    fn closes(self, claim: &Claim<'_>) -> bool {
        match self {
            Self::AsItWas => true,
            Self::NeverCloses(report) => !claim.holds(report),
        }
    }
}

/// Look-ups over a neighbourhood, as it stood at any instant.
struct Fold<'a> {
    neighbourhood: &'a Neighbourhood,
    clicks_by_order: BTreeMap<OrderKey, BTreeSet<ClickId>>,
    clicks_by_user: BTreeMap<UserId, BTreeSet<ClickId>>,
    /// Just after the last record: every later instant looks the same.
    end: Timestamp,
    standings: RefCell<BTreeMap<(Order, Timestamp, World), Rc<Standings>>>,
}

impl<'a> Fold<'a> {
    fn new(neighbourhood: &'a Neighbourhood) -> Self {
        let mut clicks_by_order: BTreeMap<_, BTreeSet<_>> = BTreeMap::new();
        let mut clicks_by_user: BTreeMap<_, BTreeSet<_>> = BTreeMap::new();
        let mut last = Timestamp::default();
        for report in neighbourhood.reports.values().flatten() {
            if let Some(order) = report.order_key() {
                clicks_by_order
                    .entry(order)
                    .or_default()
                    .insert(report.click_id());
            }
            if let Some(user) = report.user_id() {
                clicks_by_user
                    .entry(user)
                    .or_default()
                    .insert(report.click_id());
            }
            last = last
                .max(report.appended_at)
                .max(report.superseded_at.unwrap_or_default());
        }
        Self {
            neighbourhood,
            clicks_by_order,
            clicks_by_user,
            end: last.plus_millis(1),
            standings: RefCell::default(),
        }
    }

    /// The claims of a click, from the reports that were in force just before `at`.
    fn claims_at(&self, click: ClickId, at: Timestamp) -> Vec<Claim<'a>> {
        let reports = self.neighbourhood.reports.get(&click).into_iter().flatten();
        claims::group(reports.filter(|report| report.in_force_at(at)))
    }

    /// When a claim closes to other claims' records: at `payable_at`, but not before it is there.
    /// Instants after the last record are one.
    fn closed_at(&self, claim: &Claim<'_>) -> Timestamp {
        let payable_at = fold::payable_at(claim.reports().iter().copied());
        payable_at
            .max(claim.first_appended_at().plus_millis(1))
            .min(self.end)
    }

    /// When the standing of a claim, as it was just before `at`, closes on its order: with the
    /// claim; or, where its own later reports moved it to this order, as soon as they had.
    fn standing_closed_at(&self, claim: &Claim<'a>, order: &Order, at: Timestamp) -> Timestamp {
        let closed_at = self.closed_at(claim);
        let reports = self.neighbourhood.reports.get(&claim.first().click_id());
        let mut changes: Vec<_> = reports
            .into_iter()
            .flatten()
            .flat_map(|report| [Some(report.appended_at), report.superseded_at])
            .flatten()
            .filter(|change| (closed_at..at).contains(change))
            .collect();
        changes.sort_unstable();
        let elsewhere_before = |change: &Timestamp| {
            let before = self.then(claim, *change);
            before.is_none_or(|before| order_of(&before).as_ref() != Some(order))
        };
        let moved_here = changes.into_iter().rev().find(elsewhere_before);
        moved_here.map_or(closed_at, |moved_at| moved_at.plus_millis(1).min(self.end))
    }

    /// What the other claims mean for a claim of the whole set.
    fn neighbours(&self, claim: &Claim<'a>) -> Neighbours {
        let closed_at = self.closed_at(claim);
        let order = self.closing_standing(claim, self.end, World::AsItWas);
        let velocity = self.velocity(claim, order, closed_at);
        let order = self.by_todays_name(claim, order);
        let flagged = {
            let if_open = self.by_todays_name(claim, self.standing_if_open(claim));
            let velocity_if_open = self.velocity(claim, if_open, self.end);
            if_open != order || velocity_if_open.is_some() != velocity.is_some()
        };
        Neighbours {
            order,
            velocity,
            flagged,
        }
    }

    /// A standing in which the owner goes by the name that it has now, whatever it was called when
    /// the claim closed.
    fn by_todays_name(&self, claim: &Claim<'a>, standing: OrderStanding) -> OrderStanding {
        let today = |owner: EventId| {
            let order = order_of(claim).map(|(key, _)| key);
            let clicks = order.and_then(|key| self.clicks_by_order.get(&key));
            clicks
                .into_iter()
                .flatten()
                .flat_map(|click| self.claims_at(*click, self.end))
                .find(|other| other.holds(owner))
                .map_or(owner, |other| other.name())
        };
        match standing {
            OrderStanding::Owner => OrderStanding::Owner,
            OrderStanding::Duplicate { owner } => OrderStanding::Duplicate {
                owner: today(owner),
            },
            OrderStanding::OwnedByClosed { owner } => OrderStanding::OwnedByClosed {
                owner: today(owner),
            },
        }
    }

    /// The standing with which a claim, as it was just before `at`, had closed, or which it had
    /// while it was open.
    fn closing_standing(&self, claim: &Claim<'a>, at: Timestamp, world: World) -> OrderStanding {
        order_of(claim)
            .and_then(|order| {
                let at = self.standing_closed_at(claim, &order, at);
                // Its name may have been another one then.
                let then = self.then(claim, at)?;
                self.standings(&order, at, world).get(&then.name()).copied()
            })
            .unwrap_or_default()
    }

    /// The claim as it was just before `at`: the one that held its earliest record.
    fn then(&self, claim: &Claim<'a>, at: Timestamp) -> Option<Claim<'a>> {
        let earliest = earliest(claim);
        self.claims_at(earliest.click_id(), at)
            .into_iter()
            .find(|then| then.holds(earliest.event_id))
    }

    /// The standings on an order as of `at`: closed claims keep the one that they closed with.
    fn standings(&self, order: &Order, at: Timestamp, world: World) -> Rc<Standings> {
        let key = (order.clone(), at, world);
        if let Some(known) = self.standings.borrow().get(&key) {
            return Rc::clone(known);
        }
        let claimants: Vec<_> = self
            .claimants(order, at)
            .iter()
            .map(|claim| {
                let closes = world.closes(claim);
                let closed = closes && self.standing_closed_at(claim, order, at) < at;
                claimant(
                    claim,
                    closed.then(|| self.closing_standing(claim, at, world)),
                )
            })
            .collect();
        let standings = Rc::new(orders::standings(&claimants));
        self.standings
            .borrow_mut()
            .insert(key, Rc::clone(&standings));
        standings
    }

    /// The standing that a claim would have if it had never closed: where it differs, a person is
    /// told.
    fn standing_if_open(&self, claim: &Claim<'a>) -> OrderStanding {
        let world = World::NeverCloses(earliest(claim).event_id);
        order_of(claim)
            .and_then(|order| {
                let standings = self.standings(&order, self.end, world);
                standings.get(&claim.name()).copied()
            })
            .unwrap_or_default()
    }

    fn claimants(&self, order: &Order, at: Timestamp) -> Vec<Claim<'a>> {
        self.clicks_by_order
            .get(&order.0)
            .into_iter()
            .flatten()
            .flat_map(|click| self.claims_at(*click, at))
            .filter(|claim| order_of(claim).as_ref() == Some(order))
            .collect()
    }

    /// How many claims of its user there are up to a claim of this standing, as of `at`, where they
    /// are too many.
    fn velocity(&self, claim: &Claim<'a>, standing: OrderStanding, at: Timestamp) -> Option<i32> {
        let user = claim.first().user_id()?;
        if matches!(standing, OrderStanding::Duplicate { .. }) {
            return None;
        }
        let others: Vec<_> = self
            .clicks_by_user
            .get(&user)
            .into_iter()
            .flatten()
            .flat_map(|click| self.claims_at(*click, at))
            .filter(|other| !shares_a_report(other, claim) && !self.duplicate(other, at))
            .map(|other| user_claim(&other))
            .collect();
        velocity::exceeded(&user_claim(claim), &others, &claim.first().matched.rules)
    }

    /// Whether a claim of the view at `at` is a duplicate in it.
    fn duplicate(&self, claim: &Claim<'a>, at: Timestamp) -> bool {
        let Some(order) = order_of(claim) else {
            return false;
        };
        let standings = self.standings(&order, at, World::AsItWas);
        matches!(
            standings.get(&claim.name()),
            Some(OrderStanding::Duplicate { .. })
        )
    }
}

/// The record of a claim that was appended first: it is found in every later view of the claim.
fn earliest<'a>(claim: &Claim<'a>) -> &'a Report {
    claim
        .reports()
        .iter()
        .copied()
        .min_by_key(|report| report.appended_at)
        .unwrap_or_else(|| claim.first())
}

fn shares_a_report(a: &Claim<'_>, b: &Claim<'_>) -> bool {
    a.reports().iter().any(|report| b.holds(report.event_id))
}

/// The order that a claim names: of the highest-ranked reports that carry number and goal.
fn order_of(claim: &Claim<'_>) -> Option<Order> {
    let newest_first = || claim.reports().iter().rev();
    let key = newest_first().find_map(|report| report.order_key())?;
    let goal = newest_first().find_map(|report| report.fields.goal_id.clone());
    Some((key, goal))
}

fn claimant(claim: &Claim<'_>, frozen: Option<OrderStanding>) -> Claimant {
    let first = claim.first();
    Claimant {
        name: claim.name(),
        received_at: first.received_at,
        policy: first.matched.terms.duplicate_orders,
        duplicate_days: first.matched.rules.duplicate_days,
        frozen,
    }
}

fn user_claim(claim: &Claim<'_>) -> UserClaim {
    let click = &claim.first().matched.click;
    UserClaim {
        clicked_at: click.clicked_at,
        click_id: click.click_id,
        name: claim.name(),
        order: order_of(claim),
    }
}

#[cfg(test)]
#[path = "settlement_tests.rs"]
mod tests;
