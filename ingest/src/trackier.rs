//! What Trackier's parameters mean: from decoded parameters to a typed report, or why there is
//! none. Pure: the CSV backfill reads its rows through the same rules.

use schemas::{
    Amount, AmountError, ClickId, Country, OfferId, Timestamp,
    events::{Malformed, NetworkStatus, Reported},
    token,
};

use crate::parameters::{Parameter, Parameters};

/// Longest order number, goal or conversion id taken, in bytes: they become index keys.
pub const FIELD_BYTES_MAX: usize = 255;

/// Times from 2000-01-01 on are believed. An earlier one is a defect of its sender, such as a zero
/// that stands for none.
const EARLIEST: Timestamp = Timestamp::from_millis(946_684_800_000);
/// Times before 2100-01-01 are believed.
const LATEST: Timestamp = Timestamp::from_millis(4_102_444_800_000);

/// Reads a report. `utc_offset_minutes` is how far the network's own times are ahead of UTC: it
/// applies to times that name no zone.
///
/// # Errors
/// The first defect found. Whatever defects a report has, [`click_reference`] tells where it
/// belongs.
pub fn read(parameters: &Parameters<'_>, utc_offset_minutes: i32) -> Result<Reported, Malformed> {
    if parameters.hold_nul() {
        return Err(Malformed::FieldInvalid);
    }
    Ok(Reported {
        click_ref: click_reference(parameters)?.to_owned(),
        offer_id: offer_id(parameters)?,
        network_conversion_id: text(
            parameters,
            &[Parameter::ConversionId, Parameter::UnderscoreId],
        )?,
        txn_id: text(parameters, &[Parameter::TxnId])?,
        goal_id: text(parameters, &[Parameter::GoalId])?,
        status: parameters
            .first_of(&[Parameter::Status, Parameter::ConversionStatus])
            .map(status),
        sale_amount: parameters
            .first_of(&[Parameter::SaleAmount, Parameter::Sale])
            .map(sale_amount)
            .transpose()?,
        payout: parameters.get(Parameter::Payout).map(payout).transpose()?,
        currency: parameters
            .get(Parameter::Currency)
            .map(|code| code.parse().map_err(|_| Malformed::CurrencyUnknown))
            .transpose()?,
        converted_at: parameters
            .first_of(&[Parameter::ConvertedAt, Parameter::Created])
            .map(|text| time(text, utc_offset_minutes).ok_or(Malformed::ConvertedAtInvalid))
            .transpose()?,
        country: parameters.get(Parameter::Country).and_then(Country::known),
    })
}

/// The click reference of a report: a click token, or a bare numeric click id.
///
/// Ours may come back in `click_id` or in `p1`, and Trackier's own 24-hex click id in the other.
/// Of the two the likelier one counts: a text shaped like our token, then a number, then any
/// other text, then the network's own id; of equals, `click_id`.
///
/// # Errors
/// [`Malformed::MissingClick`], [`Malformed::ClickIdOutOfRange`], [`Malformed::ClickRefTooLong`],
/// or [`Malformed::FieldInvalid`] for a NUL.
pub fn click_reference<'p>(parameters: &'p Parameters<'_>) -> Result<&'p str, Malformed> {
    let candidates = [Parameter::ClickId, Parameter::P1];
    let present = candidates
        .iter()
        .filter_map(|parameter| parameters.get(*parameter));
    let likeliest = present
        .min_by_key(|text| Shape::of(text))
        .ok_or(Malformed::MissingClick)?;
    match Shape::of(likeliest) {
        Shape::Token | Shape::Number | Shape::Text | Shape::NetworksOwn => Ok(likeliest),
        Shape::NumberOutOfRange => Err(Malformed::ClickIdOutOfRange),
        Shape::TooLong => Err(Malformed::ClickRefTooLong),
        Shape::HoldsNul => Err(Malformed::FieldInvalid),
    }
}

/// What a click reference looks like, likeliest ours first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Shape {
    Token,
    Number,
    Text,
    NetworksOwn,
    NumberOutOfRange,
    TooLong,
    HoldsNul,
}

