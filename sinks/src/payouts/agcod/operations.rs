//! Everything but creating a card: cancelling one, the funds, and the account's activity.

use schemas::{Amount, Currency, Timestamp};
use serde::{Deserialize, Serialize};

use super::{
    classify::Answer,
    failure::{self, Detail, ErrorBody, Failure},
};

/// Times of the activity page: UTC, to the second, without saying so.
const PAGE_TIME: &str = "%Y-%m-%dT%H:%M:%S";
/// Entries that are asked for at once.
pub const PAGE_SIZE: u32 = 100;

/// What the service can be asked to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    /// Issues a card.
    CreateGiftCard,
    /// Takes an unclaimed card back, within 15 minutes.
    CancelGiftCard,
    /// What is left of the prepaid funds.
    GetAvailableFunds,
    /// What the account did, page by page.
    GetGiftCardActivityPage,
}

impl Operation {
    /// Its name: in the target header, and in the address.
    pub const fn name(self) -> &'static str {
        match self {
            Self::CreateGiftCard => "CreateGiftCard",
            Self::CancelGiftCard => "CancelGiftCard",
            Self::GetAvailableFunds => "GetAvailableFunds",
            Self::GetGiftCardActivityPage => "GetGiftCardActivityPage",
        }
    }
}

/// What is left to be paid out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Funds {
    /// In units of the currency.
    pub amount: Amount,
    /// The account's.
    pub currency: Currency,
}

/// One thing that the account did, as the activity page says. Clients that are known read these
/// fields; Amazon's own list of them isn't public, so none but the id is relied upon.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Activity {
    /// The request: what a card was created by.
    #[serde(alias = "creationRequestId")]
    pub request_id: String,
    /// What was done, such as `CreateGiftCard` or `CancelGiftCard`.
    pub activity_type: Option<String>,
    /// Whether it was: `SUCCESS`, `FAILURE`, `RESEND`.
    pub activity_status: Option<String>,
    /// When, UTC.
    pub activity_time: Option<String>,
    /// The card's id.
    pub gc_id: Option<String>,
    /// Its value.
    pub card_value: Option<CardValue>,
}

impl Activity {
    /// Whether it gave a card.
    pub fn created(&self) -> bool {
        self.succeeded() && !self.cancelled()
    }

    /// Whether it took one back.
    pub fn refunded(&self) -> bool {
        self.succeeded() && self.cancelled()
    }

    fn succeeded(&self) -> bool {
        self.activity_status.as_deref() == Some("SUCCESS")
    }

    fn cancelled(&self) -> bool {
        let kind = self.activity_type.as_deref().unwrap_or_default();
        ["Cancel", "Refund", "Deactivate"]
            .iter()
            .any(|word| kind.contains(word))
    }
}

/// An amount as Amazon writes it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CardValue {
    amount: serde_json::Number,
    currency_code: String,
}

impl CardValue {
    /// The value, where it is one: by the number's shortest decimal form, never through a float.
    pub fn parse(&self) -> Option<Funds> {
        Some(Funds {
            amount: self.amount.to_string().parse().ok()?,
            currency: self.currency_code.parse().ok()?,
        })
    }
}

/// A page of the account's activity.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ActivityPage {
    /// Its entries.
    pub entries: Vec<Activity>,
    /// How many there are in the whole span, where that is said.
    pub total: Option<usize>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
#[expect(clippy::struct_field_names, reason = "as Amazon calls them")]
pub(super) struct CancelRequest<'a> {
    pub(super) creation_request_id: &'a str,
    pub(super) partner_id: &'a str,
    pub(super) gc_id: &'a str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct FundsRequest<'a> {
    pub(super) partner_id: &'a str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct PageRequest<'a> {
    pub(super) request_id: &'a str,
    pub(super) partner_id: &'a str,
    pub(super) utc_start_date: String,
    pub(super) utc_end_date: String,
    pub(super) page_index: u32,
    pub(super) page_size: u32,
    pub(super) show_no_ops: bool,
}

pub(super) fn page_time(at: Timestamp) -> String {
    at.to_datetime().format(PAGE_TIME).to_string()
}

/// Whether the card of `gc_id` is cancelled.
pub(super) fn cancelled(answer: Answer<'_>, gc_id: &str) -> Result<(), Failure> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Cancelled {
        gc_id: Option<String>,
    }
    let cancelled: Cancelled = success(answer)?;
    if cancelled.gc_id.is_some_and(|answered| answered != gc_id) {
        return Err(Failure::Unknown(Detail::new(
            "an answer about another card",
        )));
    }
    Ok(())
}

pub(super) fn funds(answer: Answer<'_>) -> Result<Funds, Failure> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Available {
        available_funds: CardValue,
    }
    let available: Available = success(answer)?;
    available
        .available_funds
        .parse()
        .ok_or(Failure::Unknown(Detail::new("funds that can't be read")))
}

pub(super) fn page(answer: Answer<'_>) -> Result<ActivityPage, Failure> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Page {
        #[serde(default)]
        card_activity_list: Vec<Activity>,
        total_number_of_transactions_in_requested_time_frame: Option<usize>,
    }
    let page: Page = success(answer)?;
    Ok(ActivityPage {
        entries: page.card_activity_list,
        total: page.total_number_of_transactions_in_requested_time_frame,
    })
}

/// The body of a success; the parser's own error may quote the body, so it is dropped.
fn success<'a, T: Deserialize<'a>>(answer: Answer<'a>) -> Result<T, Failure> {
    let unreadable = || Failure::Unknown(Detail::new("unreadable answer"));
    let body = match answer {
        Answer::Failed(failed) => return Err(failure::judge_transport(failed)),
        Answer::Body(body) => body,
    };
    let said: ErrorBody = serde_json::from_slice(body).map_err(|_| unreadable())?;
    match said.status.as_deref() {
        Some("SUCCESS") if said.error_code.is_none() => {
            serde_json::from_slice(body).map_err(|_| unreadable())
        }
        Some(_) | None => Err(failure::judge(&said)),
    }
}
