//! When a parked report is tried again, and for which a machine's try is no use. Pure.

use schemas::{Timestamp, events::UnmatchedReason};

const MINUTE_MS: i64 = 60_000;
const HOUR_MS: i64 = 60 * MINUTE_MS;

/// After receipt; the last one ends the day that a report waits by itself (design section 4).
const TRIES_AFTER_MS: [i64; 8] = [
    MINUTE_MS,
    5 * MINUTE_MS,
    15 * MINUTE_MS,
    HOUR_MS,
    3 * HOUR_MS,
    6 * HOUR_MS,
    12 * HOUR_MS,
    24 * HOUR_MS,
];

/// The next try of a report that was tried at `now`; `None` once the day is over, from when on
/// only its click's arrival or a person helps.
pub fn next_try_at(received_at: Timestamp, now: Timestamp) -> Option<Timestamp> {
    TRIES_AFTER_MS
        .iter()
        .map(|after_ms| received_at.plus_millis(*after_ms))
        .find(|at| *at > now)
}

/// Whether the click of a report may turn up by itself: it arrives, or its key or its link becomes
/// known. What is forged stays forged.
pub const fn may_turn_up(reason: UnmatchedReason) -> bool {
    match reason {
        UnmatchedReason::UnknownClick
        | UnmatchedReason::TokenKeyUnknown
        | UnmatchedReason::UnknownLink => true,
        UnmatchedReason::TokenForged
        | UnmatchedReason::NotAReference
        | UnmatchedReason::OtherTenant
        | UnmatchedReason::OtherNetwork => false,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const RECEIVED: Timestamp = Timestamp::from_millis(1_790_000_000_000);

    #[test]
    fn tries_thin_out_over_a_day_and_then_end() {
        let mut now = RECEIVED;
        let mut minutes = Vec::new();
        while let Some(next) = next_try_at(RECEIVED, now) {
            minutes.push(next.millis_since(RECEIVED) / MINUTE_MS);
            now = next;
        }
        assert_eq!(minutes, [1, 5, 15, 60, 180, 360, 720, 1_440]);
    }

    #[test]
    fn a_healer_that_slept_makes_up_for_nothing() {
        let now = RECEIVED.plus_millis(2 * HOUR_MS);
        let next = RECEIVED.plus_millis(3 * HOUR_MS);
        assert_eq!(next_try_at(RECEIVED, now), Some(next));
        assert_eq!(next_try_at(RECEIVED, RECEIVED.plus_days(1)), None);
    }

    proptest! {
        #[test]
        fn the_next_try_is_ahead_and_within_the_day(late_ms in -HOUR_MS..48 * HOUR_MS) {
            let now = RECEIVED.plus_millis(late_ms);
            match next_try_at(RECEIVED, now) {
                Some(next) => prop_assert!(next > now && next <= RECEIVED.plus_days(1)),
                None => prop_assert!(now >= RECEIVED.plus_days(1)),
            }
        }
    }
}
