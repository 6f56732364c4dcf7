//! What the log takes: the size of a record, and how much may be in flight. Refusing at once is
//! what lets ingest answer 503 instead of queueing without bound.

use std::sync::{Arc, Mutex, PoisonError};

use schemas::Topic;

use crate::{error::Refusal, record::NewRecord};

/// Bounds on appends, the same for every adapter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// The largest record, in bytes of key, value and headers: 1 MiB, as Kafka's brokers have it.
    pub record_bytes_max: usize,
    /// How many records may be in flight: taken, and not yet durable.
    pub in_flight_records_max: usize,
    /// How many bytes may be in flight.
    pub in_flight_bytes_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            record_bytes_max: 1024 * 1024,
            in_flight_records_max: 100_000,
            in_flight_bytes_max: 64 * 1024 * 1024,
        }
    }
}

/// Counts what is in flight against [`Limits`].
#[derive(Debug)]
pub(crate) struct Admission {
    limits: Limits,
    in_flight: Mutex<InFlight>,
}

#[derive(Debug, Default)]
struct InFlight {
    records: usize,
    bytes: usize,
}

/// A batch's share of what is in flight; given back when dropped.
#[derive(Debug)]
pub(crate) struct Permit {
    admission: Arc<Admission>,
    records: usize,
    bytes: usize,
}

impl Admission {
    pub(crate) fn new(limits: Limits) -> Arc<Self> {
        Arc::new(Self {
            limits,
            in_flight: Mutex::default(),
        })
    }

    /// Takes `records` in, or says why not.
    pub(crate) fn admit(
        self: &Arc<Self>,
        topic: Topic,
        records: &[NewRecord],
    ) -> Result<Permit, Refusal> {
        let mut bytes = 0;
        for (index, record) in records.iter().enumerate() {
            let partition = record.partition_in(topic);
            if !(0..topic.partitions()).contains(&partition) {
                return Err(Refusal::NoSuchPartition { topic, partition });
            }
            let record_bytes = record.bytes();
            if record_bytes > self.limits.record_bytes_max {
                return Err(Refusal::RecordTooLarge {
                    index,
                    bytes: record_bytes,
                    bytes_max: self.limits.record_bytes_max,
                });
            }
            bytes += record_bytes;
        }
        self.reserve(records.len(), bytes)
    }

    fn reserve(self: &Arc<Self>, records: usize, bytes: usize) -> Result<Permit, Refusal> {
        let Limits {
            in_flight_records_max,
            in_flight_bytes_max,
            ..
        } = self.limits;
        if records > in_flight_records_max || bytes > in_flight_bytes_max {
            return Err(Refusal::BatchTooLarge {
                records,
                bytes,
                records_max: in_flight_records_max,
                bytes_max: in_flight_bytes_max,
            });
        }
        let mut in_flight = self
            .in_flight
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if in_flight.records + records > in_flight_records_max
            || in_flight.bytes + bytes > in_flight_bytes_max
        {
            return Err(Refusal::Overloaded {
                in_flight_records: in_flight.records,
                in_flight_bytes: in_flight.bytes,
            });
        }
        in_flight.records += records;
        in_flight.bytes += bytes;
        Ok(Permit {
            admission: Arc::clone(self),
            records,
            bytes,
        })
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let mut in_flight = self
            .admission
            .in_flight
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        in_flight.records -= self.records;
        in_flight.bytes -= self.bytes;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn records(count: usize) -> Vec<NewRecord> {
        vec![NewRecord::new("key", "0123456"); count]
    }

    #[test]
    fn gives_back_what_a_batch_took() {
        let admission = Admission::new(Limits {
            in_flight_records_max: 3,
            ..Limits::default()
        });
        let first = admission.admit(Topic::Clicks, &records(2)).unwrap();
        let refused = admission.admit(Topic::Clicks, &records(2)).unwrap_err();
        assert!(matches!(
            refused,
            Refusal::Overloaded {
                in_flight_records: 2,
                in_flight_bytes: 20
            }
        ));
        assert!(refused.temporary());
        drop(first);
        assert!(admission.admit(Topic::Clicks, &records(3)).is_ok());
    }

    #[test]
    fn bounds_bytes_too() {
        let admission = Admission::new(Limits {
            in_flight_bytes_max: 25,
            ..Limits::default()
        });
        let _first = admission.admit(Topic::Clicks, &records(2)).unwrap();
        assert!(matches!(
            admission.admit(Topic::Clicks, &records(1)),
            Err(Refusal::Overloaded { .. })
        ));
        assert!(matches!(
            admission.admit(Topic::Clicks, &records(3)),
            Err(Refusal::BatchTooLarge {
                records: 3,
                bytes: 30,
                ..
            })
        ));
    }
}
