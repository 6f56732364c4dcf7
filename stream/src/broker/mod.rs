//! A real Apache Kafka broker and a real schema registry, as child processes of a test.
//!
//! ```text
//!  test ── KafkaBroker::start ──▶ setpriv ▶ java kafka.Kafka   127.0.0.1:PORT, own directory
//!       └─ RegistryServer::start ▶ setpriv ▶ java registry     127.0.0.1:PORT, in memory
//! ```
//!
//! Both listen on loopback only, on ports of their own, and end with the process that started
//! them, even if that is killed. `make setup` fetches them; what is missing is an error whose
//! message says so, never a reason to skip a test.
//!
//! Everything here blocks the calling thread (a start takes some seconds): from an
//! asynchronous test, that is no harm before its own work begins.

mod certificates;
mod component;
mod directory;
mod error;
mod java;
mod kafka;
mod options;
mod ports;
mod process;
mod readiness;
mod registry;
mod settings;

pub use certificates::Authority;
pub use error::BrokerError;
pub use kafka::KafkaBroker;
pub use options::{BrokerOptions, ListenerSecurity, User};
pub use registry::RegistryServer;
