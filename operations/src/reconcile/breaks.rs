//! One reconciliation under way: rows are judged, breaks told, evidence appended.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use schemas::{
    EventId, Timestamp, Topic, codec,
    events::{ConversionReported, Reported},
    headers::{MATCHED_BY, MATCHED_CLAIM},
};
use stream::{AppendError, NewRecord, Refusal};

use super::{
    Break, BreakSink, PAGE_ROWS, ReconcileError, ReconcileSettings, ReconcileSummary, Reconciler,
    evidence::{Evidence, RowClick, Scope},
    parked, reread,
    rules::{Action, BreakKind, Judgement, Matched, Row, judge},
    staging::{StagedRow, Staging},
};
use crate::export::{ListingReader, RowContent, click_named};

/// How long to wait when the log takes no more for the moment.
const OVERLOADED_WAIT: std::time::Duration = std::time::Duration::from_millis(50);
/// Records appended together.
const APPEND_RECORDS: usize = 500;
/// A claim whose time is our own receipt may be listed on the day before or after.
const EDGE_MS: i64 = 24 * 60 * 60 * 1_000;

/// A reconciliation under way.
pub(super) struct Run<'a> {
    pub(super) reconciler: &'a Reconciler,
    pub(super) settings: ReconcileSettings,
    pub(super) rows: ListingReader,
    pub(super) staging: Staging,
    pub(super) summary: ReconcileSummary,
    pub(super) sink: &'a mut dyn BreakSink,
    pub(super) now: Timestamp,
}

/// A row that counts.
struct Counted {
    line: u64,
    content: RowContent,
    fields: Reported,
}

/// A claim of the span that no row names.
#[derive(sqlx::FromRow)]
struct Unlisted {
    led_id: i64,
    txn_id: Option<String>,
    status: String,
    network_status: Option<String>,
    order_value: Option<rust_decimal::Decimal>,
    converted_at: DateTime<Utc>,
    reasons: Vec<String>,
}

