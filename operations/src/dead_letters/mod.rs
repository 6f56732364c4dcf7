//! Records that a stage could not work with: list, look at one, try again, give up.
//!
//! A dead letter stays where it is. That it was redriven or discarded stands in the audit log,
//! with who did it and why.

mod redrive;
mod walk;

use std::collections::{BTreeMap, BTreeSet};

use processors::stage::dead_letters::{
    CODE_VERSION, ERROR, FAILED_AT, ORIGIN, REASON, REDRIVES, STAGE, VALUE_OMITTED,
};
use schemas::{
    Position, TenantId, Timestamp, Topic, codec,
    events::{ClickRecorded, ConversionReported, LedgerChanged, Outcome, PayoutRequested},
};
use serde::Serialize;
use sqlx::PgPool;
use stream::{AppendError, Log, LogError, Record};

use crate::originals;
use walk::Walk;

pub use redrive::{REDRIVES_MAX, RedriveOrder, RedriveSummary, Refused};

pub(super) const REDRIVEN: &str = "dead_letter_redriven";
pub(super) const DISCARDED: &str = "dead_letter_discarded";

/// A dead letter, as its headers tell. A header that is missing or can't be read is absent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DeadLetter {
    /// Where it stands in `dead-letters`.
    pub position: Position,
    /// When the log took it.
    pub appended_at: Timestamp,
    /// What became of it.
    pub state: State,
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
    /// How often the record was redriven before.
    pub redrives: u32,
    /// Whose it is, where its bytes can be read and say so.
    pub tenant_id: Option<TenantId>,
    /// Whether the bytes were too many and stand at the origin only.
    pub value_omitted: bool,
    /// How many bytes the original has here.
    pub bytes: usize,
}

/// What became of a dead letter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Nobody has seen to it.
    Open,
    /// The record was appended again.
    Redriven,
    /// Given up, with a reason.
    Discarded,
}

impl State {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Open, Self::Redriven, Self::Discarded];

    /// Its name in lists, metrics and JSON.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Redriven => "redriven",
            Self::Discarded => "discarded",
        }
    }
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

/// Which dead letters; all conditions must hold, and an absent one does.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Filter {
    /// These only, where there are any.
    pub positions: BTreeSet<Position>,
    /// The topic of the original.
    pub topic: Option<Topic>,
    /// The reason's code.
    pub reason: Option<String>,
    /// The stage that gave up.
    pub stage: Option<String>,
    /// Taken by the log at or after this,
    pub from: Option<Timestamp>,
    /// and before this.
    pub to: Option<Timestamp>,
    /// Whose, where that is known.
    pub tenant_id: Option<TenantId>,
    /// What became of it.
    pub state: Option<State>,
}

