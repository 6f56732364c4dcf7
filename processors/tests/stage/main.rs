//! The stage `conversions` → `decisions` and the rules that it applies: decisions as a pure
//! function, and their delivery over a log that fails.

mod decisions;
mod delivery;
mod failures;
mod harness;
mod purity;
mod signals;
mod world;