impl Shape {
    fn of(text: &str) -> Self {
        let url_safe = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
        if text.len() > token::MAX_LENGTH {
            Self::TooLong
        } else if text.contains('\0') {
            Self::HoldsNul
        } else if text.bytes().all(|byte| byte.is_ascii_digit()) {
            if text.parse::<ClickId>().is_ok() {
                Self::Number
            } else {
                Self::NumberOutOfRange
            }
        } else if text.len() == 24 && text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            Self::NetworksOwn
        } else if text.len() > token::MAX_LENGTH / 2 && text.bytes().all(url_safe) {
            // Tokens of any version are about this long; whether it is one, opening it tells.
            Self::Token
        } else {
            Self::Text
        }
    }
}

/// `offer_id`, else Trackier's `campaign_id`, which is what Trackier calls an offer. The latter
/// may also be an internal id that is no number: then no offer is named.
fn offer_id(parameters: &Parameters<'_>) -> Result<Option<OfferId>, Malformed> {
    match parameters.get(Parameter::OfferId) {
        // A sign is no part of an id, though a number may carry one.
        Some(text) if text.starts_with('+') => Err(Malformed::OfferIdInvalid),
        Some(text) => text
            .parse()
            .map(Some)
            .map_err(|_| Malformed::OfferIdInvalid),
        None => Ok(parameters
            .get(Parameter::CampaignId)
            .and_then(|text| text.parse().ok())),
    }
}

fn text(parameters: &Parameters<'_>, aliases: &[Parameter]) -> Result<Option<String>, Malformed> {
    match parameters.first_of(aliases) {
        Some(text) if text.len() > FIELD_BYTES_MAX => Err(Malformed::FieldInvalid),
        text => Ok(text.map(str::to_owned)),
    }
}

/// Unknown statuses are kept, not refused: the network has more of them than it documents.
fn status(text: &str) -> NetworkStatus {
    let known = [
        ("pending", NetworkStatus::Pending),
        ("approved", NetworkStatus::Approved),
        ("cancelled", NetworkStatus::Cancelled),
        ("canceled", NetworkStatus::Cancelled),
        ("rejected", NetworkStatus::Rejected),
        ("extended", NetworkStatus::Extended),
    ];
    let found = known
        .into_iter()
        .find(|(name, _)| name.eq_ignore_ascii_case(text));
    found.map_or(NetworkStatus::Unknown, |(_, status)| status)
}

fn sale_amount(text: &str) -> Result<Amount, Malformed> {
    match text.parse::<Amount>() {
        Ok(amount) if amount.negative() => Err(Malformed::SaleAmountNegative),
        Ok(amount) => Ok(amount),
        Err(AmountError::NotANumber) => Err(Malformed::SaleAmountInvalid),
        Err(AmountError::TooPrecise | AmountError::OutOfRange) => Err(Malformed::SaleAmountAbsurd),
    }
}

fn payout(text: &str) -> Result<Amount, Malformed> {
    match text.parse::<Amount>() {
        Ok(amount) if !amount.negative() => Ok(amount),
        Ok(_) | Err(_) => Err(Malformed::PayoutInvalid),
    }
}

fn time(text: &str, utc_offset_minutes: i32) -> Option<Timestamp> {
    let parsed = Timestamp::parse(text)?;
    let instant = if zoneless(text) {
        parsed.plus_millis(-60_000 * i64::from(utc_offset_minutes))
    } else {
        parsed
    };
    (EARLIEST..LATEST).contains(&instant).then_some(instant)
}

/// Whether a time that [`Timestamp::parse`] took is a wall-clock time without a zone: neither a
/// count since the epoch nor followed by `Z` or an offset. The date takes ten characters.
fn zoneless(text: &str) -> bool {
    text.contains(':')
        && text
            .get(10..)
            .is_some_and(|clock| !clock.contains(['Z', 'z', '+', '-']))
}

#[cfg(test)]
#[path = "trackier_tests.rs"]
mod tests;