impl Run<'_> {
    /// Judges every row, page by page.
    pub(super) async fn compare_rows(
        &mut self,
        progress: &impl Fn(&ReconcileSummary),
    ) -> Result<(), ReconcileError> {
        let first_and_last = self.staging.span().await?;
        let of_rows = first_and_last.map(|(first, last)| (first, last.plus_millis(1)));
        self.summary.span = match (self.settings.from, self.settings.to, of_rows) {
            (Some(from), Some(to), _) => Some((from, to)),
            (from, to, Some(rows)) => Some((from.unwrap_or(rows.0), to.unwrap_or(rows.1))),
            (_, _, None) => None,
        };
        let mut after = 0;
        loop {
            let page = self.staging.page(after).await?;
            let Some(last) = page.last() else {
                return Ok(());
            };
            after = last.line();
            let counted = self.counted(page)?;
            let records = self.judge_page(counted).await?;
            self.append(records).await?;
            progress(&self.summary);
        }
    }

    /// The rows of a page that count.
    fn counted(&mut self, page: Vec<StagedRow>) -> Result<Vec<Counted>, ReconcileError> {
        let mut counted = Vec::with_capacity(page.len());
        for staged in page {
            let line = staged.line();
            if staged.superseded {
                self.summary.superseded += 1;
                continue;
            }
            if staged.repeated {
                self.summary.duplicates += 1;
                continue;
            }
            let row = self.rows.read(line, staged.row_bytes)?;
            let content = row.content.map_err(|_| reread(line))?;
            let fields = content.outcome.clone().map_err(|_| reread(line))?;
            let span = self.summary.span;
            let within = |at: Timestamp| span.is_none_or(|(from, to)| (from..to).contains(&at));
            if fields.converted_at.is_some_and(|at| !within(at)) {
                self.summary.outside += 1;
                continue;
            }
            counted.push(Counted {
                line,
                content,
                fields,
            });
        }
        Ok(counted)
    }

    /// Judges a page, tells its breaks, and gives the records to append.
    async fn judge_page(&mut self, rows: Vec<Counted>) -> Result<Vec<NewRecord>, ReconcileError> {
        let reconciler = self.reconciler;
        let scope = Scope {
            tenant_id: self.settings.tenant_id,
            network_id: self.settings.network_id,
            reference: &reconciler.reference,
            token_keys: &reconciler.token_keys,
        };
        let connection = &mut self.staging.connection;
        let fields: Vec<&Reported> = rows.iter().map(|row| &row.fields).collect();
        let evidence = Evidence::load(connection, &scope, &fields).await?;
        let parked = parked::known(connection, &fields).await?;
        let (mut records, mut matched_claims) = (Vec::new(), Vec::new());
        for (row, parked) in rows.into_iter().zip(parked) {
            let (reports, rule) = match evidence.click_of(&scope, &row.fields) {
                RowClick::AnotherTenants => {
                    self.summary.elsewhere += 1;
                    continue;
                }
                RowClick::Ours(click) => (evidence.of_click(click), None),
                RowClick::Unknown => {
                    let (reports, rule) = evidence.of_no_click(&row.fields);
                    (reports, Some(rule))
                }
            };
            self.summary.compared += 1;
            let compared = Row {
                fields: row.fields.clone(),
                as_of: self.settings.as_of,
                now: self.now,
            };
            let judgement = judge(&compared, reports, rule, self.settings.comparison());
            if let Judgement::Matched { matched, .. } = &judgement {
                *self.summary.matched.entry(matched.rule.name()).or_default() += 1;
                matched_claims.push(matched.claim);
            }
            let (action, matched) = self.tell(&row, judgement, parked)?;
            if action == Some(Action::Append) {
                self.summary.proposed += 1;
                if self.settings.apply {
                    records.push(self.record(row, matched).await?);
                }
            }
        }
        self.staging.note_matched(&matched_claims).await?;
        Ok(records)
    }

    /// Tells the breaks of a row, and what is proposed.
    fn tell(
        &mut self,
        row: &Counted,
        judgement: Judgement,
        parked: bool,
    ) -> Result<(Option<Action>, Option<Matched>), ReconcileError> {
        let said = || {
            let status = row
                .fields
                .status
                .map(|status| format!("{status:?}").to_lowercase());
            let sale = row.fields.sale_amount.map(|sale| format!(" {sale}"));
            status.unwrap_or_default() + &sale.unwrap_or_default()
        };
        let found = |kind, here: String, there, action| Break {
            kind,
            line: Some(row.line),
            claim: None,
            rule: None,
            conversion: row.fields.network_conversion_id.clone(),
            order: row.fields.txn_id.clone(),
            here,
            there,
            age_days: row.fields.converted_at.map(|at| age_days(at, self.now)),
            action,
        };
        let (found, matched): (Vec<Break>, Option<Matched>) = match judgement {
            Judgement::Missing if parked => {
                let here = "in the log, without a claim".to_owned();
                let parked = found(BreakKind::Parked, here, said(), Action::MatchByHand);
                (vec![parked], None)
            }
            Judgement::Missing => {
                let here = "no claim".to_owned();
                let missing = found(BreakKind::MissingHere, here, said(), Action::Append);
                (vec![missing], None)
            }
            Judgement::Ambiguous => {
                let here = "several claims of the click fit".to_owned();
                (
                    vec![found(
                        BreakKind::Ambiguous,
                        here,
                        said(),
                        Action::MatchByHand,
                    )],
                    None,
                )
            }
            Judgement::Matched {
                matched,
                differences,
                action,
            } => {
                let breaks = differences.into_iter().map(|difference| Break {
                    claim: Some(matched.claim),
                    rule: Some(matched.rule),
                    age_days: Some(age_days(matched.converted_at, self.now)),
                    ..found(difference.kind, difference.here, difference.there, action)
                });
                (breaks.collect(), Some(matched))
            }
        };
        if found.is_empty() {
            self.summary.agreed += 1;
        }
        for found in &found {
            self.summary.count_break(found.kind);
            self.sink.take(found)?;
        }
        Ok((found.first().map(|found| found.action), matched))
    }

    /// The row as evidence: its bytes and fields, and the claim that it was matched to.
    async fn record(
        &self,
        row: Counted,
        matched: Option<Matched>,
    ) -> Result<NewRecord, ReconcileError> {
        let mut fields = row.fields;
        // Without a reference of its own the row goes by that of the claim it was matched to.
        if let Some(matched) = matched
            .as_ref()
            .filter(|matched| matched.rule.without_click())
        {
            fields.click_ref.clone_from(&matched.click_ref);
        }
        let keys = &self.reconciler.token_keys;
        let event = ConversionReported {
            event_id: self.reconciler.event_ids.draw().await?,
            received_at: self.reconciler.clock.now(),
            source: self.settings.source,
            as_of: Some(self.settings.as_of),
            network_id: self.settings.network_id,
            tenant_id: Some(self.settings.tenant_id),
            click_id: click_named(&fields.click_ref, keys),
            raw: row.content.raw,
            malformed: None,
            heal: None,
            reported: Some(fields.clone()),
        };
        let key = event
            .click_id
            .map_or(fields.click_ref, |click_id| click_id.to_string());
        let record = NewRecord::new(key, codec::encode(&event)?);
        Ok(match matched {
            None => record,
            Some(matched) => record
                .with_header(MATCHED_CLAIM, matched.claim.to_string())
                .with_header(MATCHED_BY, matched.rule.name()),
        })
    }

    async fn append(&mut self, records: Vec<NewRecord>) -> Result<(), ReconcileError> {
        for chunk in records.chunks(APPEND_RECORDS) {
            loop {
                let log = &self.reconciler.log;
                match log.append(Topic::Conversions, chunk.to_vec()).await {
                    Ok(_) => break,
                    Err(AppendError::Determinate(Refusal::Overloaded { .. })) => {
                        tokio::time::sleep(OVERLOADED_WAIT).await;
                    }
                    Err(error) => return Err(error.into()),
                }
            }
            self.summary.appended += chunk.len() as u64;
        }
        Ok(())
    }

    /// Claims whose conversion lies in the span, and that no row names.
    pub(super) async fn find_missing_there(&mut self) -> Result<(), ReconcileError> {
        let Some((from, to)) = self.summary.span else {
            return Ok(());
        };
        let mut after = 0;
        loop {
            let page: Vec<Unlisted> = sqlx::query_as(
                "SELECT led_id, txn_id, status, network_status, order_value, converted_at, reasons
                 FROM ledger l
                 WHERE tenant_id = $1 AND network_id = $2 AND led_id > $3
                   AND converted_at >= $4 AND converted_at < $5
                   AND NOT EXISTS (SELECT FROM matched_claims m WHERE m.led_id = l.led_id)
                 ORDER BY led_id LIMIT $6",
            )
            .bind(self.settings.tenant_id.uuid())
            .bind(self.settings.network_id.get())
            .bind(after)
            .bind(from.to_datetime())
            .bind(to.to_datetime())
            .bind(i64::from(PAGE_ROWS))
            .fetch_all(&mut self.staging.connection)
            .await?;
            let Some(last) = page.last() else {
                return Ok(());
            };
            after = last.led_id;
            for claim in page {
                let found = self.missing_there(claim, from, to);
                self.summary.count_break(found.kind);
                self.sink.take(&found)?;
            }
        }
    }

    fn missing_there(&self, claim: Unlisted, from: Timestamp, to: Timestamp) -> Break {
        let converted_at = Timestamp::from(claim.converted_at);
        let reasons: BTreeSet<&str> = claim.reasons.iter().map(String::as_str).collect();
        let near_an_end =
            converted_at.millis_since(from) < EDGE_MS || to.millis_since(converted_at) <= EDGE_MS;
        let kind = if reasons.contains("time_of_receipt") && near_an_end {
            BreakKind::DayEdge
        } else {
            BreakKind::MissingThere
        };
        let sale = claim
            .order_value
            .map(|sale| format!(" {}", sale.normalize()));
        let network = claim.network_status.unwrap_or_else(|| "nothing".to_owned());
        Break {
            kind,
            line: None,
            claim: Some(EventId::new(claim.led_id)),
            rule: None,
            conversion: None,
            order: claim.txn_id,
            here: format!("{}, network said {network}", claim.status) + &sale.unwrap_or_default(),
            there: "not listed".to_owned(),
            age_days: Some(age_days(converted_at, self.now)),
            action: Action::AskNetwork,
        }
    }
}

fn age_days(at: Timestamp, now: Timestamp) -> i64 {
    now.millis_since(at).div_euclid(EDGE_MS)
}
