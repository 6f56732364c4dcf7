//! At most so many requests a minute from one address, on public endpoints (specification, section
//! 4). The limits are of one instance: they keep one address from crowding out others, and cost no
//! database. What has to hold over all instances, such as codes for a phone, is counted there.

use std::{
    net::{IpAddr, Ipv6Addr},
    num::NonZeroU32,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use axum::{
    extract::{Request, State},
    middleware::Next,
    response::{IntoResponse, Response},
};
use governor::{
    Quota, RateLimiter,
    clock::{Clock, DefaultClock},
    middleware::StateInformationMiddleware,
    state::keyed::DefaultKeyedStateStore,
};
use http::HeaderValue;
use prometheus::{IntCounter, Registry};

use crate::{
    client_address::{Client, TrustedProxies},
    problem_details::ProblemDetails,
};

type Limiter<C> = RateLimiter<Key, DefaultKeyedStateStore<Key>, C, StateInformationMiddleware>;

/// Addresses that are counted apart; further ones share one count until others are forgotten. At
/// about 100 bytes each, 10 MB.
const ADDRESSES_MAX: usize = 100_000;
/// Requests between two looks for addresses that can be forgotten.
const SWEEP_REQUESTS: u64 = 10_000;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Key {
    /// An address; of IPv6, the network of 64 bits that one subscriber has.
    Address(IpAddr),
    /// All those for whom there is no room.
    Others,
}

/// Counts requests by address.
pub struct AddressLimits<C: Clock = DefaultClock> {
    limiter: Limiter<C>,
    per_minute: NonZeroU32,
    addresses_max: usize,
    clock: C,
    asked: AtomicU64,
    refused: IntCounter,
}

/// What became of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Count {
    /// It is one of those allowed.
    Within {
        /// How many more are.
        remaining: u32,
    },
    /// It is one too many.
    Beyond {
        /// Until one more is allowed.
        wait: Duration,
    },
}

impl AddressLimits {
    /// This many requests a minute for each address; what is refused is counted as
    /// `hissaback_http_rate_limited_total`.
    ///
    /// # Errors
    /// When the counter is registered already.
    pub fn new(per_minute: NonZeroU32, registry: &Registry) -> prometheus::Result<Self> {
        let limits = Self::with_clock(per_minute, ADDRESSES_MAX, DefaultClock::default());
        registry.register(Box::new(limits.refused.clone()))?;
        Ok(limits)
    }
}

impl<C: Clock + Clone> AddressLimits<C> {
    fn with_clock(per_minute: NonZeroU32, addresses_max: usize, clock: C) -> Self {
        let quota = Quota::per_minute(per_minute);
        Self {
            limiter: Limiter::new(quota, DefaultKeyedStateStore::default(), clock.clone()),
            per_minute,
            addresses_max,
            clock,
            asked: AtomicU64::new(0),
            refused: IntCounter::new(
                "hissaback_http_rate_limited_total",
                "Requests that were refused because their address had sent too many.",
            )
            .expect("the name of a metric"),
        }
    }

    /// Counts a request of this address.
    pub fn count(&self, address: IpAddr) -> Count {
        let asked = self.asked.fetch_add(1, Ordering::Relaxed);
        if asked % SWEEP_REQUESTS == SWEEP_REQUESTS - 1 {
            self.limiter.retain_recent();
        }
        let key = if self.limiter.len() < self.addresses_max {
            Key::Address(subscriber(address))
        } else {
            Key::Others
        };
        match self.limiter.check_key(&key) {
            Ok(state) => Count::Within {
                remaining: state.remaining_burst_capacity(),
            },
            Err(until) => {
                self.refused.inc();
                Count::Beyond {
                    wait: until.wait_time_from(self.clock.now()),
                }
            }
        }
    }
}

/// One subscriber has 2^64 addresses of IPv6 to send from.
fn subscriber(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => address.into(),
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() >> 64 << 64).into(),
    }
}

/// Counts the requests of callers.
#[derive(Clone)]
pub struct CallerLimits {
    limits: Arc<AddressLimits>,
    trusted: TrustedProxies,
}

