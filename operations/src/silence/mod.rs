//! Campaigns that have gone quiet, before the network's CSV tells: a broken postback URL, an
//! expired token, a network that was moved.

pub mod rules;

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use futures::TryStreamExt;
use prometheus::{IntGauge, Registry};
use schemas::{CampaignId, TenantId, Timestamp};
use serde::Serialize;
use sqlx::PgPool;
use stream::Log;
use uuid::Uuid;

use crate::caught_up::{self, CaughtUpError};
use rules::{FALSE_ALARM_RATE, HISTORY_HOURS, judge};

const HOUR_MS: i64 = 60 * 60 * 1_000;

/// A campaign that has gone quiet.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SilentCampaign {
    /// The campaign.
    pub campaign_id: CampaignId,
    /// Whose it is.
    pub tenant_id: TenantId,
    /// As its tenant calls it.
    pub name: String,
    /// Since when: the end of the last hour with a postback, where none came since.
    pub since: Timestamp,
    /// The span in which the difference shows most, in hours up to the last whole one.
    pub span_hours: usize,
    /// Postbacks that came in it.
    pub seen: u64,
    /// Postbacks that were to be expected: the mean of the same hours of the weeks before.
    pub expected: f64,
    /// Chance of so few, were nothing wrong.
    pub chance: f64,
}

/// What a look at all campaigns came to.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SilenceReport {
    /// The end of the last whole hour.
    pub until: Timestamp,
    /// Campaigns that had a postback in the weeks before.
    pub campaigns: usize,
    /// Those that have gone quiet, the least likely first.
    pub silent: Vec<SilentCampaign>,
}

/// Why nothing can be said.
#[derive(Debug, thiserror::Error)]
pub enum SilenceError {
    /// Where the ledger is behind, every campaign looks quiet.
    #[error(transparent)]
    Behind(#[from] CaughtUpError),
    /// The database can't be read.
    #[error("postbacks can't be counted: {0}")]
    Database(#[from] sqlx::Error),
}

/// Looks at every campaign, as of `now`.
///
/// # Errors
/// When the ledger hasn't folded what the log holds, or can't be read.
pub async fn look(
    pool: &PgPool,
    log: &dyn Log,
    now: Timestamp,
) -> Result<SilenceReport, SilenceError> {
    caught_up::check(log, pool).await?;
    let until = now.millis().div_euclid(HOUR_MS);
    let hours = i64::try_from(HISTORY_HOURS).unwrap_or(i64::MAX);
    let from = until - hours;
    let at = |hour: i64| Timestamp::from_millis(hour * HOUR_MS);
    let mut rows = sqlx::query_as::<_, (Uuid, DateTime<Utc>, i64)>(
        "SELECT l.campaign_id, date_trunc('hour', c.received_at, 'UTC'), count(*)
         FROM conversions c JOIN ledger l USING (led_id, tenant_id, clicked_at)
         WHERE c.received_at >= $1 AND c.received_at < $2 AND c.report_source = 'postback'
         GROUP BY 1, 2",
    )
    .bind(at(from).to_datetime())
    .bind(at(until).to_datetime())
    .fetch(pool);
    let mut histories: BTreeMap<Uuid, Vec<u32>> = BTreeMap::new();
    while let Some((campaign, hour, count)) = rows.try_next().await? {
        let hour = Timestamp::from(hour).millis().div_euclid(HOUR_MS) - from;
        let history = histories
            .entry(campaign)
            .or_insert_with(|| vec![0; HISTORY_HOURS]);
        let slot = usize::try_from(hour)
            .ok()
            .and_then(|hour| history.get_mut(hour));
        if let Some(slot) = slot {
            *slot = u32::try_from(count).unwrap_or(u32::MAX);
        }
    }
    drop(rows);
    let names = names(pool, histories.keys().copied().collect()).await?;
    let mut silent: Vec<SilentCampaign> = histories
        .iter()
        .filter_map(|(campaign, history)| {
            let silence = judge(history, FALSE_ALARM_RATE)?;
            let (tenant, name) = names.get(campaign)?;
            let hours = i64::try_from(silence.hours).unwrap_or(i64::MAX);
            Some(SilentCampaign {
                campaign_id: CampaignId::new(*campaign),
                tenant_id: TenantId::new(*tenant),
                name: name.clone(),
                since: at(until - hours),
                span_hours: silence.span_hours,
                seen: silence.seen,
                expected: silence.expected,
                chance: silence.chance,
            })
        })
        .collect();
    silent.sort_by(|one, other| one.chance.total_cmp(&other.chance));
    Ok(SilenceReport {
        until: at(until),
        campaigns: histories.len(),
        silent,
    })
}

async fn names(
    pool: &PgPool,
    campaigns: Vec<Uuid>,
) -> sqlx::Result<BTreeMap<Uuid, (Uuid, String)>> {
    let rows: Vec<(Uuid, Uuid, String)> = sqlx::query_as(
        "SELECT campaign_id, tenant_id, name FROM campaigns WHERE campaign_id = ANY($1)",
    )
    .bind(campaigns)
    .fetch_all(pool)
    .await?;
    let named = |(campaign, tenant, name)| (campaign, (tenant, name));
    Ok(rows.into_iter().map(named).collect())
}

/// What the look tells Prometheus.
#[derive(Clone)]
pub struct SilenceMetrics {
    silent: IntGauge,
}

impl SilenceMetrics {
    /// Registers the metric; once per registry.
    ///
    /// # Errors
    /// When it is registered already.
    pub fn register(registry: &Registry) -> Result<Self, prometheus::Error> {
        let silent = IntGauge::new(
            "hissaback_silent_campaigns",
            "Campaigns that had far fewer postbacks than their own history lets expect, at the last look.",
        )?;
        registry.register(Box::new(silent.clone()))?;
        Ok(Self { silent })
    }

    /// Tells a report.
    pub fn tell(&self, report: &SilenceReport) {
        self.silent
            .set(i64::try_from(report.silent.len()).unwrap_or(i64::MAX));
    }
}
