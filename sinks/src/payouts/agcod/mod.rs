//! Amazon Gift Codes On Demand: the rail that pays with gift cards.
//!
//! [`request`] and [`operations`] are what is sent, [`signature`] how it is signed, [`client`] how
//! it travels, and [`classify`] what the answer means. Only the client does IO.

pub mod classify;
pub mod client;
pub mod endpoint;
pub mod failure;
pub mod operations;
pub mod request;
pub mod signature;

pub use classify::{Expected, FundedCard, Outcome, OutcomeKind};
pub use client::{AgcodClient, ClientError};
pub use endpoint::{Endpoint, EndpointError};
pub use failure::Failure;
pub use operations::{Activity, ActivityPage, Funds, Operation};
pub use request::{PartnerId, RequestError, creation_request_id, frozen_request};
