//! A batch, record by record: read, then decided. No input or output of its own.

use std::{collections::HashMap, fmt::Display};

use bytes::Bytes;
use schemas::{
    ClickId,
    codec::{self, CodecError},
    events::{ClickFacts, ConversionReported, Decision, Outcome},
    headers,
    reference::ReferenceData,
    token::TokenKeys,
};
use stream::{NewRecord, Record};

use super::{
    dead_letters::{DeadLetter, Reason},
    origin::Origin,
};
use crate::rules::{
    attribution::{LookedUp, click_to_look_up},
    decide::{decide, poisoned},
};

/// The largest decision written, in bytes. Ingest bounds every field of a report far below it; a
/// record of another writer that exceeds it is a dead letter, not a partition that stands still.
const DECISION_BYTES_MAX: usize = 512 * 1024;
/// The longest error text kept; a decoder's may quote what it read.
const ERROR_CHARS_MAX: usize = 300;

/// A record, read as far as it can be.
pub(super) struct Undecided<'a> {
    record: &'a Record,
    origin: Origin,
    content: Result<ConversionReported, Unusable>,
}

/// Why nothing can be made of a record.
pub(super) struct Unusable {
    reason: Reason,
    error: String,
}

/// A record with its decision.
pub(super) struct Decided<'a> {
    record: &'a Record,
    decision: Decision,
    encoded: Bytes,
    unusable: Option<Unusable>,
}

impl Unusable {
    fn new(reason: Reason, error: &dyn Display) -> Self {
        Self {
            reason,
            error: error.to_string().chars().take(ERROR_CHARS_MAX).collect(),
        }
    }
}

impl<'a> Undecided<'a> {
    pub(super) fn read(record: &'a Record) -> Self {
        match Origin::of(record) {
            Ok(origin) => Self {
                record,
                origin,
                content: codec::decode(&record.value)
                    .map_err(|error| Unusable::new(Reason::Undecodable, &error)),
            },
            Err(error) => Self {
                record,
                origin: Origin::in_place(record),
                content: Err(Unusable::new(Reason::OriginUnreadable, &error)),
            },
        }
    }

    /// The bare click id that the decision needs the facts of.
    pub(super) fn click_to_look_up(&self) -> Option<ClickId> {
        self.content.as_ref().ok().and_then(click_to_look_up)
    }

    /// Applies the rules.
    ///
    /// # Errors
    /// When not even a decision that says "unreadable" can be encoded: a defect of the schema.
    pub(super) fn decide(
        self,
        clicks: &HashMap<ClickId, ClickFacts>,
        reference: &ReferenceData,
        keys: &TokenKeys,
    ) -> Result<Decided<'a>, CodecError> {
        let Self {
            record,
            origin,
            content,
        } = self;
        let Origin {
            position,
            appended_at,
        } = origin;
        let decided = content.and_then(|report| {
            let known = click_to_look_up(&report).and_then(|id| clicks.get(&id));
            let looked_up = known.cloned().map_or(LookedUp::Nothing, LookedUp::Click);
            encoded(decide(
                position,
                appended_at,
                &report,
                looked_up,
                reference,
                keys,
            ))
        });
        match decided {
            Ok((decision, encoded)) => Ok(Decided {
                record,
                decision,
                encoded,
                unusable: None,
            }),
            Err(unusable) => {
                let decision = poisoned(position, appended_at, unusable.error.clone());
                let encoded = codec::encode(&decision)?.into();
                Ok(Decided {
                    record,
                    decision,
                    encoded,
                    unusable: Some(unusable),
                })
            }
        }
    }
}

fn encoded(decision: Decision) -> Result<(Decision, Bytes), Unusable> {
    let unwritable = |error: &dyn Display| Unusable::new(Reason::ResultUnwritable, error);
    let encoded = codec::encode(&decision).map_err(|error| unwritable(&error))?;
    let bytes = encoded.len();
    if bytes > DECISION_BYTES_MAX {
        let error = format!("a decision of {bytes} bytes, {DECISION_BYTES_MAX} are allowed");
        return Err(unwritable(&error));
    }
    Ok((decision, encoded.into()))
}

impl Decided<'_> {
    pub(super) fn outcome(&self) -> &Outcome {
        &self.decision.outcome
    }

    /// In the partition of its source, so that the decisions about a click keep the order of its
    /// reports. When the report was ingested goes along, for the ledger to measure by.
    pub(super) fn to_record(&self) -> NewRecord {
        let decision = NewRecord::new(self.record.key.clone(), self.encoded.clone())
            .in_partition(self.record.position.partition);
        match self.record.header(headers::INGESTED_AT) {
            Some(ingested_at) => decision.with_header(headers::INGESTED_AT, ingested_at.clone()),
            None => decision,
        }
    }

    pub(super) fn dead_letter(&self) -> Option<DeadLetter<'_>> {
        self.unusable.as_ref().map(|unusable| DeadLetter {
            record: self.record,
            origin: self.decision.source,
            reason: unusable.reason,
            error: &unusable.error,
        })
    }
}