impl CallerLimits {
    /// Behind these proxies callers are who the proxies say. What a trusted proxy asks for itself
    /// isn't limited.
    pub fn new(limits: Arc<AddressLimits>, trusted: TrustedProxies) -> Self {
        Self { limits, trusted }
    }

    /// Counts a request of this caller; `None` where it isn't limited.
    pub fn count(&self, client: &Client) -> Option<Count> {
        let address = client.counted_address(&self.trusted)?;
        Some(self.limits.count(address))
    }
}

/// A layer that refuses what is too much, and tells everybody how much is left: `RateLimit-Limit`,
/// `RateLimit-Remaining`, `RateLimit-Reset` (seconds until all of it is there again).
pub async fn limit(State(callers): State<CallerLimits>, request: Request, next: Next) -> Response {
    let (parts, body) = request.into_parts();
    let client = Client::of_parts(&parts, &callers.trusted);
    let Some(count) = callers.count(&client) else {
        return next.run(Request::from_parts(parts, body)).await;
    };
    let per_minute = callers.limits.per_minute.get();
    let (remaining, mut response) = match count {
        Count::Within { remaining } => {
            let response = next.run(Request::from_parts(parts, body)).await;
            (remaining, response)
        }
        Count::Beyond { wait } => (0, ProblemDetails::too_many_requests(wait).into_response()),
    };
    let reset = u64::from(per_minute - remaining) * 60 / u64::from(per_minute);
    let headers = response.headers_mut();
    headers.insert("ratelimit-limit", HeaderValue::from(per_minute));
    headers.insert("ratelimit-remaining", HeaderValue::from(remaining));
    headers.insert("ratelimit-reset", HeaderValue::from(reset));
    response
}

#[cfg(test)]
mod tests {
    use governor::clock::FakeRelativeClock;

    use super::*;

    fn limits(addresses_max: usize) -> (AddressLimits<FakeRelativeClock>, FakeRelativeClock) {
        let clock = FakeRelativeClock::default();
        let per_minute = NonZeroU32::new(100).expect("not zero");
        let limits = AddressLimits::with_clock(per_minute, addresses_max, clock.clone());
        (limits, clock)
    }

    fn address(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    #[test]
    fn a_hundred_a_minute_from_each_address() {
        let (limits, clock) = limits(10);
        let one = address("203.0.113.9");
        for sent in 1..=100 {
            assert_eq!(
                limits.count(one),
                Count::Within {
                    remaining: 100 - sent
                }
            );
        }
        let wait = Duration::from_millis(600);
        assert_eq!(limits.count(one), Count::Beyond { wait });
        assert!(matches!(
            limits.count(address("203.0.113.10")),
            Count::Within { .. }
        ));
        clock.advance(wait);
        assert_eq!(limits.count(one), Count::Within { remaining: 0 });
        assert!(matches!(limits.count(one), Count::Beyond { .. }));
        assert_eq!(limits.refused.get(), 2);
    }

    #[test]
    fn a_subscriber_has_one_count_whichever_address_they_send_from() {
        let (limits, _) = limits(10);
        for host in 0..100 {
            limits.count(address(&format!("2001:db8:1:2::{host:x}")));
        }
        let further = address("2001:db8:1:2:ffff::1");
        assert!(matches!(limits.count(further), Count::Beyond { .. }));
        assert!(matches!(
            limits.count(address("2001:db8:1:3::1")),
            Count::Within { .. }
        ));
        assert_eq!(
            subscriber(address("::ffff:203.0.113.9")),
            address("203.0.113.9")
        );
    }

    #[test]
    fn memory_is_bounded_however_many_addresses_there_are() {
        let (limits, clock) = limits(50);
        for number in 0..5_000_u32 {
            limits.count(IpAddr::from(std::net::Ipv4Addr::from(number)));
        }
        assert!(limits.limiter.len() <= 51, "{}", limits.limiter.len());
        // Who comes when there is no room shares one count, and is let in again when there is.
        let late = address("203.0.113.9");
        assert!(matches!(limits.count(late), Count::Beyond { .. }));
        clock.advance(Duration::from_mins(2));
        for _ in 0..SWEEP_REQUESTS {
            limits.count(late);
        }
        assert!(limits.limiter.len() < 50);
    }
}
