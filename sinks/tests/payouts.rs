//! Payouts against the fake gift-card service over HTTP, and a real PostgreSQL.
//!
//! The oracle is the fake's own book of cards: whatever the network and the processes did, every
//! payout has at most one card, and the database and the fake agree.

#[path = "support/postgres.rs"]
mod postgres;

#[path = "payouts/client.rs"]
mod client;
#[path = "payouts/dispatch.rs"]
mod dispatch;
#[path = "payouts/messages.rs"]
mod messages;
#[path = "payouts/notices.rs"]
mod notices;
#[path = "payouts/recall.rs"]
mod recall;
#[path = "payouts/secrecy.rs"]
mod secrecy;
#[path = "payouts/signature.rs"]
mod signature;
#[path = "payouts/trouble.rs"]
mod trouble;
#[path = "payouts/world.rs"]
mod world;
