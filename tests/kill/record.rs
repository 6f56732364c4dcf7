//! The generator's own record: every request that was sent, and what was answered. It is what the
//! product is held against, and knows nothing of how the product works.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

/// What was sent, and what must come of it.
#[derive(Debug, Default)]
pub struct Record {
    requests: AtomicU64,
    kept: Mutex<Kept>,
}

/// The record's content.
#[derive(Debug, Clone, Default)]
pub struct Kept {
    /// Every postback, by its number, and whether it was answered 200. One without an answer, or
    /// with another one, may have been accepted or not.
    pub postbacks: BTreeMap<u64, bool>,
    /// Clicks that were answered, by the id that the answer gave them.
    pub clicks: BTreeSet<i64>,
    /// Requests for a click that weren't answered.
    pub clicks_unanswered: u64,
    /// Commission that must be booked in the end, in paise, by order number.
    pub commission: BTreeMap<String, i64>,
}

impl Record {
    /// A number for the next postback, which carries it; noted before anything is sent.
    pub fn postback(&self) -> u64 {
        let request = self.requests.fetch_add(1, Ordering::Relaxed);
        self.kept().postbacks.insert(request, false);
        request
    }

    pub fn postback_answered(&self, request: u64) {
        self.kept().postbacks.insert(request, true);
    }

    pub fn click_unanswered(&self) {
        self.kept().clicks_unanswered += 1;
    }

    pub fn click_answered(&self, click: i64) {
        self.kept().clicks.insert(click);
    }

    /// What must be booked for an order once its story is told.
    pub fn expect(&self, order: String, commission_paise: i64) {
        self.kept().commission.insert(order, commission_paise);
    }

    /// How many postbacks were answered.
    pub fn answered(&self) -> usize {
        let kept = self.kept();
        kept.postbacks
            .values()
            .filter(|answered| **answered)
            .count()
    }

    pub fn read(&self) -> Kept {
        self.kept().clone()
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
