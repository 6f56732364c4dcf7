//! Redrive: a dead letter's original is appended to its topic again, as it was.
//!
//! For when what was wrong was ours: a schema that wasn't there, a defect that is mended. A record
//! that dies each time is stopped by the loop guard. Redriving twice is harmless to money, as
//! everything downstream goes by identity; and it is refused, unless a crash hid the first time.

use std::time::Duration;

use processors::stage::{
    ORIGINAL_APPENDED_AT, ORIGINAL_POSITION,
    dead_letters::{
        CODE_VERSION, ERROR, FAILED_AT, ORIGIN, REASON, REDRIVES, STAGE, VALUE_OMITTED,
    },
};
use schemas::{Position, Topic, headers::INGESTED_AT};
use serde::Serialize;
use stream::{NewRecord, Record};
use tokio::time::sleep;

use super::{
    DeadLetter, DeadLetterError, DeadLetters, Filter, Found, REDRIVEN, State, explained, walk::Walk,
};
use crate::originals;

/// How often a record is redriven, unless an order says otherwise.
pub const REDRIVES_MAX: u32 = 3;

/// Headers that tell of the letter, or of the record's first way through; the rest is the
/// original's own.
const LEFT_OUT: [&str; 11] = [
    ORIGIN,
    REASON,
    STAGE,
    ERROR,
    FAILED_AT,
    CODE_VERSION,
    VALUE_OMITTED,
    REDRIVES,
    ORIGINAL_POSITION,
    ORIGINAL_APPENDED_AT,
    INGESTED_AT,
];

/// What to redrive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RedriveOrder {
    /// Which letters; those that aren't open are left out.
    pub filter: Filter,
    /// Who decides it.
    pub author: String,
    /// Why.
    pub reason: String,
    /// Say what would be done, and do nothing.
    pub dry_run: bool,
    /// Records a second, at most.
    pub rate_per_second: u32,
    /// A record that was redriven this often is refused.
    pub redrives_max: u32,
}

/// What a redrive came to.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct RedriveSummary {
    /// Whether nothing was done.
    pub dry_run: bool,
    /// Appended again, or would be.
    pub redriven: Vec<Position>,
    /// Left as they are.
    pub refused: Vec<Refused>,
}

/// A letter that isn't redriven.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Refused {
    /// The letter.
    pub position: Position,
    /// Why not.
    pub why: String,
}

impl DeadLetters<'_> {
    /// Redrives what an order chooses among the open letters, oldest first within a partition.
    ///
    /// # Errors
    /// When a store fails; what was redriven before stays so.
    pub async fn redrive(&self, order: &RedriveOrder) -> Result<RedriveSummary, DeadLetterError> {
        explained(&order.author, &order.reason)?;
        let pause = Duration::from_secs(1) / order.rate_per_second.max(1);
        let mut summary = RedriveSummary {
            dry_run: order.dry_run,
            ..RedriveSummary::default()
        };
        let mut walk = Walk::default();
        while let Some(page) = self.next_page(&order.filter, &mut walk).await? {
            for found in page
                .into_iter()
                .filter(|found| found.letter.state == State::Open)
            {
                let position = found.letter.position;
                let (topic, record) = match self.prepared(found, order.redrives_max).await? {
                    Ok(prepared) => prepared,
                    Err(why) => {
                        summary.refused.push(Refused { position, why });
                        continue;
                    }
                };
                if !order.dry_run {
                    let NewRecordOf { letter, record } = record;
                    self.log.append(topic, vec![record]).await?;
                    self.note(REDRIVEN, &letter, &order.author, &order.reason)
                        .await?;
                    sleep(pause).await;
                }
                summary.redriven.push(position);
            }
        }
        Ok(summary)
    }

    /// The record to append and its topic, or why there is none.
    async fn prepared(
        &self,
        found: Found,
        redrives_max: u32,
    ) -> Result<Result<(Topic, NewRecordOf), String>, DeadLetterError> {
        let Found { letter, record } = found;
        let Some(origin) = letter.origin() else {
            return Ok(Err("it doesn't say which topic it is from".to_owned()));
        };
        if letter.redrives >= redrives_max {
            let times = letter.redrives;
            return Ok(Err(format!(
                "it was redriven {times} times, and died each time"
            )));
        }
        if origin.topic == Topic::Conversions && !self.dead_to_the_ledger(origin).await? {
            return Ok(Err(format!(
                "the ledger has the report {origin}: another one would count beside it"
            )));
        }
        let value = if letter.value_omitted {
            match originals::at(self.log, origin).await? {
                Some(original) => original.value,
                None => return Ok(Err(format!("the log holds {origin} no more"))),
            }
        } else {
            record.value.clone()
        };
        let times = letter.redrives + 1;
        let again = again(&record, value, times);
        Ok(Ok((
            origin.topic,
            NewRecordOf {
                letter,
                record: again,
            },
        )))
    }

    /// Whether a report's fate is that it couldn't be read.
    async fn dead_to_the_ledger(&self, origin: Position) -> sqlx::Result<bool> {
        sqlx::query_scalar(
            "SELECT EXISTS (SELECT FROM unmatched_conversions
             WHERE source_partition = $1 AND source_offset = $2 AND state = 'dead_lettered')",
        )
        .bind(origin.partition)
        .bind(origin.offset)
        .fetch_one(self.pool)
        .await
    }
}

/// A letter and what is appended for it.
struct NewRecordOf {
    letter: DeadLetter,
    record: NewRecord,
}

fn again(record: &Record, value: bytes::Bytes, times: u32) -> NewRecord {
    let own = record.headers.iter();
    let own = own.filter(|header| !LEFT_OUT.contains(&header.name.as_str()));
    let original = NewRecord {
        headers: own.cloned().collect(),
        ..NewRecord::new(record.key.clone(), value)
    };
    original.with_header(REDRIVES, times.to_string())
}
