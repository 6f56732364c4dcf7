//! HTTP → log: postbacks, clicks, and the redirect of smart links (design sections 1 and 2).
//!
//! ```text
//!  GET|POST /v1/events/conversion ─▶ postback ─▶ parameters ─▶ trackier ─▶ conversions
//!      POST /v1/events/click      ─▶ click    ──────────────────────────▶ clicks
//!      GET  /r/{slug}             ─▶ redirect ─▶ click ─────────────────▶ clicks
//! ```
//!
//! Accept first: a postback is answered 200 once the log has it durably, whatever it says. One
//! that can't be used is kept with the reason, and the sender told; only a log that does not take
//! records is an error, 503 with `Retry-After`.
//!
//! [`trackier`] and [`parameters`] are pure, and read the rows of a CSV export too.

mod body;
mod click;
pub mod client_address;
mod destination;
mod device;
mod intake;
mod metrics;
pub mod parameters;
mod postback;
mod raw_report;
pub mod redaction;
mod redirect;
mod rejection;
mod router;
mod server;
mod settings;
pub mod trackier;

pub use intake::{Dependencies, Ingest, IngestError};
pub use metrics::reason_name;
pub use router::router;
pub use server::{ServerLimits, serve};
pub use settings::{Limits, SettingError, Settings};
