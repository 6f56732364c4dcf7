//! The roles: what each is called, and what it needs.

use std::fmt;

/// A part of the product that can be a process of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// HTTP → `clicks`, `conversions`.
    Ingest,
    /// `conversions` → `decisions`.
    Process,
    /// The log → PostgreSQL.
    Ledger,
    /// PostgreSQL's outbox → the log.
    Relay,
    /// The log → ClickHouse.
    Analytics,
    /// `payouts` → gift cards and messages.
    Dispatch,
    /// Healing, audit, payout runs: what happens without being asked for.
    Schedule,
    /// Endpoints for operators and schedulers.
    Api,
}

impl Role {
    /// All of them, in the order of the flow.
    pub const ALL: [Self; 8] = [
        Self::Ingest,
        Self::Process,
        Self::Ledger,
        Self::Relay,
        Self::Analytics,
        Self::Dispatch,
        Self::Schedule,
        Self::Api,
    ];

    /// Its name, which is its subcommand's.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ingest => "ingest",
            Self::Process => "process",
            Self::Ledger => "ledger",
            Self::Relay => "relay",
            Self::Analytics => "analytics",
            Self::Dispatch => "dispatch",
            Self::Schedule => "schedule",
            Self::Api => "api",
        }
    }

    /// Whether it reads the database with an operator's rights.
    pub const fn reads_as_operator(self) -> bool {
        match self {
            // Retention drops what the writer may not.
            Self::Schedule | Self::Api => true,
            Self::Ingest
            | Self::Process
            | Self::Ledger
            | Self::Relay
            | Self::Analytics
            | Self::Dispatch => false,
        }
    }

    /// Whether it works with keys or tokens; the others aren't given any.
    pub const fn uses_secrets(self) -> bool {
        match self {
            Self::Ingest | Self::Process | Self::Dispatch | Self::Schedule | Self::Api => true,
            Self::Ledger | Self::Relay | Self::Analytics => false,
        }
    }

    /// Whether it draws event ids, and so holds an instance number.
    pub const fn draws_event_ids(self) -> bool {
        match self {
            Self::Ingest | Self::Schedule | Self::Api => true,
            Self::Process | Self::Ledger | Self::Relay | Self::Analytics | Self::Dispatch => false,
        }
    }

    /// Whether it works with the reference data.
    pub const fn follows_reference_data(self) -> bool {
        match self {
            Self::Ingest | Self::Process | Self::Schedule => true,
            Self::Ledger | Self::Relay | Self::Analytics | Self::Dispatch | Self::Api => false,
        }
    }

    /// Whether it goes on without PostgreSQL, once it has started.
    pub const fn outlives_postgres(self) -> bool {
        match self {
            Self::Ingest => true,
            Self::Process
            | Self::Ledger
            | Self::Relay
            | Self::Analytics
            | Self::Dispatch
            | Self::Schedule
            | Self::Api => false,
        }
    }

    /// Whether it asks ClickHouse anything.
    pub const fn asks_clickhouse(self) -> bool {
        match self {
            Self::Analytics | Self::Schedule | Self::Api => true,
            Self::Ingest | Self::Process | Self::Ledger | Self::Relay | Self::Dispatch => false,
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
