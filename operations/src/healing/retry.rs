//! One pass over the parked reports that are due.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use processors::rules::attribution::{LookedUp, click_of_report, click_to_look_up};
use schemas::{
    ClickId, Position, Timestamp, Topic, codec,
    events::{ClickFacts, ConversionReported, Decision, HealAuthor, Outcome},
    reference::ReferenceData,
};
use sqlx::{Row, postgres::PgRow};
use stream::commit_points::{self, CommitPoint};

use super::{
    HealSummary, Healer, HealingError,
    heal::{self, StillUnmatched},
    schedule,
};
use crate::originals;

/// A parked report that is due.
struct Due {
    position: Position,
    received_at: Timestamp,
    /// Version of its row: the ledger may wake it up in the meantime, when its click arrives.
    row_version: String,
    /// What the log holds of it, if it can be tried.
    original: Option<ConversionReported>,
}

/// What became of a try.
enum Tried {
    Found(Box<ClickFacts>, Box<ConversionReported>),
    Wait,
    /// Trying again is no use.
    LeaveToPeople,
}

impl Healer {
    /// Tries everything that is due at `now`, page by page. A report that was tried isn't due any
    /// more, so each comes once.
    pub(super) async fn heal_due(&self, now: Timestamp) -> Result<HealSummary, HealingError> {
        let mut summary = HealSummary::default();
        loop {
            let page = self.due_page(now).await?;
            let last = page.len() < self.settings.page_records;
            self.try_page(page, now, &mut summary).await?;
            if last {
                return Ok(summary);
            }
        }
    }

    async fn due_page(&self, now: Timestamp) -> Result<Vec<Due>, HealingError> {
        let limit = i64::try_from(self.settings.page_records).unwrap_or(i64::MAX);
        let rows = sqlx::query(
            "SELECT source_partition, source_offset, received_at, xmin::text AS row_version,
                    decision
             FROM unmatched_conversions WHERE state = 'parked' AND next_try_at <= $1
             ORDER BY next_try_at, source_partition, source_offset LIMIT $2",
        )
        .bind(now.to_datetime())
        .bind(limit)
        .fetch_all(&self.pool)
        .await?;
        let mut page = Vec::with_capacity(rows.len());
        for row in &rows {
            page.push(self.due(row).await?);
        }
        Ok(page)
    }

    async fn due(&self, row: &PgRow) -> Result<Due, HealingError> {
        let received_at: DateTime<Utc> = row.try_get("received_at")?;
        let position = Position {
            topic: Topic::Conversions,
            partition: row.try_get("source_partition")?,
            offset: row.try_get("source_offset")?,
        };
        let original = if worth_a_try(row.try_get("decision")?) {
            let original = originals::report(&*self.log, position).await?;
            original
                .inspect_err(
                    |missing| tracing::warn!(%missing, "a parked report is left to people"),
                )
                .ok()
        } else {
            None
        };
        Ok(Due {
            position,
            received_at: received_at.into(),
            row_version: row.try_get("row_version")?,
            original,
        })
    }

    async fn try_page(
        &self,
        page: Vec<Due>,
        now: Timestamp,
        summary: &mut HealSummary,
    ) -> Result<(), HealingError> {
        let wanted: Vec<ClickId> = page
            .iter()
            .filter_map(|due| click_to_look_up(due.original.as_ref()?))
            .collect();
        let clicks = if wanted.is_empty() {
            HashMap::new()
        } else {
            self.clicks.clicks(&wanted).await?
        };
        let reference = self.reference.load_full();
        let mut heals = Vec::new();
        let mut healed = Vec::new();
        let mut others = Vec::new();
        for due in page {
            summary.due += 1;
            let Due {
                position,
                received_at,
                row_version,
                original,
            } = due;
            match self.try_one(position, original, &clicks, &reference) {
                Tried::Found(click, report) => {
                    let heal_id = self.event_ids.draw().await?;
                    let author = HealAuthor::Machine;
                    heals.push(heal::healed(*report, position, heal_id, author, *click));
                    healed.push(position);
                }
                Tried::Wait => {
                    let next = schedule::next_try_at(received_at, now);
                    others.push((position, row_version, next));
                }
                Tried::LeaveToPeople => others.push((position, row_version, None)),
            }
        }
        let waiting = others.iter().filter(|(_, _, next)| next.is_some()).count() as u64;
        let left_to_people = others.len() as u64 - waiting;
        self.append_heals(&heals).await?;
        if !heals.is_empty() {
            commit_points::pass(CommitPoint::HealAppended);
        }
        self.note_healed(&healed).await?;
        self.note_tried(&others).await?;
        summary.healed += heals.len() as u64;
        summary.waiting += waiting;
        summary.left_to_people += left_to_people;
        self.metrics.healed.inc_by(heals.len() as u64);
        self.metrics.left_to_people.inc_by(left_to_people);
        if !heals.is_empty() {
            tracing::info!(healed = heals.len(), "parked reports found their clicks");
        }
        Ok(())
    }

