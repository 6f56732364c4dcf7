//! Dead letters: records that a stage could not work with, their bytes untouched, with the reason
//! in headers (design section 3). Every stage writes them alike.

use bytes::Bytes;
use schemas::{Position, Timestamp, Topic};
use stream::{AppendError, Log, NewRecord, Record, Refusal};

/// Header: the position of the record, `topic/partition/offset`.
pub const ORIGIN: &str = "hissaback-origin";
/// Header: why, as a code, see [`Reason::code`].
pub const REASON: &str = "hissaback-reason";
/// Header: the stage that gave up, by its consumer group.
pub const STAGE: &str = "hissaback-stage";
/// Header: the error, for a person.
pub const ERROR: &str = "hissaback-error";
/// Header: when the stage gave up, RFC 3339.
pub const FAILED_AT: &str = "hissaback-failed-at";
/// Header: the version of the code that gave up.
pub const CODE_VERSION: &str = "hissaback-code-version";
/// Header: set where the value is left out, because with these headers the record would be larger
/// than the log takes. The bytes are at the origin.
pub const VALUE_OMITTED: &str = "hissaback-value-omitted";

/// Header of a redriven record: how often it was, in decimal. It stays with the record when that
/// becomes a dead letter again.
pub const REDRIVES: &str = "hissaback-redrives";

/// Why a record is a dead letter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// The value is not an event of its topic.
    Undecodable,
    /// The record is a copy whose original can't be told.
    OriginUnreadable,
    /// What would come of it can't be written.
    ResultUnwritable,
}

impl Reason {
    /// The header's value.
    pub const fn code(self) -> &'static str {
        match self {
            Self::Undecodable => "undecodable",
            Self::OriginUnreadable => "origin_unreadable",
            Self::ResultUnwritable => "result_unwritable",
        }
    }
}

/// Who gives up.
#[derive(Debug, Clone, Copy)]
pub struct Stage<'a> {
    /// Its consumer group.
    pub name: &'a str,
    /// The version of its code.
    pub code_version: &'a str,
}

/// A record that can't be worked with.
#[derive(Debug, Clone)]
pub struct DeadLetter<'a> {
    /// The record.
    pub record: &'a Record,
    /// Its identity: its position, or the original's where it is a copy.
    pub origin: Position,
    /// Why.
    pub reason: Reason,
    /// The error, for a person.
    pub error: &'a str,
}

impl DeadLetter<'_> {
    /// The record to append: key, value and headers of the original, then what went wrong.
    pub fn to_record(&self, stage: &Stage<'_>, failed_at: Timestamp) -> NewRecord {
        let original = NewRecord {
            headers: self.record.headers.clone(),
            ..NewRecord::new(self.record.key.clone(), self.record.value.clone())
        };
        original
            .with_header(ORIGIN, self.origin.to_string())
            .with_header(REASON, self.reason.code())
            .with_header(STAGE, stage.name.to_owned())
            .with_header(ERROR, self.error.to_owned())
            .with_header(FAILED_AT, failed_at.to_string())
            .with_header(CODE_VERSION, stage.code_version.to_owned())
    }
}

/// Appends dead letters, and returns once they are durable. One that is too large for the log is
/// appended without its value, rather than holding up everything behind it.
///
/// # Errors
/// When the log didn't take them; appending them again is harmless.
pub async fn append(log: &dyn Log, mut letters: Vec<NewRecord>) -> Result<(), AppendError> {
    if letters.is_empty() {
        return Ok(());
    }
    loop {
        match log.append(Topic::DeadLetters, letters.clone()).await {
            Ok(_) => return Ok(()),
            Err(AppendError::Determinate(Refusal::RecordTooLarge { index, .. }))
                if letters
                    .get(index)
                    .is_some_and(|letter| !letter.value.is_empty()) =>
            {
                letters[index].value = Bytes::new();
                letters[index] = letters[index].clone().with_header(VALUE_OMITTED, "true");
            }
            Err(error) => return Err(error),
        }
    }
}
