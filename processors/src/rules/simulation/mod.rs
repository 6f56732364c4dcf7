//! The ledger attacked: random histories of reports, heals, commands and payouts, in random
//! order, batches and repetition, must end as a fold of the whole set does; and a ledger rebuilt
//! from the log must equal the one that lived through it.

mod ledger;

use std::collections::BTreeMap;

use proptest::prelude::*;
use schemas::{
    Currency, EventId, Minor, Position, Timestamp, Topic,
    events::{
        Account, ClaimStatus, Command, CommandBody, Correct, Heal, HealAuthor, PayoutStep,
        ReviewClaim, StatusReason, Target, Verdict,
    },
};

use self::ledger::{Logged, MemoryLedger};
use super::{
    fixtures::{self, T0},
    history::Report,
    lifecycle::ClaimState,
    payouts::PayoutState,
    postings::{self, BookKey},
    split::Parts,
};

/// Everything at once: the definition that the incremental ledger is held against.
fn fold_everything(log: &[Logged]) -> MemoryLedger {
    let mut ledger = MemoryLedger::rebuilding();
    for logged in log {
        match logged {
            Logged::Report(report) => {
                ledger
                    .reports
                    .entry(report.position)
                    .or_insert_with(|| (**report).clone());
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
        velocity_claims in 2_i32..5,
        velocity_hours in prop::sample::select(vec![6, 12, 24, 48]),
        heals in prop::option::weighted(0.25, (900_i64..903, any::<bool>())),
    ) -> Report {
        let mut report = report;
        // Clicks 1 to 5 are one user's, hours apart; the sixth is nobody's.
        let user = match click { 6 => None, 5 => Some(8), _ => Some(9) };
        report.matched.click = fixtures::click(click, user);
        report.matched.click.clicked_at = T0.plus_millis(click * 5 * 3_600_000);
        report.matched.rules.velocity_claims = velocity_claims;
        report.matched.rules.velocity_hours = velocity_hours;
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
            let reported = reported
                .into_iter()
                .map(|report| Logged::Report(Box::new(report)));
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
        let mut rebuilt = MemoryLedger::rebuilding();
        apply_shuffled(&mut rebuilt, &written, seed, 3);
        prop_assert_eq!(lived.canonical(), rebuilt.canonical());
        prop_assert!(rebuilt.outbox.is_empty());
        // At rest nothing is left to cancel: the outcome is in the log.
        rebuilt.cancel_what_lost_its_ground();
        prop_assert!(rebuilt.outbox.is_empty());
    }

    #[test]
    fn a_closed_claim_is_only_flagged_by_what_happens_elsewhere(
        log in any_log(),
        late in any_logged_report(77).prop_map(|report| Logged::Report(Box::new(report)))
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
            state.findings.retain(|finding| finding.reason != StatusReason::ClosedFlagged);
            // The owner is called by today's name, and may have got another one.
            state.order_owner = state.order_owner.map(|_| EventId::new(0));
            state
        };
        for (key, state) in &before.claims {
            if key.0 != click && state.payable_at <= arrival {
                prop_assert_eq!(unflagged(state), unflagged(&after.claims[key]));
            }
        }
    }

    #[test]
    fn the_books_say_what_the_claims_say(
        log in any_log(), dispatch in prop::collection::vec(0_u8..4, 1..20)
    ) {
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
            let corrected = claim.reasons().any(|reason| reason == StatusReason::Corrected);
            prop_assert!(owed || corrected || claim.target == Parts::default());
        }
        let books = ledger.canonical().books;
        for (key, amount) in users {
            prop_assert_eq!(books.get(&key).copied().unwrap_or_default(), amount);
        }
    }
}
