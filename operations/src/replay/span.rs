//! Which records a replay is about.

use std::{fmt, str::FromStr};

use schemas::{Position, Timestamp};
use serde::{Serialize, Serializer};

/// Where a span begins or ends: at a time of appending, or at a position of one partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bound {
    /// Records of every partition, by the time at which the log took them.
    Time(Timestamp),
    /// Records of this partition only, by offset.
    Position(Position),
}

/// A span of the log, half-open. Without a bound it goes as far as the log does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Span {
    /// The first record is at or after this.
    pub from: Option<Bound>,
    /// And all are before this.
    pub to: Option<Bound>,
}

impl Span {
    /// Whether it is the whole log.
    pub fn whole(&self) -> bool {
        self.from.is_none() && self.to.is_none()
    }

    /// Whether a record is in it, by its identity and the time at which it was appended.
    pub fn holds(&self, position: Position, appended_at: Timestamp) -> bool {
        let reached = |bound: Bound| match bound {
            Bound::Time(at) => appended_at >= at,
            Bound::Position(at) => same_partition(position, at) && position.offset >= at.offset,
        };
        let passed = |bound: Bound| match bound {
            Bound::Time(at) => appended_at >= at,
            Bound::Position(at) => !same_partition(position, at) || position.offset >= at.offset,
        };
        self.from.is_none_or(reached) && !self.to.is_some_and(passed)
    }
}

fn same_partition(one: Position, other: Position) -> bool {
    (one.topic, one.partition) == (other.topic, other.partition)
}

impl FromStr for Bound {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        position(text)
            .map(Self::Position)
            .or_else(|| Timestamp::parse(text).map(Self::Time))
            .ok_or_else(|| {
                format!(
                    "{text:?} is neither a time such as 2026-11-20T00:00:00Z nor a position such \
                     as conversions/3/1200"
                )
            })
    }
}

fn position(text: &str) -> Option<Position> {
    let position: Position = text.parse().ok()?;
    let exists = (0..position.topic.partitions()).contains(&position.partition);
    (exists && position.offset >= 0).then_some(position)
}

impl fmt::Display for Bound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Time(at) => at.fmt(f),
            Self::Position(position) => position.fmt(f),
        }
    }
}

impl Serialize for Bound {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use schemas::Topic;

    use super::*;

    fn at(partition: i32, offset: i64) -> Position {
        Position {
            topic: Topic::Conversions,
            partition,
            offset,
        }
    }

    #[test]
    fn a_span_holds_its_first_record_and_not_its_end() {
        let time = |millis| Timestamp::from_millis(millis);
        let span = Span {
            from: Some(Bound::Time(time(10))),
            to: Some(Bound::Time(time(20))),
        };
        let held = [9, 10, 19, 20].map(|millis| span.holds(at(0, 0), time(millis)));
        assert_eq!(held, [false, true, true, false]);
        assert!(Span::default().holds(at(0, 0), time(0)) && Span::default().whole());
    }

    #[test]
    fn a_span_of_offsets_is_of_their_partition() {
        let span = Span {
            from: Some(Bound::Position(at(3, 5))),
            to: Some(Bound::Position(at(3, 7))),
        };
        let held = |partition, offset| span.holds(at(partition, offset), Timestamp::default());
        assert_eq!(
            [4, 5, 6, 7].map(|offset| held(3, offset)),
            [false, true, true, false]
        );
        assert!(!held(2, 5));
    }

    #[test]
    fn bounds_are_times_or_positions() {
        let bound = |text: &str| text.parse::<Bound>();
        assert_eq!(bound("conversions/3/5"), Ok(Bound::Position(at(3, 5))));
        let millis = Timestamp::from_millis(1_790_000_000_000);
        assert_eq!(bound("2026-09-21T14:13:20Z"), Ok(Bound::Time(millis)));
        for text in [
            "",
            "yesterday",
            "conversions/12/0",
            "conversions/3/-1",
            "sales/1/1",
        ] {
            assert!(bound(text).is_err(), "{text}");
        }
    }
}
