//! What the ledger last told of some claims, in its own topic.

use std::collections::{BTreeSet, HashMap};

use schemas::{ClickId, EventId, Topic, codec, events::LedgerChanged};
use stream::Log;

use super::{ReplayError, reading::next};
use crate::log_copy::reader::Reader;

/// The newest that the ledger told of each claim.
#[derive(Debug, Default)]
pub(super) struct Published(HashMap<EventId, LedgerChanged>);

impl Published {
    /// Reads what was told of the claims of these clicks; nothing, where there are none.
    pub async fn read(log: &dyn Log, clicks: &BTreeSet<ClickId>) -> Result<Self, ReplayError> {
        let keys: BTreeSet<Vec<u8>> = clicks
            .iter()
            .map(|click| click.to_string().into_bytes())
            .collect();
        let partitions: BTreeSet<i32> = keys
            .iter()
            .map(|key| Topic::Ledger.partition_for(key))
            .collect();
        let mut published = Self::default();
        for partition in partitions {
            let held = log.watermarks(Topic::Ledger, partition).await?;
            let mut reader = Reader {
                log,
                partition: (Topic::Ledger, partition),
                left: held.low..held.high,
            };
            while let Some(records) = next(&mut reader).await? {
                let wanted = records.iter().filter(|record| keys.contains(&*record.key));
                for changed in wanted.filter_map(|record| codec::decode(&record.value).ok()) {
                    published.take(changed);
                }
            }
        }
        Ok(published)
    }

    fn take(&mut self, changed: LedgerChanged) {
        let newest = |one: &LedgerChanged| (one.epoch, one.sequence);
        match self.0.get(&changed.claim) {
            Some(known) if newest(known) > newest(&changed) => {}
            Some(_) | None => {
                self.0.insert(changed.claim, changed);
            }
        }
    }

    /// What was last told of a claim.
    pub fn of(&self, claim: EventId) -> Option<&LedgerChanged> {
        self.0.get(&claim)
    }
}
