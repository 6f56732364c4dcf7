//! Records of several topics as one batch, to be applied in one transaction.

use std::collections::BTreeMap;

use bytes::Bytes;
use schemas::{
    Position, Timestamp, Topic,
    codec::{self, CodecError, Event},
    events::{ClickRecorded, Command, Decision, Outcome, PayoutRequested, PayoutResult},
    headers,
};
use stream::Record;

/// What was read, by kind, each in the order of its partition.
#[derive(Debug, Default)]
pub(super) struct Batch {
    pub clicks: Vec<ClickRecorded>,
    pub decisions: Vec<Decided>,
    pub commands: Vec<(Position, Command, Bytes)>,
    pub payouts: Vec<PayoutRequested>,
    pub steps: Vec<(Position, PayoutResult)>,
    /// Records that can't be read: they go to `dead-letters`.
    pub undecodable: Vec<(Record, CodecError)>,
    /// The next offset of each partition once the batch is applied.
    pub next_offsets: BTreeMap<(Topic, i32), i64>,
}

/// A decision, and its bytes as they stand in the log.
#[derive(Debug)]
pub(super) struct Decided {
    pub decision: Decision,
    pub encoded: Bytes,
    /// When ingest received the report, in microseconds of its wall clock.
    pub ingested_at_micros: Option<i64>,
}

impl Decided {
    /// Whether its click happened before an instant; never, where no click is known.
    pub fn clicked_before(&self, instant: Timestamp) -> bool {
        match &self.decision.outcome {
            Outcome::Matched(matched) => matched.click.clicked_at < instant,
            Outcome::Unmatched(_) | Outcome::Ignored(_) | Outcome::Poisoned(_) => false,
        }
    }
}

fn ingested_at_micros(record: &Record) -> Option<i64> {
    let value = record.header(headers::INGESTED_AT)?;
    std::str::from_utf8(value).ok()?.parse().ok()
}

impl Batch {
    pub fn read(records: Vec<Record>) -> Self {
        let mut batch = Self::default();
        for record in records {
            let Position {
                topic,
                partition,
                offset,
            } = record.position;
            batch.next_offsets.insert((topic, partition), offset + 1);
            if let Err(error) = batch.take(&record) {
                batch.undecodable.push((record, error));
            }
        }
        batch
    }

    fn take(&mut self, record: &Record) -> Result<(), CodecError> {
        fn decode<E: Event>(record: &Record) -> Result<E, CodecError> {
            codec::decode(&record.value)
        }
        match record.position.topic {
            Topic::Clicks => self.clicks.push(decode(record)?),
            Topic::Decisions => self.decisions.push(Decided {
                decision: decode(record)?,
                encoded: record.value.clone(),
                ingested_at_micros: ingested_at_micros(record),
            }),
            Topic::Commands => {
                self.commands
                    .push((record.position, decode(record)?, record.value.clone()));
            }
            Topic::Payouts => self.payouts.push(decode(record)?),
            Topic::PayoutResults => self.steps.push((record.position, decode(record)?)),
            // Not subscribed to.
            Topic::Conversions | Topic::Ledger | Topic::DeadLetters => {}
        }
        Ok(())
    }
}
