//! The bytes' way to Trackier and back, with patience.

use std::{num::NonZeroU32, sync::Arc};

use chrono::NaiveDate;
use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};
use reqwest::header::{HeaderValue, InvalidHeaderValue};
use secrecy::ExposeSecret;
use serde::Deserialize;
use sinks::payouts::{
    agcod::Endpoint,
    https::{self, HttpsError},
};
use tokio::time::sleep;

use super::{
    account::Account,
    answer::{self, Answer, CampaignsPage, ConversionsPage, Failure, PAGE_ROWS},
};

/// A page of a thousand conversions has about one and a half megabytes.
const ANSWER_BYTES_MAX: usize = 32 * 1024 * 1024;
const KEY_HEADER: &str = "X-Api-Key";

/// Asks for pages, no faster than the account allows.
#[derive(Debug, Clone)]
pub struct Client {
    http: reqwest::Client,
    account: Account,
    /// Sensitive: no debug form shows it.
    key: HeaderValue,
    rate: Arc<DefaultDirectRateLimiter>,
}

/// Why there is no page.
#[derive(Debug, thiserror::Error)]
pub enum TrackierError {
    /// The HTTP client can't be built.
    #[error(transparent)]
    Https(#[from] HttpsError),
    /// The key holds what no header may.
    #[error("the API key can't be sent: it isn't visible ASCII")]
    Key(#[source] InvalidHeaderValue),
    /// The last try's failure.
    #[error("{asked} could not be had from Trackier, tried {tries} times: {failure}")]
    GivenUp {
        /// What was asked for.
        asked: &'static str,
        /// How often.
        tries: u32,
        /// Why not.
        failure: Failure,
    },
}

impl Client {
    /// A client of an account.
    ///
    /// # Errors
    /// When the HTTP client can't be built, or the key can't be sent.
    pub fn new(account: Account) -> Result<Self, TrackierError> {
        let key = account.api_key.expose_secret();
        let mut key = HeaderValue::from_str(key).map_err(TrackierError::Key)?;
        key.set_sensitive(true);
        // Evenly, since a burst may lie astride two of Trackier's own seconds.
        let quota = Quota::per_second(account.requests_per_second).allow_burst(NonZeroU32::MIN);
        Ok(Self {
            http: https::client(account.patience.timeout)?,
            key,
            rate: Arc::new(RateLimiter::direct(quota)),
            account,
        })
    }

    /// A page, from 1, of the conversions of a day. By whose clock it is a day isn't documented.
    ///
    /// # Errors
    /// [`TrackierError::GivenUp`].
    pub async fn conversions_page(
        &self,
        day: NaiveDate,
        page: u32,
    ) -> Result<ConversionsPage, TrackierError> {
        let day = day.format("%Y-%m-%d").to_string();
        let query = [
            ("start", day.clone()),
            ("end", day),
            ("limit", PAGE_ROWS.to_string()),
            ("page", page.to_string()),
        ];
        let endpoint = &self.account.conversions;
        self.page("a page of conversions", endpoint, &query).await
    }

    /// A page, from 1, of the campaigns that the publisher may see.
    ///
    /// # Errors
    /// [`TrackierError::GivenUp`].
    pub async fn campaigns_page(&self, page: u32) -> Result<CampaignsPage, TrackierError> {
        let query = [("limit", PAGE_ROWS.to_string()), ("page", page.to_string())];
        let endpoint = &self.account.campaigns;
        self.page("a page of campaigns", endpoint, &query).await
    }

    /// Tries until a page comes, or nothing better is to be hoped for.
    async fn page<T: for<'de> Deserialize<'de>>(
        &self,
        asked: &'static str,
        endpoint: &Endpoint,
        query: &[(&str, String)],
    ) -> Result<T, TrackierError> {
        let patience = self.account.patience;
        let mut tries = 1;
        loop {
            self.rate.until_ready().await;
            let failure = match self.once(endpoint, query).await {
                Ok(page) => return Ok(page),
                Err(failure) => failure,
            };
            if !failure.passing() || tries >= patience.tries_max {
                return Err(TrackierError::GivenUp {
                    asked,
                    tries,
                    failure,
                });
            }
            let pause = patience.pause_after(tries, failure.wait());
            tracing::info!(asked, tries, %failure, ?pause, "Trackier is asked again");
            sleep(pause).await;
            tries += 1;
        }
    }

    async fn once<T: for<'de> Deserialize<'de>>(
        &self,
        endpoint: &Endpoint,
        query: &[(&str, String)],
    ) -> Result<T, Failure> {
        let mut url = endpoint.url().clone();
        url.query_pairs_mut().extend_pairs(query);
        let request = self.http.get(url).header(KEY_HEADER, self.key.clone());
        let mut response = request.send().await.map_err(|error| failure(&error))?;
        let status = response.status().as_u16();
        let retry_after = response.headers().get(reqwest::header::RETRY_AFTER);
        let retry_after = retry_after.and_then(|value| value.to_str().ok());
        let retry_after = retry_after.map(str::to_owned);
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|error| failure(&error))? {
            if body.len() + chunk.len() > ANSWER_BYTES_MAX {
                return Err(Failure::Oversized(ANSWER_BYTES_MAX));
            }
            body.extend_from_slice(&chunk);
        }
        answer::read(&Answer {
            status,
            retry_after: retry_after.as_deref(),
            body: &body,
            key: self.account.api_key.expose_secret(),
        })
    }
}

fn failure(error: &reqwest::Error) -> Failure {
    if error.is_timeout() {
        Failure::TimedOut
    } else if error.is_connect() {
        Failure::NotConnected
    } else {
        Failure::ConnectionLost
    }
}
