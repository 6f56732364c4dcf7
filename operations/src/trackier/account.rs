//! An account with Trackier, as configuration gives it.

use std::{num::NonZeroU32, time::Duration};

use secrecy::SecretString;
use sinks::payouts::agcod::{Endpoint, EndpointError};

/// Where Trackier's API is.
pub const BASE_URL: &str = "https://api.trackier.com";
/// Trackier allows 200 requests a minute for reports, and 5 a second for campaigns.
pub const REQUESTS_PER_SECOND: NonZeroU32 = NonZeroU32::new(3).expect("three is not zero");

const CONVERSIONS_PATH: &str = "/v2/publishers/conversions";
const CAMPAIGNS_PATH: &str = "/v2/publisher/campaigns";

/// An account with Trackier: a publisher's.
#[derive(Debug, Clone)]
pub struct Account {
    /// Where conversions are listed.
    pub conversions: Endpoint,
    /// Where campaigns are listed.
    pub campaigns: Endpoint,
    /// The publisher's key.
    pub api_key: SecretString,
    /// Requests a second, at most.
    pub requests_per_second: NonZeroU32,
    /// How long to wait, and how often to try again.
    pub patience: Patience,
}

/// How long to wait, and how often to try again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Patience {
    /// From connecting to the last byte of an answer.
    pub timeout: Duration,
    /// Tries of one request, in all.
    pub tries_max: u32,
    /// Before the second try; twice as long before each further one.
    pub pause: Duration,
    /// The longest pause, whatever the answer asks for.
    pub pause_max: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            timeout: Duration::from_mins(1),
            tries_max: 8,
            pause: Duration::from_secs(1),
            pause_max: Duration::from_mins(2),
        }
    }
}

impl Patience {
    /// The pause after the `number`-th try, from 1: what the answer asks for, if anything.
    pub fn pause_after(self, number: u32, asked_for: Option<Duration>) -> Duration {
        let doubled = 2_u32.saturating_pow(number.saturating_sub(1));
        let own = self.pause.saturating_mul(doubled);
        asked_for.unwrap_or(own).min(self.pause_max)
    }
}

impl Account {
    /// An account at `base_url`.
    ///
    /// # Errors
    /// When the address isn't HTTPS, and not on this machine either.
    pub fn new(base_url: &str, api_key: SecretString) -> Result<Self, EndpointError> {
        Ok(Self {
            conversions: Endpoint::parse(base_url, CONVERSIONS_PATH)?,
            campaigns: Endpoint::parse(base_url, CAMPAIGNS_PATH)?,
            api_key,
            requests_per_second: REQUESTS_PER_SECOND,
            patience: Patience::default(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_and_an_answer_may_ask_for_another_within_bounds() {
        let patience = Patience {
            pause: Duration::from_secs(1),
            pause_max: Duration::from_secs(10),
            ..Patience::default()
        };
        let seconds = |number, asked: Option<u64>| {
            let asked = asked.map(Duration::from_secs);
            patience.pause_after(number, asked).as_secs()
        };
        assert_eq!(
            [1, 2, 3, 4, 5, 99].map(|number| seconds(number, None)),
            [1, 2, 4, 8, 10, 10]
        );
        assert_eq!([seconds(1, Some(7)), seconds(1, Some(3_600))], [7, 10]);
    }

    #[test]
    fn a_key_goes_over_tls_only_and_is_not_shown() {
        assert!(Account::new("http://api.trackier.example", "sesame".into()).is_err());
        let account = Account::new("https://api.trackier.example", "sesame".into());
        let account = account.expect("an address");
        assert!(!format!("{account:?}").contains("sesame"));
        assert_eq!(account.campaigns.url().path(), "/v2/publisher/campaigns");
    }
}
