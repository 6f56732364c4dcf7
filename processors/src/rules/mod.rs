//! Everything that we decide, as pure modules: no clock, randomness, network or database.
//!
//! Two groups. What one report decides alone, in the stage: [`attribution`], [`terms`],
//! [`signals`], [`split`], put together by [`decide`]. What history decides, in the ledger's
//! transaction: [`claims`] groups a click's reports, [`fold`] folds a claim's and
//! [`lifecycle`] evaluates it, [`orders`] and
//! [`velocity`] look across claims, [`postings`] says what is booked, [`settlement`] puts them
//! together; [`payouts`] says what is paid.

pub mod attribution;
pub mod claims;
pub mod decide;
pub mod fold;
pub mod history;
pub mod lifecycle;
pub mod orders;
pub mod payouts;
pub mod postings;
pub mod settlement;
pub mod signals;
pub mod split;
pub mod terms;
pub mod velocity;

#[cfg(test)]
mod fixtures;
#[cfg(test)]
mod simulation;
