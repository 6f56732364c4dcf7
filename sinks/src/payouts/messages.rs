//! How shoppers are told: what the dispatcher is told about messages.

use super::sms::MessageTexts;

const MILLIS_PER_MINUTE: i64 = 60_000;
const MILLIS_PER_HOUR: i64 = 60 * MILLIS_PER_MINUTE;

/// What shoppers read, and how often.
#[derive(Debug, Clone)]
pub struct MessagesConfig {
    /// What they read.
    pub texts: MessageTexts,
    /// Messages to one number within a day, at most: no defect floods a shopper. At least 1.
    pub daily_max: u32,
    /// How long a code is kept for the gateway's word that its message is there.
    pub report_wait_ms: i64,
    /// What is told of claims that get confirmed.
    pub notices: NoticeLimits,
}

/// When a confirmation is told of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NoticeLimits {
    /// How long a message waits for further confirmations of the same shopper, to tell of all.
    pub bundle_ms: i64,
    /// Confirmations that the log took longer ago than this aren't news: nobody is told of them.
    pub age_max_ms: i64,
}

/// Ten a day; reports for 48 hours; confirmations of ten minutes in one message, and none that is
/// older than three days.
impl Default for MessagesConfig {
    fn default() -> Self {
        Self {
            texts: MessageTexts::default(),
            daily_max: 10,
            report_wait_ms: 48 * MILLIS_PER_HOUR,
            notices: NoticeLimits {
                bundle_ms: 10 * MILLIS_PER_MINUTE,
                age_max_ms: 72 * MILLIS_PER_HOUR,
            },
        }
    }
}
