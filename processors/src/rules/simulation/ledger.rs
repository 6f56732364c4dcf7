//! The ledger in memory: it loads only the neighbourhood that PostgreSQL's sink would load, so
//! that the closure of [`Neighbourhood`] is under test as well.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use schemas::{
    ClickId, Currency, EventId, Minor, PayoutId, Position, Timestamp, UserId,
    events::{Command, CommandBody, PayoutStep, Reported},
};
use uuid::Uuid;

use crate::rules::{
    history::{self, HealClaim, OrderKey, Report},
    lifecycle::ClaimState,
    payouts::{self, ClaimBalance, Limits, OwedClaim, PayoutState, QueuedPayout, Transfer},
    postings::{self, Booking},
    settlement::{Neighbourhood, Scope, settle},
    velocity,
};

/// One record of the log, as the ledger reads it.
#[derive(Clone)]
pub(super) enum Logged {
    Report(Box<Report>),
    Command(Command),
    Payout(Payout),
    Step(PayoutId, PayoutStep),
}

/// Failures print logs: only what the generators vary.
impl fmt::Debug for Logged {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Report(report) => {
                let Report {
                    event_id,
                    received_at,
                    appended_at,
                    as_of,
                    fields,
                    heal,
                    ..
                } = &**report;
                let heal = heal
                    .as_ref()
                    .map(|heal| (heal.heals.offset, heal.heal_id, heal.author));
                write!(f, "report {event_id} of click {} ", report.click_id())?;
                write!(
                    f,
                    "received {received_at} appended {appended_at} as of {as_of:?}: "
                )?;
                let Reported {
                    txn_id,
                    goal_id,
                    network_conversion_id,
                    ..
                } = fields;
                write!(
                    f,
                    "{txn_id:?} {goal_id:?} {network_conversion_id:?} {:?} ",
                    fields.status
                )?;
                write!(
                    f,
                    "{:?} {:?} heal {heal:?}",
                    fields.sale_amount, fields.converted_at
                )
            }
            Self::Command(command) => write!(f, "{} {:?}", command.issued_at, command.body),
            Self::Payout(payout) => write!(f, "{payout:?}"),
            Self::Step(payout_id, step) => write!(f, "{payout_id} {step:?}"),
        }
    }
}

#[derive(Debug, Clone, PartialEq)]
pub(super) struct Payout {
    pub id: PayoutId,
    pub user: UserId,
    pub as_of: Timestamp,
    pub card: Transfer,
}

#[derive(Debug, Default)]
pub(super) struct MemoryLedger {
    pub reports: BTreeMap<Position, Report>,
    commands: BTreeMap<EventId, Command>,
    pub payouts: BTreeMap<PayoutId, Payout>,
    steps: BTreeMap<PayoutId, Vec<PayoutStep>>,
    pub claims: BTreeMap<(ClickId, EventId), ClaimState>,
    journal: Vec<(EventId, Booking)>,
    /// Records that the ledger itself makes: cancellations.
    pub outbox: Vec<Logged>,
    rebuilding: bool,
}

impl MemoryLedger {
    /// A ledger that is filled from the log, and adds nothing to it.
    pub fn rebuilding() -> Self {
        Self {
            rebuilding: true,
            ..Self::default()
        }
    }

    pub fn apply(&mut self, batch: &[Logged]) {
        let mut changed = BTreeSet::new();
        for logged in batch {
            match logged {
                Logged::Report(report) => {
                    // The first record for a position counts.
                    self.reports
                        .entry(report.position)
                        .or_insert_with(|| (**report).clone());
                    changed.extend(self.clicks_of_competing_heals(report));
                    changed.insert(report.click_id());
                }
                Logged::Command(command) => {
                    self.commands.insert(command.command_id, command.clone());
                    changed.extend(subject(command).and_then(|event| self.click_of(event)));
                }
                Logged::Payout(payout) => {
                    self.payouts.insert(payout.id, payout.clone());
                    changed.extend(self.clicks_of_items(payout.id));
                }
                Logged::Step(payout_id, step) => {
                    let steps = self.steps.entry(*payout_id).or_default();
                    if !steps.contains(step) {
                        steps.push(*step);
                        // In the log a payout's steps share a partition, so they come in order.
                        steps.sort_unstable();
                    }
                    changed.extend(self.clicks_of_items(*payout_id));
                }
            }
        }
        self.settle(&changed);
        if !self.rebuilding {
            self.cancel_what_lost_its_ground();
        }
    }

    fn clicks_of_competing_heals(&self, report: &Report) -> Vec<ClickId> {
        let Some(heal) = &report.heal else {
            return Vec::new();
        };
        self.heals(heal.heals).map(Report::click_id).collect()
    }

    fn heals(&self, parked: Position) -> impl Iterator<Item = &Report> {
        self.reports.values().filter(move |report| {
            report
                .heal
                .as_ref()
                .is_some_and(|heal| heal.heals == parked)
        })
    }

