//! Records that a stage could not work with: list, and look at one.

use processors::stage::dead_letters::{
    CODE_VERSION, ERROR, FAILED_AT, ORIGIN, REASON, STAGE, VALUE_OMITTED,
};
use schemas::{Position, Timestamp, Topic};
use serde::Serialize;
use stream::{Log, LogError, Record};

use crate::originals;

const PAGE_RECORDS: usize = 500;

/// A dead letter, as its headers tell. A header that is missing or can't be read is absent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DeadLetter {
    /// Where it stands in `dead-letters`.
    pub position: Position,
    /// When the log took it.
    pub appended_at: Timestamp,
    /// The record that it is a copy of, `topic/partition/offset`.
    pub origin: Option<String>,
    /// Why, as a code.
    pub reason: Option<String>,
    /// The stage that gave up.
    pub stage: Option<String>,
    /// The error, for a person.
    pub error: Option<String>,
    /// When the stage gave up, RFC 3339.
    pub failed_at: Option<String>,
    /// The version of the code that gave up.
    pub code_version: Option<String>,
    /// Whether the bytes were too many and stand at the origin only.
    pub value_omitted: bool,
    /// How many bytes the original has here.
    pub bytes: usize,
}

/// A dead letter with the bytes of the original.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DeadLetterDetail {
    /// As in the list.
    #[serde(flatten)]
    pub letter: DeadLetter,
    /// The original's key, hex.
    pub key_hex: String,
    /// The original's value, hex.
    pub value_hex: String,
}

impl DeadLetter {
    fn of(record: &Record) -> Self {
        let header = |name: &str| {
            let value = record.header(name)?;
            Some(String::from_utf8_lossy(value).into_owned())
        };
        Self {
            position: record.position,
            appended_at: record.appended_at,
            origin: header(ORIGIN),
            reason: header(REASON),
            stage: header(STAGE),
            error: header(ERROR),
            failed_at: header(FAILED_AT),
            code_version: header(CODE_VERSION),
            value_omitted: record.header(VALUE_OMITTED).is_some(),
            bytes: record.value.len(),
        }
    }
}

/// The newest dead letters of each partition, `limit_per_partition` at most, newest first.
///
/// # Errors
/// When the log can't be read.
pub async fn list(log: &dyn Log, limit_per_partition: usize) -> Result<Vec<DeadLetter>, LogError> {
    let mut letters = Vec::new();
    let limit = i64::try_from(limit_per_partition).unwrap_or(i64::MAX);
    for partition in 0..Topic::DeadLetters.partitions() {
        let marks = log.watermarks(Topic::DeadLetters, partition).await?;
        let mut offset = marks.low.max(marks.high.saturating_sub(limit));
        while offset < marks.high {
            let records = log
                .read(Topic::DeadLetters, partition, offset, PAGE_RECORDS)
                .await?;
            let Some(last) = records.last() else { break };
            offset = last.position.offset + 1;
            letters.extend(records.iter().map(DeadLetter::of));
        }
    }
    letters.sort_by_key(|letter| std::cmp::Reverse((letter.appended_at, letter.position)));
    Ok(letters)
}

/// How many dead letters the log holds.
///
/// # Errors
/// When the log can't be read.
pub async fn count(log: &dyn Log) -> Result<i64, LogError> {
    let mut count = 0;
    for partition in 0..Topic::DeadLetters.partitions() {
        let marks = log.watermarks(Topic::DeadLetters, partition).await?;
        count += marks.high - marks.low;
    }
    Ok(count)
}

/// Shows one; `None` where there is none.
///
/// # Errors
/// When the log can't be read.
pub async fn show(
    log: &dyn Log,
    partition: i32,
    offset: i64,
) -> Result<Option<DeadLetterDetail>, LogError> {
    let position = Position {
        topic: Topic::DeadLetters,
        partition,
        offset,
    };
    let record = originals::record(log, position).await?;
    Ok(record.map(|record| DeadLetterDetail {
        letter: DeadLetter::of(&record),
        key_hex: hex::encode(&record.key),
        value_hex: hex::encode(&record.value),
    }))
}
