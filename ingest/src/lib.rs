//! HTTP → log: postbacks, clicks, and the redirect of smart links (design sections 1 and 2).
//!
//! ```text
//!  GET|POST /v1/events/conversion ─▶ postback ─▶ parameters ─▶ trackier ─▶ conversions
//!      POST /v1/events/click      ─▶ click    ──────────────────────────▶ clicks
//!      GET  /r/{slug}             ─▶ smart_link ─▶ redirect ─▶ click ──▶ clicks
//!      POST /v1/edge/clicks       ─▶ edge ─▶ click ─────────────────────▶ clicks
//! ```
//!
//! Accept first: a postback is answered 200 once the log has it durably, whatever it says. One
//! that can't be used is kept with the reason, and the sender told; only a log that does not take
//! records is an error, 503 with `Retry-After`. Not taken at all is what doesn't come from the
//! network: by address, or by signature ([`senders`]).
//!
//! [`trackier`] and [`parameters`] are pure, and read the rows of a CSV export too.

mod body;
mod click;
mod destination;
mod device;
mod edge;
mod intake;
mod metrics;
mod openapi;
pub mod parameters;
mod postback;
mod raw_report;
pub mod redaction;
mod redirect;
mod rejection;
mod router;
pub mod senders;
mod settings;
pub mod signature;
pub mod smart_link;
pub mod trackier;

pub use intake::{Dependencies, Ingest, IngestError};
pub use metrics::reason_name;
pub use openapi::description;
pub use router::router;
pub use settings::{Limits, SettingError, Settings};
