//! The rail's limits over all instances: every call has a slot that was taken in the database.
//!
//! Slots are handed out in the order in which they are asked for, one spacing apart, at most
//! one second ahead, so that no instance can take the whole future. A slot whose taker dies is
//! lost, and where the database can't be asked there is no slot: it fails towards fewer calls.

use std::{num::NonZeroU32, time::Duration};

use chrono::{DateTime, Utc};
use sqlx::{PgConnection, Row};
use tokio::time::Instant;

use super::{Store, StoreError};

const MICROS_PER_SECOND: u64 = 1_000_000;
/// How far ahead slots are handed out.
pub(in crate::payouts) const HORIZON: Duration = Duration::from_secs(1);

/// What is limited.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    /// Any call at all.
    Call,
    /// Asking for the funds, which Amazon limits by itself too: once a second.
    Funds,
}

impl Operation {
    const fn name(self) -> &'static str {
        match self {
            Self::Call => "call",
            Self::Funds => "funds",
        }
    }
}

/// Calls a second, over every instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CallRate {
    spacing_us: i64,
}

impl CallRate {
    /// At most so many in any second: evenly spaced, without bursts.
    pub fn per_second(calls: NonZeroU32) -> Self {
        let spacing_us = MICROS_PER_SECOND.div_ceil(u64::from(calls.get()));
        Self {
            spacing_us: i64::try_from(spacing_us).unwrap_or(i64::MAX),
        }
    }

    fn fitting(self, start_us: i64) -> i64 {
        let horizon_us = i64::try_from(HORIZON.as_micros()).unwrap_or(i64::MAX);
        (horizon_us - start_us).div_euclid(self.spacing_us) + 1
    }

    /// Takes up to `wanted` slots at `now`, where `next_at` is the first that is free.
    fn take(self, next_at: DateTime<Utc>, now: DateTime<Utc>, wanted: usize) -> Taken {
        let ahead_us = (next_at - now).num_microseconds().unwrap_or(i64::MAX);
        // Nobody takes a slot beyond the horizon. One that lies there was taken by a clock that
        // has been set back since: it counts as far as slots can reach.
        let horizon_us = i64::try_from(HORIZON.as_micros()).unwrap_or(i64::MAX);
        let start_us = ahead_us.clamp(0, horizon_us + self.spacing_us);
        let wanted = i64::try_from(wanted).unwrap_or(i64::MAX);
        let count = self.fitting(start_us).clamp(0, wanted);
        let end_us = start_us + count * self.spacing_us;
        Taken {
            slots: (0..count)
                .map(|number| delay(start_us + number * self.spacing_us))
                .collect(),
            next_at: now + chrono::Duration::microseconds(end_us),
        }
    }
}

fn delay(micros: i64) -> Duration {
    Duration::from_micros(u64::try_from(micros).unwrap_or(0))
}

/// Slots, and the first that is free after them.
#[derive(Debug, PartialEq, Eq)]
struct Taken {
    /// From now.
    slots: Vec<Duration>,
    next_at: DateTime<Utc>,
}

impl Store {
    /// Takes up to `wanted` slots, and gives the instants from which on the calls may be made.
    /// Others wait for the slots until the transaction ends: to be taken last.
    pub(super) async fn take_slots(
        &self,
        connection: &mut PgConnection,
        operation: Operation,
        rate: CallRate,
        wanted: usize,
    ) -> Result<Vec<Instant>, StoreError> {
        if wanted == 0 {
            return Ok(Vec::new());
        }
        let row = sqlx::query(
            "INSERT INTO payout_rates AS r (channel, operation, next_at)
             VALUES ($1, $2, clock_timestamp())
             ON CONFLICT (channel, operation) DO UPDATE SET next_at = r.next_at
             RETURNING next_at, clock_timestamp() AS now",
        )
        .bind(self.channel)
        .bind(operation.name())
        .fetch_one(&mut *connection)
        .await?;
        // After the answer, so that what its way took makes a call later and never earlier.
        let received_at = Instant::now();
        let taken = rate.take(row.try_get("next_at")?, row.try_get("now")?, wanted);
        sqlx::query("UPDATE payout_rates SET next_at = $3 WHERE channel = $1 AND operation = $2")
            .bind(self.channel)
            .bind(operation.name())
            .bind(taken.next_at)
            .execute(connection)
            .await?;
        let instants = taken.slots.iter().map(|slot| received_at + *slot);
        Ok(instants.collect())
    }

