//! How long a postback takes to become a row of the ledger, on the real clock.

use std::{collections::HashMap, time::Duration};

use crate::demo::{driver::Record, oracle::Expected};

use super::Actual;

/// Latency from the postback's departure to the ledger's commit.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Latency {
    /// Half of them took no longer, in milliseconds.
    pub p50_ms: f64,
    /// 95 of 100 took no longer.
    pub p95_ms: f64,
    /// 99 of 100 took no longer.
    pub p99_ms: f64,
}

impl Latency {
    /// Of measured times; `None` without any.
    pub fn of(mut samples: Vec<Duration>) -> Option<Self> {
        samples.sort_unstable();
        let rank = |percent: usize| {
            // Nearest rank: the least sample that so many of a hundred don't exceed.
            let position = (samples.len() * percent).div_ceil(100).max(1);
            let sample = samples.get(position - 1)?;
            Some((sample.as_secs_f64() * 10_000.0).round() / 10.0)
        };
        Some(Self {
            p50_ms: rank(50)?,
            p95_ms: rank(95)?,
            p99_ms: rank(99)?,
        })
    }
}

/// Over all claims whose commit time is known: from the postback that opened the claim.
pub fn of_run(record: &Record, expected: &Expected, actual: &Actual) -> Option<Latency> {
    let sent_at: HashMap<_, _> = expected
        .claims
        .iter()
        .filter_map(|claim| Some((&claim.key, record.postback(claim.first)?.sent_at)))
        .collect();
    let samples = actual.claims.iter().filter_map(|claim| {
        let sent_at = sent_at.get(&claim.key)?;
        // Both are read from one machine's clock; a step of it back counts as no time.
        Some(
            claim
                .written_at?
                .duration_since(*sent_at)
                .unwrap_or(Duration::ZERO),
        )
    });
    Latency::of(samples.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_samples() {
        let samples = (1..=200).rev().map(Duration::from_millis).collect();
        let latency = Latency {
            p50_ms: 100.0,
            p95_ms: 190.0,
            p99_ms: 198.0,
        };
        assert_eq!(Latency::of(samples), Some(latency));
        let one = Latency {
            p50_ms: 7.0,
            p95_ms: 7.0,
            p99_ms: 7.0,
        };
        assert_eq!(Latency::of(vec![Duration::from_millis(7)]), Some(one));
        assert_eq!(Latency::of(Vec::new()), None);
    }
}
