//! Which click a report belongs to, and whether the sale came in time.
//!
//! The reference that a network gives back is normally a click token, which carries everything
//! about the click: opening it *is* the join. A bare numeric id needs a look-up, which the stage
//! makes in batches before the rules run (design section 4, join).

use schemas::{
    ClickId, Days, Timestamp,
    events::{ClickFacts, ConversionReported, Decision, Outcome, Reported, UnmatchedReason},
    reference::ReferenceData,
    token::{ClickToken, TokenError, TokenKeys},
};

/// What the click reference of a report (`click_id`, or `p1`) turned out to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ClickReference {
    /// One of our tokens, its seal intact.
    Token(ClickToken),
    /// A click id that has to be looked up.
    Bare(ClickId),
}

impl ClickReference {
    /// Reads a reference. All digits is a bare id, so an id beyond 63 bits is no reference at all.
    ///
    /// # Errors
    /// Why the report stays unmatched.
    pub fn read(text: &str, keys: &TokenKeys) -> Result<Self, UnmatchedReason> {
        if let Ok(click_id) = text.parse() {
            return Ok(Self::Bare(click_id));
        }
        keys.open(text)
            .map(Self::Token)
            .map_err(|error| match error {
                TokenError::NotAToken => UnmatchedReason::NotAReference,
                TokenError::UnknownKey(_) => UnmatchedReason::TokenKeyUnknown,
                TokenError::Forged => UnmatchedReason::TokenForged,
            })
    }
}

/// What was looked up for a report before the rules ran.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LookedUp {
    /// The facts of its click. They come before what the reference itself says, so that a replay
    /// repeats what was decided whatever became of keys and links since.
    Click(ClickFacts),
    /// Nothing was asked, or nothing was found.
    Nothing,
}

impl LookedUp {
    /// What a recorded decision rests on, for a replay; `None` where it rests on no look-up at
    /// all, because the record could not be read or used, so that one has to be made.
    pub fn recorded(decision: &Decision) -> Option<Self> {
        match &decision.outcome {
            Outcome::Matched(matched) => Some(Self::Click(matched.click.clone())),
            Outcome::Unmatched(_) => Some(Self::Nothing),
            Outcome::Ignored(_) | Outcome::Poisoned(_) => None,
        }
    }
}

/// The click that has to be looked up before a report can be decided: that of a bare id, unless
/// the report can't be used, or its heal brings the facts along.
pub fn click_to_look_up(report: &ConversionReported) -> Option<ClickId> {
    if report.malformed.is_some() || report.heal.is_some() {
        return None;
    }
    report.reported.as_ref()?.click_ref.parse().ok()
}

/// The facts of a report's click: those of its heal, else those looked up, else those of its
/// token.
///
/// # Errors
/// Why there are none, with the click id that the reference holds, if it holds one.
pub fn click_of_report(
    report: &ConversionReported,
    reported: &Reported,
    looked_up: LookedUp,
    reference: &ReferenceData,
    keys: &TokenKeys,
) -> Result<ClickFacts, (UnmatchedReason, Option<ClickId>)> {
    if let Some(heal) = &report.heal {
        return Ok(heal.click.clone());
    }
    if let LookedUp::Click(click) = looked_up {
        return Ok(click);
    }
    match ClickReference::read(&reported.click_ref, keys) {
        Ok(ClickReference::Token(token)) => click_of_token(&token, reference)
            .ok_or((UnmatchedReason::UnknownLink, Some(token.click_id))),
        Ok(ClickReference::Bare(click_id)) => Err((UnmatchedReason::UnknownClick, Some(click_id))),
        Err(reason) => Err((reason, None)),
    }
}

/// The facts of a token's click: its own, with campaign and tenant of its link. `None` where the
/// reference data doesn't hold the link or its campaign.
pub fn click_of_token(token: &ClickToken, reference: &ReferenceData) -> Option<ClickFacts> {
    let campaign_id = reference.links.get(&token.link_id)?.campaign_id;
    let tenant_id = reference.campaigns.get(&campaign_id)?.tenant_id;
    Some(ClickFacts {
        click_id: token.click_id,
        clicked_at: token.clicked_at,
        tenant_id,
        campaign_id,
        link_id: token.link_id,
        offer_id: token.offer_id,
        user_id: token.user_id,
        country: token.country,
        signals: token.signals,
    })
}

/// Whether a conversion lies in the attribution window `[click, click + days)` (design section 5).
///
/// A conversion before its click is outside: the click can't have led to it. A network that cuts
/// its times to the second can so lose a sale within the very second of its click, which nobody
/// makes. A window of zero or fewer days is empty.
pub fn within_window(clicked_at: Timestamp, converted_at: Timestamp, days: Days) -> bool {
    clicked_at <= converted_at && converted_at < clicked_at.plus_days(days)
}

/// The time of the sale, where one is known that rules on time may rest on: the network's own, or
/// our receipt where the network fires at the sale. A postback of another network may come days
/// after the sale, so its receipt says nothing (design section 5, attribution window).
pub fn sale_time(
    converted_at: Option<Timestamp>,
    received_at: Timestamp,
    fires_at_sale: bool,
) -> Option<Timestamp> {
    converted_at.or_else(|| fires_at_sale.then_some(received_at))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const DAY_MS: i64 = 86_400_000;

    fn at(millis: i64) -> Timestamp {
        Timestamp::from_millis(millis)
    }

    #[test]
    fn the_window_is_half_open_to_the_millisecond() {
        let click = 1_790_000_000_123;
        for (converted, inside) in [
            (click - 1, false),
            (click, true),
            (click + 1, true),
            (click + 30 * DAY_MS - 1, true),
            (click + 30 * DAY_MS, false),
            (click + 30 * DAY_MS + 1, false),
        ] {
            assert_eq!(
                within_window(at(click), at(converted), 30),
                inside,
                "{converted}"
            );
        }
        assert!(
            !within_window(at(click), at(click), 0),
            "a window of no days is empty"
        );
        assert!(!within_window(at(click), at(click), -1));
    }

    proptest! {
        #[test]
        fn the_window_agrees_with_the_elapsed_time(
            click in -(1_i64 << 50)..1_i64 << 50,
            elapsed in -40 * DAY_MS..40 * DAY_MS,
            days in 0..40_i32,
        ) {
            let inside = (0..i64::from(days) * DAY_MS).contains(&elapsed);
            prop_assert_eq!(within_window(at(click), at(click + elapsed), days), inside);
        }

        #[test]
        fn the_window_has_no_instant_at_which_it_panics(click: i64, converted: i64, days: i32) {
            let inside = within_window(at(click), at(converted), days);
            prop_assert!(!inside || click <= converted);
        }
    }

    #[test]
    fn our_receipt_is_the_sales_time_only_where_the_network_fires_at_the_sale() {
        let (own, receipt) = (at(1), at(2));
        for fires_at_sale in [true, false] {
            assert_eq!(sale_time(Some(own), receipt, fires_at_sale), Some(own));
        }
        assert_eq!(sale_time(None, receipt, true), Some(receipt));
        assert_eq!(sale_time(None, receipt, false), None);
    }
}
