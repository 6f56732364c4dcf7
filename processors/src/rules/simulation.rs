//! The ledger in memory, attacked: random histories of reports, heals, commands and payouts, in
//! random order, batches and repetition, must end as a fold of the whole set does; and a ledger
//! rebuilt from the log must equal the one that lived through it.
//!
//! The in-memory ledger loads only the neighbourhood that PostgreSQL's sink would load, so the
//! closure of [`Neighbourhood`] is under test as well.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use proptest::prelude::*;
use schemas::{
    ClickId, Currency, EventId, Minor, PayoutId, Position, Timestamp, Topic, UserId,
    events::{
        Account, ClaimStatus, Command, CommandBody, Correct, Heal, HealAuthor, PayoutStep,
        Reported, ReviewClaim, StatusReason, Target, Verdict,
    },
};
use uuid::Uuid;

use super::{
    fixtures::{self, T0},
    history::{self, HealClaim, OrderKey, Report},
    lifecycle::ClaimState,
    payouts::{self, Card, ClaimBalance, Limits, OwedClaim, PayoutState, QueuedPayout},
    postings::{self, BookKey, Booking},
    settlement::{Neighbourhood, Scope, settle},
    split::Parts,
};

const VELOCITY_SPAN_MILLIS: i64 = 24 * 3_600_000;

/// One record of the log, as the ledger reads it.
#[derive(Clone)]
enum Logged {
    Report(Report),
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
                } = report;
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
struct Payout {
    payout_id: PayoutId,
    user: UserId,
    as_of: Timestamp,
    card: Card,
}

#[derive(Debug, Default)]
struct MemoryLedger {
    reports: BTreeMap<Position, Report>,
    commands: BTreeMap<EventId, Command>,
    payouts: BTreeMap<PayoutId, Payout>,
    steps: BTreeMap<PayoutId, Vec<PayoutStep>>,
    claims: BTreeMap<(ClickId, EventId), ClaimState>,
    journal: Vec<(EventId, Booking)>,
    /// Records that the ledger itself makes: cancellations.
    outbox: Vec<Logged>,
    rebuilding: bool,
}