    fn click_of(&self, event: EventId) -> Option<ClickId> {
        self.claims
            .values()
            .find(|claim| claim.holds(event))
            .map(|claim| claim.click.click_id)
    }

    fn clicks_of_items(&self, payout_id: PayoutId) -> Vec<ClickId> {
        let items = self
            .payouts
            .get(&payout_id)
            .map_or(&[][..], |payout| &payout.card.items);
        items
            .iter()
            .filter_map(|(claim, _)| self.click_of(*claim))
            .collect()
    }

    fn reports_of(&self, click: ClickId) -> Vec<Report> {
        let mut reports: Vec<_> = self
            .reports
            .values()
            .filter(|report| report.click_id() == click)
            .cloned()
            .collect();
        for report in &mut reports {
            if let Some(heal) = &report.heal {
                let all: Vec<_> = self.heals(heal.heals).map(heal_claim).collect();
                report.superseded_at = history::superseded_at(&heal_claim(report), &all);
            }
        }
        reports
    }

    /// The closure that [`Neighbourhood`] asks for, step by step as SQL would load it.
    fn load(&self, changed: &BTreeSet<ClickId>) -> (Neighbourhood, Scope) {
        let mut loaded: BTreeMap<ClickId, Vec<Report>> = BTreeMap::new();
        let load = |clicks: BTreeSet<ClickId>, loaded: &mut BTreeMap<_, _>| {
            for click in clicks {
                loaded
                    .entry(click)
                    .or_insert_with(|| self.reports_of(click));
            }
        };
        load(changed.clone(), &mut loaded);
        let orders = orders_of(&loaded);
        load(self.clicks_naming(&orders), &mut loaded);

        let mut windows = velocity::windows(loaded.values().flatten());
        for (user, window) in &mut windows {
            *window = window.among(&self.reports_of_user(*user));
        }
        windows.retain(|_, window| window.matters());
        for (user, window) in &windows {
            let mut reports = self.reports_of_user(*user);
            let looked_at = window.since()..=window.until();
            reports.retain(|report| looked_at.contains(&report.matched.click.clicked_at));
            let clicks = reports.into_iter().map(Report::click_id);
            load(clicks.collect(), &mut loaded);
        }
        load(self.clicks_naming(&orders_of(&loaded)), &mut loaded);
        let users = windows
            .iter()
            .map(|(user, window)| (*user, (window.from, window.until())))
            .collect();

        let neighbourhood = Neighbourhood {
            reports: loaded,
            commands: self.commands.values().cloned().collect(),
            paid: self.paid(),
        };
        (
            neighbourhood,
            Scope {
                clicks: changed.clone(),
                orders,
                users,
            },
        )
    }

    fn reports_of_user(&self, user: UserId) -> Vec<&Report> {
        let of_user = |report: &&Report| report.user_id() == Some(user);
        self.reports.values().filter(of_user).collect()
    }

    fn clicks_naming(&self, orders: &BTreeSet<OrderKey>) -> BTreeSet<ClickId> {
        self.reports
            .values()
            .filter(|report| {
                report
                    .order_key()
                    .is_some_and(|order| orders.contains(&order))
            })
            .map(Report::click_id)
            .collect()
    }

    pub fn settle(&mut self, changed: &BTreeSet<ClickId>) {
        let (neighbourhood, scope) = self.load(changed);
        let settled = settle(&neighbourhood, &scope);
        self.claims
            .retain(|(click, _), _| !scope.clicks.contains(click));
        for state in settled {
            let booked = self.booked(&state);
            let lines = postings::difference(&postings::target(&state), &booked);
            assert_eq!(lines.values().copied().sum::<Minor>(), Minor::ZERO);
            if !lines.is_empty() {
                self.journal.push((state.name, lines));
            }
            self.claims
                .insert((state.click.click_id, state.name), state);
        }
    }

    /// The fold of a claim's postings, under all its names.
    pub fn booked(&self, state: &ClaimState) -> Booking {
        let mut booking = Booking::new();
        for (name, lines) in &self.journal {
            if state.holds(*name) {
                postings::add(&mut booking, lines);
            }
        }
        booking
    }

    pub fn state_of(&self, payout_id: PayoutId) -> PayoutState {
        let steps = self.steps.get(&payout_id).map_or(&[][..], Vec::as_slice);
        steps
            .iter()
            .fold(PayoutState::Queued, |state, step| state.after(*step))
    }

    fn items(
        &self,
        which: impl Fn(PayoutState) -> bool,
    ) -> impl Iterator<Item = (UserId, EventId, Minor)> {
        self.payouts
            .values()
            .filter(move |payout| which(self.state_of(payout.id)))
            .flat_map(|payout| {
                payout
                    .card
                    .items
                    .iter()
                    .map(|(claim, amount)| (payout.user, *claim, *amount))
            })
    }

    fn paid(&self) -> BTreeMap<(EventId, UserId), Minor> {
        let mut paid = BTreeMap::new();
        for (user, claim, amount) in self.items(|state| state == PayoutState::Funded) {
            *paid.entry((claim, user)).or_insert(Minor::ZERO) += amount;
        }
        paid
    }

