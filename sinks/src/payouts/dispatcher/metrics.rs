//! What operators watch.

use processors::rules::payouts::PayoutState;
use prometheus::{
    Gauge, Histogram, HistogramOpts, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts,
    Registry,
};
use rust_decimal::prelude::ToPrimitive;
use schemas::Amount;

use super::super::{
    agcod::OutcomeKind,
    sms::MessageState,
    store::{Backlog, MessageResult, funds::Standing, recalls::RecallResult},
};

/// The dispatcher's metrics. No label ever names a payout or a person.
#[derive(Debug, Clone)]
pub(super) struct Metrics {
    attempts: IntCounterVec,
    attempt_seconds: Histogram,
    messages: IntCounterVec,
    open_messages: IntGaugeVec,
    oldest_due_seconds: IntGauge,
    oldest_unpaid_seconds: IntGauge,
    unpaid: IntGaugeVec,
    unpaid_amount: Gauge,
    funds: Gauge,
    funds_age_seconds: IntGauge,
    recalls: IntCounterVec,
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
            open_messages: IntGaugeVec::new(
                Opts::new(
                    "hissaback_payout_messages_open",
                    "Messages that aren't out, by state",
                ),
                &["state"],
            )?,
            oldest_due_seconds: IntGauge::new(
                "hissaback_payout_oldest_due_seconds",
                "How long the oldest due payout has been due",
            )?,
            oldest_unpaid_seconds: IntGauge::new(
                "hissaback_payout_oldest_unpaid_seconds",
                "How long ago the oldest payout was requested that isn't paid or cancelled",
            )?,
            unpaid: IntGaugeVec::new(
                Opts::new("hissaback_payout_unpaid", "Payouts on their way, by state"),
                &["state"],
            )?,
            unpaid_amount: Gauge::new(
                "hissaback_payout_unpaid_amount",
                "Sum of the payouts on their way, in units of the channel's currency",
            )?,
            funds: Gauge::new(
                "hissaback_payout_funds",
                "What is left of the prepaid funds, in units of their currency, when it was last \
                 asked; NaN before that",
            )?,
            funds_age_seconds: IntGauge::new(
                "hissaback_payout_funds_age_seconds",
                "How long ago the rail last said what is left; -1 if never",
            )?,
            recalls: IntCounterVec::new(
                Opts::new(
                    "hissaback_payout_recalls_total",
                    "Payouts given up after sending, by result",
                ),
                &["result"],
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
        registry.register(Box::new(metrics.open_messages.clone()))?;
        registry.register(Box::new(metrics.oldest_due_seconds.clone()))?;
        registry.register(Box::new(metrics.channel_paused.clone()))?;
        registry.register(Box::new(metrics.oldest_unpaid_seconds.clone()))?;
        registry.register(Box::new(metrics.unpaid.clone()))?;
        registry.register(Box::new(metrics.unpaid_amount.clone()))?;
        registry.register(Box::new(metrics.funds.clone()))?;
        registry.register(Box::new(metrics.funds_age_seconds.clone()))?;
        registry.register(Box::new(metrics.recalls.clone()))?;
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

    pub(super) fn count_messages(&self, counts: &[(MessageState, i64)]) {
        for (state, count) in counts {
            let gauge = self.open_messages.with_label_values(&[state.name()]);
            gauge.set(*count);
        }
    }

    pub(super) fn recalled(&self, result: RecallResult) {
        let name = match result {
            RecallResult::Recalled(_) => "recalled",
            RecallResult::Impossible(_) => "impossible",
            RecallResult::Later(_) => "later",
        };
        self.recalls.with_label_values(&[name]).inc();
    }

    pub(super) fn stand(&self, standing: &Standing) {
        for state in PayoutState::ALL {
            if standing.counts.contains_key(&state) || state.unpaid() {
                let count = standing.counts.get(&state).copied().unwrap_or(0);
                self.unpaid.with_label_values(&[state.name()]).set(count);
            }
        }
        self.unpaid_amount.set(units(standing.unpaid));
        self.oldest_unpaid_seconds
            .set(standing.oldest_unpaid_ms / 1_000);
        self.funds
            .set(standing.funds.map_or(f64::NAN, |(funds, _)| units(funds)));
        let age_seconds = standing.funds.map_or(-1, |(_, age_ms)| age_ms / 1_000);
        self.funds_age_seconds.set(age_seconds);
    }

    pub(super) fn show(&self, backlog: Backlog) {
        self.oldest_due_seconds.set(backlog.oldest_due_ms / 1_000);
        self.channel_paused.set(i64::from(backlog.paused));
    }
}

/// For a chart, where the sixth digit doesn't matter.
fn units(amount: Amount) -> f64 {
    amount.to_decimal().to_f64().unwrap_or(f64::NAN)
}
