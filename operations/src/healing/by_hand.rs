//! Matches by hand: operators' commands become operators' heals.

use std::time::Duration;

use processors::stage::dead_letters::{self, DeadLetter, Reason, Stage};
use schemas::{
    ClickId, Position, Topic, codec,
    events::{Command, CommandBody, ConversionReported, HealAuthor, MatchByHand},
};
use stream::{GroupConsumer, GroupEvent, GroupSettings, LogError, Record};
use tokio_util::sync::CancellationToken;

use super::{
    GROUP, Healer, HealingError,
    heal::{self, StillUnmatched},
};
use crate::originals::{self, OriginalMissing};

const RECORDS_MAX: usize = 100;
const POLL_WAIT: Duration = Duration::from_millis(500);

/// Why a match by hand can't be carried out.
#[derive(Debug, thiserror::Error)]
enum Refused {
    #[error("{0} is no parked report")]
    NotParked(Position),
    #[error(transparent)]
    Original(OriginalMissing),
    #[error("click {0} is not known")]
    ClickUnknown(ClickId),
    #[error("with click {0} {1}")]
    StillUnmatched(ClickId, StillUnmatched),
}

impl Healer {
    /// Carries out matches by hand until `shutdown`; after a failure it joins the group anew.
    pub(super) async fn follow_commands(
        &self,
        shutdown: &CancellationToken,
    ) -> Result<(), HealingError> {
        loop {
            match self.follow_as_member(shutdown).await {
                Err(error) if error.temporary() && !shutdown.is_cancelled() => {
                    tracing::warn!(%error, "matches by hand wait");
                    let wait = tokio::time::sleep(self.settings.poll_interval);
                    shutdown.run_until_cancelled(wait).await;
                }
                outcome => return outcome,
            }
        }
    }

    async fn follow_as_member(&self, shutdown: &CancellationToken) -> Result<(), HealingError> {
        let mut consumer = self
            .log
            .join(GROUP, &[Topic::Commands], GroupSettings::default())
            .await?;
        while !shutdown.is_cancelled() {
            let next = consumer.next(RECORDS_MAX, POLL_WAIT);
            let Some(event) = shutdown.run_until_cancelled(next).await else {
                break;
            };
            match event? {
                GroupEvent::Records(records) => {
                    if self.carry_out_all(&records, shutdown).await? {
                        commit(&mut *consumer, &records).await?;
                    }
                }
                GroupEvent::Revoked(partitions) => consumer.release(partitions).await?,
                GroupEvent::Assigned(_) | GroupEvent::Idle => {}
            }
        }
        consumer.leave().await?;
        Ok(())
    }

    /// Carries out each, as often as it takes; `false` when `shutdown` came first.
    async fn carry_out_all(
        &self,
        records: &[Record],
        shutdown: &CancellationToken,
    ) -> Result<bool, HealingError> {
        for record in records {
            while let Err(error) = self.carry_out(record).await {
                if !error.temporary() {
                    return Err(error);
                }
                tracing::warn!(%error, "a match by hand waits and is tried again");
                let wait = tokio::time::sleep(self.settings.poll_interval);
                if shutdown.run_until_cancelled(wait).await.is_none() {
                    return Ok(false);
                }
            }
        }
        Ok(true)
    }

    /// Carries out one command: other kinds are for others.
    async fn carry_out(&self, record: &Record) -> Result<(), HealingError> {
        // One that can't be read is the ledger's to bury: it reads every command.
        let Ok(command) = codec::decode::<Command>(&record.value) else {
            return Ok(());
        };
        let by_hand = match &command.body {
            CommandBody::MatchByHand(by_hand) => by_hand,
            CommandBody::ReviewClaim(_)
            | CommandBody::Correct(_)
            | CommandBody::ReleasePayout(_)
            | CommandBody::CancelPayout(_)
            | CommandBody::ChannelSwitch(_)
            | CommandBody::ResendMessage(_) => return Ok(()),
        };
        match self.heal_by_hand(&command, by_hand).await? {
            Ok(heal) => {
                self.append_heals(&[heal]).await?;
                self.metrics.matched_by_hand.inc();
                tracing::info!(
                    report = %by_hand.report, click_id = %by_hand.click_id,
                    command_id = %command.command_id, "matched by hand"
                );
            }
            Err(refused) => self.refuse(record, &refused).await?,
        }
        Ok(())
    }

    /// The operator's heal. Its id is the command's: carrying a command out twice is one heal.
    async fn heal_by_hand(
        &self,
        command: &Command,
        by_hand: &MatchByHand,
    ) -> Result<Result<ConversionReported, Refused>, HealingError> {
        let MatchByHand { report, click_id } = *by_hand;
        if !self.parked(report).await? {
            return Ok(Err(Refused::NotParked(report)));
        }
        let original = match originals::report(&*self.log, report).await? {
            Ok(original) => original,
            Err(missing) => return Ok(Err(Refused::Original(missing))),
        };
        let Some(click) = self.clicks.clicks(&[click_id]).await?.remove(&click_id) else {
            return Ok(Err(Refused::ClickUnknown(click_id)));
        };
        let author = HealAuthor::Operator;
        let heal = heal::healed(original, report, command.command_id, author, click);
        let reference = self.reference.load_full();
        let checked = heal::check_matches(&heal, report, &reference, &self.token_keys);
        Ok(match checked {
            Ok(()) => Ok(heal),
            Err(still) => Err(Refused::StillUnmatched(click_id, still)),
        })
    }

    /// Whether a report is parked, or was until a heal: an operator's comes before a machine's.
    async fn parked(&self, report: Position) -> sqlx::Result<bool> {
        if report.topic != Topic::Conversions {
            return Ok(false);
        }
        sqlx::query_scalar(
            "SELECT EXISTS (SELECT FROM unmatched_conversions
             WHERE source_partition = $1 AND source_offset = $2
               AND state IN ('parked', 'healed'))",
        )
        .bind(report.partition)
        .bind(report.offset)
        .fetch_one(&self.pool)
        .await
    }

    /// The command is kept among the dead letters, with the reason.
    async fn refuse(&self, record: &Record, refused: &Refused) -> Result<(), HealingError> {
        let position = record.position;
        tracing::error!(%position, error = %refused, "a match by hand is refused");
        self.metrics.commands_refused.inc();
        let letter = DeadLetter {
            record,
            origin: record.position,
            reason: Reason::ResultUnwritable,
            error: &refused.to_string(),
        };
        let stage = Stage {
            name: GROUP,
            code_version: &self.settings.code_version,
        };
        let letter = letter.to_record(&stage, self.clock.now());
        dead_letters::append(&*self.log, vec![letter]).await?;
        Ok(())
    }
}

async fn commit(consumer: &mut dyn GroupConsumer, records: &[Record]) -> Result<(), HealingError> {
    for same in records.chunk_by(|a, b| {
        (a.position.topic, a.position.partition) == (b.position.topic, b.position.partition)
    }) {
        let Some(last) = same.last().map(|record| record.position) else {
            continue;
        };
        match consumer
            .commit(last.topic, last.partition, last.offset + 1)
            .await
        {
            // Whoever has the partition now carries them out again, which changes nothing.
            Ok(()) | Err(LogError::NotAssigned { .. }) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}
