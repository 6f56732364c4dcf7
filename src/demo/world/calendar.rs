//! When things happen: the instants at which the driver sets the clock.

use rand::{RngExt, rngs::StdRng};
use schemas::Timestamp;

use super::{PayoutRun, Phase};

/// Days of traffic before the first payout run.
pub const TRAFFIC_DAYS: i64 = 20;
/// Slots of traffic: one each three hours.
pub const TRAFFIC_SLOTS: usize = 160;
/// Slots of the late phase, from the first of which on days pass between them.
pub const LATE_SLOTS: usize = 20;

/// One hour in milliseconds.
pub const HOUR_MS: i64 = 3_600_000;
/// One day in milliseconds.
pub const DAY_MS: i64 = 24 * HOUR_MS;

const SLOT_MS: i64 = 3 * HOUR_MS;
const SLOT_JITTER_MS: i64 = 20 * 60_000;
const LATE_SLOT_MS: i64 = 16 * HOUR_MS;
const FIRST_RUN_MS: i64 = 36 * DAY_MS;
const LATE_FROM_MS: i64 = 37 * DAY_MS;
const SECOND_RUN_MS: i64 = 66 * DAY_MS;
/// Runs lie off the full hour, so that no claim becomes payable at the very instant of one.
const RUN_OFFSET_MS: i64 = 7 * 60_000 + 13;

/// Index of a slot of the [`Calendar`].
pub type Slot = usize;

/// The slots in which clicks and reports are placed, and the payout runs.
#[derive(Debug, Clone)]
pub struct Calendar {
    slots: Vec<Timestamp>,
    runs: [PayoutRun; 2],
}

impl Calendar {
    /// The slot whose anniversaries are slots of their own.
    pub const CELEBRATED: Slot = 8;
    /// 30 days after it, less a millisecond: its orders are still owned.
    pub const BEFORE_ANNIVERSARY: Slot = TRAFFIC_SLOTS;
    /// 30 days after it: its orders are free again.
    pub const ANNIVERSARY: Slot = TRAFFIC_SLOTS + 1;
    /// The first slot of the late phase.
    pub const LATE: Slot = TRAFFIC_SLOTS + 2;
    /// The last slot of all.
    pub const LAST: Slot = Self::LATE + LATE_SLOTS - 1;

    /// A calendar that begins at an instant.
    pub fn from(started_at: Timestamp, rng: &mut StdRng) -> Self {
        let mut slots: Vec<Timestamp> = (0_i64..)
            .take(TRAFFIC_SLOTS)
            .map(|slot| {
                let jitter_ms = rng.random_range(0..SLOT_JITTER_MS);
                started_at.plus_millis(slot * SLOT_MS + jitter_ms)
            })
            .collect();
        let anniversary = slots[Self::CELEBRATED].plus_millis(30 * DAY_MS);
        slots.extend([anniversary.plus_millis(-1), anniversary]);
        slots.extend((0_i64..).take(LATE_SLOTS).map(|slot| {
            let jitter_ms = rng.random_range(0..SLOT_JITTER_MS);
            started_at.plus_millis(LATE_FROM_MS + slot * LATE_SLOT_MS + jitter_ms)
        }));
        let run = |after_ms| PayoutRun {
            as_of: started_at.plus_millis(after_ms + RUN_OFFSET_MS),
        };
        Self {
            slots,
            runs: [run(FIRST_RUN_MS), run(SECOND_RUN_MS)],
        }
    }

    /// When a slot begins.
    pub fn at(&self, slot: Slot) -> Timestamp {
        self.slots[slot]
    }

    /// All slots, in order.
    pub fn slots(&self) -> impl Iterator<Item = Slot> + use<> {
        0..self.slots.len()
    }

    /// Which phase a slot belongs to.
    pub const fn phase(slot: Slot) -> Phase {
        if slot < Self::LATE {
            Phase::Traffic
        } else {
            Phase::Late
        }
    }

    /// The payout runs: after the traffic, and after the late phase.
    pub const fn runs(&self) -> [PayoutRun; 2] {
        self.runs
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;

    use super::*;

    #[test]
    fn slots_rise_and_runs_follow_their_phases() {
        let started_at = Timestamp::from_millis(1_790_000_000_000);
        let calendar = Calendar::from(started_at, &mut StdRng::seed_from_u64(1));
        let times: Vec<_> = calendar.slots().map(|slot| calendar.at(slot)).collect();
        assert!(times.is_sorted_by(|a, b| a < b));
        let [first, second] = calendar.runs();
        assert!(calendar.at(Calendar::ANNIVERSARY) < first.as_of);
        assert!(first.as_of < calendar.at(Calendar::LATE));
        assert!(calendar.at(Calendar::LAST) < second.as_of);
        assert_eq!(calendar.slots().last(), Some(Calendar::LAST));
    }
}
