//! Everything that we decide, as pure modules: no clock, randomness, network or database.
//!
//! Two groups. What one report decides alone, in the stage: [`attribution`], [`terms`],
//! [`signals`], [`rating`], [`split`], put together by [`decide`]. What history decides, in the
//! ledger's transaction: [`claims`] groups a click's reports, [`books`] holds back those that come
//! after a lock, [`fold`] folds a claim's, [`findings`] says what speaks against it and
//! [`lifecycle`] evaluates it; [`orders`] and [`velocity`] look across claims, [`postings`] says
//! what is booked, [`settlement`] puts them together; [`payouts`] says what is paid, and [`rails`]
//! by which way.

pub mod attribution;
pub mod books;
pub mod claims;
pub mod decide;
pub mod findings;
pub mod fold;
pub mod history;
pub mod lifecycle;
pub mod orders;
pub mod payouts;
pub mod postings;
pub mod rails;
pub mod rating;
pub mod settlement;
pub mod signals;
pub mod split;
pub mod terms;
pub mod velocity;

#[cfg(test)]
mod fixtures;
#[cfg(test)]
mod simulation;
