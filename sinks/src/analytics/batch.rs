//! A batch: a run of records of one partition, and the rows that it makes.

use processors::stage::{Origin, OriginError, dead_letters::Reason};
use schemas::{
    Topic,
    codec::{self, CodecError},
};
use stream::{Partition, Record};

use super::rows::{
    ClickRow, ConversionRow, DecisionRow, LedgerChangeRow, LedgerEntryRow, PayoutRow, PayoutStepRow,
};

/// A topic that analytics follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Source {
    Clicks,
    Decisions,
    Ledger,
    Payouts,
    PayoutResults,
}

impl Source {
    /// All of them.
    pub(super) const ALL: [Self; 5] = [
        Self::Clicks,
        Self::Decisions,
        Self::Ledger,
        Self::Payouts,
        Self::PayoutResults,
    ];

    /// Its topic.
    pub(super) const fn topic(self) -> Topic {
        match self {
            Self::Clicks => Topic::Clicks,
            Self::Decisions => Topic::Decisions,
            Self::Ledger => Topic::Ledger,
            Self::Payouts => Topic::Payouts,
            Self::PayoutResults => Topic::PayoutResults,
        }
    }

    /// The source of a topic, if analytics follows it.
    pub(super) const fn of(topic: Topic) -> Option<Self> {
        match topic {
            Topic::Clicks => Some(Self::Clicks),
            Topic::Decisions => Some(Self::Decisions),
            Topic::Ledger => Some(Self::Ledger),
            Topic::Payouts => Some(Self::Payouts),
            Topic::PayoutResults => Some(Self::PayoutResults),
            Topic::Conversions | Topic::Commands | Topic::DeadLetters => None,
        }
    }
}

/// The bounds of a batch: with them a batch can be made again exactly as it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Bounds {
    pub(super) partition: Partition,
    /// Where the batch before it ended. The log may have gaps, so that no record need stand here.
    pub(super) first: i64,
    /// Its last record.
    pub(super) last: i64,
}

/// The rows of batches of one source, per table.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Rows {
    Clicks(Vec<ClickRow>),
    Reports {
        conversions: Vec<ConversionRow>,
        decisions: Vec<DecisionRow>,
    },
    Claims {
        entries: Vec<LedgerEntryRow>,
        changes: Vec<LedgerChangeRow>,
    },
    Payouts(Vec<PayoutRow>),
    PayoutSteps(Vec<PayoutStepRow>),
}

/// Why a record makes no row.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unreadable {
    #[error(transparent)]
    Codec(#[from] CodecError),
    #[error(transparent)]
    Origin(#[from] OriginError),
}

impl Unreadable {
    /// Its code in the dead letter.
    pub(super) const fn reason(&self) -> Reason {
        match self {
            Self::Codec(_) => Reason::Undecodable,
            Self::Origin(_) => Reason::OriginUnreadable,
        }
    }
}

/// What the records of batches make.
#[derive(Debug)]
pub(super) struct Content {
    pub(super) rows: Rows,
    /// Records that make no row, to be dead-lettered, with the reason.
    pub(super) unreadable: Vec<(Record, Unreadable)>,
}

impl Content {
    /// Reads the records of batches. A function of the records alone: a batch that is inserted
    /// again makes the same rows.
    pub(super) fn read(source: Source, records: Vec<Record>) -> Self {
        let mut reader = Reader {
            records,
            unreadable: Vec::new(),
        };
        let rows = match source {
            Source::Clicks => Rows::Clicks(reader.rows(ClickRow::of)),
            Source::Decisions => {
                let mut conversions = Vec::with_capacity(reader.records.len());
                let mut decisions = Vec::with_capacity(reader.records.len());
                reader.each(|decision, origin| {
                    conversions.push(ConversionRow::of(decision, origin));
                    decisions.push(DecisionRow::of(decision, origin));
                });
                Rows::Reports {
                    conversions,
                    decisions,
                }
            }
            Source::Ledger => {
                let mut entries = Vec::with_capacity(reader.records.len());
                let mut changes = Vec::with_capacity(reader.records.len());
                reader.each(|change, origin| {
                    entries.push(LedgerEntryRow::of(change, origin));
                    changes.push(LedgerChangeRow::of(change, origin));
                });
                Rows::Claims { entries, changes }
            }
            Source::Payouts => Rows::Payouts(reader.rows(PayoutRow::of)),
            Source::PayoutResults => Rows::PayoutSteps(reader.rows(PayoutStepRow::of)),
        };
        Self {
            rows,
            unreadable: reader.unreadable,
        }
    }
}

struct Reader {
    records: Vec<Record>,
    unreadable: Vec<(Record, Unreadable)>,
}

impl Reader {
    /// Takes the records that can be read; the others are set aside.
    fn each<E: codec::Event>(&mut self, mut take: impl FnMut(&E, &Origin)) {
        for record in std::mem::take(&mut self.records) {
            match read_one(&record) {
                Ok((event, origin)) => take(&event, &origin),
                Err(reason) => self.unreadable.push((record, reason)),
            }
        }
    }

    /// A row of each record that can be read.
    fn rows<E: codec::Event, R>(&mut self, row: impl Fn(&E, &Origin) -> R) -> Vec<R> {
        let mut rows = Vec::with_capacity(self.records.len());
        self.each(|event, origin| rows.push(row(event, origin)));
        rows
    }
}

fn read_one<E: codec::Event>(record: &Record) -> Result<(E, Origin), Unreadable> {
    Ok((codec::decode(&record.value)?, Origin::of(record)?))
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use schemas::{Position, Timestamp};

    use super::*;

    #[test]
    fn every_source_is_the_source_of_its_topic() {
        for source in Source::ALL {
            assert_eq!(Source::of(source.topic()), Some(source));
        }
    }

    #[test]
    fn a_record_that_cannot_be_read_is_set_aside() {
        let record = Record {
            position: Position {
                topic: Topic::Clicks,
                partition: 0,
                offset: 0,
            },
            appended_at: Timestamp::from_millis(0),
            key: Bytes::new(),
            value: Bytes::from_static(b"not avro"),
            headers: Vec::new(),
        };
        let content = Content::read(Source::Clicks, vec![record.clone()]);
        assert_eq!(content.rows, Rows::Clicks(Vec::new()));
        assert_eq!(content.unreadable.len(), 1);
        assert_eq!(content.unreadable[0].0, record);
    }
}
