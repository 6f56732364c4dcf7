//! What an operator sees of analytics.

use prometheus::{
    HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry,
    exponential_buckets,
};

/// Metrics of the analytics sink. Clones count together.
#[derive(Debug, Clone)]
pub struct AnalyticsMetrics {
    pub(super) rows_inserted: IntCounterVec,
    pub(super) insert_failures: IntCounterVec,
    pub(super) insert_seconds: HistogramVec,
    pub(super) dead_letters: IntCounterVec,
    pub(super) lag_records: IntGaugeVec,
    pub(super) lag_seconds: IntGaugeVec,
    pub(super) stale_hours: IntGauge,
    pub(super) buckets_computed: IntCounter,
    pub(super) computation_failures: IntCounter,
}

impl AnalyticsMetrics {
    /// Registers the metrics.
    ///
    /// # Errors
    /// When metrics of these names are registered already.
    pub fn register(registry: &Registry) -> Result<Self, prometheus::Error> {
        let counter = |name: &str, help: &str, label: &str| {
            IntCounterVec::new(Opts::new(name, help), &[label])
        };
        let metrics = Self {
            rows_inserted: counter(
                "hissaback_analytics_rows_inserted_total",
                "Rows that ClickHouse acknowledged, repetitions included",
                "table",
            )?,
            insert_failures: counter(
                "hissaback_analytics_insert_failures_total",
                "Inserts that failed and are tried again",
                "table",
            )?,
            insert_seconds: HistogramVec::new(
                HistogramOpts::new(
                    "hissaback_analytics_insert_seconds",
                    "Time that ClickHouse takes for one insert",
                )
                .buckets(exponential_buckets(0.002, 2.0, 14)?),
                &["table"],
            )?,
            dead_letters: counter(
                "hissaback_analytics_dead_letters_total",
                "Records that could not be read and went to dead-letters",
                "topic",
            )?,
            lag_records: IntGaugeVec::new(
                Opts::new(
                    "hissaback_analytics_lag_records",
                    "Records in the log that are not in ClickHouse yet",
                ),
                &["topic"],
            )?,
            lag_seconds: IntGaugeVec::new(
                Opts::new(
                    "hissaback_analytics_lag_seconds",
                    "Age of the oldest record in the log that is not in ClickHouse yet",
                ),
                &["topic"],
            )?,
            stale_hours: IntGauge::new(
                "hissaback_analytics_stale_hours",
                "Hours whose aggregates are older than what they are computed from",
            )?,
            buckets_computed: IntCounter::new(
                "hissaback_analytics_buckets_computed_total",
                "Hours and days, of clicks and of claims, whose aggregates were computed",
            )?,
            computation_failures: IntCounter::new(
                "hissaback_analytics_computation_failures_total",
                "Computations of aggregates that failed and are tried again",
            )?,
        };
        registry.register(Box::new(metrics.rows_inserted.clone()))?;
        registry.register(Box::new(metrics.insert_failures.clone()))?;
        registry.register(Box::new(metrics.insert_seconds.clone()))?;
        registry.register(Box::new(metrics.dead_letters.clone()))?;
        registry.register(Box::new(metrics.lag_records.clone()))?;
        registry.register(Box::new(metrics.lag_seconds.clone()))?;
        registry.register(Box::new(metrics.stale_hours.clone()))?;
        registry.register(Box::new(metrics.buckets_computed.clone()))?;
        registry.register(Box::new(metrics.computation_failures.clone()))?;
        Ok(metrics)
    }
}
