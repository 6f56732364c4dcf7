//! What the endpoints share: the ports, event ids, and the way into the log.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use arc_swap::ArcSwap;
use axum::response::Response;
use http::request;
use prometheus::Registry;
use schemas::{
    EventId, Timestamp,
    codec::{self, Event},
    contact::ContactKey,
    event_id::EventIds,
    headers,
    reference::ReferenceData,
    token::TokenKeys,
};
use stream::{
    Clock, Log, NewRecord,
    commit_points::{self, CommitPoint},
};
use tokio::time::{Instant, sleep, timeout};
use web::{
    client_address::Client,
    rate_limit::{AddressLimits, CallerLimits},
};

use crate::{
    metrics::{Kind, Metrics},
    rejection::Rejection,
    settings::{SettingError, Settings},
};

/// Longest pause before the clock is asked again for an event id: it may be set in between.
const ID_PAUSE_MS_MAX: i64 = 20;

/// What ingest works with.
pub struct Dependencies {
    /// Where records go.
    pub log: Arc<dyn Log>,
    /// The present.
    pub clock: Arc<dyn Clock>,
    /// The newest snapshot of the reference data.
    pub reference: Arc<ArcSwap<ReferenceData>>,
    /// Seals and opens click tokens.
    pub token_keys: TokenKeys,
    /// Hashes shoppers' addresses.
    pub contact_key: ContactKey,
    /// Draws click and event ids; shared with whoever draws for the same instance number.
    pub event_ids: Arc<Mutex<EventIds>>,
    /// How many clicks an address may make; shared with the other public endpoints.
    pub limits: Arc<AddressLimits>,
}

/// The state behind the endpoints.
pub struct Ingest {
    pub(crate) settings: Settings,
    pub(crate) reference: Arc<ArcSwap<ReferenceData>>,
    pub(crate) token_keys: TokenKeys,
    pub(crate) contact_key: ContactKey,
    pub(crate) callers: CallerLimits,
    log: Arc<dyn Log>,
    clock: Arc<dyn Clock>,
    event_ids: Arc<Mutex<EventIds>>,
    metrics: Metrics,
}

/// Ingest can't be set up.
#[derive(Debug, thiserror::Error)]
pub enum IngestError {
    /// A setting can't be used.
    #[error("ingest is configured wrongly: {0}")]
    Setting(#[from] SettingError),
    /// Metrics of these names are there already.
    #[error("the metrics of ingest can't be registered: {0}")]
    Metrics(#[from] prometheus::Error),
}

impl Ingest {
    /// Over these ports, with its metrics in `registry`.
    ///
    /// # Errors
    /// When a setting is out of its bounds, or the registry has the metrics already.
    pub fn new(
        dependencies: Dependencies,
        settings: Settings,
        registry: &Registry,
    ) -> Result<Arc<Self>, IngestError> {
        settings.limits.check()?;
        let Dependencies {
            log,
            clock,
            reference,
            token_keys,
            contact_key,
            event_ids,
            limits,
        } = dependencies;
        let callers = CallerLimits::new(limits, settings.trusted_proxies.clone());
        let metrics = Metrics::register(registry)?;
        Ok(Arc::new(Self {
            settings,
            reference,
            token_keys,
            contact_key,
            callers,
            log,
            clock,
            event_ids,
            metrics,
        }))
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    pub(crate) fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// Draws an id, waiting a little when this millisecond's are used up or the clock stepped
    /// back.
    pub(crate) async fn draw_id(&self) -> Result<EventId, Rejection> {
        let deadline = Instant::now() + self.settings.limits.event_id_timeout;
        loop {
            let now = self.now();
            // The generator is a value that is never left half changed, even by a panic.
            let drawn = self
                .event_ids
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .draw(now);
            match drawn {
                Ok(id) => return Ok(id),
                Err(_) if Instant::now() >= deadline => return Err(Rejection::IdsExhausted),
                Err(exhausted) => {
                    let wait_ms = exhausted
                        .retry_at
                        .millis_since(now)
                        .clamp(1, ID_PAUSE_MS_MAX);
                    sleep(Duration::from_millis(wait_ms.unsigned_abs())).await;
                }
            }
        }
    }

    /// Appends an event, and returns once it is durable.
    pub(crate) async fn append<E: Event>(&self, key: String, event: &E) -> Result<(), Rejection> {
        let value = codec::encode(event).map_err(Rejection::NotEncoded)?;
        let received = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        let record = NewRecord::new(key, value)
            .with_header(headers::INGESTED_AT, received.as_micros().to_string())
            .of_current_request();
        let append = self.log.append(E::TOPIC, vec![record]);
        match timeout(self.settings.limits.append_timeout, append).await {
            Ok(Ok(_positions)) => {
                commit_points::pass(CommitPoint::IngestDurable);
                Ok(())
            }
            Ok(Err(error)) => Err(error.into()),
            Err(_elapsed) => Err(Rejection::TooSlow),
        }
    }

    /// Who sent the request.
    pub(crate) fn client(&self, parts: &request::Parts) -> Client {
        Client::of_parts(parts, &self.settings.trusted_proxies)
    }

    /// Counts the outcome, logs what an operator should hear of, and makes the answer.
    pub(crate) fn answer<T>(
        &self,
        kind: Kind,
        started: std::time::Instant,
        outcome: Result<T, Rejection>,
        accepted: impl FnOnce(T) -> Response,
    ) -> Response {
        match outcome {
            Ok(value) => {
                self.metrics
                    .count_accepted(kind, started.elapsed().as_secs_f64());
                accepted(value)
            }
            Err(rejection) => {
                self.metrics.count_rejected(rejection.name());
                rejection.log();
                axum::response::IntoResponse::into_response(rejection)
            }
        }
    }
}
