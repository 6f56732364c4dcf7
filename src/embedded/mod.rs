//! The embedded services: what lets one command run the whole product on a machine that has no
//! server installed (design section 8).
//!
//! * [`DataDirectory`]: the one directory that everything lives in, held by one process at a time.
//! * [`EmbeddedPostgres`]: a private PostgreSQL cluster as a supervised child process.
//! * [`EmbeddedClickHouse`]: the ClickHouse engine (chDB) as another supervised child, which is
//!   this same binary and speaks ClickHouse's HTTP interface on a private Unix socket.
//!
//! Nothing here knows the product's tables: the migrations and the clients are the same as against
//! real servers.

mod accounts;
mod cache_directory;
mod child_process;
pub mod clickhouse;
mod data_directory;
pub mod postgres;
mod socket_directory;
mod supervision;

pub use clickhouse::{
    ClickHouseAvailability, ClickHouseError, ClickHouseOptions, EmbeddedClickHouse,
};
pub use data_directory::{DataDirectory, DataDirectoryError};
pub use postgres::{EmbeddedPostgres, PostgresError, PostgresOptions};
pub use socket_directory::SocketDirectoryError;
pub use supervision::Health;

/// Why an embedded service can't be used. Each message is one sentence for the person at the
/// terminal, with the remedy where there is one.
#[derive(Debug, thiserror::Error)]
pub enum EmbeddedError {
    /// The data directory can't be used.
    #[error(transparent)]
    DataDirectory(#[from] DataDirectoryError),
    /// PostgreSQL can't be started, or stopped in an orderly way.
    #[error(transparent)]
    Postgres(#[from] PostgresError),
    /// The ClickHouse engine can't be started, or stopped in an orderly way.
    #[error(transparent)]
    ClickHouse(#[from] ClickHouseError),
}
