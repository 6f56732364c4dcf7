//! The stage: `conversions` → `decisions`. Stateless: any instance may take any partition at any
//! moment (design section 4).
//!
//! ```text
//!  conversions ──▶ read ──▶ look up bare click ids ──▶ decide ──▶ decisions ──▶ commit
//!                    │       (one query per batch)     (rules)
//!                    └─ unreadable ─▶ dead-letters, and a decision that says so
//! ```
//!
//! A batch is decided and appended as a whole or read again as a whole: whatever fails for a while
//! (the database, the log), the stage goes back to the start of the batch, waits, and reads on.
//! That appends some decisions twice, which is harmless, since the first for a position counts.
//! It decides nothing on a look-up that failed. Between batches it gives up what is revoked.

mod batch;
pub mod dead_letters;
mod failure;
mod lookup;
mod metrics;
mod origin;
mod reading;

use std::{sync::Arc, time::Duration};

use arc_swap::ArcSwap;
use schemas::{Topic, reference::ReferenceData, token::TokenKeys};
use stream::{
    Clock, GroupEvent, GroupSettings, Log, Record,
    commit_points::{self, CommitPoint},
};
use tokio_util::sync::CancellationToken;

use batch::{Decided, Undecided};
use failure::Backoff;
use reading::Reading;

pub use failure::StageError;
pub use lookup::{ClickLookup, InMemoryClicks, LookupError};
pub use metrics::StageMetrics;
pub use origin::{ORIGINAL_APPENDED_AT, ORIGINAL_POSITION, Origin, OriginError};

/// The consumer group of the stage.
pub const GROUP: &str = "processors";

/// The stage with everything that it needs. Instances share nothing but the log.
#[derive(Clone)]
pub struct Stage {
    /// Read from and written to.
    pub log: Arc<dyn Log>,
    /// Where bare click ids are looked up.
    pub clicks: Arc<dyn ClickLookup>,
    /// The newest snapshot; whoever owns it refreshes it faster than a version takes effect.
    pub reference: Arc<ArcSwap<ReferenceData>>,
    /// The keys that click tokens are opened with.
    pub token_keys: TokenKeys,
    /// Tells dead letters when they failed; no decision depends on it.
    pub clock: Arc<dyn Clock>,
    /// What it counts.
    pub metrics: StageMetrics,
    /// How it works.
    pub settings: StageSettings,
}

/// How the stage works.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StageSettings {
    /// Records in a batch; decisions of one batch are in flight together, and nothing else is.
    pub records_max: usize,
    /// Bytes in a batch, about.
    pub bytes_max: usize,
    /// How long one wait for records lasts.
    pub wait: Duration,
    /// The first wait after a failure; each further one is twice as long.
    pub backoff_min: Duration,
    /// The longest wait after a failure.
    pub backoff_max: Duration,
    /// The version of the code, for dead letters.
    pub code_version: String,
}

impl Default for StageSettings {
    fn default() -> Self {
        Self {
            records_max: 1_000,
            bytes_max: 4 * 1024 * 1024,
            wait: Duration::from_secs(1),
            backoff_min: Duration::from_millis(100),
            backoff_max: Duration::from_secs(10),
            code_version: env!("CARGO_PKG_VERSION").to_owned(),
        }
    }
}

impl Stage {
    /// Works until `shutdown`, then finishes the batch in hand, commits and leaves the group.
    ///
    /// # Errors
    /// Only what waiting doesn't mend: the log is closed, failed or damaged, a committed position
    /// lies outside it, or it will never take what has to be written.
    pub async fn run(self, shutdown: CancellationToken) -> Result<(), StageError> {
        let mut reading = None;
        let mut backoff = Backoff::new(self.settings.backoff_min, self.settings.backoff_max);
        while !shutdown.is_cancelled() {
            match self.step(&mut reading, &shutdown).await {
                Ok(Step::Worked) => backoff.reset(),
                Ok(Step::Waited) => {}
                Err(error) if error.temporary() => {
                    let wait = backoff.next();
                    self.metrics.retried(&error);
                    error.log(&format!("trying again in {wait:?}"));
                    shutdown.run_until_cancelled(tokio::time::sleep(wait)).await;
                }
                Err(error) => return Err(error),
            }
        }
        match reading {
            Some(reading) => reading.leave().await,
            None => Ok(()),
        }
    }

    /// Joins the group, or handles one event of it.
    async fn step(
        &self,
        reading: &mut Option<Reading>,
        shutdown: &CancellationToken,
    ) -> Result<Step, StageError> {
        let Some(reading) = reading else {
            let bytes_max = self.settings.bytes_max;
            let topics = [Topic::Conversions];
            let consumer = self
                .log
                .join(GROUP, &topics, GroupSettings { bytes_max })
                .await?;
            *reading = Some(Reading::new(consumer));
            return Ok(Step::Waited);
        };
        let next = reading.next(self.settings.records_max, self.settings.wait);
        match shutdown.run_until_cancelled(next).await.transpose()? {
            Some(GroupEvent::Records(records)) => {
                self.decide_batch(&records).await?;
                reading.finished().await?;
                return Ok(Step::Worked);
            }
            Some(GroupEvent::Revoked(partitions)) => reading.release(partitions).await?,
            Some(GroupEvent::Idle) => reading.commit().await?,
            Some(GroupEvent::Assigned(_)) | None => {}
        }
        Ok(Step::Waited)
    }

    /// Read, look up, decide, append.
    async fn decide_batch(&self, records: &[Record]) -> Result<(), StageError> {
        let undecided: Vec<Undecided> = records.iter().map(Undecided::read).collect();
        let clicks = lookup::look_up(&*self.clicks, &undecided).await?;
        // One snapshot for the whole batch.
        let reference = self.reference.load_full();
        let decided = undecided
            .into_iter()
            .map(|record| record.decide(&clicks, &reference, &self.token_keys))
            .collect::<Result<Vec<Decided>, _>>()?;
        self.append_dead_letters(&decided).await?;
        let decisions = decided.iter().map(Decided::to_record).collect();
        self.log.append(Topic::Decisions, decisions).await?;
        commit_points::pass(CommitPoint::StageDecided);
        self.metrics.decided(&decided, clicks.len());
        Ok(())
    }

    /// Appended first, so that a decision that names a dead letter never lacks it.
    async fn append_dead_letters(&self, decided: &[Decided<'_>]) -> Result<(), StageError> {
        let stage = dead_letters::Stage {
            name: GROUP,
            code_version: &self.settings.code_version,
        };
        let now = self.clock.now();
        let letters = decided.iter().filter_map(Decided::dead_letter);
        let letters = letters
            .map(|letter| letter.to_record(&stage, now))
            .collect();
        Ok(dead_letters::append(&*self.log, letters).await?)
    }
}

/// What one event of the group came to.
enum Step {
    /// A batch was decided.
    Worked,
    /// Nothing was to be decided.
    Waited,
}