    fn balances(&self, user: UserId) -> Vec<ClaimBalance> {
        let claims: Vec<_> = self
            .claims
            .values()
            .filter(|claim| claim.click.user_id == Some(user))
            .map(|claim| OwedClaim {
                claim: claim.name,
                names: claim.reports.iter().map(|report| report.event_id).collect(),
                payable_at: claim.payable_at,
                owed: claim.target.user,
            })
            .collect();
        let items: Vec<_> = self
            .items(PayoutState::allocates)
            .filter(|(payee, ..)| *payee == user)
            .map(|(_, claim, amount)| (claim, amount))
            .collect();
        payouts::balances(&claims, &items)
    }

    fn users(&self) -> BTreeSet<UserId> {
        self.reports.values().filter_map(Report::user_id).collect()
    }

    /// A payout run: only when everything is folded, which the caller sees to.
    pub fn run_payouts(&mut self, as_of: Timestamp, next_payout: &mut u128) -> Vec<Logged> {
        let limits = Limits {
            payout_min: Minor::new(100),
            whole_units: true,
            transfer_min: Minor::new(1),
            transfer_max: Minor::new(1_000_000),
        };
        let mut records = Vec::new();
        for user in self.users() {
            let balances = self.balances(user);
            for card in payouts::allocate(&balances, as_of, Currency::INR, limits) {
                *next_payout += 1;
                let payout_id = PayoutId::new(Uuid::from_u128(*next_payout));
                let payout = Payout {
                    id: payout_id,
                    user,
                    as_of,
                    card,
                };
                self.payouts.insert(payout_id, payout.clone());
                records.push(Logged::Payout(payout));
            }
            let matured = payouts::matured(&balances, as_of);
            let made: Minor = records
                .iter()
                .filter_map(|logged| match logged {
                    Logged::Payout(payout) if payout.user == user => Some(payout.card.amount),
                    Logged::Payout(_)
                    | Logged::Report(_)
                    | Logged::Command(_)
                    | Logged::Step(..) => None,
                })
                .sum();
            assert!(
                made <= matured.max(Minor::ZERO),
                "paid more than had matured"
            );
        }
        records
    }

    pub fn cancel_what_lost_its_ground(&mut self) {
        for user in self.users() {
            let queued: Vec<_> = self
                .payouts
                .values()
                .filter(|payout| {
                    payout.user == user && self.state_of(payout.id) == PayoutState::Queued
                })
                .map(|payout| QueuedPayout {
                    payout_id: payout.id,
                    as_of: payout.as_of,
                    // Items name claims as they were called then; balances as they are now.
                    items: payout
                        .card
                        .items
                        .iter()
                        .map(|(name, amount)| (self.current_name(*name), *amount))
                        .collect(),
                })
                .collect();
            for payout_id in payouts::to_cancel(&self.balances(user), &queued) {
                self.steps
                    .entry(payout_id)
                    .or_default()
                    .push(PayoutStep::Cancelled);
                self.outbox
                    .push(Logged::Step(payout_id, PayoutStep::Cancelled));
            }
        }
    }

    fn current_name(&self, event: EventId) -> EventId {
        self.claims
            .values()
            .find(|claim| claim.holds(event))
            .map_or(event, |claim| claim.name)
    }

    /// Final states and balances, without the path: what a canonical dump shows.
    pub fn canonical(&self) -> Canonical {
        let mut books = Booking::new();
        for (_, lines) in &self.journal {
            postings::add(&mut books, lines);
        }
        Canonical {
            claims: self.claims.values().cloned().collect(),
            books,
            payouts: self
                .payouts
                .keys()
                .map(|payout_id| (*payout_id, self.state_of(*payout_id)))
                .collect(),
        }
    }
}

#[derive(Debug, PartialEq)]
pub(super) struct Canonical {
    pub claims: Vec<ClaimState>,
    pub books: Booking,
    payouts: BTreeMap<PayoutId, PayoutState>,
}

fn subject(command: &Command) -> Option<EventId> {
    match &command.body {
        CommandBody::ReviewClaim(review) => Some(review.event_id),
        CommandBody::Correct(correct) => Some(correct.event_id),
        CommandBody::MatchByHand(_)
        | CommandBody::ReleasePayout(_)
        | CommandBody::CancelPayout(_)
        | CommandBody::ChannelSwitch(_)
        | CommandBody::ResendMessage(_) => None,
    }
}

fn heal_claim(report: &Report) -> HealClaim {
    let heal = report.heal.as_ref().expect("only asked of heals");
    HealClaim {
        position: report.position,
        author: heal.author,
        heal_id: heal.heal_id,
        appended_at: report.appended_at,
    }
}

fn orders_of(loaded: &BTreeMap<ClickId, Vec<Report>>) -> BTreeSet<OrderKey> {
    loaded
        .values()
        .flatten()
        .filter_map(Report::order_key)
        .collect()
}
