//! Names of record headers that more than one stage knows.

/// When ingest received a report: microseconds since the epoch of its wall clock, decimal ASCII.
/// For latency only: nothing is decided by it, and copies leave it out.
pub const INGESTED_AT: &str = "hissaback-ingested-at";

/// On a report that reconciliation appended: the claim that its row was matched to, as it was
/// called then. Nothing is decided by it: the fold groups reports by what they say.
pub const MATCHED_CLAIM: &str = "hissaback-matched-claim";

/// Beside [`MATCHED_CLAIM`]: the rule that the row was matched by.
pub const MATCHED_BY: &str = "hissaback-matched-by";
