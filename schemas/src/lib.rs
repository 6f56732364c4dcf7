//! The contracts of Hissaback: events and their Avro schemas, typed ids, money, topics, codec,
//! click token.
//!
//! Everything here is pure: no clock, randomness, network or database. Each event type has an
//! Avro schema under `schemas/avro/`, which is the contract other tools read; the Rust types
//! follow it, and the tests hold the two together with a golden payload per version.

mod amount;
pub mod codec;
pub mod contact;
mod currency;
mod datum;
pub mod event_id;
pub mod events;
pub mod headers;
mod ids;
pub mod money;
mod percentage;
pub mod reference;
mod text;
mod time;
pub mod token;
mod topic;

pub use amount::{Amount, AmountError};
pub use currency::{Currency, UnknownCurrency};
pub use ids::{
    CampaignId, ClickId, Country, EventId, IdError, LinkId, NetworkId, OfferId, PayoutId, TenantId,
    UserId,
};
pub use money::{Minor, MoneyOverflow};
pub use percentage::{Percentage, PercentageError};
pub use time::{Days, Timestamp};
pub use topic::{Position, Topic, partition_for_key};