    fn try_one(
        &self,
        parked: Position,
        original: Option<ConversionReported>,
        clicks: &HashMap<ClickId, ClickFacts>,
        reference: &ReferenceData,
    ) -> Tried {
        let Some(original) = original else {
            return Tried::LeaveToPeople;
        };
        let Some(reported) = &original.reported else {
            return Tried::LeaveToPeople;
        };
        let known = click_to_look_up(&original).and_then(|click| clicks.get(&click));
        let looked_up = known.cloned().map_or(LookedUp::Nothing, LookedUp::Click);
        let keys = &self.token_keys;
        let Ok(click) = click_of_report(&original, reported, looked_up, reference, keys) else {
            return Tried::Wait;
        };
        // Its name has no part in whether it would be matched.
        let trial = heal::healed(
            original.clone(),
            parked,
            original.event_id,
            HealAuthor::Machine,
            click.clone(),
        );
        match heal::check_matches(&trial, parked, reference, keys) {
            Ok(()) => Tried::Found(Box::new(click), Box::new(original)),
            Err(StillUnmatched::Reason(reason)) if schedule::may_turn_up(reason) => Tried::Wait,
            Err(StillUnmatched::Reason(_) | StillUnmatched::Unusable(_)) => Tried::LeaveToPeople,
        }
    }

    /// A heal is on its way: the ledger marks the report as healed when it gets there.
    async fn note_healed(&self, healed: &[Position]) -> Result<(), HealingError> {
        let (partitions, offsets): (Vec<i32>, Vec<i64>) = healed
            .iter()
            .map(|position| (position.partition, position.offset))
            .unzip();
        sqlx::query(
            "UPDATE unmatched_conversions SET tries = tries + 1, next_try_at = NULL
             WHERE state = 'parked' AND (source_partition, source_offset) IN
                   (SELECT * FROM unnest($1::int[], $2::bigint[]))",
        )
        .bind(&partitions)
        .bind(&offsets)
        .execute(&self.pool)
        .await?;
        Ok(())
    }

    /// Sets the next try, unless the ledger changed the row in the meantime: then its click may
    /// just have arrived, and it stays due.
    async fn note_tried(
        &self,
        tried: &[(Position, String, Option<Timestamp>)],
    ) -> Result<(), HealingError> {
        let partitions: Vec<_> = tried.iter().map(|(at, _, _)| at.partition).collect();
        let offsets: Vec<_> = tried.iter().map(|(at, _, _)| at.offset).collect();
        let versions: Vec<_> = tried.iter().map(|(_, version, _)| version).collect();
        let next: Vec<_> = tried
            .iter()
            .map(|(_, _, next)| next.map(Timestamp::to_datetime))
            .collect();
        sqlx::query(
            "UPDATE unmatched_conversions u SET tries = tries + 1, next_try_at = t.next_try_at
             FROM unnest($1::int[], $2::bigint[], $3::text[], $4::timestamptz[])
                  AS t (source_partition, source_offset, row_version, next_try_at)
             WHERE u.source_partition = t.source_partition AND u.source_offset = t.source_offset
               AND u.state = 'parked' AND u.xmin::text = t.row_version",
        )
        .bind(&partitions)
        .bind(&offsets)
        .bind(&versions)
        .bind(&next)
        .execute(&self.pool)
        .await?;
        Ok(())
    }
}

/// Whether a parked report's click may turn up. A heal that was parked itself is a person's: its
/// facts are settled.
fn worth_a_try(decision: &[u8]) -> bool {
    match codec::decode::<Decision>(decision) {
        Ok(decision) => match &decision.outcome {
            Outcome::Unmatched(unmatched) => {
                decision.heal.is_none() && schedule::may_turn_up(unmatched.reason)
            }
            Outcome::Matched(_) | Outcome::Ignored(_) | Outcome::Poisoned(_) => false,
        },
        Err(error) => {
            tracing::error!(%error, "the decision of a parked report can't be read");
            false
        }
    }
}
