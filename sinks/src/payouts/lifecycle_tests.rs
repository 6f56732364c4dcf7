use proptest::prelude::*;

use super::*;

const START: Timestamp = Timestamp::from_millis(1_700_000_000_000);

fn policy() -> RetryPolicy {
    RetryPolicy::default()
}

/// A payout in `state` with its `attempts`-th attempt of the round in flight.
fn in_flight(state: PayoutState, attempts: u32) -> Dispatch {
    Dispatch {
        state,
        attempts,
        first_attempt_at: Some(START),
        round_attempts: attempts,
        round_began_at: Some(START),
        next_attempt_at: Some(START),
        ambiguous: false,
        in_flight: true,
        recalled: false,
    }
}

fn minutes(count: i64) -> Timestamp {
    START.plus_millis(count * MILLIS_PER_MINUTE)
}

/// Every state × every outcome, for an attempt that is not the last.
#[test]
fn each_transition_is_as_the_design_says() {
    use OutcomeKind as O;
    use PayoutState as S;
    for state in PayoutState::ALL {
        for outcome in O::ALL {
            let settled = in_flight(state, 1).settled(outcome, START, &policy());
            let after = settled.dispatch;
            let (expected_state, expected_next) = match (state, outcome) {
                (_, O::Funded) => (S::Funded, None),
                (S::Queued | S::Cancelled | S::Funded, _) | (_, O::ChannelFault) => {
                    (state, Some(START))
                }
                (_, O::Refused | O::Mismatched) => (S::ErrorHard, None),
                (_, O::Throttled) => (state, Some(START.plus_millis(10_000))),
                (_, O::Unreachable | O::Unknown) => (state, Some(minutes(3))),
            };
            assert_eq!(after.state, expected_state, "{state:?} {outcome:?}");
            assert_eq!(
                after.next_attempt_at, expected_next,
                "{state:?} {outcome:?}"
            );
            assert_eq!(settled.step.is_some(), expected_state != state);
            assert_eq!(settled.pause_channel, outcome == O::ChannelFault);
            assert_eq!(settled.hold_ms.is_some(), outcome == O::Throttled);
            assert_eq!(
                after.ambiguous,
                matches!(outcome, O::Unknown | O::Mismatched)
            );
            assert_eq!(after.attempts, 1);
            assert!(!after.in_flight);
        }
    }
}

#[test]
fn retries_after_three_five_and_then_every_fifteen_minutes() {
    let mut dispatch = Dispatch::queued(START).announced().expect("queued");
    let mut began_minutes = Vec::new();
    while let Some(due_at) = dispatch.next_attempt_at {
        began_minutes.push(due_at.millis_since(START) / MILLIS_PER_MINUTE);
        let begun = dispatch.begun(due_at).expect("due");
        dispatch = begun
            .settled(OutcomeKind::Unknown, due_at, &policy())
            .dispatch;
    }
    assert_eq!(began_minutes, [0, 3, 8, 23, 38, 53, 68, 83, 98, 113]);
    assert_eq!(dispatch.state, PayoutState::ErrorSoft);
    assert_eq!(dispatch.attempts, 10);
}

#[test]
fn six_hours_end_a_round_whatever_the_count() {
    for outcome in [
        OutcomeKind::Unknown,
        OutcomeKind::Unreachable,
        OutcomeKind::Throttled,
    ] {
        let at = |minute| {
            in_flight(PayoutState::Sending, 2)
                .settled(outcome, minutes(minute), &policy())
                .dispatch
                .state
        };
        assert_eq!(at(359), PayoutState::Sending, "{outcome:?}");
        assert_eq!(at(360), PayoutState::ErrorSoft, "{outcome:?}");
    }
}

#[test]
fn throttling_never_uses_attempts_up() {
    let tenth = in_flight(PayoutState::Sending, 10);
    let after = tenth
        .settled(OutcomeKind::Throttled, START, &policy())
        .dispatch;
    assert_eq!(
        (after.state, after.round_attempts),
        (PayoutState::Sending, 9)
    );
    let after = tenth
        .settled(OutcomeKind::Unknown, START, &policy())
        .dispatch;
    assert_eq!(
        (after.state, after.next_attempt_at),
        (PayoutState::ErrorSoft, None)
    );
}

#[test]
fn a_channel_fault_costs_a_payout_nothing() {
    let tenth = in_flight(PayoutState::Sending, 10);
    let settled = tenth.settled(OutcomeKind::ChannelFault, minutes(900), &policy());
    assert!(settled.pause_channel);
    assert_eq!(settled.step, None);
    assert_eq!(settled.dispatch.next_attempt_at, Some(minutes(900)));
    // Days later the channel is resumed: the round begins anew.
    let begun = settled.dispatch.begun(minutes(9_000)).expect("due");
    let after = begun
        .settled(OutcomeKind::Unknown, minutes(9_000), &policy())
        .dispatch;
    assert_eq!(after.next_attempt_at, Some(minutes(9_003)));
}

#[test]
fn a_refusal_frees_the_money_only_if_every_attempt_was_certain() {
    let refused = |dispatch: Dispatch| {
        dispatch
            .settled(OutcomeKind::Refused, START, &policy())
            .dispatch
    };
    let certain = refused(in_flight(PayoutState::Sending, 1));
    assert!(certain.money_may_be_freed());
    let doubtful = refused(Dispatch {
        ambiguous: true,
        ..in_flight(PayoutState::Sending, 2)
    });
    assert_eq!(doubtful.state, PayoutState::ErrorHard);
    assert!(!doubtful.money_may_be_freed());
    // A card that isn't the one asked for is a doubt by itself.
    let mismatched = in_flight(PayoutState::Sending, 1)
        .settled(OutcomeKind::Mismatched, START, &policy())
        .dispatch;
    assert!(!mismatched.money_may_be_freed());
}

