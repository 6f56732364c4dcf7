//! What can be wrong with a postback, and what the network must be told about it.

/// One defect. Everything else about the postback is in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(missing_docs, reason = "the reasons beside them say it")]
pub enum Fault {
    ClickMissing,
    ClickIdBeyond63Bits,
    ClickIdZero,
    ClickReferenceEndless,
    AmountNan,
    AmountInWords,
    AmountWithExponent,
    AmountNegative,
    AmountHuge,
    AmountTooFine,
    PayoutInWords,
    PayoutNegative,
    CurrencyUnknown,
    OfferIdBeyond32Bits,
    FieldWithNul,
    FieldEndless,
    TimeUnreadable,
    BodyOversized,
    FormNotUtf8,
    JsonNotUtf8,
    QueryNotUtf8,
    ContentTypeUnknown,
    JsonBroken,
    JsonArray,
    SecurityTokenWrong,
}

impl Fault {
    /// All of them.
    pub const ALL: [Self; 25] = [
        Self::ClickMissing,
        Self::ClickIdBeyond63Bits,
        Self::ClickIdZero,
        Self::ClickReferenceEndless,
        Self::AmountNan,
        Self::AmountInWords,
        Self::AmountWithExponent,
        Self::AmountNegative,
        Self::AmountHuge,
        Self::AmountTooFine,
        Self::PayoutInWords,
        Self::PayoutNegative,
        Self::CurrencyUnknown,
        Self::OfferIdBeyond32Bits,
        Self::FieldWithNul,
        Self::FieldEndless,
        Self::TimeUnreadable,
        Self::BodyOversized,
        Self::FormNotUtf8,
        Self::JsonNotUtf8,
        Self::QueryNotUtf8,
        Self::ContentTypeUnknown,
        Self::JsonBroken,
        Self::JsonArray,
        Self::SecurityTokenWrong,
    ];

    /// The `reason` of the answer.
    pub const fn reason(self) -> &'static str {
        match self {
            Self::ClickMissing => "missing_click",
            Self::ClickIdBeyond63Bits | Self::ClickIdZero => "click_id_out_of_range",
            Self::ClickReferenceEndless => "click_ref_too_long",
            Self::AmountNan | Self::AmountInWords | Self::AmountWithExponent => {
                "sale_amount_invalid"
            }
            Self::AmountNegative => "sale_amount_negative",
            Self::AmountHuge | Self::AmountTooFine => "sale_amount_absurd",
            Self::PayoutInWords | Self::PayoutNegative => "payout_invalid",
            Self::CurrencyUnknown => "currency_unknown",
            Self::OfferIdBeyond32Bits => "offer_id_invalid",
            Self::FieldWithNul | Self::FieldEndless => "field_invalid",
            Self::TimeUnreadable => "converted_at_invalid",
            Self::BodyOversized => "body_too_large",
            Self::FormNotUtf8 | Self::JsonNotUtf8 | Self::QueryNotUtf8 => "not_utf8",
            Self::ContentTypeUnknown => "content_type_unknown",
            Self::JsonBroken | Self::JsonArray => "json_invalid",
            Self::SecurityTokenWrong => "security_token_invalid",
        }
    }

    /// What a pair of the postback is replaced with, where the fault is one of values.
    pub(super) fn wrong_value(self) -> Option<(&'static str, String)> {
        let text = |name, value: &str| Some((name, value.to_owned()));
        match self {
            Self::ClickIdBeyond63Bits => text("click_id", "9223372036854775808"),
            Self::ClickIdZero => text("click_id", "0"),
            Self::ClickReferenceEndless => Some(("click_id", "x".repeat(300))),
            Self::AmountNan => text("sale_amount", "NaN"),
            Self::AmountInWords => text("sale_amount", "a lot"),
            Self::AmountWithExponent => text("sale_amount", "1e9"),
            Self::AmountNegative => text("sale_amount", "-5.00"),
            Self::AmountHuge => text("sale_amount", "1000000000000000000"),
            Self::AmountTooFine => text("sale_amount", "1.0000001"),
            Self::PayoutInWords => text("payout", "plenty"),
            Self::PayoutNegative => text("payout", "-1"),
            Self::CurrencyUnknown => text("currency", "ZZZ"),
            Self::OfferIdBeyond32Bits => text("offer_id", "99999999999"),
            Self::FieldWithNul => text("txn_id", "OD\u{0}1"),
            Self::FieldEndless => Some(("txn_id", "9".repeat(400))),
            Self::TimeUnreadable => text("converted_at", "the day before yesterday"),
            Self::SecurityTokenWrong => text("security_token", "guessed"),
            Self::ClickMissing
            | Self::BodyOversized
            | Self::FormNotUtf8
            | Self::JsonNotUtf8
            | Self::QueryNotUtf8
            | Self::ContentTypeUnknown
            | Self::JsonBroken
            | Self::JsonArray => None,
        }
    }
}
