//! What an operator sees of analytics.

use prometheus::{
    HistogramOpts, HistogramVec, IntCounterVec, IntGaugeVec, Opts, Registry, exponential_buckets,
};

/// Metrics of the analytics sink. Clones count together.
#[derive(Debug, Clone)]
pub struct AnalyticsMetrics {
    pub(super) rows_inserted: IntCounterVec,
    pub(super) insert_failures: IntCounterVec,
    pub(super) insert_seconds: HistogramVec,
    pub(super) dead_letters: IntCounterVec,
    pub(super) lag_records: IntGaugeVec,
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
        };
        registry.register(Box::new(metrics.rows_inserted.clone()))?;
        registry.register(Box::new(metrics.insert_failures.clone()))?;
        registry.register(Box::new(metrics.insert_seconds.clone()))?;
        registry.register(Box::new(metrics.dead_letters.clone()))?;
        registry.register(Box::new(metrics.lag_records.clone()))?;
        Ok(metrics)
    }
}
