//! Names of record headers that more than one stage knows.

/// When ingest received a report: microseconds since the epoch of its wall clock, decimal ASCII.
/// For latency only: nothing is decided by it, and copies leave it out.
pub const INGESTED_AT: &str = "hissaback-ingested-at";
