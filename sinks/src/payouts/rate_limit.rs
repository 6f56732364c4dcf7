//! At most so many calls a second.

use std::num::NonZeroU32;

use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};

const NANOS_PER_SECOND: u64 = 1_000_000_000;

/// Spaces calls out, over everything that shares it. Per process for now: several dispatchers
/// each need their part of the account's rate.
#[derive(Debug)]
pub struct CallRate {
    limiter: DefaultDirectRateLimiter,
}

impl CallRate {
    /// `calls_per_second` at most, in any second.
    pub fn new(calls_per_second: NonZeroU32) -> Self {
        Self {
            limiter: RateLimiter::direct(quota(calls_per_second)),
        }
    }

    /// Waits until a call may be made, on the real clock.
    pub async fn until_ready(&self) {
        self.limiter.until_ready().await;
    }
}

/// Without a burst: governor's `per_second(10)` would let ten go at once and ten more within the
/// same second.
fn quota(calls_per_second: NonZeroU32) -> Quota {
    let spacing_ns = NANOS_PER_SECOND.div_ceil(u64::from(calls_per_second.get()));
    Quota::with_period(std::time::Duration::from_nanos(spacing_ns))
        .expect("the spacing is at least a quarter of a nanosecond, rounded up")
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use governor::clock::FakeRelativeClock;

    use super::*;

    #[test]
    fn no_second_has_more_than_its_calls() {
        let clock = FakeRelativeClock::default();
        let ten = NonZeroU32::new(10).expect("not zero");
        let limiter = RateLimiter::direct_with_clock(quota(ten), clock.clone());
        // Asks every 7 ms for five seconds, and keeps when it was let through.
        let granted: Vec<u64> = (0..5_000)
            .step_by(7)
            .filter(|_| {
                let granted = limiter.check().is_ok();
                clock.advance(Duration::from_millis(7));
                granted
            })
            .collect();
        for from in &granted {
            let within = granted
                .iter()
                .filter(|at| (*from..from + 1_000).contains(*at));
            assert!(within.count() <= 10);
        }
        // And it isn't just shut.
        assert!(granted.len() > 40, "{}", granted.len());
    }
}
