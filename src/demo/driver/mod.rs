//! Plays a script over real HTTP, as the proxy in front of the product does.
//!
//! The clock stands still within a step: it is set to the step's instant, all requests of the step
//! go out, and the next step begins when all are answered. Anything but the answer that the
//! contract promises ends the run.

mod record;
mod wire;

use std::{
    net::SocketAddr,
    time::{Duration, Instant, SystemTime},
};

use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, stream};
use http::{Request, Response, StatusCode, header::RETRY_AFTER};
use http_body_util::{BodyExt, Full};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use schemas::{ClickId, Timestamp};

use super::world::{Action, ClickNumber, Phase, PostbackNumber, Script};

pub use self::record::{ClickAnswer, PostbackAnswer, Record};

/// Requests that are under way at once, unless the caller wants otherwise.
pub const CONCURRENCY_DEFAULT: usize = 32;

/// Answers of "come back later" after which a run gives up.
const ATTEMPTS_MAX: u32 = 100;
/// Longest wait before a request is repeated, whatever the answer asks for: the demo is in a
/// hurry, and the server is its own.
const RETRY_WAIT_MAX: Duration = Duration::from_millis(200);
/// No answer takes longer, unless something hangs.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);

/// What the driver needs of the world outside.
#[derive(Clone, Copy)]
pub struct Surroundings<'a> {
    /// Sets the product's clock.
    pub set_clock: &'a (dyn Fn(Timestamp) + Sync),
    /// Opens a click token for the click's id: the generator's record needs it to tell claims
    /// apart, and a redirect shows nothing but the token.
    pub click_of_token: &'a (dyn Fn(&str) -> Option<ClickId> + Sync),
    /// Is told after each step.
    pub progress: &'a (dyn Fn(Progress) + Sync),
}

/// How far the driver has come.
#[derive(Debug, Clone, Copy)]
pub struct Progress {
    /// The instant that has been played.
    pub at: Timestamp,
    /// Clicks answered.
    pub clicks: usize,
    /// Postbacks accepted.
    pub postbacks: usize,
    /// Postbacks of the whole script.
    pub postbacks_total: usize,
}

/// The product didn't behave as a caller may expect.
#[derive(Debug, thiserror::Error)]
pub enum DriveError {
    /// No answer came.
    #[error("no answer to {what}")]
    Transport {
        /// Which request.
        what: String,
        /// Why.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The answer took longer than 30 seconds.
    #[error("no answer to {what} within 30 seconds")]
    TimedOut {
        /// Which request.
        what: String,
    },
    /// The answer was "come back later" again and again.
    #[error("{what} was put off {ATTEMPTS_MAX} times")]
    PutOff {
        /// Which request.
        what: String,
    },
    /// The answer was another than the contract promises.
    #[error("{what} was answered with {status}: {body}")]
    Unexpected {
        /// Which request.
        what: String,
        /// The answer's status.
        status: StatusCode,
        /// The head of the answer's body, or its location.
        body: String,
    },
    /// A request could not be written.
    #[error("{what} can't be written as a request")]
    Unwritable {
        /// Which request.
        what: String,
        /// Why.
        source: http::Error,
    },
}

/// Plays a script.
pub struct Driver {
    client: Client<HttpConnector, Full<Bytes>>,
    address: SocketAddr,
    concurrency: usize,
    record: Record,
}

/// The answer to one action.
enum Answered {
    Click(ClickNumber, ClickAnswer),
    Postback(PostbackNumber, PostbackAnswer),
}

/// An answer, read to its end.
struct Answer {
    response: Response<Bytes>,
    sent_at: SystemTime,
    took: Duration,
    attempts: u32,
}

impl Answer {
    fn unexpected(&self, what: String) -> DriveError {
        let body = self.response.body();
        let head = String::from_utf8_lossy(&body[..body.len().min(300)]).into_owned();
        DriveError::Unexpected {
            what,
            status: self.response.status(),
            body: head,
        }
    }
}

impl Driver {
    /// For a server on this machine; `concurrency` requests at most are under way at once.
    pub fn new(address: SocketAddr, concurrency: usize, script: &Script) -> Self {
        let client = Client::builder(TokioExecutor::new())
            .pool_max_idle_per_host(concurrency)
            .build_http();
        Self {
            client,
            address,
            concurrency: concurrency.max(1),
            record: Record::of(script),
        }
    }

    /// What was sent and answered so far.
    pub const fn record(&self) -> &Record {
        &self.record
    }

