//! How long things took: every single one, so that percentiles are exact.

/// Latencies in microseconds, sorted.
pub struct Latencies {
    micros: Vec<u64>,
}

impl Latencies {
    pub fn of(micros: impl IntoIterator<Item = u64>) -> Self {
        let mut micros: Vec<u64> = micros.into_iter().collect();
        micros.sort_unstable();
        Self { micros }
    }

    /// The lowest latency that so many in a hundred don't exceed, in milliseconds.
    pub fn percentile_ms(&self, percent: usize) -> f64 {
        let place = (self.micros.len() * percent).div_ceil(100).max(1) - 1;
        self.micros
            .get(place)
            .map_or(f64::NAN, |micros| millis(*micros))
    }

    /// Upper bounds that double, in milliseconds, and how many lie under each and above the one
    /// before.
    pub fn doubling_buckets(&self) -> Vec<(f64, u64)> {
        let mut buckets = Vec::new();
        let (mut bound, mut rest) = (250, &self.micros[..]);
        while !rest.is_empty() {
            let (under, above) = rest.split_at(rest.partition_point(|micros| *micros <= bound));
            buckets.push((millis(bound), under.len() as u64));
            (bound, rest) = (bound * 2, above);
        }
        buckets
    }
}

fn millis(micros: u64) -> f64 {
    f64::from(u32::try_from(micros).unwrap_or(u32::MAX)) / 1_000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_percentile_is_a_latency_that_occurred() {
        let latencies = Latencies::of((1..=200).rev().map(|number| number * 1_000));
        let percentiles = [1, 50, 99, 100].map(|percent| latencies.percentile_ms(percent));
        assert_eq!(format!("{percentiles:?}"), "[2.0, 100.0, 198.0, 200.0]");
        assert!(Latencies::of([]).percentile_ms(50).is_nan());
    }

    #[test]
    fn every_latency_lies_in_one_bucket() {
        let buckets = Latencies::of([100, 250, 251, 999, 5_000]).doubling_buckets();
        let counts: Vec<u64> = buckets.iter().map(|(_, count)| *count).collect();
        assert_eq!(counts, [2, 1, 1, 0, 0, 1]);
    }
}
