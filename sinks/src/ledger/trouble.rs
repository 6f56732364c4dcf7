//! What the ledger waits for when its database doesn't work, in words for an operator. Whatever
//! it is, the batch in hand is tried again until it is applied; the log keeps what follows.

use std::time::{Duration, Instant};

use super::LedgerError;

/// Why the ledger waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trouble {
    /// PostgreSQL can't write.
    DiskFull,
    /// Others hold every connection.
    NoConnection,
    /// Another session holds a lock.
    Locked,
    /// PostgreSQL is away, or on its way back.
    Away,
    /// Anything else, which the log tells.
    Other,
}

/// The ledger's present trouble.
#[derive(Debug, Clone, Copy)]
pub struct Waiting {
    /// Why.
    pub trouble: Trouble,
    /// Since when nothing was applied.
    pub since: Instant,
}

impl Waiting {
    /// How long it has lasted.
    pub fn lasted(&self) -> Duration {
        self.since.elapsed()
    }
}

impl Trouble {
    /// What an operator should know.
    pub const fn sentence(self) -> &'static str {
        match self {
            Self::DiskFull => "PostgreSQL's disk is full: the ledger waits for room",
            Self::NoConnection => {
                "PostgreSQL gives no connection, as others may hold them all: the ledger waits"
            }
            Self::Locked => "another session holds a lock on the ledger's tables: it waits",
            Self::Away => "PostgreSQL doesn't answer: the ledger waits until it is back",
            Self::Other => "a batch can't be applied and is tried again: see the program's log",
        }
    }

    /// Classifies what kept a batch from being applied.
    pub(super) fn of(error: &LedgerError) -> Self {
        let LedgerError::Database(error) = error else {
            return Self::Other;
        };
        match error {
            sqlx::Error::Database(refused) => match refused.code().as_deref() {
                Some("53100") => Self::DiskFull,
                Some("53300") => Self::NoConnection,
                // Not granted in time; or the victim of a deadlock, which a stranger began.
                Some("55P03" | "40P01") => Self::Locked,
                // Shut down by an operator, crashed, or not up yet.
                Some("57P01" | "57P02" | "57P03") => Self::Away,
                _ => Self::Other,
            },
            // A pool that can't connect while connections are refused says only this.
            sqlx::Error::PoolTimedOut => Self::NoConnection,
            sqlx::Error::Io(_) | sqlx::Error::Protocol(_) | sqlx::Error::PoolClosed => Self::Away,
            _ => Self::Other,
        }
    }
}