    /// Waits until one call may be made.
    ///
    /// # Errors
    /// When the database can't be asked: then there is no call.
    pub async fn wait_for_slot(
        &self,
        operation: Operation,
        rate: CallRate,
    ) -> Result<(), StoreError> {
        loop {
            let mut transaction = self.pool.begin().await?;
            let slots = self
                .take_slots(&mut transaction, operation, rate, 1)
                .await?;
            transaction.commit().await?;
            match slots.first() {
                Some(slot) => {
                    tokio::time::sleep_until(*slot).await;
                    return Ok(());
                }
                None => tokio::time::sleep(HORIZON / 4).await,
            }
        }
    }
}

/// How often Amazon lets the funds be asked for.
const FUNDS_PER_SECOND: NonZeroU32 = NonZeroU32::new(1).expect("one is not zero");

impl Store {
    /// Waits until the funds may be asked for: a call like any other, and one in a second.
    ///
    /// # Errors
    /// As [`Store::wait_for_slot`].
    pub async fn wait_to_ask_for_funds(&self, rate: CallRate) -> Result<(), StoreError> {
        let rarely = CallRate::per_second(FUNDS_PER_SECOND);
        self.wait_for_slot(Operation::Funds, rarely).await?;
        self.wait_for_slot(Operation::Call, rate).await
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(micros: i64) -> DateTime<Utc> {
        DateTime::from_timestamp_micros(1_800_000_000_000_000 + micros).expect("a time")
    }

    fn rate(calls: u32) -> CallRate {
        CallRate::per_second(calls.try_into().expect("not zero"))
    }

    #[test]
    fn a_free_rate_gives_the_horizons_slots_at_once() {
        let taken = rate(10).take(at(-60_000_000), at(0), 100);
        let millis: Vec<u128> = taken.slots.iter().map(Duration::as_millis).collect();
        assert_eq!(
            millis,
            [0, 100, 200, 300, 400, 500, 600, 700, 800, 900, 1_000]
        );
        assert_eq!(taken.next_at, at(1_100_000));
        // Now nobody gets any before a slot comes within the horizon.
        assert!(rate(10).take(taken.next_at, at(50_000), 1).slots.is_empty());
        assert_eq!(rate(10).take(taken.next_at, at(100_000), 5).slots.len(), 1);
    }

    #[test]
    fn a_clock_that_was_set_back_stops_calls_for_no_longer_than_a_horizon() {
        let taken = rate(10).take(at(3_600_000_000), at(0), 1);
        assert!(taken.slots.is_empty());
        let later = rate(10).take(taken.next_at, at(100_000), 1);
        assert_eq!(later.slots.len(), 1);
    }

    proptest! {
        /// Instances that ask whenever and for however much: no second ever has more calls.
        #[test]
        fn no_second_has_more_than_its_calls(
            calls in 1_u32..200,
            asked in prop::collection::vec((0_i64..400_000, 0_usize..30), 1..200),
        ) {
            let rate = rate(calls);
            let (mut now, mut next_at) = (0, at(0));
            let mut granted: Vec<i64> = Vec::new();
            for (pause_us, wanted) in asked {
                now += pause_us;
                let taken = rate.take(next_at, at(now), wanted);
                next_at = taken.next_at;
                granted.extend(taken.slots.iter().map(|slot| {
                    now + i64::try_from(slot.as_micros()).expect("small")
                }));
            }
            for (index, from) in granted.iter().enumerate() {
                let within = granted[index..].iter().take_while(|at| **at < from + 1_000_000);
                prop_assert!(within.count() <= calls as usize);
            }
        }
    }
}
