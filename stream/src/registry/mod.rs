//! The schema registry: where other tools learn what the records mean.
//!
//! ```text
//!  REGISTRY (schemas::codec) ── SchemaRegistry::register_all ──▶ a registry with the Confluent API
//!                                                                 │ ids
//!  stages ── our ids ──▶ RegisteredLog ── the registry's ids ──▶ log ◀── any client
//! ```
//!
//! Every version of every schema is registered, in order, under `{topic}-value` with BACKWARD
//! compatibility. A registry that is ours alone gives them the ids that they have here; where it
//! doesn't, [`RegisteredLog`] stands between. Without a registry, [`EmbeddedRegistry`] answers to
//! the same client.
//!
//! The registry is asked at start, and never while records are written or read.

mod client;
mod embedded;
mod error;
mod ids;
mod registered;
mod registration;
mod settings;

pub use client::{SchemaRegistry, SubjectVersion};
pub use embedded::{Catalogue, EmbeddedRegistry};
pub use error::RegistryError;
pub use ids::{Ambiguous, FOREIGN_ID, SchemaIds};
pub use registered::{RegisteredLog, registered};
pub use registration::{RegistryReport, SchemaDifference};
pub use settings::RegistrySettings;

/// The compatibility that our subjects have: who knows a version reads all before it.
const COMPATIBILITY: &str = "BACKWARD";
