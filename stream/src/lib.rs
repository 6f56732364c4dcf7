//! The log as a port, and its adapters (design section 3).
//!
//! ```text
//!  writers ── Log::append ──▶ partitions of a topic ──▶ Log::join ── GroupConsumer::next ──▶ readers
//! ```
//!
//! | adapter | for | durable |
//! |---|---|---|
//! | [`KafkaLog`](kafka::KafkaLog) | real deployments | on as many brokers as the topic asks for before it acknowledges |
//! | [`EmbeddedLog`] | one machine | synced to disk before it acknowledges |
//! | [`InMemoryLog`] | simulation and tests | as long as the process |
//!
//! One contract suite (module `contract`, behind the cargo feature of that name) holds for every
//! adapter. Delivery is at least once: a reader applies by [`schemas::Position`], so that a record
//! that comes again changes nothing (design section 1, rule 4).

mod admission;
#[cfg(feature = "broker")]
pub mod broker;
mod clock;
pub mod commit_points;
#[cfg(feature = "contract")]
pub mod contract;
mod embedded;
mod error;
mod fault;
mod gate;
mod group;
pub mod kafka;
mod log;
mod memory;
mod record;
pub mod registry;
pub mod request_id;
mod retention;

pub use admission::Limits;
pub use clock::{Clock, ManualClock, SystemClock};
pub use embedded::{EmbeddedLog, EmbeddedOptions};
pub use error::{AppendError, LogError, Refusal};
pub use fault::{Faults, FaultyConsumer, FaultyLog};
pub use log::{GroupConsumer, GroupEvent, GroupSettings, Health, Log, Partition, Watermarks};
pub use memory::InMemoryLog;
pub use record::{Header, NewRecord, Record};
pub use retention::trim_older_than;
