//! Raw reports, read from the log, and what the ledger made of each.

use schemas::{
    EventId, Position, Timestamp, Topic,
    codec::{self, CodecError},
    events::{ConversionReported, Decision, ReportSource, Reported},
    headers,
};
use serde::Serialize;
use sqlx::{Row, postgres::PgRow};

use super::{ExplainError, Explainer, Tree};
use crate::originals;

/// Bytes of a raw report that a tree shows; JSON has all that the log keeps.
const SHOWN_BYTES_MAX: usize = 400;

/// A report of a claim.
#[derive(Debug, Clone, Serialize)]
pub struct ReportLineage {
    /// Its `conversions` record.
    pub position: Position,
    /// Its name.
    pub event_id: EventId,
    /// What became of it.
    pub fate: String,
    /// Where it came from; absent once it is retired, as are the next ones.
    pub source: Option<ReportSource>,
    /// When it was received.
    pub received_at: Option<Timestamp>,
    /// As-of time of its snapshot.
    pub as_of: Option<Timestamp>,
    /// When the log took it.
    pub appended_at: Option<Timestamp>,
    /// The parked report that it heals.
    pub heals: Option<Position>,
    /// What it says.
    pub fields: Option<Reported>,
    /// The bytes.
    pub raw: RawEvidence,
}

/// The bytes of a report, as the log has them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum RawEvidence {
    /// The log holds them.
    Kept {
        /// As text; what isn't UTF-8 is replaced.
        text: String,
        /// The bytes themselves, hex.
        bytes_hex: String,
        /// `query`, or the media type.
        content_type: String,
        /// SHA-256 of the bytes as received, before personal data was taken out, hex.
        sha256: String,
        /// Whether more was received than is kept.
        truncated: bool,
        /// The claim that reconciliation matched it to, and by which rule.
        matched: Option<String>,
    },
    /// Why the log doesn't hold them.
    Missing(String),
}

/// A report without a claim.
#[derive(Debug, Clone, Serialize)]
pub struct UnmatchedLineage {
    /// Its `conversions` record.
    pub position: Position,
    /// Its name.
    pub event_id: EventId,
    /// When it was received.
    pub received_at: Timestamp,
    /// What it waits for.
    pub state: String,
    /// Why it has no claim.
    pub reason: String,
    /// How often its click was looked for.
    pub tries: i32,
    /// What it says, where it can be read.
    pub fields: Option<Reported>,
    /// The bytes.
    pub raw: RawEvidence,
}

impl Explainer<'_> {
    /// The bytes of the report at a position.
    pub(super) async fn raw(&self, position: Position) -> Result<RawEvidence, ExplainError> {
        let Some(record) = originals::record(self.log, position).await? else {
            let missing = originals::OriginalMissing::Absent(position);
            return Ok(RawEvidence::Missing(missing.to_string()));
        };
        let header = |name: &str| {
            let value = record.header(name)?;
            Some(String::from_utf8_lossy(value).into_owned())
        };
        let matched = header(headers::MATCHED_CLAIM)
            .zip(header(headers::MATCHED_BY))
            .map(|(claim, rule)| format!("claim {claim} by {rule}"));
        let report: Result<ConversionReported, CodecError> = codec::decode(&record.value);
        Ok(match report {
            Ok(report) => RawEvidence::Kept {
                text: String::from_utf8_lossy(&report.raw.bytes).into_owned(),
                bytes_hex: hex::encode(&report.raw.bytes),
                content_type: report.raw.content_type,
                sha256: report.raw.sha256,
                truncated: report.raw.truncated,
                matched,
            },
            Err(error) => RawEvidence::Missing(format!("{position} can't be read: {error}")),
        })
    }

    /// A row of `reports`, with its decision where that isn't retired.
    pub(super) async fn report(
        &self,
        row: &PgRow,
        decision: Option<&Decision>,
    ) -> Result<ReportLineage, ExplainError> {
        let position = position(row)?;
        let heals_partition: Option<i32> = row.try_get("heals_partition")?;
        let heals_offset: Option<i64> = row.try_get("heals_offset")?;
        let heals = heals_partition
            .zip(heals_offset)
            .map(|(partition, offset)| Position {
                topic: Topic::Conversions,
                partition,
                offset,
            });
        Ok(ReportLineage {
            position,
            event_id: EventId::new(row.try_get("conv_id")?),
            fate: row.try_get("fate")?,
            source: decision.map(|decision| decision.report_source),
            received_at: decision.map(|decision| decision.received_at),
            as_of: decision.and_then(|decision| decision.as_of),
            appended_at: decision.map(|decision| decision.appended_at),
            heals,
            fields: decision.and_then(|decision| decision.reported.clone()),
            raw: self.raw(position).await?,
        })
    }

    /// The event id of the report at a position.
    pub(super) async fn event_id_at(&self, position: Position) -> Result<EventId, ExplainError> {
        let found: Option<i64> = sqlx::query_scalar(
            "SELECT conv_id FROM reports WHERE source_partition = $1 AND source_offset = $2
             UNION ALL
             SELECT conv_id FROM unmatched_conversions
             WHERE source_partition = $1 AND source_offset = $2 LIMIT 1",
        )
        .bind(position.partition)
        .bind(position.offset)
        .fetch_optional(self.pool)
        .await?;
        let found = found.filter(|_| position.topic == Topic::Conversions);
        let unknown = || ExplainError::Unknown(format!("the report {position}"));
        found.map(EventId::new).ok_or_else(unknown)
    }

    /// A report without a claim.
    pub(super) async fn unmatched(
        &self,
        event_id: EventId,
    ) -> Result<UnmatchedLineage, ExplainError> {
        let row = sqlx::query(
            "SELECT * FROM unmatched_conversions WHERE conv_id = $1
             ORDER BY source_partition, source_offset LIMIT 1",
        )
        .bind(event_id.get())
        .fetch_optional(self.pool)
        .await?;
        let unknown = || ExplainError::Unknown(format!("conversion {event_id}"));
        let row = row.ok_or_else(unknown)?;
        let position = position(&row)?;
        let decision: Decision = codec::decode(row.try_get::<&[u8], _>("decision")?)?;
        Ok(UnmatchedLineage {
            position,
            event_id,
            received_at: decision.received_at,
            state: row.try_get("state")?,
            reason: row.try_get("reason")?,
            tries: row.try_get("tries")?,
            fields: decision.reported,
            raw: self.raw(position).await?,
        })
    }
}