    /// What was sent and answered.
    pub fn into_record(self) -> Record {
        self.record
    }

    /// Plays one phase of the script.
    ///
    /// # Errors
    /// The first answer that isn't what the contract promises.
    pub async fn play(
        &mut self,
        script: &Script,
        phase: Phase,
        surroundings: Surroundings<'_>,
    ) -> Result<(), DriveError> {
        for step in script.steps.iter().filter(|step| step.phase == phase) {
            (surroundings.set_clock)(step.at);
            let this = &*self;
            let answered: Vec<Answered> = stream::iter(step.actions.iter().copied())
                .map(|action| this.act(action, script, surroundings))
                .buffer_unordered(self.concurrency)
                .try_collect()
                .await?;
            for answered in answered {
                match answered {
                    Answered::Click(number, answer) => self.record.note_click(number, answer),
                    Answered::Postback(number, answer) => self.record.note_postback(number, answer),
                }
            }
            (surroundings.progress)(Progress {
                at: step.at,
                clicks: self.record.clicks_answered(),
                postbacks: self.record.postbacks_accepted(),
                postbacks_total: script.postbacks.len(),
            });
        }
        Ok(())
    }

    async fn act(
        &self,
        action: Action,
        script: &Script,
        surroundings: Surroundings<'_>,
    ) -> Result<Answered, DriveError> {
        match action {
            Action::Click(number) => {
                let what = format!("click {number}");
                let answer = self
                    .send(&what, wire::click(&script.clicks[number], script))
                    .await?;
                let read = wire::read_click(&answer.response, surroundings.click_of_token);
                let click = read.ok_or_else(|| answer.unexpected(what))?;
                Ok(Answered::Click(number, click))
            }
            Action::Postback(number) => {
                let what = format!("postback {number}");
                let request = wire::postback(&script.postbacks[number], script, &self.record);
                let answer = self.send(&what, request).await?;
                let read = wire::read_postback(&answer.response);
                let ignored = read.ok_or_else(|| answer.unexpected(what))?;
                let Answer {
                    sent_at,
                    took,
                    attempts,
                    ..
                } = answer;
                let noted = PostbackAnswer {
                    sent_at,
                    took,
                    attempts,
                    ignored,
                };
                Ok(Answered::Postback(number, noted))
            }
        }
    }

    /// Sends a request until it is answered with anything but "come back later".
    async fn send(
        &self,
        what: &str,
        request: Result<Request<Full<Bytes>>, http::Error>,
    ) -> Result<Answer, DriveError> {
        let mut request = request.map_err(|source| DriveError::Unwritable {
            what: what.to_owned(),
            source,
        })?;
        let target = format!("http://{}{}", self.address, request.uri());
        *request.uri_mut() =
            target
                .parse()
                .map_err(|source: http::uri::InvalidUri| DriveError::Unwritable {
                    what: what.to_owned(),
                    source: source.into(),
                })?;
        for attempts in 1..=ATTEMPTS_MAX {
            let sent_at = SystemTime::now();
            let began = Instant::now();
            let exchange = tokio::time::timeout(ANSWER_TIMEOUT, self.exchange(request.clone()));
            let response = exchange
                .await
                .map_err(|_elapsed| DriveError::TimedOut {
                    what: what.to_owned(),
                })?
                .map_err(|source| DriveError::Transport {
                    what: what.to_owned(),
                    source,
                })?;
            if response.status() != StatusCode::SERVICE_UNAVAILABLE {
                return Ok(Answer {
                    response,
                    sent_at,
                    took: began.elapsed(),
                    attempts,
                });
            }
            tokio::time::sleep(asked_to_wait(&response).min(RETRY_WAIT_MAX)).await;
        }
        Err(DriveError::PutOff {
            what: what.to_owned(),
        })
    }

    async fn exchange(
        &self,
        request: Request<Full<Bytes>>,
    ) -> Result<Response<Bytes>, Box<dyn std::error::Error + Send + Sync>> {
        let (head, body) = self.client.request(request).await?.into_parts();
        Ok(Response::from_parts(head, body.collect().await?.to_bytes()))
    }
}

/// What the answer asks for; a second where it doesn't say.
fn asked_to_wait(response: &Response<Bytes>) -> Duration {
    let asked = response.headers().get(RETRY_AFTER);
    let seconds = asked.and_then(|value| value.to_str().ok()?.parse().ok());
    Duration::from_secs(seconds.unwrap_or(1))
}

#[cfg(test)]
mod tests;
