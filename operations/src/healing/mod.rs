//! Healing: a report whose click wasn't known finds it later (design section 4, unknown click).
//!
//! ```text
//!  unmatched_conversions (due) ─▶ original record ─▶ click found? ─▶ heal ─▶ conversions
//!                                                      └─ no ─▶ next try, over 24 hours
//!  commands (match by hand) ──────────────────────────────▶ operator's heal ─▶ conversions
//! ```
//!
//! A heal is a new `conversions` record that keeps the report's event id, receipt and source, and
//! carries the click's facts; it goes through the same pipeline as any other. At most one heal of
//! a report is in force, and the ledger's fold sees to that: so healing a report twice, after a
//! crash between append and update, changes nothing.

mod by_hand;
mod failure;
mod heal;
mod retry;
pub mod schedule;

use std::{sync::Arc, time::Duration};

use arc_swap::ArcSwap;
use processors::stage::ClickLookup;
use prometheus::{IntCounter, Registry};
use schemas::{Timestamp, reference::ReferenceData, token::TokenKeys};
use serde::Serialize;
use sqlx::PgPool;
use stream::{Clock, Log};
use tokio_util::sync::CancellationToken;

use crate::{advisory_lock::AdvisoryLock, event_ids::EventIdSource};

pub use failure::HealingError;

/// The consumer group that reads `commands` for matches by hand.
pub const GROUP: &str = "healing";
/// Whoever retries holds it.
const LOCK: &str = "hissaback.healing";

/// The healing worker with everything that it needs. Any number of instances may run: an advisory
/// lock lets one retry, and the group shares the commands out.
#[derive(Clone)]
pub struct Healer {
    /// Connections as the writer.
    pub pool: PgPool,
    /// Read from and written to.
    pub log: Arc<dyn Log>,
    /// The time port.
    pub clock: Arc<dyn Clock>,
    /// Where bare click ids are looked up.
    pub clicks: Arc<dyn ClickLookup>,
    /// The newest snapshot of the reference data.
    pub reference: Arc<ArcSwap<ReferenceData>>,
    /// The keys that click tokens are opened with.
    pub token_keys: TokenKeys,
    /// Names heals.
    pub event_ids: EventIdSource,
    /// What it counts.
    pub metrics: HealingMetrics,
    /// How it works.
    pub settings: HealingSettings,
}

/// How healing works. Durations are real time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HealingSettings {
    /// How often due reports are looked for.
    pub poll_interval: Duration,
    /// How often an instance that another one is ahead of asks for the lock.
    pub lock_interval: Duration,
    /// Reports tried together.
    pub page_records: usize,
    /// The version of the code, for dead letters.
    pub code_version: String,
}

impl Default for HealingSettings {
    fn default() -> Self {
        Self {
            poll_interval: Duration::from_millis(500),
            lock_interval: Duration::from_secs(5),
            page_records: 200,
            code_version: env!("CARGO_PKG_VERSION").to_owned(),
        }
    }
}

/// What healing counts.
#[derive(Clone)]
pub struct HealingMetrics {
    healed: IntCounter,
    left_to_people: IntCounter,
    matched_by_hand: IntCounter,
    commands_refused: IntCounter,
}

impl HealingMetrics {
    /// Registers the metrics; once per registry.
    ///
    /// # Errors
    /// When they are registered already.
    pub fn register(registry: &Registry) -> Result<Self, prometheus::Error> {
        let counter = |name: &str, help: &str| {
            let counter = IntCounter::new(name, help)?;
            registry.register(Box::new(counter.clone()))?;
            Ok::<_, prometheus::Error>(counter)
        };
        Ok(Self {
            healed: counter(
                "hissaback_healing_healed_total",
                "Parked reports that found their click by a retry.",
            )?,
            left_to_people: counter(
                "hissaback_healing_left_to_people_total",
                "Parked reports that aren't tried again by themselves.",
            )?,
            matched_by_hand: counter(
                "hissaback_healing_matched_by_hand_total",
                "Parked reports that an operator matched to a click.",
            )?,
            commands_refused: counter(
                "hissaback_healing_commands_refused_total",
                "Matches by hand that could not be carried out; they are dead letters.",
            )?,
        })
    }
}

/// What one pass over the due reports came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct HealSummary {
    /// Whether another process has the lock; then nothing was done.
    pub elsewhere: bool,
    /// Reports that were due.
    pub due: u64,
    /// Found their click: a heal was appended for each.
    pub healed: u64,
    /// Are tried again later.
    pub waiting: u64,
    /// Are left to a person, or to their click's arrival.
    pub left_to_people: u64,
}

impl Healer {
    /// Heals until `shutdown`: retries what is due, and carries out matches by hand. What fails
    /// for a while is waited out.
    ///
    /// # Errors
    /// When the log fails for good.
    pub async fn run(&self, shutdown: CancellationToken) -> Result<(), HealingError> {
        let retries = self.keep_retrying(&shutdown);
        let by_hand = self.follow_commands(&shutdown);
        tokio::try_join!(retries, by_hand).map(|_| ())
    }

    /// One pass over what is due at `now`, if no other process is at it.
    ///
    /// # Errors
    /// When the database or the log refuses. What was not written down is done again by the next
    /// pass.
    pub async fn heal_once(&self, now: Timestamp) -> Result<HealSummary, HealingError> {
        match self.lock().await? {
            Some(lock) => {
                let summary = self.heal_due(now).await;
                lock.release().await?;
                summary
            }
            None => Ok(HealSummary {
                elsewhere: true,
                ..HealSummary::default()
            }),
        }
    }

    async fn keep_retrying(&self, shutdown: &CancellationToken) -> Result<(), HealingError> {
        let mut lock = None;
        while !shutdown.is_cancelled() {
            let wait = match self.retry_under(&mut lock).await {
                Ok(true) => self.settings.poll_interval,
                Ok(false) => self.settings.lock_interval,
                Err(error) if error.temporary() => {
                    tracing::warn!(%error, "healing waits and tries again");
                    lock = None;
                    self.settings.lock_interval
                }
                Err(error) => return Err(error),
            };
            shutdown.run_until_cancelled(tokio::time::sleep(wait)).await;
        }
        Ok(())
    }

    /// One pass, if this process has the lock or gets it.
    async fn retry_under(&self, lock: &mut Option<AdvisoryLock>) -> Result<bool, HealingError> {
        match lock {
            Some(held) => held.confirm().await?,
            None => *lock = self.lock().await?,
        }
        if lock.is_some() {
            self.heal_due(self.clock.now()).await?;
        }
        Ok(lock.is_some())
    }

    async fn lock(&self) -> sqlx::Result<Option<AdvisoryLock>> {
        AdvisoryLock::take(&self.pool, LOCK).await
    }
}
