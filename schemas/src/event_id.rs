//! Event ids: 41 bits of milliseconds, 10 of instance, 12 of counter (design section 3).
//!
//! Processes lease the lower half of the instance numbers. The upper half is the edges': a redirect
//! that runs in a content delivery network leases nothing, and draws at random what follows the
//! time. So no id of an edge is ever one of a process.

use crate::{ClickId, EventId, Timestamp};

const INSTANCE_BITS: u32 = 10;
const COUNTER_BITS: u32 = 12;
const COUNTER_MAX: u16 = (1 << COUNTER_BITS) - 1;
const MILLIS_MAX: i64 = (1 << 41) - 1;

/// 2020-01-01T00:00:00Z: 41 bits of milliseconds last from here until 2089.
const EPOCH_MILLIS: i64 = 1_577_836_800_000;

/// Number of instances that can draw ids at the same time.
pub const INSTANCES: u16 = 1 << (INSTANCE_BITS - 1);
/// Set in the ids that edges draw: the highest bit of the instance.
const EDGE_BIT: i64 = 1 << (INSTANCE_BITS + COUNTER_BITS - 1);

/// Draws event ids for one instance. A value: the caller holds it behind a lock and passes the
/// time in.
#[derive(Debug)]
pub struct EventIds {
    instance: u16,
    millis: i64,
    counter: u16,
}

/// No id can be drawn at this instant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("event ids are used up until {retry_at}")]
pub struct Exhausted {
    /// When to try again. A clock that stepped back waits until it has caught up.
    pub retry_at: Timestamp,
}

/// The instance number is not below [`INSTANCES`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an instance number lies between 0 and 511")]
pub struct InstanceOutOfRange;

impl EventIds {
    /// For one instance, leased from PostgreSQL.
    ///
    /// # Errors
    /// When the number is not below [`INSTANCES`].
    pub fn new(instance: u16) -> Result<Self, InstanceOutOfRange> {
        if instance < INSTANCES {
            Ok(Self {
                instance,
                millis: 0,
                counter: 0,
            })
        } else {
            Err(InstanceOutOfRange)
        }
    }

    /// Draws the next id. Ids of one instance rise strictly.
    ///
    /// # Errors
    /// When `now` is earlier than the last id's time, or this millisecond's 4,096 ids are drawn.
    pub fn draw(&mut self, now: Timestamp) -> Result<EventId, Exhausted> {
        let millis = (now.millis() - EPOCH_MILLIS).clamp(1, MILLIS_MAX);
        if millis < self.millis || (millis == self.millis && self.counter == COUNTER_MAX) {
            let next = if millis < self.millis {
                self.millis
            } else {
                self.millis + 1
            };
            return Err(Exhausted {
                retry_at: Timestamp::from_millis(next + EPOCH_MILLIS),
            });
        }
        self.counter = if millis == self.millis {
            self.counter + 1
        } else {
            0
        };
        self.millis = millis;
        let id = (millis << (INSTANCE_BITS + COUNTER_BITS))
            | (i64::from(self.instance) << COUNTER_BITS)
            | i64::from(self.counter);
        Ok(EventId::new(id))
    }
}

/// When an edge drew this click id; `None` where it isn't an edge's.
pub fn drawn_at_edge(id: ClickId) -> Option<Timestamp> {
    (id.get() & EDGE_BIT != 0).then(|| drawn_at(EventId::new(id.get())))
}

/// The time that an event id was drawn at.
pub const fn drawn_at(id: EventId) -> Timestamp {
    Timestamp::from_millis((id.get() >> (INSTANCE_BITS + COUNTER_BITS)) + EPOCH_MILLIS)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn ids_rise_whatever_the_clock_does(steps in prop::collection::vec(-3_i64..50, 1..300)) {
            let mut ids = EventIds::new(7).expect("a valid instance");
            let mut now = 1_790_000_000_000;
            let mut last = EventId::new(0);
            for step in steps {
                now += step;
                match ids.draw(Timestamp::from_millis(now)) {
                    Ok(id) => {
                        prop_assert!(id > last);
                        prop_assert_eq!(drawn_at(id).millis(), now);
                        last = id;
                    }
                    Err(exhausted) => prop_assert!(exhausted.retry_at.millis() > now),
                }
            }
        }
    }

    #[test]
    fn no_process_draws_an_id_from_the_edges_half() {
        let now = Timestamp::from_millis(1_790_000_000_000);
        for instance in [0, INSTANCES - 1] {
            let mut ids = EventIds::new(instance).expect("a valid instance");
            let click_id = ClickId::new(ids.draw(now).expect("the first").get());
            assert_eq!(drawn_at_edge(click_id), None);
            let at_the_edge = ClickId::new(click_id.get() | EDGE_BIT);
            assert_eq!(drawn_at_edge(at_the_edge), Some(now));
        }
    }

    #[test]
    fn a_millisecond_holds_4096_ids_and_then_says_when_to_come_back() {
        let mut ids = EventIds::new(0).expect("a valid instance");
        let now = Timestamp::from_millis(1_790_000_000_000);
        for _ in 0..4_096 {
            assert!(ids.draw(now).is_ok());
        }
        assert_eq!(
            ids.draw(now),
            Err(Exhausted {
                retry_at: now.plus_millis(1)
            })
        );
    }

    #[test]
    fn instances_are_bounded() {
        assert!(EventIds::new(512).is_err());
    }
}
