//! Taking records out of what was fetched.

use std::time::Duration;

use rdkafka::{Message, error::RDKafkaErrorCode};

use super::{
    fault::Fault,
    holdings::{Holding, Holdings, Stage, State},
    received,
};
use crate::{error::LogError, log::Partition, record::Record};

/// Records, or why there are none.
pub(super) enum Gathered {
    Records(Vec<Record>),
    /// Nothing at present.
    Nothing,
    /// The next offset of this partition isn't kept any more, or was never there.
    OutOfRange(Partition, i64),
}

impl Holdings {
    /// Takes up to `records_max` records: an even share from each partition that has some, then
    /// another round with what is left; who is first goes round.
    pub(super) fn gather(
        &self,
        records_max: usize,
        bytes_max: usize,
    ) -> Result<Gathered, LogError> {
        let mut state = self.state();
        let State {
            held,
            served_last,
            trouble,
            ..
        } = &mut *state;
        let mut waiting = Vec::new();
        for (partition, holding) in held.iter_mut() {
            if holding.stage == Stage::Reading {
                if let Some(refused) = &holding.refused {
                    return Err(refused.clone());
                }
                waiting.push((*partition, holding, Vec::new()));
            }
        }
        let first = waiting
            .iter()
            .position(|(partition, ..)| Some(*partition) > *served_last)
            .unwrap_or(0);
        waiting.rotate_left(first);

        let (mut left, mut bytes) = (records_max.max(1), 0);
        let mut served = Vec::with_capacity(waiting.len());
        while left > 0 && bytes < bytes_max && !waiting.is_empty() {
            let share = left.div_ceil(waiting.len());
            let mut more = Vec::with_capacity(waiting.len());
            for (partition, holding, mut records) in waiting {
                let room = share.min(left);
                let mut taken = 0;
                let drained = loop {
                    if taken == room || bytes >= bytes_max {
                        break false;
                    }
                    match holding.take(partition) {
                        Ok(Some(record)) => {
                            bytes += record.bytes();
                            taken += 1;
                            records.push(record);
                        }
                        Ok(None) => break true,
                        Err(Trouble::Astray) => {
                            self.fail_astray();
                            return Err(self.check_open().err().unwrap_or(LogError::Closed));
                        }
                        Err(Trouble::OutOfRange) => {
                            if served.is_empty() && records.is_empty() && more.is_empty() {
                                return Ok(Gathered::OutOfRange(partition, holding.next));
                            }
                            holding.refused = Some(out_of_range(partition, holding.next));
                            break true;
                        }
                        Err(Trouble::Fault(fault)) => {
                            *trouble = Some(fault.during("fetching"));
                            break true;
                        }
                    }
                };
                left -= taken;
                if taken > 0 {
                    *served_last = Some(partition);
                }
                if drained {
                    served.push(records);
                } else {
                    more.push((partition, holding, records));
                }
            }
            waiting = more;
        }
        served.extend(waiting.into_iter().map(|(.., records)| records));
        let records: Vec<Record> = served.into_iter().flatten().collect();
        if records.is_empty() {
            return trouble.take().map_or(Ok(Gathered::Nothing), Err);
        }
        Ok(Gathered::Records(records))
    }
}

enum Trouble {
    /// A message of another partition.
    Astray,
    OutOfRange,
    Fault(Fault),
}

impl Holding {
    /// The next record, if one was fetched.
    fn take(&mut self, partition: Partition) -> Result<Option<Record>, Trouble> {
        let Some(fetched) = &self.fetched else {
            return Ok(None);
        };
        loop {
            match fetched.poll(Duration::ZERO) {
                None => return Ok(None),
                Some(Ok(message)) => {
                    if message.partition() != partition.1 || message.topic() != self.name {
                        return Err(Trouble::Astray);
                    }
                    let record = received::record(partition, &message);
                    let offset = record.position.offset;
                    // Fetched again after a change of leaders.
                    if offset >= self.next {
                        self.next = offset + 1;
                        self.end = self.end.max(self.next);
                        return Ok(Some(record));
                    }
                }
                Some(Err(error)) => {
                    return Err(match error.rdkafka_error_code() {
                        Some(
                            RDKafkaErrorCode::AutoOffsetReset | RDKafkaErrorCode::OffsetOutOfRange,
                        ) => Trouble::OutOfRange,
                        _ => Trouble::Fault(Fault::of(&error)),
                    });
                }
            }
        }
    }
}

/// Until the bounds are known.
fn out_of_range((topic, partition): Partition, next: i64) -> LogError {
    Fault::Other {
        reason: format!("offset {next} of {topic}/{partition} is out of range"),
    }
    .during("fetching")
}
