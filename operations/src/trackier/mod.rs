//! Trackier's publisher API: what the network itself says of conversions and of campaigns, which
//! are what we call offers.
//!
//! ```text
//!  request ─▶ rate ─▶ HTTPS ─▶ answer ─▶ page, or why there is none
//!               ▲                 │
//!               └── later ◀───────┘ 429, 5xx, a connection that broke, half an answer
//! ```
//!
//! | module | what |
//! |---|---|
//! | [`account`] | where, with which key, how fast |
//! | [`answer`] | what an answer means: pure |
//! | [`client`] | the bytes' way there and back, with patience |
//! | [`pull`] | the conversions of a span, day by day, into a [`spool`] |
//! | [`campaign`] | a campaign as Trackier writes it |
//! | [`fake`] | a Trackier for tests, with faults and a record of its own |

pub mod account;
pub mod answer;
pub mod campaign;
pub mod client;
pub mod fake;
pub mod pull;
pub mod spool;

pub use account::{Account, Patience};
pub use client::{Client, TrackierError};