/// Why dead letters can't be worked with.
#[derive(Debug, thiserror::Error)]
pub enum DeadLetterError {
    /// The log can't be read.
    #[error(transparent)]
    Log(#[from] LogError),
    /// The log did not take a record, or it isn't known whether it did.
    #[error(transparent)]
    Append(#[from] AppendError),
    /// The database can't be read or written.
    #[error("the audit log can't be read or written: {0}")]
    Database(#[from] sqlx::Error),
    /// A discard or a redrive without a reason or an author.
    #[error("say why, and who decides it")]
    Unexplained,
}

/// The dead letters of an installation.
#[derive(Clone, Copy)]
pub struct DeadLetters<'a> {
    /// Connections as the operator.
    pub pool: &'a PgPool,
    /// The log.
    pub log: &'a dyn Log,
}

/// A dead letter as the log has it, with what its headers tell.
struct Found {
    letter: DeadLetter,
    record: Record,
}

impl DeadLetters<'_> {
    /// Those that a filter chooses, newest first, `limit` at most.
    ///
    /// # Errors
    /// When log or audit log can't be read.
    pub async fn list(
        &self,
        filter: &Filter,
        limit: usize,
    ) -> Result<Vec<DeadLetter>, DeadLetterError> {
        let mut letters = Vec::new();
        let mut walk = Walk::default();
        while let Some(page) = self.next_page(filter, &mut walk).await? {
            letters.extend(page.into_iter().map(|found| found.letter));
            if letters.len() > limit.saturating_add(walk::PAGE_RECORDS) {
                keep_newest(&mut letters, limit);
            }
        }
        keep_newest(&mut letters, limit);
        Ok(letters)
    }

    /// How many there are, by stage, reason and state.
    ///
    /// # Errors
    /// When log or audit log can't be read.
    pub async fn count(&self) -> Result<BTreeMap<(String, String, State), i64>, DeadLetterError> {
        let mut counts = BTreeMap::new();
        let mut walk = Walk::default();
        while let Some(page) = self.next_page(&Filter::default(), &mut walk).await? {
            for Found { letter, .. } in page {
                let stage = letter.stage.unwrap_or_default();
                let reason = letter.reason.unwrap_or_default();
                *counts.entry((stage, reason, letter.state)).or_default() += 1;
            }
        }
        Ok(counts)
    }

    /// Shows one; `None` where there is none.
    ///
    /// # Errors
    /// When log or audit log can't be read.
    pub async fn show(
        &self,
        position: Position,
    ) -> Result<Option<DeadLetterDetail>, DeadLetterError> {
        let record = originals::at(self.log, position).await?;
        let Some(record) = record.filter(|_| position.topic == Topic::DeadLetters) else {
            return Ok(None);
        };
        let states = self.states(&[position]).await?;
        let letter = DeadLetter::of(&record, &states);
        Ok(Some(DeadLetterDetail {
            letter,
            key_hex: hex::encode(&record.key),
            value_hex: hex::encode(&record.value),
        }))
    }

    /// Gives up what a filter chooses among the open ones, and says how many those are; changes
    /// nothing on a dry run.
    ///
    /// # Errors
    /// When a store fails; what was given up before stays so.
    pub async fn discard(
        &self,
        filter: &Filter,
        author: &str,
        reason: &str,
        dry_run: bool,
    ) -> Result<Vec<DeadLetter>, DeadLetterError> {
        explained(author, reason)?;
        let mut discarded = Vec::new();
        let mut walk = Walk::default();
        while let Some(page) = self.next_page(filter, &mut walk).await? {
            for Found { letter, .. } in page {
                if letter.state != State::Open {
                    continue;
                }
                if !dry_run {
                    self.note(DISCARDED, &letter, author, reason).await?;
                }
                discarded.push(letter);
            }
        }
        Ok(discarded)
    }

    /// The next page of those that a filter chooses, oldest first within a partition; `None` at
    /// the end.
    async fn next_page(
        &self,
        filter: &Filter,
        walk: &mut Walk,
    ) -> Result<Option<Vec<Found>>, DeadLetterError> {
        let Some(records) = walk.next_records(self.log, filter).await? else {
            return Ok(None);
        };
        let positions: Vec<Position> = records.iter().map(|record| record.position).collect();
        let states = self.states(&positions).await?;
        let found = records.into_iter().map(|record| Found {
            letter: DeadLetter::of(&record, &states),
            record,
        });
        Ok(Some(
            found
                .filter(|found| filter.chooses(&found.letter))
                .collect(),
        ))
    }

    /// What the audit log says became of letters; the newest entry counts.
    async fn states(&self, letters: &[Position]) -> sqlx::Result<BTreeMap<Position, State>> {
        let subjects: Vec<String> = letters.iter().map(Position::to_string).collect();
        let rows: Vec<(String, String)> = sqlx::query_as(
            "SELECT subject, action FROM audit_log
             WHERE action IN ('dead_letter_redriven', 'dead_letter_discarded')
               AND subject = ANY($1) ORDER BY audit_id",
        )
        .bind(&subjects)
        .fetch_all(self.pool)
        .await?;
        let state = |action: &str| {
            if action == REDRIVEN {
                State::Redriven
            } else {
                State::Discarded
            }
        };
        let named = |(subject, action): (String, String)| {
            let position = subject.parse().ok()?;
            Some((position, state(&action)))
        };
        // A subject that is no position is none of those that were asked for.
        Ok(rows.into_iter().filter_map(named).collect())
    }

    async fn note(
        &self,
        action: &str,
        letter: &DeadLetter,
        author: &str,
        reason: &str,
    ) -> sqlx::Result<()> {
        let detail = serde_json::json!({
            "reason": reason,
            "origin": letter.origin,
            "stage": letter.stage,
            "why_dead": letter.reason,
        });
        sqlx::query(
            "INSERT INTO audit_log (author, action, subject, detail) VALUES ($1, $2, $3, $4)",
        )
        .bind(author.trim())
        .bind(action)
        .bind(letter.position.to_string())
        .bind(detail)
        .execute(self.pool)
        .await?;
        Ok(())
    }
}

impl Filter {
    fn chooses(&self, letter: &DeadLetter) -> bool {
        fn holds<T: PartialEq>(wanted: Option<&T>, found: Option<&T>) -> bool {
            wanted.is_none() || wanted == found
        }
        let topic = letter.origin().map(|origin| origin.topic);
        (self.positions.is_empty() || self.positions.contains(&letter.position))
            && holds(self.topic.as_ref(), topic.as_ref())
            && holds(self.reason.as_ref(), letter.reason.as_ref())
            && holds(self.stage.as_ref(), letter.stage.as_ref())
            && self.from.is_none_or(|from| letter.appended_at >= from)
            && self.to.is_none_or(|to| letter.appended_at < to)
            && holds(self.tenant_id.as_ref(), letter.tenant_id.as_ref())
            && holds(self.state.as_ref(), Some(&letter.state))
    }
}

impl DeadLetter {
    fn of(record: &Record, states: &BTreeMap<Position, State>) -> Self {
        let header = |name: &str| {
            let value = record.header(name)?;
            Some(String::from_utf8_lossy(value).into_owned())
        };
        let redrives = header(REDRIVES).and_then(|count| count.parse().ok());
        let mut letter = Self {
            position: record.position,
            appended_at: record.appended_at,
            state: states.get(&record.position).copied().unwrap_or(State::Open),
            origin: header(ORIGIN),
            reason: header(REASON),
            stage: header(STAGE),
            error: header(ERROR),
            failed_at: header(FAILED_AT),
            code_version: header(CODE_VERSION),
            redrives: redrives.unwrap_or_default(),
            tenant_id: None,
            value_omitted: record.header(VALUE_OMITTED).is_some(),
            bytes: record.value.len(),
        };
        letter.tenant_id = letter
            .origin()
            .and_then(|origin| tenant(origin.topic, &record.value));
        letter
    }

