//! What the endpoints of ingest and of the API have in common: the server that takes connections
//! in under limits ([`serve`]), who is calling ([`client_address`]), how often they may
//! ([`rate_limit`]), and what an error looks like ([`problem_details`]).

pub mod client_address;
pub mod problem_details;
pub mod rate_limit;
mod server;

pub use server::{ServerLimits, serve};
