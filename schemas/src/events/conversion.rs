use serde::{Deserialize, Serialize};

use crate::{
    Amount, ClickId, Country, Currency, EventId, NetworkId, OfferId, Position, TenantId, Timestamp,
};

use super::ClickFacts;

/// One report of a sale as received (topic `conversions`): the bytes, where they came from, and
/// the fields parsed from them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConversionReported {
    /// Names the report; kept by its heals.
    pub event_id: EventId,
    /// When it was first received; kept by its heals.
    pub received_at: Timestamp,
    /// Where it came from.
    pub source: ReportSource,
    /// As-of time of the snapshot that it comes from (CSV, API); ranks before `received_at`.
    pub as_of: Option<Timestamp>,
    /// The network instance that sent it.
    pub network_id: NetworkId,
    /// The tenant that an import names, checked against the click's.
    pub tenant_id: Option<TenantId>,
    /// The click id that the click reference carried, where ingest could open it: the record's
    /// key. The stage opens the reference again; this is for placement only.
    pub click_id: Option<ClickId>,
    /// The original, redacted.
    pub raw: RawReport,
    /// The parsed fields, or why there are none.
    pub reported: Option<Reported>,
    /// Why the report can't be used; it is kept all the same.
    pub malformed: Option<Malformed>,
    /// Set on a healed report: what it heals, and the facts found.
    pub heal: Option<Heal>,
}

/// Where a report came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReportSource {
    /// The network's own call: lossy, duplicated, unordered.
    Postback,
    /// A network's CSV export: believed on returns and reversals.
    Csv,
    /// A network's reporting API: believed like the CSV.
    Api,
}

impl ReportSource {
    /// Whether a return from cancelled, or to an earlier amount, is believed from it (design
    /// section 5, state).
    pub const fn authoritative(self) -> bool {
        match self {
            Self::Postback => false,
            Self::Csv | Self::Api => true,
        }
    }
}

/// The original bytes of a report, after redaction.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RawReport {
    /// Query string, body, or CSV line; redacted parameters have their values replaced.
    #[serde(with = "serde_bytes")]
    pub bytes: Vec<u8>,
    /// `query`, or the body's media type.
    pub content_type: String,
    /// SHA-256 of the bytes before redaction and truncation, hex.
    pub sha256: String,
    /// Whether the original was longer than what is kept.
    pub truncated: bool,
}

/// The parsed fields of a report. Absent is never zero.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Reported {
    /// The click reference: a click token, or a bare numeric click id (`click_id`, or `p1`).
    pub click_ref: String,
    /// The offer that the network names.
    pub offer_id: Option<OfferId>,
    /// The network's own conversion id (Trackier's `_id`).
    pub network_conversion_id: Option<String>,
    /// Transaction id: an order number where the offer says so.
    pub txn_id: Option<String>,
    /// The goal (event) that was reached.
    pub goal_id: Option<String>,
    /// What the network says of it.
    pub status: Option<NetworkStatus>,
    /// Sale amount in `currency`.
    pub sale_amount: Option<Amount>,
    /// The network's payout: an amount in `currency` or a percentage, by configuration.
    pub payout: Option<Amount>,
    /// Currency of the amounts; absent means the network instance's default.
    pub currency: Option<Currency>,
    /// The network's own time of the conversion.
    pub converted_at: Option<Timestamp>,
    /// The conversion's country.
    pub country: Option<Country>,
}

/// What a network says of a conversion (Trackier's statuses).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NetworkStatus {
    /// Not decided yet.
    Pending,
    /// Accepted by the advertiser.
    Approved,
    /// Taken back: cap, targeting, window, refund.
    Cancelled,
    /// Refused as fraud.
    Rejected,
    /// Held longer; counts as pending.
    Extended,
    /// A status that we don't know; kept, counts as pending, flagged.
    Unknown,
}

/// Why a report can't be used. It is kept, its fate is *ignored*, and the sender is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Malformed {
    /// Neither `click_id` nor `p1`.
    MissingClick,
    /// A numeric click id of more than 63 bits, or zero.
    ClickIdOutOfRange,
    /// A click reference longer than any token.
    ClickRefTooLong,
    /// `sale_amount` is not a decimal number.
    SaleAmountInvalid,
    /// `sale_amount` is below zero.
    SaleAmountNegative,
    /// `sale_amount` is beyond 10^12, or finer than six decimal places.
    SaleAmountAbsurd,
    /// `payout` is not a decimal number, is negative or absurd.
    PayoutInvalid,
    /// `currency` is no ISO 4217 currency in use.
    CurrencyUnknown,
    /// `offer_id` is not a positive 32-bit number.
    OfferIdInvalid,
    /// A field holds a NUL or is longer than the limit.
    FieldInvalid,
    /// A date that can't be read.
    ConvertedAtInvalid,
    /// The body is larger than the limit; its head is kept.
    BodyTooLarge,
    /// The bytes are not UTF-8 where text is expected.
    NotUtf8,
    /// The media type is not one that postbacks come in.
    ContentTypeUnknown,
    /// A JSON body that is not an object of plain values.
    JsonInvalid,
    /// The `security_token` doesn't match the network instance's.
    SecurityTokenInvalid,
}

/// A healed report: a parked report that found its click (design section 4, unknown click).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Heal {
    /// The parked record.
    pub heals: Position,
    /// Names this heal; of several by one kind of author the lowest is in force.
    pub heal_id: EventId,
    /// Who healed it; an operator's comes before the machine's.
    pub author: HealAuthor,
    /// The click that was found.
    pub click: ClickFacts,
}

/// Who healed a report. Ordered: an operator's comes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HealAuthor {
    /// Matched by hand.
    Operator,
    /// Found by the retry.
    Machine,
}
