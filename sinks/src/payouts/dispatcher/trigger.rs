//! Records that concern payouts: requests wake the dispatcher, commands release and pause.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use processors::stage::dead_letters::{self, DeadLetter, Reason, Stage};
use schemas::{
    PayoutId, Topic, codec,
    events::{Command, CommandBody, PayoutRequested},
};
use stream::{
    AppendError, GroupConsumer, GroupEvent, GroupSettings, Log, LogError, Partition, Record,
};
use tokio_util::sync::CancellationToken;

use super::Worker;
use crate::payouts::{
    config::CHANNEL,
    store::{CommandOrder, StoreError},
};

/// The dispatchers' consumer group.
pub const GROUP: &str = "payout-dispatcher";
const TOPICS: [Topic; 2] = [Topic::Payouts, Topic::Commands];
const RECORDS_MAX: usize = 500;
const WAIT: Duration = Duration::from_secs(1);
/// Between tries, when the log or the database fails.
const PAUSE: Duration = Duration::from_secs(1);

/// Why records could not be dealt with, for now.
#[derive(Debug, thiserror::Error)]
enum TriggerError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Append(#[from] AppendError),
}

/// Reads until `stop`. What was dealt with is committed afterwards, so records may come again;
/// all of it can be done twice.
pub(super) async fn listen(
    worker: &Worker,
    log: &Arc<dyn Log>,
    stop: &CancellationToken,
) -> Result<(), LogError> {
    while !stop.is_cancelled() {
        let ended = match log.join(GROUP, &TOPICS, GroupSettings::default()).await {
            Ok(consumer) => consume(worker, log, consumer, stop).await,
            Err(error) => Err(error),
        };
        match ended {
            Ok(()) | Err(LogError::Closed) => return Ok(()),
            Err(error @ (LogError::Storage { .. } | LogError::NotAssigned { .. })) => {
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "reading payouts failed"
                );
                pause(stop).await;
            }
            Err(
                error @ (LogError::Failed { .. }
                | LogError::Damaged { .. }
                | LogError::NoSuchPartition { .. }
                | LogError::PositionBeyondEnd { .. }
                | LogError::PositionBeforeStart { .. }
                | LogError::InUse { .. }
                | LogError::Fenced { .. }
                | LogError::Unusable { .. }),
            ) => return Err(error),
        }
    }
    Ok(())
}

async fn consume(
    worker: &Worker,
    log: &Arc<dyn Log>,
    mut consumer: Box<dyn GroupConsumer>,
    stop: &CancellationToken,
) -> Result<(), LogError> {
    loop {
        let event = tokio::select! {
            () = stop.cancelled() => return consumer.leave().await,
            event = consumer.next(RECORDS_MAX, WAIT) => event?,
        };
        match event {
            GroupEvent::Assigned(_) | GroupEvent::Idle => {}
            // Nothing is kept per partition, and all that was read is committed.
            GroupEvent::Revoked(partitions) => consumer.release(partitions).await?,
            GroupEvent::Records(records) => {
                while let Err(error) = take(worker, log, &records).await {
                    tracing::warn!(
                        error = &error as &dyn std::error::Error,
                        "payouts have to wait"
                    );
                    if stop.is_cancelled() {
                        return consumer.leave().await;
                    }
                    pause(stop).await;
                }
                consumer.commit_all(&next_offsets(&records)).await?;
                worker.wake.notify_one();
            }
        }
    }
}

async fn pause(stop: &CancellationToken) {
    tokio::select! {
        () = stop.cancelled() => {}
        () = tokio::time::sleep(PAUSE) => {}
    }
}

fn next_offsets(records: &[Record]) -> Vec<(Partition, i64)> {
    let mut next = BTreeMap::new();
    for record in records {
        let position = record.position;
        next.insert((position.topic, position.partition), position.offset + 1);
    }
    next.into_iter().collect()
}

async fn take(worker: &Worker, log: &Arc<dyn Log>, records: &[Record]) -> Result<(), TriggerError> {
    let mut requested: Vec<PayoutId> = Vec::new();
    for record in records {
        if record.position.topic == Topic::Commands {
            // One that can't be read is dead-lettered by the ledger, which reads them all.
            if let Ok(command) = codec::decode::<Command>(&record.value) {
                obey(worker, &command).await?;
            }
            continue;
        }
        match codec::decode::<PayoutRequested>(&record.value) {
            Ok(payout) if payout.method == CHANNEL => requested.push(payout.payout_id),
            // Another rail's.
            Ok(_) => {}
            Err(error) => {
                bury(worker, log, record, &error.to_string()).await?;
                worker.metrics.dead_letters.inc();
            }
        }
    }
    if !requested.is_empty() {
        // The row is there: its outbox row, which became this record, was committed with it. Only
        // while a ledger is being rebuilt it may be missing; then the sweep finds it later.
        worker
            .store
            .adopt(Some(&requested), worker.clock.now())
            .await?;
    }
    Ok(())
}

/// Does what a command asks of payouts; the ledger sees to the others.
async fn obey(worker: &Worker, command: &Command) -> Result<(), StoreError> {
    let order = CommandOrder {
        issued_at: command.issued_at,
        command_id: command.command_id,
    };
    let now = worker.clock.now();
    match &command.body {
        CommandBody::ReleasePayout(release) => {
            let released = worker.store.release(release.payout_id, order, now).await?;
            tracing::info!(payout_id = %release.payout_id, released, "release commanded");
        }
        CommandBody::ChannelSwitch(switch) => {
            let (channel, paused) = (switch.channel.as_str(), switch.paused);
            let store = &worker.store;
            let switched = store
                .switch_channel(channel, paused, &command.reason, order, now)
                .await?;
            tracing::warn!(channel, paused, switched, "channel switch commanded");
        }
        CommandBody::ResendMessage(resend) => {
            let payout_id = resend.payout_id;
            let resent = worker.store.resend_message(payout_id, order, now).await?;
            tracing::info!(%payout_id, resent, "a message's repetition commanded");
        }
        // What was never sent the ledger cancels, under the payee's lock.
        CommandBody::CancelPayout(cancel) => {
            let payout_id = cancel.payout_id;
            let asked = worker.store.ask_recall(payout_id, order, now).await?;
            tracing::warn!(%payout_id, asked, "giving a payout up commanded");
        }
        CommandBody::ReviewClaim(_) | CommandBody::MatchByHand(_) | CommandBody::Correct(_) => {}
    }
    Ok(())
}

/// The record as it is, to `dead-letters`.
async fn bury(
    worker: &Worker,
    log: &Arc<dyn Log>,
    record: &Record,
    error: &str,
) -> Result<(), TriggerError> {
    let position = record.position;
    tracing::error!(%position, error, "a payout request can't be read");
    let letter = DeadLetter {
        record,
        origin: position,
        reason: Reason::Undecodable,
        error,
    };
    let stage = Stage {
        name: GROUP,
        code_version: env!("CARGO_PKG_VERSION"),
    };
    let letter = letter.to_record(&stage, worker.clock.now());
    dead_letters::append(log, vec![letter]).await?;
    Ok(())
}