#[test]
fn release_takes_up_only_what_waits() {
    for state in PayoutState::ALL {
        let resting = Dispatch {
            in_flight: false,
            next_attempt_at: None,
            ..in_flight(state, 10)
        };
        let waits = matches!(state, PayoutState::ErrorSoft | PayoutState::ErrorHard);
        assert_eq!(resting.released(minutes(600)).is_some(), waits, "{state:?}");
        assert!(in_flight(state, 1).released(START).is_none());
        let scheduled = Dispatch {
            next_attempt_at: Some(START),
            ..resting
        };
        assert!(scheduled.released(START).is_none());
        if let Some(released) = resting.released(minutes(600)) {
            assert_eq!(released.state, state);
            assert_eq!(released.next_attempt_at, Some(minutes(600)));
            assert_eq!((released.round_attempts, released.attempts), (0, 10));
        }
    }
}

/// Nothing that happens to a recalled payout changes anything: every state × every event.
#[test]
fn nothing_moves_a_recalled_payout() {
    for state in PayoutState::ALL {
        for outcome in OutcomeKind::ALL {
            let recalled = Dispatch {
                recalled: true,
                next_attempt_at: None,
                ..in_flight(state, 1)
            };
            let settled = recalled.settled(outcome, START, &policy());
            assert_eq!(settled.dispatch.state, state, "{outcome:?}");
            assert_eq!(
                (settled.step, settled.dispatch.next_attempt_at),
                (None, None)
            );
        }
        let resting = Dispatch {
            recalled: true,
            in_flight: false,
            ..in_flight(state, 1)
        };
        assert!(resting.begun(START).is_none());
        let waiting = Dispatch {
            next_attempt_at: None,
            ..resting
        };
        assert!(waiting.released(START).is_none());
    }
}

#[test]
fn an_operators_payout_stays_with_the_operator() {
    let after =
        in_flight(PayoutState::ErrorHard, 10).settled(OutcomeKind::Unknown, START, &policy());
    assert_eq!(after.dispatch.state, PayoutState::ErrorHard);
    assert_eq!(after.step, None);
}

#[test]
fn only_a_queued_payout_is_announced() {
    for state in PayoutState::ALL {
        let dispatch = Dispatch {
            state,
            ..Dispatch::queued(START)
        };
        assert_eq!(dispatch.announced().is_some(), state == PayoutState::Queued);
        assert_eq!(dispatch.begun(START).is_some(), sendable(state));
    }
}

#[test]
fn nothing_begins_early_or_twice() {
    let sending = Dispatch::queued(START).announced().expect("queued");
    assert!(sending.begun(START.plus_millis(-1)).is_none());
    let begun = sending.begun(START).expect("due");
    assert!(begun.begun(START).is_none());
}

/// What the world does to a payout.
#[derive(Debug, Clone, Copy)]
enum Happening {
    Announce,
    Begin,
    Settle(OutcomeKind),
    Release,
    Wait(i64),
}

fn happening() -> impl Strategy<Value = Happening> {
    prop_oneof![
        Just(Happening::Announce),
        Just(Happening::Begin),
        proptest::sample::select(OutcomeKind::ALL.to_vec()).prop_map(Happening::Settle),
        Just(Happening::Release),
        (0_i64..40_000_000).prop_map(Happening::Wait),
    ]
}

proptest! {
    #[test]
    fn whatever_happens(happenings in prop::collection::vec(happening(), 0..200)) {
        let mut dispatch = Dispatch::queued(START);
        let mut now = START;
        let mut funded = false;
        let mut reported = PayoutState::Queued;
        for happening in happenings {
            let before = dispatch;
            match happening {
                Happening::Announce => {
                    if let Some(announced) = dispatch.announced() {
                        dispatch = announced;
                        reported = reported.after(PayoutStep::Sending);
                    }
                }
                Happening::Begin => dispatch = dispatch.begun(now).unwrap_or(dispatch),
                Happening::Settle(outcome) if dispatch.in_flight => {
                    let settled = dispatch.settled(outcome, now, &policy());
                    dispatch = settled.dispatch;
                    funded |= outcome == OutcomeKind::Funded;
                    if let Some(step) = settled.step {
                        reported = reported.after(step);
                    }
                }
                Happening::Settle(_) => {}
                Happening::Release => dispatch = dispatch.released(now).unwrap_or(dispatch),
                Happening::Wait(by_ms) => now = now.plus_millis(by_ms),
            }
            // The log knows every state.
            prop_assert_eq!(reported, dispatch.state);
            // A doubt is never forgotten, and keeps the money where it is.
            prop_assert!(dispatch.ambiguous >= before.ambiguous);
            prop_assert!(!(dispatch.ambiguous && dispatch.money_may_be_freed()));
            // A card is final, and only a card makes it so.
            prop_assert_eq!(dispatch.state == PayoutState::Funded, funded);
            prop_assert!(!funded || dispatch.next_attempt_at.is_none());
            // Nothing is stuck: it moves by itself, or waits for a run or a person.
            let moves = dispatch.in_flight || dispatch.next_attempt_at.is_some();
            let waits = matches!(
                dispatch.state,
                PayoutState::Funded | PayoutState::ErrorSoft | PayoutState::ErrorHard
            );
            prop_assert!(moves || waits);
            // Rounds are bounded.
            prop_assert!(dispatch.round_attempts <= policy().attempts_max);
            prop_assert!(dispatch.attempts >= before.attempts);
        }
    }
}