/// The position that a row is derived from.
pub(super) fn position(row: &PgRow) -> sqlx::Result<Position> {
    Ok(Position {
        topic: Topic::Conversions,
        partition: row.try_get("source_partition")?,
        offset: row.try_get("source_offset")?,
    })
}

impl ReportLineage {
    pub(super) fn tree(&self) -> Tree {
        let source = self.source.map_or_else(
            || "report, retired from the ledger".to_owned(),
            |source| match source {
                ReportSource::Postback => "postback".to_owned(),
                ReportSource::Csv => "CSV row".to_owned(),
                ReportSource::Api => "row of the reporting API".to_owned(),
            },
        );
        let mut children: Vec<Tree> = Vec::new();
        let mut time = |name: &str, at: Option<Timestamp>| {
            children.extend(at.map(|at| Tree::leaf(format!("{name} {at}"))));
        };
        time("received", self.received_at);
        time("snapshot as of", self.as_of);
        if let Some(heals) = self.heals {
            children.push(Tree::leaf(format!("found its click later: heals {heals}")));
        }
        children.extend(self.fields.as_ref().map(fields_tree));
        children.push(self.raw.tree());
        let label = format!(
            "{source} {}: {} ({})",
            self.event_id, self.position, self.fate
        );
        Tree::new(label, children)
    }
}

impl UnmatchedLineage {
    pub(super) fn tree(&self) -> Tree {
        let mut children = vec![
            Tree::leaf(format!("{}: {}", self.state, self.reason)),
            Tree::leaf(format!("received {}", self.received_at)),
            Tree::leaf(format!(
                "its click was looked for {} times since",
                self.tries
            )),
        ];
        children.extend(self.fields.as_ref().map(fields_tree));
        children.push(self.raw.tree());
        let label = format!(
            "report {} without a claim: {}",
            self.event_id, self.position
        );
        Tree::new(label, children)
    }
}

impl RawEvidence {
    fn tree(&self) -> Tree {
        match self {
            Self::Missing(reason) => Tree::leaf(format!("raw bytes: {reason}")),
            Self::Kept {
                text,
                content_type,
                sha256,
                truncated,
                matched,
                ..
            } => {
                let shown: String = text.chars().take(SHOWN_BYTES_MAX).collect();
                let cut = shown.len() < text.len();
                let more = if cut || *truncated { " …" } else { "" };
                let mut children = vec![Tree::leaf(format!("sha256 as received {sha256}"))];
                children.extend(
                    matched
                        .iter()
                        .map(|matched| Tree::leaf(format!("reconciled with {matched}"))),
                );
                let shown = shown.escape_debug();
                Tree::new(format!("raw ({content_type}): {shown}{more}"), children)
            }
        }
    }
}

/// Only what a report carries.
fn fields_tree(fields: &Reported) -> Tree {
    let mut says = Vec::new();
    let mut tell = |name: &str, value: Option<String>| {
        says.extend(value.map(|value| format!("{name} {value}")));
    };
    tell(
        "status",
        fields
            .status
            .map(|status| format!("{status:?}").to_lowercase()),
    );
    tell("sale", fields.sale_amount.map(|sale| sale.to_string()));
    tell("payout", fields.payout.map(|payout| payout.to_string()));
    tell("currency", fields.currency.map(|code| code.to_string()));
    tell("order", fields.txn_id.clone());
    tell("goal", fields.goal_id.clone());
    tell("conversion", fields.network_conversion_id.clone());
    tell("converted", fields.converted_at.map(|at| at.to_string()));
    tell("offer", fields.offer_id.map(|offer| offer.to_string()));
    Tree::leaf(format!("says: {}", says.join(", ")))
}
