//! Consumer groups within one process: who is in a group, and who holds which partition. Shared
//! by the embedded and the in-memory adapters; in Kafka the broker does this.

mod assignment;
mod coordinator;
mod member;

pub(crate) use coordinator::Coordinator;
pub(crate) use member::{Member, Slice, Storage, check_within};
