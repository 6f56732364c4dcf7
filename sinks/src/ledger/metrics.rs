use prometheus::{
    Histogram, HistogramOpts, IntCounter, IntCounterVec, Opts, Registry, exponential_buckets,
};

/// What the ledger says of itself.
#[derive(Clone)]
pub struct LedgerMetrics {
    pub(super) reports: IntCounterVec,
    pub(super) batches: IntCounter,
    pub(super) fenced: IntCounter,
    pub(super) retries: IntCounter,
    pub(super) undecodable: IntCounter,
    pub(super) payouts_cancelled: IntCounter,
    pub(super) postback_to_ledger_seconds: Histogram,
    pub(super) batch_seconds: Histogram,
}

impl LedgerMetrics {
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
        let histogram = |name: &str, help: &str| {
            let buckets = exponential_buckets(0.001, 2.0, 16)?;
            let histogram = Histogram::with_opts(HistogramOpts::new(name, help).buckets(buckets))?;
            registry.register(Box::new(histogram.clone()))?;
            Ok::<_, prometheus::Error>(histogram)
        };
        let reports = IntCounterVec::new(
            Opts::new(
                "hissaback_ledger_reports_total",
                "Reports applied, by fate on arrival.",
            ),
            &["fate"],
        )?;
        registry.register(Box::new(reports.clone()))?;
        Ok(Self {
            reports,
            batches: counter("hissaback_ledger_batches_total", "Batches committed.")?,
            fenced: counter(
                "hissaback_ledger_fenced_total",
                "Batches refused because another consumer had moved the position.",
            )?,
            retries: counter("hissaback_ledger_retries_total", "Batches tried again.")?,
            undecodable: counter(
                "hissaback_ledger_undecodable_total",
                "Records sent to dead-letters because they can't be read.",
            )?,
            payouts_cancelled: counter(
                "hissaback_ledger_payouts_cancelled_total",
                "Queued payouts cancelled because what they paid was taken back.",
            )?,
            postback_to_ledger_seconds: histogram(
                "hissaback_postback_to_ledger_seconds",
                "From a report's receipt to its commit in the ledger.",
            )?,
            batch_seconds: histogram("hissaback_ledger_batch_seconds", "Duration of a batch.")?,
        })
    }
}
