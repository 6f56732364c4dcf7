//! What operators watch.

use prometheus::{Histogram, HistogramOpts, IntCounter, IntCounterVec, IntGauge, Opts, Registry};

use super::super::{
    agcod::OutcomeKind,
    store::{Backlog, MessageResult},
};

/// The dispatcher's metrics. No label ever names a payout or a person.
#[derive(Debug, Clone)]
pub(super) struct Metrics {
    attempts: IntCounterVec,
    attempt_seconds: Histogram,
    messages: IntCounterVec,
    oldest_due_seconds: IntGauge,
    channel_paused: IntGauge,
    pub(super) interrupted: IntCounter,
    pub(super) dead_letters: IntCounter,
}

impl Metrics {
    pub(super) fn register(registry: &Registry) -> Result<Self, prometheus::Error> {
        let metrics = Self {
            attempts: IntCounterVec::new(
                Opts::new("hissaback_payout_attempts_total", "Attempts by outcome"),
                &["outcome"],
            )?,
            attempt_seconds: Histogram::with_opts(
                HistogramOpts::new(
                    "hissaback_payout_attempt_seconds",
                    "From the request's first byte to the answer's last",
                )
                .buckets(vec![0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 4.0, 6.0, 8.0]),
            )?,
            messages: IntCounterVec::new(
                Opts::new("hissaback_payout_messages_total", "Messages by result"),
                &["result"],
            )?,
            oldest_due_seconds: IntGauge::new(
                "hissaback_payout_oldest_due_seconds",
                "How long the oldest due payout has been due",
            )?,
            channel_paused: IntGauge::new(
                "hissaback_payout_channel_paused",
                "1 while the channel stands still",
            )?,
            interrupted: IntCounter::new(
                "hissaback_payout_attempts_interrupted_total",
                "Attempts whose dispatcher went away",
            )?,
            dead_letters: IntCounter::new(
                "hissaback_payout_dead_letters_total",
                "Payout records that could not be read",
            )?,
        };
        registry.register(Box::new(metrics.attempts.clone()))?;
        registry.register(Box::new(metrics.attempt_seconds.clone()))?;
        registry.register(Box::new(metrics.messages.clone()))?;
        registry.register(Box::new(metrics.oldest_due_seconds.clone()))?;
        registry.register(Box::new(metrics.channel_paused.clone()))?;
        registry.register(Box::new(metrics.interrupted.clone()))?;
        registry.register(Box::new(metrics.dead_letters.clone()))?;
        // Each outcome is there from the start: an alert on a rate needs the zero before.
        for outcome in OutcomeKind::ALL {
            metrics.attempts.with_label_values(&[outcome.name()]);
        }
        for result in MessageResult::NAMES {
            metrics.messages.with_label_values(&[result]);
        }
        Ok(metrics)
    }

    pub(super) fn attempted(&self, outcome: OutcomeKind) {
        self.attempts.with_label_values(&[outcome.name()]).inc();
    }

    pub(super) fn called(&self, seconds: f64) {
        self.attempt_seconds.observe(seconds);
    }

    pub(super) fn messaged(&self, result: &MessageResult) {
        self.messages.with_label_values(&[result.name()]).inc();
    }

    pub(super) fn show(&self, backlog: Backlog) {
        self.oldest_due_seconds.set(backlog.oldest_due_ms / 1_000);
        self.channel_paused.set(i64::from(backlog.paused));
    }
}
