//! The demo's outside world: shoppers and networks that speak HTTP, and the record of what must
//! come of it.
//!
//! [`world`] writes a script from a seed, [`driver`] plays it over HTTP, [`oracle`] works out what
//! must come out, and [`summary`] compares that with what did. Nothing here uses the pipeline's
//! rules, its money, its currencies or its parsers: what is computed twice by the same code agrees
//! however wrong it is. Ids and instants are the only things shared.
//!
//! The order of a run, which the caller holds together:
//!
//! 1. [`world::Script::write`]; seed the reference data from [`world::seeds::Seeds`].
//! 2. [`driver::Driver::play`] the traffic phase; wait until everything is folded.
//! 3. Set the clock to the first [`world::PayoutRun`], run payouts as of it, wait until every card
//!    is funded.
//! 4. The same with the late phase and the second run.
//! 5. [`oracle::expect`], fill a [`summary::Actual`], and make a [`summary::Summary`] of both.

pub mod driver;
pub mod oracle;
pub mod summary;
pub mod world;

#[cfg(test)]
mod rehearsal;
