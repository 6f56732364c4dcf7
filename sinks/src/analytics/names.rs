//! The names that codes have in the tables: the same as in Avro and JSON, which a test holds.

use schemas::events::{
    ClickOrigin, Device, HealAuthor, Malformed, NetworkStatus, ReportSource, SelfPurchase,
    SignalCode, UnmatchedReason,
};

/// A code with a name.
pub(super) trait Name {
    /// Its name in tables.
    fn name(self) -> &'static str;
}

macro_rules! names {
    ($($code:ident { $($variant:ident => $name:literal),* $(,)? })*) => {
        $(impl Name for $code {
            fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)*
                }
            }
        })*

        #[cfg(test)]
        mod tests {
            use super::*;

            #[test]
            fn names_are_those_of_the_log() {
                $($(assert_eq!(
                    serde_json::to_value($code::$variant).expect("json"),
                    serde_json::Value::from($code::$variant.name()),
                );)*)*
            }
        }
    };
}

names! {
    Device {
        Desktop => "desktop",
        Mobile => "mobile",
        Tablet => "tablet",
        Bot => "bot",
        Unknown => "unknown",
    }
    ClickOrigin {
        Redirect => "redirect",
        Api => "api",
    }
    ReportSource {
        Postback => "postback",
        Csv => "csv",
        Api => "api",
    }
    NetworkStatus {
        Pending => "pending",
        Approved => "approved",
        Cancelled => "cancelled",
        Rejected => "rejected",
        Extended => "extended",
        Unknown => "unknown",
    }
    HealAuthor {
        Operator => "operator",
        Machine => "machine",
    }
    SelfPurchase {
        Phone => "phone",
        Email => "email",
    }
    SignalCode {
        CountryMismatch => "country_mismatch",
        HastySale => "hasty_sale",
        Bot => "bot",
        DataCentre => "data_centre",
        Proxy => "proxy",
        UnusualSale => "unusual_sale",
    }
    UnmatchedReason {
        UnknownClick => "unknown_click",
        TokenForged => "token_forged",
        TokenKeyUnknown => "token_key_unknown",
        NotAReference => "not_a_reference",
        UnknownLink => "unknown_link",
        OtherTenant => "other_tenant",
        OtherNetwork => "other_network",
    }
    Malformed {
        MissingClick => "missing_click",
        ClickIdOutOfRange => "click_id_out_of_range",
        ClickRefTooLong => "click_ref_too_long",
        SaleAmountInvalid => "sale_amount_invalid",
        SaleAmountNegative => "sale_amount_negative",
        SaleAmountAbsurd => "sale_amount_absurd",
        PayoutInvalid => "payout_invalid",
        CurrencyUnknown => "currency_unknown",
        OfferIdInvalid => "offer_id_invalid",
        FieldInvalid => "field_invalid",
        ConvertedAtInvalid => "converted_at_invalid",
        BodyTooLarge => "body_too_large",
        NotUtf8 => "not_utf8",
        ContentTypeUnknown => "content_type_unknown",
        JsonInvalid => "json_invalid",
        SecurityTokenInvalid => "security_token_invalid",
    }
}
