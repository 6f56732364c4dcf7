//! Event ids, drawn with a little patience.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use schemas::{EventId, event_id::EventIds};
use stream::Clock;
use tokio::time::{Instant, sleep};

/// Longest pause before the clock is asked again: it may be set in between.
const PAUSE_MS_MAX: i64 = 20;
/// How long to wait for an id in all.
const PATIENCE: Duration = Duration::from_secs(5);

/// Draws event ids for one instance number, which ingest in the same process may share.
#[derive(Clone)]
pub struct EventIdSource {
    ids: Arc<Mutex<EventIds>>,
    clock: Arc<dyn Clock>,
}

/// No id came free in time: the clock stands still, or stepped back far.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("event ids are used up at the moment")]
pub struct IdsExhausted;

impl EventIdSource {
    /// Over a generator that others may draw from too.
    pub fn new(ids: Arc<Mutex<EventIds>>, clock: Arc<dyn Clock>) -> Self {
        Self { ids, clock }
    }

    /// Draws an id, waiting up to five seconds when this millisecond's are drawn or the clock
    /// stepped back.
    ///
    /// # Errors
    /// When none came free in that time.
    pub async fn draw(&self) -> Result<EventId, IdsExhausted> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let now = self.clock.now();
            // The generator is a value that is never left half changed, even by a panic.
            let drawn = self
                .ids
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .draw(now);
            match drawn {
                Ok(id) => return Ok(id),
                Err(_) if Instant::now() >= deadline => return Err(IdsExhausted),
                Err(exhausted) => {
                    let wait_ms = exhausted.retry_at.millis_since(now).clamp(1, PAUSE_MS_MAX);
                    sleep(Duration::from_millis(wait_ms.unsigned_abs())).await;
                }
            }
        }
    }
}