impl MemoryLedger {
    fn apply(&mut self, batch: &[Logged]) {
        let mut changed = BTreeSet::new();
        for logged in batch {
            match logged {
                Logged::Report(report) => {
                    // The first record for a position counts.
                    self.reports
                        .entry(report.position)
                        .or_insert_with(|| report.clone());
                    changed.extend(self.clicks_of_competing_heals(report));
                    changed.insert(report.click_id());
                }
                Logged::Command(command) => {
                    self.commands.insert(command.command_id, command.clone());
                    changed.extend(subject(command).and_then(|event| self.click_of(event)));
                }
                Logged::Payout(payout) => {
                    self.payouts.insert(payout.payout_id, payout.clone());
                    changed.extend(self.clicks_of_items(payout.payout_id));
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

        let mut users: BTreeMap<UserId, (Timestamp, Timestamp)> = BTreeMap::new();
        for report in loaded.values().flatten() {
            if let Some(user) = report.user_id() {
                let at = report.matched.click.clicked_at;
                let span = users.entry(user).or_insert((at, at));
                *span = (
                    span.0.min(at),
                    span.1.max(at.plus_millis(VELOCITY_SPAN_MILLIS)),
                );
            }
        }
        let in_window = self.reports.values().filter(|report| {
            report
                .user_id()
                .and_then(|user| users.get(&user))
                .is_some_and(|(from, to)| {
                    let from = from.plus_millis(-VELOCITY_SPAN_MILLIS);
                    (from..=*to).contains(&report.matched.click.clicked_at)
                })
        });
        load(in_window.map(Report::click_id).collect(), &mut loaded);
        load(self.clicks_naming(&orders_of(&loaded)), &mut loaded);

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

    fn settle(&mut self, changed: &BTreeSet<ClickId>) {
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
    fn booked(&self, state: &ClaimState) -> Booking {
        let mut booking = Booking::new();
        for (name, lines) in &self.journal {
            if state.holds(*name) {
                postings::add(&mut booking, lines);
            }
        }
        booking
    }

    fn state_of(&self, payout_id: PayoutId) -> PayoutState {
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
            .filter(move |payout| which(self.state_of(payout.payout_id)))
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
    fn run_payouts(&mut self, as_of: Timestamp, next_payout: &mut u128) -> Vec<Logged> {
        let limits = Limits {
            payout_min: Minor::new(100),
            card_max: Minor::new(1_000_000),
        };
        let mut records = Vec::new();
        for user in self.users() {
            let balances = self.balances(user);
            for card in payouts::allocate(&balances, as_of, Currency::INR, limits) {
                *next_payout += 1;
                let payout_id = PayoutId::new(Uuid::from_u128(*next_payout));
                let payout = Payout {
                    payout_id,
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

    fn cancel_what_lost_its_ground(&mut self) {
        for user in self.users() {
            let queued: Vec<_> = self
                .payouts
                .values()
                .filter(|payout| {
                    payout.user == user && self.state_of(payout.payout_id) == PayoutState::Queued
                })
                .map(|payout| QueuedPayout {
                    payout_id: payout.payout_id,
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
    fn canonical(&self) -> Canonical {
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
struct Canonical {
    claims: Vec<ClaimState>,
    books: Booking,
    payouts: BTreeMap<PayoutId, PayoutState>,
}

fn subject(command: &Command) -> Option<EventId> {
    match &command.body {
        CommandBody::ReviewClaim(review) => Some(review.event_id),
        CommandBody::Correct(correct) => Some(correct.event_id),
        CommandBody::MatchByHand(_)
        | CommandBody::ReleasePayout(_)
        | CommandBody::CancelPayout(_)
        | CommandBody::ChannelSwitch(_) => None,
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

/// Everything at once: the definition that the incremental ledger is held against.
fn fold_everything(log: &[Logged]) -> MemoryLedger {
    let mut ledger = MemoryLedger {
        rebuilding: true,
        ..MemoryLedger::default()
    };
    for logged in log {
        match logged {
            Logged::Report(report) => {
                ledger
                    .reports
                    .entry(report.position)
                    .or_insert_with(|| report.clone());
            }
            Logged::Command(_) | Logged::Payout(_) | Logged::Step(..) => {}
        }
    }
    let commands: Vec<_> = log
        .iter()
        .filter(|logged| !matches!(logged, Logged::Report(_)))
        .cloned()
        .collect();
    ledger.apply(&commands);
    let all = ledger.reports.values().map(Report::click_id).collect();
    ledger.settle(&all);
    ledger
}

prop_compose! {
    /// A report on one of few clicks of few users, sometimes as a heal of a parked record.
    fn any_logged_report(number: i64)(
        report in fixtures::any_report(number),
        click in 1_i64..7,
        heals in prop::option::weighted(0.25, (900_i64..903, any::<bool>())),
    ) -> Report {
        let mut report = report;
        // Clicks 1 to 5 are one user's, hours apart; the sixth is nobody's.
        let user = match click { 6 => None, 5 => Some(8), _ => Some(9) };
        report.matched.click = fixtures::click(click, user);
        report.matched.click.clicked_at = T0.plus_millis(click * 5 * 3_600_000);
        report.matched.rules.velocity_claims = 3;
        if let Some((parked, operator)) = heals {
            report.event_id = EventId::new(parked);
            report.received_at = T0.plus_days(i32::try_from(parked - 900).expect("small"));
            report.heal = Some(Heal {
                heals: Position { topic: Topic::Conversions, partition: 1, offset: parked },
                heal_id: EventId::new(10_000 + number),
                author: if operator { HealAuthor::Operator } else { HealAuthor::Machine },
                click: report.matched.click.clone(),
            });
        }
        report
    }
}

fn any_command(number: i64, reports: i64) -> impl Strategy<Value = Command> {
    let body = (1..=reports, 0..4_u8).prop_map(|(event, kind)| {
        let event_id = EventId::new(event);
        match kind {
            0 => CommandBody::ReviewClaim(ReviewClaim {
                event_id,
                verdict: Verdict::Approve,
            }),
            1 => CommandBody::ReviewClaim(ReviewClaim {
                event_id,
                verdict: Verdict::Reject,
            }),
            2 => CommandBody::Correct(Correct {
                event_id,
                target: None,
            }),
            _ => {
                let parts = Parts {
                    commission: Minor::new(1_000),
                    user: Minor::new(700),
                    creator: Minor::new(300),
                    ..Parts::default()
                };
                let split = parts.to_split(Currency::INR).expect("in range");
                CommandBody::Correct(Correct {
                    event_id,
                    target: Some(Target { split }),
                })
            }
        }
    });
    body.prop_map(move |body| Command {
        command_id: EventId::new(50_000 + number),
        issued_at: T0.plus_days(i32::try_from(number).expect("small")),
        author: "operator".to_owned(),
        reason: "because".to_owned(),
        body,
    })
}

fn any_log() -> impl Strategy<Value = Vec<Logged>> {
    (1_i64..14, 0_i64..3).prop_flat_map(|(reports, commands)| {
        let reported: Vec<_> = (1..=reports).map(any_logged_report).collect();
        let commanded: Vec<_> = (1..=commands)
            .map(|number| any_command(number, reports))
            .collect();
        (reported, commanded).prop_map(|(reported, commanded)| {
            let reported = reported.into_iter().map(Logged::Report);
            reported
                .chain(commanded.into_iter().map(Logged::Command))
                .collect()
        })
    })
}

/// Applies a log in random batches, with some records repeated.
fn apply_shuffled(ledger: &mut MemoryLedger, log: &[Logged], seed: u64, batch: usize) {
    let mut order = log.to_vec();
    order.extend(log.iter().step_by(3).cloned());
    fixtures::shuffle(&mut order, seed);
    for chunk in order.chunks(batch) {
        ledger.apply(chunk);
    }
}

fn appended_at(logged: &Logged) -> Timestamp {
    match logged {
        Logged::Report(report) => report.appended_at,
        Logged::Command(command) => command.issued_at,
        Logged::Payout(payout) => payout.as_of,
        Logged::Step(..) => Timestamp::MAX,
    }
}

/// Lives through a log in the order of appending, with payout runs and a dispatcher in between;
/// gives the ledger and everything that stands in the log in the end.
fn live(mut log: Vec<Logged>, batch: usize, dispatch: &[u8]) -> (MemoryLedger, Vec<Logged>) {
    log.sort_by_key(appended_at);
    let mut ledger = MemoryLedger::default();
    let mut written = Vec::new();
    let mut next_payout = 0;
    let mut dice = dispatch.iter().copied().cycle();
    for chunk in log.chunks(batch) {
        ledger.apply(chunk);
        written.extend_from_slice(chunk);
        let now = chunk.last().map_or(T0, appended_at);
        if dice.next() == Some(0) {
            written.extend(ledger.run_payouts(now, &mut next_payout));
        }
        let open: Vec<_> = ledger.payouts.keys().copied().collect();
        for payout_id in open {
            let step = match (ledger.state_of(payout_id), dice.next()) {
                (PayoutState::Queued, Some(0 | 1)) => PayoutStep::Sending,
                (PayoutState::Sending, Some(0 | 1)) => PayoutStep::Funded,
                _ => continue,
            };
            let record = Logged::Step(payout_id, step);
            ledger.apply(std::slice::from_ref(&record));
            written.push(record);
        }
        written.append(&mut ledger.outbox);
    }
    (ledger, written)
}

/// `PROPTEST_CASES` asks for more, or fewer.
fn config() -> ProptestConfig {
    if std::env::var_os("PROPTEST_CASES").is_some() {
        ProptestConfig::default()
    } else {
        ProptestConfig::with_cases(1_000)
    }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn any_order_batch_and_repetition_gives_the_fold_of_the_set(
        log in any_log(), seed: u64, batch in 1_usize..6
    ) {
        let mut ledger = MemoryLedger::default();
        apply_shuffled(&mut ledger, &log, seed, batch);
        prop_assert_eq!(ledger.canonical(), fold_everything(&log).canonical());
    }

    #[test]
    fn a_rebuilt_ledger_equals_the_one_that_lived_through_payouts(
        log in any_log(), seed: u64, batch in 1_usize..4,
        dispatch in prop::collection::vec(0_u8..4, 1..20),
    ) {
        let (lived, written) = live(log, batch, &dispatch);
        let mut rebuilt = MemoryLedger { rebuilding: true, ..MemoryLedger::default() };
        apply_shuffled(&mut rebuilt, &written, seed, 3);
        prop_assert_eq!(lived.canonical(), rebuilt.canonical());
        prop_assert!(rebuilt.outbox.is_empty());
        // At rest nothing is left to cancel: the outcome is in the log.
        rebuilt.cancel_what_lost_its_ground();
        prop_assert!(rebuilt.outbox.is_empty());
    }

    #[test]
    fn a_closed_claim_is_only_flagged_by_what_happens_elsewhere(
        log in any_log(), late in any_logged_report(77).prop_map(Logged::Report)
    ) {
        let before = fold_everything(&log);
        let Logged::Report(mut late) = late else { unreachable!("made as a report") };
        late.heal = None;
        late.event_id = EventId::new(77_777);
        late.position.offset = 77_777;
        let end = log.iter().map(appended_at).max().unwrap_or(T0);
        late.appended_at = end.plus_days(1);
        let click = late.click_id();
        let arrival = late.appended_at;
        let mut longer = log;
        longer.push(Logged::Report(late));
        let after = fold_everything(&longer);
        let unflagged = |state: &ClaimState| {
            let mut state = state.clone();
            state.reasons.retain(|reason| *reason != StatusReason::ClosedFlagged);
            state
        };
        for (key, state) in &before.claims {
            if key.0 != click && state.payable_at <= arrival {
                prop_assert_eq!(unflagged(state), unflagged(&after.claims[key]));
            }
        }
    }

    #[test]
    fn the_books_say_what_the_claims_say(log in any_log(), dispatch in prop::collection::vec(0_u8..4, 1..20)) {
        let (ledger, _) = live(log, 2, &dispatch);
        let mut users: BTreeMap<BookKey, Minor> = BTreeMap::new();
        for claim in ledger.claims.values() {
            let Parts { commission, subsidy, fee, user, creator } = claim.target;
            prop_assert_eq!(user + creator + fee, commission + subsidy);
            prop_assert_eq!(postings::parts(&ledger.booked(claim)), claim.target);
            for (key, amount) in postings::target(claim) {
                if key.account == Account::UserPayable {
                    *users.entry(key).or_default() += amount;
                }
            }
            let owed = matches!(claim.status, ClaimStatus::Confirmed | ClaimStatus::Paid);
            let corrected = claim.reasons.contains(&StatusReason::Corrected);
            prop_assert!(owed || corrected || claim.target == Parts::default());
        }
        let books = ledger.canonical().books;
        for (key, amount) in users {
            prop_assert_eq!(books.get(&key).copied().unwrap_or_default(), amount);
        }
    }
}
