//! How the services are: told at once on `/health`, and as metrics.

use std::{
    collections::BTreeMap,
    fmt::Display,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use api::{ComponentHealth, ComponentState, HealthReport, HealthSource};
use prometheus::{
    IntGaugeVec, Opts, Registry,
    core::{Collector, Desc},
    proto::MetricFamily,
};
use tokio::{
    sync::watch,
    time::{sleep, timeout},
};
use tokio_util::task::AbortOnDropHandle;

use crate::embedded::Health;

/// How often a server is asked whether it answers.
const PROBE_INTERVAL: Duration = Duration::from_secs(5);
/// How long it may take to answer.
const PROBE_TIMEOUT: Duration = Duration::from_secs(3);
/// How long a process that is starting waits before it tries a service again.
const RETRY_PAUSE: Duration = Duration::from_secs(2);

/// A component's health, in short.
pub(super) fn component(state: ComponentState, detail: Option<String>) -> ComponentHealth {
    ComponentHealth { state, detail }
}

pub(super) fn of_log(health: &stream::Health) -> ComponentHealth {
    match health {
        stream::Health::Ready => component(ComponentState::Ready, None),
        stream::Health::Unavailable { reason } | stream::Health::Failed { reason } => {
            component(ComponentState::Failing, Some(reason.clone()))
        }
    }
}

/// Health of a supervised child; `otherwise` is what its absence means.
pub(super) fn supervised(health: &Health, otherwise: ComponentState) -> ComponentHealth {
    match health {
        Health::Ready { .. } => component(ComponentState::Ready, None),
        Health::Starting => component(otherwise, Some("it is starting".to_owned())),
        Health::Restarting { reason } => component(otherwise, Some(reason.clone())),
        Health::Stopped => component(otherwise, Some("it was stopped".to_owned())),
    }
}

/// Asks a server now and then whether it answers, until this is dropped.
pub(super) struct Probe {
    state: watch::Receiver<Result<(), String>>,
    _task: AbortOnDropHandle<()>,
}

impl Probe {
    /// Begins to ask. The server has just answered.
    pub(super) fn start<F, A, E>(ask: F) -> Self
    where
        F: Fn() -> A + Send + 'static,
        A: Future<Output = Result<(), E>> + Send + 'static,
        E: Display,
    {
        let (told, state) = watch::channel(Ok(()));
        let task = tokio::spawn(async move {
            loop {
                sleep(PROBE_INTERVAL).await;
                let answer = match timeout(PROBE_TIMEOUT, ask()).await {
                    Ok(answer) => answer.map_err(|error| error.to_string()),
                    Err(_) => Err(format!("no answer within {} s", PROBE_TIMEOUT.as_secs())),
                };
                told.send_if_modified(|known| {
                    let changed = *known != answer;
                    *known = answer;
                    changed
                });
            }
        });
        Self {
            state,
            _task: AbortOnDropHandle::new(task),
        }
    }

    /// What was found last, to be read at any time.
    pub(super) fn state(&self) -> watch::Receiver<Result<(), String>> {
        self.state.clone()
    }
}

/// Health of a server that was asked; `otherwise` is what its silence means.
pub(super) fn answered(answer: &Result<(), String>, otherwise: ComponentState) -> ComponentHealth {
    match answer {
        Ok(()) => component(ComponentState::Ready, None),
        Err(reason) => component(otherwise, Some(reason.clone())),
    }
}

/// What a process tells about itself until its services are there. A server that isn't there yet
/// is waited for, if there is somebody to tell.
#[derive(Clone, Default)]
pub struct Starting {
    patient: bool,
    board: Arc<Mutex<BTreeMap<String, ComponentHealth>>>,
}

impl Starting {
    /// For a process that serves `/health` meanwhile: it waits.
    pub fn patient() -> Self {
        let starting = Self {
            patient: true,
            ..Self::default()
        };
        starting.tell("process", "it is starting".to_owned());
        starting
    }

    /// For a command that somebody waits for: what isn't there is an error.
    pub fn at_once() -> Self {
        Self::default()
    }

    /// Whether what isn't there is an error.
    pub(super) fn impatient(&self) -> bool {
        !self.patient
    }

    /// Does something that needs a server, again and again while what fails is temporary.
    pub(super) async fn insist<T, E: Display>(
        &self,
        service: &'static str,
        temporary: impl Fn(&E) -> bool,
        mut attempt: impl AsyncFnMut() -> Result<T, E>,
    ) -> Result<T, E> {
        let mut told = String::new();
        loop {
            match attempt().await {
                Err(error) if self.patient && temporary(&error) => {
                    let reason = error.to_string();
                    if reason != told {
                        tracing::warn!(service, %reason, "waiting for a service");
                        self.tell(service, reason.clone());
                        told = reason;
                    }
                    sleep(RETRY_PAUSE).await;
                }
                outcome => {
                    self.board().remove(service);
                    return outcome;
                }
            }
        }
    }

    /// The health of a process that is starting: it fails, since it can't do its work yet.
    pub fn health(&self) -> HealthSource {
        let starting = self.clone();
        Arc::new(move || HealthReport {
            components: starting.board().clone(),
        })
    }

    fn tell(&self, service: &str, reason: String) {
        let health = component(ComponentState::Failing, Some(reason));
        self.board().insert(service.to_owned(), health);
    }

    fn board(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, ComponentHealth>> {
        // Nothing panics half way through a change.
        self.board.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Every state, by its name in metrics.
const STATES: [(&str, ComponentState); 4] = [
    ("ready", ComponentState::Ready),
    ("off", ComponentState::Off),
    ("degraded", ComponentState::Degraded),
    ("failing", ComponentState::Failing),
];

/// The health as a metric, asked for when metrics are.
struct HealthMetric {
    health: HealthSource,
    states: IntGaugeVec,
}

/// Registers the health as a metric.
///
/// # Errors
/// When it is registered already.
pub fn register_health(health: HealthSource, registry: &Registry) -> Result<(), prometheus::Error> {
    let states = IntGaugeVec::new(
        Opts::new(
            "hissaback_component_state",
            "1 for the state that a component is in, as /health tells it; 0 for the others.",
        ),
        &["component", "state"],
    )?;
    registry.register(Box::new(HealthMetric { health, states }))
}

impl Collector for HealthMetric {
    fn desc(&self) -> Vec<&Desc> {
        self.states.desc()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        self.states.reset();
        for (name, component) in (self.health)().components {
            for (state_name, state) in STATES {
                let gauge = self.states.with_label_values(&[name.as_str(), state_name]);
                gauge.set(i64::from(component.state == state));
            }
        }
        self.states.collect()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_server_that_is_not_there_is_waited_for_and_told() {
        let starting = Starting::patient();
        let tries = AtomicU32::new(0);
        let attempt = async || match tries.fetch_add(1, Ordering::Relaxed) {
            0 | 1 => Err("refused".to_owned()),
            _ => {
                let report = (starting.health())();
                assert_eq!(report.components["log"].detail.as_deref(), Some("refused"));
                assert!(!report.ready());
                Ok(())
            }
        };
        let outcome = starting.insist("log", |_| true, attempt).await;
        assert_eq!(outcome, Ok(()));
        assert_eq!(tries.load(Ordering::Relaxed), 3);
        assert!(!(starting.health())().components.contains_key("log"));
    }

    #[tokio::test]
    async fn what_does_not_pass_and_whom_somebody_waits_for_is_not_tried_again() {
        let refuse = async || Err::<(), _>("no such user".to_owned());
        let patient = Starting::patient();
        assert!(patient.insist("postgres", |_| false, refuse).await.is_err());
        let impatient = Starting::at_once();
        assert!(
            impatient
                .insist("postgres", |_| true, refuse)
                .await
                .is_err()
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_server_that_falls_silent_is_found_out() {
        let probe = Probe::start(std::future::pending::<Result<(), String>>);
        let mut state = probe.state();
        state.changed().await.expect("it is asked");
        let health = answered(&state.borrow(), ComponentState::Degraded);
        assert_eq!(health.state, ComponentState::Degraded);
    }

    #[test]
    fn the_state_is_a_metric() {
        let report = HealthReport {
            components: [(
                "log".to_owned(),
                component(ComponentState::Failing, Some("gone".to_owned())),
            )]
            .into(),
        };
        let registry = Registry::new();
        register_health(Arc::new(move || report.clone()), &registry).expect("registered");
        let text = prometheus::TextEncoder::new()
            .encode_to_string(&registry.gather())
            .expect("text");
        assert!(
            text.contains(r#"component="log",state="failing"} 1"#),
            "{text}"
        );
        assert!(
            text.contains(r#"component="log",state="ready"} 0"#),
            "{text}"
        );
    }
}
