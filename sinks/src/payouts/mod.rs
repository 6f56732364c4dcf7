//! `payouts` → gift cards and messages (design section 6).
//!
//! ```text
//!  topic payouts ──▶ payout_dispatch ──▶ announce: queued → sending ──▶ outbox ──▶ payout-results
//!                         ▲   │                                             │ (row gone = durable)
//!   same request, later   │   └── due by time ──▶ AGCOD ◀───────────────────┘
//!                         └────────── settle ◀──────┘──▶ funded ──▶ SMS, claim code shredded
//! ```
//!
//! One payout has one request id and one request body for ever. An outcome that nobody knows is
//! followed by the identical request, never by a new one; so a card is made at most once however
//! often this stops and starts.
//!
//! | module | what |
//! |---|---|
//! | [`lifecycle`] | the state machine of one payout, pure |
//! | [`rail`] | what the payout run has to know of a rail |
//! | [`agcod`] | the one that is built: request, signature, client, and what an answer means |
//! | [`store`] | the tables, and the rule that no byte goes out before its step is durable |
//! | [`dispatcher`] | the loop that ties them together |
//! | [`messages`], [`sms`], [`claim_codes`] | how the code gets to the shopper, and how it is kept until then |
//! | [`notices`] | `ledger` → messages: claims that get confirmed |
//! | [`fake_agcod`] | an Amazon for the demo and for tests, with an oracle |

pub mod agcod;
pub mod claim_codes;
pub mod config;
pub mod dispatcher;
pub mod fake_agcod;
pub mod https;
pub mod lifecycle;
pub mod messages;
pub mod notices;
pub mod rail;
pub mod sms;
pub mod store;

pub use agcod::{PartnerId, creation_request_id, frozen_request};
pub use config::{AgcodConfig, CHANNEL, CREATE_PATH, DispatchLimits, PayoutsConfig, TIMEOUT_MS};
pub use dispatcher::{Dispatcher, DispatcherError};
pub use https::HttpsError;
pub use messages::{MessagesConfig, NoticeLimits};
pub use notices::Notices;
pub use rail::Rail;
pub use store::{Store, StoreError};
