//! What the driver saw: the generator's own record of what it sent and of what it was told.

use std::time::{Duration, SystemTime};

use schemas::ClickId;

use crate::demo::world::{ClickNumber, PostbackNumber, Script};

/// The answer to a click.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClickAnswer {
    /// The click's id.
    pub click_id: ClickId,
    /// Its token.
    pub token: String,
}

/// The answer to a postback.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PostbackAnswer {
    /// When the request went out that was answered, on the real clock.
    pub sent_at: SystemTime,
    /// How long the answer took.
    pub took: Duration,
    /// Requests that it took: 1, and one more for each answer that asked to come back.
    pub attempts: u32,
    /// Why it was ignored, if it was.
    pub ignored: Option<String>,
}

/// Everything that was sent, and every answer.
#[derive(Debug, Clone, Default)]
pub struct Record {
    clicks: Vec<Option<ClickAnswer>>,
    postbacks: Vec<Option<PostbackAnswer>>,
}

impl Record {
    /// An empty record of a script.
    pub fn of(script: &Script) -> Self {
        Self {
            clicks: vec![None; script.clicks.len()],
            postbacks: vec![None; script.postbacks.len()],
        }
    }

    /// The answer to a click.
    pub fn click(&self, click: ClickNumber) -> Option<&ClickAnswer> {
        self.clicks.get(click)?.as_ref()
    }

    /// The id that a click got.
    pub fn click_id(&self, click: ClickNumber) -> Option<ClickId> {
        self.click(click).map(|answer| answer.click_id)
    }

    /// The answer to a postback.
    pub fn postback(&self, postback: PostbackNumber) -> Option<&PostbackAnswer> {
        self.postbacks.get(postback)?.as_ref()
    }

    /// Whether a postback was answered with 200.
    pub fn accepted(&self, postback: PostbackNumber) -> bool {
        self.postback(postback).is_some()
    }

    /// How many clicks were answered.
    pub fn clicks_answered(&self) -> usize {
        self.clicks.iter().flatten().count()
    }

    /// How many postbacks were accepted.
    pub fn postbacks_accepted(&self) -> usize {
        self.postbacks.iter().flatten().count()
    }

    /// How often a request had to be repeated because the answer was to come back later.
    pub fn retries(&self) -> u64 {
        self.postbacks
            .iter()
            .flatten()
            .map(|answer| u64::from(answer.attempts - 1))
            .sum()
    }

    /// Notes the answer to a click.
    pub fn note_click(&mut self, click: ClickNumber, answer: ClickAnswer) {
        self.clicks[click] = Some(answer);
    }

    /// Notes the answer to a postback.
    pub fn note_postback(&mut self, postback: PostbackNumber, answer: PostbackAnswer) {
        self.postbacks[postback] = Some(answer);
    }
}
