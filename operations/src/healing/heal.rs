//! Makes heals. Pure, but for the append.

use processors::rules::{attribution::LookedUp, decide::decide};
use schemas::{
    EventId, Position, Timestamp, Topic, codec,
    events::{
        ClickFacts, ConversionReported, Heal, HealAuthor, Malformed, Outcome, UnmatchedReason,
    },
    reference::ReferenceData,
    token::TokenKeys,
};
use stream::NewRecord;

use super::{Healer, HealingError};

/// Heals appended together: bounded far below what the log takes at once.
const APPEND_RECORDS: usize = 50;

/// Why a report with its click's facts would have no claim all the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum StillUnmatched {
    /// The stage would park it again.
    #[error("it would stay unmatched: {0:?}")]
    Reason(UnmatchedReason),
    /// It can't be used, whatever its click.
    #[error("it can't be used: {0:?}")]
    Unusable(Malformed),
}

/// The heal of a report: the report as it was, with the facts found.
pub(super) fn healed(
    original: ConversionReported,
    parked: Position,
    heal_id: EventId,
    author: HealAuthor,
    click: ClickFacts,
) -> ConversionReported {
    ConversionReported {
        click_id: Some(click.click_id),
        heal: Some(Heal {
            heals: parked,
            heal_id,
            author,
            click,
        }),
        ..original
    }
}

/// Fails where the stage would not match the heal either: a heal that stays unmatched is parked
/// itself, and helps nobody.
pub(super) fn check_matches(
    heal: &ConversionReported,
    parked: Position,
    reference: &ReferenceData,
    keys: &TokenKeys,
) -> Result<(), StillUnmatched> {
    // Neither position nor append time has a part in the outcome.
    let appended_at = Timestamp::from_millis(0);
    let decision = decide(
        parked,
        appended_at,
        heal,
        LookedUp::Nothing,
        reference,
        keys,
    );
    match decision.outcome {
        Outcome::Matched(_) => Ok(()),
        Outcome::Unmatched(unmatched) => Err(StillUnmatched::Reason(unmatched.reason)),
        Outcome::Ignored(ignored) => Err(StillUnmatched::Unusable(ignored.reason)),
        // Only a record that can't be read is poisoned, and this one was.
        Outcome::Poisoned(_) => Err(StillUnmatched::Unusable(Malformed::FieldInvalid)),
    }
}

impl Healer {
    /// Appends heals, keyed by the click that was found; durable when this returns.
    pub(super) async fn append_heals(
        &self,
        heals: &[ConversionReported],
    ) -> Result<(), HealingError> {
        for chunk in heals.chunks(APPEND_RECORDS) {
            let records = chunk
                .iter()
                .map(|heal| {
                    let key = heal
                        .heal
                        .as_ref()
                        .map_or(heal.event_id.to_string(), |facts| {
                            facts.click.click_id.to_string()
                        });
                    Ok(NewRecord::new(key, codec::encode(heal)?))
                })
                .collect::<Result<_, HealingError>>()?;
            self.log.append(Topic::Conversions, records).await?;
        }
        Ok(())
    }
}
