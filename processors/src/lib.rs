//! What Hissaback decides, and the log-to-log stage that applies it.
//!
//! [`rules`] is pure: values in, values out. [`stage`] turns `conversions` into `decisions`; the
//! ledger's transaction in `sinks` calls the same rules for what needs history.

pub mod rules;
pub mod stage;
