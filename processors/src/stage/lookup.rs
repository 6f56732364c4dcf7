//! Looking up bare click ids: the port, and its implementation in memory.

use std::{
    collections::{BTreeSet, HashMap},
    sync::{Mutex, MutexGuard, PoisonError},
};

use async_trait::async_trait;
use schemas::{ClickId, events::ClickFacts};

use super::batch::Undecided;

/// Where clicks are found by their id: PostgreSQL's `clicks` table (in `sinks`), or memory.
#[async_trait]
pub trait ClickLookup: Send + Sync {
    /// The facts of those of the clicks that are known; one query for all of them. A click that
    /// isn't in the answer is not known (yet).
    async fn clicks(&self, ids: &[ClickId]) -> Result<HashMap<ClickId, ClickFacts>, LookupError>;
}

/// Nothing is known about the clicks asked for, not even whether they exist.
#[derive(Debug, thiserror::Error)]
#[error("clicks can't be looked up")]
pub struct LookupError(#[source] Box<dyn std::error::Error + Send + Sync>);

impl LookupError {
    /// From whatever kept the store from answering.
    pub fn new(source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self(source.into())
    }
}

/// The answer for the bare ids of a batch; the store isn't asked where there are none.
pub(super) async fn look_up(
    clicks: &dyn ClickLookup,
    batch: &[Undecided<'_>],
) -> Result<HashMap<ClickId, ClickFacts>, LookupError> {
    let ids: BTreeSet<ClickId> = batch
        .iter()
        .filter_map(Undecided::click_to_look_up)
        .collect();
    if ids.is_empty() {
        return Ok(HashMap::new());
    }
    let ids: Vec<ClickId> = ids.into_iter().collect();
    clicks.clicks(&ids).await
}

/// Clicks in memory: for simulation and tests.
#[derive(Debug, Default)]
pub struct InMemoryClicks {
    clicks: Mutex<HashMap<ClickId, ClickFacts>>,
}

impl InMemoryClicks {
    /// Makes a click known; one that is known already stays as it is.
    pub fn record(&self, click: ClickFacts) {
        self.locked().entry(click.click_id).or_insert(click);
    }

    fn locked(&self) -> MutexGuard<'_, HashMap<ClickId, ClickFacts>> {
        // Nothing here panics half way through a change.
        self.clicks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl ClickLookup for InMemoryClicks {
    async fn clicks(&self, ids: &[ClickId]) -> Result<HashMap<ClickId, ClickFacts>, LookupError> {
        let clicks = self.locked();
        let known = ids
            .iter()
            .filter_map(|id| Some((*id, clicks.get(id)?.clone())));
        Ok(known.collect())
    }
}