    /// The record that it is a copy of, where that can be told.
    fn origin(&self) -> Option<Position> {
        self.origin.as_ref()?.parse().ok()
    }
}

/// Whose record it is, where it can be read and says so.
fn tenant(topic: Topic, value: &[u8]) -> Option<TenantId> {
    match topic {
        Topic::Clicks => Some(codec::decode::<ClickRecorded>(value).ok()?.tenant_id),
        Topic::Conversions => codec::decode::<ConversionReported>(value).ok()?.tenant_id,
        Topic::Decisions => {
            let decision: schemas::events::Decision = codec::decode(value).ok()?;
            match decision.outcome {
                Outcome::Matched(matched) => Some(matched.click.tenant_id),
                Outcome::Unmatched(_) | Outcome::Ignored(_) | Outcome::Poisoned(_) => None,
            }
        }
        Topic::Ledger => Some(codec::decode::<LedgerChanged>(value).ok()?.tenant_id),
        Topic::Payouts => Some(codec::decode::<PayoutRequested>(value).ok()?.tenant_id),
        Topic::Commands | Topic::PayoutResults | Topic::DeadLetters => None,
    }
}

fn keep_newest(letters: &mut Vec<DeadLetter>, limit: usize) {
    letters.sort_by_key(|letter| std::cmp::Reverse((letter.appended_at, letter.position)));
    letters.truncate(limit);
}

fn explained(author: &str, reason: &str) -> Result<(), DeadLetterError> {
    if author.trim().is_empty() || reason.trim().is_empty() {
        return Err(DeadLetterError::Unexplained);
    }
    Ok(())
}
